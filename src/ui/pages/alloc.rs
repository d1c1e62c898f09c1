//! Allocations.

use std::sync::Arc;

use maud::{Markup, html};

use super::format::{ago, badge, client_link, facts, link, link_or_none, mib, or_dash};
use super::job::job_link;
use super::logs::{self, Log};
use super::{Column, Missing, PageRequest, Source, Table, View, bar, body, number, text};
use super::{filter, id_of, paged, passes, task};
use crate::model::{AllocClientStatus, AllocId, Allocation, Timestamp};
use crate::rpc::Read;

const STATUSES: [&str; 6] = [
    "running", "pending", "failed", "lost", "unknown", "complete",
];

const COLUMNS: [Column; 8] = [
    text("Id"),
    text("Name"),
    text("Status"),
    text("Client"),
    number("Version"),
    number("Restarts"),
    text("Created"),
    text("Modified"),
];

/// A table of allocations in pages: those that live before those that ended, newest first.
pub(super) fn pages(now: Timestamp, mut allocs: Vec<Arc<Allocation>>, at: &PageRequest) -> Markup {
    allocs.sort_by_key(|a| (a.is_terminal(), std::cmp::Reverse(a.create_index), a.id));
    let paged = paged(allocs, at);
    html! { (rows(now, &paged.rows)) (paged.links) }
}

fn rows(now: Timestamp, allocs: &[Arc<Allocation>]) -> Markup {
    let mut table = Table::new(&COLUMNS, "There are none.");
    for a in allocs {
        let restarts: u64 = a.task_states.values().map(|t| t.restarts).sum();
        let class = if a.is_terminal() { "past" } else { "" };
        let cells = vec![
            link("allocations", a.id),
            html! { (a.name) },
            status(a),
            client_link(a.node_id, &a.node_name),
            html! { (a.job.version) },
            html! { (restarts) },
            ago(now, a.create_time),
            ago(now, a.modify_time),
        ];
        table.row(format!("alloc-{}", a.id), class, cells);
    }
    table.render()
}

/// What its client says, with what is not as it should be.
pub(super) fn status(a: &Allocation) -> Markup {
    html! {
        (badge(a.client_status.as_str()))
        @if a.is_server_terminal() && !a.is_client_terminal() { " " (badge("stopping")) }
        @if !a.is_terminal() {
            @match a.deployment_health.and_then(|h| h.healthy) {
                Some(true) => { " " (badge("healthy")) },
                Some(false) => { " " (badge("unhealthy")) },
                None => {},
            }
        }
    }
}

/// `/ui/allocations`
pub(in crate::ui) async fn allocs(from: &Source, request: &PageRequest) -> Result<View, Missing> {
    let answer = from.read(Read::Allocs { namespace: None }).await?;
    let all = body!(answer, Allocs);
    let head = html! {
        h1 { "Allocations " span.count { (all.len()) } }
        (bar::allocations(all.iter().map(|a| &**a)))
        (filter("/ui/allocations", request, &STATUSES))
    };
    let fits = |a: &Arc<Allocation>| {
        let id = a.id.to_string();
        passes(
            request,
            &[&a.name, &a.node_name, &id],
            a.client_status.as_str(),
        )
    };
    let wanted = all.into_iter().filter(fits).collect();
    Ok(View::new("allocations", "Allocations")
        .part("head", head)
        .part("allocations", pages(from.now(), wanted, request)))
}

/// `/ui/allocations/<id>`, and `/ui/allocations/<id>/<task>` as a hint may point at a task.
pub(in crate::ui) async fn alloc(
    from: &Source,
    address: &str,
    request: &PageRequest,
) -> Result<View, Missing> {
    let (id, task_name) = match address.split_once('/') {
        Some((id, task)) => (id, Some(task)),
        None => (address, None),
    };
    let id: AllocId = id_of(id, "allocation")?;
    let Some(alloc) = body!(from.read(Read::Alloc(id)).await?, Alloc) else {
        return Err(Missing::Object(format!("There is no allocation {id}.")));
    };
    let now = from.now();
    let node = from.node_of(&alloc).await;
    let log = Log::of(&alloc, node.clone(), request, task_name);
    let usage = task::usage(from, &alloc, node.as_deref()).await;
    let checks = task::checks(from, &alloc, node.as_deref()).await;
    let mut view = View::new("allocations", alloc.name.clone())
        .part("head", head(&alloc))
        .part_if("trouble", trouble(&alloc))
        .part("facts", alloc_facts(&alloc, now))
        .part("tasks", task::table(&alloc, usage, now))
        .part_if("checks", checks)
        .part_if("ports", ports(&alloc))
        .part_if(logs::PART, log.as_ref().map(|log| log.show("")))
        .part("events", task::events(&alloc, now))
        .part("placement", placement(&alloc));
    view.log = log;
    Ok(view)
}

