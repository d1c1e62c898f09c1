//! Nodes by id.

use std::sync::Arc;

use imbl::OrdMap;

use crate::model::{Node, NodeId};

/// Nodes by id.
#[derive(Clone, Default)]
pub(in crate::state) struct Nodes {
    rows: OrdMap<NodeId, Arc<Node>>,
}

impl Nodes {
    pub fn get(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.rows.get(&id)
    }

    pub fn rows(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.rows.values()
    }

    pub fn put(&mut self, node: Node) -> Option<Arc<Node>> {
        self.rows.insert(node.id, Arc::new(node))
    }

    pub fn remove(&mut self, id: NodeId) -> Option<Arc<Node>> {
        self.rows.remove(&id)
    }
}
