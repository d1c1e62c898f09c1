//! This agent: itself, its members, its health and its log.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use serde_json::json;

use crate::env::log::{Format, Level, LogNext};
use crate::http::context::Ctx;
use crate::http::dto::agent::*;
use crate::http::dto::client::StreamFrame;
use crate::http::dto::convert;
use crate::http::error::HttpError;
use crate::http::respond;
use crate::http::serve::Streamed;
use crate::model::member::Member;
use crate::rpc::{AgentInfo, Health, KeyringOp, LocalError};

/// The level of Nomad's API that is answered here, which tools compare.
const COMPATIBLE_VERSION: &str = "2.0.6";

/// `/v1/agent/…`
pub(super) async fn agent(ctx: &Ctx, tail: &str) -> Result<Response, HttpError> {
    match tail {
        "self" => about(ctx),
        "members" => members(ctx),
        "servers" => servers(ctx),
        "health" => health(ctx),
        "join" => join(ctx).await,
        "force-leave" => force_leave(ctx).await,
        "monitor" => monitor(ctx),
        "reload" | "host" | "schedulers" | "schedulers/config" | "monitor/export" => {
            Err(HttpError::unavailable(&format!("/v1/agent/{tail}")))
        }
        _ if let Some(what) = tail.strip_prefix("keyring/") => keyring(ctx, what).await,
        _ if tail.starts_with("pprof") => Err(HttpError::unavailable(&format!("/v1/agent/{tail}"))),
        _ => Err(HttpError::no_such_path()),
    }
}

fn about(ctx: &Ctx) -> Result<Response, HttpError> {
    ctx.get()?;
    let info = ctx.app.local.info();
    let members = ctx.app.local.members();
    let own = members
        .values()
        .find(|m| m.record.name == info.name && m.record.serf_addr == info.serf_addr);
    ctx.plain_json(&AgentSelf {
        config: config(&info),
        member: own.map(convert::member).unwrap_or_default(),
        stats: ctx.app.local.stats(),
    })
}

/// The settings that are known, under Nomad's names.
fn config(info: &AgentInfo) -> serde_json::Value {
    json!({
        "ACL": {"Enabled": false},
        "Addresses": {
            "HTTP": info.http_addr.ip().to_string(),
            "RPC": info.rpc_addr.ip().to_string(),
            "Serf": info.serf_addr.ip().to_string(),
        },
        "AdvertiseAddrs": {
            "HTTP": info.http_addr.to_string(),
            "RPC": info.rpc_addr.to_string(),
            "Serf": info.serf_addr.to_string(),
        },
        "BindAddr": info.bind_addr,
        "Build": {"Version": info.version, "Revision": info.revision},
        "Client": {
            "Enabled": info.client,
            "Meta": info.meta,
            "NodeClass": info.node_class,
            "NodePool": info.node_pool,
        },
        "DataDir": info.data_dir,
        "Datacenter": info.datacenter,
        "DevMode": info.dev,
        "HTTPAPIResponseHeaders": info.response_headers,
        "Limits": {"HTTPMaxConnsPerClient": info.http_max_conns_per_client},
        "LogLevel": info.log_level,
        "NodeName": info.name,
        "Ports": {
            "HTTP": info.http_addr.port(),
            "RPC": info.rpc_addr.port(),
            "Serf": info.serf_addr.port(),
        },
        "Region": info.region,
        "Server": {"BootstrapExpect": info.bootstrap_expect, "Enabled": info.server},
        "TLSConfig": {"EnableHTTP": false, "EnableRPC": false},
        "UI": {"Enabled": info.ui_enabled, "ShowCLIHints": info.cli_hints},
        "Version": {
            "BuildDate": null,
            "Revision": info.revision,
            "Version": COMPATIBLE_VERSION,
            "VersionMetadata": "",
            "VersionPrerelease": "",
        },
    })
}

/// The servers among the members, as Nomad's gossip has only those; `all=true` shows everyone.
fn members(ctx: &Ctx) -> Result<Response, HttpError> {
    ctx.get()?;
    let all = ctx.params.flag("all", false)?;
    let info = ctx.app.local.info();
    let wanted = |m: &&Member| all || m.record.server.is_some();
    let members = ctx
        .app
        .local
        .members()
        .values()
        .filter(wanted)
        .map(convert::member)
        .collect();
    ctx.plain_json(&AgentMembers {
        members,
        server_dc: info.datacenter,
        server_name: info.name,
        server_region: info.region,
    })
}

fn servers(ctx: &Ctx) -> Result<Response, HttpError> {
    if ctx.is_put() {
        return Err(HttpError::unavailable(
            "naming a client's servers (it learns them from the gossip)",
        ));
    }
    ctx.get()?;
    if !ctx.app.local.info().client {
        return Err(LocalError::NotClient.into());
    }
    let servers: Vec<String> = ctx
        .app
        .local
        .servers()
        .iter()
        .map(ToString::to_string)
        .collect();
    ctx.plain_json(&servers)
}

fn health(ctx: &Ctx) -> Result<Response, HttpError> {
    ctx.get()?;
    let (client, server) = ctx.app.local.health();
    let shown = |health: Option<Health>| {
        health.map(|h| RoleHealth {
            message: h.message,
            ok: h.ok,
        })
    };
    let missing = |role: &str| {
        Some(RoleHealth {
            message: format!("this agent is not a {role}"),
            ok: false,
        })
    };
    let health = match ctx.params.text("type") {
        "" => AgentHealth {
            client: shown(client),
            server: shown(server),
        },
        "client" => AgentHealth {
            client: shown(client).or_else(|| missing("client")),
            server: None,
        },
        "server" => AgentHealth {
            client: None,
            server: shown(server).or_else(|| missing("server")),
        },
        other => {
            return Err(HttpError::bad_request(format!(
                "unknown type \"{other}\": use client or server"
            )));
        }
    };
    let well = [&health.client, &health.server]
        .into_iter()
        .flatten()
        .all(|role| role.ok);
    let mut response = ctx.plain_json(&health)?;
    if !well {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
    }
    Ok(response)
}

