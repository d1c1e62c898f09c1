//! `operator …`

use std::io::Read as _;

use hyper::Method;

use crate::cli::cmd;
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome};
use crate::cli::flags::{Args, Flag, list, switch, value};
use crate::cli::json;
use crate::cli::output::{Pairs, table};
use crate::cli::registry::{Command, command};
use crate::http::dto::operator::{RaftConfiguration, SchedulerConfigurationResponse};

static PEERS: &[Flag] = &[switch(
    "stale",
    "Lets any server answer, not the leader alone.",
)];
static METRICS: &[Flag] = &[
    switch("pretty", "Indents the JSON."),
    value("format", "<format>", "`prometheus` prints that format."),
];
static API: &[Flag] = &[
    value(
        "X",
        "<method>",
        "The method; GET unless set, PUT with input.",
    ),
    list(
        "H",
        "<header>",
        "A header, such as 'X-Name: value'. May be given several times.",
    ),
    value("filter", "<expression>", "Asks for those alone that fit."),
    switch(
        "dryrun",
        "Prints the request as a curl command and sends nothing.",
    ),
    switch(
        "verbose",
        "Prints the heads of request and answer to standard error.",
    ),
];

/// The commands of this family.
pub static COMMANDS: &[Command] = &[
    Command {
        flags: &[PEERS],
        ..command(
            "operator raft list-peers",
            "[options]",
            "List the servers of the Raft cluster",
            list_peers,
        )
    },
    Command {
        flags: &[json::FLAGS],
        ..command(
            "operator scheduler get-config",
            "[options]",
            "Show the scheduler's settings",
            scheduler,
        )
    },
    Command {
        about: "Sends a request to the API and prints the answer's body. Input on standard input \
                is sent as the body; the path may leave out /v1.",
        flags: &[API],
        ..command(
            "operator api",
            "[options] <path>",
            "Send a request to the API",
            api,
        )
    },
    Command {
        flags: &[json::FLAGS, METRICS],
        ..command(
            "operator metrics",
            "[options]",
            "Show the agent's metrics",
            metrics,
        )
    },
];

fn list_peers(ctx: &mut Ctx, args: &Args) -> Outcome {
    cmd::no_arguments(&args.rest)?;
    let client = ctx.client(args)?;
    let call = client.get("/v1/operator/raft/configuration");
    let call = if args.on("stale") {
        call.query("stale", true)
    } else {
        call
    };
    let found: RaftConfiguration = call.read().attempt("Error getting peers")?;
    let mut rows = table(["Node", "ID", "Address", "State", "Voter", "RaftProtocol"]);
    for server in found.servers {
        let state = if server.leader { "leader" } else { "follower" };
        rows.row([
            server.node,
            server.id,
            server.address,
            state.to_owned(),
            server.voter.to_string(),
            server.raft_protocol,
        ]);
    }
    ctx.say(rows.render());
    Ok(OK)
}

fn scheduler(ctx: &mut Ctx, args: &Args) -> Outcome {
    cmd::no_arguments(&args.rest)?;
    let client = ctx.client(args)?;
    let attempt = "Error querying scheduler configuration";
    let answer = client
        .get("/v1/operator/scheduler/configuration")
        .send()
        .attempt(attempt)?;
    if let Some(done) = ctx.raw(args, || answer.json().attempt(attempt)) {
        return done;
    }
    let found: SchedulerConfigurationResponse = answer.json().attempt(attempt)?;
    let config = found.scheduler_config;
    let preempt = &config.preemption_config;
    let text = Pairs::new()
        .with("Scheduler Algorithm", &config.scheduler_algorithm)
        .with(
            "Memory Oversubscription",
            config.memory_oversubscription_enabled.to_string(),
        )
        .with(
            "Reject Job Registration",
            config.reject_job_registration.to_string(),
        )
        .with("Pause Eval Broker", config.pause_eval_broker.to_string())
        .with(
            "Preemption System Scheduler",
            preempt.system_scheduler_enabled.to_string(),
        )
        .with(
            "Preemption Service Scheduler",
            preempt.service_scheduler_enabled.to_string(),
        )
        .with(
            "Preemption Batch Scheduler",
            preempt.batch_scheduler_enabled.to_string(),
        )
        .with(
            "Preemption SysBatch Scheduler",
            preempt.sys_batch_scheduler_enabled.to_string(),
        )
        .with(
            "Node Limit For Feasibility Checks",
            config.node_limit_for_feasibility_checks.to_string(),
        )
        .with("Modify Index", config.modify_index.to_string())
        .render();
    ctx.say(text);
    Ok(OK)
}

