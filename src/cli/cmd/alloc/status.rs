//! `alloc status`

use std::collections::BTreeMap;

use serde_json::Value;

use super::pick;
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome};
use crate::cli::flags::Args;
use crate::cli::http_client::Client;
use crate::cli::lookup::{self, Found};
use crate::cli::output::{Pairs, bold, section, table};
use crate::cli::{format, hint, show};
use crate::http::dto::Moment;
use crate::http::dto::alloc::{Allocation, TaskState};
use crate::http::dto::client::{AllocResourceUsage, CheckQueryResult, ResourceUsage};

/// Shows an allocation.
pub fn status(ctx: &mut Ctx, args: &Args) -> Outcome {
    let client = ctx.client(args)?;
    let verbose = args.on("verbose");
    let id = match args.rest.as_slice() {
        [id] => id,
        [] if crate::cli::json::wanted(args) => return all(ctx, args, &client),
        _ => {
            let text = "This command takes one of the following argument conditions:\n \
                        * A single <allocation>\n * No arguments, with output format specified";
            return Err(Failure::new(text).usage());
        }
    };
    let full = match lookup::allocs(&client, id)? {
        Found::One(stub) => stub.id,
        Found::Many(many) => {
            let list = show::allocs::brief(ctx, &many, verbose);
            ctx.say(format!("Prefix matched multiple allocations\n\n{list}"));
            return Ok(OK);
        }
    };
    let attempt = "Error querying allocation";
    let answer = client
        .get(format!("/v1/allocation/{full}"))
        .send()
        .attempt(attempt)?;
    if let Some(done) = ctx.raw(args, || answer.json().attempt(attempt)) {
        return done;
    }
    let alloc: Allocation = answer.json().attempt(attempt)?;
    let text = if args.on("short") {
        short(ctx, &alloc)
    } else {
        long(ctx, args, &client, &alloc)
    };
    ctx.say(text);
    hint::show(
        ctx,
        &client,
        "View allocation details",
        &format!("/ui/allocations/{}", alloc.id),
    );
    Ok(OK)
}

fn all(ctx: &mut Ctx, args: &Args, client: &Client) -> Outcome {
    let attempt = "Error querying allocations";
    let list: Value = client
        .get("/v1/allocations")
        .read_newest()
        .attempt(attempt)?;
    ctx.raw(args, || Ok(list)).expect("a format is asked for")
}

fn short(ctx: &Ctx, alloc: &Allocation) -> String {
    let pairs = Pairs::new()
        .with("ID", &alloc.id)
        .with("Name", &alloc.name)
        .with("Created", ctx.ago(alloc.create_time))
        .with("Modified", ctx.ago(alloc.modify_time));
    let mut rows = table(["Name", "State", "Last Event", "Time", "Lifecycle"]);
    for (name, lifecycle) in ordered_tasks(alloc) {
        let state = alloc.task_states.get(&name).cloned().unwrap_or_default();
        let last = state.events.last();
        let lifecycle = if lifecycle.is_empty() {
            "main".to_owned()
        } else {
            lifecycle
        };
        rows.row([
            name,
            state.state.clone(),
            last.map(|e| e.kind.clone()).unwrap_or_default(),
            last.map(|e| ctx.time(e.time)).unwrap_or_default(),
            lifecycle,
        ]);
    }
    format!("{}\n{}", pairs.render(), section("Tasks", &rows.render()))
}

/// Tasks with what their lifecycle is called: before, beside and after the main ones.
fn ordered_tasks(alloc: &Allocation) -> Vec<(String, String)> {
    let lifecycles = alloc
        .allocated_resources
        .as_ref()
        .map(|r| &r.task_lifecycles);
    let known = |task: &str| lifecycles?.get(task)?.clone();
    let from_job = |task: &str| {
        let groups = alloc.job.as_ref()?.get("TaskGroups")?.as_array()?;
        let tasks = groups.iter().filter_map(|g| g.get("Tasks")?.as_array());
        let found = tasks
            .flatten()
            .find(|t| t.get("Name").and_then(Value::as_str) == Some(task))?;
        serde_json::from_value(found.get("Lifecycle")?.clone()).ok()
    };
    let mut tasks: Vec<(u8, String, String)> = Vec::new();
    for task in pick::tasks(alloc) {
        let lifecycle = known(&task).or_else(|| from_job(&task));
        let Some(lifecycle) = lifecycle else {
            tasks.push((4, task, String::new()));
            continue;
        };
        let rank = match (lifecycle.hook.as_str(), lifecycle.sidecar) {
            ("prestart", false) => 0,
            ("prestart", true) => 1,
            ("poststart", false) => 2,
            ("poststart", true) => 3,
            _ => 5,
        };
        let sidecar = if lifecycle.sidecar { " sidecar" } else { "" };
        tasks.push((rank, task, format!("{}{sidecar}", lifecycle.hook)));
    }
    tasks.sort_by_key(|(rank, _, _)| *rank);
    tasks
        .into_iter()
        .map(|(_, task, lifecycle)| (task, lifecycle))
        .collect()
}

