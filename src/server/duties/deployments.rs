//! Watches deployments: what became healthy lets the next instances go, what failed too long
//! fails the deployment, what is whole completes it.
//!
//! [`judge`] decides without I/O what one deployment needs; the task around it commits that.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::broker::until;
use super::duty;
use crate::env::TaskGroup;
use crate::model::deployment::{DeploymentGroup, description};
use crate::model::plan::DeploymentUpdate;
use crate::model::{
    AllocClientStatus, AllocId, Allocation, ClusterView, Deployment, DeploymentId,
    DeploymentStatus, DesiredTransition, EvalTrigger, Evaluation, Index, Job, Timestamp,
};
use crate::server::Ctx;
use crate::state::{Change, Key, Snapshot, Table};

/// What a deployment needs now.
#[derive(Debug, PartialEq)]
enum Step {
    /// Every canary is healthy and nobody needs to be asked.
    Promote,
    /// It failed, for this reason.
    Fail(&'static str),
    /// Everything wanted is healthy.
    Succeed,
    /// These are unhealthy and may be replaced.
    Replace(Vec<AllocId>),
    /// Something became healthy: the scheduler may go on.
    Continue,
    /// Nothing, until then at the latest.
    Wait(Option<Timestamp>),
}

pub(super) fn start(ctx: &Arc<Ctx>, term: &TaskGroup) {
    let own = ctx.clone();
    duty(ctx, term, "deployments", async move {
        let watcher = own
            .raft
            .store()
            .watch([Key::Table(Table::Deployments), Key::Table(Table::Allocs)]);
        // Up to which health report each deployment was evaluated in this term.
        let mut evaluated: BTreeMap<DeploymentId, Index> = BTreeMap::new();
        loop {
            let next = look(&own, &mut evaluated).await;
            tokio::select! {
                biased;
                () = watcher.changed() => {}
                () = until(&own, next) => {}
            }
        }
    });
}

/// Looks at every active deployment once; returns when to look again.
async fn look(ctx: &Ctx, evaluated: &mut BTreeMap<DeploymentId, Index>) -> Option<Timestamp> {
    let view = ctx.snapshot();
    let mut next: Option<Timestamp> = None;
    evaluated.retain(|id, _| {
        let deployment = view.deployment(*id);
        deployment.is_some_and(|d| d.status.is_active())
    });
    for deployment in view.active_deployments() {
        let allocs = view.allocs_of_deployment(deployment.id);
        let seen = evaluated.get(&deployment.id).copied().unwrap_or(0);
        let step = judge(deployment, &allocs, ctx.now(), seen);
        if let Step::Wait(at) = step {
            next = [next, at].into_iter().flatten().min();
            continue;
        }
        let reported = last_report(&allocs);
        let Some(change) = change(ctx, &view, deployment, step) else {
            continue;
        };
        if ctx
            .propose_or_log("a deployment's step", change)
            .await
            .is_some()
        {
            evaluated.insert(deployment.id, reported);
        } else {
            next = Some(ctx.now().plus(std::time::Duration::from_secs(1)));
        }
    }
    next
}

/// The index of the newest health report.
fn last_report(allocs: &[Arc<Allocation>]) -> Index {
    let health = allocs.iter().filter_map(|a| a.deployment_health);
    let known = health.filter(|h| h.healthy.is_some());
    known.map(|h| h.modify_index).max().unwrap_or(0)
}

/// Decides what a deployment needs.
fn judge(
    deployment: &Deployment,
    allocs: &[Arc<Allocation>],
    now: Timestamp,
    evaluated: Index,
) -> Step {
    if deployment.status != DeploymentStatus::Running {
        return Step::Wait(None);
    }
    if let Some(step) = judge_unhealthy(deployment, allocs) {
        return step;
    }
    let mut deadline: Option<Timestamp> = None;
    for group in deployment.groups.values().filter(|g| is_open(g)) {
        if !group.require_progress_by.is_set() || waits_for_people(group) {
            continue;
        }
        if group.require_progress_by <= now {
            return Step::Fail(description::FAILED_PROGRESS);
        }
        deadline = Some(deadline.map_or(group.require_progress_by, |at| {
            at.min(group.require_progress_by)
        }));
    }
    if deployment.needs_promotion() {
        let ready = deployment
            .groups
            .values()
            .filter(|g| g.desired_canaries > 0);
        if ready
            .clone()
            .all(|g| g.auto_promote && canaries_are_healthy(g, allocs))
        {
            return Step::Promote;
        }
    } else if !deployment.groups.values().any(is_open) {
        return Step::Succeed;
    }
    if last_report(allocs) > evaluated {
        return Step::Continue;
    }
    Step::Wait(deadline)
}

/// What unhealthy allocations call for: replacement where the policy allows it, else the end.
fn judge_unhealthy(deployment: &Deployment, allocs: &[Arc<Allocation>]) -> Option<Step> {
    let unhealthy = |a: &&Arc<Allocation>| {
        let said = a.deployment_health.and_then(|h| h.healthy) == Some(false);
        let failed = a.client_status == AllocClientStatus::Failed;
        (said || failed) && !a.is_server_terminal() && a.next.is_none()
    };
    let mut replace = Vec::new();
    for alloc in allocs.iter().filter(unhealthy) {
        let Some(group) = deployment.groups.get(&alloc.group) else {
            continue;
        };
        if group.progress_deadline.is_zero() || !may_be_replaced(alloc) {
            return Some(Step::Fail(description::FAILED_ALLOCATIONS));
        }
        if alloc.transition.reschedule != Some(true) {
            replace.push(alloc.id);
        }
    }
    (!replace.is_empty()).then_some(Step::Replace(replace))
}

/// Whether the reschedule policy lets an allocation have a successor.
fn may_be_replaced(alloc: &Allocation) -> bool {
    let Some(group) = alloc.task_group() else {
        return false;
    };
    let policy = group.reschedule;
    if policy.unlimited {
        return true;
    }
    let since = |time: Timestamp| alloc.modify_time.since(time) <= policy.interval;
    let used = alloc.reschedules.iter().filter(|e| since(e.time)).count();
    used < policy.attempts as usize
}

/// Whether a group still lacks healthy instances.
fn is_open(group: &DeploymentGroup) -> bool {
    let canaries = match group.promoted {
        true => 0,
        false => group.desired_canaries,
    };
    group.healthy < group.desired_total.max(canaries)
}

/// Whether all that a group can do without a promotion is done.
fn waits_for_people(group: &DeploymentGroup) -> bool {
    group.desired_canaries > 0 && !group.promoted && group.healthy >= group.desired_canaries
}

fn canaries_are_healthy(group: &DeploymentGroup, allocs: &[Arc<Allocation>]) -> bool {
    let healthy = allocs.iter().filter(|a| {
        group.placed_canaries.contains(&a.id)
            && !a.is_terminal()
            && a.deployment_health.and_then(|h| h.healthy) == Some(true)
    });
    group.promoted || healthy.count() >= group.desired_canaries as usize
}

/// The command that a step comes to; none if its job is gone.
fn change(ctx: &Ctx, view: &Snapshot, deployment: &Deployment, step: Step) -> Option<Change> {
    let job = view.job(&deployment.job_key())?;
    let eval = watcher_eval(ctx, &job, deployment.id);
    Some(match step {
        Step::Wait(_) => return None,
        Step::Continue => Change::UpsertEvals(vec![eval]),
        Step::Replace(allocs) => Change::Transition {
            allocs,
            transition: DesiredTransition {
                reschedule: Some(true),
                ..DesiredTransition::default()
            },
            evals: vec![eval],
        },
        Step::Promote => Change::PromoteDeployment {
            id: deployment.id,
            groups: Vec::new(),
            eval: Some(Box::new(eval)),
        },
        Step::Succeed => Change::DeploymentStatus {
            update: DeploymentUpdate {
                id: deployment.id,
                status: DeploymentStatus::Successful,
                description: description::SUCCESSFUL.to_string(),
            },
            eval: None,
            revert: None,
        },
        Step::Fail(why) => fail(ctx, view, deployment, why),
    })
}

/// An evaluation of a deployment's job.
pub(in crate::server) fn watcher_eval(ctx: &Ctx, job: &Job, id: DeploymentId) -> Evaluation {
    let mut eval = Evaluation::pending(
        ctx.eval_id(),
        job,
        EvalTrigger::DeploymentWatcher,
        ctx.now(),
    );
    eval.deployment_id = Some(id);
    eval
}

/// The command that fails a deployment, going back to the newest stable version if a group
/// wants that.
pub(in crate::server) fn fail(
    ctx: &Ctx,
    view: &Snapshot,
    deployment: &Deployment,
    why: &str,
) -> Change {
    let mut text = why.to_string();
    let mut revert = None;
    if deployment.groups.values().any(|g| g.auto_revert) {
        match stable_version(view, deployment) {
            Some(job) => {
                text = format!("{why} - rolling back to job version {}", job.version);
                let mut again = (*job).clone();
                again.submit_time = ctx.now();
                again.stable = false;
                again.stop = false;
                revert = Some(Box::new(again));
            }
            None => text = format!("{why} - no stable job version to auto revert to"),
        }
    }
    let job = view.job(&deployment.job_key());
    Change::DeploymentStatus {
        update: DeploymentUpdate {
            id: deployment.id,
            status: DeploymentStatus::Failed,
            description: text,
        },
        eval: job.map(|job| Box::new(watcher_eval(ctx, &job, deployment.id))),
        revert,
    }
}

/// The newest stable version before the deployment's, if it differs from the job as it is.
pub(in crate::server) fn stable_version(
    view: &Snapshot,
    deployment: &Deployment,
) -> Option<Arc<Job>> {
    let row = view.job_row(&deployment.job_key())?;
    let current = row.versions.first()?;
    let mut older = row
        .versions
        .iter()
        .filter(|j| j.version < deployment.job_version);
    let stable = older.find(|j| j.stable)?;
    (stable.spec != current.spec).then(|| stable.clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{DeploymentHealth, EvalId};
    use crate::state::testing::{alloc, deployment, job, node, uuid};

    fn with_health(n: u128, healthy: Option<bool>) -> Arc<Allocation> {
        let mut alloc = alloc(n, &Arc::new(job("web", 2)), &node(1), EvalId(uuid(1)));
        alloc.deployment_health = Some(DeploymentHealth {
            healthy,
            modify_index: 10 + n as Index,
            ..DeploymentHealth::default()
        });
        Arc::new(alloc)
    }

    fn rollout(healthy: u32) -> Deployment {
        let mut d = deployment(1, &job("web", 2));
        let group = d.groups.get_mut("web").unwrap();
        group.healthy = healthy;
        group.placed = 2;
        group.progress_deadline = Duration::from_secs(600);
        group.require_progress_by = Timestamp(1000);
        d
    }

    #[test]
    fn a_newly_healthy_instance_lets_the_rollout_go_on_once() {
        let allocs = [with_health(1, Some(true)), with_health(2, None)];
        let judged = |evaluated| judge(&rollout(1), &allocs, Timestamp(1), evaluated);
        assert_eq!(judged(0), Step::Continue);
        assert_eq!(judged(11), Step::Wait(Some(Timestamp(1000))));
    }

    #[test]
    fn it_succeeds_when_all_is_healthy_and_fails_when_the_deadline_passes() {
        let allocs = [with_health(1, Some(true)), with_health(2, Some(true))];
        assert_eq!(
            judge(&rollout(2), &allocs, Timestamp(2000), 0),
            Step::Succeed
        );
        assert_eq!(
            judge(&rollout(1), &allocs, Timestamp(2000), 0),
            Step::Fail(description::FAILED_PROGRESS)
        );
    }

    #[test]
    fn an_unhealthy_instance_is_replaced_where_the_policy_allows() {
        let allocs = [with_health(1, Some(false)), with_health(2, None)];
        assert_eq!(
            judge(&rollout(0), &allocs, Timestamp(1), 0),
            Step::Replace(vec![AllocId(uuid(1))])
        );
        let mut last = (*allocs[0]).clone();
        let mut job = (*last.job).clone();
        job.spec.groups[0].reschedule.unlimited = false;
        last.job = Arc::new(job);
        assert_eq!(
            judge(&rollout(0), &[Arc::new(last)], Timestamp(1), 0),
            Step::Fail(description::FAILED_ALLOCATIONS)
        );
    }

    #[test]
    fn canaries_wait_for_people_or_promote_themselves() {
        let allocs = [with_health(1, Some(true))];
        let mut d = rollout(1);
        let group = d.groups.get_mut("web").unwrap();
        group.desired_canaries = 1;
        group.placed_canaries = vec![AllocId(uuid(1))];
        assert_eq!(judge(&d, &allocs, Timestamp(2000), 11), Step::Wait(None));
        d.groups.get_mut("web").unwrap().auto_promote = true;
        assert_eq!(judge(&d, &allocs, Timestamp(2000), 11), Step::Promote);
    }
}
