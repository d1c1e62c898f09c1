//! Whether a plan still fits the newest state.
//!
//! The plan applier asks before it proposes, and every server asks again when it applies, so
//! that a plan from an old snapshot never overfills a node.

use std::collections::{BTreeMap, BTreeSet};

use super::alloc::Allocation;
use super::ids::{AllocId, NodeId};
use super::node::{Node, NodeStatus};
use super::plan::Plan;
use super::resources::{AllocatedPort, Amounts, NodeUsage};
use super::view::ClusterView;

/// What of a plan does not fit, by node and with the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub refused: BTreeMap<NodeId, String>,
}

impl Verdict {
    /// The part of `plan` that fits: nothing of a refused node; with `all_at_once`, all or
    /// nothing.
    pub fn accepted(&self, plan: &Plan) -> Plan {
        let mut fits = plan.clone();
        if plan.all_at_once && !self.refused.is_empty() {
            fits.stops.clear();
            fits.places.clear();
            fits.deployment = None;
            fits.deployment_updates.clear();
        }
        fits.stops
            .retain(|node, _| !self.refused.contains_key(node));
        fits.places
            .retain(|node, _| !self.refused.contains_key(node));
        fits
    }
}

/// Judges every node of `plan` by itself, so that one stale node never sinks the others.
///
/// Pure: every server reaches the same verdict on the same state.
pub fn verify(view: &dyn ClusterView, plan: &Plan) -> Verdict {
    let mut verdict = Verdict::default();
    for (id, places) in &plan.places {
        if places.is_empty() {
            continue;
        }
        let checked = match view.node(*id) {
            None => Err("node does not exist".to_string()),
            Some(node) => check_node(view, plan, &node, places),
        };
        if let Err(reason) = checked {
            verdict.refused.insert(*id, reason);
        }
    }
    verdict
}

fn check_node(
    view: &dyn ClusterView,
    plan: &Plan,
    node: &Node,
    places: &[Allocation],
) -> Result<(), String> {
    // An update that asks for nothing else changes nothing that could fail to fit.
    let grows = |a: &&Allocation| view.alloc(a.id).is_none_or(|o| o.resources != a.resources);
    let asking: Vec<&Allocation> = places.iter().filter(grows).collect();
    let any_new = asking.iter().any(|a| view.alloc(a.id).is_none());
    if any_new && !node.is_ready() {
        return Err("node is not ready for placements".to_string());
    }
    if node.status == NodeStatus::Down {
        return Err("node is down".to_string());
    }
    if asking.is_empty() {
        return Ok(());
    }
    let left = usage_without(view, node.id, &leaving(plan, node.id, &asking));
    fits(node, left, &asking)
}

/// The allocations whose room on `node` the placements may count on: themselves, and their own
/// predecessors if the plan stops them. What else the plan stops may still run when a
/// placement starts, so its room is only free once its client says so.
fn leaving(plan: &Plan, node: NodeId, places: &[&Allocation]) -> BTreeSet<AllocId> {
    let follows = |id: AllocId| places.iter().any(|a| a.previous == Some(id));
    let stops = plan.stops.get(&node).into_iter().flatten();
    stops
        .filter(|s| !s.keep_running && follows(s.id))
        .map(|s| s.id)
        .chain(places.iter().map(|a| a.id))
        .collect()
}

/// What is held on a node by all but `without`.
///
/// A successor may be placed where its predecessor still winds up: the client starts it when the
/// predecessor has ended.
pub fn usage_without(
    view: &dyn ClusterView,
    node: NodeId,
    without: &BTreeSet<AllocId>,
) -> NodeUsage {
    let leaves = |id: &AllocId| view.alloc(*id).is_some_and(|a| a.node_id == node);
    if !without.iter().any(leaves) {
        return view.usage(node);
    }
    let mut usage = NodeUsage::default();
    for alloc in view.allocs_of_node(node) {
        if alloc.holds_resources() && !without.contains(&alloc.id) {
            hold(&mut usage, &alloc);
        }
    }
    usage
}

/// Adds what an allocation holds.
pub fn hold(usage: &mut NodeUsage, alloc: &Allocation) {
    usage.amounts.add(alloc.resources.usage());
    usage.ports.extend(exclusive(alloc).map(|p| p.value));
}

fn exclusive(alloc: &Allocation) -> impl Iterator<Item = &AllocatedPort> {
    alloc.resources.ports.iter().filter(|p| !p.ignore_collision)
}

/// Whether `places` fit on top of `usage`.
fn fits(node: &Node, mut usage: NodeUsage, places: &[&Allocation]) -> Result<(), String> {
    for alloc in places {
        for port in exclusive(alloc) {
            if node.reserved.ports.contains(&port.value) {
                return Err(format!(
                    "reserved port collision {}={}",
                    port.label, port.value
                ));
            }
            if !usage.ports.insert(port.value) {
                return Err(format!("port collision {}={}", port.label, port.value));
            }
        }
        usage.amounts.add(alloc.resources.usage());
    }
    match exceeded(usage.amounts, node.available()) {
        Some(dimension) => Err(dimension.to_string()),
        None => Ok(()),
    }
}

/// The first dimension in which `used` exceeds `available`.
pub fn exceeded(used: Amounts, available: Amounts) -> Option<&'static str> {
    if used.cpu_mhz > available.cpu_mhz {
        Some("cpu")
    } else if used.memory_mb > available.memory_mb {
        Some("memory")
    } else if used.disk_mb > available.disk_mb {
        Some("disk")
    } else {
        None
    }
}
