//! Accepting connections and answering their requests.
//!
//! In: a listener of [`env::Net`](crate::env::Net). One task per connection, all of one group:
//! [`serve`] returns when the last has ended. Bounds: a client address holds at most as many
//! connections as the agent's settings say, a header must arrive within [`HEADER_TIMEOUT`], a
//! body within [`BODY_TIMEOUT`] and [`BODY_MAX`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::response::Response;
use hyper::server::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;

use crate::env::{Conn, Listener, TaskGroup, timeout};

use super::context::Ctx;
use super::error::HttpError;
use super::params::Params;
use super::{App, routes};

/// How long a request's header may take, and how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a request's body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest body.
const BODY_MAX: usize = 8 << 20;

/// How long requests may go on once the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait after a failed accept (no file descriptor left, …).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Marks an answer that must leave as it is made: a stream.
#[derive(Clone, Copy)]
pub(crate) struct Streamed;

/// Marks an answer that depends on the `Origin` header.
#[derive(Clone, Copy)]
struct VariesByOrigin;

/// Answers requests until `token` is cancelled, then lets the running ones end.
pub async fn serve(listener: Box<dyn Listener>, app: App, token: CancellationToken) {
    let connections = TaskGroup::new(token.child_token());
    let router = router(app.clone(), connections.clone());
    let clients = Clients::new(app.local.info().http_max_conns_per_client);
    loop {
        let accepted = tokio::select! {
            biased;
            () = token.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (conn, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(target: "http", %error, "could not accept a connection");
                app.env.clock.sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(seat) = clients.admit(peer.ip()) else {
            tracing::debug!(target: "http", %peer, "too many connections from one address");
            connections.spawn("http-refusal", refuse(conn, app.clone()));
            continue;
        };
        app.env.metrics.gauge(
            "tumen.http.connections",
            &[],
            connections.len() as f64 + 1.0,
        );
        let service = router.clone();
        let (app, token) = (app.clone(), connections.token().clone());
        connections.spawn("http-connection", async move {
            connection(conn, service, app, token).await;
            drop(seat);
        });
    }
    if timeout(&*app.env.clock, 2 * DRAIN_TIMEOUT, connections.drained())
        .await
        .is_err()
    {
        tracing::warn!(target: "http", "some requests did not end in time");
    }
}

/// Answers one connection's requests.
async fn connection(conn: Conn, router: Router, app: App, token: CancellationToken) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(conn), TowerToHyperService::new(router))
        .with_upgrades();
    tokio::pin!(serving);
    let ended = tokio::select! {
        biased;
        ended = serving.as_mut() => ended,
        () = token.cancelled() => {
            serving.as_mut().graceful_shutdown();
            match timeout(&*app.env.clock, DRAIN_TIMEOUT, serving).await {
                Ok(ended) => ended,
                Err(_) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(target: "http", %error, "a connection ended badly");
    }
}

/// Tells a client that it has too many connections, and closes this one.
async fn refuse(mut conn: Conn, app: App) {
    const TEXT: &str = "too many connections from this address\n";
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{TEXT}",
        TEXT.len()
    );
    let send = async {
        conn.write_all(answer.as_bytes()).await?;
        conn.shutdown().await
    };
    match timeout(&*app.env.clock, Duration::from_secs(1), send).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(target: "http", %error, "a refusal was not sent"),
        Err(_) => tracing::debug!(target: "http", "a refusal was not read"),
    }
}

/// How many connections each address holds.
#[derive(Clone)]
struct Clients {
    held: Arc<Mutex<BTreeMap<IpAddr, u32>>>,
    /// 0: no limit.
    most: u32,
}

/// One connection's place among its address's; given back when dropped.
struct Seat {
    clients: Clients,
    ip: IpAddr,
}

