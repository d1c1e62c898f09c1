//! `alloc exec`: a command in a task, over a websocket.
//!
//! Three things happen at once: input goes up, output comes down, and a terminal's size goes up
//! when it changes. The session ends with the command's exit code; with a terminal, `~.` after a
//! newline ends it from here.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::AsyncReadExt as _;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::pick;
use crate::cli::context::Ctx;
use crate::cli::fail::{Failure, Outcome, arguments};
use crate::cli::flags::Args;
use crate::cli::http_client::{Call, connect};
use crate::cli::settings::Settings;
use crate::http::dto::client::{ExecData, ExecInput, ExecOutput, TtySize};

/// Runs a command in a task.
pub fn exec(ctx: &mut Ctx, args: &Args) -> Outcome {
    let (name, command) = match args.rest.split_first() {
        None if args.on("job") => return Err(arguments("A job ID is required")),
        None => return Err(arguments("An allocation ID is required")),
        Some((_, [])) => return Err(arguments("A command is required")),
        Some((name, command)) => (name, command),
    };
    let client = ctx.client(args)?;
    let alloc = pick::alloc(ctx, args, &client, name)?;
    let task = pick::task(&alloc, args.value("task"))?;
    let input = args.switch_or("i", true);
    let tty = args.switch_or("t", input && ctx.keyboard && ctx.terminal);
    if tty && !ctx.keyboard {
        return Err(Failure::new("failed to exec into task: not a terminal"));
    }
    let escape = escape_char(args, tty)?;
    let words = serde_json::to_string(command).expect("words are JSON");
    let call = client
        .get(format!("/v1/client/allocation/{}/exec", alloc.id))
        .namespace(&alloc.namespace)
        .query("task", &task)
        .query("tty", tty)
        .query("ws_handshake", true)
        .query("command", words);
    let session = Session { input, escape };
    let raw = if tty { Some(Raw::enter()?) } else { None };
    let ended = client.block_on(session.run(ctx, &client.settings, &call, tty));
    drop(raw);
    ended.map_err(|why| Failure::new(format!("failed to exec into task: {why}")))
}

fn escape_char(args: &Args, tty: bool) -> Result<Option<u8>, Failure> {
    match args.value("e").unwrap_or("~") {
        "none" => Ok(None),
        one if one.len() == 1 => Ok(tty.then(|| one.as_bytes()[0])),
        other => Err(Failure::new(format!(
            "-e requires a single character or `none`, not `{other}`"
        ))
        .usage()),
    }
}

/// A terminal that passes every key on; restored when dropped.
struct Raw(rustix::termios::Termios);

impl Raw {
    fn enter() -> Result<Self, Failure> {
        let refuse = |e: rustix::io::Errno| {
            Failure::new(format!(
                "failed to exec into task: the terminal cannot be set: {e}"
            ))
        };
        let stdin = std::io::stdin();
        let before = rustix::termios::tcgetattr(&stdin).map_err(refuse)?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(&stdin, rustix::termios::OptionalActions::Now, &raw)
            .map_err(refuse)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let stdin = std::io::stdin();
        let now = rustix::termios::OptionalActions::Now;
        if let Err(error) = rustix::termios::tcsetattr(&stdin, now, &self.0) {
            tracing::warn!(target: "cli", %error, "the terminal could not be restored");
        }
    }
}

struct Session {
    input: bool,
    escape: Option<u8>,
}

/// What the watcher of input says next.
enum Typed {
    Data(Vec<u8>),
    /// The escape sequence: end the session.
    Quit,
    End,
}

impl Session {
    async fn run(
        &self,
        ctx: &mut Ctx,
        settings: &Settings,
        call: &Call<'_>,
        tty: bool,
    ) -> Result<u8, String> {
        let socket = open(settings, call).await?;
        let (mut up, mut down) = socket.split();
        let token = settings.token.clone().unwrap_or_default();
        let hello = serde_json::json!({ "version": 1, "auth_token": token }).to_string();
        let mut resized =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::window_change())
                .map_err(|e| e.to_string())?;
        // A command that has ended takes no more input; what it printed still comes down.
        let mut listens = up.send(Message::text(hello)).await.is_ok();
        if tty && listens {
            listens = up.send(size_message()).await.is_ok();
        }
        if !self.input && listens {
            listens = up.send(end_of_input()).await.is_ok();
        }
        let mut keys = Keys::new(self.escape);
        let mut stdin = tokio::io::stdin();
        let mut open = self.input;
        let mut code = None;
        loop {
            tokio::select! {
                biased;
                message = down.next() => match message {
                    Some(Ok(message)) => match received(ctx, message)? {
                        Event::Exited(exit) => {
                            code = Some(exit);
                            break;
                        }
                        Event::Closed => break,
                        Event::Nothing => {}
                    },
                    Some(Err(error)) => return Err(lost(error)),
                    None => break,
                },
                _ = resized.recv(), if tty && listens => {
                    listens = up.send(size_message()).await.is_ok();
                }
                typed = read(&mut stdin, &mut keys), if open && listens => match typed? {
                    Typed::Data(data) => {
                        listens = up.send(input(ExecData { data, close: false })).await.is_ok();
                    }
                    Typed::End => {
                        open = false;
                        listens = up.send(end_of_input()).await.is_ok();
                    }
                    Typed::Quit => break,
                },
            }
        }
        // The other side may have closed first; then there is nothing left to close.
        let _closed = up.close().await;
        code.ok_or_else(|| "the session ended without an exit code".to_owned())
    }
}

