//! Node pools.

use axum::http::Method;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::node::nodes;
use crate::http::context::{Ctx, body, unexpected_reply};
use crate::http::dto::convert;
use crate::http::dto::node::NodePool;
use crate::http::error::HttpError;
use crate::http::respond::{self, Meta};
use crate::model::pool;
use crate::rpc::{Op, Read, Reply};

/// The longest that a node's identity is valid, as answers show it.
const IDENTITY_TTL: i64 = 86_400_000_000_000;

fn shown(pool: &pool::NodePool) -> NodePool {
    NodePool {
        create_index: pool.create_index,
        description: pool.description.clone(),
        hash: (!pool::is_built_in(&pool.name)).then(|| hash(pool)),
        meta: pool.meta.clone(),
        modify_index: pool.modify_index,
        name: pool.name.clone(),
        node_identity_ttl: IDENTITY_TTL,
        scheduler_configuration: None,
    }
}

/// A digest of everything that can be changed of a pool.
fn hash(pool: &pool::NodePool) -> String {
    let mut hash = Sha256::new();
    let pairs = pool.meta.iter().flat_map(|(k, v)| [k, v]);
    for text in [&pool.name, &pool.description].into_iter().chain(pairs) {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    STANDARD.encode(hash.finalize())
}

/// `/v1/node/pools`
pub(super) async fn list(ctx: &Ctx) -> Result<Response, HttpError> {
    if ctx.is_put() {
        return upsert(ctx, None).await;
    }
    ctx.get()?;
    let prefix = ctx.params.text("prefix");
    let answer = ctx.read(Read::Pools).await?;
    let meta = Meta::of(&answer);
    let pools = body!(answer, Pools);
    let named = pools.iter().filter(|p| p.name.starts_with(prefix));
    let shown: Vec<NodePool> = named.map(shown).collect();
    ctx.json(&shown, meta)
}

/// `/v1/node/pool/<name>` and what is below it.
pub(super) async fn one(ctx: &Ctx, tail: &str) -> Result<Response, HttpError> {
    let (name, part) = match tail.split_once('/') {
        Some((name, part)) => (name, Some(part)),
        None => (tail, None),
    };
    match part {
        None if ctx.is_put() => return upsert(ctx, Some(name)).await,
        None if ctx.method == Method::DELETE => {
            return write(ctx, Op::DeletePool(name.to_string())).await;
        }
        _ => ctx.get()?,
    }
    let answer = ctx.read(Read::Pools).await?;
    let meta = Meta::of(&answer);
    let pools = body!(answer, Pools);
    let Some(found) = pools.iter().find(|p| p.name == name) else {
        return Err(HttpError::missing("node pool not found", meta));
    };
    match part {
        None => ctx.json(&shown(found), meta),
        Some("nodes") => nodes(ctx, |n| name == pool::ALL || n.node_pool == name).await,
        Some("jobs") => jobs(ctx, name).await,
        Some(_) => Err(HttpError::no_such_path()),
    }
}

async fn upsert(ctx: &Ctx, path: Option<&str>) -> Result<Response, HttpError> {
    let wanted: NodePool = ctx.decode()?;
    if path.is_some_and(|name| name != wanted.name) {
        return Err(HttpError::bad_request(
            "Node pool name does not match request path",
        ));
    }
    if wanted.scheduler_configuration.is_some() {
        return Err(HttpError::unavailable(
            "a scheduler configuration of a node pool",
        ));
    }
    if ![0, IDENTITY_TTL].contains(&wanted.node_identity_ttl) {
        return Err(HttpError::unavailable("a node identity TTL of a node pool"));
    }
    let new = pool::NodePool {
        name: wanted.name,
        description: wanted.description,
        meta: wanted.meta,
        ..pool::NodePool::default()
    };
    write(ctx, Op::UpsertPool(new)).await
}

async fn write(ctx: &Ctx, op: Op) -> Result<Response, HttpError> {
    match ctx.call(op).await? {
        Reply::Done { index } => Ok(respond::empty(Some(Meta::written(index)))),
        other => Err(unexpected_reply(&other)),
    }
}

async fn jobs(ctx: &Ctx, pool: &str) -> Result<Response, HttpError> {
    let answer = ctx
        .read(Read::Jobs {
            namespace: ctx.namespaces(),
        })
        .await?;
    let meta = Meta::of(&answer);
    let jobs: Vec<_> = body!(answer, Jobs)
        .iter()
        .filter(|(job, _)| job.spec.node_pool == pool)
        .map(|(job, summary)| convert::job_stub(job, summary, false))
        .collect();
    ctx.json(&jobs, meta)
}
