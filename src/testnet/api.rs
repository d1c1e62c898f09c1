//! Asks an agent's `/v1` API, one request a connection.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How long an answer may take beyond what the request itself asks to wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("nobody answers at {addr}")]
    Connect {
        addr: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("{addr}{path}: the connection broke")]
    Broken {
        addr: SocketAddr,
        path: String,
        #[source]
        source: hyper::Error,
    },
    #[error("{addr}{path}: no answer within {after:?}")]
    Late {
        addr: SocketAddr,
        path: String,
        after: Duration,
    },
    #[error("{addr}{path}: {code} {text}")]
    Refused {
        addr: SocketAddr,
        path: String,
        code: u16,
        text: String,
    },
    #[error("{addr}{path}: the answer cannot be read")]
    Decode {
        addr: SocketAddr,
        path: String,
        #[source]
        source: serde_json::Error,
    },
}

/// An answer, and the state's index that it shows.
pub struct Answer<T> {
    pub value: T,
    pub index: u64,
}

/// One agent's API.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    pub addr: SocketAddr,
}

impl Api {
    /// Reads.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, ApiError> {
        self.send(Method::GET, path, Bytes::new(), PATIENCE).await
    }

    /// Reads what is newer than `index`, waiting for it.
    pub async fn after<T: DeserializeOwned>(
        &self,
        path: &str,
        index: u64,
        wait: Duration,
    ) -> Result<Answer<T>, ApiError> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{mark}index={index}&wait={}ms", wait.as_millis());
        let limit = PATIENCE + wait + wait / 16;
        self.send(Method::GET, &path, Bytes::new(), limit).await
    }

    /// Writes.
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer<T>, ApiError> {
        let body = serde_json::to_vec(body).expect("the API's types have text keys");
        self.send(Method::PUT, path, body.into(), PATIENCE).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<Answer<T>, ApiError> {
        match tokio::time::timeout(limit, self.exchange(method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(ApiError::Late {
                addr: self.addr,
                path: path.to_owned(),
                after: limit,
            }),
        }
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer<T>, ApiError> {
        let addr = self.addr;
        let broken = |source| ApiError::Broken {
            addr,
            path: path.to_owned(),
            source,
        };
        let stream = tokio::net::TcpStream::connect(addr).await;
        let stream = stream.map_err(|source| ApiError::Connect { addr, source })?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, driver) = handshake.map_err(broken)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", addr.to_string())
            .body(Full::new(body))
            .expect("a path of our own is a valid request");
        let exchange = async {
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            Ok((head, body.collect().await?.to_bytes()))
        };
        // The connection is driven beside the request, and dropped with it.
        let exchange = std::pin::pin!(exchange);
        let driven = async {
            match driver.await {
                Ok(()) => std::future::pending().await,
                Err(error) => error,
            }
        };
        let (head, body) = tokio::select! {
            biased;
            answer = exchange => answer.map_err(broken)?,
            error = driven => return Err(broken(error)),
        };
        if !head.status.is_success() {
            return Err(ApiError::Refused {
                addr,
                path: path.to_owned(),
                code: head.status.as_u16(),
                text: String::from_utf8_lossy(&body).trim().to_owned(),
            });
        }
        let index = head.headers.get("x-nomad-index");
        let index = index.and_then(|v| v.to_str().ok()?.parse().ok());
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        let value = serde_json::from_slice(body).map_err(|source| ApiError::Decode {
            addr,
            path: path.to_owned(),
            source,
        })?;
        Ok(Answer {
            value,
            index: index.unwrap_or(0),
        })
    }
}

/// An error with all its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
