//! What one client is asked: usage, checks, restarts, signals, garbage, metadata.
//!
//! Any agent answers for any client: the allocation names its node, the node its address.

use std::sync::Arc;

use axum::http::Method;
use axum::response::Response;

use crate::http::context::{Ctx, body};
use crate::http::dto::client::*;
use crate::http::dto::convert;
use crate::http::error::HttpError;
use crate::http::respond;
use crate::model::{AllocId, Allocation, NodeId};
use crate::rpc::{Answer, NodeAnswer, NodeApi, NodeAsk, Query, Read};

use super::{alloc, exec, fs};

/// `/v1/client/…`
pub(super) async fn client(ctx: &Ctx, tail: &str) -> Result<Response, HttpError> {
    match tail.split_once('/') {
        None => match tail {
            "stats" => stats(ctx).await,
            "metadata" => metadata(ctx).await,
            "gc" => gc_all(ctx).await,
            "identity" => Err(HttpError::unavailable("a node's identity token")),
            _ => Err(HttpError::no_such_path()),
        },
        Some(("fs", tail)) => fs::fs(ctx, tail).await,
        Some(("allocation", tail)) => allocation(ctx, tail).await,
        Some(("identity", _)) => Err(HttpError::unavailable("a node's identity token")),
        Some(_) => Err(HttpError::no_such_path()),
    }
}

async fn allocation(ctx: &Ctx, tail: &str) -> Result<Response, HttpError> {
    let Some((id, verb)) = tail.split_once('/') else {
        return Err(HttpError::not_found("resource not found"));
    };
    match verb {
        "stats" => alloc_stats(ctx, id).await,
        "checks" => checks(ctx, id).await,
        "restart" => restart(ctx, id).await,
        "signal" => signal(ctx, id).await,
        "gc" => gc(ctx, id).await,
        "exec" => exec::exec(ctx, id).await,
        "snapshot" => Err(HttpError::unavailable(
            "a snapshot of an allocation's files",
        )),
        "pause" => Err(HttpError::failed("Enterprise only")),
        _ => Err(HttpError::not_found("resource not found")),
    }
}

/// Reads what any server knows; only if that lacks it, asks a quorum. So logs and files stay
/// readable while there is no leader.
async fn known(
    ctx: &Ctx,
    read: Read,
    is_there: impl Fn(&Answer) -> bool,
) -> Result<Answer, HttpError> {
    let stale = Query {
        stale: true,
        ..Query::now(read.clone())
    };
    match ctx.app.api.read(stale).await {
        Ok(answer) if is_there(&answer) => Ok(answer),
        Ok(_) | Err(_) => Ok(ctx.app.api.read(Query::now(read)).await?),
    }
}

/// An allocation and the client that runs it.
pub(super) async fn find(
    ctx: &Ctx,
    id: &str,
) -> Result<(Arc<Allocation>, Arc<dyn NodeApi>), HttpError> {
    let unknown = || HttpError::not_found(format!("Unknown allocation \"{id}\""));
    let parsed: AllocId = id.parse().map_err(|_| unknown())?;
    let answer = known(ctx, Read::Alloc(parsed), |a| {
        matches!(a.body, crate::rpc::Body::Alloc(Some(_)))
    })
    .await?;
    let alloc = body!(answer, Alloc).ok_or_else(unknown)?;
    let client = client_of(ctx, alloc.node_id).await?;
    Ok((alloc, client))
}

/// The client on a node.
async fn client_of(ctx: &Ctx, id: NodeId) -> Result<Arc<dyn NodeApi>, HttpError> {
    let info = ctx.app.local.info();
    if info.node_id == Some(id) {
        return Ok(ctx.app.nodes.node(id, info.rpc_addr));
    }
    let answer = known(ctx, Read::Node(id), |a| {
        matches!(a.body, crate::rpc::Body::Node(Some(_)))
    })
    .await?;
    match body!(answer, Node) {
        Some(node) => Ok(ctx.app.nodes.node(id, node.rpc_addr)),
        None => Err(HttpError::not_found(format!("Unknown node {id}"))),
    }
}

/// The client that `id` or the parameter `node_id` names, or this agent's own.
async fn asked_client(ctx: &Ctx, id: &str) -> Result<Arc<dyn NodeApi>, HttpError> {
    let text = match id {
        "" => ctx.params.text("node_id"),
        id => id,
    };
    if text.is_empty() {
        let own = ctx
            .app
            .local
            .info()
            .node_id
            .ok_or_else(|| HttpError::bad_request("No local Node and node_id not provided"))?;
        return client_of(ctx, own).await;
    }
    let id = text
        .parse()
        .map_err(|_| HttpError::not_found(format!("Unknown node {text}")))?;
    client_of(ctx, id).await
}

