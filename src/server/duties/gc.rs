//! Removes evaluations, allocations, deployments, jobs and nodes that nobody needs any more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::duty;
use crate::env::TaskGroup;
use crate::model::{
    AllocDesiredStatus, AllocId, Allocation, ClusterView, EvalId, Evaluation, JobStatus, JobType,
    NodeStatus, Timestamp,
};
use crate::server::Ctx;
use crate::server::replicated::ProposeError;
use crate::state::{Change, Garbage, Snapshot};

const INTERVAL: Duration = Duration::from_secs(300);
/// How many rows one command removes at most.
const BATCH_MAX: usize = 1000;

/// How old each kind must be.
#[derive(Clone, Copy)]
pub(in crate::server) struct Ages {
    eval: Duration,
    batch_eval: Duration,
    deployment: Duration,
    job: Duration,
    node: Duration,
}

impl Ages {
    /// What the timer uses.
    const USUAL: Self = Self {
        eval: Duration::from_secs(3600),
        batch_eval: Duration::from_secs(24 * 3600),
        deployment: Duration::from_secs(3600),
        job: Duration::from_secs(4 * 3600),
        node: Duration::from_secs(24 * 3600),
    };
    /// What an operator's `system gc` uses.
    pub const NONE: Self = Self {
        eval: Duration::ZERO,
        batch_eval: Duration::ZERO,
        deployment: Duration::ZERO,
        job: Duration::ZERO,
        node: Duration::ZERO,
    };
}

pub(super) fn start(ctx: &Arc<Ctx>, term: &TaskGroup) {
    let own = ctx.clone();
    duty(ctx, term, "gc", async move {
        loop {
            own.env.clock.sleep(INTERVAL).await;
            if let Err(error) = collect(&own, Ages::USUAL).await {
                tracing::warn!(target: "server", %error, "garbage was not collected");
            }
        }
    });
}

/// Removes everything of those ages; returns the index of the last removal, or of the state.
pub(in crate::server) async fn collect(ctx: &Ctx, ages: Ages) -> Result<u64, ProposeError> {
    let view = ctx.snapshot();
    let mut index = view.index();
    for garbage in split(find(&view, ages, ctx.now())) {
        index = ctx.propose(Change::Collect(garbage)).await?.index;
    }
    Ok(index)
}

/// What can go.
fn find(view: &Snapshot, ages: Ages, now: Timestamp) -> Garbage {
    let old = |time: Timestamp, age: Duration| now.since(time) >= age;
    let mut garbage = Garbage::default();
    let mut going: BTreeSet<AllocId> = BTreeSet::new();
    let mut evals: BTreeSet<EvalId> = BTreeSet::new();
    for (key, row) in view.job_rows() {
        let Some(job) = row.versions.first() else {
            continue;
        };
        let may_go = job.status == JobStatus::Dead && (job.stop || job.spec.kind == JobType::Batch);
        let (its_evals, its_allocs) = (view.evals_of_job(key), view.allocs_of_job(key));
        let last_change = its_evals.iter().map(|e| e.modify_time);
        let last_change = last_change.chain(its_allocs.iter().map(|a| a.modify_time));
        let last_change = last_change
            .max()
            .unwrap_or(job.submit_time)
            .max(job.submit_time);
        if may_go
            && old(last_change, ages.job)
            && its_evals.iter().all(|e| e.status.is_terminal())
            && its_allocs.iter().all(|a| a.is_client_terminal())
        {
            garbage.jobs.push(key.clone());
            evals.extend(its_evals.iter().map(|e| e.id));
            going.extend(its_allocs.iter().map(|a| a.id));
            let deployments = view.deployments_of_job(key);
            garbage.deployments.extend(deployments.iter().map(|d| d.id));
        }
    }
    for eval in view
        .evals()
        .filter(|e| !evals.contains(&e.id))
        .cloned()
        .collect::<Vec<_>>()
    {
        let age = match eval.kind {
            JobType::Service => ages.eval,
            JobType::Batch => ages.batch_eval,
        };
        let allocs = view.allocs_of_eval(eval.id);
        let done = eval_may_go(view, &eval)
            && old(eval.modify_time, age)
            && allocs
                .iter()
                .all(|a| alloc_may_go(view, a) && old(a.modify_time, age));
        if done {
            evals.insert(eval.id);
            going.extend(allocs.iter().map(|a| a.id));
        }
    }
    garbage.evals = evals.into_iter().collect();
    for deployment in view.deployments().filter(|d| !d.status.is_active()) {
        let mut allocs = view.allocs_of_deployment(deployment.id).into_iter();
        let unused = allocs.all(|a| a.is_terminal() || going.contains(&a.id));
        if unused
            && old(deployment.modify_time, ages.deployment)
            && !garbage.deployments.contains(&deployment.id)
        {
            garbage.deployments.push(deployment.id);
        }
    }
    for node in view.nodes() {
        let unused = view
            .allocs_of_node(node.id)
            .iter()
            .all(|a| going.contains(&a.id));
        if node.status == NodeStatus::Down && unused && old(node.status_updated_at, ages.node) {
            garbage.nodes.push(node.id);
        }
    }
    garbage.allocs = going.into_iter().collect();
    garbage
}

/// A batch job's evaluations stay with the job: its ended allocations say that the work is done.
fn eval_may_go(view: &Snapshot, eval: &Evaluation) -> bool {
    let job = view.job(&eval.job_key());
    let kept = eval.kind == JobType::Batch
        && job.is_some_and(|job| !job.stop)
        && !view.allocs_of_eval(eval.id).is_empty();
    eval.status.is_terminal() && !kept
}

/// Whether an ended allocation says nothing that is still needed.
fn alloc_may_go(view: &Snapshot, alloc: &Allocation) -> bool {
    if !alloc.is_client_terminal() {
        return false;
    }
    let gone = view
        .job(&alloc.job_key())
        .is_none_or(|j| j.stop || j.status == JobStatus::Dead);
    let failed = alloc.client_status == crate::model::AllocClientStatus::Failed;
    let policy = alloc.task_group().map(|g| g.reschedule);
    let rescheduled = policy.is_some_and(|p| p.unlimited || p.attempts > 0);
    gone || alloc.desired != AllocDesiredStatus::Run
        || !failed
        || alloc.next.is_some()
        || !rescheduled
}

/// Cuts garbage into commands of a bounded size. Allocations go before what they belong to.
fn split(garbage: Garbage) -> Vec<Garbage> {
    let mut parts = Vec::new();
    for allocs in garbage.allocs.chunks(BATCH_MAX) {
        parts.push(Garbage {
            allocs: allocs.to_vec(),
            ..Garbage::default()
        });
    }
    for evals in garbage.evals.chunks(BATCH_MAX) {
        parts.push(Garbage {
            evals: evals.to_vec(),
            ..Garbage::default()
        });
    }
    for deployments in garbage.deployments.chunks(BATCH_MAX) {
        parts.push(Garbage {
            deployments: deployments.to_vec(),
            ..Garbage::default()
        });
    }
    let rest = Garbage {
        jobs: garbage.jobs,
        nodes: garbage.nodes,
        ..Garbage::default()
    };
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts
}
