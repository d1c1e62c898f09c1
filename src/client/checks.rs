//! Runs health checks: connects, or sends one request, at each check's interval.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;

use crate::env::{Env, timeout};
use crate::model::Timestamp;
use crate::model::service::CheckKind;
use crate::rpc::node::{CheckResult, CheckStatus};

use super::services::CheckTarget;

/// How much of an answer's body is kept as output.
const OUTPUT_MAX: usize = 3 * 1024;

/// A check that was not run yet.
pub fn pending(target: &CheckTarget, now: Timestamp) -> CheckResult {
    result(
        target,
        CheckStatus::Pending,
        0,
        "nomad: waiting to run".to_string(),
        now,
    )
}

/// Runs the check once; takes no longer than its timeout.
pub async fn run(env: &Env, target: &CheckTarget) -> CheckResult {
    let limit = target.check.timeout;
    let outcome = match &target.address {
        Err(reason) => Err(reason.clone()),
        Ok((host, port)) => {
            match timeout(&*env.clock, limit, probe(env, target, host, *port)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(format!("no answer within {limit:?}")),
            }
        }
    };
    let now = Timestamp(env.clock.wall());
    match outcome {
        Ok((status, output)) if status < 400 => {
            result(target, CheckStatus::Success, status, output, now)
        }
        Ok((status, output)) => result(target, CheckStatus::Failure, status, output, now),
        Err(output) => result(target, CheckStatus::Failure, 0, output, now),
    }
}

/// Success as (HTTP status or 0, output).
async fn probe(
    env: &Env,
    target: &CheckTarget,
    host: &str,
    port: u16,
) -> Result<(u16, String), String> {
    let text = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let addr: SocketAddr = match text.parse() {
        Ok(addr) => addr,
        Err(_) => {
            let found = env.net.resolve(&text).await.map_err(|e| e.to_string())?;
            *found
                .first()
                .ok_or_else(|| format!("`{host}` has no address"))?
        }
    };
    let conn = env
        .net
        .connect(addr, target.check.timeout)
        .await
        .map_err(|e| e.to_string())?;
    match &target.check.kind {
        CheckKind::Tcp => Ok((0, "nomad: tcp ok".to_string())),
        CheckKind::Http { tls: true, .. } => Err("https checks are not supported yet".to_string()),
        CheckKind::Http {
            path,
            method,
            body,
            headers,
            ..
        } => {
            let mut request = Request::builder()
                .method(method.as_str())
                .uri(path.as_str());
            if !headers.keys().any(|k| k.eq_ignore_ascii_case("host")) {
                request = request.header("Host", &text);
            }
            for (key, values) in headers {
                for value in values {
                    request = request.header(key.as_str(), value.as_str());
                }
            }
            let request = request
                .body(Full::new(Bytes::from(body.clone())))
                .map_err(|e| format!("the check's request is not valid: {e}"))?;
            exchange(conn, request).await
        }
    }
}

/// Sends one request and reads the answer, driving the connection meanwhile.
async fn exchange(
    conn: crate::env::Conn,
    request: Request<Full<Bytes>>,
) -> Result<(u16, String), String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(conn))
        .await
        .map_err(|e| e.to_string())?;
    let answer = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|e| e.to_string())?;
        let status = response.status().as_u16();
        // A longer body says no more about health: its length is all that is lost.
        let body = Limited::new(response.into_body(), OUTPUT_MAX)
            .collect()
            .await;
        let text = body.map(|b| String::from_utf8_lossy(&b.to_bytes()).into_owned());
        Ok((
            status,
            text.unwrap_or_else(|_| format!("more than {OUTPUT_MAX} bytes")),
        ))
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

fn result(
    target: &CheckTarget,
    status: CheckStatus,
    status_code: u16,
    output: String,
    time: Timestamp,
) -> CheckResult {
    CheckResult {
        id: target.id.clone(),
        check: target.check.name.clone(),
        service: target.service.clone(),
        group: target.group.clone(),
        task: target.task.clone(),
        status,
        status_code,
        output,
        time,
    }
}

/// The shortest pause between two runs, whatever the job asks.
pub const INTERVAL_MIN: Duration = Duration::from_secs(1);
