//! `job allocs` and `job deployments`

use crate::cli::cmd;
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, OK, Outcome};
use crate::cli::flags::Args;
use crate::cli::http_client::{Answer, escape};
use crate::cli::{lookup, show};
use crate::http::dto::alloc::AllocListStub;
use crate::http::dto::deployment::Deployment;

/// Lists a job's allocations.
pub fn allocs(ctx: &mut Ctx, args: &Args) -> Outcome {
    let prefix = cmd::one(&args.rest, "This command takes one argument: <job>")?;
    let client = ctx.client(args)?;
    let job = lookup::job(ctx, &client, prefix)?;
    let call = client
        .get(format!("/v1/job/{}/allocations", escape(&job.id)))
        .namespace(lookup::namespace_of(&job))
        .query("all", args.on("all"));
    let answer = call.send().and_then(Answer::newest_first);
    let answer = answer.attempt("Error retrieving allocations")?;
    if let Some(done) = ctx.raw(args, || {
        answer.json().attempt("Error retrieving allocations")
    }) {
        return done;
    }
    let allocs: Option<Vec<AllocListStub>> =
        answer.json().attempt("Error retrieving allocations")?;
    let text = show::allocs::list(ctx, &allocs.unwrap_or_default(), args.on("verbose"));
    ctx.say(text);
    Ok(OK)
}

/// Lists a job's deployments or shows the newest.
pub fn deployments(ctx: &mut Ctx, args: &Args) -> Outcome {
    let prefix = cmd::one(&args.rest, "This command takes one argument: <job>")?;
    let client = ctx.client(args)?;
    let job = lookup::job(ctx, &client, prefix)?;
    let latest = args.on("latest");
    let path = if latest { "deployment" } else { "deployments" };
    let call = client
        .get(format!("/v1/job/{}/{path}", escape(&job.id)))
        .namespace(lookup::namespace_of(&job))
        .query("all", args.on("all"));
    let attempt = "Error retrieving deployments";
    let answer = call
        .send()
        .and_then(Answer::newest_first)
        .attempt(attempt)?;
    if let Some(done) = ctx.raw(args, || answer.json().attempt(attempt)) {
        return done;
    }
    let verbose = args.on("verbose");
    let text = if latest {
        let one: Option<Deployment> = answer.json().attempt(attempt)?;
        one.map_or_else(
            || "No deployment found".to_owned(),
            |d| show::deployment::block(&d, verbose, &ctx.zone),
        )
    } else {
        let all: Option<Vec<Deployment>> = answer.json().attempt(attempt)?;
        show::deployment::list(&all.unwrap_or_default(), verbose)
    };
    ctx.say(text);
    Ok(OK)
}
