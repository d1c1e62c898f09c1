//! Clients: the nodes that run allocations.

use std::sync::Arc;

use maud::{Markup, html};

use super::format::{ago, badge, client_link, facts, mib, or_dash, pairs};
use super::{Column, Missing, PageRequest, Source, Table, View, bar, body, text};
use super::{filter, id_of, paged, passes};
use crate::model::resources::Amounts;
use crate::model::{Allocation, Eligibility, Node, NodeId, NodeStatus, Timestamp};
use crate::rpc::node::HostStats;
use crate::rpc::{NodeAnswer, NodeAsk, Read};

const STATUSES: [&str; 4] = ["ready", "initializing", "disconnected", "down"];

/// `/ui/clients`
pub(in crate::ui) async fn clients(from: &Source, request: &PageRequest) -> Result<View, Missing> {
    const COLUMNS: [Column; 7] = [
        text("Name"),
        text("Status"),
        text("Id"),
        text("Address"),
        text("Datacenter"),
        text("Pool"),
        text("Drivers"),
    ];
    let all = body!(from.read(Read::Nodes).await?, Nodes);
    let head = html! {
        h1 { "Clients " span.count { (all.len()) } }
        (filter("/ui/clients", request, &STATUSES))
    };
    let fits = |n: &Arc<Node>| {
        let id = n.id.to_string();
        let names = [&n.name, &id, &n.datacenter, &n.node_pool];
        passes(request, &names.map(String::as_str), n.status.as_str())
    };
    let mut wanted: Vec<_> = all.into_iter().filter(fits).collect();
    // What needs a look comes first.
    wanted.sort_by(|a, b| {
        let order = |n: &Node| (n.status == NodeStatus::Ready, n.is_ready());
        (order(a), &a.name, a.id).cmp(&(order(b), &b.name, b.id))
    });
    let paged = paged(wanted, request);
    let mut table = Table::new(&COLUMNS, "No client has registered.");
    for n in &paged.rows {
        let cells = vec![
            client_link(n.id, &n.name),
            status(n),
            html! { code.id { (n.id.short()) } },
            html! { code { (n.http_addr) } },
            html! { (n.datacenter) },
            html! { (n.node_pool) },
            drivers(n),
        ];
        table.row(format!("client-{}", n.id), "", cells);
    }
    Ok(View::new("clients", "Clients")
        .part("head", head)
        .part("clients", html! { (table.render()) (paged.links) }))
}

/// Whether it is there, and why it takes no new allocations if it does not.
pub(super) fn status(node: &Node) -> Markup {
    html! {
        (badge(node.status.as_str()))
        @if node.drain.is_some() {
            " " (badge("draining"))
        } @else if node.eligibility == Eligibility::Ineligible {
            " " (badge("ineligible"))
        }
    }
}

/// The drivers that were found; those that do not work are marked.
fn drivers(node: &Node) -> Markup {
    let found = node.drivers.iter().filter(|(_, d)| d.detected);
    let found: Vec<_> = found.collect();
    html! {
        @if found.is_empty() { "none" }
        @for (n, (name, driver)) in found.iter().enumerate() {
            @if n > 0 { ", " }
            @if driver.healthy { (name) } @else {
                span.bad title=(driver.description) { (name) " (unhealthy)" }
            }
        }
    }
}

/// `/ui/clients/<id>`
pub(in crate::ui) async fn client(
    from: &Source,
    id: &str,
    request: &PageRequest,
) -> Result<View, Missing> {
    let id: NodeId = id_of(id, "client")?;
    let Some(node) = body!(from.read(Read::Node(id)).await?, Node) else {
        return Err(Missing::Object(format!("There is no client {id}.")));
    };
    let allocs = body!(from.read(Read::NodeAllocs(id)).await?, Allocs);
    let now = from.now();
    let head = html! {
        p.crumb { a href="/ui/clients" { "Clients" } }
        h1 { (node.name) " " (status(&node)) }
        @if !node.status_description.is_empty() && node.status != NodeStatus::Ready {
            p.warning { (node.status_description) }
        }
    };
    let host = host(from, &node).await;
    let resources = resources(&node, &allocs, host.as_ref());
    let allocations = html! {
        h2 { "Allocations " span.count { (allocs.len()) } }
        (super::alloc::pages(now, allocs, request))
    };
    let attributes = html! {
        (pairs("Attributes", node.attributes.iter()))
        (pairs("Meta", node.meta.iter()))
    };
    Ok(View::new("clients", node.name.clone())
        .part("head", head)
        .part("facts", node_facts(&node, now))
        .part("resources", resources)
        .part("drivers", driver_table(&node, now))
        .part("allocations", allocations)
        .part("events", events(&node, now))
        .part("attributes", attributes))
}

