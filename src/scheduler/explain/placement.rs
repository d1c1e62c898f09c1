//! Where one more instance of a group could go, and what keeps it off every other node.
//!
//! Every node is judged by the rules that placement itself judges by; only the words are here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::words::{number, quoted};
use crate::model::resources::Amounts;
use crate::model::room::exclusive;
use crate::model::why::{Holder, NearMiss, Placement, Removed, Rule, Step};
use crate::model::{
    Allocation, ClusterView, Constraint, Eligibility, Job, Node, NodeId, NodeStatus, TaskGroup,
};
use crate::scheduler::attributes::resolve;
use crate::scheduler::feasible::{Candidates, Feasible, Outside, Refusal, Rules, outside, text};
use crate::scheduler::ports::PortRefusal;
use crate::scheduler::rank::{Obstacle, Occupied, Ranker, Rooms};

/// How many of the nearest nodes are told.
const NEAREST_MAX: usize = 3;
/// How many nodes a rule names.
const NAMES_MAX: usize = 3;
/// How many allocations are named as holding what is lacking.
const HOLDERS_MAX: usize = 3;

/// A rule that one node breaks.
struct Breach {
    rule: Rule,
    /// What nodes that break it alike have in common.
    shared: String,
    /// The same of this node alone, with its figures.
    own: String,
    /// How much is lacking: 1 stands for all of it.
    weight: f64,
    port: Option<u16>,
}

impl Breach {
    fn new(rule: Rule, shared: impl Into<String>) -> Self {
        let shared = shared.into();
        Self {
            rule,
            own: shared.clone(),
            shared,
            weight: 1.0,
            port: None,
        }
    }

    fn own(mut self, own: impl Into<String>) -> Self {
        self.own = own.into();
        self
    }
}

/// Judges every node of the cluster for one more instance of `group`.
pub(super) fn placement(view: &dyn ClusterView, job: &Job, group: &TaskGroup) -> Placement {
    let live = |a: &Arc<Allocation>| !a.is_terminal();
    let staying: Vec<_> = view
        .allocs_of_job(&job.key())
        .into_iter()
        .filter(live)
        .collect();
    let mut rooms = Rooms::new(view, staying.iter());
    let mut rules = Rules::of(job, group);
    let feasible = Feasible::of(&Candidates::of(view, job), &mut rules);
    let ranker = Ranker::new(view, job, group, Rules::of(job, group), feasible, 0);
    let mut judge = Judge {
        job,
        rules,
        ranker,
        staying: &staying,
    };
    let mut placement = Placement::default();
    let mut removed: BTreeMap<(Rule, String), Removed> = BTreeMap::new();
    let mut near: Vec<(usize, f64, Arc<Node>, Vec<Breach>)> = Vec::new();
    for node in view.nodes() {
        placement.nodes += 1;
        let breaches = judge.breaches(&mut rooms, &node);
        let Some(first) = breaches.first() else {
            placement.fitting += 1;
            continue;
        };
        let known = removed.entry((first.rule, first.shared.clone()));
        let known = known.or_insert_with(|| Removed {
            rule: first.rule,
            text: first.shared.clone(),
            count: 0,
            names: Vec::new(),
        });
        known.count += 1;
        if known.names.len() < NAMES_MAX {
            known.names.push(node.name.clone());
        }
        let weight = breaches.iter().map(|b| b.weight).sum();
        near.push((breaches.len(), weight, node, breaches));
    }
    near.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    near.truncate(NEAREST_MAX);
    placement.removed = removed.into_values().collect();
    placement.nearest = near
        .into_iter()
        .map(|(_, _, node, breaches)| near_miss(view, &node, &breaches))
        .collect();
    placement
}

struct Judge<'a> {
    job: &'a Job,
    rules: Rules<'a>,
    ranker: Ranker<'a>,
    staying: &'a [Arc<Allocation>],
}

