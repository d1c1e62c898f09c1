//! An allocation's tasks: state, use, events, checks.

use std::sync::Arc;

use futures_util::future::join_all;
use maud::{Markup, html};

use super::format::{ago, badge, bytes, mib};
use super::{Column, Source, Table, bar, number, text};
use crate::model::{Allocation, Node, TaskState, Timestamp};
use crate::rpc::node::{AllocStats, CheckResult, CheckStatus};
use crate::rpc::{NodeAnswer, NodeAsk};

/// What an allocation's tasks use; `None` if nothing runs, the reason if the client is silent.
pub(super) async fn usage(
    from: &Source,
    alloc: &Allocation,
    node: Option<&Node>,
) -> Option<Result<AllocStats, String>> {
    let node = node.filter(|_| !alloc.is_client_terminal() && !alloc.task_states.is_empty())?;
    Some(
        match from.ask(node, NodeAsk::Stats { alloc: alloc.id }).await {
            Ok(NodeAnswer::Stats(stats)) => Ok(stats),
            Ok(_) => Err("the client answered something else".to_string()),
            Err(reason) => Err(reason),
        },
    )
}

/// Each task with what it has and uses.
pub(super) fn table(
    alloc: &Allocation,
    usage: Option<Result<AllocStats, String>>,
    now: Timestamp,
) -> Markup {
    const COLUMNS: [Column; 7] = [
        text("Task"),
        text("State"),
        text("Driver"),
        text("CPU"),
        text("Memory"),
        number("Restarts"),
        text("Since"),
    ];
    let (stats, silent) = match usage {
        Some(Ok(stats)) => (Some(stats), None),
        Some(Err(reason)) => (None, Some(reason)),
        None => (None, None),
    };
    let none = TaskState::default();
    let mut table = Table::new(&COLUMNS, "The group has no tasks.");
    let tasks = alloc.task_group().map(|g| &g.tasks);
    for task in tasks.into_iter().flatten() {
        let state = alloc.task_states.get(&task.name).unwrap_or(&none);
        let has = alloc.resources.tasks.get(&task.name);
        let (cpu, memory) = has.map_or((0, 0), |h| (h.cpu_mhz, h.memory_mb));
        let used = stats.as_ref().and_then(|s| s.tasks.get(&task.name));
        let since = match state.finished_at.is_set() {
            true => state.finished_at,
            false => state.started_at,
        };
        let cells = vec![
            html! { (task.name) },
            html! { (badge(phase(state))) },
            html! { (task.driver) },
            cpu_cell(used.and_then(|u| u.cpu_ticks), cpu),
            memory_cell(used.and_then(|u| u.memory_usage.or(u.memory_rss)), memory),
            html! { (state.restarts) },
            ago(now, since),
        ];
        table.row(format!("task-{}", task.name), "", cells);
    }
    html! {
        h2 { "Tasks" }
        (table.render())
        @if let Some(reason) = silent { p.empty { "What they use is not known: " (reason) "." } }
    }
}

/// A task's state; one that ended badly says so.
fn phase(state: &TaskState) -> &'static str {
    match state.failed {
        true => "failed",
        false => state.phase.as_str(),
    }
}

fn cpu_cell(used: Option<f64>, has: u32) -> Markup {
    match used {
        None => html! { (has) " MHz" },
        Some(used) => {
            let words = format!("{used:.0} of {has} MHz");
            html! { (words) (bar::level(used, f64::from(has), &words)) }
        }
    }
}

fn memory_cell(used: Option<u64>, has: u32) -> Markup {
    match used {
        None => mib_cell(has),
        Some(used) => {
            let words = format!("{} of {}", bytes(used), mib(u64::from(has)));
            html! { (words) (bar::level(used as f64, f64::from(has) * 1_048_576.0, &words)) }
        }
    }
}

fn mib_cell(has: u32) -> Markup {
    html! { (mib(u64::from(has))) }
}

