//! Nodes announce themselves, fall silent, are closed and drained.

use std::collections::BTreeMap;

use super::{Applying, Txn};
use crate::model::node::{Drain, DrainStatus, LastDrain, NODE_EVENTS_MAX, NodeEvent};
use crate::model::{Eligibility, Evaluation, Node, NodeId, NodeStatus};
use crate::state::command::{Outcome, Refusal};

impl Txn<'_> {
    /// Stores what a node says of itself; what servers say of it (eligibility, drain, events)
    /// stays.
    pub(super) fn upsert_node(&mut self, node: &Node, evals: &[Evaluation]) -> Outcome {
        let mut node = node.clone();
        let old = self.t.nodes.get(node.id).cloned();
        let gone = |s| matches!(s, NodeStatus::Down | NodeStatus::Disconnected);
        let message = match &old {
            None => Some("Node registered"),
            Some(old) if gone(old.status) && !gone(node.status) => Some("Node re-registered"),
            Some(_) => None,
        };
        node.status_updated_at = self.time;
        if let Some(old) = &old {
            node.eligibility = old.eligibility;
            node.drain = old.drain;
            node.last_drain = old.last_drain.clone();
            node.events = old.events.clone();
            if node.status == old.status {
                node.status_updated_at = old.status_updated_at;
            }
        }
        if let Some(message) = message {
            self.push_event(&mut node, self.event(message));
        }
        self.pool_of_node(&node.node_pool);
        self.put_node(node);
        self.put_evals(evals)
    }

    fn event(&self, message: &str) -> NodeEvent {
        NodeEvent {
            message: message.to_string(),
            subsystem: "Cluster".to_string(),
            details: BTreeMap::new(),
            time: self.time,
            create_index: self.index,
        }
    }

    fn push_event(&self, node: &mut Node, mut event: NodeEvent) {
        event.create_index = self.index;
        node.events.push(event);
        let extra = node.events.len().saturating_sub(NODE_EVENTS_MAX);
        node.events.drain(..extra);
    }

    /// A copy of a stored node with one more event, to be changed and put back.
    fn edit_node(&self, id: NodeId, event: Option<&NodeEvent>) -> Result<Node, Refusal> {
        let node = self.t.nodes.get(id).ok_or(Refusal::NoSuchNode)?;
        let mut node = (**node).clone();
        if let Some(event) = event {
            self.push_event(&mut node, event.clone());
        }
        Ok(node)
    }

    pub(super) fn node_status(
        &mut self,
        id: NodeId,
        status: NodeStatus,
        description: &str,
        event: Option<&NodeEvent>,
        evals: &[Evaluation],
    ) -> Applying {
        let mut node = self.edit_node(id, event)?;
        if node.status != status {
            node.status_updated_at = self.time;
        }
        node.status = status;
        node.status_description = description.to_string();
        self.put_node(node);
        if status == NodeStatus::Down {
            for alloc in self.t.allocs.of_node(id) {
                self.remove_services_of(alloc.id);
            }
        }
        Ok(self.put_evals(evals))
    }

    pub(super) fn node_eligibility(
        &mut self,
        id: NodeId,
        eligibility: Eligibility,
        event: Option<&NodeEvent>,
        evals: &[Evaluation],
    ) -> Applying {
        let mut node = self.edit_node(id, event)?;
        node.eligibility = eligibility;
        self.put_node(node);
        Ok(self.put_evals(evals))
    }

    pub(super) fn node_drain(
        &mut self,
        id: NodeId,
        drain: Option<Drain>,
        status: DrainStatus,
        mark_eligible: bool,
        meta: Option<&BTreeMap<String, String>>,
        event: &NodeEvent,
    ) -> Result<(), Refusal> {
        let mut node = self.edit_node(id, Some(event))?;
        if let Some(current) = drain.or(node.drain) {
            let before = node.last_drain.take();
            node.last_drain = Some(LastDrain {
                started_at: current.started_at,
                updated_at: self.time,
                status,
                meta: match meta {
                    Some(meta) => meta.clone(),
                    None => before.map(|d| d.meta).unwrap_or_default(),
                },
            });
        }
        if drain.is_some() {
            node.eligibility = Eligibility::Ineligible;
        } else if mark_eligible {
            node.eligibility = Eligibility::Eligible;
        }
        node.drain = drain;
        self.put_node(node);
        Ok(())
    }
}