impl<'a> Judge<'a> {
    fn breaches(&mut self, rooms: &mut Rooms<'a>, node: &Node) -> Vec<Breach> {
        let mut found: Vec<Breach> = outside(self.job, node)
            .flat_map(|o| outside_words(self.job, node, o))
            .collect();
        found.extend(self.rules.refusals(node).map(|r| refusal_words(node, r)));
        let obstacles = self.ranker.obstacles(rooms, node);
        for obstacle in obstacles {
            found.push(match obstacle {
                Obstacle::Occupied(occupied) => self.occupied_words(node.id, &occupied),
                Obstacle::Port(refusal) => port_words(refusal),
                Obstacle::Short(dimension) => {
                    let need = self.ranker.resources.usage();
                    let used = rooms.on(node.id).usage().amounts;
                    short_words(dimension, need, used, node)
                }
            });
        }
        found
    }

    fn occupied_words(&self, node: NodeId, occupied: &Occupied<'_>) -> Breach {
        match occupied {
            Occupied::Host => {
                let shared = "an instance runs there and distinct_hosts allows no second";
                let there = self.staying.iter().find(|a| a.node_id == node);
                let own = there.map(|a| {
                    let id = a.id.short();
                    format!(
                        "runs {} ({id}), and distinct_hosts allows no second",
                        a.name
                    )
                });
                Breach::new(Rule::DistinctHosts, shared).own(own.unwrap_or(shared.to_string()))
            }
            Occupied::NoProperty(property) => Breach::new(
                Rule::DistinctProperty,
                format!("{property} is not set, and distinct_property needs it"),
            ),
            Occupied::Property {
                property,
                value,
                used,
            } => Breach::new(
                Rule::DistinctProperty,
                format!(
                    "{property} is \"{value}\", which {used} instances already have \
                     (distinct_property)"
                ),
            ),
        }
    }
}

fn outside_words(job: &Job, node: &Node, outside: Outside) -> Vec<Breach> {
    let spec = &job.spec;
    match outside {
        Outside::Pool => vec![Breach::new(
            Rule::NodePool,
            format!(
                "in node pool \"{}\", the job wants \"{}\"",
                node.node_pool, spec.node_pool
            ),
        )],
        Outside::Datacenter => vec![Breach::new(
            Rule::Datacenter,
            format!(
                "in datacenter \"{}\", the job wants {}",
                node.datacenter,
                either(&spec.datacenters)
            ),
        )],
        Outside::NotReady => not_ready_words(node),
    }
}

/// What keeps a node from taking anything. A draining node is not eligible either; that is not
/// told twice.
pub(super) fn unready(node: &Node) -> Vec<(Rule, &'static str)> {
    let status = match node.status {
        NodeStatus::Ready => None,
        NodeStatus::Initializing => Some("still starting (initializing)"),
        NodeStatus::Down => Some("down"),
        NodeStatus::Disconnected => Some("disconnected"),
    };
    let closed = match (&node.drain, node.eligibility) {
        (Some(_), _) => Some((Rule::Drain, "draining")),
        (None, Eligibility::Ineligible) => Some((Rule::Eligibility, "marked ineligible")),
        (None, Eligibility::Eligible) => None,
    };
    let status = status.map(|s| (Rule::Status, s));
    status.into_iter().chain(closed).collect()
}

fn not_ready_words(node: &Node) -> Vec<Breach> {
    let found = unready(node).into_iter();
    found.map(|(rule, text)| Breach::new(rule, text)).collect()
}

fn either(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|n| format!("\"{n}\"")).collect();
    quoted.join(" or ")
}

fn refusal_words(node: &Node, refusal: Refusal<'_>) -> Breach {
    match refusal {
        Refusal::Constraint(constraint) => constraint_words(node, constraint),
        Refusal::Driver(driver) => Breach::new(Rule::Driver, driver_words(node, driver)),
        Refusal::Network => Breach::new(
            Rule::Network,
            "no address that ports could be published on was found",
        ),
    }
}

