//! `node status`

use std::collections::BTreeMap;

use super::stats::{self, Room};
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome, arguments};
use crate::cli::flags::Args;
use crate::cli::http_client::Client;
use crate::cli::lookup::{self, Found};
use crate::cli::output::{Pairs, section, table};
use crate::cli::{format, hint, json, show};
use crate::http::dto::alloc::{AllocListStub, Allocation};
use crate::http::dto::client::HostStats;
use crate::http::dto::node::{DriverInfo, Node, NodeListStub};

/// Shows a node, or lists all.
pub fn status(ctx: &mut Ctx, args: &Args) -> Outcome {
    if args.rest.len() > 1 {
        return Err(arguments("This command takes either one or no arguments"));
    }
    if args.on("json") && args.value("t").is_some_and(|t| !t.is_empty()) {
        return Err(Failure::new(
            "Both json and template formatting are not allowed",
        ));
    }
    let client = ctx.client(args)?;
    let id = match args.rest.first() {
        _ if args.on("self") => own_id(&client)?,
        None => return list(ctx, args, &client),
        Some(prefix) => {
            let none = format!("No node(s) with prefix \"{prefix}\" found");
            match lookup::nodes(&client, prefix, &none)? {
                Found::One(stub) => stub.id,
                Found::Many(many) => {
                    let rows = rows(args, &many, &BTreeMap::new());
                    ctx.say(format!("Prefix matched multiple nodes\n\n{rows}"));
                    return Ok(OK);
                }
            }
        }
    };
    one(ctx, args, &client, &id)
}

/// The node id of the agent that is asked.
pub fn own_id(client: &Client) -> Result<String, Failure> {
    let about: crate::http::dto::agent::AgentSelf = client
        .get("/v1/agent/self")
        .read()
        .attempt("Error querying agent info")?;
    let id = about.stats.get("client").and_then(|c| c.get("node_id"));
    id.filter(|i| !i.is_empty()).cloned().ok_or_else(|| {
        Failure::new("Error querying agent info: the agent that answered is no client")
    })
}

fn list(ctx: &mut Ctx, args: &Args, client: &Client) -> Outcome {
    let attempt = "Error querying node status";
    let call = client
        .get("/v1/nodes")
        .maybe("filter", args.value("filter"))
        .maybe("per_page", args.number::<u64>("per-page")?)
        .maybe("next_token", args.value("page-token"));
    let call = if args.on("os") {
        call.query("os", true)
    } else {
        call
    };
    let answer = call.send().attempt(attempt)?;
    let nodes: Option<Vec<NodeListStub>> = answer.json().attempt(attempt)?;
    let nodes = nodes.unwrap_or_default();
    if json::wanted(args) {
        return ctx
            .raw(args, || answer.json().attempt(attempt))
            .expect("a format is asked for");
    }
    if nodes.is_empty() {
        ctx.say("No nodes found");
        return Ok(OK);
    }
    if args.on("quiet") {
        let ids: Vec<&str> = nodes.iter().map(|n| n.id.as_str()).collect();
        ctx.say(ids.join("\n"));
        return Ok(OK);
    }
    let mut running = BTreeMap::new();
    if args.on("allocs") {
        let attempt = "Error querying node allocations";
        for node in &nodes {
            let path = format!("/v1/node/{}/allocations", node.id);
            let allocs: Option<Vec<Allocation>> = client.get(path).read().attempt(attempt)?;
            let count = allocs
                .unwrap_or_default()
                .iter()
                .filter(|a| a.client_status == "running")
                .count();
            running.insert(node.id.clone(), count);
        }
    }
    ctx.say(rows(args, &nodes, &running));
    if let Some(token) = &answer.next_token {
        ctx.say(format!(
            "\nResults have been paginated. To get the next page run:\n\n\
             tumen node status -per-page {} -page-token {token}",
            args.value("per-page").unwrap_or_default()
        ));
    }
    hint::show(ctx, client, "View and manage clients", "/ui/clients");
    Ok(OK)
}

