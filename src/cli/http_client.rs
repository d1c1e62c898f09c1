//! Talks to an agent's `/v1` API: one request a connection, every wait bounded.
//!
//! **Owns** the address, the namespace, the region and the token that requests carry, and the
//! words for what goes wrong on the way. **Does not** know any command.
//!
//! [`Client::get`] and its siblings build a [`Call`]; [`Call::send`] waits for the whole answer,
//! [`Call::stream`] only for its head.

use std::cmp::Reverse;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::settings::{Endpoint, Settings};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take beyond what the request itself asks the server to wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no answer, or not the one asked for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{call}: unsupported protocol scheme \"{scheme}\"")]
    Scheme { call: String, scheme: String },
    #[error("{call}: dial {target}: {cause}")]
    Unreachable {
        call: String,
        target: String,
        address: String,
        cause: String,
    },
    #[error("{call}: no answer within {}s", .after.as_secs())]
    Timeout { call: String, after: Duration },
    #[error("{call}: {what}")]
    Broken { call: String, what: String },
    #[error("Unexpected response code: {code} ({text})")]
    Status { code: u16, text: String },
    #[error("{call}: the answer cannot be read: {source}")]
    Decode {
        call: String,
        source: serde_json::Error,
    },
}

impl ApiError {
    /// Whether the server said that there is no such object.
    pub fn not_found(&self) -> bool {
        matches!(self, Self::Status { code: 404, .. })
    }

    /// Whether no agent could be reached.
    pub fn unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// What the server said, without the code.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Status { text, .. } => Some(text),
            _ => None,
        }
    }

    /// What the user can do about it.
    pub fn advice(&self) -> Vec<String> {
        match self {
            Self::Unreachable { address, .. } => vec![
                format!("No agent answers at {address}. Is it running there?"),
                "Start one with `tumen agent -dev`, or name another with -address or NOMAD_ADDR."
                    .to_owned(),
            ],
            Self::Status { text, .. } if text.contains("No cluster leader") => vec![
                "The agent answers, but its cluster has no leader now; `tumen server members` shows who is there."
                    .to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}

/// The API of one agent.
#[derive(Clone)]
pub struct Client {
    pub settings: Settings,
    runtime: Rc<Runtime>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    call: String,
    pub status: StatusCode,
    pub headers: Vec<(String, String)>,
    /// The state's index that it shows.
    pub index: u64,
    /// Where the next page starts.
    pub next_token: Option<String>,
    pub body: Bytes,
}

impl Answer {
    /// The body as `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let body: &[u8] = if self.body.is_empty() {
            b"null"
        } else {
            &self.body
        };
        serde_json::from_slice(body).map_err(|source| ApiError::Decode {
            call: self.call.clone(),
            source,
        })
    }

    /// The list in the body with the newest first; those of one write stay as they came.
    pub fn newest_first(mut self) -> Result<Self, ApiError> {
        let mut list: Value = self.json()?;
        if let Some(items) = list.as_array_mut() {
            let created = |item: &Value| item.get("CreateIndex").and_then(Value::as_u64);
            items.sort_by_key(|item| Reverse(created(item)));
        }
        self.body = list.to_string().into();
        Ok(self)
    }
}

/// A request being built.
pub struct Call<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Bytes,
    patience: Duration,
    namespace: Option<String>,
}

impl Client {
    /// A client that uses the given runtime.
    pub fn new(settings: Settings, runtime: Rc<Runtime>) -> Self {
        Self { settings, runtime }
    }

    /// Runs a future to its end.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Waits.
    pub fn pause(&self, time: Duration) {
        self.block_on(async move { tokio::time::sleep(time).await });
    }

    /// Any request.
    pub fn call(&self, method: Method, path: impl Into<String>) -> Call<'_> {
        Call {
            client: self,
            method,
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            patience: PATIENCE,
            namespace: self.settings.namespace.clone(),
        }
    }

    /// A read.
    pub fn get(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::GET, path)
    }

    /// A write without a body.
    pub fn put(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::PUT, path)
    }

    /// A write.
    pub fn put_json(&self, path: impl Into<String>, body: &impl Serialize) -> Call<'_> {
        let mut call = self.put(path);
        call.body = serde_json::to_vec(body)
            .expect("the API's types have text keys")
            .into();
        call
    }

    /// A removal.
    pub fn delete(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::DELETE, path)
    }
}

