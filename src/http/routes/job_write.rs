//! Jobs: registering, planning, stopping and the other writes.

use std::collections::BTreeSet;

use axum::response::Response;

use crate::http::context::{Ctx, unexpected_reply};
use crate::http::dto::client::IndexOnly;
use crate::http::dto::convert;
use crate::http::dto::jobs::*;
use crate::http::error::HttpError;
use crate::http::respond::Meta;
use crate::model::JobKey;
use crate::model::draft::JobDraft;
use crate::model::job::JobSubmission as Submission;
use crate::rpc::api::Registration;
use crate::rpc::{Op, Reply};

use super::jobspec;

/// A larger job file is not kept beside its job.
const SOURCE_MAX: usize = 1_000_000;

/// `PUT /v1/jobs`, `PUT /v1/job/<id>`
pub(super) async fn register(ctx: &Ctx, path: Option<JobKey>) -> Result<Response, HttpError> {
    let request: JobRegisterRequest = ctx.decode()?;
    let draft = request
        .job
        .ok_or_else(|| HttpError::bad_request("Job must be specified"))?;
    let id = draft.id.as_deref().unwrap_or_default();
    if id.is_empty() {
        return Err(HttpError::bad_request("Job ID hasn't been provided"));
    }
    if path.is_some_and(|key| key.id.as_str() != id) {
        return Err(HttpError::bad_request("Job ID does not match name"));
    }
    let draft = placed(ctx, draft, &request.namespace, &request.region)?;
    let (job, mut warnings) = jobspec::canonical(ctx, draft)?;
    let submission = request.submission.and_then(|s| kept(s, &mut warnings));
    let registration = Registration {
        job,
        enforce_index: request.enforce_index.then_some(request.job_modify_index),
        submission,
        preserve_counts: request.preserve_counts,
        eval_priority: priority(request.eval_priority)?,
        warnings,
    };
    let reply = ctx.call(Op::RegisterJob(Box::new(registration))).await?;
    registered(ctx, reply)
}

/// Gives a job the namespace and region that the request, its body or the job itself name.
fn placed(
    ctx: &Ctx,
    mut draft: JobDraft,
    namespace: &str,
    region: &str,
) -> Result<JobDraft, HttpError> {
    let asked = ctx.params.text("namespace");
    for name in [asked, namespace] {
        if !name.is_empty() {
            draft.namespace = Some(name.to_string());
            break;
        }
    }
    let own = ctx.app.local.info().region;
    let wanted = match draft.region.as_deref() {
        None | Some("") => region,
        Some(region) => region,
    };
    if !matches!(wanted, "" | "global") && wanted != own {
        return Err(HttpError::failed("No path to region"));
    }
    draft.region = Some(own);
    Ok(draft)
}

/// The job file to keep, unless it is too large.
fn kept(submission: JobSubmission, warnings: &mut Vec<String>) -> Option<Submission> {
    if submission.source.len() > SOURCE_MAX {
        warnings.push(format!(
            "the job file is larger than {SOURCE_MAX} bytes and is not kept beside the job"
        ));
        return None;
    }
    Some(Submission {
        source: submission.source,
        format: submission.format,
        variable_flags: submission.variable_flags,
        variables: submission.variables,
    })
}

fn priority(asked: i64) -> Result<u8, HttpError> {
    u8::try_from(asked)
        .ok()
        .filter(|p| *p <= 100)
        .ok_or_else(|| HttpError::bad_request("the evaluation's priority must be in [0, 100]"))
}

fn registered(ctx: &Ctx, reply: Reply) -> Result<Response, HttpError> {
    let Reply::Registered {
        index,
        eval,
        job_modify_index,
        mut warnings,
    } = reply
    else {
        return Err(unexpected_reply(&reply));
    };
    // The leader checks the job once more and may warn about the same.
    let mut seen = BTreeSet::new();
    warnings.retain(|warning| seen.insert(warning.clone()));
    let response = JobRegisterResponse {
        eval_create_index: eval.map(|(_, index)| index).unwrap_or_default(),
        eval_id: eval.map(|(id, _)| id.to_string()).unwrap_or_default(),
        index,
        job_modify_index,
        warnings: convert::warnings(&warnings),
        ..JobRegisterResponse::default()
    };
    ctx.json(&response, Meta::written(index))
}

/// `PUT /v1/job/<id>/plan`
pub(super) async fn plan(ctx: &Ctx, key: JobKey) -> Result<Response, HttpError> {
    ctx.put()?;
    let request: JobPlanRequest = ctx.decode()?;
    let draft = request
        .job
        .ok_or_else(|| HttpError::bad_request("Job must be specified"))?;
    let id = draft.id.as_deref().unwrap_or_default();
    if id.is_empty() {
        return Err(HttpError::bad_request("Job must have a valid ID"));
    }
    if id != key.id.as_str() {
        return Err(HttpError::bad_request("Job ID does not match"));
    }
    let draft = placed(ctx, draft, "", "")?;
    let (job, warnings) = jobspec::canonical(ctx, draft)?;
    let reply = ctx
        .call(Op::PlanJob {
            job: Box::new(job),
            diff: request.diff,
        })
        .await?;
    let Reply::Planned(mut plan) = reply else {
        return Err(unexpected_reply(&reply));
    };
    for warning in warnings {
        if !plan.warnings.contains(&warning) {
            plan.warnings.push(warning);
        }
    }
    let meta = Meta::written(plan.index);
    ctx.json(&convert::planned(&plan), meta)
}

