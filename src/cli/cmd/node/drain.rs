//! `node drain` and `node eligibility`

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome, arguments};
use crate::cli::flags::Args;
use crate::cli::format;
use crate::cli::http_client::Client;
use crate::cli::lookup;
use crate::http::dto::alloc::Allocation;
use crate::http::dto::node::{DrainSpec, Node, NodeDrainRequest, NodeEligibilityRequest};

/// The deadline unless one is given.
const DEADLINE: i64 = 3_600 * format::SECOND;
/// How long one look at the node waits.
const WAIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);

/// The node that the arguments mean.
fn target(args: &Args, client: &Client) -> Result<Node, Failure> {
    match args.rest.as_slice() {
        [] if args.on("self") => {
            let id = super::status::own_id(client)?;
            lookup::read_node(client, &id)
        }
        [id] => lookup::node(
            client,
            id,
            &format!("No node(s) with prefix or id \"{id}\" found"),
        ),
        _ => Err(arguments(
            "Node ID must be specified if -self isn't being used",
        )),
    }
}

/// Says whether a node gets new allocations.
pub fn eligibility(ctx: &mut Ctx, args: &Args) -> Outcome {
    if args.on("enable") == args.on("disable") {
        return Err(arguments(
            "Either the '-enable' or '-disable' flag must be set",
        ));
    }
    let client = ctx.client(args)?;
    let node = target(args, &client)?;
    let eligibility = if args.on("enable") {
        "eligible"
    } else {
        "ineligible"
    };
    let request = NodeEligibilityRequest {
        node_id: node.id.clone(),
        eligibility: eligibility.to_owned(),
    };
    let call = client.put_json(format!("/v1/node/{}/eligibility", node.id), &request);
    call.send()
        .attempt("Error updating scheduling eligibility")?;
    ctx.say(format!(
        "Node \"{}\" scheduling eligibility set: {eligibility} for scheduling",
        node.id
    ));
    Ok(OK)
}

/// Starts, ends or watches a drain.
pub fn drain(ctx: &mut Ctx, args: &Args) -> Outcome {
    let (enable, disable, watch) = (args.on("enable"), args.on("disable"), args.on("monitor"));
    if enable == disable && (enable || !watch) {
        return Err(arguments(
            "Either the '-enable' or '-disable' flag must be set, unless using '-monitor'",
        ));
    }
    let client = ctx.client(args)?;
    let node = target(args, &client)?;
    if watch && !enable && !disable {
        let now = ctx.time(ctx.now());
        ctx.say(format!(
            "{now}: Monitoring node \"{}\": Ctrl-C to detach monitoring",
            node.id
        ));
        return follow(ctx, &client, &node.id);
    }
    let verb = if enable { "enable" } else { "disable" };
    if !args.on("yes") {
        let question = format!(
            "Are you sure you want to {verb} drain mode for node \"{}\"?",
            node.id
        );
        if !ctx.confirm(&question)? {
            ctx.say("Canceling drain toggle");
            return Ok(OK);
        }
    }
    send(args, &client, &node, enable)?;
    if disable || args.on("detach") {
        let set = if enable { "set" } else { "unset" };
        ctx.say(format!("Node \"{}\" drain strategy {set}", node.id));
        return Ok(OK);
    }
    let now = ctx.time(ctx.now());
    ctx.say(format!(
        "{now}: Ctrl-C to stop monitoring: will not cancel the node drain"
    ));
    ctx.say(format!("{now}: Node \"{}\" drain strategy set", node.id));
    follow(ctx, &client, &node.id)
}

fn send(args: &Args, client: &Client, node: &Node, enable: bool) -> Result<(), Failure> {
    let deadline = if args.on("force") {
        -1
    } else if args.on("no-deadline") {
        0
    } else {
        args.duration("deadline")?.unwrap_or(DEADLINE)
    };
    let mut meta: BTreeMap<String, String> = BTreeMap::new();
    if let Some(message) = args.value("m") {
        meta.insert("message".to_owned(), message.to_owned());
    }
    for pair in args.list("meta") {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Failure::new(format!(
                "Error parsing meta value: `{pair}` is not of the form key=value"
            ))
        })?;
        meta.insert(key.to_owned(), value.to_owned());
    }
    let request = NodeDrainRequest {
        drain_spec: enable.then(|| DrainSpec {
            deadline,
            ignore_system_jobs: args.on("ignore-system"),
        }),
        mark_eligible: !enable && !args.on("keep-ineligible"),
        meta,
        node_id: node.id.clone(),
    };
    let call = client.put_json(format!("/v1/node/{}/drain", node.id), &request);
    call.send().attempt("Error updating drain specification")?;
    Ok(())
}

/// Tells how the allocations leave, until the last one has.
fn follow(ctx: &mut Ctx, client: &Client, id: &str) -> Outcome {
    let mut seen: BTreeMap<String, (String, bool)> = BTreeMap::new();
    let mut draining = true;
    let mut index = 0;
    loop {
        let node = lookup::read_node(client, id)?;
        let call = client.get(format!("/v1/node/{id}/allocations"));
        let call = if index > 0 {
            call.after(index, WAIT)
        } else {
            call
        };
        let answer = call.send().attempt("Error monitoring node")?;
        let allocs: Option<Vec<Allocation>> = answer.json().attempt("Error monitoring node")?;
        let allocs = allocs.unwrap_or_default();
        for line in changes(&mut seen, &allocs) {
            let now = ctx.time(ctx.now());
            ctx.say(format!("{now}: {line}"));
        }
        let now = ctx.time(ctx.now());
        if draining && node.drain_strategy.is_none() {
            draining = false;
            ctx.say(format!("{now}: Drain complete for node {id}"));
        }
        let live = |a: &&Allocation| matches!(a.client_status.as_str(), "pending" | "running");
        if !draining && allocs.iter().filter(live).all(|a| kind(a) == "system") {
            ctx.say(format!(
                "{now}: All allocations on node \"{id}\" have stopped"
            ));
            return Ok(OK);
        }
        if answer.index <= index {
            client.pause(PAUSE);
        }
        index = answer.index.max(1);
    }
}

fn kind(alloc: &Allocation) -> &str {
    let job = alloc.job.as_ref().and_then(|j| j.get("Type")?.as_str());
    job.unwrap_or_default()
}

fn changes(seen: &mut BTreeMap<String, (String, bool)>, allocs: &[Allocation]) -> Vec<String> {
    let mut lines = Vec::new();
    for alloc in allocs {
        let migrates = alloc.desired_transition.as_ref().and_then(|t| t.migrate) == Some(true);
        let now = (alloc.client_status.clone(), migrates);
        let id = &alloc.id;
        let Some((status, marked)) = seen.insert(id.clone(), now) else {
            continue;
        };
        if migrates && !marked {
            lines.push(format!("Alloc \"{id}\" marked for migration"));
        }
        if status != alloc.client_status {
            lines.push(format!(
                "Alloc \"{id}\" status {status} -> {}",
                alloc.client_status
            ));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_once() {
        let mut seen = BTreeMap::new();
        let mut alloc = Allocation {
            id: "a1".into(),
            client_status: "running".into(),
            ..Allocation::default()
        };
        assert!(changes(&mut seen, std::slice::from_ref(&alloc)).is_empty());
        alloc.client_status = "complete".into();
        assert_eq!(
            changes(&mut seen, std::slice::from_ref(&alloc)),
            ["Alloc \"a1\" status running -> complete"]
        );
        assert!(changes(&mut seen, &[alloc]).is_empty());
    }
}
