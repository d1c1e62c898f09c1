//! An allocation's files and logs.
//!
//! `cat` and `readat` answer 200 with the text of the error, where the others answer a status:
//! so does Nomad, and its clients rely on it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use futures_util::stream;

use crate::http::context::Ctx;
use crate::http::dto::convert;
use crate::http::error::HttpError;
use crate::http::params::parse_bool;
use crate::http::respond;
use crate::http::serve::Streamed;
use crate::model::{AllocId, Allocation};
use crate::rpc::node::{FileInfo, FrameStream, From as Origin, StreamOpen};
use crate::rpc::{NodeAnswer, NodeApi, NodeAsk};

use super::client::{find, unexpected};
use super::id_of;

/// How long a stream may be silent before a heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How much of a file tells its type.
const SNIFFED: u64 = 512;

/// `/v1/client/fs/<verb>/<allocation>`; any method.
pub(super) async fn fs(ctx: &Ctx, tail: &str) -> Result<Response, HttpError> {
    let (verb, id) = tail.split_once('/').unwrap_or((tail, ""));
    if !["ls", "stat", "cat", "readat", "stream", "logs"].contains(&verb) {
        return Err(HttpError::no_such_path());
    }
    if id.is_empty() {
        return Err(HttpError::bad_request("must provide a valid alloc id"));
    }
    let id = id_of(id);
    match verb {
        "ls" => list(ctx, &id).await,
        "stat" => stat(ctx, &id).await,
        "cat" => cat(ctx, &id).await.or_else(as_text),
        "readat" => read_at(ctx, &id).await.or_else(as_text),
        "stream" => file_stream(ctx, &id).await,
        _ => logs(ctx, &id).await,
    }
}

/// The text of an error with status 200, unless it is about the allocation itself.
fn as_text(error: HttpError) -> Result<Response, HttpError> {
    if error.text.starts_with("Unknown ") || error.text.starts_with("No ") {
        return Err(error);
    }
    Ok(respond::content(
        "text/plain; charset=utf-8",
        Body::from(error.text),
    ))
}

/// The file that the request names.
fn path(ctx: &Ctx) -> Result<String, HttpError> {
    match ctx.params.text("path") {
        "" => Err(HttpError::bad_request("must provide a file name")),
        path => Ok(path.to_string()),
    }
}

async fn list(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    let path = match ctx.params.text("path") {
        "" => "/",
        path => path,
    };
    let (alloc, client) = find(ctx, id).await?;
    let ask = NodeAsk::List {
        alloc: alloc.id,
        path: path.to_string(),
    };
    match client.ask(ask).await? {
        NodeAnswer::Files(files) => {
            let shown: Vec<_> = files.iter().map(|f| convert::file_info(f, "")).collect();
            ctx.plain_json(&shown)
        }
        other => Err(unexpected(&other)),
    }
}

async fn file_of(
    client: &Arc<dyn NodeApi>,
    alloc: AllocId,
    path: &str,
) -> Result<FileInfo, HttpError> {
    let ask = NodeAsk::Stat {
        alloc,
        path: path.to_string(),
    };
    match client.ask(ask).await? {
        NodeAnswer::File(file) => Ok(file),
        other => Err(unexpected(&other)),
    }
}

async fn read(
    client: &Arc<dyn NodeApi>,
    alloc: AllocId,
    path: &str,
    (offset, limit): (u64, u64),
) -> Result<Bytes, HttpError> {
    let ask = NodeAsk::ReadAt {
        alloc,
        path: path.to_string(),
        offset,
        limit,
    };
    match client.ask(ask).await? {
        NodeAnswer::Data(data) => Ok(data),
        other => Err(unexpected(&other)),
    }
}

async fn stat(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    let path = path(ctx)?;
    let (alloc, client) = find(ctx, id).await?;
    let file = file_of(&client, alloc.id, &path).await?;
    let kind = if file.is_dir {
        OCTETS
    } else {
        content_type(&read(&client, alloc.id, &path, (0, SNIFFED)).await?)
    };
    ctx.plain_json(&convert::file_info(&file, kind))
}

const OCTETS: &str = "application/octet-stream";

/// Text or not. Never anything that a browser would run.
fn content_type(start: &[u8]) -> &'static str {
    let text = match std::str::from_utf8(start) {
        Ok(_) => true,
        // Cut inside a character is still text.
        Err(error) => error.error_len().is_none(),
    };
    if text && !start.contains(&0) {
        "text/plain; charset=utf-8"
    } else {
        OCTETS
    }
}

