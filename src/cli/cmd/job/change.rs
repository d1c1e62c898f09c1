//! `job eval`, `job revert` and `job promote`

use crate::cli::cmd;
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome, arguments};
use crate::cli::flags::Args;
use crate::cli::http_client::{Client, escape};
use crate::cli::{format, lookup, monitor};
use crate::http::dto::deployment::{
    Deployment, DeploymentPromoteRequest, DeploymentUpdateResponse,
};
use crate::http::dto::jobs::{
    EvalOptions, JobEvaluateRequest, JobListStub, JobRegisterResponse, JobRevertRequest,
    JobVersionsResponse,
};
use serde_json::Value;

/// Evaluates a job again.
pub fn eval(ctx: &mut Ctx, args: &Args) -> Outcome {
    let prefix = cmd::one(&args.rest, "This command takes one argument: <job>")?;
    let client = ctx.client(args)?;
    let job = lookup::job(ctx, &client, prefix)?;
    let request = JobEvaluateRequest {
        job_id: job.id.clone(),
        eval_options: EvalOptions {
            force_reschedule: args.on("force-reschedule"),
        },
    };
    let call = client.put_json(format!("/v1/job/{}/evaluate", escape(&job.id)), &request);
    let answer: JobRegisterResponse =
        (call.namespace(lookup::namespace_of(&job)).read()).attempt("Error evaluating job")?;
    if args.on("detach") {
        let id = format::id(&answer.eval_id, args.on("verbose"));
        ctx.say(format!("Created eval ID: \"{id}\" "));
        return Ok(OK);
    }
    monitor::evaluation(ctx, &client, &answer.eval_id, args.on("verbose"))
}

/// Prints the evaluation's id or watches it.
pub fn follow(ctx: &mut Ctx, args: &Args, client: &Client, eval: &str) -> Outcome {
    if eval.is_empty() {
        return Ok(OK);
    }
    if args.on("detach") {
        ctx.say(format!("Evaluation ID: {eval}"));
        return Ok(OK);
    }
    monitor::evaluation(ctx, client, eval, args.on("verbose"))
}

/// Returns to an earlier version.
pub fn revert(ctx: &mut Ctx, args: &Args) -> Outcome {
    let [prefix, version] = args.rest.as_slice() else {
        return Err(arguments(
            "This command takes two arguments: <job> <version|tag>",
        ));
    };
    let client = ctx.client(args)?;
    let job = lookup::job(ctx, &client, prefix)?;
    let request = JobRevertRequest {
        job_id: job.id.clone(),
        job_version: match version.parse() {
            Ok(number) => number,
            Err(_) => tagged(&client, &job, version)?,
        },
        enforce_prior_version: None,
    };
    let call = client.put_json(format!("/v1/job/{}/revert", escape(&job.id)), &request);
    let answer: JobRegisterResponse = (call.namespace(lookup::namespace_of(&job)).read())
        .attempt("Error retrieving job versions")?;
    follow(ctx, args, &client, &answer.eval_id)
}

fn tagged(client: &Client, job: &JobListStub, tag: &str) -> Result<u64, Failure> {
    let call = client.get(format!("/v1/job/{}/versions", escape(&job.id)));
    let versions: JobVersionsResponse = (call.namespace(lookup::namespace_of(job)).read())
        .attempt("Error retrieving job versions")?;
    let found = (versions.versions.iter())
        .find(|v| v.pointer("/VersionTag/Name").and_then(Value::as_str) == Some(tag))
        .and_then(|v| v.get("Version")?.as_u64());
    found.ok_or_else(|| {
        let id = &job.id;
        Failure::new(format!(
            "Error retrieving job versions: version tag {tag} not found for job {id}"
        ))
    })
}

/// Promotes the canaries of the newest deployment.
pub fn promote(ctx: &mut Ctx, args: &Args) -> Outcome {
    let prefix = cmd::one(&args.rest, "This command takes one argument: <job>")?;
    let client = ctx.client(args)?;
    let job = lookup::job(ctx, &client, prefix)?;
    let call = client.get(format!("/v1/job/{}/deployment", escape(&job.id)));
    let latest: Option<Deployment> = (call.namespace(lookup::namespace_of(&job)).read())
        .attempt("Error retrieving latest deployment for job")?;
    let Some(latest) = latest else {
        return Err(Failure::new(format!(
            "No deployment for job \"{}\" found",
            job.id
        )));
    };
    let what = format!(
        "Error promoting deployment \"{}\" for job \"{}\"",
        latest.id, job.id
    );
    let answer = send_promotion(&client, &latest.id, args.list("group")).attempt(&what)?;
    follow(ctx, args, &client, &answer.eval_id)
}

/// Asks for a promotion of all groups or of those named.
pub fn send_promotion(
    client: &Client,
    deployment: &str,
    groups: &[String],
) -> Result<DeploymentUpdateResponse, crate::cli::http_client::ApiError> {
    let request = DeploymentPromoteRequest {
        deployment_id: deployment.to_owned(),
        all: groups.is_empty(),
        groups: groups.to_vec(),
    };
    client
        .put_json(format!("/v1/deployment/promote/{deployment}"), &request)
        .read()
}
