//! Jobs: lists and everything that is read of one.

use std::sync::Arc;

use axum::http::Method;
use axum::response::Response;

use crate::http::context::{Ctx, body};
use crate::http::dto::convert;
use crate::http::dto::diff::JobDiff;
use crate::http::dto::job::job as job_json;
use crate::http::dto::jobs::JobVersionsResponse;
use crate::http::error::HttpError;
use crate::http::page::{Key, Listing};
use crate::http::respond::Meta;
use crate::model::why::Subject;
use crate::model::{Job, JobKey, diff};
use crate::rpc::Read;

use super::{id_of, job_write, jobspec, why};

/// What may follow a job's id; longer ones first.
const SUFFIXES: [&str; 20] = [
    "dispatch/payload",
    "periodic/force",
    "allocations",
    "evaluations",
    "deployments",
    "deployment",
    "submission",
    "versions",
    "evaluate",
    "dispatch",
    "services",
    "summary",
    "actions",
    "action",
    "revert",
    "stable",
    "scale",
    "plan",
    "tag",
    "why",
];

/// `/v1/jobs` and below.
pub(super) async fn jobs(ctx: &Ctx, tail: Option<&str>) -> Result<Response, HttpError> {
    match tail {
        None if ctx.is_put() => job_write::register(ctx, None).await,
        None => {
            ctx.get()?;
            list(ctx).await
        }
        Some("parse") => jobspec::parse(ctx).await,
        Some("statuses") => Err(HttpError::unavailable("/v1/jobs/statuses")),
        Some(_) => Err(HttpError::no_such_path()),
    }
}

/// `/v1/job/<id>` and below.
pub(super) async fn job(ctx: &Ctx, tail: &str) -> Result<Response, HttpError> {
    let (id, suffix) = split(tail);
    let key = JobKey::new(ctx.namespace(), id_of(id));
    match suffix {
        None => one(ctx, key).await,
        Some("plan") => job_write::plan(ctx, key).await,
        Some("evaluate") => job_write::evaluate(ctx, key).await,
        Some("revert") => job_write::revert(ctx, key).await,
        Some("stable") => job_write::stable(ctx, key).await,
        Some("scale") if ctx.is_put() => job_write::scale(ctx, key).await,
        Some("dispatch" | "dispatch/payload" | "periodic/force") => {
            ctx.put()?;
            Err(HttpError::unavailable(
                "a job type with children (periodic, parameterized)",
            ))
        }
        Some("why") => why::explain(ctx, Subject::Job(key), "job not found").await,
        Some("action") => Err(HttpError::unavailable("running a job's action")),
        Some("tag") => Err(HttpError::unavailable("tagging a job's version")),
        Some(suffix) => {
            ctx.get()?;
            part(ctx, key, suffix).await
        }
    }
}

/// The id and what follows it.
fn split(tail: &str) -> (&str, Option<&'static str>) {
    for suffix in SUFFIXES {
        if let Some(id) = tail.strip_suffix(suffix).and_then(|t| t.strip_suffix('/'))
            && !id.is_empty()
        {
            return (id, Some(suffix));
        }
    }
    (tail, None)
}

async fn one(ctx: &Ctx, key: JobKey) -> Result<Response, HttpError> {
    if ctx.is_put() {
        return job_write::register(ctx, Some(key)).await;
    }
    if ctx.method == Method::DELETE {
        return job_write::deregister(ctx, key).await;
    }
    ctx.get()?;
    let answer = ctx.read(Read::Job(key)).await?;
    let meta = Meta::of(&answer);
    match body!(answer, Job) {
        Some(job) => ctx.json(&job_json(&job), meta),
        None => Err(HttpError::missing("job not found", meta)),
    }
}

