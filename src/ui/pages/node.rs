//! Clients: the nodes that run allocations.

use maud::{Markup, html};

use super::format::{ago, badge, facts, link, mib, table};
use super::{Missing, Ui, View, body, id_of, now};
use crate::model::resources::Amounts;
use crate::model::{Allocation, Node, NodeId, Timestamp};
use crate::rpc::Read;

/// `/ui/clients`
pub(in crate::ui) async fn clients(ui: &Ui) -> Result<View, Missing> {
    let nodes = body!(ui.read(Read::Nodes).await?, Nodes);
    let rows = nodes
        .iter()
        .map(|n| {
            html! {
                td { (link("clients", n.id)) }
                td { (n.name) }
                td { (badge(n.status.as_str())) " " (state(n)) }
                td { (n.http_addr) }
                td { (n.datacenter) }
                td { (n.node_pool) }
                td { (drivers(n)) }
            }
        })
        .collect();
    let content = html! {
        h1 { "Clients" }
        (table(
            &["Id", "Name", "Status", "Address", "Datacenter", "Pool", "Drivers"],
            rows,
            "No client has registered.",
        ))
    };
    Ok(View {
        title: "Clients".to_string(),
        section: "clients",
        content,
    })
}

/// Why it takes no new allocations, if it does not.
fn state(node: &Node) -> Markup {
    html! {
        @if node.drain.is_some() {
            (badge("draining"))
        } @else if node.eligibility == crate::model::Eligibility::Ineligible {
            (badge("ineligible"))
        }
    }
}

fn drivers(node: &Node) -> String {
    let healthy: Vec<&str> = node
        .drivers
        .iter()
        .filter(|(_, d)| d.detected && d.healthy)
        .map(|(name, _)| name.as_str())
        .collect();
    if healthy.is_empty() {
        "none".to_string()
    } else {
        healthy.join(", ")
    }
}

/// `/ui/clients/<id>`
pub(in crate::ui) async fn client(ui: &Ui, text: &str) -> Result<View, Missing> {
    let id: NodeId = id_of(text, "client")?;
    let Some(node) = body!(ui.read(Read::Node(id)).await?, Node) else {
        return Err(Missing::Object(format!("There is no client {id}.")));
    };
    let allocs = body!(ui.read(Read::NodeAllocs(id)).await?, Allocs);
    let now = now(ui);
    let content = html! {
        p.crumb { a href="/ui/clients" { "Clients" } }
        h1 { (node.name) " " (badge(node.status.as_str())) " " (state(&node)) }
        @if !node.status_description.is_empty() { p.warning { (node.status_description) } }
        (node_facts(&node, now))
        h2 { "Allocated" }
        (usage(&node, allocs.iter().map(|a| &**a)))
        h2 { "Drivers" }
        (driver_table(&node))
        h2 { "Allocations" }
        (super::alloc::rows(now, &allocs))
        h2 { "Events" }
        (events(&node, now))
        h2 { "Attributes" }
        (pairs(&node.attributes))
        h2 { "Meta" }
        (pairs(&node.meta))
    };
    Ok(View {
        title: node.name.clone(),
        section: "clients",
        content,
    })
}

fn node_facts(node: &Node, now: Timestamp) -> Markup {
    facts(&[
        ("Id", html! { code { (node.id) } }),
        ("Address", html! { (node.http_addr) }),
        ("Datacenter", html! { (node.datacenter) }),
        ("Pool", html! { (node.node_pool) }),
        (
            "Class",
            html! { @if node.node_class.is_empty() { "–" } @else { (node.node_class) } },
        ),
        ("Eligibility", html! { (badge(node.eligibility.as_str())) }),
        ("Status since", ago(now, node.status_updated_at)),
    ])
}

fn usage<'a>(node: &Node, allocs: impl Iterator<Item = &'a Allocation>) -> Markup {
    let mut used = Amounts::default();
    for alloc in allocs.filter(|a| a.holds_resources()) {
        used.add(alloc.resources.usage());
    }
    let has = node.available();
    let row = |name: &str, used: u64, has: u64, shown: &dyn Fn(u64) -> String| {
        html! {
            td { (name) }
            td { (shown(used)) " of " (shown(has)) }
            td { meter min="0" max=(has.max(1)) value=(used) { (used * 100 / has.max(1)) " %" } }
        }
    };
    let mhz = |n: u64| format!("{n} MHz");
    table(
        &["Resource", "Held", ""],
        vec![
            row("CPU", used.cpu_mhz, has.cpu_mhz, &mhz),
            row("Memory", used.memory_mb, has.memory_mb, &mib),
            row("Disk", used.disk_mb, has.disk_mb, &mib),
        ],
        "",
    )
}

fn driver_table(node: &Node) -> Markup {
    let rows = node
        .drivers
        .iter()
        .map(|(name, d)| {
            let status = match (d.detected, d.healthy) {
                (false, _) => "not detected",
                (true, true) => "healthy",
                (true, false) => "unhealthy",
            };
            html! { td { (name) } td { (badge(status)) } td { (d.description) } }
        })
        .collect();
    table(&["Driver", "Status", "Says"], rows, "No driver is known.")
}

fn events(node: &Node, now: Timestamp) -> Markup {
    let rows = node
        .events
        .iter()
        .rev()
        .map(|e| html! { td { (ago(now, e.time)) } td { (e.subsystem) } td { (e.message) } })
        .collect();
    table(
        &["When", "Subsystem", "Text"],
        rows,
        "Nothing has happened yet.",
    )
}

fn pairs(entries: &std::collections::BTreeMap<String, String>) -> Markup {
    let rows = entries
        .iter()
        .map(|(key, value)| html! { td { code { (key) } } td { (value) } })
        .collect();
    table(&["Key", "Value"], rows, "None.")
}