/// A client answered something that was not asked for.
pub(super) fn unexpected(answer: &NodeAnswer) -> HttpError {
    tracing::error!(target: "http", ?answer, "a client's answer does not fit its question");
    HttpError::failed("the client answered another question than was asked")
}

async fn stats(ctx: &Ctx) -> Result<Response, HttpError> {
    ctx.get()?;
    let client = asked_client(ctx, "").await?;
    match client.ask(NodeAsk::Host).await? {
        NodeAnswer::Host(stats) => ctx.plain_json(&convert::host_stats(&stats)),
        other => Err(unexpected(&other)),
    }
}

async fn alloc_stats(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    ctx.get()?;
    let (alloc, client) = find(ctx, id).await?;
    let task = ctx.params.get("task").filter(|t| !t.is_empty());
    match client.ask(NodeAsk::Stats { alloc: alloc.id }).await? {
        NodeAnswer::Stats(stats) => match task {
            Some(task) if !stats.tasks.contains_key(task) => {
                Err(HttpError::failed(format!("unknown task name \"{task}\"")))
            }
            task => ctx.plain_json(&convert::alloc_stats(&stats, task)),
        },
        other => Err(unexpected(&other)),
    }
}

/// Also `/v1/allocation/<id>/checks`.
pub(super) async fn checks(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    ctx.get()?;
    let (alloc, client) = find(ctx, id).await?;
    match client.ask(NodeAsk::Checks { alloc: alloc.id }).await? {
        NodeAnswer::Checks(results) => ctx.plain_json(&alloc::by_id(&results, &alloc.name)),
        other => Err(unexpected(&other)),
    }
}

fn done(ctx: &Ctx, answer: NodeAnswer) -> Result<Response, HttpError> {
    match answer {
        NodeAnswer::Done => ctx.plain_json(&IndexOnly::default()),
        other => Err(unexpected(&other)),
    }
}

async fn restart(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    ctx.put()?;
    let request: AllocRestartRequest = ctx.decode_or_default()?;
    if request.all_tasks && !request.task_name.is_empty() {
        return Err(HttpError::bad_request(
            "restarting all tasks and one by name exclude each other",
        ));
    }
    let (alloc, client) = find(ctx, id).await?;
    let ask = NodeAsk::Restart {
        alloc: alloc.id,
        task: (!request.task_name.is_empty()).then_some(request.task_name),
        all: request.all_tasks,
    };
    done(ctx, client.ask(ask).await?)
}

async fn signal(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    ctx.put()?;
    let request: AllocSignalRequest = ctx.decode()?;
    let (alloc, client) = find(ctx, id).await?;
    let ask = NodeAsk::Signal {
        alloc: alloc.id,
        task: (!request.task.is_empty()).then_some(request.task),
        signal: request.signal,
    };
    done(ctx, client.ask(ask).await?)
}

async fn gc(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    ctx.allow(&[Method::GET, Method::PUT, Method::POST])?;
    let (alloc, client) = find(ctx, id).await?;
    match client.ask(NodeAsk::Gc { alloc: alloc.id }).await? {
        NodeAnswer::Done => Ok(respond::empty(None)),
        other => Err(unexpected(&other)),
    }
}

async fn gc_all(ctx: &Ctx) -> Result<Response, HttpError> {
    ctx.allow(&[Method::GET, Method::PUT, Method::POST])?;
    let client = asked_client(ctx, "").await?;
    match client.ask(NodeAsk::GcAll).await? {
        NodeAnswer::Done => Ok(respond::empty(None)),
        other => Err(unexpected(&other)),
    }
}

async fn metadata(ctx: &Ctx) -> Result<Response, HttpError> {
    if ctx.is_put() {
        let request: NodeMetadataRequest = ctx.decode()?;
        if request.meta.is_empty() {
            return Err(HttpError::bad_request("missing required Meta object"));
        }
        let client = asked_client(ctx, &request.node_id).await?;
        return answer_metadata(ctx, client.ask(NodeAsk::SetMeta(request.meta)).await?);
    }
    ctx.get()?;
    let client = asked_client(ctx, "").await?;
    answer_metadata(ctx, client.ask(NodeAsk::Meta).await?)
}

fn answer_metadata(ctx: &Ctx, answer: NodeAnswer) -> Result<Response, HttpError> {
    match answer {
        NodeAnswer::Meta(meta, dynamic, fixed) => ctx.plain_json(&NodeMetadata {
            dynamic,
            meta,
            fixed,
        }),
        other => Err(unexpected(&other)),
    }
}