/// `DELETE /v1/job/<id>`; an unknown job is no error.
pub(super) async fn deregister(ctx: &Ctx, key: JobKey) -> Result<Response, HttpError> {
    let params = || -> Result<_, HttpError> {
        ctx.params.flag("global", false)?;
        Ok((
            ctx.params.flag("purge", false)?,
            ctx.params.flag("no_shutdown_delay", false)?,
            ctx.params.number("eval_priority")?.unwrap_or_default(),
        ))
    };
    let (purge, no_shutdown_delay, eval_priority) =
        params().map_err(|e| HttpError::failed(e.text))?;
    let reply = ctx
        .call(Op::DeregisterJob {
            key,
            purge,
            no_shutdown_delay,
            eval_priority: priority(eval_priority)?,
        })
        .await;
    let response = match reply {
        Ok(Reply::Registered {
            index,
            eval,
            job_modify_index,
            ..
        }) => JobDeregisterResponse {
            eval_create_index: eval.map(|(_, index)| index).unwrap_or_default(),
            eval_id: eval.map(|(id, _)| id.to_string()).unwrap_or_default(),
            index,
            job_modify_index,
            ..JobDeregisterResponse::default()
        },
        Ok(other) => return Err(unexpected_reply(&other)),
        Err(error) if error.status == axum::http::StatusCode::NOT_FOUND => {
            JobDeregisterResponse::default()
        }
        Err(error) => return Err(error),
    };
    ctx.json(&response, Meta::written(response.index))
}

/// `PUT /v1/job/<id>/evaluate`
pub(super) async fn evaluate(ctx: &Ctx, key: JobKey) -> Result<Response, HttpError> {
    ctx.put()?;
    let request: JobEvaluateRequest = ctx.decode_or_default()?;
    if !request.job_id.is_empty() && request.job_id != key.id.as_str() {
        return Err(HttpError::bad_request("JobID not same as job name"));
    }
    let reply = ctx
        .call(Op::EvaluateJob {
            key,
            force_reschedule: request.eval_options.force_reschedule,
        })
        .await
        .map_err(HttpError::missing_is_500)?;
    registered(ctx, reply)
}

/// `PUT /v1/job/<id>/revert`
pub(super) async fn revert(ctx: &Ctx, key: JobKey) -> Result<Response, HttpError> {
    ctx.put()?;
    let request: JobRevertRequest = ctx.decode()?;
    same_job(&request.job_id, &key)?;
    let reply = ctx
        .call(Op::RevertJob {
            key,
            version: request.job_version,
            enforce_version: request.enforce_prior_version,
        })
        .await
        .map_err(HttpError::missing_is_500)?;
    registered(ctx, reply)
}

/// `PUT /v1/job/<id>/stable`
pub(super) async fn stable(ctx: &Ctx, key: JobKey) -> Result<Response, HttpError> {
    ctx.put()?;
    let request: JobStabilityRequest = ctx.decode()?;
    same_job(&request.job_id, &key)?;
    let reply = ctx
        .call(Op::StableJob {
            key,
            version: request.job_version,
            stable: request.stable,
        })
        .await
        .map_err(HttpError::missing_is_500)?;
    let Reply::Done { index } = reply else {
        return Err(unexpected_reply(&reply));
    };
    ctx.json(&IndexOnly { index }, Meta::written(index))
}

fn same_job(body: &str, key: &JobKey) -> Result<(), HttpError> {
    if body.is_empty() {
        Err(HttpError::bad_request("JobID must be specified"))
    } else if body != key.id.as_str() {
        Err(HttpError::bad_request("Job ID does not match"))
    } else {
        Ok(())
    }
}

/// `PUT /v1/job/<id>/scale`
pub(super) async fn scale(ctx: &Ctx, key: JobKey) -> Result<Response, HttpError> {
    let request: JobScaleRequest = ctx.decode()?;
    let refuse = |text: &str| Err(HttpError::bad_request(text));
    if let Some(job) = request.target.get("Job")
        && job != key.id.as_str()
    {
        return refuse("job ID in payload did not match URL");
    }
    let group = request.target.get("Group").cloned().unwrap_or_default();
    if group.is_empty() {
        return refuse("missing task group name for scaling action");
    }
    if request.error && request.count.is_some() {
        return refuse("scaling action should not contain count if error is true");
    }
    let Some(count) = request.count else {
        return Err(HttpError::unavailable(
            "recording a scaling event without a count",
        ));
    };
    let Ok(count) = u32::try_from(count) else {
        return refuse("scaling action count can't be negative");
    };
    let scale = Op::ScaleJob {
        key,
        group,
        count,
        enforce_index: Some(request.job_modify_index).filter(|index| *index > 0),
    };
    let reply = ctx.call(scale).await?;
    registered(ctx, reply)
}