fn constraint_words(node: &Node, constraint: &Constraint) -> Breach {
    let shared = format!("constraint {} is not met", text(constraint));
    let value = match resolve(node, &constraint.left) {
        Some(value) => format!("{} is \"{value}\"", constraint.left),
        None => format!("{} is not set", constraint.left),
    };
    Breach::new(Rule::Constraint, format!("{shared}: {value} there"))
        .own(format!("{shared}: there {value}"))
}

/// Why `driver` cannot be used on `node`, in the driver's own words where it has any.
pub(super) fn driver_words(node: &Node, driver: &str) -> String {
    let Some(info) = node.drivers.get(driver) else {
        return format!("driver \"{driver}\" does not exist there");
    };
    let state = match info.detected {
        true => "is not healthy",
        false => "was not found",
    };
    match quoted(&info.description) {
        words if words.is_empty() => format!("driver \"{driver}\" {state}"),
        words => format!("driver \"{driver}\" {state}: {words}"),
    }
}

fn port_words(refusal: PortRefusal<'_>) -> Breach {
    match refusal {
        PortRefusal::Taken {
            label,
            port,
            by_node,
        } => {
            let how = match by_node {
                true => "kept back by the node's configuration",
                false => "taken",
            };
            Breach {
                port: (!by_node).then_some(port),
                ..Breach::new(Rule::Port, format!("port {port} (\"{label}\") is {how}"))
            }
        }
        PortRefusal::TooFew { wanted, free } => Breach::new(
            Rule::Port,
            format!("too few free ports for the {wanted} dynamic ones that an instance needs"),
        )
        .own(format!(
            "has {free} free ports in its dynamic range, an instance needs {wanted}"
        )),
    }
}

/// A dimension's name in sentences, its unit, and its part of some amounts.
fn dimension_of(rule: Rule, amounts: Amounts) -> (&'static str, &'static str, u64) {
    match rule {
        Rule::Cpu => ("CPU", "MHz", amounts.cpu_mhz),
        Rule::Memory => ("memory", "MiB", amounts.memory_mb),
        _ => ("disk", "MiB", amounts.disk_mb),
    }
}

fn short_words(dimension: &str, need: Amounts, used: Amounts, node: &Node) -> Breach {
    let rule = match dimension {
        "cpu" => Rule::Cpu,
        "memory" => Rule::Memory,
        _ => Rule::Disk,
    };
    let (name, unit, need) = dimension_of(rule, need);
    let (_, _, all) = dimension_of(rule, node.available());
    let (_, _, used) = dimension_of(rule, used);
    let free = all.saturating_sub(used);
    let lacking = need.saturating_sub(free);
    let amount = |n: u64| format!("{} {unit}", number(n));
    if need > all {
        let shared = format!("too small: an instance needs {} of {name}", amount(need));
        let own = format!(
            "too small: an instance needs {} of {name}, the whole node has {}",
            amount(need),
            number(all)
        );
        let mut breach = Breach::new(rule, shared).own(own);
        breach.weight = 1.0 + lacking as f64 / need as f64;
        return breach;
    }
    let shared = format!("too little {name} free: an instance needs {}", amount(need));
    let own = format!(
        "lacks {} of {name}: an instance needs {}, {} of {} are free",
        amount(lacking),
        number(need),
        number(free),
        number(all)
    );
    let mut breach = Breach::new(rule, shared).own(own);
    breach.weight = lacking as f64 / need as f64;
    breach
}

fn near_miss(view: &dyn ClusterView, node: &Node, breaches: &[Breach]) -> NearMiss {
    NearMiss {
        node: node.id,
        name: node.name.clone(),
        rules: breaches.iter().map(|b| b.rule).collect(),
        lacks: breaches.iter().map(|b| b.own.clone()).collect(),
        holders: holders(view, node.id, breaches),
    }
}