impl Call<'_> {
    /// Adds a query parameter.
    pub fn query(mut self, key: &str, value: impl ToString) -> Self {
        self.query.push((key.to_owned(), value.to_string()));
        self
    }

    /// Adds a query parameter where there is a value.
    pub fn maybe(self, key: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(key, value),
            None => self,
        }
    }

    /// Waits until the state has passed `index`, for `wait` at most.
    pub fn after(mut self, index: u64, wait: Duration) -> Self {
        self.patience += wait + wait / 16;
        self.query("index", index)
            .query("wait", format!("{}ms", wait.as_millis()))
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Another namespace than the client's.
    pub fn namespace(mut self, namespace: &str) -> Self {
        if !namespace.is_empty() {
            self.namespace = Some(namespace.to_owned());
        }
        self
    }

    /// The request's address.
    pub fn url(&self) -> String {
        format!("{}{}", self.client.settings.url(), self.target())
    }

    /// Path and query.
    pub fn target(&self) -> String {
        let settings = &self.client.settings;
        let mut target = self.path.clone();
        let mut mark = if target.contains('?') { '&' } else { '?' };
        let common = [("namespace", &self.namespace), ("region", &settings.region)];
        let common = common
            .iter()
            .filter_map(|(k, v)| v.as_ref().map(|v| (*k, v.as_str())));
        let own = self.query.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        for (key, value) in common.chain(own) {
            target.push(mark);
            target.push_str(key);
            target.push('=');
            target.push_str(&escape(value));
            mark = '&';
        }
        target
    }

    /// The whole answer, whatever its status.
    pub fn send_any(self) -> Result<Answer, ApiError> {
        let client = self.client;
        client.block_on(self.fetch())
    }

    /// The whole answer; a status other than 2xx is an error.
    pub fn send(self) -> Result<Answer, ApiError> {
        let answer = self.send_any()?;
        checked(answer)
    }

    /// Sends it and reads the list in the answer, the newest first.
    pub fn read_newest<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        self.send()?.newest_first()?.json()
    }

    /// The answer as `T`.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        self.send()?.json()
    }

    /// The whole answer, in an async context.
    pub async fn send_async(self) -> Result<Answer, ApiError> {
        checked(self.fetch().await?)
    }

    /// The head of an answer whose body is read piece by piece.
    pub async fn stream(self) -> Result<Response<Incoming>, ApiError> {
        let call = self.name();
        let response = self.head().await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status().as_u16();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|e| ApiError::Broken {
                call,
                what: e.to_string(),
            })?;
        Err(ApiError::Status {
            code,
            text: String::from_utf8_lossy(&body.to_bytes())
                .trim_end()
                .to_owned(),
        })
    }

    fn name(&self) -> String {
        let method = self.method.as_str();
        let verb = format!("{}{}", &method[..1], method[1..].to_lowercase());
        format!("{verb} \"{}\"", self.url())
    }

    async fn fetch(self) -> Result<Answer, ApiError> {
        let (call, patience) = (self.name(), self.patience);
        let work = async {
            let response = self.head().await?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|e| ApiError::Broken {
                call: call.clone(),
                what: e.to_string(),
            })?;
            let header = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok());
            Ok(Answer {
                status: head.status,
                index: header("x-nomad-index")
                    .and_then(|v| v.parse().ok())
                    .unwrap_or(0),
                next_token: header("x-nomad-nexttoken").map(str::to_owned),
                headers: (head.headers.iter())
                    .map(|(k, v)| {
                        (
                            k.to_string(),
                            String::from_utf8_lossy(v.as_bytes()).into_owned(),
                        )
                    })
                    .collect(),
                body: body.to_bytes(),
                call: call.clone(),
            })
        };
        match timeout(patience, work).await {
            Ok(result) => result,
            Err(_) => Err(ApiError::Timeout {
                call,
                after: patience,
            }),
        }
    }

    async fn head(self) -> Result<Response<Incoming>, ApiError> {
        let call = self.name();
        let broken = |what: String| ApiError::Broken {
            call: call.clone(),
            what,
        };
        let settings = &self.client.settings;
        let connection = connect(settings, &call).await?;
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(connection))
            .await
            .map_err(|e| broken(e.to_string()))?;
        let mut request = hyper::Request::builder()
            .method(self.method.clone())
            .uri(self.target())
            .header("Host", settings.host())
            .header("User-Agent", concat!("tumen/", env!("CARGO_PKG_VERSION")));
        for (name, value) in settings.headers().iter().chain(&self.headers) {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(self.body.clone()))
            .map_err(|e| broken(e.to_string()))?;
        // The connection is driven beside the request and ends with it.
        tokio::spawn(driver);
        let answer = timeout(self.patience, sender.send_request(request)).await;
        match answer {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(broken(error.to_string())),
            Err(_) => Err(ApiError::Timeout {
                call: call.clone(),
                after: self.patience,
            }),
        }
    }
}

fn checked(answer: Answer) -> Result<Answer, ApiError> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    Err(ApiError::Status {
        code: answer.status.as_u16(),
        text: String::from_utf8_lossy(&answer.body).trim_end().to_owned(),
    })
}

/// A byte stream to an agent.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Opens a connection to the agent; `call` names what it is for.
pub async fn connect(settings: &Settings, call: &str) -> Result<Box<dyn Wire>, ApiError> {
    let target = match &settings.endpoint {
        Endpoint::Tcp { host, port } => format!("tcp {host}:{port}"),
        Endpoint::Unix(path) => format!("unix {path}"),
        Endpoint::Other(scheme) => {
            return Err(ApiError::Scheme {
                call: call.to_owned(),
                scheme: scheme.clone(),
            });
        }
    };
    let dial = async {
        match &settings.endpoint {
            Endpoint::Tcp { host, port } => {
                let stream = tokio::net::TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Ok::<Box<dyn Wire>, std::io::Error>(Box::new(stream))
            }
            Endpoint::Unix(path) => {
                Ok(Box::new(tokio::net::UnixStream::connect(path).await?) as Box<dyn Wire>)
            }
            Endpoint::Other(_) => unreachable!("refused above"),
        }
    };
    let cause = match timeout(CONNECT, dial).await {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(error)) => reason(&error),
        Err(_) => format!("no connection within {}s", CONNECT.as_secs()),
    };
    Err(ApiError::Unreachable {
        call: call.to_owned(),
        target,
        address: settings.address.clone(),
        cause,
    })
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        std::io::ErrorKind::NotFound => "connect: no such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "connect: permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// Text for a path or query: everything but unreserved characters is escaped.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~*,:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
