//! The hello: what a connection is for, which versions its ends speak, that they are of one
//! cluster.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    codec::{self, CodecError},
    frame::{
        FRAME_MAX, Frame, FrameError, FrameKind, FrameReader, FrameWriter, HELLO_MAX,
        SNAPSHOT_FRAME_MAX,
    },
};
use crate::env::{Clock, Conn, timeout};

const MAGIC: [u8; 4] = *b"TMN1";

/// How long either end waits for the other's part of the hello.
pub const HELLO_LIMIT: Duration = Duration::from_secs(5);

/// The protocol versions that this build speaks, oldest and newest.
pub const VERSIONS: (u16, u16) = (1, 1);

/// Proves that both ends belong to one cluster; empty without `encrypt`.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClusterToken(pub Vec<u8>);

impl std::fmt::Debug for ClusterToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClusterToken({} bytes)", self.0.len())
    }
}

impl ClusterToken {
    /// Takes the same time wherever the two differ.
    fn matches(&self, other: &Self) -> bool {
        let differ = self
            .0
            .iter()
            .zip(&other.0)
            .fold(0, |all, (a, b)| all | (a ^ b));
        self.0.len() == other.0.len() && differ == 0
    }
}

/// The token to show, first, and all that are taken: a key is changed while both ends run.
#[derive(Clone, Debug)]
pub struct Tokens(watch::Receiver<Vec<ClusterToken>>);

impl Tokens {
    pub fn new(tokens: watch::Receiver<Vec<ClusterToken>>) -> Self {
        Self(tokens)
    }

    pub fn shown(&self) -> ClusterToken {
        self.0.borrow().first().cloned().unwrap_or_default()
    }

    fn has(&self, token: &ClusterToken) -> bool {
        let tokens = self.0.borrow();
        tokens.is_empty() && token.0.is_empty() || tokens.iter().any(|t| t.matches(token))
    }
}

impl From<ClusterToken> for Tokens {
    fn from(token: ClusterToken) -> Self {
        Self(watch::Sender::new(vec![token]).subscribe())
    }
}

/// What a connection carries. Append only: the order is the wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConnKind {
    /// Answered by the accept loop itself: shows that this process is alive.
    Ping,
    /// Raft between servers: opaque bytes.
    Raft,
    /// Raft's snapshots, with their own frame limit.
    Snapshot,
    /// Requests to the cluster.
    Api,
    /// Requests to one client about what it runs.
    Node,
    /// Requests to one agent about itself.
    Local,
    /// One stream: an opening request, then raw frames both ways.
    Stream,
}

impl ConnKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Raft => "raft",
            Self::Snapshot => "snapshot",
            Self::Api => "api",
            Self::Node => "node",
            Self::Local => "local",
            Self::Stream => "stream",
        }
    }

    pub fn frame_max(self) -> usize {
        match self {
            // A client's answers carry files.
            Self::Snapshot | Self::Node => SNAPSHOT_FRAME_MAX,
            Self::Ping | Self::Raft | Self::Api | Self::Local | Self::Stream => FRAME_MAX,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    magic: [u8; 4],
    kind: ConnKind,
    versions: (u16, u16),
    token: ClusterToken,
}

/// Why the other end would not talk. Append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    #[error("it is of another cluster: the `encrypt` keys differ")]
    OtherCluster,
    #[error("it speaks protocol versions {0} to {1}, not {2} to {3}")]
    Version(u16, u16, u16, u16),
    #[error("it serves no {0} requests")]
    NotServed(String),
    #[error("it holds {0} connections already")]
    Full(u64),
    #[error("it is shutting down")]
    Stopping,
}