fn long(ctx: &mut Ctx, args: &Args, client: &Client, alloc: &Allocation) -> String {
    let verbose = args.on("verbose");
    let mut parts = vec![head(ctx, alloc, verbose)];
    parts.extend(addresses(alloc));
    let running = matches!(
        alloc.client_status.as_str(),
        "running" | "pending" | "unknown"
    );
    if alloc.desired_status == "run" && running {
        parts.extend(checks(client, alloc));
    }
    let usage = usage(ctx, client, alloc);
    for (task, lifecycle) in ordered_tasks(alloc) {
        let used = usage
            .as_ref()
            .and_then(|u| u.tasks.get(&task))
            .map(|t| &t.resource_usage);
        parts.push(task_block(ctx, args, alloc, &task, &lifecycle, used));
    }
    let scores = alloc
        .metrics
        .as_ref()
        .map(show::metrics::scores)
        .unwrap_or_default();
    if verbose && !scores.is_empty() {
        parts.push(section("Placement Metrics", &scores));
    }
    parts.join("\n")
}

fn head(ctx: &Ctx, alloc: &Allocation, verbose: bool) -> String {
    let mut pairs = Pairs::new()
        .with("ID", &alloc.id)
        .with("Eval ID", format::id(&alloc.eval_id, false))
        .with("Name", &alloc.name)
        .with("Node ID", format::id(&alloc.node_id, verbose))
        .with("Node Name", &alloc.node_name)
        .with("Job ID", &alloc.job_id)
        .with("Job Version", job_version(alloc).to_string())
        .with("Client Status", &alloc.client_status)
        .with("Client Description", &alloc.client_description)
        .with("Desired Status", &alloc.desired_status)
        .with("Desired Description", &alloc.desired_description)
        .with("Created", ctx.when(alloc.create_time, verbose))
        .with("Modified", ctx.when(alloc.modify_time, verbose));
    if !alloc.deployment_id.is_empty() {
        pairs.add("Deployment ID", format::id(&alloc.deployment_id, verbose));
        let health = alloc.deployment_status.as_ref();
        pairs.add(
            "Deployment Health",
            match health.and_then(|h| h.healthy) {
                Some(true) => "healthy",
                Some(false) => "unhealthy",
                None => "unset",
            },
        );
        if health.is_some_and(|h| h.canary) {
            pairs.add("Canary", "true");
        }
    }
    if !alloc.next_allocation.is_empty() {
        pairs.add(
            "Replacement Alloc ID",
            format::id(&alloc.next_allocation, verbose),
        );
    }
    reschedule(ctx, alloc, &mut pairs);
    if let Some(metric) = alloc.metrics.as_ref().filter(|_| verbose) {
        pairs.add("Evaluated Nodes", metric.nodes_evaluated.to_string());
        pairs.add("Filtered Nodes", metric.nodes_filtered.to_string());
        pairs.add("Exhausted Nodes", metric.nodes_exhausted.to_string());
        pairs.add("Allocation Time", format::duration(metric.allocation_time));
        pairs.add("Failures", metric.coalesced_failures.to_string());
    }
    pairs.render()
}

fn job_version(alloc: &Allocation) -> u64 {
    let version = alloc.job.as_ref().and_then(|j| j.get("Version")?.as_u64());
    version.unwrap_or(0)
}

