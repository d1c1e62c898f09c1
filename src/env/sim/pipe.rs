//! A simulated stream: bytes in each direction arrive after the link's latency.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::net::{Machine, SimNetwork, locked};

/// Bytes that a stream holds in flight; a writer waits for room.
const WINDOW: usize = 256 * 1024;

/// One direction of a stream.
#[derive(Default)]
pub(super) struct Pipe {
    latency: Duration,
    chunks: VecDeque<(Instant, VecDeque<u8>)>,
    held: usize,
    closed: bool,
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    pub(super) fn new(latency: Duration) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            latency,
            ..Self::default()
        }))
    }

    pub(super) fn reset(&mut self) {
        self.reset = true;
        self.wake();
    }

    pub(super) fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }
}

/// One end of a stream.
pub(super) struct SimStream {
    network: SimNetwork,
    ends: (Machine, Machine),
    read: Arc<Mutex<Pipe>>,
    write: Arc<Mutex<Pipe>>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl SimStream {
    pub(super) fn new(
        network: SimNetwork,
        ends: (Machine, Machine),
        read: Arc<Mutex<Pipe>>,
        write: Arc<Mutex<Pipe>>,
    ) -> Self {
        Self {
            network,
            ends,
            read,
            write,
            timer: None,
        }
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let cut = self.network.is_cut(&self.ends.0, &self.ends.1);
        let this = &mut *self;
        let mut pipe = locked(&this.read);
        if pipe.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        pipe.reader = Some(cx.waker().clone());
        if cut {
            return Poll::Pending;
        }
        let Some((due, bytes)) = pipe.chunks.front_mut() else {
            return if pipe.closed {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            };
        };
        if *due > Instant::now() {
            let timer = this.timer.insert(Box::pin(sleep_until(*due)));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        let taken = bytes.len().min(buffer.remaining());
        let run: Vec<u8> = bytes.drain(..taken).collect();
        buffer.put_slice(&run);
        if bytes.is_empty() {
            pipe.chunks.pop_front();
        }
        pipe.held -= taken;
        if let Some(writer) = pipe.writer.take() {
            writer.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let delay = self.network.delay(&self.ends.0, &self.ends.1);
        let mut pipe = locked(&self.write);
        if pipe.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if pipe.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = WINDOW - pipe.held;
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = bytes.len().min(room);
        let due = Instant::now() + pipe.latency + delay;
        pipe.chunks
            .push_back((due, bytes[..taken].iter().copied().collect()));
        pipe.held += taken;
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = locked(&self.write);
        pipe.closed = true;
        pipe.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        for pipe in [&self.read, &self.write] {
            let mut pipe = locked(pipe);
            pipe.closed = true;
            pipe.wake();
        }
    }
}
