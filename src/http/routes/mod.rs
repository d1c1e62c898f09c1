//! From paths to handlers.
//!
//! A handler per noun; the part of the path after the noun is handed on as it came, because job
//! ids may hold slashes, encoded or not.

use axum::body::Body;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use super::context::Ctx;
use super::error::HttpError;
use super::params::decode;
use super::respond;

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
    let (_noun, _tail) = match rest.split_once('/') {
        Some((noun, tail)) => (noun, Some(tail)),
        None => (rest, None),
    };
    Err(HttpError::no_such_path())
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
