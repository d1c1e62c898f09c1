//! Host ports: which a group wants, whether a node has them, and which it gets.

use std::collections::BTreeSet;
use std::fmt;

use super::ids::Ids;
use crate::model::resources::PortAsk;
use crate::model::{AllocatedPort, Node, TaskGroup};

/// The range for ports that nobody chose, where the node names none.
const DYNAMIC_DEFAULT: (u16, u16) = (20_000, 32_000);
/// How often a random port is tried before the range is searched in order.
const DRAWS: usize = 20;

/// The ports that one instance of a group needs.
pub(super) struct Asks<'a> {
    /// With the owning task for the old task-network syntax.
    asks: Vec<(&'a PortAsk, Option<&'a str>)>,
    dynamic: usize,
}

/// What a node's ports lack; shown as failed placements name it.
#[derive(Clone, Copy, Debug)]
pub(super) enum PortRefusal<'a> {
    /// `by_node`: kept back by the node's operator.
    Taken {
        label: &'a str,
        port: u16,
        by_node: bool,
    },
    TooFew {
        wanted: usize,
        free: usize,
    },
}

impl fmt::Display for PortRefusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { label, port, .. } => {
                write!(f, "network: reserved port collision {label}={port}")
            }
            Self::TooFew { .. } => f.write_str("network: dynamic port selection failed"),
        }
    }
}

impl<'a> Asks<'a> {
    /// Everything that `group` and its tasks ask for.
    pub(super) fn of(group: &'a TaskGroup) -> Self {
        let own = group.networks.iter().flat_map(|n| &n.ports);
        let old = group.tasks.iter().flat_map(|t| {
            let ports = t.resources.networks.iter().flat_map(|n| &n.ports);
            ports.map(|p| (p, Some(t.name.as_str())))
        });
        let asks: Vec<_> = own.map(|p| (p, None)).chain(old).collect();
        let dynamic = asks.iter().filter(|(p, _)| p.fixed.is_none()).count();
        Self { asks, dynamic }
    }

    /// Why a node whose ports `used` are taken cannot serve them, every reason.
    pub(super) fn refusals(
        &self,
        node: &Node,
        used: &BTreeSet<u16>,
    ) -> impl Iterator<Item = PortRefusal<'a>> {
        let fixed = self.asks.iter().filter_map(move |(ask, _)| {
            let port = ask.fixed?;
            let by_node = node.reserved.ports.contains(&port);
            let taken = used.contains(&port) && !ask.ignore_collision;
            (taken || by_node).then_some(PortRefusal::Taken {
                label: &ask.label,
                port,
                by_node,
            })
        });
        let free = match self.dynamic {
            0 => 0,
            _ => free(node, used),
        };
        let wanted = self.dynamic;
        fixed.chain((free < wanted).then_some(PortRefusal::TooFew { wanted, free }))
    }

    /// Gives out ports; `None` if the range has too few after all.
    pub(super) fn assign(
        &self,
        node: &Node,
        used: &BTreeSet<u16>,
        ids: &mut Ids,
    ) -> Option<Vec<AllocatedPort>> {
        let mut taken: BTreeSet<u16> = self.asks.iter().filter_map(|(a, _)| a.fixed).collect();
        taken.extend(&node.reserved.ports);
        let mut ports = Vec::with_capacity(self.asks.len());
        for (ask, task) in &self.asks {
            let value = match ask.fixed {
                Some(port) => port,
                None => pick(range(node), ids, |p| {
                    used.contains(&p) || taken.contains(&p)
                })?,
            };
            taken.insert(value);
            ports.push(AllocatedPort {
                label: ask.label.clone(),
                value,
                to: match ask.to {
                    -1 => value,
                    to => u16::try_from(to).unwrap_or(0),
                },
                host_ip: node.host_ip.clone(),
                ignore_collision: ask.ignore_collision,
                task: task.map(str::to_string),
            });
        }
        Some(ports)
    }
}

fn range(node: &Node) -> (u16, u16) {
    match node.resources.dynamic_ports {
        (0, 0) => DYNAMIC_DEFAULT,
        range => range,
    }
}

/// How many ports of the node's dynamic range are free.
fn free(node: &Node, used: &BTreeSet<u16>) -> usize {
    let (first, last) = range(node);
    if first > last {
        return 0;
    }
    let reserved = node
        .reserved
        .ports
        .iter()
        .filter(|p| (first..=last).contains(p) && !used.contains(p))
        .count();
    let all = usize::from(last - first) + 1;
    all.saturating_sub(used.range(first..=last).count() + reserved)
}

/// A free port: random ones first, then the lowest.
fn pick((first, last): (u16, u16), ids: &mut Ids, taken: impl Fn(u16) -> bool) -> Option<u16> {
    let size = u64::from(last.checked_sub(first)?) + 1;
    for _ in 0..DRAWS {
        let drawn = u16::try_from(ids.number() % size).ok()?;
        if !taken(first + drawn) {
            return Some(first + drawn);
        }
    }
    (first..=last).find(|p| !taken(*p))
}
