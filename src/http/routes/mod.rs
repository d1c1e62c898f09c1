//! From paths to handlers.
//!
//! A handler per noun; the part of the path after the noun is handed on as it came, because job
//! ids may hold slashes, encoded or not.

mod agent;
mod alloc;
mod client;
mod deployment;
mod eval;
mod exec;
mod fs;
mod job;
mod job_write;
mod jobspec;
mod metrics;
mod node;
mod operator;
mod pool;
mod search;
mod service;
mod why;

use std::convert::Infallible;
use std::str::FromStr;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::context::Ctx;
use super::dto::page::{Page, PageRequest};
use super::error::HttpError;
use super::params::decode;
use super::respond;
use super::serve::Streamed;

/// Nouns whose bare path means their subtree.
const SUBTREES: [&str; 9] = [
    "job",
    "node",
    "allocation",
    "evaluation",
    "deployment",
    "namespace",
    "service",
    "var",
    "scaling/policy",
];

/// Answers a request.
pub(crate) async fn dispatch(ctx: &Ctx) -> Result<Response, HttpError> {
    let path = ctx.path.as_str();
    if path.contains("//") {
        return respond::redirect(&with_query(ctx, &clean(path)));
    }
    if path == "/" || path == "/ui" {
        return respond::redirect(&with_query(ctx, "/ui/"));
    }
    if path.starts_with("/ui/") {
        return page(ctx).await;
    }
    let Some(rest) = path.strip_prefix("/v1/") else {
        return Err(HttpError::no_such_path());
    };
    if SUBTREES.contains(&rest) {
        return respond::redirect(&with_query(ctx, &format!("{path}/")));
    }
    if ctx.method == Method::OPTIONS && is_cross_origin(path) {
        return Ok(preflight());
    }
    region(ctx)?;
    let (noun, tail) = match rest.split_once('/') {
        Some((noun, tail)) => (noun, Some(tail)),
        None => (rest, None),
    };
    route(ctx, noun, tail).await
}

/// Hands the request to its noun.
async fn route(ctx: &Ctx, noun: &str, tail: Option<&str>) -> Result<Response, HttpError> {
    match (noun, tail) {
        ("jobs", tail) => job::jobs(ctx, tail).await,
        ("job", Some("")) => Err(HttpError::not_found("job not found")),
        ("job", Some(tail)) => job::job(ctx, tail).await,
        ("validate", Some("job")) => jobspec::judge(ctx).await,
        ("nodes", None) => node::list(ctx).await,
        ("node", Some(tail)) => node::node(ctx, tail).await,
        ("allocations", None) => alloc::list(ctx).await,
        ("allocation", Some(tail)) => alloc::alloc(ctx, tail).await,
        ("evaluations", tail) => eval::list(ctx, tail).await,
        ("evaluation", Some(tail)) => eval::eval(ctx, tail).await,
        ("deployments", None) => deployment::list(ctx).await,
        ("deployment", Some(tail)) => deployment::deployment(ctx, tail).await,
        ("services", None) => service::list(ctx).await,
        ("service", Some(tail)) => service::service(ctx, tail).await,
        ("search", tail) => search::search(ctx, tail).await,
        ("client", Some(tail)) => client::client(ctx, tail).await,
        ("agent", Some(tail)) => agent::agent(ctx, tail).await,
        ("status", Some(tail)) => operator::status(ctx, tail).await,
        ("regions", None) => operator::regions(ctx),
        ("system", Some(tail)) => operator::system(ctx, tail).await,
        ("operator", Some(tail)) => operator::operator(ctx, tail).await,
        ("namespaces", None) => operator::namespaces(ctx),
        ("namespace", tail) => operator::namespace(ctx, tail.unwrap_or_default()),
        ("metrics", None) => metrics::metrics(ctx),
        _ => Err(absent(noun, &ctx.path)),
    }
}

/// Parts of Nomad's API that are not here, each with the reason; everything else is unknown.
fn absent(noun: &str, path: &str) -> HttpError {
    match noun {
        "acl" => HttpError::bad_request("ACL support disabled"),
        "quota" | "quotas" | "quota-usages" | "sentinel" | "recommendation" | "recommendations" => {
            enterprise()
        }
        "event" | "vars" | "var" | "volume" | "volumes" | "plugin" | "plugins" | "scaling" => {
            HttpError::unavailable(path)
        }
        _ => HttpError::no_such_path(),
    }
}