async fn list(ctx: &Ctx) -> Result<Response, HttpError> {
    let listing = Listing::of(&ctx.params)?;
    let with_meta = ctx.params.flag("meta", false)?;
    let answer = ctx
        .read(Read::Jobs {
            namespace: ctx.namespaces(),
        })
        .await?;
    let meta = Meta::of(&answer);
    let prefix = ctx.params.text("prefix");
    let jobs = body!(answer, Jobs);
    let page = listing.page(
        jobs.iter()
            .filter(|(job, _)| job.spec.id.as_str().starts_with(prefix)),
        |(job, _)| Key::Name(job.spec.namespace.to_string(), job.spec.id.to_string()),
        &[],
        |(job, _)| job_json(job),
    )?;
    let stubs: Vec<_> = page
        .items
        .iter()
        .map(|(job, summary)| convert::job_stub(job, summary, with_meta))
        .collect();
    ctx.json(&stubs, meta.next(page.next_token))
}

/// What is read below a job.
async fn part(ctx: &Ctx, key: JobKey, suffix: &str) -> Result<Response, HttpError> {
    match suffix {
        "allocations" => {
            let answer = ctx.read(Read::JobAllocs(key)).await?;
            let meta = Meta::of(&answer);
            super::alloc::stubs(ctx, &body!(answer, Allocs), meta)
        }
        "evaluations" => {
            let answer = ctx.read(Read::JobEvals(key)).await?;
            let meta = Meta::of(&answer);
            let evals: Vec<_> = body!(answer, Evals)
                .iter()
                .map(|e| convert::eval(e))
                .collect();
            ctx.json(&evals, meta)
        }
        "deployments" | "deployment" => deployments(ctx, key, suffix == "deployment").await,
        "summary" => {
            let answer = ctx.read(Read::JobSummary(key.clone())).await?;
            let meta = Meta::of(&answer);
            match body!(answer, Summary) {
                Some(summary) => ctx.json(&convert::job_summary(&key, &summary), meta),
                None => Err(HttpError::missing("job not found", meta)),
            }
        }
        "versions" => versions(ctx, key).await,
        "submission" => submission(ctx, key).await,
        "services" => services(ctx, key).await,
        "scale" => scale_status(ctx, key).await,
        "actions" => actions(ctx, key).await,
        _ => Err(HttpError::no_such_path()),
    }
}

async fn deployments(ctx: &Ctx, key: JobKey, latest: bool) -> Result<Response, HttpError> {
    let answer = ctx.read(Read::JobDeployments(key)).await?;
    let meta = Meta::of(&answer);
    let deployments = body!(answer, Deployments);
    if latest {
        let newest = deployments.iter().max_by_key(|d| d.create_index);
        return ctx.json(&newest.map(|d| convert::deployment(d)), meta);
    }
    let shown: Vec<_> = deployments.iter().map(|d| convert::deployment(d)).collect();
    ctx.json(&shown, meta)
}

async fn versions(ctx: &Ctx, key: JobKey) -> Result<Response, HttpError> {
    let as_500 = |mut error: HttpError| {
        error.status = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
        error
    };
    let diffs = ctx.params.flag("diffs", false).map_err(as_500)?;
    let base = ctx.params.number("diff_version").map_err(as_500)?;
    if !ctx.params.text("diff_tag").is_empty() {
        return Err(HttpError::unavailable("comparing with a tagged version"));
    }
    let answer = ctx.read(Read::JobVersions(key)).await?;
    let meta = Meta::of(&answer);
    let (known_leader, last_contact) = (answer.known_leader, answer.last_contact);
    let versions = body!(answer, JobVersions);
    if versions.is_empty() {
        return Err(HttpError::missing("job versions not found", meta));
    }
    let diffs = if diffs {
        compared(&versions, base)?
    } else {
        Vec::new()
    };
    let response = JobVersionsResponse {
        diffs,
        index: meta.index,
        known_leader,
        last_contact: i64::try_from(last_contact.as_nanos()).unwrap_or(i64::MAX),
        next_token: String::new(),
        versions: versions.iter().map(|j| job_json(j)).collect(),
    };
    ctx.json(&response, meta)
}

