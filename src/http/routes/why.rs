//! Explanations: `/v1/job/:id/why` and its like for allocations, evaluations and nodes.

use axum::response::Response;

use crate::http::blocking;
use crate::http::context::{Ctx, body};
use crate::http::error::HttpError;
use crate::http::respond::Meta;
use crate::model::why::Subject;
use crate::rpc::{Read, why};

/// Answers why `subject` is as it is; `missing` is the error if there is no such thing.
pub(super) async fn explain(
    ctx: &Ctx,
    subject: Subject,
    missing: &str,
) -> Result<Response, HttpError> {
    ctx.get()?;
    let app = &ctx.app;
    let query = blocking::query(&ctx.params, &*app.env.entropy, Read::Explain(subject))?;
    let asked = why::explain(&*app.api, &*app.nodes, &*app.env.clock, query);
    let answer = tokio::select! {
        biased;
        answer = asked => answer?,
        () = ctx.token.cancelled() => return Err(HttpError::failed("the agent is shutting down")),
    };
    let meta = Meta::of(&answer);
    match body!(answer, Why) {
        Some(why) => ctx.json(&why, meta),
        None => Err(HttpError::missing(missing, meta)),
    }
}
