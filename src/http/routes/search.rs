//! Finding ids by their beginning.

use std::collections::BTreeMap;

use axum::response::Response;

use crate::http::context::{Ctx, body};
use crate::http::dto::misc::{SearchRequest, SearchResponse};
use crate::http::error::HttpError;
use crate::http::respond::Meta;
use crate::rpc::Read;

/// How many ids a context shows.
const MATCHES_MAX: usize = 20;

/// Every context, in the order of Nomad's message.
const CONTEXTS: [&str; 12] = [
    "allocs",
    "jobs",
    "nodes",
    "node_pools",
    "evals",
    "deployment",
    "plugins",
    "volumes",
    "scaling_policy",
    "vars",
    "namespaces",
    "host_volumes",
];

/// Contexts whose ids are UUIDs: a prefix that is none matches nothing in them.
const UUIDS: [&str; 4] = ["allocs", "nodes", "evals", "deployment"];

/// `/v1/search` and below.
pub(super) async fn search(ctx: &Ctx, tail: Option<&str>) -> Result<Response, HttpError> {
    ctx.put()?;
    match tail {
        None => {}
        Some("fuzzy") => return Err(HttpError::unavailable("fuzzy search")),
        Some(_) => return Err(HttpError::no_such_path()),
    }
    let request: SearchRequest = ctx.decode()?;
    let wanted: Vec<&str> = match request.context.as_str() {
        "all" => CONTEXTS
            .into_iter()
            .filter(|c| !UUIDS.contains(c) || is_uuid_prefix(&request.prefix))
            .collect(),
        one => match CONTEXTS.into_iter().find(|c| *c == one) {
            Some(context) => vec![context],
            None => {
                return Err(HttpError::failed(format!(
                    "context must be one of [{}] or 'all' for all contexts; got \"{one}\"",
                    CONTEXTS.join(" ")
                )));
            }
        },
    };
    let mut response = SearchResponse::default();
    let mut meta = Meta {
        index: 1,
        contact: Some((true, 0)),
        next_token: String::new(),
    };
    for context in wanted {
        let (ids, read) = ids(ctx, context).await?;
        if let Some(read) = read {
            meta.index = meta.index.max(read.index);
            meta.contact = read.contact;
        }
        let mut found: Vec<String> = ids
            .into_iter()
            .filter(|id| id.starts_with(&request.prefix))
            .collect();
        found.sort();
        response
            .truncations
            .insert(context.to_string(), found.len() > MATCHES_MAX);
        found.truncate(MATCHES_MAX);
        response
            .matches
            .insert(context.to_string(), (!found.is_empty()).then_some(found));
    }
    response.index = meta.index;
    response.known_leader = meta.contact.is_some_and(|(known, _)| known);
    ctx.json(&response, meta)
}

fn is_uuid_prefix(text: &str) -> bool {
    text.len() <= 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// Every id of one context.
async fn ids(ctx: &Ctx, context: &str) -> Result<(Vec<String>, Option<Meta>), HttpError> {
    let namespace = ctx.namespaces();
    let fixed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("node_pools", ["all", "default"].as_slice()),
        ("namespaces", ["default"].as_slice()),
    ]);
    let read = match context {
        "allocs" => Read::Allocs { namespace },
        "jobs" => Read::Jobs { namespace },
        "nodes" => Read::Nodes,
        "evals" => Read::Evals { namespace },
        "deployment" => Read::Deployments { namespace },
        other => {
            let names = fixed.get(other).copied().unwrap_or_default();
            return Ok((names.iter().map(ToString::to_string).collect(), None));
        }
    };
    let answer = ctx.read_now(read).await?;
    let meta = Meta::of(&answer);
    let ids = match context {
        "allocs" => texts(body!(answer, Allocs).iter().map(|a| a.id)),
        "jobs" => texts(body!(answer, Jobs).iter().map(|(j, _)| j.spec.id.clone())),
        "nodes" => texts(body!(answer, Nodes).iter().map(|n| n.id)),
        "evals" => texts(body!(answer, Evals).iter().map(|e| e.id)),
        _ => texts(body!(answer, Deployments).iter().map(|d| d.id)),
    };
    Ok((ids, Some(meta)))
}

fn texts(ids: impl Iterator<Item = impl ToString>) -> Vec<String> {
    ids.map(|id| id.to_string()).collect()
}
