//! Successful answers: JSON with the facts of the read in its headers.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::ser::PrettyFormatter;

use crate::rpc::Answer;

use super::error::HttpError;

const INDEX: HeaderName = HeaderName::from_static("x-nomad-index");
const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-nomad-knownleader");
const LAST_CONTACT: HeaderName = HeaderName::from_static("x-nomad-lastcontact");
const NEXT_TOKEN: HeaderName = HeaderName::from_static("x-nomad-nexttoken");

/// What a read or write tells about itself in headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    pub index: u64,
    /// (known leader, last contact in milliseconds); reads only.
    pub contact: Option<(bool, u128)>,
    /// Where the next page starts; empty: this was the last.
    pub next_token: String,
}

impl Meta {
    /// The facts of a read.
    pub(crate) fn of(answer: &Answer) -> Self {
        Self {
            index: answer.index,
            contact: Some((answer.known_leader, answer.last_contact.as_millis())),
            next_token: String::new(),
        }
    }

    /// The index of a write.
    pub(crate) fn written(index: u64) -> Self {
        Self {
            index,
            ..Self::default()
        }
    }

    /// The same with where the next page starts.
    pub(crate) fn next(mut self, token: String) -> Self {
        self.next_token = token;
        self
    }

    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(INDEX, HeaderValue::from(self.index));
        if let Some((known, contact)) = self.contact {
            headers.insert(
                KNOWN_LEADER,
                HeaderValue::from_static(if known { "true" } else { "false" }),
            );
            headers.insert(
                LAST_CONTACT,
                HeaderValue::from(u64::try_from(contact).unwrap_or(u64::MAX)),
            );
        }
        if let Ok(token) = HeaderValue::from_str(&self.next_token)
            && !token.is_empty()
        {
            headers.insert(NEXT_TOKEN, token);
        }
    }
}

/// Writes `value` as JSON; `pretty` indents it by four and ends the last line.
pub(crate) fn json<T: Serialize>(
    value: &T,
    meta: Option<Meta>,
    pretty: bool,
) -> Result<Response, HttpError> {
    let bytes = encode(value, pretty)
        .map_err(|e| HttpError::failed(format!("could not write the answer as JSON: {e}")))?;
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let Some(meta) = meta {
        meta.write(headers);
    }
    Ok(response)
}

fn encode<T: Serialize>(value: &T, pretty: bool) -> serde_json::Result<Vec<u8>> {
    if !pretty {
        return serde_json::to_vec(value);
    }
    let mut out = Vec::new();
    let mut writer =
        serde_json::Serializer::with_formatter(&mut out, PrettyFormatter::with_indent(b"    "));
    value.serialize(&mut writer)?;
    out.push(b'\n');
    Ok(out)
}

/// 200 without a body.
pub(crate) fn empty(meta: Option<Meta>) -> Response {
    let mut response = Response::new(Body::empty());
    if let Some(meta) = meta {
        meta.write(response.headers_mut());
    }
    response
}

/// A body of another type than JSON.
pub(crate) fn content(kind: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// 307 to `to`.
pub(crate) fn redirect(to: &str) -> Result<Response, HttpError> {
    let location = HeaderValue::from_str(to)
        .map_err(|_| HttpError::bad_request("the address to redirect to is no header value"))?;
    let text = format!("<a href=\"{}\">Temporary Redirect</a>.\n\n", escape(to));
    let mut response = content("text/html; charset=utf-8", Body::from(text));
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&#34;")
}
