//! Evaluations.

use std::collections::BTreeSet;

use axum::http::Method;
use axum::response::Response;

use crate::http::context::{Ctx, body};
use crate::http::dto::convert;
use crate::http::dto::eval::{EvalCountResponse, Evaluation as EvalJson};
use crate::http::error::HttpError;
use crate::http::filter::fields_of;
use crate::http::page::{Key, Listing, Page};
use crate::http::respond::Meta;
use crate::model::why::Subject;
use crate::model::{EvalId, Evaluation};
use crate::rpc::Read;

use super::{as_value, has_prefix, uuid_of, why};

/// `/v1/evaluations` and below.
pub(super) async fn list(ctx: &Ctx, tail: Option<&str>) -> Result<Response, HttpError> {
    if tail.is_none() && ctx.method == Method::DELETE {
        return Err(HttpError::unavailable("deleting evaluations by hand"));
    }
    ctx.get()?;
    let listing = Listing::of(&ctx.params)?;
    let (job, status) = (ctx.params.text("job"), ctx.params.text("status"));
    if listing.filters() && !(job.is_empty() && status.is_empty()) {
        return Err(HttpError::bad_request(
            "Filter expression cannot be used with other filter parameters",
        ));
    }
    let matches = has_prefix(ctx, "eval")?;
    let answer = ctx
        .read(Read::Evals {
            namespace: ctx.namespaces(),
        })
        .await?;
    let meta = Meta::of(&answer);
    let (known_leader, last_contact) = (answer.known_leader, answer.last_contact);
    let evals = body!(answer, Evals);
    let page: Page<_> = listing.page(
        evals.iter().filter(|e| {
            matches(&e.id.to_string())
                && (job.is_empty() || e.job_id.as_str() == job)
                && (status.is_empty() || e.status.as_str() == status)
        }),
        |e| Key::Created(e.create_index, e.id.to_string()),
        fields_of::<EvalJson>(),
        |e| as_value(&convert::eval(e)),
    )?;
    match tail {
        None => {
            let shown: Vec<_> = page.items.iter().map(|e| convert::eval(e)).collect();
            ctx.json(&shown, meta.next(page.next_token))
        }
        Some("count") => {
            let count = EvalCountResponse {
                count: page.items.len() as u64,
                index: meta.index,
                known_leader,
                last_contact: i64::try_from(last_contact.as_nanos()).unwrap_or(i64::MAX),
                next_token: String::new(),
            };
            ctx.json(&count, meta)
        }
        Some(_) => Err(HttpError::no_such_path()),
    }
}

/// `/v1/evaluation/<id>` and below.
pub(super) async fn eval(ctx: &Ctx, tail: &str) -> Result<Response, HttpError> {
    ctx.get()?;
    if let Some(id) = tail.strip_suffix("/allocations") {
        let id: EvalId = uuid_of(id, "eval")?;
        let answer = ctx.read(Read::EvalAllocs(id)).await?;
        let meta = Meta::of(&answer);
        return super::alloc::stubs(ctx, &body!(answer, Allocs), meta);
    }
    if let Some(id) = tail.strip_suffix("/why") {
        let subject = Subject::Eval(uuid_of(id, "eval")?);
        return why::explain(ctx, subject, "eval not found").await;
    }
    let id: EvalId = uuid_of(tail, "eval")?;
    let related = ctx.params.flag("related", false)?;
    let answer = ctx.read(Read::Eval(id)).await?;
    let meta = Meta::of(&answer);
    let Some(eval) = body!(answer, Eval) else {
        return Err(HttpError::missing("eval not found", meta));
    };
    let mut shown = convert::eval(&eval);
    if related {
        let answer = ctx.read_now(Read::JobEvals(eval.job_key())).await?;
        let all = body!(answer, Evals);
        shown.related_evals = related_to(&eval, all.iter().map(|e| &**e))
            .into_iter()
            .map(convert::eval_stub)
            .collect();
    }
    ctx.json(&shown, meta)
}

/// The evaluations that `eval` is linked with, directly or over others.
fn related_to<'a>(
    eval: &Evaluation,
    all: impl Iterator<Item = &'a Evaluation>,
) -> Vec<&'a Evaluation> {
    let links = |e: &Evaluation| [e.next, e.previous, e.blocked].into_iter().flatten();
    let all: Vec<&Evaluation> = all.collect();
    let mut known = BTreeSet::from([eval.id]);
    let mut reach: BTreeSet<EvalId> = links(eval).collect();
    loop {
        let found: Vec<_> = all
            .iter()
            .filter(|e| !known.contains(&e.id))
            .filter(|e| reach.contains(&e.id) || links(e).any(|id| known.contains(&id)))
            .collect();
        if found.is_empty() {
            break;
        }
        for e in found {
            known.insert(e.id);
            reach.extend(links(e));
        }
    }
    all.into_iter()
        .filter(|e| e.id != eval.id && known.contains(&e.id))
        .collect()
}
