//! How evenly a group lies over the values of an attribute.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::attributes::resolve;
use crate::model::{Job, Node, Spread, TaskGroup};

/// The spreads of one group, with how its instances lie so far.
pub(super) struct Spreads<'a> {
    spreads: Vec<Lying<'a>>,
    count: f64,
    weights: f64,
}

struct Lying<'a> {
    spread: &'a Spread,
    /// Instances by value.
    used: BTreeMap<String, u32>,
    /// Each candidate's value.
    values: Vec<Option<String>>,
}

impl<'a> Spreads<'a> {
    /// The spreads of `job` and `group` over `nodes`.
    pub(super) fn of(job: &'a Job, group: &'a TaskGroup, nodes: &[Arc<Node>]) -> Self {
        let all = group.spreads.iter().chain(&job.spec.spreads);
        let spreads: Vec<Lying<'a>> = all
            .map(|spread| Lying {
                spread,
                used: BTreeMap::new(),
                values: nodes.iter().map(|n| value(spread, n)).collect(),
            })
            .collect();
        Self {
            weights: spreads.iter().map(|l| f64::from(l.spread.weight)).sum(),
            count: f64::from(group.count.max(1)),
            spreads,
        }
    }

    /// Counts an instance on `node`.
    pub(super) fn count(&mut self, node: &Node) {
        for lying in &mut self.spreads {
            if let Some(value) = value(lying.spread, node) {
                *lying.used.entry(value).or_default() += 1;
            }
        }
    }

    /// What candidate `at` scores; 0 without spreads.
    pub(super) fn score(&self, at: usize) -> f64 {
        let score = |l: &Lying<'_>| match &l.values[at] {
            None => -1.0,
            Some(value) if l.spread.targets.is_empty() => l.even(value),
            Some(value) => l.targeted(value, self.count) * self.share(l),
        };
        self.spreads.iter().map(score).sum()
    }

    fn share(&self, lying: &Lying<'_>) -> f64 {
        match self.weights > 0.0 {
            true => f64::from(lying.spread.weight) / self.weights,
            false => 0.0,
        }
    }
}

fn value(spread: &Spread, node: &Node) -> Option<String> {
    resolve(node, &spread.attribute).map(|v| v.into_owned())
}

impl Lying<'_> {
    fn used(&self, value: &str) -> f64 {
        f64::from(self.used.get(value).copied().unwrap_or(0))
    }

    /// How far below its share the value is, with one more instance.
    fn targeted(&self, value: &str, count: f64) -> f64 {
        let target = self.spread.targets.iter().find(|t| t.value == value);
        let Some(target) = target.filter(|t| t.percent > 0) else {
            return -1.0;
        };
        let desired = f64::from(target.percent) / 100.0 * count;
        (desired - (self.used(value) + 1.0)) / desired
    }

    /// −1 to 1 and above: how far below the others the value is.
    fn even(&self, value: &str) -> f64 {
        let Some((min, max)) = self.used.values().min().zip(self.used.values().max()) else {
            return 0.0;
        };
        let (min, max, own) = (f64::from(*min), f64::from(*max), self.used(value));
        if own != min {
            (min - own) / min
        } else if min == max {
            -1.0
        } else {
            (max - min) / min
        }
    }
}
