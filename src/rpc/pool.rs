//! The pool: at most one pipelined connection per address and kind, opened when needed.
//!
//! **Owns** the connections, their pings and their pending calls. **Does not** retry, and does
//! not choose servers: a call goes to one address, once.
//!
//! A call may be cancelled by dropping it: the other end is told. A connection that has been
//! silent for [`SILENT_MAX`] although both ends ping, or that breaks, fails all its calls at
//! once with [`CallError::Lost`]; whether they were carried out is then unknown.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    codec::CodecError,
    frame::{Frame, FrameError, FrameKind, FrameReader, FrameWriter},
    hello::{self, ConnKind, Greeted, HelloError, Refusal, Tokens},
    stream::{self, RawStream},
};
use crate::env::{Env, TaskGroup, timeout_at};

/// How often either end of an idle connection says that it is there.
pub const PING_EVERY: Duration = Duration::from_millis(500);

/// How long a connection may say nothing at all before it counts as dead.
pub const SILENT_MAX: Duration = Duration::from_secs(5);

/// Calls in flight on one connection. Long polls are calls too, so this is generous; a caller
/// beyond it is told to come back instead of waiting unseen.
pub const IN_FLIGHT_MAX: usize = 4096;

/// Frames that wait to be written.
const WRITE_QUEUE: usize = 256;

/// How long a connection attempt may take, within the call's own limit.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Why a call has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// No connection: the request was never sent.
    #[error("could not connect to {addr}: {reason}")]
    Connect {
        addr: SocketAddr,
        refused: bool,
        reason: String,
    },
    /// The other end would not talk: the request was never sent.
    #[error("{addr} refused the connection: {refusal}")]
    Refused { addr: SocketAddr, refusal: Refusal },
    /// Too many calls are in flight: the request was never sent.
    #[error("too many requests to {addr} are in flight")]
    Busy { addr: SocketAddr },
    /// The request was sent, no answer came in time.
    #[error("{addr} did not answer within {limit:?}")]
    TimedOut { addr: SocketAddr, limit: Duration },
    /// The request was sent, then the connection broke.
    #[error("the connection to {addr} was lost: {reason}")]
    Lost { addr: SocketAddr, reason: String },
    /// The other end did not understand the request and did nothing.
    #[error("{addr} rejected the request: {reason}")]
    Rejected { addr: SocketAddr, reason: String },
    /// The request is too large for one frame.
    #[error("a request of {length} bytes is too large")]
    TooLarge { length: usize },
    /// The pool is shut down.
    #[error("the agent is shutting down")]
    Stopping,
    /// Our own request or the other end's answer is malformed.
    #[error("could not speak with {addr}")]
    Codec {
        addr: SocketAddr,
        #[source]
        source: CodecError,
    },
}

impl CallError {
    /// Whether the request surely was not carried out, so that sending it elsewhere is safe.
    pub fn never_sent(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Refused { .. }
            | Self::Busy { .. }
            | Self::Rejected { .. }
            | Self::TooLarge { .. }
            | Self::Stopping => true,
            Self::TimedOut { .. } | Self::Lost { .. } | Self::Codec { .. } => false,
        }
    }

    /// Whether the host answered that nobody listens: the process is dead, its machine is not.
    pub fn port_refuses(&self) -> bool {
        matches!(self, Self::Connect { refused: true, .. })
    }
}

/// The pool. Cloning shares it.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    env: Env,
    tokens: Tokens,
    group: TaskGroup,
    slots: Mutex<BTreeMap<(SocketAddr, ConnKind), Arc<Slot>>>,
}

/// One address and kind; whoever holds the lock is connecting.
#[derive(Default)]
struct Slot {
    link: tokio::sync::Mutex<Option<Arc<Link>>>,
}

impl Pool {
    /// A pool whose connections live as long as `stop` is not cancelled.
    pub fn new(env: Env, tokens: impl Into<Tokens>, stop: CancellationToken) -> Self {
        let group = TaskGroup::new(stop);
        Self {
            inner: Arc::new(Inner {
                env,
                tokens: tokens.into(),
                group,
                slots: Mutex::default(),
            }),
        }
    }

    /// Sends one request and waits for its answer, both within `limit`.
    pub async fn call(
        &self,
        addr: SocketAddr,
        kind: ConnKind,
        request: Bytes,
        limit: Duration,
    ) -> Result<Bytes, CallError> {
        let env = &self.inner.env;
        let start = env.clock.now();
        let deadline = start + limit.min(Duration::from_secs(86_400));
        let length = request.len();
        if Frame::bare(FrameKind::Request, 0).length() + length > kind.frame_max() {
            return Err(CallError::TooLarge { length });
        }
        let connecting = timeout_at(&*env.clock, deadline, self.link(addr, kind)).await;
        let link = connecting.map_err(|_| CallError::Connect {
            addr,
            refused: false,
            reason: "timed out".to_owned(),
        })??;
        let waiting = timeout_at(&*env.clock, deadline, link.call(request)).await;
        let result = waiting.unwrap_or(Err(CallError::TimedOut { addr, limit }));
        let outcome = if result.is_ok() { "ok" } else { "error" };
        env.metrics.since(
            "tumen.rpc.call",
            &[("kind", kind.as_str()), ("outcome", outcome)],
            start,
        );
        result
    }

