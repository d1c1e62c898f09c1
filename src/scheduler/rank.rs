//! Which of the nodes that may run a group fit one more instance, and which is best.
//!
//! Every feasible node is looked at. What a node scores by itself is kept until something is
//! placed on it, so that a further instance costs a comparison per node.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::attributes::{Patterns, resolve};
use super::feasible::{Feasible, Rules, exhaust, filter};
use super::ports::{Asks, PortRefusal};
use super::spread::Spreads;
use crate::model::metric::NodeScore;
use crate::model::resources::Amounts;
use crate::model::room::Room;
use crate::model::verify::all_exceeded;
use crate::model::view::Algorithm;
use crate::model::{
    Affinity, AllocMetric, AllocatedResources, Allocation, ClusterView, Job, Node, NodeId,
    NodeUsage, TaskGroup,
};

/// How many of the best nodes a placement remembers.
const SCORES_KEPT: usize = 5;

/// What the nodes hold while a plan grows.
pub(super) struct Rooms<'a> {
    view: &'a dyn ClusterView,
    rooms: BTreeMap<NodeId, Room<'a>>,
    /// Running or planned instances of the job, by node and group.
    present: BTreeMap<NodeId, BTreeMap<String, u32>>,
}

impl<'a> Rooms<'a> {
    /// The nodes as they are, where `staying` are the job's instances that the plan keeps.
    pub(super) fn new<'b>(
        view: &'a dyn ClusterView,
        staying: impl Iterator<Item = &'b Arc<Allocation>>,
    ) -> Self {
        let mut rooms = Self {
            view,
            rooms: BTreeMap::new(),
            present: BTreeMap::new(),
        };
        for alloc in staying {
            rooms.count(alloc.node_id, &alloc.group);
        }
        rooms
    }

    fn count(&mut self, node: NodeId, group: &str) {
        let groups = self.present.entry(node).or_default();
        *groups.entry(group.to_string()).or_default() += 1;
    }

    fn present(&self, node: NodeId, group: &str) -> u32 {
        let groups = self.present.get(&node);
        groups.and_then(|g| g.get(group)).copied().unwrap_or(0)
    }

    fn any_present(&self, node: NodeId) -> bool {
        self.present.get(&node).is_some_and(|g| !g.is_empty())
    }

    /// What is held on a node.
    pub(super) fn on(&mut self, node: NodeId) -> &mut Room<'a> {
        let view = self.view;
        self.rooms
            .entry(node)
            .or_insert_with(|| Room::of(view, node))
    }

    /// Takes room for a placement.
    pub(super) fn take(
        &mut self,
        node: NodeId,
        group: &str,
        resources: &AllocatedResources,
        leaving: Option<&Allocation>,
    ) {
        self.on(node).take(resources, leaving);
        self.count(node, group);
    }
}

/// What a node scores by itself for one more instance.
#[derive(Clone)]
enum Own {
    /// Its own parts: bin packing or spreading, anti-affinity, affinity.
    Fits {
        packing: f64,
        crowding: f64,
        affinity: f64,
    },
    Full(String),
}

/// What keeps one more instance off a node that may run its group; shown as failed placements
/// name it.
#[derive(Debug)]
pub(super) enum Obstacle<'a> {
    Occupied(Occupied<'a>),
    Port(PortRefusal<'a>),
    /// Too little is left of this dimension.
    Short(&'static str),
}

/// A `distinct_…` rule that another instance would break.
#[derive(Debug)]
pub(super) enum Occupied<'a> {
    Host,
    NoProperty(&'a str),
    Property {
        property: &'a str,
        value: String,
        used: u32,
    },
}

impl fmt::Display for Obstacle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Occupied(occupied) => occupied.fmt(f),
            Self::Port(refusal) => refusal.fmt(f),
            Self::Short(dimension) => f.write_str(dimension),
        }
    }
}

impl fmt::Display for Occupied<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("distinct_hosts"),
            Self::NoProperty(property) => write!(f, "missing property \"{property}\""),
            Self::Property {
                property,
                value,
                used,
            } => write!(
                f,
                "distinct_property: {property}={value} used by {used} allocs"
            ),
        }
    }
}

/// How good a node is; the fields' order is the policy, and the node decides ties.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Score {
    /// The mean of the parts that apply, in billionths.
    total: i64,
    /// Differs from evaluation to evaluation, so that equal nodes share the load.
    lot: u64,
    node: NodeId,
}

/// A node that fits, with its score and what that is made of.
struct Ranked {
    score: Score,
    /// Its position among the feasible nodes.
    at: usize,
    parts: Vec<(&'static str, f64)>,
}

impl Ranked {
    /// The score as a placement remembers it.
    fn shown(&self) -> NodeScore {
        let applies = |part: &&(&str, f64)| part.0 != "allocation-spread" || part.1 != 0.0;
        let parts = self.parts.iter().filter(applies);
        NodeScore {
            node: self.score.node,
            parts: parts.map(|(n, v)| ((*n).to_string(), *v)).collect(),
            total: self.score.total as f64 / 1e9,
        }
    }
}

/// What is special about one instance to be placed.
#[derive(Default)]
pub(super) struct Wish<'a> {
    /// Ends on its node to make room for this one.
    pub(super) leaving: Option<&'a Allocation>,
    /// Nodes where it failed before.
    pub(super) avoid: Vec<NodeId>,
}