/// Each version against `base`, or against the one before it.
fn compared(versions: &[Arc<Job>], base: Option<i64>) -> Result<Vec<JobDiff>, HttpError> {
    let diff =
        |older: &Job, newer: &Job| convert::job_diff(&diff::between(Some(older), Some(newer)));
    let Some(base) = base else {
        return Ok(versions
            .windows(2)
            .map(|pair| diff(&pair[1], &pair[0]))
            .collect());
    };
    let base = versions
        .iter()
        .find(|job| i64::try_from(job.version) == Ok(base))
        .ok_or_else(|| HttpError::failed(format!("version {base} of the job is not kept")))?;
    Ok(versions
        .iter()
        .filter(|job| job.version != base.version)
        .map(|job| diff(base, job))
        .collect())
}

async fn submission(ctx: &Ctx, key: JobKey) -> Result<Response, HttpError> {
    let version: u64 =
        ctx.params.text("version").parse().map_err(|_| {
            HttpError::bad_request("Unable to parse job submission version parameter")
        })?;
    let answer = ctx
        .read(Read::JobSubmission {
            key: key.clone(),
            version,
        })
        .await?;
    let meta = Meta::of(&answer);
    let Some(submission) = body!(answer, Submission) else {
        return Err(HttpError::missing("job source not found", meta));
    };
    let answer = ctx.read_now(Read::JobVersions(key)).await?;
    let versions = body!(answer, JobVersions);
    match versions.iter().find(|j| j.version == version) {
        Some(job) => ctx.json(&convert::submission(job, &submission), meta),
        None => Err(HttpError::missing("job source not found", meta)),
    }
}

async fn services(ctx: &Ctx, key: JobKey) -> Result<Response, HttpError> {
    let answer = ctx.read(Read::JobServices(key.clone())).await?;
    let meta = Meta::of(&answer);
    let services = body!(answer, Services);
    if services.is_empty() {
        let answer = ctx.read_now(Read::Job(key)).await?;
        if body!(answer, Job).is_none() {
            return Err(HttpError::missing("job not found", meta));
        }
    }
    let shown: Vec<_> = services.iter().map(convert::service).collect();
    ctx.json(&shown, meta)
}

async fn scale_status(ctx: &Ctx, key: JobKey) -> Result<Response, HttpError> {
    let answer = ctx.read(Read::JobAllocs(key.clone())).await?;
    let meta = Meta::of(&answer);
    let allocs = body!(answer, Allocs);
    let answer = ctx.read_now(Read::Job(key)).await?;
    match body!(answer, Job) {
        Some(job) => ctx.json(&convert::scale_status(&job, &allocs), meta),
        None => Err(HttpError::missing("job not found", meta)),
    }
}

/// A job's actions; no job of ours can have one.
async fn actions(ctx: &Ctx, key: JobKey) -> Result<Response, HttpError> {
    let answer = ctx.read(Read::Job(key.clone())).await?;
    let meta = Meta::of(&answer);
    match body!(answer, Job) {
        Some(_) => ctx.json(&Vec::<()>::new(), meta),
        None => Err(HttpError::failed(format!("Unknown job \"{}\"", key.id))),
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn the_suffix_is_found_behind_any_id() {
        let check = |tail, expected: (&str, Option<&str>)| assert_eq!(split(tail), expected);
        check("web", ("web", None));
        check("web/plan", ("web", Some("plan")));
        check("a/b/plan", ("a/b", Some("plan")));
        check("a%2Fb/allocations", ("a%2Fb", Some("allocations")));
        check("a%2Fplan", ("a%2Fplan", None));
        check("deployment/deployment", ("deployment", Some("deployment")));
        check("plan", ("plan", None));
        check("x/dispatch/payload", ("x", Some("dispatch/payload")));
    }
}
