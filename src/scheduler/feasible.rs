//! Which nodes may run a group, and why the others may not. Whether it fits is `rank`'s part.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::attributes::{Patterns, glob, is_unique, resolve};
use crate::model::resources::NetworkMode;
use crate::model::{
    AllocMetric, Allocation, ClusterView, Constraint, Job, Node, Operand, TaskGroup,
};

/// The pool that holds every node.
const POOL_ALL: &str = "all";

/// Why a job does not look at a node at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outside {
    Pool,
    NotReady,
    Datacenter,
}

/// Everything that keeps `node` from being looked at, in the order in which it is judged.
pub(super) fn outside(job: &Job, node: &Node) -> impl Iterator<Item = Outside> {
    let spec = &job.spec;
    let in_pool = spec.node_pool == POOL_ALL || node.node_pool == spec.node_pool;
    let in_datacenter = spec.datacenters.iter().any(|dc| glob(dc, &node.datacenter));
    let judged = [
        (Outside::Pool, in_pool),
        (Outside::NotReady, node.is_ready()),
        (Outside::Datacenter, in_datacenter),
    ];
    judged.into_iter().filter(|(_, holds)| !holds).map(|j| j.0)
}

/// The nodes that a job may look at: ready, in its datacenters and in its pool.
pub(super) struct Candidates {
    pub(super) nodes: Vec<Arc<Node>>,
    /// What every placement of the job starts to count from.
    pub(super) metric: AllocMetric,
}

impl Candidates {
    /// Looks at every node once.
    pub(super) fn of(view: &dyn ClusterView, job: &Job) -> Self {
        let mut metric = AllocMetric {
            node_pool: job.spec.node_pool.clone(),
            ..AllocMetric::default()
        };
        let mut nodes = Vec::new();
        for node in view.nodes() {
            let refused = outside(job, &node).next();
            match refused {
                Some(Outside::Pool | Outside::NotReady) => continue,
                Some(Outside::Datacenter) => metric.nodes_in_pool += 1,
                None => {
                    metric.nodes_in_pool += 1;
                    *metric
                        .nodes_available
                        .entry(node.datacenter.clone())
                        .or_default() += 1;
                    nodes.push(node);
                }
            }
        }
        Self { nodes, metric }
    }
}

/// The rules of one group, collected from its job, itself and its tasks.
pub(super) struct Rules<'a> {
    constraints: Vec<&'a Constraint>,
    drivers: BTreeSet<&'a str>,
    needs_network: bool,
    /// `distinct_hosts`, for (the whole job, this group).
    pub(super) distinct_hosts: (bool, bool),
    /// `distinct_property` rules; true: over the whole job.
    pub(super) distinct_property: Vec<(&'a Constraint, bool)>,
    patterns: Patterns,
}

impl<'a> Rules<'a> {
    /// Everything that `group` of `job` asks of a node.
    pub(super) fn of(job: &'a Job, group: &'a TaskGroup) -> Self {
        let own = group
            .constraints
            .iter()
            .chain(group.tasks.iter().flat_map(|t| &t.constraints));
        let all = job.spec.constraints.iter().map(|c| (c, true));
        let mut rules = Self {
            constraints: Vec::new(),
            drivers: group.tasks.iter().map(|t| t.driver.as_str()).collect(),
            needs_network: needs_network(group),
            distinct_hosts: (false, false),
            distinct_property: Vec::new(),
            patterns: Patterns::default(),
        };
        for (constraint, whole_job) in all.chain(own.map(|c| (c, false))) {
            match constraint.operand {
                Operand::DistinctHosts if constraint.right == "false" => {}
                Operand::DistinctHosts if whole_job => rules.distinct_hosts.0 = true,
                Operand::DistinctHosts => rules.distinct_hosts.1 = true,
                Operand::DistinctProperty => {
                    rules.distinct_property.push((constraint, whole_job));
                }
                _ => rules.constraints.push(constraint),
            }
        }
        rules
    }

    /// Whether a rule tells apart nodes of one class.
    pub(super) fn escape_classes(&self) -> bool {
        self.constraints
            .iter()
            .any(|c| is_unique(&c.left) || is_unique(&c.right))
    }

