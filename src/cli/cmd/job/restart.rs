//! `job restart`

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cli::cmd;
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome};
use crate::cli::flags::{Args, Flag, list, switch, value};
use crate::cli::http_client::{Client, escape};
use crate::cli::monitor::{self, eval::Line};
use crate::cli::{format, lookup};
use crate::http::dto::alloc::{AllocListStub, Allocation};
use crate::http::dto::client::AllocRestartRequest;

/// How long a replacement may take to run.
const REPLACEMENT: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(500);

/// The flags of `job restart`.
pub static FLAGS: &[Flag] = &[
    switch("all-tasks", "Restarts tasks that have ended as well."),
    value(
        "batch-size",
        "<n|n%>",
        "How many allocations at a time; 1 unless set.",
    ),
    value(
        "batch-wait",
        "<duration>",
        "The pause between batches; 0 unless set.",
    ),
    list(
        "group",
        "<name>",
        "Restarts this group alone. May be given several times.",
    ),
    list(
        "task",
        "<name>",
        "Restarts this task alone. May be given several times.",
    ),
    switch(
        "no-shutdown-delay",
        "Does not wait for shutdown delays when replacing.",
    ),
    value(
        "on-error",
        "<fail|ask>",
        "What an error does; only `fail` is supported, and is the default.",
    ),
    switch(
        "reschedule",
        "Replaces the allocations instead of restarting their tasks.",
    ),
    switch("yes", "Answers questions with yes."),
    super::VERBOSE,
];

/// Restarts or replaces a job's allocations, a batch at a time.
pub fn restart(ctx: &mut Ctx, args: &Args) -> Outcome {
    let prefix = cmd::one(&args.rest, "This command takes one argument: <job>")?;
    if args.value("on-error").is_some_and(|v| v != "fail") {
        return Err(Failure::new("Invalid -on-error value: only \"fail\" is supported").usage());
    }
    if args.on("reschedule") && (args.on("all-tasks") || !args.list("task").is_empty()) {
        let text = "The -reschedule option cannot be used with -task or -all-tasks";
        return Err(Failure::new(text).usage());
    }
    if args.on("all-tasks") && !args.list("task").is_empty() {
        let text = "The -all-tasks option cannot be used with -task";
        return Err(Failure::new(text).usage());
    }
    let client = ctx.client(args)?;
    let job = lookup::job(ctx, &client, prefix)?;
    if job.id != *prefix && !args.on("yes") {
        let question = format!("Are you sure you want to restart job \"{}\"?", job.id);
        if !ctx.confirm(&question)? {
            ctx.say("Cancelling job restart");
            return Ok(OK);
        }
    }
    let call = client.get(format!("/v1/job/{}/allocations", escape(&job.id)));
    let all: Option<Vec<AllocListStub>> = (call.namespace(lookup::namespace_of(&job)).read())
        .attempt("Error retrieving allocations")?;
    let groups: BTreeSet<&String> = args.list("group").iter().collect();
    let mut chosen = all.unwrap_or_default();
    chosen.retain(|a| {
        a.client_status == "running"
            && a.desired_status == "run"
            && (groups.is_empty() || groups.contains(&a.task_group))
    });
    chosen.sort_by(|a, b| a.name.cmp(&b.name));
    let count = chosen.len();
    if count == 0 {
        ctx.say("No allocations to restart");
        return Ok(OK);
    }
    let size = batch_size(args, count)?;
    let wait =
        Duration::from_nanos(u64::try_from(args.duration("batch-wait")?.unwrap_or(0)).unwrap_or(0));
    monitor::tell(ctx, &Line::Step(format!("Restarting {count} allocations")));
    for (number, batch) in chosen.chunks(size).enumerate() {
        if number > 0 && !wait.is_zero() {
            client.pause(wait);
        }
        if size > 1 {
            let text = format!(
                "Restarting {} batch of {} allocations",
                ordinal(number + 1),
                batch.len()
            );
            monitor::tell(ctx, &Line::Step(text));
        }
        run_batch(ctx, args, &client, batch)?;
    }
    monitor::tell(ctx, &Line::Step("Job restart finished".to_owned()));
    ctx.say("\nJob restarted successfully!");
    Ok(OK)
}

