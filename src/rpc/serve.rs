//! The accept loop: greets connections and hands their requests to services.
//!
//! **Owns** the accepted connections and the handlers in flight. **Does not** know what a
//! request means: a [`Service`] per [`ConnKind`] does.
//!
//! Handlers of one connection run side by side, so answers may overtake each other. When the
//! caller stops waiting or its connection breaks, the handler's [`Request::cancelled`] says so;
//! it is never dropped halfway.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    frame::{Frame, FrameKind, FrameReader},
    hello::{self, ConnKind, Greeted, HelloError, Refusal, Tokens},
    pool::{Ended, IN_FLIGHT_MAX, count_frame_error, next_frame, write_frames},
    stream::{self, RawStream},
};
use crate::env::{Conn, Env, Listener, TaskGroup};

/// Connections that one agent accepts; every member may hold a few.
pub const CONNECTIONS_MAX: usize = 32_768;

/// Answers that wait to be written on one connection.
const WRITE_QUEUE: usize = 256;

/// How long to wait when the system has no socket to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One request as its handler sees it.
pub struct Request {
    pub peer: SocketAddr,
    pub kind: ConnKind,
    pub bytes: Bytes,
    /// Nobody waits for the answer any more. A handler that only waits should end then.
    pub cancelled: CancellationToken,
}

/// Words for a request that could not be understood; nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Reject(pub String);

/// Answers the requests of one kind of connection.
pub trait Service: Send + Sync {
    fn handle(&self, request: Request) -> BoxFuture<'_, Result<Bytes, Reject>>;
}

/// Serves streams; returns when it has nothing more to send.
pub trait StreamService: Send + Sync {
    fn open(&self, request: Request, stream: RawStream) -> BoxFuture<'_, ()>;
}

/// What an agent serves. Without a stream service, streams are refused.
#[derive(Clone, Default)]
pub struct Services {
    by_kind: BTreeMap<ConnKind, Arc<dyn Service>>,
    streams: Option<Arc<dyn StreamService>>,
}

impl Services {
    /// What answers pings and nothing else.
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with(mut self, kind: ConnKind, service: Arc<dyn Service>) -> Self {
        self.by_kind.insert(kind, service);
        self
    }

    pub fn with_streams(mut self, service: Arc<dyn StreamService>) -> Self {
        self.streams = Some(service);
        self
    }

    fn serves(&self, kind: ConnKind) -> Result<(), Refusal> {
        let served = match kind {
            ConnKind::Ping => true,
            ConnKind::Stream => self.streams.is_some(),
            ConnKind::Raft
            | ConnKind::Snapshot
            | ConnKind::Api
            | ConnKind::Node
            | ConnKind::Local => self.by_kind.contains_key(&kind),
        };
        if served {
            Ok(())
        } else {
            Err(Refusal::NotServed(kind.as_str().to_owned()))
        }
    }
}

