//! Node pools by name; those that every cluster has are not stored.

use imbl::OrdMap;

use crate::model::pool::NodePool;

/// Node pools by name.
#[derive(Clone, Default)]
pub(in crate::state) struct Pools {
    rows: OrdMap<String, NodePool>,
}

impl Pools {
    pub fn get(&self, name: &str) -> Option<&NodePool> {
        self.rows.get(name)
    }

    pub fn rows(&self) -> impl Iterator<Item = &NodePool> {
        self.rows.values()
    }

    pub fn put(&mut self, pool: NodePool) {
        self.rows.insert(pool.name.clone(), pool);
    }

    pub fn remove(&mut self, name: &str) -> Option<NodePool> {
        self.rows.remove(name)
    }
}