impl Clients {
    fn new(most: u32) -> Self {
        Self {
            held: Arc::default(),
            most,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, u32>> {
        // Counts stay counts whoever panicked while holding them.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, ip: IpAddr) -> Option<Seat> {
        let mut held = self.lock();
        let count = held.entry(ip).or_default();
        if self.most > 0 && *count >= self.most {
            return None;
        }
        *count += 1;
        drop(held);
        Some(Seat {
            clients: self.clone(),
            ip,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut held = self.clients.lock();
        if let Some(count) = held.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.ip);
            }
        }
    }
}

/// The handler with compression and the headers that every answer carries.
fn router(app: App, tasks: TaskGroup) -> Router {
    let wants_gzip = |_: StatusCode, _: Version, _: &HeaderMap, extensions: &Extensions| {
        extensions.get::<Streamed>().is_none()
    };
    Router::new()
        .fallback(handle)
        .with_state((app, tasks))
        .layer(CompressionLayer::new().gzip(true).compress_when(wants_gzip))
        .layer(axum::middleware::map_response(vary))
}

/// States what the answer depends on, in one spelling.
async fn vary(mut response: Response) -> Response {
    let by_origin = response.extensions().get::<VariesByOrigin>().is_some();
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if by_origin {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    response
}

/// Answers one request.
async fn handle(State((app, tasks)): State<(App, TaskGroup)>, request: Request) -> Response {
    let started = app.env.clock.now();
    let origin = request.headers().contains_key(header::ORIGIN);
    let cross_origin = routes::is_cross_origin(request.uri().path());
    let (method, path) = (request.method().clone(), request.uri().path().to_string());
    let configured = app.local.info().response_headers;
    let (metrics, clock) = (app.env.metrics.clone(), app.env.clock.clone());
    let mut response = match context(app, tasks, request).await {
        Ok(ctx) => match routes::dispatch(&ctx).await {
            Ok(response) => response,
            Err(error) => error.into_response(),
        },
        Err(error) => error.into_response(),
    };
    for (name, value) in configured {
        match (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(&value),
        ) {
            (Ok(name), Ok(value)) => {
                response.headers_mut().insert(name, value);
            }
            _ => tracing::warn!(target: "http", %name, "a configured response header is invalid"),
        }
    }
    if cross_origin {
        response.extensions_mut().insert(VariesByOrigin);
        if origin {
            allow_any_origin(response.headers_mut());
        }
    }
    metrics.since("tumen.http.request", &[], started);
    tracing::debug!(
        target: "http", %method, %path, status = response.status().as_u16(),
        took = ?clock.now().saturating_duration_since(started), "request"
    );
    response
}

fn allow_any_origin(headers: &mut HeaderMap) {
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
        HeaderValue::from_static("true"),
    );
}

/// Takes a request apart and reads its body.
async fn context(app: App, tasks: TaskGroup, request: Request) -> Result<Ctx, HttpError> {
    let (mut parts, body) = request.into_parts();
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    let declared = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<u64>().ok());
    if declared.is_some_and(|n| n > BODY_MAX as u64) {
        return Err(too_large());
    }
    let body = timeout(&*app.env.clock, BODY_TIMEOUT, read_body(body))
        .await
        .map_err(|_| {
            HttpError::new(
                StatusCode::REQUEST_TIMEOUT,
                "the request body took too long",
            )
        })??;
    Ok(Ctx {
        token: tasks.token().clone(),
        app,
        tasks,
        method: parts.method,
        path: parts.uri.path().to_string(),
        params: Params::parse(parts.uri.query().unwrap_or_default()),
        raw_query: parts.uri.query().unwrap_or_default().to_string(),
        headers: parts.headers,
        body,
        upgrade: Mutex::new(upgrade),
    })
}

async fn read_body(body: Body) -> Result<bytes::Bytes, HttpError> {
    axum::body::to_bytes(body, BODY_MAX).await.map_err(|error| {
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(inner) = cause {
            if inner.is::<http_body_util::LengthLimitError>() {
                return too_large();
            }
            cause = inner.source();
        }
        HttpError::bad_request(format!("could not read the request body: {error}"))
    })
}

fn too_large() -> HttpError {
    HttpError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the request body is larger than {} MiB", BODY_MAX >> 20),
    )
}
