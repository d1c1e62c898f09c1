//! Running a command inside a task, over a WebSocket.
//!
//! Every failure comes after the upgrade, as the close code and text: so clients expect it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

use crate::http::context::Ctx;
use crate::http::dto::client::{self as dto, ExecData, ExecResult};
use crate::http::error::HttpError;
use crate::http::respond;
use crate::rpc::node::{ExecInput, ExecOpen, ExecOutput, ExecStream};

use super::client::find;
use super::id_of;

/// The largest message from a client.
const MESSAGE_MAX: usize = 1 << 20;

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// `GET /v1/client/allocation/<id>/exec`
pub(super) async fn exec(ctx: &Ctx, id: &str) -> Result<Response, HttpError> {
    ctx.get()?;
    let upgrade = ctx.take_upgrade();
    let key = ctx.headers.get(header::SEC_WEBSOCKET_KEY).cloned();
    let (Some(upgrade), Some(key)) = (upgrade, key) else {
        return Err(HttpError::failed(
            "websocket connection not found in context",
        ));
    };
    let handshake = ctx.params.flag("ws_handshake", false)?;
    let opened = open(ctx, &id_of(id)).await;
    let token = ctx.token.clone();
    let started = ctx.tasks.spawn("http-exec", async move {
        session(upgrade, opened, handshake, token).await;
    });
    if !started {
        return Err(HttpError::failed("the agent is shutting down"));
    }
    switching(&key)
}

fn switching(key: &HeaderValue) -> Result<Response, HttpError> {
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map_err(|_| HttpError::failed("the websocket key has no answer"))?;
    let mut response = respond::empty(None);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// Starts the command, or says why not.
async fn open(ctx: &Ctx, id: &str) -> Result<ExecStream, HttpError> {
    let command: Vec<String> = serde_json::from_str(ctx.params.text("command"))
        .map_err(|e| HttpError::failed(format!("the command is no JSON list of texts: {e}")))?;
    if command.is_empty() {
        return Err(HttpError::failed("the command is empty"));
    }
    let tty = ctx.params.flag("tty", false)?;
    let (alloc, client) = find(ctx, id).await?;
    let task = match ctx.params.text("task") {
        "" => return Err(HttpError::bad_request("must provide task name")),
        task => task.to_string(),
    };
    if alloc.task_group().and_then(|g| g.task(&task)).is_none() {
        return Err(HttpError::failed("task not found"));
    }
    Ok(client
        .exec(ExecOpen {
            alloc: alloc.id,
            task,
            command,
            tty,
        })
        .await?)
}

async fn session(
    upgrade: OnUpgrade,
    opened: Result<ExecStream, HttpError>,
    handshake: bool,
    token: CancellationToken,
) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(target: "http", %error, "an exec connection was not upgraded");
            return;
        }
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    let mut socket =
        WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let end = match opened {
        Err(error) => Err(error),
        Ok(stream) => tokio::select! {
            biased;
            end = copy(&mut socket, stream, handshake) => end,
            () = token.cancelled() => Err(HttpError::failed("the agent is shutting down")),
        },
    };
    let frame = match end {
        Ok(()) => CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        },
        Err(error) => CloseFrame {
            code: if error.status.is_server_error() {
                CloseCode::Error
            } else {
                CloseCode::Policy
            },
            reason: cut(&error.text).into(),
        },
    };
    if let Err(error) = socket.close(Some(frame)).await {
        tracing::debug!(target: "http", %error, "an exec connection was not closed well");
    }
}

/// A reason that fits into a control frame.
fn cut(text: &str) -> String {
    const MOST: usize = 123;
    let mut end = text.len().min(MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_string()
}

/// Carries both directions until the command or the client ends.
async fn copy(
    socket: &mut Socket,
    mut stream: ExecStream,
    handshake: bool,
) -> Result<(), HttpError> {
    let mut first = handshake;
    loop {
        tokio::select! {
            biased;
            output = stream.output.recv() => match output {
                Some(ExecOutput::Failed(reason)) => return Err(HttpError::failed(reason)),
                Some(ExecOutput::Exited(code)) => return exited(socket, code).await,
                Some(output) => send(socket, &shown(output)).await?,
                None => return Err(HttpError::failed("the command's stream ended early")),
            },
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) if first => {
                    first = false;
                    tracing::trace!(target: "http", length = text.len(), "exec handshake");
                }
                Some(Ok(Message::Text(text))) => forward(&stream, text.as_bytes()).await?,
                Some(Ok(Message::Binary(bytes))) => forward(&stream, &bytes).await?,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Err(error)) => {
                    tracing::debug!(target: "http", %error, "an exec connection broke");
                    return Ok(());
                }
            },
        }
    }
}

/// Tells that both streams and the command have ended.
async fn exited(socket: &mut Socket, code: i32) -> Result<(), HttpError> {
    let close = || {
        Some(ExecData {
            close: true,
            ..ExecData::default()
        })
    };
    let ends = [
        dto::ExecOutput {
            stdout: close(),
            ..dto::ExecOutput::default()
        },
        dto::ExecOutput {
            stderr: close(),
            ..dto::ExecOutput::default()
        },
        dto::ExecOutput {
            exited: true,
            result: Some(ExecResult {
                exit_code: i64::from(code),
            }),
            ..dto::ExecOutput::default()
        },
    ];
    for end in ends {
        send(socket, &end).await?;
    }
    Ok(())
}

fn shown(output: ExecOutput) -> dto::ExecOutput {
    let data = |bytes: bytes::Bytes| {
        Some(ExecData {
            data: bytes.into(),
            close: false,
        })
    };
    match output {
        ExecOutput::Stdout(bytes) => dto::ExecOutput {
            stdout: data(bytes),
            ..dto::ExecOutput::default()
        },
        ExecOutput::Stderr(bytes) => dto::ExecOutput {
            stderr: data(bytes),
            ..dto::ExecOutput::default()
        },
        ExecOutput::Exited(_) | ExecOutput::Failed(_) => dto::ExecOutput::default(),
    }
}

async fn send(socket: &mut Socket, output: &dto::ExecOutput) -> Result<(), HttpError> {
    let text = serde_json::to_string(output)
        .map_err(|e| HttpError::failed(format!("could not write the command's output: {e}")))?;
    socket
        .send(Message::text(text))
        .await
        .map_err(|e| HttpError::failed(format!("the client is gone: {e}")))
}

/// Hands a client's message to the command. One that has ended takes no more; its exit follows.
async fn forward(stream: &ExecStream, message: &[u8]) -> Result<(), HttpError> {
    let message: dto::ExecInput = serde_json::from_slice(message)
        .map_err(|e| HttpError::bad_request(format!("this message is no exec input: {e}")))?;
    let mut inputs = Vec::new();
    if let Some(stdin) = message.stdin {
        if !stdin.data.is_empty() {
            inputs.push(ExecInput::Stdin(stdin.data.into()));
        }
        if stdin.close {
            inputs.push(ExecInput::CloseStdin);
        }
    }
    if let Some(size) = message.tty_size {
        inputs.push(ExecInput::Resize {
            width: size.width,
            height: size.height,
        });
    }
    for input in inputs {
        if stream.input.send(input).await.is_err() {
            tracing::trace!(target: "http", "input for a command that has ended");
            break;
        }
    }
    Ok(())
}