/// What happened to each task, newest first.
pub(super) fn events(alloc: &Allocation, now: Timestamp) -> Markup {
    const COLUMNS: [Column; 4] = [text("Event"), text("Task"), text("When"), text("Text")];
    let mut all: Vec<_> = alloc
        .task_states
        .iter()
        .flat_map(|(task, state)| state.events.iter().map(move |e| (task, e)))
        .collect();
    // Events of one moment stay in their order, the later first.
    all.reverse();
    all.sort_by_key(|(_, e)| std::cmp::Reverse(e.time));
    let mut table = Table::new(&COLUMNS, "Nothing has happened yet.");
    for (task, e) in all {
        let class = if e.fails_task { "bad" } else { "" };
        let cells = vec![
            html! { (e.kind) },
            html! { (task) },
            ago(now, e.time),
            html! { (e.message) },
        ];
        table.row("", class, cells);
    }
    html! { h2 { "Events" } (table.render()) }
}

/// Why tasks failed or keep failing, by task.
pub(super) fn last_failures(alloc: &Allocation) -> Vec<(&str, &str)> {
    let restarting = |state: &&TaskState| {
        let last = state.events.last();
        state.failed || last.is_some_and(|e| e.fails_task || e.kind == "Restarting")
    };
    alloc
        .task_states
        .iter()
        .filter(|(_, state)| restarting(state))
        .filter_map(|(task, state)| {
            let telling = |kind: &str| {
                kind.contains("Failure") || kind == "Terminated" || kind == "Not Restarting"
            };
            let event = state.events.iter().rev().find(|e| telling(&e.kind));
            let event = event.or(state.events.last())?;
            Some((task.as_str(), event.message.as_str()))
        })
        .collect()
}

/// The checks' last results, if the group has any and something runs.
pub(super) async fn checks(
    from: &Source,
    alloc: &Allocation,
    node: Option<&Node>,
) -> Option<Markup> {
    const COLUMNS: [Column; 5] = [
        text("Check"),
        text("Service"),
        text("Status"),
        text("When"),
        text("Says"),
    ];
    let node = node.filter(|_| has_checks(alloc))?;
    let results = match results(from, alloc, node).await {
        Ok(results) => results,
        Err(reason) => {
            return Some(html! {
                h2 { "Checks" }
                p.empty { "They are not known: " (reason) "." }
            });
        }
    };
    let mut table = Table::new(&COLUMNS, "None has run yet.");
    let now = from.now();
    for c in &results {
        let cells = vec![
            html! { (c.check) },
            html! { (c.service) },
            badge(c.status.as_str()),
            ago(now, c.time),
            html! { (c.output) },
        ];
        table.row("", "", cells);
    }
    Some(html! { h2 { "Checks" } (table.render()) })
}

fn has_checks(alloc: &Allocation) -> bool {
    !alloc.is_terminal()
        && alloc
            .task_group()
            .is_some_and(|g| g.all_services().any(|s| !s.checks.is_empty()))
}

async fn results(
    from: &Source,
    alloc: &Allocation,
    node: &Node,
) -> Result<Vec<CheckResult>, String> {
    match from.ask(node, NodeAsk::Checks { alloc: alloc.id }).await? {
        NodeAnswer::Checks(results) => Ok(results),
        _ => Err("the client answered something else".to_string()),
    }
}

/// How many allocations the overview asks about their checks.
const CHECKED_MAX: usize = 64;

/// The checks that fail now, among the first allocations that have any.
pub(super) async fn failing_checks(
    from: &Source,
    allocs: &[Arc<Allocation>],
    nodes: &[Arc<Node>],
) -> Vec<(Arc<Allocation>, CheckResult)> {
    let checked = allocs.iter().filter(|a| has_checks(a)).take(CHECKED_MAX);
    let asked = checked.filter_map(|alloc| {
        let node = nodes.iter().find(|n| n.id == alloc.node_id)?;
        Some(async move {
            // A client that does not answer is shown as such, not as a failed check.
            let results = results(from, alloc, node).await.unwrap_or_default();
            results.into_iter().map(|c| (alloc.clone(), c)).collect()
        })
    });
    let answers: Vec<Vec<_>> = join_all(asked).await;
    let failing = |c: &CheckResult| c.status == CheckStatus::Failure;
    let all = answers.into_iter().flatten();
    all.filter(|(_, check)| failing(check)).collect()
}
