//! Streams: two bounded channels of frames, in one process or over a connection.
//!
//! Dropping the sender ends one direction; dropping the whole end ends the stream. A broken
//! connection is told from an end: the reader's last frame is then [`RawFrame::Failed`].

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    codec,
    frame::{Frame, FrameKind, FrameReader, FrameWriter},
    hello::Greeted,
};

/// Frames that wait in one direction; a slow reader makes the writer wait.
pub const STREAM_QUEUE: usize = 16;

/// Why a stream broke. Append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum StreamFailure {
    #[error("the connection was lost")]
    Lost,
    /// The other end's own words, with the HTTP status that fits.
    #[error("{message}")]
    Failed { status: u16, message: String },
}

/// One unit of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawFrame {
    Data(Bytes),
    /// Nothing follows.
    Failed(StreamFailure),
}

/// One end of a stream.
#[derive(Debug)]
pub struct RawStream {
    pub send: mpsc::Sender<RawFrame>,
    pub recv: mpsc::Receiver<RawFrame>,
}

impl RawStream {
    /// Two ends that are connected within the process.
    pub fn pair() -> (Self, Self) {
        let (to_right, from_left) = mpsc::channel(STREAM_QUEUE);
        let (to_left, from_right) = mpsc::channel(STREAM_QUEUE);
        (
            Self {
                send: to_right,
                recv: from_right,
            },
            Self {
                send: to_left,
                recv: from_left,
            },
        )
    }

    /// Sends data; `false` when nobody reads any more.
    pub async fn data(&self, bytes: impl Into<Bytes>) -> bool {
        self.send.send(RawFrame::Data(bytes.into())).await.is_ok()
    }

    /// Ends the stream with a failure.
    pub async fn fail(self, failure: StreamFailure) {
        // If nobody reads any more, nobody needs the reason.
        drop(self.send.send(RawFrame::Failed(failure)).await);
    }
}

/// Carries a stream over a connection until both directions have ended, one end is gone, or
/// `token` is cancelled.
pub(super) async fn carry(greeted: Greeted, end: RawStream, token: &CancellationToken) {
    let Greeted {
        mut reader,
        mut writer,
        ..
    } = greeted;
    let RawStream { send, recv } = end;
    let gone = token.child_token();
    let outward = outward(&mut writer, recv);
    let inward = async {
        if inward(&mut reader, send).await.is_err() {
            gone.cancel(); // one direction is gone: so is the stream
        }
    };
    tokio::select! {
        biased;
        _ = async { tokio::join!(outward, inward) } => {}
        () = gone.cancelled() => {}
    }
}

/// Writes what the local end sends, then the end of it.
async fn outward(writer: &mut FrameWriter, mut recv: mpsc::Receiver<RawFrame>) {
    let mut correlation = 0;
    while let Some(next) = recv.recv().await {
        correlation += 1;
        let (kind, payload) = match next {
            RawFrame::Data(bytes) => (FrameKind::Data, bytes),
            RawFrame::Failed(failure) => match codec::encode("stream failure", &failure) {
                Ok(bytes) => (FrameKind::Failed, bytes.into()),
                Err(_) => return,
            },
        };
        let last = kind == FrameKind::Failed;
        if writer
            .send(&Frame::new(kind, correlation, payload))
            .await
            .is_err()
            || last
        {
            return;
        }
    }
    // A failed goodbye shows at the other end as a lost connection, which it is.
    drop(
        writer
            .send(&Frame::bare(FrameKind::End, correlation + 1))
            .await,
    );
}

/// The local reader has gone, or the stream has broken.
struct Gone;

/// Hands in what arrives. `Ok` after the other end's goodbye.
async fn inward(reader: &mut FrameReader, send: mpsc::Sender<RawFrame>) -> Result<(), Gone> {
    loop {
        let frame = tokio::select! {
            biased;
            () = send.closed() => return Err(Gone),
            frame = reader.next() => frame,
        };
        let next = match frame {
            Ok(Some(Frame {
                kind: FrameKind::Data,
                payload,
                ..
            })) => RawFrame::Data(payload),
            Ok(Some(Frame {
                kind: FrameKind::End,
                ..
            })) => return Ok(()),
            Ok(Some(Frame {
                kind: FrameKind::Failed,
                payload,
                ..
            })) => {
                let failure = codec::decode("stream failure", &payload);
                RawFrame::Failed(failure.unwrap_or(StreamFailure::Lost))
            }
            Ok(_) | Err(_) => RawFrame::Failed(StreamFailure::Lost),
        };
        let last = matches!(next, RawFrame::Failed(_));
        if send.send(next).await.is_err() || last {
            return Err(Gone);
        }
    }
}
