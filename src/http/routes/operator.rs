//! The cluster's own matters: leader, Raft, scheduler settings, garbage, regions, namespaces.

use std::net::SocketAddr;

use axum::http::{Method, StatusCode};
use axum::response::Response;

use crate::http::context::{Ctx, body, unexpected_reply};
use crate::http::dto::convert;
use crate::http::dto::misc::Namespace;
use crate::http::dto::operator::*;
use crate::http::error::HttpError;
use crate::http::respond;
use crate::http::respond::Meta;
use crate::model::view::{Algorithm, SchedulerConfig};
use crate::rpc::api::RaftView;
use crate::rpc::{Op, Read, Reply};

use super::node::built_in;

/// `/v1/status/…`
pub(super) async fn status(ctx: &Ctx, tail: &str) -> Result<Response, HttpError> {
    let local = &ctx.app.local;
    match tail {
        "leader" => {
            ctx.get()?;
            let leader = match local.info().server {
                true => local.leader(),
                false => raft(ctx).await?.leader,
            };
            match leader {
                Some(leader) => ctx.plain_json(&leader.to_string()),
                None => Err(HttpError::failed("No cluster leader")),
            }
        }
        "peers" => {
            ctx.get()?;
            let peers: Vec<SocketAddr> = match local.info().server {
                true => local.peers(),
                false => raft(ctx).await?.servers.iter().map(|s| s.addr).collect(),
            };
            let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
            ctx.plain_json(&peers)
        }
        _ => Err(HttpError::no_such_path()),
    }
}

/// The Raft group, as a server tells it to an agent that is none.
async fn raft(ctx: &Ctx) -> Result<RaftView, HttpError> {
    let answer = ctx.read_now(Read::Raft).await?;
    Ok(body!(answer, Raft))
}

/// `/v1/regions`
pub(super) fn regions(ctx: &Ctx) -> Result<Response, HttpError> {
    ctx.get()?;
    ctx.plain_json(&[ctx.app.local.info().region])
}

/// `/v1/system/…`
pub(super) async fn system(ctx: &Ctx, tail: &str) -> Result<Response, HttpError> {
    match tail {
        "gc" => {
            ctx.allow(&[Method::PUT])?;
            match ctx.call(Op::SystemGc).await? {
                Reply::Done { .. } => Ok(respond::empty(None)),
                other => Err(unexpected_reply(&other)),
            }
        }
        "reconcile/summaries" => {
            ctx.allow(&[Method::PUT])?;
            Err(HttpError::unavailable(
                "repairing job summaries (they are counted anew on every read)",
            ))
        }
        _ => Err(HttpError::no_such_path()),
    }
}

/// `/v1/operator/…`
pub(super) async fn operator(ctx: &Ctx, tail: &str) -> Result<Response, HttpError> {
    match tail {
        "raft/configuration" => {
            ctx.get()?;
            let answer = ctx.read_now(Read::Raft).await?;
            ctx.plain_json(&convert::raft(&body!(answer, Raft)))
        }
        "scheduler/configuration" => scheduler(ctx).await,
        "license" if ctx.method == Method::GET => {
            let mut response = respond::empty(None);
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(response)
        }
        "license" | "utilization" => Err(super::enterprise()),
        _ if [
            "raft/",
            "autopilot/",
            "snapshot",
            "keyring/",
            "upgrade-check/",
        ]
        .iter()
        .any(|known| tail.starts_with(known)) =>
        {
            Err(HttpError::unavailable(&format!("/v1/operator/{tail}")))
        }
        _ => Err(HttpError::no_such_path()),
    }
}

async fn scheduler(ctx: &Ctx) -> Result<Response, HttpError> {
    if ctx.is_put() {
        return set_scheduler(ctx).await;
    }
    ctx.get()?;
    let answer = ctx.read(Read::SchedulerConfig).await?;
    let meta = Meta::of(&answer);
    let (known_leader, last_contact) = (answer.known_leader, answer.last_contact);
    let config = body!(answer, SchedulerConfig);
    let response = SchedulerConfigurationResponse {
        index: meta.index,
        known_leader,
        last_contact: i64::try_from(last_contact.as_nanos()).unwrap_or(i64::MAX),
        next_token: String::new(),
        scheduler_config: convert::scheduler_config(&config),
    };
    ctx.json(&response, meta)
}

async fn set_scheduler(ctx: &Ctx) -> Result<Response, HttpError> {
    let request: SchedulerConfiguration = ctx.decode()?;
    let algorithm = match request.scheduler_algorithm.as_str() {
        "" | "binpack" => Algorithm::Binpack,
        "spread" => Algorithm::Spread,
        other => {
            return Err(HttpError::bad_request(format!(
                "invalid scheduler algorithm: {other}"
            )));
        }
    };
    let preemption = &request.preemption_config;
    if preemption.batch_scheduler_enabled
        || preemption.service_scheduler_enabled
        || preemption.sys_batch_scheduler_enabled
    {
        return Err(HttpError::unavailable("preemption"));
    }
    let cas = match ctx.params.text("cas") {
        "" => None,
        text => Some(text.parse().map_err(|_| {
            HttpError::bad_request(format!("cas must be an index, not \"{text}\""))
        })?),
    };
    let config = SchedulerConfig {
        algorithm,
        memory_oversubscription: request.memory_oversubscription_enabled,
        reject_job_registration: request.reject_job_registration,
        pause_eval_broker: request.pause_eval_broker,
        ..SchedulerConfig::default()
    };
    match ctx.call(Op::SetSchedulerConfig { config, cas }).await? {
        Reply::Updated { index, updated } => ctx.json(
            &SchedulerSetResponse { index, updated },
            Meta::written(index),
        ),
        other => Err(unexpected_reply(&other)),
    }
}

/// The one namespace that there is.
fn default_namespace() -> Namespace {
    Namespace {
        create_index: 1,
        description: "Default shared namespace".to_string(),
        modify_index: 1,
        name: "default".to_string(),
        ..Namespace::default()
    }
}

/// `/v1/namespaces`
pub(super) fn namespaces(ctx: &Ctx) -> Result<Response, HttpError> {
    ctx.get()?;
    let all = [default_namespace()];
    let prefix = ctx.params.text("prefix");
    let shown: Vec<_> = all.iter().filter(|n| n.name.starts_with(prefix)).collect();
    ctx.json(&shown, built_in())
}

/// `/v1/namespace/<name>`
pub(super) fn namespace(ctx: &Ctx, name: &str) -> Result<Response, HttpError> {
    if ctx.is_put() || ctx.method == Method::DELETE {
        return Err(HttpError::unavailable("a namespace of your own"));
    }
    ctx.get()?;
    if name == "default" {
        ctx.json(&default_namespace(), built_in())
    } else {
        Err(HttpError::missing("Namespace not found", built_in()))
    }
}