/// A file's bytes, which a browser must not interpret.
fn bytes_of_file(kind: &'static str, body: Body) -> Response {
    let mut response = respond::content(kind, body);
    for (name, value) in [
        (
            "content-security-policy",
            "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        ),
        ("x-content-type-options", "nosniff"),
        ("x-xss-protection", "1; mode=block"),
    ] {
        response.headers_mut().insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

async fn cat(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    let path = path(ctx)?;
    let (alloc, client) = find(ctx, id).await?;
    let file = file_of(&client, alloc.id, &path).await?;
    if file.is_dir {
        return Err(HttpError::failed(format!("file \"{path}\" is a directory")));
    }
    let start = read(&client, alloc.id, &path, (0, SNIFFED)).await?;
    let kind = content_type(&start);
    if start.len() < SNIFFED as usize {
        return Ok(bytes_of_file(kind, Body::from(start)));
    }
    let open = StreamOpen::File {
        alloc: alloc.id,
        path,
        follow: false,
        from: Origin::Start(0),
    };
    let frames = client.stream(open).await?;
    Ok(bytes_of_file(kind, frames_body(ctx, frames, Shape::Plain)))
}

/// A number in the form whose errors clients know.
fn number(name: &str, text: &str) -> Result<i64, HttpError> {
    text.parse().map_err(|_| {
        HttpError::bad_request(format!(
            "error parsing {name}: strconv.ParseInt: parsing \"{text}\": invalid syntax"
        ))
    })
}

fn position(name: &str, text: &str) -> Result<u64, HttpError> {
    u64::try_from(number(name, text)?)
        .map_err(|_| HttpError::bad_request(format!("{name} must not be negative")))
}

async fn read_at(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    let path = path(ctx)?;
    let offset = position("offset", ctx.params.text("offset"))?;
    let limit = match ctx.params.text("limit") {
        "" => 0,
        text => position("limit", text)?,
    };
    let (alloc, client) = find(ctx, id).await?;
    let file = file_of(&client, alloc.id, &path).await?;
    if file.is_dir {
        return Err(HttpError::failed(format!("file \"{path}\" is a directory")));
    }
    if offset >= file.size {
        return Ok(respond::content("text/plain; charset=utf-8", Body::empty()));
    }
    let data = read(&client, alloc.id, &path, (offset, limit)).await?;
    Ok(bytes_of_file(content_type(&data), Body::from(data)))
}

/// Where a stream starts.
fn origin(ctx: &Ctx) -> Result<Origin, HttpError> {
    let offset = match ctx.params.text("offset") {
        "" => 0,
        text => position("offset", text)?,
    };
    match ctx.params.text("origin") {
        "" | "start" => Ok(Origin::Start(offset)),
        "end" => Ok(Origin::End(offset)),
        _ => Err(HttpError::bad_request("origin must be start or end")),
    }
}

fn flag(ctx: &Ctx, name: &str, absent: bool) -> Result<bool, HttpError> {
    match ctx.params.text(name) {
        "" => Ok(absent),
        text => parse_bool(text).ok_or_else(|| {
            HttpError::bad_request(format!(
                "failed to parse {name} field to boolean: strconv.ParseBool: \
                 parsing \"{text}\": invalid syntax"
            ))
        }),
    }
}

async fn file_stream(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    let path = path(ctx)?;
    let from = origin(ctx)?;
    let follow = flag(ctx, "follow", true)?;
    let (alloc, client) = find(ctx, id).await?;
    let open = StreamOpen::File {
        alloc: alloc.id,
        path,
        follow,
        from,
    };
    let frames = client.stream(open).await.map_err(|error| {
        // A missing file is a mistake of the request here.
        HttpError::bad_request(error.to_string())
    })?;
    Ok(stream_of(
        ctx,
        frames,
        Shape::Frames,
        "text/plain; charset=utf-8",
    ))
}

async fn logs(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    let task = match ctx.params.text("task") {
        "" => return Err(HttpError::bad_request("must provide task name")),
        task => task.to_string(),
    };
    let follow = flag(ctx, "follow", false)?;
    let plain = flag(ctx, "plain", false)?;
    let stderr = match ctx.params.text("type") {
        "stdout" => false,
        "stderr" => true,
        _ => {
            return Err(HttpError::bad_request(
                "must provide log type (stdout/stderr)",
            ));
        }
    };
    let from = origin(ctx)?;
    let (alloc, client) = find(ctx, id).await?;
    has_task(&alloc, &task)?;
    let open = StreamOpen::Logs {
        alloc: alloc.id,
        task,
        stderr,
        follow,
        from,
    };
    let frames = client.stream(open).await?;
    Ok(match plain {
        true => stream_of(ctx, frames, Shape::Plain, "text/plain"),
        false => stream_of(ctx, frames, Shape::Frames, "application/json"),
    })
}

/// Refuses a task that the allocation's group does not have.
fn has_task(alloc: &Allocation, task: &str) -> Result<(), HttpError> {
    match alloc.task_group().and_then(|group| group.task(task)) {
        Some(_) => Ok(()),
        None => Err(HttpError::bad_request(format!(
            "unknown task name \"{task}\""
        ))),
    }
}

/// How frames are written.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// As JSON objects, with heartbeats.
    Frames,
    /// Their data alone.
    Plain,
}

fn stream_of(ctx: &Ctx, frames: FrameStream, shape: Shape, kind: &'static str) -> Response {
    let mut response = respond::content(kind, frames_body(ctx, frames, shape));
    response.extensions_mut().insert(Streamed);
    response
}

/// A body that ends with the frames, with an error of theirs, or with the server.
fn frames_body(ctx: &Ctx, frames: FrameStream, shape: Shape) -> Body {
    let (clock, token) = (ctx.app.env.clock.clone(), ctx.token.clone());
    Body::from_stream(stream::unfold(frames, move |mut frames| {
        let (clock, token) = (clock.clone(), token.clone());
        async move {
            loop {
                let frame = tokio::select! {
                    biased;
                    frame = frames.recv() => frame?,
                    () = token.cancelled() => return None,
                    () = clock.sleep(HEARTBEAT) => match shape {
                        Shape::Frames => return Some((Ok(Bytes::from_static(b"{}")), frames)),
                        Shape::Plain => continue,
                    },
                };
                match frame {
                    Err(error) => {
                        tracing::debug!(target: "http", %error, "a stream broke off");
                        return Some((Err(std::io::Error::other(error.to_string())), frames));
                    }
                    Ok(frame) if shape == Shape::Plain => {
                        if frame.data.is_empty() {
                            continue;
                        }
                        return Some((Ok(frame.data), frames));
                    }
                    Ok(frame) => {
                        let written = serde_json::to_vec(&convert::frame(frame))
                            .map(Bytes::from)
                            .map_err(std::io::Error::other);
                        return Some((written, frames));
                    }
                }
            }
        }
    }))
}