    /// Asks whether the process behind `addr` answers at all.
    pub async fn ping(&self, addr: SocketAddr, limit: Duration) -> Result<(), CallError> {
        self.call(addr, ConnKind::Ping, Bytes::new(), limit)
            .await
            .map(|_| ())
    }

    /// Opens a stream of its own with an opening request; the other end's first answer to it
    /// comes within the stream.
    pub async fn open(
        &self,
        addr: SocketAddr,
        opening: Bytes,
        limit: Duration,
    ) -> Result<RawStream, CallError> {
        let env = &self.inner.env;
        let lost = |error: FrameError| CallError::Lost {
            addr,
            reason: error.to_string(),
        };
        let open = async {
            let mut greeted = self.connect(addr, ConnKind::Stream).await?;
            let frame = Frame::new(FrameKind::Request, 0, opening);
            greeted.writer.send(&frame).await.map_err(lost)?;
            Ok(greeted)
        };
        let opened = timeout_at(&*env.clock, env.clock.now() + limit, open).await;
        let greeted = opened.map_err(|_| CallError::TimedOut { addr, limit })??;
        let (ours, theirs) = RawStream::pair();
        let token = self.inner.group.token().clone();
        let carry = async move { stream::carry(greeted, theirs, &token).await };
        let started = self
            .inner
            .group
            .spawn(format!("rpc stream to {addr}"), carry);
        if started {
            Ok(ours)
        } else {
            Err(CallError::Stopping)
        }
    }

    /// Closes every connection and waits until all their tasks have ended.
    pub async fn shutdown(&self) {
        self.inner.group.shutdown().await;
    }

    async fn link(&self, addr: SocketAddr, kind: ConnKind) -> Result<Arc<Link>, CallError> {
        let slot = locked(&self.inner.slots)
            .entry((addr, kind))
            .or_default()
            .clone();
        let mut held = slot.link.lock().await;
        if let Some(link) = held.as_ref().filter(|link| !link.broken.is_cancelled()) {
            return Ok(link.clone());
        }
        let greeted = self.connect(addr, kind).await?;
        let (link, queue) = Link::new(addr, self.inner.group.token().child_token());
        let link = Arc::new(link);
        let run = run(self.inner.env.clone(), greeted, link.clone(), queue);
        if !self
            .inner
            .group
            .spawn(format!("rpc {} to {addr}", kind.as_str()), run)
        {
            return Err(CallError::Stopping);
        }
        *held = Some(link.clone());
        Ok(link)
    }

    async fn connect(&self, addr: SocketAddr, kind: ConnKind) -> Result<Greeted, CallError> {
        let env = &self.inner.env;
        if self.inner.group.token().is_cancelled() {
            return Err(CallError::Stopping);
        }
        let failed = |error: io::Error| CallError::Connect {
            addr,
            refused: error.kind() == io::ErrorKind::ConnectionRefused,
            reason: error.to_string(),
        };
        let conn = env.net.connect(addr, CONNECT_LIMIT).await.map_err(failed)?;
        let token = self.inner.tokens.shown();
        let greeting = hello::greet(&*env.clock, conn, kind, &token).await;
        greeting.map_err(|error| match error {
            HelloError::Refused(refusal) => CallError::Refused { addr, refusal },
            HelloError::Silent
            | HelloError::NotOurs
            | HelloError::Closed
            | HelloError::Frame(_)
            | HelloError::Codec(_) => CallError::Connect {
                addr,
                refused: false,
                reason: error.to_string(),
            },
        })
    }
}

/// One open connection, as callers see it.
struct Link {
    addr: SocketAddr,
    next: AtomicU64,
    queue: mpsc::Sender<Frame>,
    pending: Mutex<Pending>,
    broken: CancellationToken,
}

#[derive(Default)]
struct Pending {
    calls: BTreeMap<u64, oneshot::Sender<Result<Bytes, CallError>>>,
    /// Why the connection ended; no call is added any more.
    ended: Option<String>,
}

impl Link {
    fn new(addr: SocketAddr, broken: CancellationToken) -> (Self, mpsc::Receiver<Frame>) {
        let (queue, waiting) = mpsc::channel(WRITE_QUEUE);
        let link = Self {
            addr,
            next: AtomicU64::new(1),
            queue,
            pending: Mutex::default(),
            broken,
        };
        (link, waiting)
    }

    async fn call(&self, request: Bytes) -> Result<Bytes, CallError> {
        let correlation = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        {
            let mut pending = locked(&self.pending);
            if let Some(reason) = &pending.ended {
                return Err(CallError::Lost {
                    addr: self.addr,
                    reason: reason.clone(),
                });
            }
            if pending.calls.len() >= IN_FLIGHT_MAX {
                return Err(CallError::Busy { addr: self.addr });
            }
            pending.calls.insert(correlation, sender);
        }
        let _forget = Forget {
            link: self,
            correlation,
        };
        let frame = Frame::new(FrameKind::Request, correlation, request);
        // When the queue is gone, `end` has answered the call or is about to.
        drop(self.queue.send(frame).await);
        answer.await.unwrap_or_else(|_| {
            Err(CallError::Lost {
                addr: self.addr,
                reason: "it was closed".to_owned(),
            })
        })
    }