/// What only Nomad Enterprise has.
fn enterprise() -> HttpError {
    HttpError::new(
        StatusCode::NOT_IMPLEMENTED,
        "Nomad Enterprise only endpoint",
    )
}

/// A page of the web UI: it loads nothing from elsewhere and no other page may frame it.
async fn page(ctx: &Ctx) -> Result<Response, HttpError> {
    ctx.allow(&[Method::GET, Method::HEAD])?;
    let Some(pages) = &ctx.app.pages else {
        return Err(HttpError::no_such_path());
    };
    let request = PageRequest {
        path: decode(&ctx.path, false),
        query: ctx.params.pairs().to_vec(),
    };
    let mut response = match pages(request).await {
        Page::Whole {
            status,
            kind,
            body,
            lasting,
        } => {
            let mut response = respond::content(kind, Body::from(body));
            *response.status_mut() = StatusCode::from_u16(status)
                .map_err(|_| HttpError::failed("the page has no valid status"))?;
            let keep = match lasting {
                true => "public, max-age=31536000, immutable",
                false => "no-store",
            };
            let keep = HeaderValue::from_static(keep);
            response.headers_mut().insert(header::CACHE_CONTROL, keep);
            response
        }
        Page::Moved(to) => respond::redirect(&to)?,
        Page::Stream { kind, chunks } => page_stream(ctx, kind, chunks),
    };
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// What a page is told as it happens, until the reader goes or the server ends.
fn page_stream(ctx: &Ctx, kind: &'static str, chunks: BoxStream<'static, Bytes>) -> Response {
    let ended = ctx.token.clone().cancelled_owned();
    let body = chunks.map(Ok::<_, Infallible>).take_until(ended);
    let mut response = respond::content(kind, Body::from_stream(body));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(Streamed);
    response
}

/// Whether pages of other origins may read this path.
pub(crate) fn is_cross_origin(path: &str) -> bool {
    path.strip_prefix("/v1/client/").is_some_and(|rest| {
        let first = rest.split('/').next().unwrap_or_default();
        ["fs", "stats", "allocation", "metadata", "identity"].contains(&first)
    })
}

fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD"),
    );
    response
}

/// Refuses requests for a region that is not here.
fn region(ctx: &Ctx) -> Result<(), HttpError> {
    let region = ctx.params.text("region");
    if region.is_empty() || region == ctx.app.local.info().region {
        Ok(())
    } else {
        Err(HttpError::failed("No path to region"))
    }
}

/// `path` with the request's own query string.
fn with_query(ctx: &Ctx, path: &str) -> String {
    if ctx.raw_query.is_empty() {
        path.to_string()
    } else {
        format!("{path}?{}", ctx.raw_query)
    }
}

/// `path` without empty parts.
fn clean(path: &str) -> String {
    let mut cleaned = String::new();
    for part in path.split('/').filter(|p| !p.is_empty()) {
        cleaned.push('/');
        cleaned.push_str(part);
    }
    if path.ends_with('/') {
        cleaned.push('/');
    }
    cleaned
}

/// The id at the end of a path, decoded.
pub(crate) fn id_of(tail: &str) -> String {
    decode(tail, false)
}

/// An id that must be whole; `noun` is how lookups of its kind are called.
pub(crate) fn uuid_of<T: FromStr>(text: &str, noun: &str) -> Result<T, HttpError> {
    if text.is_empty() {
        return Err(HttpError::failed(format!("missing {noun} ID")));
    }
    id_of(text).parse().map_err(|_| {
        HttpError::failed(format!(
            "{noun} lookup failed: index error: UUID must be 36 characters"
        ))
    })
}

/// The test that the parameter `prefix` asks for. Prefixes of any length are fine; what is no
/// part of a UUID is refused, as clients expect.
pub(crate) fn has_prefix(ctx: &Ctx, noun: &str) -> Result<impl Fn(&str) -> bool, HttpError> {
    let prefix = ctx.params.text("prefix").to_ascii_lowercase();
    if let Some(wrong) = prefix.chars().find(|c| !c.is_ascii_hexdigit() && *c != '-') {
        return Err(HttpError::failed(format!(
            "{noun} lookup failed: index error: Invalid UUID: encoding/hex: invalid byte: \
             U+{:04X} '{wrong}'",
            u32::from(wrong)
        )));
    }
    Ok(move |id: &str| id.starts_with(&prefix))
}

/// An object's JSON for filters; what cannot be written matches nothing.
pub(crate) fn as_value<T: serde::Serialize>(object: &T) -> serde_json::Value {
    serde_json::to_value(object).unwrap_or_default()
}