/// What the machine uses; `None` if it is not there, the reason if it does not tell.
async fn host(from: &Source, node: &Node) -> Option<Result<HostStats, String>> {
    if node.status != NodeStatus::Ready {
        return None;
    }
    Some(match from.ask(node, NodeAsk::Host).await {
        Ok(NodeAnswer::Host(stats)) => Ok(stats),
        Ok(_) => Err("the client answered something else".to_string()),
        Err(reason) => Err(reason),
    })
}

fn node_facts(node: &Node, now: Timestamp) -> Markup {
    let drained = match &node.last_drain {
        Some(last) => html! { (last.status.as_str()) ", " (ago(now, last.updated_at)) },
        None => html! { "–" },
    };
    facts(&[
        ("Id", html! { code { (node.id) } }),
        ("Address", html! { code { (node.http_addr) } }),
        ("Datacenter", html! { (node.datacenter) }),
        ("Pool", html! { (node.node_pool) }),
        ("Class", or_dash(&node.node_class)),
        ("Eligibility", badge(node.eligibility.as_str())),
        ("Last drain", drained),
        ("Status since", ago(now, node.status_updated_at)),
    ])
}

fn resources(
    node: &Node,
    allocs: &[Arc<Allocation>],
    host: Option<&Result<HostStats, String>>,
) -> Markup {
    const COLUMNS: [Column; 3] = [
        text("Resource"),
        text("Allotted"),
        text("Used on the machine"),
    ];
    let mut held = Amounts::default();
    for alloc in allocs.iter().filter(|a| a.holds_resources()) {
        held.add(alloc.resources.usage());
    }
    let has = node.available();
    let stats = host.and_then(|h| h.as_ref().ok());
    let mhz = |n: u64| format!("{n} MHz");
    let cell = |used: u64, all: u64, shown: &dyn Fn(u64) -> String| {
        let words = format!("{} of {}", shown(used), shown(all));
        html! { (words) (bar::level(used as f64, all as f64, &words)) }
    };
    let none = || html! { "–" };
    let rows = [
        (
            "CPU",
            cell(held.cpu_mhz, has.cpu_mhz, &mhz),
            stats.map(|s| cell(s.cpu_ticks as u64, node.resources.amounts.cpu_mhz, &mhz)),
        ),
        (
            "Memory",
            cell(held.memory_mb, has.memory_mb, &mib),
            stats.map(|s| cell(s.memory_used >> 20, s.memory_total >> 20, &mib)),
        ),
        (
            "Disk",
            cell(held.disk_mb, has.disk_mb, &mib),
            stats.map(|s| cell(s.alloc_dir.used >> 20, s.alloc_dir.size >> 20, &mib)),
        ),
    ];
    let mut table = Table::new(&COLUMNS, "");
    for (name, allotted, used) in rows {
        let cells = vec![html! { (name) }, allotted, used.unwrap_or_else(none)];
        table.row("", "", cells);
    }
    html! {
        h2 { "Resources" }
        (table.render())
        @if let Some(Err(reason)) = host {
            p.empty { "What the machine uses is not known: " (reason) "." }
        }
    }
}

fn driver_table(node: &Node, now: Timestamp) -> Markup {
    const COLUMNS: [Column; 4] = [
        text("Driver"),
        text("Status"),
        text("Says"),
        text("Updated"),
    ];
    let mut table = Table::new(&COLUMNS, "No driver is known.");
    for (name, d) in &node.drivers {
        let status = match (d.detected, d.healthy) {
            (false, _) => "not detected",
            (true, true) => "healthy",
            (true, false) => "unhealthy",
        };
        let cells = vec![
            html! { (name) },
            badge(status),
            or_dash(&d.description),
            ago(now, d.update_time),
        ];
        table.row(format!("driver-{name}"), "", cells);
    }
    html! { h2 { "Drivers" } (table.render()) }
}

fn events(node: &Node, now: Timestamp) -> Markup {
    const COLUMNS: [Column; 3] = [text("Event"), text("When"), text("Subsystem")];
    let mut table = Table::new(&COLUMNS, "Nothing has happened yet.");
    for e in node.events.iter().rev() {
        let cells = vec![
            html! { (e.message) },
            ago(now, e.time),
            html! { (e.subsystem) },
        ];
        table.row("", "", cells);
    }
    html! { h2 { "Events" } (table.render()) }
}
