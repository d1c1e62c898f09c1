//! What a node holds while the placements of a plan are added to it, one after the other.

use std::collections::BTreeSet;

use super::alloc::Allocation;
use super::ids::{AllocId, NodeId};
use super::resources::{AllocatedPort, AllocatedResources, NodeUsage};
use super::view::ClusterView;

/// One node's resources and ports in use.
///
/// A successor may be placed where its predecessor still winds up: its client starts it when the
/// predecessor has ended. Nobody else waits for that, so until then the two together hold what
/// the larger of them holds.
pub struct Room<'a> {
    view: &'a dyn ClusterView,
    node: NodeId,
    usage: NodeUsage,
}

impl<'a> Room<'a> {
    /// The node as it is.
    pub fn of(view: &'a dyn ClusterView, node: NodeId) -> Self {
        let usage = view.usage(node);
        Self { view, node, usage }
    }

    /// The node without some allocations, which are about to be placed anew with other resources.
    pub fn without(view: &'a dyn ClusterView, node: NodeId, without: &BTreeSet<AllocId>) -> Self {
        let usage = usage_without(view, node, without);
        Self { view, node, usage }
    }

    /// What is held.
    pub fn usage(&self) -> &NodeUsage {
        &self.usage
    }

    /// What is held once `leaving` has made room for its successor.
    pub fn after(&self, leaving: Option<&Allocation>) -> NodeUsage {
        let mut usage = self.usage.clone();
        let Some(alloc) = leaving.filter(|a| self.holds(a)) else {
            return usage;
        };
        usage.amounts.sub(alloc.resources.usage());
        let without = [alloc.id].into_iter().collect();
        let others = usage_without(self.view, self.node, &without).ports;
        for port in exclusive(&alloc.resources).filter(|p| !others.contains(&p.value)) {
            usage.ports.remove(&port.value);
        }
        usage
    }

    /// Takes room for a placement, whose predecessor here may be `leaving`.
    pub fn take(&mut self, resources: &AllocatedResources, leaving: Option<&Allocation>) {
        let mut more = resources.usage();
        if let Some(alloc) = leaving.filter(|a| self.holds(a)) {
            more.sub(alloc.resources.usage());
        }
        self.usage.amounts.add(more);
        let ports = exclusive(resources).map(|p| p.value);
        self.usage.ports.extend(ports);
    }

    fn holds(&self, alloc: &Allocation) -> bool {
        alloc.node_id == self.node && alloc.holds_resources()
    }
}

/// Adds what an allocation holds.
pub fn hold(usage: &mut NodeUsage, alloc: &Allocation) {
    usage.amounts.add(alloc.resources.usage());
    let ports = exclusive(&alloc.resources).map(|p| p.value);
    usage.ports.extend(ports);
}

/// The ports that no other allocation of the node may have.
pub fn exclusive(resources: &AllocatedResources) -> impl Iterator<Item = &AllocatedPort> {
    resources.ports.iter().filter(|p| !p.ignore_collision)
}

fn usage_without(view: &dyn ClusterView, node: NodeId, without: &BTreeSet<AllocId>) -> NodeUsage {
    let here = |id: &AllocId| view.alloc(*id).is_some_and(|a| a.node_id == node);
    if !without.iter().any(here) {
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
