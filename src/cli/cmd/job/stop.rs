//! `job stop` and `job start`

use serde_json::Value;

use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome, arguments};
use crate::cli::flags::Args;
use crate::cli::http_client::{Client, escape};
use crate::cli::{lookup, monitor};
use crate::http::dto::jobs::{
    JobDeregisterResponse, JobListStub, JobRegisterRequest, JobRegisterResponse,
};

/// Stops jobs, one after the other; the worst exit code counts.
pub fn stop(ctx: &mut Ctx, args: &Args) -> Outcome {
    if args.rest.is_empty() {
        return Err(arguments("This command takes at least one argument: <job>"));
    }
    let client = ctx.client(args)?;
    let mut worst = OK;
    for prefix in &args.rest {
        let job = lookup::job(ctx, &client, prefix)?;
        worst = worst.max(stop_one(ctx, args, &client, &job, prefix)?);
    }
    Ok(worst)
}

fn stop_one(
    ctx: &mut Ctx,
    args: &Args,
    client: &Client,
    job: &JobListStub,
    asked: &str,
) -> Outcome {
    if job.id != asked && !args.on("yes") {
        let question = format!("Are you sure you want to stop job \"{}\"?", job.id);
        if !ctx.confirm(&question)? {
            ctx.say("Cancelling job stop");
            return Ok(OK);
        }
    }
    let call = client
        .delete(format!("/v1/job/{}", escape(&job.id)))
        .namespace(lookup::namespace_of(job))
        .query("purge", args.on("purge"))
        .query("global", args.on("global"))
        .maybe("eval_priority", args.number::<i64>("eval-priority")?)
        .query("no_shutdown_delay", args.on("no-shutdown-delay"));
    let answer: JobDeregisterResponse = call.read().attempt("Error deregistering job")?;
    follow(ctx, args, client, &answer.eval_id)
}

fn follow(ctx: &mut Ctx, args: &Args, client: &Client, eval: &str) -> Outcome {
    if eval.is_empty() {
        return Ok(OK);
    }
    if args.on("detach") {
        ctx.say(eval);
        return Ok(OK);
    }
    monitor::evaluation(ctx, client, eval, args.on("verbose"))
}

/// Registers the last version of stopped jobs again.
pub fn start(ctx: &mut Ctx, args: &Args) -> Outcome {
    if args.rest.is_empty() {
        return Err(arguments("This command takes at least one argument: <job>"));
    }
    let client = ctx.client(args)?;
    let mut worst = OK;
    for prefix in &args.rest {
        let (stub, mut job) = lookup::job_value(ctx, &client, prefix)?;
        if job.get("Stop").and_then(Value::as_bool) != Some(true) {
            return Err(Failure::new(format!(
                "Job \"{}\" has not been stopped",
                stub.id
            )));
        }
        job["Stop"] = Value::Bool(false);
        let draft = serde_json::from_value(job).map_err(|e| {
            Failure::new(format!(
                "Error starting job: the stored job cannot be read: {e}"
            ))
        })?;
        let request = JobRegisterRequest {
            enforce_index: true,
            job_modify_index: stub.job_modify_index,
            job: Some(draft),
            ..JobRegisterRequest::default()
        };
        let call = client.put_json("/v1/jobs", &request);
        let call = call.namespace(lookup::namespace_of(&stub));
        let answer: JobRegisterResponse = call.read().attempt("Error starting job")?;
        if args.on("detach") || answer.eval_id.is_empty() {
            ctx.say("Job start successful");
            if !answer.eval_id.is_empty() {
                ctx.say(format!("Evaluation ID: {}", answer.eval_id));
            }
            continue;
        }
        worst = worst.max(monitor::evaluation(
            ctx,
            &client,
            &answer.eval_id,
            args.on("verbose"),
        )?);
    }
    Ok(worst)
}
