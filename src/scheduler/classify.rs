//! Sorts a job's allocations by what their node and their desired status mean for them.

use crate::model::{
    AllocClientStatus, Allocation, ClusterView, JobType, NodeStatus, TaskGroup, TaskState,
    Timestamp,
};

/// What an allocation's situation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Over; neither counts nor needs anything.
    Ignore,
    /// Counts, or is failed and perhaps due for a replacement.
    Keep,
    /// To be stopped and placed elsewhere.
    Migrate,
    /// Gone with its node.
    Lost,
    /// Its node is out of reach and it may come back: to be marked unknown.
    Disconnecting,
}

/// Sorts one allocation; the first rule that fits decides.
pub(super) fn classify(view: &dyn ClusterView, alloc: &Allocation, now: Timestamp) -> Class {
    let unknown = alloc.client_status == AllocClientStatus::Unknown;
    let migrate = alloc.transition.migrate == Some(true);
    if alloc.is_server_terminal() {
        return match batch_success(alloc) {
            true => Class::Keep,
            false => Class::Ignore,
        };
    }
    if alloc.is_client_terminal() {
        let canary = alloc.deployment_health.is_some_and(|h| h.canary);
        return match canary && migrate {
            true => Class::Migrate,
            false => Class::Keep,
        };
    }
    let Some(node) = view.node(alloc.node_id) else {
        return Class::Lost;
    };
    let disconnect = alloc.task_group().and_then(|g| g.disconnect);
    let lost_after = disconnect.map(|d| d.lost_after).filter(|d| !d.is_zero());
    let expired = lost_after.is_none_or(|d| node.status_updated_at.plus(d) <= now);
    match node.status {
        NodeStatus::Disconnected if unknown && !expired => Class::Keep,
        NodeStatus::Disconnected if unknown || lost_after.is_none() => Class::Lost,
        NodeStatus::Disconnected if alloc.client_status == AllocClientStatus::Pending => {
            Class::Lost
        }
        NodeStatus::Disconnected => Class::Disconnecting,
        NodeStatus::Down if disconnect.is_some_and(|d| !d.replace) => match unknown {
            true => Class::Keep,
            false => Class::Disconnecting,
        },
        NodeStatus::Down => Class::Lost,
        NodeStatus::Ready | NodeStatus::Initializing if migrate => Class::Migrate,
        NodeStatus::Ready | NodeStatus::Initializing => Class::Keep,
    }
}

/// Whether an ended allocation still fills its place: a failed one until it is replaced, a
/// batch one that succeeded for good.
pub(super) fn fills_its_place(alloc: &Allocation) -> bool {
    match alloc.client_status {
        AllocClientStatus::Failed => alloc.next.is_none(),
        AllocClientStatus::Complete => batch_success(alloc),
        AllocClientStatus::Lost => false,
        AllocClientStatus::Pending | AllocClientStatus::Running | AllocClientStatus::Unknown => {
            true
        }
    }
}

/// Whether it is a batch allocation that did its work.
fn batch_success(alloc: &Allocation) -> bool {
    let failed = |s: &TaskState| s.failed;
    alloc.job.spec.kind == JobType::Batch
        && alloc.client_status == AllocClientStatus::Complete
        && !alloc.task_states.values().any(failed)
}

/// Whether a terminal allocation of another version says nothing about this one.
pub(super) fn is_history(alloc: &Allocation, version: u64, create_index: u64) -> bool {
    let older = alloc.job.version != version || alloc.job.create_index != create_index;
    alloc.job.spec.kind == JobType::Batch && older && alloc.is_terminal()
}

/// The longest that any task of `group` may take to stop.
pub(super) fn longest_kill(group: &TaskGroup) -> std::time::Duration {
    group
        .tasks
        .iter()
        .map(|t| t.kill_timeout)
        .max()
        .unwrap_or_default()
}
