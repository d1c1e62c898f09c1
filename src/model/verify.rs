//! Whether a plan still fits the newest state.
//!
//! The plan applier asks before it proposes, and every server asks again when it applies, so
//! that a plan from an old snapshot never overfills a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::alloc::Allocation;
use super::ids::NodeId;
use super::node::{Node, NodeStatus};
use super::plan::Plan;
use super::resources::{Amounts, NodeUsage};
use super::room::{Room, exclusive};
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
    let own = asking.iter().map(|a| a.id).collect();
    let mut room = Room::without(view, node.id, &own);
    for alloc in asking {
        let leaving = predecessor(view, plan, alloc);
        fits(node, room.after(leaving.as_deref()), alloc)?;
        room.take(&alloc.resources, leaving.as_deref());
    }
    Ok(())
}

/// The allocation whose room a placement may count on: its own predecessor, if the plan stops
/// it. What else the plan stops may still run when the placement starts, so its room is only
/// free once its client says so.
fn predecessor(view: &dyn ClusterView, plan: &Plan, alloc: &Allocation) -> Option<Arc<Allocation>> {
    let previous = alloc.previous?;
    let stops = plan.stops.get(&alloc.node_id)?;
    let ends = stops.iter().any(|s| s.id == previous && !s.keep_running);
    ends.then(|| view.alloc(previous)).flatten()
}

/// Whether `alloc` fits on top of `usage`.
fn fits(node: &Node, usage: NodeUsage, alloc: &Allocation) -> Result<(), String> {
    for port in exclusive(&alloc.resources) {
        let (label, value) = (&port.label, port.value);
        if node.reserved.ports.contains(&value) {
            return Err(format!("reserved port collision {label}={value}"));
        }
        if usage.ports.contains(&value) {
            return Err(format!("port collision {label}={value}"));
        }
    }
    let mut amounts = usage.amounts;
    amounts.add(alloc.resources.usage());
    match exceeded(amounts, node.available()) {
        Some(dimension) => Err(dimension.to_string()),
        None => Ok(()),
    }
}

/// The first dimension in which `used` exceeds `available`.
pub fn exceeded(used: Amounts, available: Amounts) -> Option<&'static str> {
    all_exceeded(used, available).next()
}

/// Every dimension in which `used` exceeds `available`, in the order in which they are judged.
pub fn all_exceeded(used: Amounts, available: Amounts) -> impl Iterator<Item = &'static str> {
    let dimensions = [
        ("cpu", used.cpu_mhz, available.cpu_mhz),
        ("memory", used.memory_mb, available.memory_mb),
        ("disk", used.disk_mb, available.disk_mb),
    ];
    let beyond = dimensions.into_iter().filter(|(_, used, all)| used > all);
    beyond.map(|(name, _, _)| name)
}