fn metrics(ctx: &mut Ctx, args: &Args) -> Outcome {
    cmd::no_arguments(&args.rest)?;
    let client = ctx.client(args)?;
    let call = client
        .get("/v1/metrics")
        .maybe("format", args.value("format"));
    let answer = call.send().attempt("Error querying metrics")?;
    if let Some(done) = ctx.raw(args, || answer.json().attempt("Error querying metrics")) {
        return done;
    }
    if args.on("pretty") && args.value("format").is_none() {
        let data: serde_json::Value = answer.json().attempt("Error querying metrics")?;
        ctx.say(json::pretty(&data));
        return Ok(OK);
    }
    ctx.say(String::from_utf8_lossy(&answer.body).trim_end());
    Ok(OK)
}

fn api(ctx: &mut Ctx, args: &Args) -> Outcome {
    let path = cmd::one(&args.rest, "This command takes one argument: <path>")?;
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = if path.starts_with("v1/") {
        format!("/{path}")
    } else {
        format!("/v1/{path}")
    };
    let mut body = Vec::new();
    if !ctx.keyboard {
        let read = ctx.input.read_to_end(&mut body);
        read.map_err(|e| Failure::new(format!("Error reading standard input: {e}")))?;
    }
    let named = args.value("X").map(str::to_uppercase);
    let method = named.unwrap_or_else(|| if body.is_empty() { "GET" } else { "PUT" }.to_owned());
    let headers = headers(args)?;
    let client = ctx.client(args)?;
    let typed = Method::from_bytes(method.as_bytes())
        .map_err(|_| Failure::new(format!("Error making request: `{method}` is no method")))?;
    let mut call = client
        .call(typed, path)
        .maybe("filter", args.value("filter"))
        .body(body);
    for (name, value) in &headers {
        call = call.header(name, value);
    }
    if args.on("dryrun") {
        let mut lines = vec!["curl \\".to_owned(), format!("  -X {method} \\")];
        lines.extend(
            headers
                .iter()
                .map(|(name, value)| format!("  -H '{name}: {value}' \\")),
        );
        lines.push(format!("  {}", call.url()));
        ctx.say(lines.join("\n"));
        return Ok(OK);
    }
    if args.on("verbose") {
        ctx.err.line(format!(
            "> {method} {} HTTP/1.1\n>\n* Sending request and receiving response...",
            call.target()
        ));
    }
    let answer = call.send_any().attempt("Error making request")?;
    if args.on("verbose") {
        ctx.err.line(format!("< HTTP/1.1 {}", answer.status));
        for (name, value) in &answer.headers {
            ctx.err.line(format!("< {name}: {value}"));
        }
    }
    if answer.status.is_success() {
        ctx.out.write(&answer.body);
        return Ok(OK);
    }
    let text = String::from_utf8_lossy(&answer.body).trim_end().to_owned();
    Err(Failure::new(format!(
        "Unexpected response code: {} ({text})",
        answer.status.as_u16()
    )))
}

fn headers(args: &Args) -> Result<Vec<(String, String)>, Failure> {
    let pair = |text: &String| {
        let (name, value) = text.split_once(':').ok_or_else(|| {
            Failure::new(format!(
                "Error making request: `{text}` is not of the form name:value"
            ))
        })?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    args.list("H").iter().map(pair).collect()
}