    /// Every rule that `node` breaks, in the order in which they are judged.
    pub(super) fn refusals<'n>(
        &'n mut self,
        node: &'n Node,
    ) -> impl Iterator<Item = Refusal<'a>> + 'n {
        let patterns = &mut self.patterns;
        let unmet = self.constraints.iter().filter(move |constraint| {
            let left = resolve(node, &constraint.left);
            let right = resolve(node, &constraint.right);
            !patterns.holds(left.as_deref(), constraint.operand, right.as_deref())
        });
        let missing = self.drivers.iter().filter(|d| !has_driver(node, d));
        let network = self.needs_network && node.host_ip.is_empty();
        unmet
            .map(|c| Refusal::Constraint(c))
            .chain(missing.map(|d| Refusal::Driver(d)))
            .chain(network.then_some(Refusal::Network))
    }

    /// Why `node` may not run the group.
    pub(super) fn refusal(&mut self, node: &Node) -> Option<Refusal<'a>> {
        self.refusals(node).next()
    }
}

/// A rule that a node breaks; shown as failed placements name it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal<'a> {
    Constraint(&'a Constraint),
    Driver(&'a str),
    Network,
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constraint(constraint) => f.write_str(&text(constraint)),
            Self::Driver(_) => f.write_str("missing drivers"),
            Self::Network => f.write_str("missing network"),
        }
    }
}

fn needs_network(group: &TaskGroup) -> bool {
    let old = group.tasks.iter().flat_map(|t| &t.resources.networks);
    group
        .networks
        .iter()
        .chain(old)
        .any(|n| n.mode == NetworkMode::Host && !n.ports.is_empty())
}

fn has_driver(node: &Node, driver: &str) -> bool {
    node.drivers
        .get(driver)
        .is_some_and(|d| d.detected && d.healthy)
}

/// A constraint as failed placements name it.
pub(super) fn text(constraint: &Constraint) -> String {
    format!(
        "{} {} {}",
        constraint.left,
        constraint.operand.as_str(),
        constraint.right
    )
    .trim()
    .to_string()
}

/// The nodes that may run a group, and what was learnt about the others.
pub(super) struct Feasible {
    pub(super) nodes: Vec<Arc<Node>>,
    pub(super) metric: AllocMetric,
    /// By computed class: whether some node of it may.
    pub(super) classes: BTreeMap<String, bool>,
}

impl Feasible {
    /// Judges every candidate, so that each reason has its exact count.
    pub(super) fn of(candidates: &Candidates, rules: &mut Rules<'_>) -> Self {
        let mut feasible = Self {
            nodes: Vec::new(),
            metric: candidates.metric.clone(),
            classes: BTreeMap::new(),
        };
        for node in &candidates.nodes {
            feasible.metric.nodes_evaluated += 1;
            let class = feasible
                .classes
                .entry(node.computed_class.clone())
                .or_default();
            match rules.refusal(node) {
                None => {
                    *class = true;
                    feasible.nodes.push(node.clone());
                }
                Some(reason) => filter(&mut feasible.metric, node, reason.to_string()),
            }
        }
        feasible
    }
}

/// Counts a node that may not run the group.
pub(super) fn filter(metric: &mut AllocMetric, node: &Node, reason: String) {
    metric.nodes_filtered += 1;
    *metric.constraint_filtered.entry(reason).or_default() += 1;
    if !node.node_class.is_empty() {
        *metric
            .class_filtered
            .entry(node.node_class.clone())
            .or_default() += 1;
    }
}

/// Counts a node that may run the group but has no room in `dimension`.
pub(super) fn exhaust(metric: &mut AllocMetric, node: &Node, dimension: String) {
    metric.nodes_exhausted += 1;
    *metric.dimension_exhausted.entry(dimension).or_default() += 1;
    if !node.node_class.is_empty() {
        *metric
            .class_exhausted
            .entry(node.node_class.clone())
            .or_default() += 1;
    }
}

/// Whether a running allocation's node still meets the rules of a new version.
pub(super) fn stays_feasible(
    view: &dyn ClusterView,
    job: &Job,
    group: &TaskGroup,
    alloc: &Allocation,
) -> bool {
    let Some(node) = view.node(alloc.node_id) else {
        return false;
    };
    outside(job, &node).all(|o| o == Outside::NotReady)
        && Rules::of(job, group).refusal(&node).is_none()
}