fn rows(args: &Args, nodes: &[NodeListStub], running: &BTreeMap<String, usize>) -> String {
    let (verbose, os, allocs) = (args.on("verbose"), args.on("os"), args.on("allocs"));
    let mut head = vec!["ID", "Node Pool", "DC", "Name", "Class"];
    head.extend(os.then_some("OS"));
    if verbose {
        head.extend(["Address", "Version"]);
    }
    head.extend(["Drain", "Eligibility", "Status"]);
    head.extend(allocs.then_some("Running Allocs"));
    let mut rows = table(head);
    for node in nodes {
        let mut cells = vec![
            format::id(&node.id, verbose),
            node.node_pool.clone(),
            node.datacenter.clone(),
            node.name.clone(),
            node.node_class.clone(),
        ];
        cells.extend(os.then(|| {
            let name = node.attributes.as_ref().and_then(|a| a.get("os.name"));
            name.cloned().unwrap_or_default()
        }));
        if verbose {
            cells.extend([node.address.clone(), node.version.clone()]);
        }
        cells.extend([
            node.drain.to_string(),
            node.scheduling_eligibility.clone(),
            node.status.clone(),
        ]);
        cells.extend(allocs.then(|| running.get(&node.id).copied().unwrap_or(0).to_string()));
        rows.row(cells);
    }
    rows.render()
}

/// The nodes of one pool.
pub(super) fn rows_of_pool(nodes: &[NodeListStub], verbose: bool) -> String {
    let head = [
        "ID",
        "DC",
        "Name",
        "Class",
        "Drain",
        "Eligibility",
        "Status",
    ];
    let rows = nodes.iter().map(|node| {
        vec![
            format::id(&node.id, verbose),
            node.datacenter.clone(),
            node.name.clone(),
            node.node_class.clone(),
            node.drain.to_string(),
            node.scheduling_eligibility.clone(),
            node.status.clone(),
        ]
    });
    table(head).rows(rows).render()
}

fn one(ctx: &mut Ctx, args: &Args, client: &Client, id: &str) -> Outcome {
    let attempt = "Error querying node info";
    let answer = client
        .get(format!("/v1/node/{id}"))
        .send()
        .attempt(attempt)?;
    if let Some(done) = ctx.raw(args, || answer.json().attempt(attempt)) {
        return done;
    }
    let node: Node = answer.json().attempt(attempt)?;
    let call = client.get(format!("/v1/node/{id}/allocations"));
    let allocs: Option<Vec<Allocation>> = call
        .read_newest()
        .attempt("Error querying node allocations")?;
    let allocs = allocs.unwrap_or_default();
    let text = page(ctx, args, client, &node, &allocs);
    ctx.say(text);
    hint::show(
        ctx,
        client,
        "View client details and metrics",
        &format!("/ui/clients/{}", node.id),
    );
    Ok(OK)
}

fn page(ctx: &mut Ctx, args: &Args, client: &Client, node: &Node, allocs: &[Allocation]) -> String {
    let (verbose, short) = (args.on("verbose"), args.on("short"));
    let host = if short {
        None
    } else {
        host_stats(ctx, client, node)
    };
    let mut parts = vec![head(ctx, node, host.as_ref(), verbose, short)];
    if verbose && !short {
        parts.push(section("Drivers", &drivers(ctx, node)));
    }
    if !short {
        parts.push(section("Node Events", &events(ctx, node, verbose)));
        let room = Room::of(node);
        parts.push(stats::allocated(&room, allocs));
        if let Some(host) = &host {
            let running = allocs.iter().filter(|a| a.client_status == "running");
            let usage: Vec<_> = running
                .filter_map(|a| {
                    client
                        .get(format!("/v1/client/allocation/{}/stats", a.id))
                        .namespace(&a.namespace)
                        .read()
                        .ok()
                })
                .collect();
            parts.push(stats::utilization(&room, &usage));
            parts.push(stats::host(node, host));
            if args.on("stats") {
                parts.push(stats::details(host));
            }
        }
    }
    let stubs: Vec<AllocListStub> = allocs.iter().map(stub).collect();
    parts.push(section(
        "Allocations",
        &show::allocs::list(ctx, &stubs, verbose),
    ));
    if verbose && !short {
        parts.push(section("Attributes", &pairs(&node.attributes)));
        parts.push(section("Meta", &pairs(&node.meta)));
    }
    parts.join("\n")
}

/// Key-value lines of a map.
pub(super) fn pairs(map: &BTreeMap<String, String>) -> String {
    let mut pairs = Pairs::new();
    for (key, value) in map {
        pairs.add(key, value);
    }
    pairs.render()
}

