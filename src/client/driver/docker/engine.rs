//! The connection to the Docker engine.
//!
//! Bodies that we write are bollard's models. What we read in lists, inspections, logs and
//! pulls goes through [`Engine::send`] and lenient types of our own: bollard's enums refuse a
//! whole list for one unknown word, and its log and pull decoders lose frame borders.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::Docker;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, UnixStream};

use crate::env::TaskGroup;

/// Where the engine listens if nothing else is said.
const DEFAULT_ENDPOINT: &str = "unix:///var/run/docker.sock";
/// How long the engine may take to begin an answer.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// Why the engine did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EngineError {
    /// No connection; the text names the fix.
    #[error("{0}")]
    Unreachable(String),
    /// It answered with an error.
    #[error("{message}")]
    Refused { status: u16, message: String },
    /// The connection broke, or the answer made no sense.
    #[error("{0}")]
    Broken(String),
}

impl EngineError {
    pub(super) fn is_status(&self, wanted: u16) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == wanted)
    }

    /// Whether the same request may go better later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Broken(_) => true,
            Self::Refused { status, .. } => *status >= 500,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Endpoint {
    Unix(PathBuf),
    Tcp(String),
}

/// One engine. Cloning shares it; every call is a connection of its own.
#[derive(Clone)]
pub(super) struct Engine {
    endpoint: Endpoint,
    /// Drives the connections.
    tasks: TaskGroup,
}

impl Engine {
    /// The engine at `endpoint`: `unix://…`, `tcp://…` or empty for the usual place.
    pub(super) fn new(endpoint: &str, tasks: TaskGroup) -> Result<Self, EngineError> {
        let text = if endpoint.is_empty() {
            DEFAULT_ENDPOINT
        } else {
            endpoint
        };
        let endpoint = match text.split_once("://") {
            Some(("unix", path)) => Endpoint::Unix(PathBuf::from(path)),
            Some(("tcp" | "http", host)) => Endpoint::Tcp(host.trim_end_matches('/').to_string()),
            _ => {
                return Err(EngineError::Unreachable(format!(
                    "Docker endpoint {text:?} is neither unix:// nor tcp://"
                )));
            }
        };
        Ok(Self { endpoint, tasks })
    }

    /// Bollard's client of it.
    pub(super) fn api(&self) -> Result<Docker, EngineError> {
        let (seconds, version) = (ANSWER_TIMEOUT.as_secs(), bollard::API_DEFAULT_VERSION);
        let docker = match &self.endpoint {
            Endpoint::Unix(path) => {
                Docker::connect_with_unix(&path.to_string_lossy(), seconds, version)
            }
            Endpoint::Tcp(host) => {
                Docker::connect_with_http(&format!("http://{host}"), seconds, version)
            }
        };
        docker.map_err(|e| self.error(e))
    }

    /// Turns bollard's error into ours, in words.
    pub(super) fn error(&self, error: bollard::errors::Error) -> EngineError {
        use bollard::errors::Error;
        match error {
            Error::DockerResponseServerError {
                status_code,
                message,
            } => EngineError::Refused {
                status: status_code,
                message,
            },
            Error::SocketNotFoundError(_) => {
                self.unreachable(&io::Error::from(io::ErrorKind::NotFound))
            }
            Error::RequestTimeoutError => EngineError::Broken(format!(
                "the Docker engine did not answer within {ANSWER_TIMEOUT:?}"
            )),
            other => {
                let mut cause = other.source();
                while let Some(inner) = cause {
                    if let Some(io) = inner.downcast_ref::<io::Error>()
                        && is_connecting(io.kind())
                    {
                        return self.unreachable(io);
                    }
                    cause = inner.source();
                }
                EngineError::Broken(chain(&other))
            }
        }
    }

    fn unreachable(&self, error: &io::Error) -> EngineError {
        EngineError::Unreachable(match (&self.endpoint, error.kind()) {
            (Endpoint::Unix(path), io::ErrorKind::NotFound) => format!(
                "no Docker engine: {} does not exist; install or start Docker, or name another \
                 socket as endpoint in plugin \"docker\"",
                path.display()
            ),
            (Endpoint::Unix(path), io::ErrorKind::PermissionDenied) => format!(
                "may not open {}: run the agent as root, or add its user to the group that owns \
                 the socket (usermod -aG {} USER)",
                path.display(),
                group_of(path)
            ),
            (Endpoint::Unix(path), io::ErrorKind::ConnectionRefused) => format!(
                "the Docker engine behind {} does not run; start it (systemctl start docker)",
                path.display()
            ),
            (Endpoint::Unix(path), _) => {
                format!(
                    "could not reach the Docker engine at {}: {error}",
                    path.display()
                )
            }
            (Endpoint::Tcp(host), _) => {
                format!("could not reach the Docker engine at {host}: {error}")
            }
        })
    }

