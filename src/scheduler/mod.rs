//! Plans what a job needs changed: a view of the cluster and an evaluation become an [`Outcome`].
//!
//! **Owns** nothing: every call is a pure function of its arguments, seed included.
//! **Does not** write state, watch deployments, or decide what is a capacity event.
//!
//! - `reconcile`: which allocations to keep, stop, update and replace, and which are missing;
//!   `classify` sorts them, `group` decides for one group, `reschedule` knows the delays,
//!   `changes` tells in-place from destructive;
//! - `feasible`: which nodes may run a group, and why the others may not;
//! - `rank` and `ports`: which of those fit, and which is best;
//! - `explain`: says in words why something is as it is;
//! - `plan`: puts the placements and stops together and reports what could not be placed.
//!
//! Start reading at [`schedule`].

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::diff::DesiredUpdates;
use crate::model::{
    AllocMetric, ClusterView, DeploymentId, EvalStatus, EvalTrigger, Evaluation, Job, JobType,
    Plan, Timestamp,
};

mod attributes;
mod changes;
mod classify;
pub mod explain;
mod feasible;
mod group;
mod ids;
mod names;
mod plan;
mod ports;
mod rank;
mod reconcile;
mod reschedule;
mod sorted;
mod spread;
#[cfg(test)]
mod tests;

use ids::Ids;
use plan::{Builder, Placed};

/// How often one evaluation is planned again because a part of its plan was refused.
pub fn attempts_max(kind: JobType) -> u32 {
    match kind {
        JobType::Service => 5,
        JobType::Batch => 2,
    }
}

/// What a plan depends on beside the view and the evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Inputs {
    pub now: Timestamp,
    /// Random, for ids, ports and the order among equals.
    pub seed: u128,
    /// 0 for the first try of this evaluation; others follow a plan that was partly refused.
    pub attempt: u32,
}

/// What planning an evaluation came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub plan: Plan,
    pub report: Report,
    /// Delayed evaluations that the plan's allocations name: store them with the plan, even if
    /// the plan is refused in part.
    pub follow_ups: Vec<Evaluation>,
    /// Waits for capacity for what could not be placed. Store it with [`Outcome::eval`], of the
    /// last attempt only.
    pub blocked: Option<Evaluation>,
    /// The evaluation as it ends; `blocked` again if it was a blocked one and still lacks room.
    pub eval: Evaluation,
    /// By group, what the plan does.
    pub annotations: BTreeMap<String, DesiredUpdates>,
}

/// What could not be done, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// By group: why its instances found no node, and how many did not.
    pub unplaced: BTreeMap<String, Unplaced>,
}

/// A group's instances that found no node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unplaced {
    pub count: u32,
    /// What the first of them met; the others met the same or worse.
    pub metric: AllocMetric,
}

/// Plans what `eval`'s job needs on the cluster that `view` shows.
///
/// Pure: the same arguments give the same outcome, and planning again on a view where the plan
/// has been applied changes nothing.
pub fn schedule(view: &dyn ClusterView, eval: &Evaluation, inputs: &Inputs) -> Outcome {
    let mut ids = Ids::new(inputs.seed);
    let job = view.job(&eval.job_key());
    let mut work = reconcile::reconcile(view, eval, job.as_ref(), inputs.now, &mut ids);
    let follow_ups = std::mem::take(&mut work.follow_ups);
    let deployment = work.deployment_id;
    let mut builder = Builder::new(view, eval, inputs.now, &mut ids, &mut work);
    builder.fill(job.as_ref().filter(|j| !j.stop), &work);
    let (plan, placed) = (builder.plan, builder.placed);
    let groups = work.groups.iter();
    let annotations: BTreeMap<String, DesiredUpdates> =
        groups.map(|(name, g)| (name.clone(), g.updates)).collect();
    let mut done = eval.clone();
    done.status = EvalStatus::Complete;
    done.status_description = String::new();
    done.snapshot_index = view.index();
    done.modify_time = inputs.now;
    done.deployment_id = deployment
        .or(eval.deployment_id)
        .or_else(|| newest_deployment(view, job.as_deref()?));
    done.annotations = annotations.clone();
    note_unplaced(&mut done, job.as_deref(), &placed);
    let blocked = match (&job, placed.report.unplaced.is_empty()) {
        (Some(job), false) if is_blocked(eval) => {
            block(&mut done, job, &placed);
            None
        }
        (Some(job), false) => {
            let blocked = blocked_after(&done, job, &placed, &mut ids, inputs.now);
            done.blocked = Some(blocked.id);
            Some(blocked)
        }
        (Some(_) | None, _) => None,
    };
    Outcome {
        plan,
        report: placed.report,
        follow_ups,
        blocked,
        eval: done,
        annotations,
    }
}