    fn finish(&self, correlation: u64, result: Result<Bytes, CallError>) {
        if let Some(call) = locked(&self.pending).calls.remove(&correlation) {
            // The caller may have just stopped waiting.
            drop(call.send(result));
        }
    }

    /// Fails every pending call and every later one.
    fn end(&self, reason: &str) {
        self.broken.cancel();
        let mut pending = locked(&self.pending);
        pending.ended = Some(reason.to_owned());
        for (_, call) in std::mem::take(&mut pending.calls) {
            let lost = CallError::Lost {
                addr: self.addr,
                reason: reason.to_owned(),
            };
            drop(call.send(Err(lost)));
        }
    }
}

/// Forgets a call whose caller no longer waits, and tells the other end.
struct Forget<'a> {
    link: &'a Link,
    correlation: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if locked(&self.link.pending)
            .calls
            .remove(&self.correlation)
            .is_some()
        {
            // With a full queue the other end works in vain, no more.
            drop(
                self.link
                    .queue
                    .try_send(Frame::bare(FrameKind::Cancel, self.correlation)),
            );
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a connection until it breaks or is cancelled.
async fn run(env: Env, greeted: Greeted, link: Arc<Link>, queue: mpsc::Receiver<Frame>) {
    let Greeted {
        kind,
        reader,
        writer,
        ..
    } = greeted;
    let ended = tokio::select! {
        biased;
        ended = read_replies(&env, reader, &link) => ended,
        ended = write_frames(&env, writer, queue, true) => ended,
        () = link.broken.cancelled() => Err(Ended::Closed),
    };
    let reason = match ended {
        Ok(()) => "it was closed by the other end".to_owned(),
        Err(error) => {
            count_frame_error(&env, kind, &error);
            error.to_string()
        }
    };
    tracing::debug!(target: "rpc", addr = %link.addr, kind = kind.as_str(), reason, "connection ended");
    link.end(&reason);
}

pub(super) fn count_frame_error(env: &Env, kind: ConnKind, ended: &Ended) {
    let reason = match ended {
        Ended::Frame(error) => error.reason(),
        Ended::Unexpected(_) => "unexpected",
        Ended::Silent => "silent",
        Ended::Closed => return,
    };
    env.metrics.incr(
        "tumen.rpc.broken",
        &[("kind", kind.as_str()), ("reason", reason)],
    );
}

/// Why a connection ended other than by a clean close.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("a frame of kind {0:?} does not belong there")]
    Unexpected(FrameKind),
    #[error("it was silent for {SILENT_MAX:?}")]
    Silent,
    #[error("it was closed here")]
    Closed,
}

async fn read_replies(env: &Env, mut reader: FrameReader, link: &Link) -> Result<(), Ended> {
    loop {
        let Some(frame) = next_frame(env, &mut reader).await? else {
            return Ok(());
        };
        match frame.kind {
            FrameKind::Reply => link.finish(frame.correlation, Ok(frame.payload)),
            FrameKind::Reject => {
                let reason = String::from_utf8_lossy(&frame.payload).into_owned();
                let rejected = CallError::Rejected {
                    addr: link.addr,
                    reason,
                };
                link.finish(frame.correlation, Err(rejected));
            }
            FrameKind::Ping | FrameKind::Pong => {}
            other => return Err(Ended::Unexpected(other)),
        }
    }
}

/// The next frame, if one comes before the connection counts as dead.
pub(super) async fn next_frame(
    env: &Env,
    reader: &mut FrameReader,
) -> Result<Option<Frame>, Ended> {
    let next = crate::env::timeout(&*env.clock, SILENT_MAX, reader.next()).await;
    Ok(next.map_err(|_| Ended::Silent)??)
}

/// Writes what the queue has, as much as is there at once; pings when it has nothing.
pub(super) async fn write_frames(
    env: &Env,
    mut writer: FrameWriter,
    mut queue: mpsc::Receiver<Frame>,
    ping: bool,
) -> Result<(), Ended> {
    loop {
        let wait = if ping { PING_EVERY } else { SILENT_MAX };
        match crate::env::timeout(&*env.clock, wait, queue.recv()).await {
            Ok(Some(frame)) => writer.queue(&frame)?,
            Ok(None) => return Ok(writer.finish().await?),
            Err(_) => writer.queue(&Frame::bare(FrameKind::Ping, 0))?,
        }
        while writer.queued() < 64 << 10
            && let Ok(frame) = queue.try_recv()
        {
            writer.queue(&frame)?;
        }
        let flushed = crate::env::timeout(&*env.clock, SILENT_MAX, writer.flush()).await;
        flushed.map_err(|_| Ended::Silent)??;
    }
}