/// Attempts so far within the policy's interval, of how many.
fn reschedule(ctx: &Ctx, alloc: &Allocation, pairs: &mut Pairs) {
    let group = alloc.job.as_ref().and_then(|job| {
        let groups = job.get("TaskGroups")?.as_array()?;
        groups
            .iter()
            .find(|g| g.get("Name").and_then(Value::as_str) == Some(&alloc.task_group))
    });
    let policy = group.and_then(|g| g.get("ReschedulePolicy"));
    let number = |key: &str| policy.and_then(|p| p.get(key)?.as_i64()).unwrap_or(0);
    let (attempts, interval) = (number("Attempts"), number("Interval"));
    let events = alloc
        .reschedule_tracker
        .as_ref()
        .map(|t| t.events.as_slice());
    let since = ctx.now() - interval;
    let tried = events
        .unwrap_or_default()
        .iter()
        .filter(|e| e.reschedule_time >= since)
        .count();
    if attempts > 0 && tried > 0 {
        pairs.add("Reschedule Attempts", format!("{tried}/{attempts}"));
    }
}

fn addresses(alloc: &Allocation) -> Option<String> {
    let shared = &alloc.allocated_resources.as_ref()?.shared;
    if shared.ports.is_empty() {
        return None;
    }
    let network = shared.networks.first();
    let dynamic =
        |label: &str| network.is_some_and(|n| n.dynamic_ports.iter().any(|p| p.label == label));
    let mut rows = table(["Label", "Dynamic", "Address"]);
    for port in &shared.ports {
        let to = if port.to > 0 {
            format!(" -> {}", port.to)
        } else {
            String::new()
        };
        rows.row([
            format!("*{}", port.label),
            if dynamic(&port.label) { "yes" } else { "no" }.to_owned(),
            format!("{}:{}{to}", port.host_ip, port.value),
        ]);
    }
    let mode = network
        .map(|n| n.mode.as_str())
        .filter(|m| !m.is_empty() && *m != "host");
    let mode = mode
        .map(|m| format!(" (mode = \"{m}\")"))
        .unwrap_or_default();
    Some(section(
        &format!("Allocation Addresses{mode}:"),
        &rows.render(),
    ))
}

/// The checks as the node has them; none while the node cannot be asked.
fn checks(client: &Client, alloc: &Allocation) -> Option<String> {
    let path = format!("/v1/client/allocation/{}/checks", alloc.id);
    let found: Option<BTreeMap<String, CheckQueryResult>> =
        client.get(path).namespace(&alloc.namespace).read().ok()?;
    let mut found: Vec<CheckQueryResult> = found?.into_values().collect();
    if found.is_empty() {
        return None;
    }
    found.sort_by(|a, b| (&a.service, &a.check).cmp(&(&b.service, &b.check)));
    let mut rows = table(["Service", "Task", "Name", "Mode", "Status"]);
    for check in found {
        let task = if check.task.is_empty() {
            "(group)".to_owned()
        } else {
            check.task
        };
        rows.row([check.service, task, check.check, check.mode, check.status]);
    }
    Some(section("Nomad Service Checks:", &rows.render()))
}

/// What the tasks use; a node that does not answer is named on stderr.
fn usage(ctx: &mut Ctx, client: &Client, alloc: &Allocation) -> Option<AllocResourceUsage> {
    if alloc.client_status != "running" && alloc.client_status != "pending" {
        return None;
    }
    let path = format!("/v1/client/allocation/{}/stats", alloc.id);
    match client.get(path).namespace(&alloc.namespace).read() {
        Ok(usage) => Some(usage),
        Err(error) => {
            ctx.err.line(format!("Couldn't retrieve stats: {error}"));
            None
        }
    }
}

fn task_block(
    ctx: &Ctx,
    args: &Args,
    alloc: &Allocation,
    task: &str,
    lifecycle: &str,
    used: Option<&ResourceUsage>,
) -> String {
    let state = alloc.task_states.get(task).cloned().unwrap_or_default();
    let lifecycle = if lifecycle.is_empty() {
        String::new()
    } else {
        format!(" ({lifecycle})")
    };
    let title = format!("Task \"{task}\"{lifecycle} is \"{}\"", state.state);
    let mut parts = vec![format!("\n{}", bold(&title))];
    parts.push(format!("Task Resources:\n{}", resources(alloc, task, used)));
    if let Some(used) = used.filter(|_| args.on("stats")) {
        parts.push(stats(used));
    }
    parts.push(format!("\nTask Events:\n{}", times(ctx, &state)));
    if !state.events.is_empty() {
        let mut rows = table(["Time", "Type", "Description"]);
        for event in state.events.iter().rev() {
            let text = if event.display_message.is_empty() {
                &event.message
            } else {
                &event.display_message
            };
            rows.row([
                ctx.time(event.time),
                event.kind.clone(),
                text.trim_end().to_owned(),
            ]);
        }
        parts.push(format!("\nRecent Events:\n{}", rows.render()));
    }
    parts.join("\n")
}