/// The row of an allocation that is there whole.
fn stub(alloc: &Allocation) -> AllocListStub {
    AllocListStub {
        id: alloc.id.clone(),
        eval_id: alloc.eval_id.clone(),
        node_id: alloc.node_id.clone(),
        node_name: alloc.node_name.clone(),
        task_group: alloc.task_group.clone(),
        job_version: alloc
            .job
            .as_ref()
            .and_then(|j| j.get("Version")?.as_u64())
            .unwrap_or(0),
        desired_status: alloc.desired_status.clone(),
        client_status: alloc.client_status.clone(),
        create_time: alloc.create_time,
        modify_time: alloc.modify_time,
        ..AllocListStub::default()
    }
}

fn host_stats(ctx: &mut Ctx, client: &Client, node: &Node) -> Option<HostStats> {
    if node.status != "ready" && node.status != "initializing" {
        return None;
    }
    match client
        .get("/v1/client/stats")
        .query("node_id", &node.id)
        .read()
    {
        Ok(stats) => Some(stats),
        Err(error) => {
            ctx.err
                .line(format!("Couldn't retrieve stats of the node: {error}"));
            None
        }
    }
}

fn head(ctx: &Ctx, node: &Node, host: Option<&HostStats>, verbose: bool, short: bool) -> String {
    let names = |map: &BTreeMap<String, serde_json::Value>| {
        map.keys().cloned().collect::<Vec<_>>().join(",")
    };
    let mut pairs = Pairs::new()
        .with("ID", &node.id)
        .with("Name", &node.name)
        .with("Node Pool", &node.node_pool)
        .with("Class", &node.node_class)
        .with("DC", &node.datacenter)
        .with("Drain", drain(ctx, node))
        .with("Eligibility", &node.scheduling_eligibility)
        .with("Status", &node.status)
        .with("CSI Controllers", names(&node.csi_controller_plugins))
        .with("CSI Drivers", names(&node.csi_node_plugins));
    if let Some(host) = host {
        let uptime = i64::try_from(host.uptime)
            .unwrap_or(0)
            .saturating_mul(format::SECOND);
        pairs.add("Uptime", format::duration(uptime));
    }
    if !verbose {
        pairs.add("Host Volumes", names(&node.host_volumes));
        pairs.add("Host Networks", names(&node.host_networks));
        pairs.add("CSI Volumes", "");
        let title = if short { "Drivers" } else { "Driver Status" };
        pairs.add(title, driver_names(&node.drivers));
    }
    pairs.render()
}

fn drain(ctx: &Ctx, node: &Node) -> String {
    let Some(strategy) = &node.drain_strategy else {
        return "false".to_owned();
    };
    let mut text = match strategy.deadline {
        ..0 => "true; force drain".to_owned(),
        0 => "true; no deadline".to_owned(),
        _ => format!("true; {} deadline", ctx.time(strategy.force_deadline.0.0)),
    };
    if strategy.ignore_system_jobs {
        text.push_str("; ignoring system jobs");
    }
    text
}

fn driver_names(drivers: &BTreeMap<String, DriverInfo>) -> String {
    let detected = drivers.iter().filter(|(_, d)| d.detected);
    let name = |(name, driver): (&String, &DriverInfo)| {
        if driver.healthy {
            name.clone()
        } else {
            format!("{name} (unhealthy)")
        }
    };
    detected.map(name).collect::<Vec<_>>().join(",")
}

fn drivers(ctx: &Ctx, node: &Node) -> String {
    let mut rows = table(["Driver", "Detected", "Healthy", "Message", "Time"]);
    for (name, driver) in &node.drivers {
        rows.row([
            name.clone(),
            driver.detected.to_string(),
            driver.healthy.to_string(),
            driver.health_description.clone(),
            ctx.time(driver.update_time.0.0),
        ]);
    }
    rows.render()
}

fn events(ctx: &Ctx, node: &Node, verbose: bool) -> String {
    let mut head = vec!["Time", "Subsystem", "Message"];
    head.extend(verbose.then_some("Details"));
    let mut rows = table(head);
    for event in node.events.iter().rev() {
        let mut cells = vec![
            ctx.time(event.timestamp.0.0),
            event.subsystem.clone(),
            event.message.clone(),
        ];
        cells.extend(verbose.then(|| {
            let details = event.details.iter().map(|(k, v)| format!("{k} = {v}"));
            details.collect::<Vec<_>>().join(",")
        }));
        rows.row(cells);
    }
    rows.render()
}
