//! Moves allocations off draining nodes.
//!
//! A group loses as many of its healthy instances at a time as its `migrate` block allows; what
//! moves next waits for the health of what moved before. Batch work is left to finish; at the
//! deadline everything goes at once.
//!
//! [`judge`] decides without I/O what one node needs; the task around it commits that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::broker::until;
use super::duty;
use super::liveness::job_evals;
use crate::env::TaskGroup;
use crate::model::node::{Drain, DrainStatus, NodeEvent};
use crate::model::{
    AllocId, Allocation, ClusterView, DesiredTransition, EvalTrigger, Job, JobKey, JobType, Node,
    Timestamp,
};
use crate::server::Ctx;
use crate::state::{Change, Key, Snapshot, Table};

/// How long to wait before a step that was not committed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What a draining node needs now.
#[derive(Debug, PartialEq)]
enum Step {
    /// These may leave.
    Move(Vec<AllocId>),
    /// Nothing is left on it.
    Done,
    /// Nothing, until then at the latest.
    Wait(Option<Timestamp>),
}

pub(super) fn start(ctx: &Arc<Ctx>, term: &TaskGroup) {
    let own = ctx.clone();
    duty(ctx, term, "drainer", async move {
        let store = own.raft.store();
        let nodes = store.watch([Key::Table(Table::Nodes)]);
        loop {
            let allocs = store.watch([Key::Table(Table::Allocs)]);
            let (draining, next) = look(&own).await;
            tokio::select! {
                biased;
                () = nodes.changed() => {}
                () = allocs.changed(), if draining => {}
                () = until(&own, next) => {}
            }
        }
    });
}

/// Looks at every draining node once; tells whether there is one, and when to look again.
async fn look(ctx: &Ctx) -> (bool, Option<Timestamp>) {
    let nodes = ctx.snapshot().nodes();
    let draining = nodes.iter().filter_map(|n| Some((n, n.drain?)));
    let (mut any, mut next) = (false, None);
    for (node, drain) in draining {
        any = true;
        let view = ctx.snapshot();
        let change = match judge(&view, node, &drain, ctx.now()) {
            Step::Move(allocs) => moving(ctx, &view, node, allocs),
            Step::Done => finished(ctx, node, &drain),
            Step::Wait(at) => {
                next = [next, at].into_iter().flatten().min();
                continue;
            }
        };
        let done = ctx.propose_or_log("a drain's step", change).await;
        if done.is_none() {
            next = Some(ctx.now().plus(RETRY));
        }
    }
    (any, next)
}

/// Decides what a draining node needs.
fn judge(view: &dyn ClusterView, node: &Node, drain: &Drain, now: Timestamp) -> Step {
    let mut left = view.allocs_of_node(node.id);
    left.retain(|a| !a.is_terminal());
    if left.is_empty() {
        return Step::Done;
    }
    left.retain(|a| a.transition.migrate != Some(true));
    let due = drain.is_due(now);
    let moving: Vec<AllocId> = match due {
        true => left.iter().map(|a| a.id).collect(),
        false => allowed(view, &left),
    };
    match moving.is_empty() {
        true if due || !drain.deadline.is_set() => Step::Wait(None),
        true => Step::Wait(Some(drain.deadline)),
        false => Step::Move(moving),
    }
}

/// Which of a node's allocations may leave before the deadline.
fn allowed(view: &dyn ClusterView, left: &[Arc<Allocation>]) -> Vec<AllocId> {
    let mut groups: BTreeMap<(JobKey, &str), Vec<&Allocation>> = BTreeMap::new();
    for alloc in left.iter().filter(|a| a.job.spec.kind == JobType::Service) {
        let group = groups.entry((alloc.job_key(), &alloc.group)).or_default();
        group.push(alloc);
    }
    let mut moving = Vec::new();
    for ((key, group), mut allocs) in groups {
        let room = view.job(&key).map_or(0, |job| room(view, &job, group));
        allocs.sort_by(|a, b| a.name.cmp(&b.name));
        moving.extend(allocs.iter().take(room).map(|a| a.id));
    }
    moving
}

/// How many instances of a group may go now: those whose health is known beyond what `migrate`
/// wants to keep.
fn room(view: &dyn ClusterView, job: &Job, name: &str) -> usize {
    let Some(group) = job.group(name) else {
        // It is gone from the job, whose evaluation stops these anyway.
        return 0;
    };
    let parallel = group.migrate.map_or(1, |m| m.max_parallel.max(1));
    let kept = group.count.saturating_sub(parallel) as usize;
    let settled = |a: &&Arc<Allocation>| {
        a.group == name
            && !a.is_terminal()
            && a.transition.migrate != Some(true)
            && a.deployment_health.is_some_and(|h| h.healthy.is_some())
    };
    let allocs = view.allocs_of_job(&job.key());
    allocs.iter().filter(settled).count().saturating_sub(kept)
}

fn moving(ctx: &Ctx, view: &Snapshot, node: &Node, allocs: Vec<AllocId>) -> Change {
    let moved = allocs.iter().filter_map(|id| view.alloc(*id));
    let evals = job_evals(ctx, view, node.id, moved, EvalTrigger::NodeDrain);
    Change::Transition {
        allocs,
        transition: DesiredTransition {
            migrate: Some(true),
            ..DesiredTransition::default()
        },
        evals,
    }
}

fn finished(ctx: &Ctx, node: &Node, drain: &Drain) -> Change {
    let now = ctx.now();
    let late = drain.is_due(now).then_some(("deadline_reached", "true"));
    let details = late.map(|(k, v)| (k.to_string(), v.to_string()));
    Change::NodeDrain {
        id: node.id,
        drain: None,
        status: DrainStatus::Complete,
        mark_eligible: false,
        meta: None,
        event: NodeEvent {
            message: "Node drain complete".to_string(),
            subsystem: "Drain".to_string(),
            details: details.into_iter().collect(),
            time: now,
            create_index: 0,
        },
        evals: Vec::new(),
    }
}