/// Accepts and serves connections until `stop` is cancelled, then waits for every handler.
pub async fn serve(
    env: Env,
    listener: Box<dyn Listener>,
    services: Services,
    tokens: impl Into<Tokens>,
    stop: CancellationToken,
) {
    let group = TaskGroup::new(stop.child_token());
    let shared = Arc::new(Shared {
        env,
        services,
        tokens: tokens.into(),
        open: AtomicUsize::new(0),
        group: group.clone(),
    });
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((conn, peer)) => {
                let shared = shared.clone();
                group.spawn(format!("rpc from {peer}"), async move {
                    shared.open.fetch_add(1, Ordering::Relaxed);
                    shared.connection(conn, peer).await;
                    shared.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
            Err(error) => {
                tracing::warn!(target: "rpc", %error, "could not accept a connection");
                shared.env.metrics.incr("tumen.rpc.accept_error", &[]);
                shared.env.clock.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    group.shutdown().await;
}

/// What all connections of one accept loop share.
struct Shared {
    env: Env,
    services: Services,
    tokens: Tokens,
    open: AtomicUsize,
    group: TaskGroup,
}

impl Shared {
    async fn connection(&self, conn: Conn, peer: SocketAddr) {
        let open = self.open.load(Ordering::Relaxed);
        let serves = |kind| {
            if open > CONNECTIONS_MAX {
                return Err(Refusal::Full(open as u64));
            }
            self.services.serves(kind)
        };
        let welcome = hello::welcome(&*self.env.clock, conn, &self.tokens, serves);
        let greeted = tokio::select! {
            biased;
            greeted = welcome => greeted,
            () = self.group.token().cancelled() => return,
        };
        match greeted {
            Ok(greeted) if greeted.kind == ConnKind::Stream => self.stream(greeted, peer).await,
            Ok(greeted) => self.requests(greeted, peer).await,
            Err(error) => self.unwelcome(peer, &error),
        }
    }

    fn unwelcome(&self, peer: SocketAddr, error: &HelloError) {
        let reason = match error {
            HelloError::Refused(_) => "refused",
            HelloError::Silent => "silent",
            HelloError::NotOurs | HelloError::Codec(_) => "not_ours",
            HelloError::Closed => "closed",
            HelloError::Frame(error) => error.reason(),
        };
        self.env
            .metrics
            .incr("tumen.rpc.hello_error", &[("reason", reason)]);
        tracing::debug!(target: "rpc", %peer, %error, "turned a connection away");
    }

    async fn stream(&self, mut greeted: Greeted, peer: SocketAddr) {
        let opening = match next_frame(&self.env, &mut greeted.reader).await {
            Ok(Some(frame)) if frame.kind == FrameKind::Request => frame.payload,
            Ok(Some(frame)) => return self.broken(peer, &greeted, &Ended::Unexpected(frame.kind)),
            Ok(None) => return,
            Err(error) => return self.broken(peer, &greeted, &error),
        };
        let Some(service) = self.services.streams.clone() else {
            return;
        };
        let stop = self.group.token().child_token();
        let (ours, theirs) = RawStream::pair();
        let request = Request {
            peer,
            kind: ConnKind::Stream,
            bytes: opening,
            cancelled: stop.clone(),
        };
        let handled = service.open(request, ours);
        let carried = async {
            stream::carry(greeted, theirs, &stop).await;
            stop.cancel();
        };
        tokio::join!(handled, carried);
    }

    fn broken(&self, peer: SocketAddr, greeted: &Greeted, ended: &Ended) {
        count_frame_error(&self.env, greeted.kind, ended);
        tracing::debug!(target: "rpc", %peer, reason = %ended, "connection broke");
    }

    async fn requests(&self, greeted: Greeted, peer: SocketAddr) {
        let Greeted {
            kind,
            reader,
            writer,
            ..
        } = greeted;
        let (answers, queue) = mpsc::channel(WRITE_QUEUE);
        let handlers = Handlers {
            peer,
            kind,
            service: self.services.by_kind.get(&kind).cloned(),
            answers,
            flight: Arc::default(),
            group: TaskGroup::new(self.group.token().child_token()),
        };
        let ended = tokio::select! {
            biased;
            ended = read_requests(&self.env, reader, &handlers) => ended,
            ended = write_frames(&self.env, writer, queue, true) => ended,
            () = self.group.token().cancelled() => Ok(()),
        };
        if let Err(ended) = ended {
            count_frame_error(&self.env, kind, &ended);
            tracing::debug!(target: "rpc", %peer, reason = %ended, "connection broke");
        }
        handlers.group.shutdown().await;
    }
}

/// The handlers in flight of one connection.
struct Handlers {
    peer: SocketAddr,
    kind: ConnKind,
    service: Option<Arc<dyn Service>>,
    answers: mpsc::Sender<Frame>,
    flight: Arc<Mutex<BTreeMap<u64, CancellationToken>>>,
    group: TaskGroup,
}

async fn read_requests(
    env: &Env,
    mut reader: FrameReader,
    handlers: &Handlers,
) -> Result<(), Ended> {
    loop {
        let Some(frame) = next_frame(env, &mut reader).await? else {
            return Ok(());
        };
        match frame.kind {
            FrameKind::Request => handlers.start(frame).await,
            FrameKind::Cancel => handlers.cancel(frame.correlation),
            FrameKind::Ping | FrameKind::Pong => {}
            other => return Err(Ended::Unexpected(other)),
        }
    }
}

impl Handlers {
    async fn start(&self, frame: Frame) {
        let correlation = frame.correlation;
        let Some(service) = self.service.clone() else {
            // Only pings have no service.
            return self
                .answer(Frame::bare(FrameKind::Reply, correlation))
                .await;
        };
        let cancelled = self.group.token().child_token();
        let full = {
            let mut flight = self.flight.lock().unwrap_or_else(PoisonError::into_inner);
            let full = flight.len() >= IN_FLIGHT_MAX;
            if !full {
                flight.insert(correlation, cancelled.clone());
            }
            full
        };
        if full {
            let reason = "too many requests are in flight";
            return self
                .answer(Frame::new(FrameKind::Reject, correlation, reason))
                .await;
        }
        let request = Request {
            peer: self.peer,
            kind: self.kind,
            bytes: frame.payload,
            cancelled,
        };
        let (answers, max) = (self.answers.clone(), self.kind.frame_max());
        let landed = Landed {
            flight: self.flight.clone(),
            correlation,
        };
        self.group
            .spawn(format!("rpc {} request", self.kind.as_str()), async move {
                let _landed = landed;
                let answer = match service.handle(request).await {
                    Ok(bytes) => Frame::new(FrameKind::Reply, correlation, bytes),
                    Err(Reject(reason)) => Frame::new(FrameKind::Reject, correlation, reason),
                };
                let length = answer.length();
                let answer = if length > max {
                    let reason = format!("the answer of {length} bytes is too large");
                    Frame::new(FrameKind::Reject, correlation, reason)
                } else {
                    answer
                };
                // The connection may have ended meanwhile: nobody to tell.
                drop(answers.send(answer).await);
            });
    }

    fn cancel(&self, correlation: u64) {
        let flight = self.flight.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cancelled) = flight.get(&correlation) {
            cancelled.cancel();
        }
    }

    async fn answer(&self, frame: Frame) {
        // As above: without a connection there is nobody to tell.
        drop(self.answers.send(frame).await);
    }
}

/// Takes a request out of the flight list, however its handler ended.
struct Landed {
    flight: Arc<Mutex<BTreeMap<u64, CancellationToken>>>,
    correlation: u64,
}

impl Drop for Landed {
    fn drop(&mut self) {
        self.flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.correlation);
    }
}
