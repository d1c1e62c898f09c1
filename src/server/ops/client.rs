//! What clients say: who they are, how their allocations fare, what these register.

use std::sync::Arc;

use uuid::Uuid;

use super::Caller;
use crate::model::{
    AllocId, AllocUpdate, ClusterView, EvalTrigger, Node, NodeId, NodeStatus, ServiceRegistration,
};
use crate::rpc::api::{ApiError, Reply};
use crate::server::duties::Duties;
use crate::server::duties::liveness::node_evals;
use crate::state::Change;

/// The node, if the request comes from it.
fn authentic(call: &Caller<'_>, id: NodeId, secret: Uuid) -> Result<Arc<Node>, ApiError> {
    let node = call.ctx.snapshot().node(id);
    let node = node.ok_or_else(|| ApiError::Refused("node not found".to_string()))?;
    match node.secret == secret {
        true => Ok(node),
        false => Err(ApiError::Denied),
    }
}

/// Stores a node that announces itself, or what changed of it. A node that comes to be ready
/// has its jobs evaluated.
pub(super) async fn register(call: &Caller<'_>, mut node: Node) -> Result<Reply, ApiError> {
    let ctx = call.ctx;
    let view = ctx.snapshot();
    let known = view.node(node.id);
    if known
        .as_ref()
        .is_some_and(|known| known.secret != node.secret)
    {
        return Err(ApiError::Denied);
    }
    ctx.seen.heard(node.id);
    if node.status == NodeStatus::Initializing {
        node.status = NodeStatus::Ready;
    }
    if let Some(known) = &known
        && same(known, &node)
    {
        return Ok(Reply::Done {
            index: known.modify_index,
        });
    }
    let returns = known.is_some_and(|known| known.status != NodeStatus::Ready);
    let evals = match returns {
        true => node_evals(ctx, &view, node.id, EvalTrigger::NodeUpdate),
        false => Vec::new(),
    };
    let change = Change::UpsertNode {
        node: Box::new(node),
        evals,
    };
    let applied = call.propose(change).await?;
    Ok(Reply::Done {
        index: applied.index,
    })
}

/// Whether an announcement says nothing new.
fn same(known: &Node, said: &Node) -> bool {
    let mut said = said.clone();
    said.eligibility = known.eligibility;
    said.drain = known.drain;
    said.last_drain = known.last_drain.clone();
    said.events = known.events.clone();
    said.status_updated_at = known.status_updated_at;
    said.create_index = known.create_index;
    said.modify_index = known.modify_index;
    said == *known
}

/// Takes a report over. A node that is down registers again first: its allocations may have been
/// replaced.
pub(super) async fn update(
    call: &Caller<'_>,
    duties: &Duties,
    node: NodeId,
    secret: Uuid,
    mut updates: Vec<AllocUpdate>,
) -> Result<Reply, ApiError> {
    let ctx = call.ctx;
    let known = authentic(call, node, secret)?;
    if known.status == NodeStatus::Down {
        return Err(ApiError::Refused(
            "node is down: it must register again".to_string(),
        ));
    }
    ctx.seen.heard(node);
    let view = ctx.snapshot();
    updates.retain(|u| view.alloc(u.id).is_some_and(|a| a.node_id == node));
    if updates.is_empty() {
        return Ok(Reply::Done {
            index: view.index(),
        });
    }
    let index = duties.updates.report(updates).await?;
    Ok(Reply::Done { index })
}

pub(super) async fn set_services(
    call: &Caller<'_>,
    node: NodeId,
    secret: Uuid,
    alloc: AllocId,
    services: Vec<ServiceRegistration>,
) -> Result<Reply, ApiError> {
    authentic(call, node, secret)?;
    let known = call.ctx.snapshot().alloc(alloc);
    if known.is_none_or(|a| a.node_id != node) {
        return Err(ApiError::NotFound("alloc not found".to_string()));
    }
    let change = Change::SetServices { alloc, services };
    let applied = call.propose(change).await?;
    Ok(Reply::Done {
        index: applied.index,
    })
}

pub(super) fn restarting(call: &Caller<'_>, node: NodeId, secret: Uuid) -> Result<Reply, ApiError> {
    authentic(call, node, secret)?;
    call.ctx.seen.excuse(node);
    Ok(Reply::Done {
        index: call.ctx.snapshot().index(),
    })
}
