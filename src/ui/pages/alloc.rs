//! Allocations.

use std::sync::Arc;

use maud::{Markup, html};

use super::format::{ago, badge, facts, link, mib, table};
use super::{Missing, Ui, View, body, id_of, now};
use crate::model::{AllocId, Allocation, TaskState, Timestamp};
use crate::rpc::{NodeAnswer, NodeAsk, Read};

/// A table of allocations, newest first.
pub(super) fn rows(now: Timestamp, allocs: &[Arc<Allocation>]) -> Markup {
    let mut newest: Vec<&Arc<Allocation>> = allocs.iter().collect();
    newest.sort_by_key(|a| (std::cmp::Reverse(a.create_index), a.id));
    let rows = newest
        .iter()
        .map(|a| {
            html! {
                td { (link("allocations", a.id)) }
                td { (a.name) }
                td { (badge(a.client_status.as_str())) }
                td { (a.desired.as_str()) }
                td { (a.job.version) }
                td { a href={ "/ui/clients/" (a.node_id) } { (a.node_name) } }
                td { (ago(now, a.create_time)) }
                td { (ago(now, a.modify_time)) }
            }
        })
        .collect();
    table(
        &[
            "Id", "Name", "Status", "Desired", "Version", "Client", "Created", "Modified",
        ],
        rows,
        "There are none.",
    )
}

/// `/ui/allocations`
pub(in crate::ui) async fn allocs(ui: &Ui) -> Result<View, Missing> {
    let answer = ui.read(Read::Allocs { namespace: None }).await?;
    let allocs = body!(answer, Allocs);
    Ok(View {
        title: "Allocations".to_string(),
        section: "allocations",
        content: html! { h1 { "Allocations" } (rows(now(ui), &allocs)) },
    })
}

/// `/ui/allocations/<id>`
pub(in crate::ui) async fn alloc(ui: &Ui, text: &str) -> Result<View, Missing> {
    // A hint may point at a task of it.
    let id: AllocId = id_of(text.split('/').next().unwrap_or(text), "allocation")?;
    let Some(alloc) = body!(ui.read(Read::Alloc(id)).await?, Alloc) else {
        return Err(Missing::Object(format!("There is no allocation {id}.")));
    };
    let now = now(ui);
    let content = html! {
        p.crumb { (super::job::job_link(&alloc.job_key())) " · " (alloc.group) }
        h1 { (alloc.name) " " (badge(alloc.client_status.as_str())) }
        (alloc_facts(&alloc, now))
        @if !alloc.resources.ports.is_empty() {
            h2 { "Ports" }
            (ports(&alloc))
        }
        (checks(ui, &alloc).await)
        @for (name, state) in &alloc.task_states {
            h2 { "Task " (name) " " (badge(state.phase.as_str())) }
            (task(state, now))
        }
        h2 { "Placement" }
        (scores(&alloc))
    };
    Ok(View {
        title: alloc.name.clone(),
        section: "allocations",
        content,
    })
}

fn alloc_facts(alloc: &Allocation, now: Timestamp) -> Markup {
    let used = alloc.resources.usage();
    let health = match alloc.deployment_health.and_then(|h| h.healthy) {
        Some(true) => "healthy",
        Some(false) => "unhealthy",
        None => "not known",
    };
    facts(&[
        ("Id", html! { code { (alloc.id) } }),
        (
            "Client",
            html! { a href={ "/ui/clients/" (alloc.node_id) } { (alloc.node_name) } },
        ),
        ("Job version", html! { (alloc.job.version) }),
        (
            "Desired",
            html! { (alloc.desired.as_str()) " " (alloc.desired_description) },
        ),
        ("Client says", html! { (alloc.client_description) }),
        ("Health", html! { (health) }),
        ("CPU", html! { (used.cpu_mhz) " MHz" }),
        ("Memory", html! { (mib(used.memory_mb)) }),
        ("Disk", html! { (mib(used.disk_mb)) }),
        (
            "Evaluation",
            html! {
                a.id href={ "/ui/evaluations/" (alloc.eval_id) } { (alloc.eval_id.short()) }
            },
        ),
        (
            "Replaces",
            html! {
                @match alloc.previous { Some(id) => (link("allocations", id)), None => "–" }
            },
        ),
        (
            "Replaced by",
            html! {
                @match alloc.next { Some(id) => (link("allocations", id)), None => "–" }
            },
        ),
        ("Created", ago(now, alloc.create_time)),
        ("Modified", ago(now, alloc.modify_time)),
    ])
}

