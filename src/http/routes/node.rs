//! Nodes.

use std::time::Duration;

use axum::response::Response;

use crate::http::context::{Ctx, body, unexpected_reply};
use crate::http::dto::convert::{self, NodeExtras};
use crate::http::dto::node::*;
use crate::http::error::HttpError;
use crate::http::page::{Key, Listing};
use crate::http::respond::Meta;
use crate::model::node::{DrainLimit, DrainSpec};
use crate::model::why::Subject;
use crate::model::{Eligibility, NodeId};
use crate::rpc::{Op, Read, Reply};

use super::{as_value, has_prefix, uuid_of, why};

/// `/v1/nodes`
pub(super) async fn list(ctx: &Ctx) -> Result<Response, HttpError> {
    ctx.get()?;
    nodes(ctx, |_| true).await
}

/// The rows of the nodes that are wanted.
pub(super) async fn nodes(
    ctx: &Ctx,
    wanted: impl Fn(&crate::model::Node) -> bool,
) -> Result<Response, HttpError> {
    let listing = Listing::of(&ctx.params)?;
    let extras = NodeExtras {
        resources: ctx.params.flag("resources", false)?,
        os: ctx.params.flag("os", false)?,
    };
    let matches = has_prefix(ctx, "node")?;
    let answer = ctx.read(Read::Nodes).await?;
    let meta = Meta::of(&answer);
    let nodes = body!(answer, Nodes);
    let page = listing.page(
        nodes
            .iter()
            .filter(|n| wanted(n) && matches(&n.id.to_string())),
        |n| Key::id(n.id),
        &[],
        |n| as_value(&convert::node(n)),
    )?;
    let stubs: Vec<_> = page
        .items
        .iter()
        .map(|n| convert::node_stub(n, extras))
        .collect();
    ctx.json(&stubs, meta.next(page.next_token))
}

/// `/v1/node/…`
pub(super) async fn node(ctx: &Ctx, tail: &str) -> Result<Response, HttpError> {
    if tail == "pools" {
        return super::pool::list(ctx).await;
    }
    if let Some(rest) = tail.strip_prefix("pool/") {
        return super::pool::one(ctx, rest).await;
    }
    if tail.is_empty() {
        return Err(HttpError::failed("missing node ID"));
    }
    match tail.split_once('/') {
        None => one(ctx, tail).await,
        Some((id, "allocations")) => allocations(ctx, id).await,
        Some((id, "why")) => {
            let subject = Subject::Node(uuid_of(id, "node")?);
            why::explain(ctx, subject, "node not found").await
        }
        Some((id, "drain")) => drain(ctx, id).await,
        Some((id, "eligibility")) => eligibility(ctx, id).await,
        Some((id, "evaluate")) => {
            ctx.put()?;
            let op = Op::NodeEvaluate(uuid_of(id, "node")?);
            update(ctx, op, true).await
        }
        Some((id, "purge")) => {
            ctx.put()?;
            let op = Op::NodePurge(uuid_of(id, "node")?);
            update(ctx, op, true).await
        }
        Some(_) => one(ctx, tail).await,
    }
}

async fn one(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    ctx.get()?;
    let id: NodeId = uuid_of(id, "node")?;
    let answer = ctx.read(Read::Node(id)).await?;
    let meta = Meta::of(&answer);
    match body!(answer, Node) {
        Some(node) => ctx.json(&convert::node(&node), meta),
        None => Err(HttpError::missing("node not found", meta)),
    }
}

/// Whole allocations, not the rows of a list.
async fn allocations(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    ctx.get()?;
    let id: NodeId = uuid_of(id, "node")?;
    let answer = ctx.read(Read::NodeAllocs(id)).await?;
    let meta = Meta::of(&answer);
    let allocs: Vec<_> = body!(answer, Allocs)
        .iter()
        .map(|a| convert::alloc(a))
        .collect();
    ctx.json(&allocs, meta)
}

/// The node, which the body may name once more.
fn named(path: &str, body: &str) -> Result<NodeId, HttpError> {
    if !body.is_empty() && body != path {
        return Err(HttpError::bad_request("Node ID does not match"));
    }
    uuid_of(path, "node")
}

async fn drain(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    ctx.put()?;
    let request: NodeDrainRequest = ctx.decode()?;
    let id = named(id, &request.node_id)?;
    let spec = request.drain_spec.map(|spec| DrainSpec {
        ignore_system_jobs: spec.ignore_system_jobs,
        limit: match u64::try_from(spec.deadline) {
            Ok(0) => DrainLimit::Never,
            Ok(nanos) => DrainLimit::After(Duration::from_nanos(nanos)),
            Err(_) => DrainLimit::AtOnce,
        },
    });
    let op = Op::NodeDrain {
        id,
        spec,
        mark_eligible: request.mark_eligible,
        meta: request.meta,
    };
    update(ctx, op, true).await
}

async fn eligibility(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    ctx.put()?;
    let request: NodeEligibilityRequest = ctx.decode()?;
    let id = named(id, &request.node_id)?;
    let eligibility = match request.eligibility.as_str() {
        "eligible" => Eligibility::Eligible,
        "ineligible" => Eligibility::Ineligible,
        other => {
            return Err(HttpError::failed(format!(
                "invalid scheduling eligibility \"{other}\""
            )));
        }
    };
    update(ctx, Op::NodeEligibility { id, eligibility }, false).await
}

async fn update(ctx: &Ctx, op: Op, node_index: bool) -> Result<Response, HttpError> {
    let reply = ctx.call(op).await.map_err(HttpError::missing_is_500)?;
    let Reply::Node { index, evals } = reply else {
        return Err(unexpected_reply(&reply));
    };
    let response = NodeUpdateResponse {
        eval_create_index: if evals.is_empty() { 0 } else { index },
        eval_ids: evals.iter().map(ToString::to_string).collect(),
        index,
        node_modify_index: if node_index { index } else { 0 },
    };
    ctx.json(&response, Meta::written(index))
}

/// The facts of what exists from the first index on.
pub(super) fn built_in() -> Meta {
    Meta {
        index: 1,
        contact: Some((true, 0)),
        next_token: String::new(),
    }
}
