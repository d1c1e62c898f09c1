//! Allocations.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::response::Response;
use serde_json::Value;

use crate::http::context::{Ctx, body, unexpected_reply};
use crate::http::dto::alloc::{AllocStopResponse, Allocation as AllocJson};
use crate::http::dto::convert;
use crate::http::error::HttpError;
use crate::http::filter::fields_of;
use crate::http::page::{Key, Listing};
use crate::http::respond::Meta;
use crate::model::why::Subject;
use crate::model::{AllocId, Allocation};
use crate::rpc::{Op, Read, Reply};

use super::{as_value, client, has_prefix, id_of, uuid_of, why};

/// `/v1/allocations`
pub(super) async fn list(ctx: &Ctx) -> Result<Response, HttpError> {
    ctx.get()?;
    let answer = ctx
        .read(Read::Allocs {
            namespace: ctx.namespaces(),
        })
        .await?;
    let meta = Meta::of(&answer);
    stubs(ctx, &body!(answer, Allocs), meta)
}

/// Answers with a list of allocations, as the parameters want it.
pub(super) fn stubs(
    ctx: &Ctx,
    allocs: &[Arc<Allocation>],
    meta: Meta,
) -> Result<Response, HttpError> {
    let listing = Listing::of(&ctx.params)?;
    let resources = ctx.params.flag("resources", false)?;
    let states = ctx.params.flag("task_states", true)?;
    let matches = has_prefix(ctx, "alloc")?;
    let page = listing.page(
        allocs.iter().filter(|a| matches(&a.id.to_string())),
        |a| Key::Created(a.create_index, a.id.to_string()),
        fields_of::<AllocJson>(),
        |a| shown(a),
    )?;
    let stubs: Vec<_> = page
        .items
        .iter()
        .map(|a| convert::alloc_stub(a, resources, states))
        .collect();
    ctx.json(&stubs, meta.next(page.next_token))
}

/// What a filter sees: the whole allocation and the list's own fields.
fn shown(alloc: &Allocation) -> Value {
    let mut whole = as_value(&convert::alloc(alloc));
    if let (Value::Object(whole), Value::Object(stub)) = (
        &mut whole,
        as_value(&convert::alloc_stub(alloc, false, false)),
    ) {
        for (key, value) in stub {
            whole.entry(key).or_insert(value);
        }
    }
    whole
}

/// `/v1/allocation/<id>` and below.
pub(super) async fn alloc(ctx: &Ctx, tail: &str) -> Result<Response, HttpError> {
    let (id, part) = match tail.split_once('/') {
        Some((id, part)) => (id, Some(part)),
        None => (tail, None),
    };
    match part {
        Some("stop") => stop(ctx, id).await,
        Some("checks") => client::checks(ctx, &id_of(id)).await,
        Some("why") => {
            let subject = Subject::Alloc(uuid_of(id, "alloc")?);
            why::explain(ctx, subject, "alloc not found").await
        }
        Some("services") => services(ctx, id).await,
        None => one(ctx, id).await,
        Some(_) => Err(HttpError::failed("resource not found")),
    }
}

async fn one(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    ctx.get()?;
    let id: AllocId = uuid_of(id, "alloc")?;
    let answer = ctx.read(Read::Alloc(id)).await?;
    let meta = Meta::of(&answer);
    match body!(answer, Alloc) {
        Some(alloc) => ctx.json(&convert::alloc(&alloc), meta),
        None => Err(HttpError::missing("alloc not found", meta)),
    }
}

async fn services(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    ctx.get()?;
    let id: AllocId = uuid_of(id, "alloc")?;
    let answer = ctx.read(Read::AllocServices(id)).await?;
    let meta = Meta::of(&answer);
    let services: Vec<_> = body!(answer, Services)
        .iter()
        .map(convert::service)
        .collect();
    if services.is_empty() {
        let answer = ctx.read_now(Read::Alloc(id)).await?;
        if body!(answer, Alloc).is_none() {
            return Err(HttpError::missing("allocation not found", meta));
        }
    }
    ctx.json(&services, meta)
}

async fn stop(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    ctx.put()?;
    let id: AllocId = uuid_of(id, "alloc")?;
    let no_shutdown_delay = ctx.params.flag("no_shutdown_delay", false)?;
    let reply = ctx
        .call(Op::StopAlloc {
            id,
            no_shutdown_delay,
        })
        .await?;
    let Reply::Evaluated { index, eval } = reply else {
        return Err(unexpected_reply(&reply));
    };
    let response = AllocStopResponse {
        eval_id: eval.to_string(),
        index,
    };
    ctx.json(&response, Meta::written(index))
}

/// The check results of an allocation by check id.
pub(super) fn by_id(
    results: &[crate::rpc::node::CheckResult],
    name: &str,
) -> BTreeMap<String, crate::http::dto::client::CheckQueryResult> {
    results
        .iter()
        .map(|result| (result.id.clone(), convert::check(result, name)))
        .collect()
}
