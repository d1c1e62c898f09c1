//! Why a request was not answered as asked: one status and one text each.
//!
//! The texts are what Nomad's clients match on; they end without a newline unless the text
//! itself has one.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::rpc::{ApiError, LocalError, NodeError};

use super::respond::Meta;

/// A failed request.
#[derive(Debug)]
pub(crate) struct HttpError {
    pub status: StatusCode,
    pub text: String,
    /// Set when the failure is the answer to a read (a missing object).
    pub meta: Option<Meta>,
}

impl HttpError {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            meta: None,
        }
    }

    pub(crate) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(crate) fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    /// The default of this API for everything that goes wrong, refusals included.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    pub(crate) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Invalid method")
    }

    /// An unknown path: no text at all.
    pub(crate) fn no_such_path() -> Self {
        Self::not_found("")
    }

    /// A part of Nomad's API that does not exist here.
    pub(crate) fn unavailable(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            format!("{what} is not available in Tumen"),
        )
    }

    /// The missing object of a read, with the index at which it was missing.
    pub(crate) fn missing(text: impl Into<String>, meta: Meta) -> Self {
        Self {
            meta: Some(meta),
            ..Self::not_found(text)
        }
    }

    /// The same as 500, where the API reports a missing object of a write so.
    pub(crate) fn missing_is_500(mut self) -> Self {
        if self.status == StatusCode::NOT_FOUND {
            self.status = StatusCode::INTERNAL_SERVER_ERROR;
        }
        self
    }

    pub(crate) fn into_response(self) -> Response {
        let empty = self.text.is_empty();
        let mut response = Response::new(Body::from(self.text));
        *response.status_mut() = self.status;
        if !empty {
            response.headers_mut().insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            );
        }
        if let Some(meta) = self.meta {
            meta.write(response.headers_mut());
        }
        response
    }
}

impl From<ApiError> for HttpError {
    fn from(error: ApiError) -> Self {
        let status = match &error {
            ApiError::NotFound(_) => StatusCode::NOT_FOUND,
            ApiError::BadRequest(_) => StatusCode::BAD_REQUEST,
            ApiError::Denied => StatusCode::FORBIDDEN,
            ApiError::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
            ApiError::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
            ApiError::NoLeader
            | ApiError::NotLeader { .. }
            | ApiError::Refused(_)
            | ApiError::Unknown(_)
            | ApiError::Unavailable(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let text = match error {
            ApiError::NotLeader { .. } => ApiError::NoLeader.to_string(),
            other => other.to_string(),
        };
        Self::new(status, text)
    }
}

impl From<NodeError> for HttpError {
    fn from(error: NodeError) -> Self {
        let status = match &error {
            NodeError::NotFound(_) | NodeError::NoPath => StatusCode::NOT_FOUND,
            NodeError::BadRequest(_) => StatusCode::BAD_REQUEST,
            NodeError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<LocalError> for HttpError {
    fn from(error: LocalError) -> Self {
        let status = match &error {
            LocalError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            LocalError::NotServer | LocalError::NotClient => StatusCode::NOT_IMPLEMENTED,
            LocalError::NoSuchMember(_) => StatusCode::NOT_FOUND,
        };
        Self::new(status, error.to_string())
    }
}