/// Who holds what the first scarce dimension or port lacks.
fn holders(view: &dyn ClusterView, node: NodeId, breaches: &[Breach]) -> Vec<Holder> {
    let scarce = |b: &&Breach| {
        // Nobody's leaving helps where the node as a whole is too small.
        let amount = matches!(b.rule, Rule::Cpu | Rule::Memory | Rule::Disk) && b.weight < 1.0;
        b.port.is_some() || amount
    };
    let Some(breach) = breaches.iter().find(scarce) else {
        return Vec::new();
    };
    let mut held: Vec<(u64, Holder)> = view
        .allocs_of_node(node)
        .iter()
        .filter(|a| a.holds_resources())
        .filter_map(|alloc| {
            let (amount, holds) = match breach.port {
                Some(port) => {
                    let has = exclusive(&alloc.resources).any(|p| p.value == port);
                    (u64::from(has), format!("port {port}"))
                }
                None => {
                    let (name, unit, n) = dimension_of(breach.rule, alloc.resources.usage());
                    (n, format!("{} {unit} of {name}", number(n)))
                }
            };
            let holder = Holder {
                id: alloc.id,
                name: alloc.name.clone(),
                holds,
            };
            (amount > 0).then_some((amount, holder))
        })
        .collect();
    held.sort_by_key(|(amount, holder)| (std::cmp::Reverse(*amount), holder.id));
    held.truncate(HOLDERS_MAX);
    held.into_iter().map(|(_, holder)| holder).collect()
}

/// Whether no departure from the node would help.
fn too_small(near: &NearMiss) -> bool {
    near.lacks
        .first()
        .is_some_and(|l| l.starts_with("too small"))
}

/// What to type about the nearest node.
pub(super) fn steps(job: &Job, placement: &Placement) -> Vec<Step> {
    use super::words::step;
    let edit = step(
        format!("tumen job inspect {}", job.spec.id),
        "what the job asks for; change it in its file and run it again",
    );
    let Some(near) = placement.nearest.first() else {
        return match placement.nodes {
            0 => vec![
                step("tumen node status", "which nodes are there; none yet"),
                step("tumen server members", "which address a client can join"),
            ],
            _ => Vec::new(),
        };
    };
    let id = near.node.short();
    let first = near.rules.first().copied().unwrap_or(Rule::Status);
    match first {
        Rule::Eligibility => vec![step(
            format!("tumen node eligibility -enable {id}"),
            format!("lets {} take work again", near.name),
        )],
        Rule::Drain => vec![step(
            format!("tumen node drain -disable {id}"),
            format!("ends the drain of {}", near.name),
        )],
        Rule::Status => vec![step(
            format!("tumen why {id}"),
            format!("why {} takes nothing", near.name),
        )],
        Rule::Datacenter | Rule::NodePool => vec![
            step("tumen node status", "each node's datacenter and pool"),
            edit,
        ],
        Rule::Constraint | Rule::DistinctProperty => vec![
            step(
                format!("tumen node status -verbose {id}"),
                format!("all attributes of {}", near.name),
            ),
            edit,
        ],
        Rule::Driver | Rule::Network => vec![step(
            format!("tumen node status -verbose {id}"),
            format!("drivers and networks of {}, with their messages", near.name),
        )],
        Rule::DistinctHosts => vec![
            edit,
            step("tumen node status", "whether another node could join"),
        ],
        Rule::Port | Rule::Cpu | Rule::Memory | Rule::Disk => match near.holders.first() {
            Some(holder) if !too_small(near) => vec![
                step(
                    format!("tumen alloc status {}", holder.id.short()),
                    format!("who holds {}", holder.holds),
                ),
                edit,
            ],
            Some(_) | None => vec![
                step(
                    format!("tumen node status {id}"),
                    format!("what {} has", near.name),
                ),
                edit,
            ],
        },
    }
}
