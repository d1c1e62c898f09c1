//! `alloc restart`, `alloc stop`, `alloc signal` and `alloc checks`

use std::collections::BTreeMap;

use super::pick;
use crate::cli::cmd;
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome, arguments};
use crate::cli::flags::Args;
use crate::cli::output::Pairs;
use crate::cli::{format, lookup, monitor};
use crate::http::dto::alloc::AllocStopResponse;
use crate::http::dto::client::{AllocRestartRequest, AllocSignalRequest, CheckQueryResult};

/// The allocation and the task that the arguments name.
fn words(args: &Args) -> Result<(&str, Option<&str>), Failure> {
    match args.rest.as_slice() {
        [alloc] => Ok((alloc, args.value("task"))),
        [alloc, task] => Ok((alloc, Some(task))),
        _ => Err(arguments(
            "This command takes one or two arguments: <alloc-id> [<task-name>]",
        )),
    }
}

/// Restarts tasks in place.
pub fn restart(ctx: &mut Ctx, args: &Args) -> Outcome {
    let (id, task) = words(args)?;
    if args.on("all-tasks") && task.is_some() {
        return Err(Failure::new(
            "The -all-tasks option is not allowed when restarting a specific task.",
        ));
    }
    let client = ctx.client(args)?;
    let alloc = lookup::alloc(ctx, &client, id)?;
    let task_name = match task {
        Some(name) => pick::task(&alloc, Some(name))?,
        None => String::new(),
    };
    let request = AllocRestartRequest {
        all_tasks: args.on("all-tasks"),
        task_name,
    };
    let call = client.put_json(
        format!("/v1/client/allocation/{}/restart", alloc.id),
        &request,
    );
    match call.namespace(&alloc.namespace).send() {
        Ok(_) => Ok(OK),
        Err(error) => Err(Failure::new(format!(
            "Failed to restart allocation:\n\n{error}"
        ))),
    }
}

/// Sends a signal.
pub fn signal(ctx: &mut Ctx, args: &Args) -> Outcome {
    let (id, task) = words(args)?;
    let client = ctx.client(args)?;
    let alloc = lookup::alloc(ctx, &client, id)?;
    let task = match task {
        Some(name) => pick::task(&alloc, Some(name))?,
        None => String::new(),
    };
    let request = AllocSignalRequest {
        signal: args.value("s").unwrap_or("SIGKILL").to_owned(),
        task,
    };
    let call = client.put_json(
        format!("/v1/client/allocation/{}/signal", alloc.id),
        &request,
    );
    call.namespace(&alloc.namespace)
        .send()
        .attempt("Error signalling allocation")?;
    Ok(OK)
}

/// Stops an allocation; the job gets another.
pub fn stop(ctx: &mut Ctx, args: &Args) -> Outcome {
    let id = cmd::one(&args.rest, "This command takes one argument: <alloc-id>")?;
    let client = ctx.client(args)?;
    let alloc = lookup::alloc(ctx, &client, id)?;
    let call = client
        .put(format!("/v1/allocation/{}/stop", alloc.id))
        .namespace(&alloc.namespace)
        .query("no_shutdown_delay", args.on("no-shutdown-delay"));
    let answer: AllocStopResponse = call.read().attempt("Error stopping allocation")?;
    if args.on("detach") {
        ctx.say(&answer.eval_id);
        return Ok(OK);
    }
    monitor::evaluation(ctx, &client, &answer.eval_id, args.on("verbose"))
}

/// Shows how the checks of the services stand.
pub fn checks(ctx: &mut Ctx, args: &Args) -> Outcome {
    let id = cmd::one(&args.rest, "This command takes one argument: <alloc-id>")?;
    let client = ctx.client(args)?;
    let alloc = lookup::alloc(ctx, &client, id)?;
    let call = client.get(format!("/v1/client/allocation/{}/checks", alloc.id));
    let attempt = "Error querying service checks";
    let answer = call.namespace(&alloc.namespace).send().attempt(attempt)?;
    if let Some(done) = ctx.raw(args, || answer.json().attempt(attempt)) {
        return done;
    }
    let found: Option<BTreeMap<String, CheckQueryResult>> = answer.json().attempt(attempt)?;
    let found = found.unwrap_or_default();
    ctx.say(format!("Status of {} Nomad Service Checks\n", found.len()));
    for check in found.values() {
        let text = check_block(ctx, check);
        ctx.say(format!("{text}\n"));
    }
    Ok(OK)
}

fn check_block(ctx: &Ctx, check: &CheckQueryResult) -> String {
    let mut pairs = Pairs::new()
        .with("ID", &check.id)
        .with("Name", &check.check)
        .with("Group", &check.group)
        .with(
            "Task",
            if check.task.is_empty() {
                "(group)"
            } else {
                &check.task
            },
        )
        .with("Service", &check.service)
        .with("Status", &check.status);
    if check.status_code > 0 {
        pairs.add("StatusCode", check.status_code.to_string());
    }
    pairs.add("Mode", &check.mode);
    pairs.add("Timestamp", ctx.time(check.timestamp * format::SECOND));
    pairs.add("Output", &check.output);
    pairs.render_wide()
}