fn batch_size(args: &Args, count: usize) -> Result<usize, Failure> {
    let Some(text) = args.value("batch-size") else {
        return Ok(1);
    };
    let (digits, percent) = text.strip_suffix('%').map_or((text, false), |d| (d, true));
    let number: usize = digits.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
        Failure::new(format!(
            "Invalid -batch-size value \"{text}\": it must be a positive number"
        ))
        .usage()
    })?;
    Ok(if percent {
        (count * number).div_ceil(100).max(1)
    } else {
        number
    })
}

fn ordinal(n: usize) -> String {
    let suffix = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{suffix}")
}

fn run_batch(
    ctx: &mut Ctx,
    args: &Args,
    client: &Client,
    batch: &[AllocListStub],
) -> Result<(), Failure> {
    let verbose = args.on("verbose");
    for alloc in batch {
        let (id, group) = (format::id(&alloc.id, verbose), &alloc.task_group);
        if args.on("reschedule") {
            let text = format!("Rescheduling allocation \"{id}\" for group \"{group}\"");
            monitor::tell(ctx, &Line::Detail(text));
            let call = client
                .put(format!("/v1/allocation/{}/stop", alloc.id))
                .query("reschedule", true)
                .query("no_shutdown_delay", args.on("no-shutdown-delay"));
            call.send().attempt("Error stopping allocation")?;
            continue;
        }
        let tasks = args.list("task");
        let what = if args.on("all-tasks") {
            "all"
        } else {
            "running"
        };
        let text = format!("Restarting {what} tasks in allocation \"{id}\" for group \"{group}\"");
        monitor::tell(ctx, &Line::Detail(text));
        let names = if tasks.is_empty() {
            vec![String::new()]
        } else {
            tasks.to_vec()
        };
        for task_name in names {
            let request = AllocRestartRequest {
                all_tasks: args.on("all-tasks"),
                task_name,
            };
            let call = client.put_json(
                format!("/v1/client/allocation/{}/restart", alloc.id),
                &request,
            );
            call.send().attempt("Error restarting allocation")?;
        }
    }
    if args.on("reschedule") {
        for alloc in batch {
            replaced(ctx, client, &alloc.id, verbose)?;
        }
    }
    Ok(())
}

/// Waits until the allocation's replacement runs.
fn replaced(ctx: &mut Ctx, client: &Client, id: &str, verbose: bool) -> Result<(), Failure> {
    let started = Instant::now();
    let mut told = String::new();
    while started.elapsed() < REPLACEMENT {
        let old = lookup::read_alloc(client, id, id)?;
        if !old.next_allocation.is_empty() {
            let next: Allocation = lookup::read_alloc(client, &old.next_allocation, id)?;
            let (old, new) = (format::id(id, verbose), format::id(&next.id, verbose));
            if told != new {
                let text = format!(
                    "Allocation \"{old}\" replaced by \"{new}\", waiting for \"{new}\" to start running"
                );
                monitor::tell(ctx, &Line::Detail(text));
                told = new.clone();
            }
            match next.client_status.as_str() {
                "running" => {
                    monitor::tell(
                        ctx,
                        &Line::Detail(format!("Allocation \"{new}\" is \"running\"")),
                    );
                    return Ok(());
                }
                "failed" | "lost" | "complete" => {
                    let status = json!(next.client_status);
                    return Err(Failure::new(format!("Allocation \"{new}\" is {status}")));
                }
                _ => {}
            }
        }
        client.pause(PAUSE);
    }
    Err(Failure::new(format!(
        "No replacement of allocation \"{id}\" runs after {}s",
        REPLACEMENT.as_secs()
    )))
}