fn ports(alloc: &Allocation) -> Markup {
    let rows = alloc
        .resources
        .ports
        .iter()
        .map(|p| {
            html! {
                td { (p.label) }
                td { (p.host_ip) ":" (p.value) }
                td { @if p.to > 0 { (p.to) } @else { "–" } }
                td { (p.task.as_deref().unwrap_or("group")) }
            }
        })
        .collect();
    table(&["Label", "Address", "Inside", "Owner"], rows, "")
}

/// What the client says of the checks; an ended allocation has none, a silent client says so.
async fn checks(ui: &Ui, alloc: &Allocation) -> Markup {
    let has_checks = alloc
        .task_group()
        .is_some_and(|g| g.all_services().any(|s| !s.checks.is_empty()));
    if !has_checks || alloc.is_client_terminal() {
        return html! {};
    }
    let node = match ui.read(Read::Node(alloc.node_id)).await {
        Ok(answer) => match answer.body {
            crate::rpc::Body::Node(Some(node)) => node,
            _ => return html! {},
        },
        Err(_) => return html! {},
    };
    let client = ui.nodes.node(node.id, node.rpc_addr);
    let asked = client.ask(NodeAsk::Checks { alloc: alloc.id });
    let limit = std::time::Duration::from_secs(2);
    match crate::env::timeout(&*ui.env.clock, limit, asked).await {
        Ok(Ok(NodeAnswer::Checks(results))) => {
            let rows = results
                .iter()
                .map(|c| {
                    html! {
                        td { (c.service) }
                        td { (c.check) }
                        td { (badge(c.status.as_str())) }
                        td { (c.output) }
                    }
                })
                .collect();
            html! {
                h2 { "Checks" }
                (table(&["Service", "Check", "Status", "Output"], rows, "None has run yet."))
            }
        }
        Ok(Ok(_)) | Err(_) => html! { p.warning { "The client does not tell about the checks." } },
        Ok(Err(error)) => html! { p.warning { "The checks are not known: " (error) } },
    }
}

fn task(state: &TaskState, now: Timestamp) -> Markup {
    let rows = state
        .events
        .iter()
        .rev()
        .map(|e| {
            html! {
                td { (ago(now, e.time)) }
                td { (e.kind) }
                td { (e.message) }
            }
        })
        .collect();
    html! {
        (facts(&[
            ("Started", ago(now, state.started_at)),
            ("Finished", ago(now, state.finished_at)),
            ("Restarts", html! { (state.restarts) }),
            ("Last restart", ago(now, state.last_restart)),
        ]))
        p {}
        (table(&["When", "Event", "Text"], rows, "Nothing has happened yet."))
    }
}

fn scores(alloc: &Allocation) -> Markup {
    let rows = alloc
        .metrics
        .scores
        .iter()
        .map(|s| {
            html! {
                td { (link("clients", s.node)) }
                td { (format!("{:.3}", s.total)) }
                td { @for (part, score) in &s.parts { (part) " " (format!("{score:.3}")) "  " } }
            }
        })
        .collect();
    html! {
        p { (alloc.metrics.nodes_evaluated) " nodes evaluated, "
            (alloc.metrics.nodes_filtered) " filtered, "
            (alloc.metrics.nodes_exhausted) " without room." }
        (table(&["Client", "Score", "Parts"], rows, "No scores were kept."))
    }
}
