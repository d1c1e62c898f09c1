//! Services and where their instances are.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use axum::response::Response;
use sha2::{Digest, Sha256};

use crate::http::context::{Ctx, body, unexpected_reply};
use crate::http::dto::convert;
use crate::http::dto::service::*;
use crate::http::error::HttpError;
use crate::http::page::{Key, Listing};
use crate::http::respond::{self, Meta};
use crate::rpc::{Op, Read, Reply};

use super::{as_value, id_of};

/// `/v1/services`
pub(super) async fn list(ctx: &Ctx) -> Result<Response, HttpError> {
    ctx.get()?;
    let answer = ctx
        .read(Read::Services {
            namespace: ctx.namespaces(),
        })
        .await?;
    let meta = Meta::of(&answer);
    let mut names: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for service in body!(answer, Services) {
        names
            .entry(service.namespace.to_string())
            .or_default()
            .entry(service.name)
            .or_default()
            .extend(service.tags);
    }
    let shown: Vec<ServiceNamespaceStub> = names
        .into_iter()
        .map(|(namespace, services)| ServiceNamespaceStub {
            namespace,
            services: services
                .into_iter()
                .map(|(service_name, tags)| ServiceStub {
                    service_name,
                    tags: tags.into_iter().collect(),
                })
                .collect(),
        })
        .collect();
    ctx.json(&shown, meta)
}

/// `/v1/service/<name>` and `/v1/service/<name>/<id>`
pub(super) async fn service(ctx: &Ctx, tail: &str) -> Result<Response, HttpError> {
    if let Some((_, id)) = tail.split_once('/') {
        ctx.allow(&[Method::DELETE])?;
        return delete(ctx, id_of(id)).await;
    }
    ctx.get()?;
    let listing = Listing::of(&ctx.params)?;
    let choose = choice(ctx)?;
    let answer = ctx
        .read(Read::Service {
            namespace: ctx.namespace(),
            name: id_of(tail),
        })
        .await?;
    let meta = Meta::of(&answer);
    let services = body!(answer, Services);
    let page = listing.page(
        &services,
        |s| Key::Name(s.namespace.to_string(), s.id.clone()),
        &[],
        |s| as_value(&convert::service(s)),
    )?;
    let mut shown: Vec<ServiceRegistration> =
        page.items.iter().map(|s| convert::service(s)).collect();
    if let Some((count, key)) = choose {
        shown.sort_by_cached_key(|s| Sha256::digest(format!("{key}\0{}", s.id)));
        shown.truncate(count);
    }
    ctx.json(&shown, meta.next(page.next_token))
}

/// `choose=<number>|<key>`: the same key gets the same instances as long as they live.
fn choice(ctx: &Ctx) -> Result<Option<(usize, String)>, HttpError> {
    let text = ctx.params.text("choose");
    if text.is_empty() {
        return Ok(None);
    }
    text.split_once('|')
        .and_then(|(count, key)| Some((count.parse().ok()?, key.to_string())))
        .map(Some)
        .ok_or_else(|| {
            HttpError::bad_request(
                "failed to choose services: Parameter for choose must be in form '<number>|<key>'",
            )
        })
}

async fn delete(ctx: &Ctx, id: String) -> Result<Response, HttpError> {
    let op = Op::DeleteService {
        namespace: ctx.namespace(),
        id,
    };
    match ctx.call(op).await.map_err(HttpError::missing_is_500)? {
        Reply::Done { index } => Ok(respond::empty(Some(Meta::written(index)))),
        other => Err(unexpected_reply(&other)),
    }
}