fn lost(error: WsError) -> String {
    format!("the connection was lost: {error}")
}

type Socket = tokio_tungstenite::WebSocketStream<Box<dyn crate::cli::http_client::Wire>>;

async fn open(settings: &Settings, call: &Call<'_>) -> Result<Socket, String> {
    let url = format!("ws://{}{}", settings.host(), call.target());
    let mut request = url.into_client_request().map_err(|e| e.to_string())?;
    for (name, value) in settings.headers() {
        let name: hyper::header::HeaderName = name
            .parse()
            .map_err(|_| "a header's name is wrong".to_owned())?;
        let value: hyper::header::HeaderValue = value
            .parse()
            .map_err(|_| "a header's value is wrong".to_owned())?;
        request.headers_mut().insert(name, value);
    }
    let wire = connect(settings, &format!("Get \"{}\"", call.url()))
        .await
        .map_err(|e| e.to_string())?;
    match tokio_tungstenite::client_async(request, wire).await {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            let text = String::from_utf8_lossy(body);
            Err(format!(
                "Unexpected response code: {} ({})",
                response.status().as_u16(),
                text.trim_end()
            ))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn end_of_input() -> Message {
    input(ExecData {
        close: true,
        ..ExecData::default()
    })
}

fn input(stdin: ExecData) -> Message {
    let message = ExecInput {
        stdin: Some(stdin),
        tty_size: None,
    };
    Message::text(serde_json::to_string(&message).expect("a message is JSON"))
}

fn size_message() -> Message {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    let tty_size = size.ok().map(|s| TtySize {
        height: s.ws_row,
        width: s.ws_col,
    });
    let message = ExecInput {
        stdin: None,
        tty_size,
    };
    Message::text(serde_json::to_string(&message).expect("a message is JSON"))
}

enum Event {
    Exited(u8),
    Closed,
    Nothing,
}

fn received(ctx: &mut Ctx, message: Message) -> Result<Event, String> {
    let text = match message {
        Message::Text(text) => text.as_str().to_owned(),
        Message::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Message::Close(None) => return Ok(Event::Closed),
        Message::Close(Some(frame)) if frame.code == 1000.into() => return Ok(Event::Closed),
        Message::Close(Some(frame)) => return Err(frame.reason.to_string()),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(Event::Nothing),
    };
    let output: ExecOutput =
        serde_json::from_str(&text).map_err(|e| format!("an unreadable message came: {e}"))?;
    if let Some(stdout) = output.stdout {
        ctx.out.write(&stdout.data);
    }
    if let Some(stderr) = output.stderr {
        ctx.err.write(&stderr.data);
    }
    if output.exited {
        let code = output.result.unwrap_or_default().exit_code;
        return Ok(Event::Exited(u8::try_from(code & 0xff).unwrap_or(1)));
    }
    Ok(Event::Nothing)
}

async fn read(stdin: &mut tokio::io::Stdin, keys: &mut Keys) -> Result<Typed, String> {
    let mut buffer = [0; 4096];
    let count = stdin
        .read(&mut buffer)
        .await
        .map_err(|e| format!("standard input cannot be read: {e}"))?;
    if count == 0 {
        return Ok(Typed::End);
    }
    Ok(match keys.pass(&buffer[..count]) {
        Some(data) => Typed::Data(data),
        None => Typed::Quit,
    })
}

/// Watches typed keys for the escape sequence.
struct Keys {
    escape: Option<u8>,
    /// Whether a line begins here.
    fresh: bool,
    /// Whether the escape character was typed and is held back.
    held: bool,
}

impl Keys {
    fn new(escape: Option<u8>) -> Self {
        Self {
            escape,
            fresh: true,
            held: false,
        }
    }

    /// What to pass on; `None` once the sequence was typed.
    fn pass(&mut self, typed: &[u8]) -> Option<Vec<u8>> {
        let Some(escape) = self.escape else {
            return Some(typed.to_vec());
        };
        let mut out = Vec::with_capacity(typed.len());
        for &key in typed {
            if std::mem::take(&mut self.held) {
                match key {
                    b'.' => return None,
                    key if key == escape => {}
                    _ => out.push(escape),
                }
            } else if self.fresh && key == escape {
                self.held = true;
                continue;
            }
            out.push(key);
            self.fresh = matches!(key, b'\r' | b'\n');
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_escape_ends_a_session_at_a_line_start_only() {
        let mut keys = Keys::new(Some(b'~'));
        assert_eq!(keys.pass(b"ls a~.b\r").unwrap(), b"ls a~.b\r");
        assert_eq!(keys.pass(b"~~x\r").unwrap(), b"~x\r");
        assert_eq!(keys.pass(b"~y\r").unwrap(), b"~y\r");
        assert_eq!(keys.pass(b"~").unwrap(), b"");
        assert!(keys.pass(b".").is_none());
        assert_eq!(Keys::new(None).pass(b"~.").unwrap(), b"~.");
    }
}
