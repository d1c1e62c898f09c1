//! Node pools are made, changed and removed.

use std::sync::Arc;

use super::{Applying, Txn};
use crate::model::pool::{self, NodePool};
use crate::model::{Job, JobStatus};
use crate::state::command::{Outcome, Refusal};
use crate::state::key::{Key, Table};

impl Txn<'_> {
    pub(super) fn upsert_pool(&mut self, pool: &NodePool) -> Applying {
        let mut pool = pool.clone();
        let old = self.t.pools.get(&pool.name);
        pool.create_index = old.map_or(self.index, |old| old.create_index);
        pool.modify_index = self.index;
        self.t.pools.put(pool);
        self.touch(Key::Table(Table::Pools));
        Ok(Outcome::Done { evals: Vec::new() })
    }

    /// Removes a pool that nothing uses.
    pub(super) fn delete_pool(&mut self, name: &str) -> Applying {
        if self.t.pools.get(name).is_none() && !pool::is_built_in(name) {
            return Err(Refusal::NoSuchPool(name.to_string()));
        }
        let newest = self.t.jobs.rows().map(|(_, row)| row.versions.first());
        let uses = |j: &Arc<Job>| j.spec.node_pool == name && j.status != JobStatus::Dead;
        let jobs = newest.flatten().any(uses);
        let nodes = self.t.nodes.rows().any(|n| n.node_pool == name);
        if jobs || nodes {
            let pool = name.to_string();
            return Err(Refusal::PoolInUse { pool, jobs, nodes });
        }
        if pool::is_built_in(name) {
            return Err(Refusal::BuiltInPool(name.to_string()));
        }
        self.t.pools.remove(name);
        self.touch(Key::Table(Table::Pools));
        Ok(Outcome::Done { evals: Vec::new() })
    }

    /// Makes the pool that a node names, if there is none.
    pub(super) fn pool_of_node(&mut self, name: &str) {
        if !pool::is_built_in(name) && self.t.pools.get(name).is_none() {
            self.t.pools.put(NodePool {
                name: name.to_string(),
                create_index: self.index,
                modify_index: self.index,
                ..NodePool::default()
            });
            self.touch(Key::Table(Table::Pools));
        }
    }
}
