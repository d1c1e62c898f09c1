//! Dry runs: what a job would change, without changing it.

use std::sync::Arc;

use super::Caller;
use super::job::{check, key_of};
use crate::model::diff;
use crate::model::job::JobSpec;
use crate::model::view::SchedulerConfig;
use crate::model::{
    AllocId, Allocation, ClusterView, Deployment, EvalTrigger, Evaluation, Index, Job, JobKey,
    Node, NodeId, NodeUsage,
};
use crate::rpc::api::{ApiError, PlannedJob, Reply};
use crate::scheduler::{self, Inputs};
use crate::state::Snapshot;

/// The state as it would be with one job registered.
struct WithJob {
    base: Snapshot,
    job: Arc<Job>,
}

pub(super) async fn dry_run(
    call: &Caller<'_>,
    spec: JobSpec,
    wants_diff: bool,
) -> Result<Reply, ApiError> {
    let ctx = call.ctx;
    let base = ctx.snapshot();
    let warnings = check(&base, &spec)?;
    let known = base.job(&key_of(&spec));
    let job = Arc::new(as_registered(known.as_deref(), spec, &base, ctx.now()));
    let eval = Evaluation::pending(ctx.eval_id(), &job, EvalTrigger::JobRegister, ctx.now());
    let index = base.index();
    let view = WithJob {
        base,
        job: job.clone(),
    };
    let inputs = Inputs {
        now: ctx.now(),
        seed: ctx.env.entropy.uuid().as_u128(),
        attempt: 0,
    };
    let outcome = scheduler::schedule(&view, &eval, &inputs);
    let diff = wants_diff.then(|| {
        let mut diff = diff::between(known.as_deref(), Some(&job));
        diff::annotate(&mut diff, &outcome.annotations);
        diff
    });
    let mut created_evals = outcome.follow_ups;
    created_evals.extend(outcome.blocked);
    Ok(Reply::Planned(Box::new(PlannedJob {
        index,
        job_modify_index: known.map_or(0, |j| j.job_modify_index),
        diff,
        updates: outcome.annotations,
        failed_groups: outcome.eval.failed_groups,
        created_evals,
        warnings,
    })))
}

/// The job as registration would store it.
fn as_registered(
    known: Option<&Job>,
    spec: JobSpec,
    base: &Snapshot,
    now: crate::model::Timestamp,
) -> Job {
    let Some(known) = known else {
        let mut job = Job::new(spec, now);
        (job.create_index, job.modify_index) = (base.index() + 1, base.index() + 1);
        job.job_modify_index = base.index() + 1;
        return job;
    };
    if known.spec == spec && !known.stop {
        return known.clone();
    }
    let mut job = Job::new(spec, now);
    job.version = known.version + 1;
    job.create_index = known.create_index;
    job.modify_index = base.index() + 1;
    job.job_modify_index = base.index() + 1;
    job
}

impl ClusterView for WithJob {
    fn index(&self) -> Index {
        self.base.index()
    }

    fn node(&self, id: NodeId) -> Option<Arc<Node>> {
        self.base.node(id)
    }

    fn nodes(&self) -> Vec<Arc<Node>> {
        self.base.nodes()
    }

    fn job(&self, key: &JobKey) -> Option<Arc<Job>> {
        if *key == self.job.key() {
            return Some(self.job.clone());
        }
        self.base.job(key)
    }

    fn job_version(&self, key: &JobKey, version: u64) -> Option<Arc<Job>> {
        if *key == self.job.key() && version == self.job.version {
            return Some(self.job.clone());
        }
        self.base.job_version(key, version)
    }

    fn alloc(&self, id: AllocId) -> Option<Arc<Allocation>> {
        self.base.alloc(id)
    }

    fn allocs_of_job(&self, key: &JobKey) -> Vec<Arc<Allocation>> {
        self.base.allocs_of_job(key)
    }

    fn allocs_of_node(&self, id: NodeId) -> Vec<Arc<Allocation>> {
        self.base.allocs_of_node(id)
    }

    fn usage(&self, id: NodeId) -> NodeUsage {
        self.base.usage(id)
    }

    fn latest_deployment(&self, key: &JobKey) -> Option<Arc<Deployment>> {
        self.base.latest_deployment(key)
    }

    fn scheduler_config(&self) -> SchedulerConfig {
        self.base.scheduler_config()
    }
}