fn head(alloc: &Allocation) -> Markup {
    html! {
        p.crumb {
            a href="/ui/jobs" { "Jobs" } " / " (job_link(&alloc.job_key())) " / " (alloc.group)
        }
        h1 { (alloc.name) " " (status(alloc)) }
    }
}

/// What went wrong, in words.
fn trouble(alloc: &Allocation) -> Option<Markup> {
    let bad = match alloc.client_status {
        AllocClientStatus::Failed | AllocClientStatus::Lost | AllocClientStatus::Unknown => true,
        AllocClientStatus::Pending | AllocClientStatus::Running | AllocClientStatus::Complete => {
            false
        }
    };
    let failing = task::last_failures(alloc);
    (bad || !failing.is_empty()).then(|| {
        html! {
            div.warning {
                @if bad && !alloc.client_description.is_empty() { p { (alloc.client_description) } }
                @if bad && !alloc.desired_description.is_empty() { p { (alloc.desired_description) } }
                @for (task, text) in failing { p { b { (task) } ": " (text) } }
            }
        }
    })
}

fn alloc_facts(alloc: &Allocation, now: Timestamp) -> Markup {
    let used = alloc.resources.usage();
    let desired = html! {
        (alloc.desired.as_str())
        @if !alloc.desired_description.is_empty() { ": " (alloc.desired_description) }
    };
    facts(&[
        ("Id", html! { code { (alloc.id) } }),
        ("Client", client_link(alloc.node_id, &alloc.node_name)),
        ("Job version", html! { (alloc.job.version) }),
        ("Desired", desired),
        ("Client says", or_dash(&alloc.client_description)),
        (
            "Holds",
            html! { (used.cpu_mhz) " MHz, " (mib(used.memory_mb)) ", " (mib(used.disk_mb)) " disk" },
        ),
        ("Evaluation", link("evaluations", alloc.eval_id)),
        (
            "Deployment",
            link_or_none("deployments", alloc.deployment_id),
        ),
        ("Replaces", link_or_none("allocations", alloc.previous)),
        ("Replaced by", link_or_none("allocations", alloc.next)),
        ("Created", ago(now, alloc.create_time)),
        ("Modified", ago(now, alloc.modify_time)),
    ])
}

fn ports(alloc: &Allocation) -> Option<Markup> {
    const COLUMNS: [Column; 4] = [
        text("Label"),
        text("Address"),
        number("Inside"),
        text("Owner"),
    ];
    let mut table = Table::new(&COLUMNS, "");
    for p in &alloc.resources.ports {
        let cells = vec![
            html! { (p.label) },
            html! { code { (p.host_ip) ":" (p.value) } },
            html! { @if p.to > 0 { (p.to) } @else { "–" } },
            html! { (p.task.as_deref().unwrap_or("group")) },
        ];
        table.row("", "", cells);
    }
    (!alloc.resources.ports.is_empty()).then(|| html! { h2 { "Ports" } (table.render()) })
}

fn placement(alloc: &Allocation) -> Markup {
    const COLUMNS: [Column; 3] = [text("Client"), number("Score"), text("Parts")];
    let metrics = &alloc.metrics;
    let mut table = Table::new(&COLUMNS, "No scores were kept.");
    for s in &metrics.scores {
        let parts: Vec<String> = s
            .parts
            .iter()
            .map(|(part, score)| format!("{part} {score:.3}"))
            .collect();
        let cells = vec![
            link("clients", s.node),
            html! { (format!("{:.3}", s.total)) },
            html! { (parts.join(", ")) },
        ];
        table.row("", "", cells);
    }
    html! {
        details {
            summary { "Placement" }
            p {
                (metrics.nodes_evaluated) " clients looked at, " (metrics.nodes_filtered)
                " did not fit, " (metrics.nodes_exhausted) " had no room."
            }
            (table.render())
        }
    }
}
