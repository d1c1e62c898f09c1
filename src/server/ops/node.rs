//! Nodes: opened and closed for placements, evaluated, removed.

use std::collections::BTreeMap;

use super::{Caller, stored_evals};
use crate::model::node::{Drain, DrainSpec, DrainStatus, NodeEvent};
use crate::model::{ClusterView, Eligibility, EvalTrigger, Node, NodeId, NodeStatus};
use crate::rpc::api::{ApiError, Reply};
use crate::server::duties::liveness::node_evals;
use crate::state::{Applied, Change, Garbage};

fn known(call: &Caller<'_>, id: NodeId) -> Result<std::sync::Arc<Node>, ApiError> {
    let node = call.ctx.snapshot().node(id);
    node.ok_or_else(|| ApiError::Refused("node not found".to_string()))
}

fn reply(applied: &Applied) -> Reply {
    Reply::Node {
        index: applied.index,
        evals: stored_evals(applied),
    }
}

pub(super) async fn eligibility(
    call: &Caller<'_>,
    id: NodeId,
    eligibility: Eligibility,
) -> Result<Reply, ApiError> {
    let ctx = call.ctx;
    let node = known(call, id)?;
    if node.drain.is_some() && eligibility == Eligibility::Eligible {
        return Err(ApiError::Refused(
            "can not set node's scheduling eligibility to eligible while it is draining".into(),
        ));
    }
    let opened = eligibility == Eligibility::Eligible && node.eligibility != eligibility;
    let evals = match opened {
        true => node_evals(ctx, &ctx.snapshot(), id, EvalTrigger::NodeUpdate),
        false => Vec::new(),
    };
    let message = match eligibility {
        Eligibility::Eligible => "Node marked as eligible for scheduling",
        Eligibility::Ineligible => "Node marked as ineligible for scheduling",
    };
    let changed = node.eligibility != eligibility;
    let event = changed.then(|| event(call, "Cluster", message));
    let change = Change::NodeEligibility {
        id,
        eligibility,
        event,
        evals,
    };
    Ok(reply(&call.propose(change).await?))
}

/// Starts, changes or cancels a drain.
pub(super) async fn drain(
    call: &Caller<'_>,
    id: NodeId,
    spec: Option<DrainSpec>,
    mark_eligible: bool,
    meta: BTreeMap<String, String>,
) -> Result<Reply, ApiError> {
    let ctx = call.ctx;
    let node = known(call, id)?;
    let (status, message) = match (spec, node.drain) {
        (Some(_), None) => (DrainStatus::Draining, "Node drain strategy set"),
        (Some(_), Some(_)) => (DrainStatus::Draining, "Node drain strategy updated"),
        (None, _) => (DrainStatus::Canceled, "Node drain disabled"),
    };
    let opened = spec.is_none() && mark_eligible && node.eligibility != Eligibility::Eligible;
    let evals = match opened {
        true => node_evals(ctx, &ctx.snapshot(), id, EvalTrigger::NodeUpdate),
        false => Vec::new(),
    };
    let change = Change::NodeDrain {
        id,
        drain: spec.map(|spec| Drain::new(spec, node.drain, ctx.now())),
        status,
        mark_eligible,
        meta: Some(meta),
        event: event(call, "Drain", message),
        evals,
    };
    Ok(reply(&call.propose(change).await?))
}

fn event(call: &Caller<'_>, subsystem: &str, message: &str) -> NodeEvent {
    NodeEvent {
        message: message.to_string(),
        subsystem: subsystem.to_string(),
        details: BTreeMap::new(),
        time: call.ctx.now(),
        create_index: 0,
    }
}

pub(super) async fn evaluate(call: &Caller<'_>, id: NodeId) -> Result<Reply, ApiError> {
    known(call, id)?;
    let evals = node_evals(call.ctx, &call.ctx.snapshot(), id, EvalTrigger::NodeUpdate);
    Ok(reply(&call.propose(Change::UpsertEvals(evals)).await?))
}

/// Marks a node down, so that its jobs are placed elsewhere, and removes it.
pub(super) async fn purge(call: &Caller<'_>, id: NodeId) -> Result<Reply, ApiError> {
    let ctx = call.ctx;
    known(call, id)?;
    let evals = node_evals(ctx, &ctx.snapshot(), id, EvalTrigger::NodeUpdate);
    let down = Change::NodeStatus {
        id,
        status: NodeStatus::Down,
        description: "node was purged".to_string(),
        event: None,
        evals,
    };
    let applied = call.propose(down).await?;
    let garbage = Garbage {
        nodes: vec![id],
        ..Garbage::default()
    };
    let removed = ctx.propose(Change::Collect(garbage)).await?;
    Ok(Reply::Node {
        index: removed.index,
        evals: stored_evals(&applied),
    })
}