/// Ranks the feasible nodes of one group.
pub(super) struct Ranker<'a> {
    group: &'a TaskGroup,
    rules: Rules<'a>,
    pub(super) feasible: Feasible,
    pub(super) asks: Asks<'a>,
    /// What an instance holds, its ports aside.
    pub(super) resources: AllocatedResources,
    algorithm: Algorithm,
    affinities: Vec<&'a Affinity>,
    own: Vec<Option<Own>>,
    spreads: Spreads<'a>,
    seed: u64,
}

impl<'a> Ranker<'a> {
    /// Ready to place instances of `group`.
    pub(super) fn new(
        view: &dyn ClusterView,
        job: &'a Job,
        group: &'a TaskGroup,
        rules: Rules<'a>,
        feasible: Feasible,
        seed: u64,
    ) -> Self {
        let config = view.scheduler_config();
        let own = group.affinities.iter().chain(&job.spec.affinities);
        Self {
            own: vec![None; feasible.nodes.len()],
            affinities: own
                .chain(group.tasks.iter().flat_map(|t| &t.affinities))
                .collect(),
            asks: Asks::of(group),
            resources: resources_of(group, config.memory_oversubscription),
            algorithm: config.algorithm,
            spreads: Spreads::of(job, group, &feasible.nodes),
            group,
            rules,
            feasible,
            seed,
        }
    }

    /// Tells what the distribution already is.
    pub(super) fn note_present(&mut self, view: &dyn ClusterView, staying: &[Arc<Allocation>]) {
        for alloc in staying.iter().filter(|a| a.group == self.group.name) {
            if let Some(node) = view.node(alloc.node_id) {
                self.spreads.count(&node);
            }
        }
    }

    /// The best node for one more instance, or what every node lacked.
    pub(super) fn choose(
        &mut self,
        rooms: &mut Rooms<'_>,
        wish: &Wish<'_>,
    ) -> (Option<Arc<Node>>, AllocMetric) {
        let mut metric = self.feasible.metric.clone();
        let mut best: Vec<Ranked> = Vec::new();
        for at in 0..self.feasible.nodes.len() {
            let node = self.feasible.nodes[at].clone();
            if let Some(reason) = self.occupied(rooms, &node) {
                filter(&mut metric, &node, reason.to_string());
                continue;
            }
            match self.own(rooms, at, wish) {
                Own::Full(dimension) => exhaust(&mut metric, &node, dimension),
                Own::Fits {
                    packing,
                    crowding,
                    affinity,
                } => {
                    let spread = self.spreads.score(at);
                    let avoided = wish.avoid.contains(&node.id);
                    let penalty = if avoided { -1.0 } else { 0.0 };
                    let applied = [
                        (true, packing),
                        (crowding != 0.0, crowding),
                        (avoided, penalty),
                        (affinity != 0.0, affinity),
                        (spread != 0.0, spread),
                    ];
                    let score = self.score(&applied, node.id);
                    let worst = best.last().map(|b| b.score);
                    if best.len() == SCORES_KEPT && worst.is_some_and(|w| w >= score) {
                        continue;
                    }
                    let parts = vec![
                        ("binpack", packing),
                        ("job-anti-affinity", crowding),
                        ("node-reschedule-penalty", penalty),
                        ("node-affinity", affinity),
                        ("allocation-spread", spread),
                    ];
                    let position = best.partition_point(|b| b.score > score);
                    best.insert(position, Ranked { score, at, parts });
                    best.truncate(SCORES_KEPT);
                }
            }
        }
        metric.scores = best.iter().map(Ranked::shown).collect();
        let chosen = best.first().map(|b| self.feasible.nodes[b.at].clone());
        (chosen, metric)
    }

    /// Remembers that an instance was placed on `node`.
    pub(super) fn placed(&mut self, node: &Node) {
        if let Ok(at) = self.feasible.nodes.binary_search_by_key(&node.id, |n| n.id) {
            self.own[at] = None;
        }
        self.spreads.count(node);
    }

    fn score(&self, parts: &[(bool, f64)], node: NodeId) -> Score {
        let applied: Vec<f64> = parts.iter().filter(|p| p.0).map(|p| p.1).collect();
        let mean = applied.iter().sum::<f64>() / applied.len() as f64;
        let (high, low) = node.0.as_u64_pair();
        Score {
            total: (mean * 1e9) as i64,
            lot: mix(self.seed ^ high ^ low.rotate_left(32)),
            node,
        }
    }