async fn join(ctx: &Ctx) -> Result<Response, HttpError> {
    ctx.put()?;
    let addresses: Vec<String> = ctx.params.all("address").map(str::to_string).collect();
    if addresses.is_empty() {
        return Err(HttpError::bad_request("missing address to join"));
    }
    let response = match ctx.app.local.join(addresses).await {
        Ok(joined) => JoinResponse {
            num_joined: u32::try_from(joined).unwrap_or(u32::MAX),
            ..JoinResponse::default()
        },
        Err(error @ (LocalError::NotServer | LocalError::NotClient)) => return Err(error.into()),
        Err(error) => JoinResponse {
            error: error.to_string(),
            ..JoinResponse::default()
        },
    };
    ctx.plain_json(&response)
}

/// The gossip's keys, at every member.
async fn keyring(ctx: &Ctx, what: &str) -> Result<Response, HttpError> {
    let op = match what {
        "list" => {
            ctx.get()?;
            KeyringOp::List
        }
        "install" | "use" | "remove" => {
            ctx.put()?;
            let request: KeyringRequest = ctx.decode()?;
            match what {
                "install" => KeyringOp::Install(request.key),
                "use" => KeyringOp::Use(request.key),
                _ => KeyringOp::Remove(request.key),
            }
        }
        _ => return Err(HttpError::no_such_path()),
    };
    let report = ctx.app.local.keyring_of_all(op).await;
    if !report.failures.is_empty() {
        let failed = report.failures.len();
        let told: Vec<_> = report.failures.iter().take(5).collect();
        let told: Vec<_> = told
            .iter()
            .map(|(name, why)| format!("{name}: {why}"))
            .collect();
        return Err(HttpError::failed(format!(
            "{failed}/{} nodes reported failure: {}",
            report.members,
            told.join("; ")
        )));
    }
    ctx.plain_json(&KeyringResponse {
        messages: report.failures,
        keys: report.keys,
        primary_keys: report.primary,
        num_nodes: report.members,
    })
}

async fn force_leave(ctx: &Ctx) -> Result<Response, HttpError> {
    ctx.put()?;
    let name = match ctx.params.text("node") {
        "" => return Err(HttpError::bad_request("missing node to force leave")),
        name => name.to_string(),
    };
    let prune = ctx.params.get("prune").is_some();
    match ctx.app.local.force_leave(name, prune).await {
        // A member that is not known has left already.
        Ok(()) | Err(LocalError::NoSuchMember(_)) => Ok(respond::empty(None)),
        Err(error) => Err(error.into()),
    }
}

/// The agent's log: what is kept, then what comes.
fn monitor(ctx: &Ctx) -> Result<Response, HttpError> {
    ctx.get()?;
    let level: Level = match ctx.params.text("log_level") {
        "" => Level::Info,
        word => word
            .parse()
            .map_err(|_| HttpError::bad_request(format!("Unknown log level: {word}")))?,
    };
    let plain = ctx.params.flag("plain", false)?;
    let format = if ctx.params.flag("log_json", false)? {
        Format::Json
    } else {
        Format::Text
    };
    for other in ["node_id", "server_id"] {
        let id = ctx.params.text(other);
        let own = ctx.app.local.info();
        let is_own = id == own.name
            || id == "leader"
            || own.node_id.is_some_and(|node| node.to_string() == id);
        if !id.is_empty() && !is_own {
            return Err(HttpError::unavailable(
                "the log of another agent (ask that agent itself)",
            ));
        }
    }
    let (clock, token) = (ctx.app.env.clock.clone(), ctx.token.clone());
    let lines = ctx.app.local.logs().subscribe(level);
    let body = Body::from_stream(stream::unfold(lines, move |mut lines| {
        let (clock, token) = (clock.clone(), token.clone());
        async move {
            let heartbeat = std::time::Duration::from_secs(10);
            let text = tokio::select! {
                biased;
                () = token.cancelled() => return None,
                next = lines.next() => match next {
                    LogNext::Line(line) => format!("{}\n", line.format(format).trim_start()),
                    LogNext::Dropped(n) => format!("[{n} lines dropped: the reader is too slow]\n"),
                },
                () = clock.sleep(heartbeat) => String::new(),
            };
            Some((framed(text, plain), lines))
        }
    }));
    let kind = if plain {
        "text/plain"
    } else {
        "application/json"
    };
    let mut response = respond::content(kind, body);
    response.extensions_mut().insert(Streamed);
    Ok(response)
}

/// A line as it is, or as the data of a frame; nothing is a heartbeat.
fn framed(text: String, plain: bool) -> Result<Bytes, std::io::Error> {
    if plain {
        return Ok(Bytes::from(text));
    }
    let frame = if text.is_empty() {
        StreamFrame::default()
    } else {
        StreamFrame {
            data: text.into_bytes(),
            file_event: "log".to_string(),
            ..StreamFrame::default()
        }
    };
    serde_json::to_vec(&frame)
        .map(Bytes::from)
        .map_err(std::io::Error::other)
}
