//! Frames: the unit that a connection carries.
//!
//! `length u32 | kind u8 | correlation u64 | payload`, little endian; the length counts all
//! that follows it. Whoever reads bounds the length before it reserves memory.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::env::Conn;

/// Kind and correlation id.
const HEAD: usize = 9;

/// The largest frame of an ordinary connection, length field not counted.
pub const FRAME_MAX: usize = 4 << 20;

/// The largest frame of a connection that carries snapshots or files.
pub const SNAPSHOT_FRAME_MAX: usize = 64 << 20;

/// The largest frame before the hello is accepted.
pub const HELLO_MAX: usize = 1 << 10;

/// What a frame means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    Hello = 1,
    Welcome = 2,
    Refuse = 3,
    Request = 4,
    Reply = 5,
    /// The request could not be handled at all; the payload is the reason as text.
    Reject = 6,
    /// The caller no longer waits for this correlation id.
    Cancel = 7,
    Ping = 8,
    Pong = 9,
    Data = 10,
    /// The sender of this frame sends no more data.
    End = 11,
    /// The stream broke; the payload is a [`StreamFailure`](super::stream::StreamFailure).
    Failed = 12,
}

impl FrameKind {
    fn from_u8(n: u8) -> Option<Self> {
        Some(match n {
            1 => Self::Hello,
            2 => Self::Welcome,
            3 => Self::Refuse,
            4 => Self::Request,
            5 => Self::Reply,
            6 => Self::Reject,
            7 => Self::Cancel,
            8 => Self::Ping,
            9 => Self::Pong,
            10 => Self::Data,
            11 => Self::End,
            12 => Self::Failed,
            _ => return None,
        })
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: FrameKind,
    pub correlation: u64,
    pub payload: Bytes,
}

impl Frame {
    pub fn new(kind: FrameKind, correlation: u64, payload: impl Into<Bytes>) -> Self {
        Self {
            kind,
            correlation,
            payload: payload.into(),
        }
    }

    /// A frame without payload.
    pub fn bare(kind: FrameKind, correlation: u64) -> Self {
        Self::new(kind, correlation, Bytes::new())
    }

    /// The size that limits are about.
    pub fn length(&self) -> usize {
        HEAD + self.payload.len()
    }
}

/// Why bytes are not a frame, or could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {length} bytes is over the limit of {max}")]
    TooLarge { length: usize, max: usize },
    #[error("a frame of {length} bytes has no room for its head")]
    TooSmall { length: usize },
    #[error("frame kind {0} is unknown")]
    UnknownKind(u8),
    #[error("the connection ended inside a frame")]
    Truncated,
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
}

impl FrameError {
    /// A word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::TooSmall { .. } => "too_small",
            Self::UnknownKind(_) => "unknown_kind",
            Self::Truncated => "truncated",
            Self::Io(_) => "io",
        }
    }
}

/// Takes the first whole frame off `buffer`, if there is one.
pub fn decode(buffer: &mut BytesMut, max: usize) -> Result<Option<Frame>, FrameError> {
    let Some(head) = buffer.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*head) as usize;
    if length > max {
        return Err(FrameError::TooLarge { length, max });
    }
    if length < HEAD {
        return Err(FrameError::TooSmall { length });
    }
    if buffer.len() < 4 + length {
        return Ok(None);
    }
    let mut body = buffer.split_to(4 + length).freeze();
    body.advance(4);
    let number = body.get_u8();
    let kind = FrameKind::from_u8(number).ok_or(FrameError::UnknownKind(number))?;
    let correlation = body.get_u64_le();
    Ok(Some(Frame {
        kind,
        correlation,
        payload: body,
    }))
}

/// Appends `frame` to `out`.
pub fn encode(frame: &Frame, max: usize, out: &mut BytesMut) -> Result<(), FrameError> {
    let length = frame.length();
    if length > max {
        return Err(FrameError::TooLarge { length, max });
    }
    let length = u32::try_from(length).map_err(|_| FrameError::TooLarge { length, max })?;
    out.reserve(4 + frame.length());
    out.put_u32_le(length);
    out.put_u8(frame.kind as u8);
    out.put_u64_le(frame.correlation);
    out.put_slice(&frame.payload);
    Ok(())
}

/// Reads frames off one half of a connection.
pub struct FrameReader<R = ReadHalf<Conn>> {
    half: R,
    buffer: BytesMut,
    max: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub fn new(half: R, max: usize) -> Self {
        Self {
            half,
            buffer: BytesMut::with_capacity(8 << 10),
            max,
        }
    }