/// The job's last roll-out: who asked for the evaluation is shown how it went.
fn newest_deployment(view: &dyn ClusterView, job: &Job) -> Option<DeploymentId> {
    let latest = view.latest_deployment(&job.key())?;
    (latest.job_create_index == job.create_index).then_some(latest.id)
}

/// Ends an evaluation whose plan was refused too often: it fails, and another waits for the
/// cluster to change. Returns both.
pub fn give_up(eval: &Evaluation, job: &Job, inputs: &Inputs) -> (Evaluation, Evaluation) {
    let mut ids = Ids::new(inputs.seed);
    let trigger = EvalTrigger::MaxPlanAttempts;
    let mut next = Evaluation::pending(ids.eval(), job, trigger, inputs.now);
    next.status = EvalStatus::Blocked;
    next.status_description = "created due to placement conflicts".to_string();
    next.priority = eval.priority;
    next.previous = Some(eval.id);
    next.snapshot_index = eval.snapshot_index;
    // Any change of capacity may resolve a conflict.
    next.escaped_class = true;
    let mut failed = eval.clone();
    failed.status = EvalStatus::Failed;
    failed.status_description =
        format!("maximum attempts reached ({})", attempts_max(job.spec.kind));
    failed.blocked = Some(next.id);
    failed.modify_time = inputs.now;
    (failed, next)
}

/// Whether the evaluation already is one that waited for capacity.
fn is_blocked(eval: &Evaluation) -> bool {
    eval.status == EvalStatus::Blocked
        || matches!(
            eval.trigger,
            EvalTrigger::QueuedAllocs | EvalTrigger::MaxPlanAttempts
        )
}

fn note_unplaced(eval: &mut Evaluation, job: Option<&Job>, placed: &Placed) {
    let groups = job.filter(|j| !j.stop).map(|j| &j.spec.groups);
    let names = groups.into_iter().flatten().map(|g| g.name.clone());
    let unplaced = &placed.report.unplaced;
    eval.queued = names
        .map(|n| {
            let count = unplaced.get(&n).map_or(0, |u| u.count);
            (n, count)
        })
        .collect();
    eval.failed_groups = unplaced
        .iter()
        .map(|(n, u)| (n.clone(), u.metric.clone()))
        .collect();
}

/// Makes `eval` wait for capacity for what was not placed.
fn block(eval: &mut Evaluation, job: &Arc<Job>, placed: &Placed) {
    eval.status = EvalStatus::Blocked;
    eval.status_description = "created to place remaining allocations".to_string();
    eval.job_modify_index = job.job_modify_index;
    eval.class_eligibility = placed.classes.clone();
    eval.escaped_class = placed.escaped;
}

fn blocked_after(
    eval: &Evaluation,
    job: &Arc<Job>,
    placed: &Placed,
    ids: &mut Ids,
    now: Timestamp,
) -> Evaluation {
    let mut next = Evaluation::pending(ids.eval(), job, EvalTrigger::QueuedAllocs, now);
    next.priority = eval.priority;
    next.previous = Some(eval.id);
    next.failed_groups = eval.failed_groups.clone();
    next.queued = eval.queued.clone();
    next.snapshot_index = eval.snapshot_index;
    block(&mut next, job, placed);
    next
}
