//! Allocations, by what reads and planning ask for, and what they hold on each node.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::{count, link, unlink};
use crate::model::resources::Amounts;
use crate::model::{AllocId, Allocation, DeploymentId, EvalId, JobKey, NodeId, NodeUsage};

/// Allocations by id.
#[derive(Clone, Default)]
pub(in crate::state) struct Allocs {
    rows: OrdMap<AllocId, Arc<Allocation>>,
    by_job: OrdMap<JobKey, OrdSet<AllocId>>,
    by_node: OrdMap<NodeId, OrdSet<AllocId>>,
    by_eval: OrdMap<EvalId, OrdSet<AllocId>>,
    by_deployment: OrdMap<DeploymentId, OrdSet<AllocId>>,
    held: OrdMap<NodeId, Held>,
    live: OrdMap<JobKey, u32>,
}

/// What is held on one node. Two allocations may hold one port for a moment: a successor waits
/// for the one that it replaces.
#[derive(Clone, Default, PartialEq)]
struct Held {
    amounts: Amounts,
    ports: BTreeMap<u16, u32>,
    allocs: u32,
}

impl Held {
    fn add(&mut self, alloc: &Allocation) {
        self.amounts.add(alloc.resources.usage());
        self.allocs += 1;
        for port in alloc.resources.ports.iter().filter(|p| !p.ignore_collision) {
            *self.ports.entry(port.value).or_default() += 1;
        }
    }

    fn sub(&mut self, alloc: &Allocation) {
        self.amounts.sub(alloc.resources.usage());
        self.allocs = self.allocs.saturating_sub(1);
        for port in alloc.resources.ports.iter().filter(|p| !p.ignore_collision) {
            if let Some(n) = self.ports.get_mut(&port.value) {
                *n -= 1;
                if *n == 0 {
                    self.ports.remove(&port.value);
                }
            }
        }
    }
}

impl Allocs {
    pub fn get(&self, id: AllocId) -> Option<&Arc<Allocation>> {
        self.rows.get(&id)
    }

    pub fn rows(&self) -> impl Iterator<Item = &Arc<Allocation>> {
        self.rows.values()
    }

    pub fn put(&mut self, alloc: Allocation) -> Option<Arc<Allocation>> {
        let old = self.rows.get(&alloc.id).cloned();
        if let Some(old) = &old {
            self.forget(old);
        }
        link(&mut self.by_job, alloc.job_key(), alloc.id);
        link(&mut self.by_node, alloc.node_id, alloc.id);
        link(&mut self.by_eval, alloc.eval_id, alloc.id);
        if let Some(deployment) = alloc.deployment_id {
            link(&mut self.by_deployment, deployment, alloc.id);
        }
        if alloc.holds_resources() {
            self.held.entry(alloc.node_id).or_default().add(&alloc);
        }
        if !alloc.is_terminal() {
            count(&mut self.live, &alloc.job_key(), 1);
        }
        self.rows.insert(alloc.id, Arc::new(alloc));
        old
    }

    pub fn remove(&mut self, id: AllocId) -> Option<Arc<Allocation>> {
        let old = self.rows.remove(&id)?;
        self.forget(&old);
        Some(old)
    }

    /// Takes a row out of every index.
    fn forget(&mut self, old: &Allocation) {
        unlink(&mut self.by_job, &old.job_key(), &old.id);
        unlink(&mut self.by_node, &old.node_id, &old.id);
        unlink(&mut self.by_eval, &old.eval_id, &old.id);
        if let Some(deployment) = old.deployment_id {
            unlink(&mut self.by_deployment, &deployment, &old.id);
        }
        if old.holds_resources()
            && let Some(held) = self.held.get_mut(&old.node_id)
        {
            held.sub(old);
            if held.allocs == 0 {
                self.held.remove(&old.node_id);
            }
        }
        if !old.is_terminal() {
            count(&mut self.live, &old.job_key(), -1);
        }
    }

    fn listed<'a>(&'a self, ids: Option<&'a OrdSet<AllocId>>) -> Vec<Arc<Allocation>> {
        ids.into_iter()
            .flatten()
            .filter_map(|id| self.rows.get(id).cloned())
            .collect()
    }

    pub fn of_job(&self, key: &JobKey) -> Vec<Arc<Allocation>> {
        self.listed(self.by_job.get(key))
    }

    pub fn job_has_any(&self, key: &JobKey) -> bool {
        self.by_job.contains_key(key)
    }

    pub fn of_node(&self, id: NodeId) -> Vec<Arc<Allocation>> {
        self.listed(self.by_node.get(&id))
    }

    pub fn of_eval(&self, id: EvalId) -> Vec<Arc<Allocation>> {
        self.listed(self.by_eval.get(&id))
    }

    pub fn of_deployment(&self, id: DeploymentId) -> Vec<Arc<Allocation>> {
        self.listed(self.by_deployment.get(&id))
    }

    pub fn usage(&self, node: NodeId) -> NodeUsage {
        self.held
            .get(&node)
            .map_or_else(NodeUsage::default, |held| NodeUsage {
                amounts: held.amounts,
                ports: held.ports.keys().copied().collect(),
            })
    }

    /// How many of a job's allocations are not terminal.
    pub fn live(&self, key: &JobKey) -> u32 {
        self.live.get(key).copied().unwrap_or(0)
    }

    /// Whether the indexes are what the rows say.
    #[cfg(test)]
    pub fn check(&self) {
        let mut fresh = Self::default();
        for row in self.rows.values() {
            fresh.put((**row).clone());
        }
        assert!(self.by_job == fresh.by_job && self.by_node == fresh.by_node);
        assert!(self.by_eval == fresh.by_eval && self.by_deployment == fresh.by_deployment);
        assert!(self.held == fresh.held && self.live == fresh.live);
    }
}