    /// Why another instance beside those on the node breaks a `distinct_…` rule.
    fn occupied(&self, rooms: &Rooms<'_>, node: &Node) -> Option<Occupied<'a>> {
        let (job, group) = self.rules.distinct_hosts;
        let name = &self.group.name;
        if (job && rooms.any_present(node.id)) || (group && rooms.present(node.id, name) > 0) {
            return Some(Occupied::Host);
        }
        for (constraint, whole_job) in &self.rules.distinct_property {
            let property = &constraint.left;
            let Some(value) = resolve(node, property) else {
                return Some(Occupied::NoProperty(property));
            };
            let limit = constraint.right.parse::<u32>().unwrap_or(1).max(1);
            let mut used = 0;
            for (id, groups) in &rooms.present {
                let other = rooms.view.node(*id);
                let same = other.is_some_and(|n| resolve(&n, property).as_deref() == Some(&*value));
                used += match (same, whole_job) {
                    (false, _) => 0,
                    (true, true) => groups.values().sum(),
                    (true, false) => groups.get(name).copied().unwrap_or(0),
                };
            }
            if used >= limit {
                let value = value.into_owned();
                return Some(Occupied::Property {
                    property,
                    value,
                    used,
                });
            }
        }
        None
    }

    /// What `node`, which holds `usage`, lacks for one more instance.
    fn lacks(&self, node: &Node, usage: &NodeUsage) -> impl Iterator<Item = Obstacle<'a>> {
        let ports = self.asks.refusals(node, &usage.ports).map(Obstacle::Port);
        let mut after = usage.amounts;
        after.add(self.resources.usage());
        ports.chain(all_exceeded(after, node.available()).map(Obstacle::Short))
    }

    /// Everything that keeps one more instance off `node` as it is, in the order in which it is
    /// judged.
    pub(super) fn obstacles(&self, rooms: &mut Rooms<'_>, node: &Node) -> Vec<Obstacle<'a>> {
        let occupied = self.occupied(rooms, node).map(Obstacle::Occupied);
        let lacks = self.lacks(node, rooms.on(node.id).usage());
        occupied.into_iter().chain(lacks).collect()
    }

    fn own(&mut self, rooms: &mut Rooms<'_>, at: usize, wish: &Wish<'_>) -> Own {
        let node = self.feasible.nodes[at].clone();
        if wish.leaving.is_some_and(|l| l.node_id == node.id) {
            return self.look(rooms, &node, wish.leaving);
        }
        if let Some(own) = &self.own[at] {
            return own.clone();
        }
        let own = self.look(rooms, &node, None);
        self.own[at] = Some(own.clone());
        own
    }

    fn look(&self, rooms: &mut Rooms<'_>, node: &Node, leaving: Option<&Allocation>) -> Own {
        let usage = rooms.on(node.id).after(leaving);
        if let Some(lack) = self.lacks(node, &usage).next() {
            return Own::Full(lack.to_string());
        }
        let available = node.available();
        let mut after = usage.amounts;
        after.add(self.resources.usage());
        let beside = f64::from(rooms.present(node.id, &self.group.name));
        let crowding = match beside > 0.0 {
            true => -(beside + 1.0) / f64::from(self.group.count.max(1)),
            false => 0.0,
        };
        Own::Fits {
            packing: packing(self.algorithm, after, available),
            crowding,
            affinity: self.affinity(node),
        }
    }

    fn affinity(&self, node: &Node) -> f64 {
        let mut patterns = Patterns::default();
        let weights: f64 = self
            .affinities
            .iter()
            .map(|a| f64::from(a.weight).abs())
            .sum();
        let matched: f64 = self
            .affinities
            .iter()
            .filter(|a| {
                let left = resolve(node, &a.left);
                let right = resolve(node, &a.right);
                patterns.holds(left.as_deref(), a.operand, right.as_deref())
            })
            .map(|a| f64::from(a.weight))
            .sum();
        if weights > 0.0 {
            matched / weights
        } else {
            0.0
        }
    }

    /// The group that is ranked for.
    pub(super) fn group_name(&self) -> &'a str {
        &self.group.name
    }
}

/// What one instance of a group holds, its ports aside.
fn resources_of(group: &TaskGroup, oversubscribe: bool) -> AllocatedResources {
    let tasks = group.tasks.iter().map(|task| {
        let max = task.resources.memory_max_mb;
        let held = crate::model::AllocatedTask {
            cpu_mhz: task.resources.cpu_mhz,
            memory_mb: task.resources.memory_mb,
            memory_max_mb: if oversubscribe { max } else { 0 },
            lifecycle: task.lifecycle,
        };
        (task.name.clone(), held)
    });
    AllocatedResources {
        tasks: tasks.collect(),
        disk_mb: group.ephemeral_disk_mb,
        ports: Vec::new(),
    }
}

/// 0 to 1: how full (or, for the spread algorithm, how empty) a node is after placing.
fn packing(algorithm: Algorithm, used: Amounts, available: Amounts) -> f64 {
    let free = |used: u64, all: u64| match all {
        0 => 0.0,
        all => 1.0 - used as f64 / all as f64,
    };
    let cpu = 10f64.powf(free(used.cpu_mhz, available.cpu_mhz));
    let memory = 10f64.powf(free(used.memory_mb, available.memory_mb));
    let raw = match algorithm {
        Algorithm::Binpack => 20.0 - (cpu + memory),
        Algorithm::Spread => cpu + memory - 2.0,
    };
    raw.clamp(0.0, 18.0) / 18.0
}

/// Scatters a number over all of its bits.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