/// Why a hello failed.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    #[error("refused: {0}")]
    Refused(Refusal),
    #[error("no hello within {HELLO_LIMIT:?}")]
    Silent,
    #[error("the other end speaks another protocol")]
    NotOurs,
    #[error("the connection closed during the hello")]
    Closed,
    #[error("could not exchange the hello")]
    Frame(#[from] FrameError),
    #[error("could not read the hello")]
    Codec(#[from] CodecError),
}

/// A connection after its hello.
pub struct Greeted {
    pub kind: ConnKind,
    pub version: u16,
    pub reader: FrameReader,
    pub writer: FrameWriter,
}

/// The connecting end of the hello.
pub async fn greet(
    clock: &dyn Clock,
    conn: Conn,
    kind: ConnKind,
    token: &ClusterToken,
) -> Result<Greeted, HelloError> {
    let (read, write) = tokio::io::split(conn);
    let mut reader = FrameReader::new(read, HELLO_MAX);
    let mut writer = FrameWriter::new(write, HELLO_MAX);
    let hello = Hello {
        magic: MAGIC,
        kind,
        versions: VERSIONS,
        token: token.clone(),
    };
    let hello = Frame::new(FrameKind::Hello, 0, codec::encode("hello", &hello)?);
    let exchange = async {
        writer.send(&hello).await?;
        reader.next().await?.ok_or(HelloError::Closed)
    };
    let answer = timeout(clock, HELLO_LIMIT, exchange)
        .await
        .map_err(|_| HelloError::Silent)??;
    let version = match answer.kind {
        FrameKind::Welcome => codec::decode::<u16>("welcome", &answer.payload)?,
        FrameKind::Refuse => {
            return Err(HelloError::Refused(codec::decode(
                "refusal",
                &answer.payload,
            )?));
        }
        _ => return Err(HelloError::NotOurs),
    };
    reader.set_max(kind.frame_max());
    writer.set_max(kind.frame_max());
    Ok(Greeted {
        kind,
        version,
        reader,
        writer,
    })
}

/// The accepting end of the hello; `serves` says whether a kind is served here.
pub async fn welcome(
    clock: &dyn Clock,
    conn: Conn,
    tokens: &Tokens,
    serves: impl Fn(ConnKind) -> Result<(), Refusal>,
) -> Result<Greeted, HelloError> {
    let (read, write) = tokio::io::split(conn);
    let mut reader = FrameReader::new(read, HELLO_MAX);
    let mut writer = FrameWriter::new(write, HELLO_MAX);
    let exchange = async {
        let frame = reader.next().await?.ok_or(HelloError::Closed)?;
        if frame.kind != FrameKind::Hello {
            return Err(HelloError::NotOurs);
        }
        let hello: Hello = codec::decode("hello", &frame.payload)?;
        match judge(&hello, tokens).and_then(|version| serves(hello.kind).map(|()| version)) {
            Ok(version) => {
                let payload = codec::encode("welcome", &version)?;
                writer
                    .send(&Frame::new(FrameKind::Welcome, 0, payload))
                    .await?;
                Ok((hello.kind, version))
            }
            Err(refusal) => {
                let payload = codec::encode("refusal", &refusal)?;
                writer
                    .send(&Frame::new(FrameKind::Refuse, 0, payload))
                    .await?;
                writer.finish().await?;
                Err(HelloError::Refused(refusal))
            }
        }
    };
    let (kind, version) = timeout(clock, HELLO_LIMIT, exchange)
        .await
        .map_err(|_| HelloError::Silent)??;
    reader.set_max(kind.frame_max());
    writer.set_max(kind.frame_max());
    Ok(Greeted {
        kind,
        version,
        reader,
        writer,
    })
}

/// The newest version that both ends speak.
fn judge(hello: &Hello, tokens: &Tokens) -> Result<u16, Refusal> {
    if hello.magic != MAGIC || !tokens.has(&hello.token) {
        return Err(Refusal::OtherCluster);
    }
    let (theirs, ours) = (hello.versions, VERSIONS);
    let newest = theirs.1.min(ours.1);
    if newest < theirs.0.max(ours.0) {
        return Err(Refusal::Version(ours.0, ours.1, theirs.0, theirs.1));
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(versions: (u16, u16), token: &[u8]) -> Hello {
        Hello {
            magic: MAGIC,
            kind: ConnKind::Api,
            versions,
            token: ClusterToken(token.to_vec()),
        }
    }

    #[test]
    fn versions_must_overlap_and_tokens_match() {
        let ours = Tokens::from(ClusterToken(b"secret".to_vec()));
        assert_eq!(judge(&hello((1, 9), b"secret"), &ours), Ok(1));
        let newer = judge(&hello((2, 9), b"secret"), &ours);
        assert_eq!(newer, Err(Refusal::Version(1, 1, 2, 9)));
        assert_eq!(
            judge(&hello((1, 1), b"secreT"), &ours),
            Err(Refusal::OtherCluster)
        );
        assert_eq!(
            judge(&hello((1, 1), b""), &ours),
            Err(Refusal::OtherCluster)
        );
    }
}
