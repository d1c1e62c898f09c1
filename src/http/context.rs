//! One request with everything that its handler needs.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::env::TaskGroup;
use crate::model::{Namespace, RequestId};
use crate::rpc::{Answer, Body, Call, Op, Read, Reply};

use super::App;
use super::error::HttpError;
use super::params::Params;
use super::respond::{self, Meta};
use super::{blocking, json};

/// How long a write may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A request, its body already read.
pub(crate) struct Ctx {
    pub app: App,
    /// Ends when the server stops.
    pub token: CancellationToken,
    /// Where long-lived work of this request runs (upgraded connections).
    pub tasks: TaskGroup,
    pub method: Method,
    /// Still percent-encoded.
    pub path: String,
    pub params: Params,
    /// As it came, without `?`.
    pub raw_query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub upgrade: Mutex<Option<OnUpgrade>>,
}

impl Ctx {
    /// Refuses every method but GET.
    pub(crate) fn get(&self) -> Result<(), HttpError> {
        self.allow(&[Method::GET])
    }

    /// Refuses every method but PUT and POST.
    pub(crate) fn put(&self) -> Result<(), HttpError> {
        self.allow(&[Method::PUT, Method::POST])
    }

    /// Refuses every method but these.
    pub(crate) fn allow(&self, methods: &[Method]) -> Result<(), HttpError> {
        if methods.contains(&self.method) {
            Ok(())
        } else {
            Err(HttpError::method())
        }
    }

    /// Whether the method is PUT or POST.
    pub(crate) fn is_put(&self) -> bool {
        self.method == Method::PUT || self.method == Method::POST
    }

    /// The namespace of a request for one object.
    pub(crate) fn namespace(&self) -> Namespace {
        match self.params.text("namespace") {
            "" => Namespace::default(),
            name => Namespace::from(name),
        }
    }

    /// The namespace of a list; `None`: all.
    pub(crate) fn namespaces(&self) -> Option<Namespace> {
        let namespace = self.namespace();
        (namespace.as_str() != "*").then_some(namespace)
    }

    /// Asks the cluster, waiting as the parameters say.
    pub(crate) async fn read(&self, read: Read) -> Result<Answer, HttpError> {
        let query = blocking::query(&self.params, &*self.app.env.entropy, read)?;
        tokio::select! {
            biased;
            answer = self.app.api.read(query) => Ok(answer?),
            () = self.token.cancelled() => Err(HttpError::failed("the agent is shutting down")),
        }
    }

    /// Asks the cluster at once, whatever the parameters say.
    pub(crate) async fn read_now(&self, read: Read) -> Result<Answer, HttpError> {
        let query = crate::rpc::Query {
            stale: self.params.stale()?,
            ..crate::rpc::Query::now(read)
        };
        Ok(self.app.api.read(query).await?)
    }

    /// Changes the cluster.
    pub(crate) async fn call(&self, op: Op) -> Result<Reply, HttpError> {
        let call = Call {
            request: RequestId(self.app.env.entropy.uuid()),
            timeout: CALL_TIMEOUT,
            op,
        };
        Ok(self.app.api.call(call).await?)
    }

    /// The body as `T`; an empty one is refused.
    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Err(HttpError::bad_request("Request body is empty"));
        }
        json::read(&self.body).map_err(|e| HttpError::bad_request(e.to_string()))
    }

    /// The body as `T`; an empty one is `T`'s zero.
    pub(crate) fn decode_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, HttpError> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(T::default());
        }
        self.decode()
    }

    /// Answers with JSON and the facts of a read or write.
    pub(crate) fn json<T: Serialize>(&self, value: &T, meta: Meta) -> Result<Response, HttpError> {
        respond::json(value, Some(meta), self.params.pretty())
    }

    /// Answers with JSON alone.
    pub(crate) fn plain_json<T: Serialize>(&self, value: &T) -> Result<Response, HttpError> {
        respond::json(value, None, self.params.pretty())
    }

    /// The connection, if the request wants to turn it into something else.
    pub(crate) fn take_upgrade(&self) -> Option<OnUpgrade> {
        self.upgrade
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// The cluster answered something that was not asked for.
pub(crate) fn unexpected_body(body: &Body) -> HttpError {
    tracing::error!(target: "http", ?body, "an answer does not fit its question");
    HttpError::failed("the server answered another question than was asked")
}

/// The same for a write.
pub(crate) fn unexpected_reply(reply: &Reply) -> HttpError {
    tracing::error!(target: "http", ?reply, "a reply does not fit its call");
    HttpError::failed("the server answered another call than was made")
}

/// Takes the wanted body out of an answer: `body!(answer, Jobs)`.
macro_rules! body {
    ($answer:expr, $variant:ident) => {
        match $answer.body {
            $crate::rpc::Body::$variant(value) => value,
            other => return Err($crate::http::context::unexpected_body(&other)),
        }
    };
}
pub(crate) use body;
