//! Deployments.

use axum::response::Response;

use crate::http::context::{Ctx, body, unexpected_reply};
use crate::http::dto::convert;
use crate::http::dto::deployment::*;
use crate::http::error::HttpError;
use crate::http::page::{Key, Listing};
use crate::http::respond::Meta;
use crate::model::{AllocId, DeploymentId};
use crate::rpc::{Op, Read, Reply};

use super::{as_value, has_prefix, uuid_of};

/// `/v1/deployments`
pub(super) async fn list(ctx: &Ctx) -> Result<Response, HttpError> {
    ctx.get()?;
    let listing = Listing::of(&ctx.params)?;
    let matches = has_prefix(ctx, "deployment")?;
    let answer = ctx
        .read(Read::Deployments {
            namespace: ctx.namespaces(),
        })
        .await?;
    let meta = Meta::of(&answer);
    let deployments = body!(answer, Deployments);
    let page = listing.page(
        deployments.iter().filter(|d| matches(&d.id.to_string())),
        |d| Key::Created(d.create_index, d.id.to_string()),
        &[],
        |d| as_value(&convert::deployment(d)),
    )?;
    let shown: Vec<_> = page.items.iter().map(|d| convert::deployment(d)).collect();
    ctx.json(&shown, meta.next(page.next_token))
}

/// `/v1/deployment/…`; the verb comes before the id.
pub(super) async fn deployment(ctx: &Ctx, tail: &str) -> Result<Response, HttpError> {
    let Some((verb, id)) = tail.split_once('/') else {
        return one(ctx, tail).await;
    };
    if verb == "allocations" {
        ctx.get()?;
        let id: DeploymentId = uuid_of(id, "deployment")?;
        let answer = ctx.read(Read::DeploymentAllocs(id)).await?;
        let meta = Meta::of(&answer);
        return super::alloc::stubs(ctx, &body!(answer, Allocs), meta);
    }
    ctx.put()?;
    let op = match verb {
        "fail" => Op::FailDeployment(uuid_of(id, "deployment")?),
        "pause" => pause(ctx, id)?,
        "promote" => promote(ctx, id)?,
        "allocation-health" => health(ctx, id)?,
        "unblock" => return Err(HttpError::unavailable("a multi-region deployment")),
        _ => return Err(HttpError::no_such_path()),
    };
    update(ctx, op).await
}

async fn one(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    ctx.get()?;
    let id: DeploymentId = uuid_of(id, "deployment")?;
    let answer = ctx.read(Read::Deployment(id)).await?;
    let meta = Meta::of(&answer);
    match body!(answer, Deployment) {
        Some(deployment) => ctx.json(&convert::deployment(&deployment), meta),
        None => Err(HttpError::missing("deployment not found", meta)),
    }
}

/// The id, which body and path must agree on.
fn named(path: &str, body: &str) -> Result<DeploymentId, HttpError> {
    if body.is_empty() {
        return Err(HttpError::bad_request("DeploymentID must be specified"));
    }
    if body != path {
        return Err(HttpError::bad_request("Deployment ID does not match"));
    }
    uuid_of(path, "deployment")
}

fn pause(ctx: &Ctx, id: &str) -> Result<Op, HttpError> {
    let request: DeploymentPauseRequest = ctx.decode()?;
    Ok(Op::PauseDeployment {
        id: named(id, &request.deployment_id)?,
        pause: request.pause,
    })
}

fn promote(ctx: &Ctx, id: &str) -> Result<Op, HttpError> {
    let request: DeploymentPromoteRequest = ctx.decode()?;
    let id = named(id, &request.deployment_id)?;
    if !request.all && request.groups.is_empty() {
        return Err(HttpError::failed(
            "promoting needs `All` or the names of the groups",
        ));
    }
    let groups = if request.all {
        Vec::new()
    } else {
        request.groups
    };
    Ok(Op::PromoteDeployment { id, groups })
}

fn health(ctx: &Ctx, id: &str) -> Result<Op, HttpError> {
    let request: DeploymentAllocHealthRequest = ctx.decode()?;
    let id = named(id, &request.deployment_id)?;
    let ids = |texts: &[String]| -> Result<Vec<AllocId>, HttpError> {
        texts.iter().map(|text| uuid_of(text, "alloc")).collect()
    };
    Ok(Op::DeploymentHealth {
        id,
        healthy: ids(&request.healthy_allocation_ids)?,
        unhealthy: ids(&request.unhealthy_allocation_ids)?,
    })
}

async fn update(ctx: &Ctx, op: Op) -> Result<Response, HttpError> {
    let reply = ctx.call(op).await.map_err(HttpError::missing_is_500)?;
    let Reply::Deployment {
        index,
        eval,
        reverted_to,
    } = reply
    else {
        return Err(unexpected_reply(&reply));
    };
    let response = DeploymentUpdateResponse {
        deployment_modify_index: index,
        eval_create_index: eval.map(|(_, index)| index).unwrap_or_default(),
        eval_id: eval.map(|(id, _)| id.to_string()).unwrap_or_default(),
        index,
        reverted_job_version: reverted_to,
    };
    ctx.json(&response, Meta::written(index))
}
