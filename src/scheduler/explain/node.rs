//! Why a node takes nothing, or what it has left.

use super::Case;
use super::placement::{driver_words, unready};
use super::words::{ago, count, number, quoted, sentence, step};
use crate::model::node::DrainLimit;
use crate::model::why::{Rule, Step, Verdict, Why, WhyKind};
use crate::model::{AllocClientStatus, Node, NodeStatus};

/// A node with less than this share of a dimension free is full, in per cent.
const FULL_BELOW: u64 = 5;

/// Explains a node.
pub(super) fn why(case: Case<'_>, node: &Node) -> Why {
    let unready = unready(node);
    let full = full(case, node);
    let drivers = drivers(node);
    let usable = node.drivers.values().any(|d| d.detected && d.healthy);
    let (verdict, told) = match (unready.first(), &full, usable) {
        (Some((rule, text)), _, _) => {
            let verdict = match (rule, node.status) {
                (Rule::Status, NodeStatus::Initializing) => Verdict::Waiting,
                (Rule::Drain, _) => Verdict::Waiting,
                _ => Verdict::Broken,
            };
            (verdict, format!("takes nothing: it is {text}"))
        }
        (None, _, false) => (
            Verdict::Broken,
            "takes nothing: no driver works there".to_string(),
        ),
        (None, Some(dimension), true) => (
            Verdict::Waiting,
            format!("is ready but full: hardly any {dimension} is free"),
        ),
        (None, None, true) => (Verdict::Fine, "is ready and takes work".to_string()),
    };
    let mut reasons = standing(case, node);
    reasons.push(room(case, node));
    reasons.extend(drivers);
    Why {
        kind: WhyKind::Node,
        id: node.id.to_string(),
        name: node.name.clone(),
        verdict,
        summary: sentence(&format!(
            "node {} ({}, datacenter \"{}\", pool \"{}\") {told}",
            node.name,
            node.id.short(),
            node.datacenter,
            node.node_pool
        )),
        reasons,
        next: steps(node, &unready),
        ..Why::default()
    }
}

/// What is known of how it came to be unready.
fn standing(case: Case<'_>, node: &Node) -> Vec<String> {
    let mut told = Vec::new();
    let since = ago(case.now, node.status_updated_at);
    let detail = match quoted(&node.status_description) {
        text if text.is_empty() => String::new(),
        text => format!(": {text}"),
    };
    match node.status {
        NodeStatus::Ready => {}
        NodeStatus::Initializing => told.push(format!(
            "It has registered and its client has not reported to be ready{detail}."
        )),
        NodeStatus::Down => told.push(format!(
            "It has been down since {since}{detail}. Its agent does not answer at {}: start it, \
             or mend the network between them.",
            node.rpc_addr
        )),
        NodeStatus::Disconnected => told.push(format!(
            "It has been out of reach since {since}{detail}; its allocations are unknown until it \
             comes back."
        )),
    }
    if let Some(drain) = &node.drain {
        let allocs = case.view.allocs_of_node(node.id);
        let left = allocs.iter().filter(|a| a.holds_resources()).count() as u64;
        let limit = match drain.spec.limit {
            DrainLimit::Never => "it has no deadline".to_string(),
            DrainLimit::AtOnce => "what is left is forced off at once".to_string(),
            DrainLimit::After(_) => format!(
                "what is left is forced off in {}",
                super::words::span(drain.deadline, case.now)
            ),
        };
        told.push(format!(
            "Its drain began {}; {} left on it, {limit}.",
            ago(case.now, drain.started_at),
            count(left, "allocation"),
        ));
    } else if !node.is_ready() && node.status == NodeStatus::Ready {
        told.push(match &node.last_drain {
            Some(last) => format!(
                "A drain, {} {}, left it ineligible.",
                last.status.as_str(),
                ago(case.now, last.updated_at)
            ),
            None => "Somebody marked it ineligible; what runs on it goes on.".to_string(),
        });
    }
    told
}

/// What it has and what is free of it.
fn room(case: Case<'_>, node: &Node) -> String {
    let allocs = case.view.allocs_of_node(node.id);
    let running = allocs
        .iter()
        .filter(|a| a.client_status == AllocClientStatus::Running)
        .count() as u64;
    let parts = dimensions(case, node).map(|(name, unit, free, all)| {
        format!("{} of {} {unit} of {name}", number(free), number(all))
    });
    format!(
        "{} on it; free: {}.",
        match running {
            1 => "1 allocation runs".to_string(),
            n => format!("{} allocations run", number(n)),
        },
        parts.join(", ")
    )
}

/// Name, unit, what is free and what there is.
fn dimensions(case: Case<'_>, node: &Node) -> [(&'static str, &'static str, u64, u64); 3] {
    let (used, all) = (case.view.usage(node.id).amounts, node.available());
    [
        (
            "CPU",
            "MHz",
            all.cpu_mhz.saturating_sub(used.cpu_mhz),
            all.cpu_mhz,
        ),
        (
            "memory",
            "MiB",
            all.memory_mb.saturating_sub(used.memory_mb),
            all.memory_mb,
        ),
        (
            "disk",
            "MiB",
            all.disk_mb.saturating_sub(used.disk_mb),
            all.disk_mb,
        ),
    ]
}

/// The dimension that has hardly anything left.
fn full(case: Case<'_>, node: &Node) -> Option<&'static str> {
    let scarce = |d: &(_, _, u64, u64)| d.2 * 100 < d.3 * FULL_BELOW || d.3 == 0;
    dimensions(case, node).into_iter().find(scarce).map(|d| d.0)
}

/// Which drivers work, and why the others do not.
fn drivers(node: &Node) -> Vec<String> {
    let works = |d: &&String| {
        node.drivers
            .get(*d)
            .is_some_and(|i| i.detected && i.healthy)
    };
    let good: Vec<String> = node.drivers.keys().filter(works).cloned().collect();
    let mut told = Vec::new();
    if !good.is_empty() {
        told.push(format!("Drivers that work: {}.", good.join(", ")));
    }
    let broken = node.drivers.keys().filter(|d| !works(d));
    told.extend(broken.map(|d| sentence(&driver_words(node, d))));
    told
}

fn steps(node: &Node, unready: &[(Rule, &'static str)]) -> Vec<Step> {
    let id = node.id.short();
    let mut steps = Vec::new();
    match unready.first().map(|u| u.0) {
        Some(Rule::Eligibility) => steps.push(step(
            format!("tumen node eligibility -enable {id}"),
            "lets it take work again",
        )),
        Some(Rule::Drain) => steps.push(step(
            format!("tumen node drain -disable {id}"),
            "ends the drain",
        )),
        Some(_) => steps.push(step(
            "tumen server members",
            "what the agents see of each other",
        )),
        None => {}
    }
    steps.push(step(
        format!("tumen node status -verbose {id}"),
        "all attributes, drivers, events and allocations",
    ));
    steps
}