    /// Changes the limit, once the kind of the connection is known.
    pub fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// The next frame; `None` at an end between two frames. Safe to cancel.
    pub async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(frame) = decode(&mut self.buffer, self.max)? {
                return Ok(Some(frame));
            }
            self.buffer.reserve(4 << 10);
            if self.half.read_buf(&mut self.buffer).await? == 0 {
                let clean = self.buffer.is_empty();
                return if clean {
                    Ok(None)
                } else {
                    Err(FrameError::Truncated)
                };
            }
        }
    }
}

/// Writes frames into one half of a connection.
pub struct FrameWriter<W = WriteHalf<Conn>> {
    half: W,
    buffer: BytesMut,
    max: usize,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    pub fn new(half: W, max: usize) -> Self {
        Self {
            half,
            buffer: BytesMut::new(),
            max,
        }
    }

    pub fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// Adds a frame to what the next [`FrameWriter::flush`] writes.
    pub fn queue(&mut self, frame: &Frame) -> Result<(), FrameError> {
        encode(frame, self.max, &mut self.buffer)
    }

    /// How many bytes are queued.
    pub fn queued(&self) -> usize {
        self.buffer.len()
    }

    /// Writes out what was queued. A cancelled flush goes on with the next.
    pub async fn flush(&mut self) -> Result<(), FrameError> {
        while !self.buffer.is_empty() {
            if self.half.write_buf(&mut self.buffer).await? == 0 {
                return Err(FrameError::Io(std::io::ErrorKind::WriteZero.into()));
            }
        }
        self.half.flush().await?;
        if self.buffer.capacity() > 1 << 20 {
            self.buffer = BytesMut::new();
        }
        Ok(())
    }

    /// Queues one frame and writes it out.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), FrameError> {
        self.queue(frame)?;
        self.flush().await
    }

    /// Tells the other end that nothing follows.
    pub async fn finish(&mut self) -> Result<(), FrameError> {
        Ok(self.half.shutdown().await?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(payload: &'static [u8]) -> Frame {
        Frame::new(FrameKind::Request, 7, payload)
    }

    #[test]
    fn a_frame_survives_the_wire() {
        let mut wire = BytesMut::new();
        encode(&frame(b"hello"), FRAME_MAX, &mut wire).unwrap();
        assert_eq!(&wire[..], b"\x0e\0\0\0\x04\x07\0\0\0\0\0\0\0hello");
        assert_eq!(decode(&mut wire, FRAME_MAX).unwrap(), Some(frame(b"hello")));
        assert!(wire.is_empty());
    }

    #[test]
    fn limits_hold_on_both_ends_and_reserve_nothing() {
        let mut wire = BytesMut::from(&b"\xff\xff\xff\xff"[..]);
        let error = decode(&mut wire, FRAME_MAX).unwrap_err();
        assert!(matches!(error, FrameError::TooLarge { .. }));
        assert!(wire.capacity() < 1024);
        let error = encode(&frame(b"hello"), 10, &mut wire).unwrap_err();
        assert!(matches!(
            error,
            FrameError::TooLarge {
                length: 14,
                max: 10
            }
        ));
    }

    #[test]
    fn heads_are_checked() {
        let check = |bytes: &[u8]| decode(&mut BytesMut::from(bytes), FRAME_MAX).unwrap_err();
        assert!(matches!(
            check(b"\x08\0\0\0"),
            FrameError::TooSmall { length: 8 }
        ));
        let kind = check(b"\x09\0\0\0\xee\0\0\0\0\0\0\0\0");
        assert!(matches!(kind, FrameError::UnknownKind(0xee)));
    }

    #[tokio::test]
    async fn an_end_inside_a_frame_is_an_error() {
        let mut reader = FrameReader::new(&b"\x0e\0\0\0\x04"[..], FRAME_MAX);
        assert!(matches!(
            reader.next().await.unwrap_err(),
            FrameError::Truncated
        ));
        let mut reader = FrameReader::new(&b""[..], FRAME_MAX);
        assert_eq!(reader.next().await.unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_frame_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut wire = BytesMut::from(&bytes[..]);
            let before = wire.len();
            if let Ok(Some(frame)) = decode(&mut wire, FRAME_MAX) {
                prop_assert_eq!(wire.len() + 4 + frame.length(), before);
            }
        }
    }
}
