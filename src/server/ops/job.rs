//! Jobs: registered, stopped, evaluated, reverted, scaled.

use super::{Caller, prioritized, stored_eval};
use crate::model::job::JobSpec;
use crate::model::validate::validate;
use crate::model::{ClusterView, DesiredTransition, EvalTrigger, Evaluation, Job, JobKey, JobType};
use crate::rpc::api::{ApiError, Registration, Reply};
use crate::state::{Applied, Change, Outcome, Snapshot};

/// The longest source that is kept with a job.
const SOURCE_MAX: usize = 1_000_000;

pub(super) async fn register(call: &Caller<'_>, reg: Registration) -> Result<Reply, ApiError> {
    let ctx = call.ctx;
    let view = ctx.snapshot();
    if view.scheduler_config().reject_job_registration {
        return Err(ApiError::Refused(
            "job registration disabled by scheduler configuration".into(),
        ));
    }
    let mut spec = reg.job;
    let mut warnings = reg.warnings;
    for warning in check(&view, &spec)? {
        // The route that made the spec may have said so already.
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    if reg.preserve_counts {
        keep_counts(&view, &mut spec);
    }
    let submission = reg.submission.filter(|s| {
        let fits = s.source.len() <= SOURCE_MAX;
        if !fits {
            let limit = SOURCE_MAX;
            warnings.push(format!(
                "job source is larger than {limit} bytes and was not kept"
            ));
        }
        fits
    });
    let job = Job::new(spec, ctx.now());
    let eval = Evaluation::pending(ctx.eval_id(), &job, EvalTrigger::JobRegister, ctx.now());
    let change = Change::RegisterJob {
        eval: Some(Box::new(prioritized(eval, reg.eval_priority))),
        job: Box::new(job),
        submission,
        enforce_index: reg.enforce_index,
    };
    let applied = call.propose(change).await?;
    Ok(registered(&applied, warnings))
}

/// Checks a job as it is to be stored; returns what there is to warn about.
pub(super) fn check(view: &Snapshot, spec: &JobSpec) -> Result<Vec<String>, ApiError> {
    let problems = validate(spec);
    if let Some(error) = problems.error() {
        return Err(ApiError::Refused(error));
    }
    if spec.namespace.as_str() != "default" {
        return Err(ApiError::Refused(one_error(&format!(
            "job {:?} is in nonexistent namespace {:?}",
            spec.id.as_str(),
            spec.namespace.as_str()
        ))));
    }
    if view.pool(&spec.node_pool).is_none() {
        return Err(ApiError::Refused(one_error(&format!(
            "job {:?} is in nonexistent node pool {:?}",
            spec.id.as_str(),
            spec.node_pool
        ))));
    }
    let known = view.job(&key_of(spec)).filter(|j| !j.stop);
    if let Some(known) = known
        && known.spec.kind != spec.kind
    {
        return Err(ApiError::Refused(format!(
            "cannot update job from type {:?} to {:?}",
            known.spec.kind.as_str(),
            spec.kind.as_str()
        )));
    }
    Ok(problems.warnings)
}

/// How Nomad's clients expect a list of one error.
fn one_error(text: &str) -> String {
    format!("1 error occurred:\n\t* {text}\n\n")
}

pub(super) fn key_of(spec: &JobSpec) -> JobKey {
    JobKey {
        namespace: spec.namespace.clone(),
        id: spec.id.clone(),
    }
}

/// Takes the counts of the registered version over, group by group.
fn keep_counts(view: &Snapshot, spec: &mut JobSpec) {
    let Some(known) = view.job(&key_of(spec)) else {
        return;
    };
    for group in &mut spec.groups {
        if let Some(known) = known.group(&group.name) {
            group.count = known.count;
        }
    }
}

fn registered(applied: &Applied, warnings: Vec<String>) -> Reply {
    let job_modify_index = match applied.outcome {
        Outcome::Registered {
            job_modify_index, ..
        } => job_modify_index,
        Outcome::Done { .. } | Outcome::Planned(_) | Outcome::Refused(_) => applied.index,
    };
    Reply::Registered {
        index: applied.index,
        eval: stored_eval(applied),
        job_modify_index,
        warnings,
    }
}

pub(super) async fn deregister(
    call: &Caller<'_>,
    key: JobKey,
    purge: bool,
    no_shutdown_delay: bool,
    eval_priority: u8,
) -> Result<Reply, ApiError> {
    let ctx = call.ctx;
    let Some(job) = ctx.snapshot().job(&key) else {
        return deregister_unknown(call, key, purge).await;
    };
    let eval = Evaluation::pending(ctx.eval_id(), &job, EvalTrigger::JobDeregister, ctx.now());
    let change = Change::DeregisterJob {
        key,
        purge,
        no_shutdown_delay,
        eval: Some(Box::new(prioritized(eval, eval_priority))),
    };
    Ok(registered(&call.propose(change).await?, Vec::new()))
}

/// There is nothing to stop, unless this call repeats one that already purged the job: the
/// state knows, and answers as it did then.
async fn deregister_unknown(
    call: &Caller<'_>,
    key: JobKey,
    purge: bool,
) -> Result<Reply, ApiError> {
    let change = Change::DeregisterJob {
        key,
        purge,
        no_shutdown_delay: false,
        eval: None,
    };
    match call.propose(change).await {
        Ok(applied) => Ok(registered(&applied, Vec::new())),
        Err(ApiError::Refused(_)) => Ok(Reply::Registered {
            index: 0,
            eval: None,
            job_modify_index: 0,
            warnings: Vec::new(),
        }),
        Err(error) => Err(error),
    }
}

pub(super) async fn evaluate(
    call: &Caller<'_>,
    key: JobKey,
    force_reschedule: bool,
) -> Result<Reply, ApiError> {
    let ctx = call.ctx;
    let view = ctx.snapshot();
    let job = view.job(&key);
    let job = job.ok_or_else(|| ApiError::Refused("job not found".to_string()))?;
    let eval = Evaluation::pending(ctx.eval_id(), &job, EvalTrigger::JobRegister, ctx.now());
    let failed = view.allocs_of_job(&key).into_iter().filter(|a| {
        let replaced = a.next.is_some() || a.is_server_terminal();
        a.client_status == crate::model::AllocClientStatus::Failed && !replaced
    });
    let change = match force_reschedule {
        true => Change::Transition {
            allocs: failed.map(|a| a.id).collect(),
            transition: DesiredTransition {
                force_reschedule: Some(true),
                ..DesiredTransition::default()
            },
            evals: vec![eval],
        },
        false => Change::UpsertEvals(vec![eval]),
    };
    let applied = call.propose(change).await?;
    Ok(Reply::Registered {
        index: applied.index,
        eval: stored_eval(&applied),
        job_modify_index: job.job_modify_index,
        warnings: Vec::new(),
    })
}

pub(super) async fn revert(
    call: &Caller<'_>,
    key: JobKey,
    version: u64,
    enforce_version: Option<u64>,
) -> Result<Reply, ApiError> {
    let ctx = call.ctx;
    let view = ctx.snapshot();
    let refuse = |text: String| Err(ApiError::Refused(text));
    let Some(current) = view.job(&key) else {
        return refuse(format!("job {:?} not found", key.id.as_str()));
    };
    if let Some(wanted) = enforce_version
        && wanted != current.version
    {
        let found = current.version;
        return refuse(format!(
            "Current job has version {found}; enforcing version {wanted}"
        ));
    }
    if version == current.version {
        return refuse("can't revert to current version".to_string());
    }
    let Some(old) = view.job_version(&key, version) else {
        return refuse(missing_version(&key, version));
    };
    let job = Job::new(old.spec.clone(), ctx.now());
    let eval = Evaluation::pending(ctx.eval_id(), &job, EvalTrigger::JobRegister, ctx.now());
    let change = Change::RegisterJob {
        submission: view.submission(&key, version).map(|s| (*s).clone()),
        job: Box::new(job),
        eval: Some(Box::new(eval)),
        enforce_index: Some(current.job_modify_index),
    };
    Ok(registered(&call.propose(change).await?, Vec::new()))
}

fn missing_version(key: &JobKey, version: u64) -> String {
    format!(
        "job {:?} in namespace {:?} at version {version} not found",
        key.id.as_str(),
        key.namespace.as_str()
    )
}

pub(super) async fn stable(
    call: &Caller<'_>,
    key: JobKey,
    version: u64,
    stable: bool,
) -> Result<Reply, ApiError> {
    if call.ctx.snapshot().job_version(&key, version).is_none() {
        return Err(ApiError::Refused(missing_version(&key, version)));
    }
    let change = Change::JobStability {
        key,
        version,
        stable,
    };
    let applied = call.propose(change).await?;
    Ok(Reply::Done {
        index: applied.index,
    })
}

pub(super) async fn scale(
    call: &Caller<'_>,
    key: JobKey,
    group: &str,
    count: u32,
    enforce_index: Option<u64>,
) -> Result<Reply, ApiError> {
    let ctx = call.ctx;
    let view = ctx.snapshot();
    let Some(current) = view.job(&key) else {
        let text = format!("job {:?} not found", key.id.as_str());
        return Err(ApiError::NotFound(text));
    };
    let mut spec = current.spec.clone();
    let Some(scaled) = spec.groups.iter_mut().find(|g| g.name == group) else {
        return Err(ApiError::BadRequest(format!(
            "task group {group:?} specified for scaling does not exist in job"
        )));
    };
    scaled.count = count;
    if spec.kind == JobType::Service && current.stop {
        return Err(ApiError::BadRequest(
            "can't scale a stopped job".to_string(),
        ));
    }
    let rolling = view.latest_deployment(&key);
    if rolling.is_some_and(|d| d.status.is_active() && d.job_create_index == current.create_index) {
        return Err(ApiError::BadRequest(
            "job scaling blocked due to active deployment".to_string(),
        ));
    }
    check(&view, &spec)?;
    let job = Job::new(spec, ctx.now());
    let eval = Evaluation::pending(ctx.eval_id(), &job, EvalTrigger::JobScaling, ctx.now());
    let change = Change::RegisterJob {
        submission: None,
        job: Box::new(job),
        eval: Some(Box::new(eval)),
        enforce_index: enforce_index.or(Some(current.job_modify_index)),
    };
    Ok(registered(&call.propose(change).await?, Vec::new()))
}