    /// Sends a request and returns the answer's head with its body still to come. An answer
    /// that is an error is read and returned as such.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
    ) -> Result<Response<Incoming>, EngineError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "docker");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request
            .body(Full::<Bytes>::new(Bytes::new()))
            .map_err(|e| EngineError::Broken(format!("could not write the request: {e}")))?;
        // Boxed: those who wait for an answer's end, two per running task, would otherwise keep
        // room for the whole exchange.
        let response = match &self.endpoint {
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                let stream = stream.map_err(|e| self.unreachable(&e))?;
                Box::pin(self.exchange(stream, request)).await?
            }
            Endpoint::Tcp(host) => {
                let stream = TcpStream::connect(host).await;
                let stream = stream.map_err(|e| self.unreachable(&e))?;
                Box::pin(self.exchange(stream, request)).await?
            }
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = response.into_body().collect().await;
        let body = body.map(|b| b.to_bytes()).unwrap_or_default();
        Err(EngineError::Refused {
            status,
            message: message_of(&body),
        })
    }

    async fn exchange<S>(
        &self,
        stream: S,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, EngineError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let broken = |e: hyper::Error| {
            EngineError::Broken(format!(
                "the Docker engine broke the connection: {}",
                chain(&e)
            ))
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let token = self.tasks.token().clone();
        let drive = async move {
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                result = connection => if let Err(error) = result {
                    tracing::debug!(target: "docker", %error, "a connection ended badly");
                },
            }
        };
        if !self.tasks.spawn("docker connection", drive) {
            return Err(EngineError::Broken("the agent is stopping".to_string()));
        }
        sender.send_request(request).await.map_err(broken)
    }

    /// Asks for something that is answered in JSON.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, EngineError> {
        let response = self.send(Method::GET, path, &[]).await?;
        let body = response.into_body().collect().await;
        let body = body
            .map_err(|e| EngineError::Broken(format!("the answer to {path} broke off: {e}")))?
            .to_bytes();
        serde_json::from_slice(&body)
            .map_err(|e| EngineError::Broken(format!("could not read the answer to {path}: {e}")))
    }
}

fn is_connecting(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::ConnectionRefused
    )
}

/// The group that may use the socket.
fn group_of(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let gid = std::fs::metadata(path).map(|m| m.gid().to_string());
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let named = gid.ok().and_then(|gid| {
        groups.lines().find_map(|line| {
            let mut parts = line.split(':');
            let name = parts.next()?;
            (parts.nth(1)? == gid).then(|| name.to_string())
        })
    });
    named.unwrap_or_else(|| "docker".to_string())
}

/// The engine's `{"message": …}`, or the text as it is.
fn message_of(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    serde_json::from_slice::<Message>(body)
        .map(|m| m.message)
        .unwrap_or_else(|_| String::from_utf8_lossy(body).trim().to_string())
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}

/// Escapes a text for use in a path or a query.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_util::sync::CancellationToken;

    fn engine(endpoint: &str) -> Engine {
        Engine::new(endpoint, TaskGroup::new(CancellationToken::new())).unwrap()
    }

    #[tokio::test]
    async fn a_missing_socket_and_a_dead_one_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker.sock");
        let engine = engine(&format!("unix://{}", path.display()));
        let words = |e: EngineError| e.to_string().replace(dir.path().to_str().unwrap(), "");
        let missing = engine.get::<()>("/version").await.unwrap_err();
        assert!(words(missing).starts_with("no Docker engine: /docker.sock does not exist;"));
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let dead = engine.get::<()>("/version").await.unwrap_err();
        assert!(words(dead).contains("does not run; start it"));
        let denied = engine.unreachable(&io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(words(denied).contains("run the agent as root, or add its user to the group"));
    }

    #[test]
    fn an_engines_message_is_taken_out_of_its_json() {
        assert_eq!(
            message_of(br#"{"message":"no such image"}"#),
            "no such image"
        );
        assert_eq!(message_of(b" plain \n"), "plain");
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(escaped("a/b:1 \u{e4}"), "a%2Fb%3A1%20%C3%A4");
    }
}