fn times(ctx: &Ctx, state: &TaskState) -> String {
    let time = |moment: Option<Moment>| match ctx.time(moment.map_or(0, |m| m.0.0)) {
        unset if unset.is_empty() => "N/A".to_owned(),
        time => time,
    };
    Pairs::new()
        .with("Started At", time(state.started_at))
        .with("Finished At", time(state.finished_at))
        .with("Total Restarts", state.restarts.to_string())
        .with("Last Restart", time(state.last_restart))
        .render()
}

fn resources(alloc: &Allocation, task: &str, used: Option<&ResourceUsage>) -> String {
    let given = alloc.allocated_resources.as_ref();
    let own = given
        .and_then(|r| r.tasks.get(task))
        .cloned()
        .unwrap_or_default();
    let mut cpu = format!("{} MHz", own.cpu.cpu_shares);
    let mut memory = format::mebibytes(own.memory.memory_mb);
    if let Some(used) = used {
        cpu = format!("{:.0}/{cpu}", used.cpu_stats.total_ticks.floor());
        let stats = &used.memory_stats;
        let bytes = if stats.measured.iter().any(|m| m == "RSS") {
            stats.rss
        } else {
            stats.usage
        };
        memory = format!("{}/{memory}", format::bytes(bytes));
    }
    if own.memory.memory_max_mb > 0 && own.memory.memory_max_mb != own.memory.memory_mb {
        memory.push_str(&format!(
            " Max: {}",
            format::mebibytes(own.memory.memory_max_mb)
        ));
    }
    let disk = format::mebibytes(given.map_or(0, |r| r.shared.disk_mb));
    let mut addresses = Vec::new();
    for network in &own.networks {
        for port in network.dynamic_ports.iter().chain(&network.reserved_ports) {
            addresses.push(format!("{}: {}:{}", port.label, network.ip, port.value));
        }
    }
    let mut rows = table(["CPU", "Memory", "Disk", "Addresses"]).bare();
    let first = addresses.first().cloned().unwrap_or_default();
    rows.row([cpu, memory, disk, first]);
    for more in addresses.into_iter().skip(1) {
        rows.row([String::new(), String::new(), String::new(), more]);
    }
    rows.render()
}

fn stats(used: &ResourceUsage) -> String {
    let memory = &used.memory_stats;
    let values = [
        ("Cache", memory.cache, "Cache"),
        (
            "Kernel Max Usage",
            memory.kernel_max_usage,
            "Kernel Max Usage",
        ),
        ("Kernel Usage", memory.kernel_usage, "Kernel Usage"),
        ("Max Usage", memory.max_usage, "Max Usage"),
        ("RSS", memory.rss, "RSS"),
        ("Swap", memory.swap, "Swap"),
        ("Usage", memory.usage, "Usage"),
    ];
    let measured: Vec<_> = values
        .into_iter()
        .filter(|(_, _, name)| memory.measured.iter().any(|m| m == name))
        .collect();
    let mut parts = Vec::new();
    if !measured.is_empty() {
        let mut rows = table(measured.iter().map(|(title, _, _)| *title));
        rows.row(measured.iter().map(|(_, bytes, _)| format::bytes(*bytes)));
        parts.push(format!("\nMemory Stats\n{}", rows.render()));
    }
    let cpu = &used.cpu_stats;
    let values = [
        ("Percent", format!("{:.2}%", cpu.percent)),
        ("System Mode", format!("{:.2}%", cpu.system_mode)),
        ("Throttled Periods", cpu.throttled_periods.to_string()),
        ("Throttled Time", cpu.throttled_time.to_string()),
        ("User Mode", format!("{:.2}%", cpu.user_mode)),
    ];
    let measured: Vec<_> = values
        .into_iter()
        .filter(|(name, _)| cpu.measured.iter().any(|m| m == name))
        .collect();
    if !measured.is_empty() {
        let mut rows = table(measured.iter().map(|(title, _)| *title));
        rows.row(measured.iter().map(|(_, value)| value.clone()));
        parts.push(format!("\nCPU Stats\n{}", rows.render()));
    }
    parts.join("\n")
}
