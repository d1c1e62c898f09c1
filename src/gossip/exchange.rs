//! The exchange: two members tell each other everything that one of them lacks, over TCP.
//!
//! It starts with a digest and ends there if both have the same. Otherwise:
//!
//! ```text
//! caller  → Open { intro, digest }
//! callee  → Same { intro } | Differs { intro } | Refused
//! caller  → Details { summary } | Refused
//! callee  → Answer { summary, newer records, wanted ids }
//! caller  → Records
//! ```
//!
//! Either end refuses whom it must not meet; see [`meet`](super::meet).
//!
//! Frames are `version u8 | length u32 | postcard`, sealed where a key is set, bounded by [`FRAME_MAX`] and [`LIMIT`].

use std::{collections::BTreeMap, io, time::Duration};

use foca::Member as Row;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use super::{
    identity::Identity,
    keyring::{Keyring, SEAL},
    meet::{Intro, Refusal},
    records::{Sent, Stamp},
    run::Handle,
};
use crate::env::Conn;

const VERSION: u8 = 1;

/// The same, sealed.
const SEALED: u8 = 2;

/// Instead of an answer to what no key here opens, or what is not sealed and should be.
const UNHEARD: u8 = 3;

/// No version of ours will be above it: text, for one, is.
const VERSIONS_MAX: u8 = 31;

/// The largest frame: some 30,000 members.
const FRAME_MAX: u32 = 8 << 20;

/// How long a whole exchange may take.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// What one member holds, without the records themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Summary {
    pub(super) rows: Vec<Row<Identity>>,
    pub(super) stamps: Vec<(Uuid, Stamp)>,
}

/// What an exchange brought in.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Brought {
    pub(super) rows: Vec<Row<Identity>>,
    pub(super) records: Vec<Sent>,
}

/// Append only.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Frame {
    /// The summary comes with `Details`, if the digests differ.
    Open {
        intro: Intro,
        digest: u64,
    },
    Same {
        intro: Intro,
    },
    Differs {
        intro: Intro,
    },
    Refused {
        why: Box<Refusal>,
    },
    Details {
        summary: Summary,
    },
    Answer {
        summary: Summary,
        newer: Vec<Sent>,
        wanted: Vec<Uuid>,
    },
    Records {
        records: Vec<Sent>,
    },
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("what answers there is no member's serf port")]
    NotMember,
    #[error("{0}")]
    Refused(Box<Refusal>),
    #[error("the `encrypt` keys of that agent and this one differ, or one of them has none")]
    Keys,
    #[error("that is this agent itself")]
    Myself,
    #[error("the other end speaks version {0} of the exchange")]
    Version(u8),
    #[error("a frame of {0} bytes is too large")]
    TooLarge(u32),
    #[error("a frame is malformed")]
    Codec(#[from] postcard::Error),
    #[error("the other end broke the order of the exchange")]
    Order,
    #[error("it took longer than {LIMIT:?}")]
    TooSlow,
    #[error("this agent has left")]
    Stopped,
}

/// The calling end. `always`: also if the digests agree, as a first contact must.
pub(super) async fn call(
    handle: &Handle,
    conn: &mut Conn,
    always: bool,
) -> Result<(), ExchangeError> {
    let line = &mut Line::new(handle, conn);
    let (intro, digest) = handle.intro().await?;
    let own = (intro.id, intro.addr);
    line.write(&Frame::Open { intro, digest }).await?;
    let (theirs, same) = match line.first().await? {
        Frame::Same { intro } => (intro, true),
        Frame::Differs { intro } => (intro, false),
        Frame::Refused { why } => return Err(ExchangeError::Refused(why)),
        _ => return Err(ExchangeError::Order),
    };
    if (theirs.id, theirs.addr) == own {
        return Err(ExchangeError::Myself);
    }
    meet(handle, line, theirs).await?;
    if same && !always {
        return Ok(());
    }
    let summary = handle.summary().await?;
    line.write(&Frame::Details { summary }).await?;
    let Frame::Answer {
        summary,
        newer,
        wanted,
    } = line.read().await?
    else {
        return Err(ExchangeError::Order);
    };
    let records = handle.records_of(wanted).await?;
    line.write(&Frame::Records { records }).await?;
    line.conn.shutdown().await?;
    handle
        .merge(Brought {
            rows: summary.rows,
            records: newer,
        })
        .await
}

/// The called end.
pub(super) async fn answer(handle: &Handle, conn: &mut Conn) -> Result<(), ExchangeError> {
    let line = &mut Line::new(handle, conn);
    let (theirs, digest) = match line.first().await {
        Ok(Frame::Open { intro, digest }) => (intro, digest),
        Ok(_) => return Err(ExchangeError::Order),
        Err(ExchangeError::Keys) => {
            line.conn.write_all(&[UNHEARD]).await?;
            line.conn.shutdown().await?;
            return Err(ExchangeError::Keys);
        }
        Err(error) => return Err(error),
    };
    let (intro, ours) = handle.intro().await?;
    if theirs.id == intro.id && theirs.addr == intro.addr {
        line.write(&Frame::Same { intro }).await?;
        return Ok(()); // it found itself
    }
    meet(handle, line, theirs).await?;
    let answer = if ours == digest {
        Frame::Same { intro }
    } else {
        Frame::Differs { intro }
    };
    line.write(&answer).await?;
    let theirs = match line.read().await {
        Ok(Frame::Details { summary }) => summary,
        Ok(Frame::Refused { why }) => return Err(ExchangeError::Refused(why)),
        Ok(_) => return Err(ExchangeError::Order),
        Err(ExchangeError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Ok(()); // both had the same
        }
        Err(error) => return Err(error),
    };
    let summary = handle.summary().await?;
    let stamps: BTreeMap<Uuid, Stamp> = theirs.stamps.into_iter().collect();
    let (newer, wanted) = handle.compare(stamps).await?;
    let answer = Frame::Answer {
        summary,
        newer,
        wanted,
    };
    line.write(&answer).await?;
    let Frame::Records { records } = line.read().await? else {
        return Err(ExchangeError::Order);
    };
    handle
        .merge(Brought {
            rows: theirs.rows,
            records,
        })
        .await
}

/// Ends the exchange, and says so, if the other end must not be met.
async fn meet(handle: &Handle, line: &mut Line<'_>, theirs: Intro) -> Result<(), ExchangeError> {
    match handle.judge(theirs).await? {
        Ok(()) => Ok(()),
        Err(why) => {
            line.write(&Frame::Refused { why: why.clone() }).await?;
            line.conn.shutdown().await?;
            Err(ExchangeError::Refused(why))
        }
    }
}

/// A connection with the keys that seal what goes over it.
struct Line<'a> {
    conn: &'a mut Conn,
    keys: &'a Keyring,
}

impl<'a> Line<'a> {
    fn new(handle: &'a Handle, conn: &'a mut Conn) -> Self {
        let keys = handle.keys();
        Self { conn, keys }
    }

    /// The first frame of the other end, which may be no member at all.
    async fn first(&mut self) -> Result<Frame, ExchangeError> {
        match self.read().await {
            Err(ExchangeError::Version(version)) if version > VERSIONS_MAX => {
                Err(ExchangeError::NotMember)
            }
            Err(ExchangeError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(ExchangeError::NotMember)
            }
            Err(ExchangeError::Codec(_)) => Err(ExchangeError::NotMember),
            result => result,
        }
    }

    async fn write(&mut self, frame: &Frame) -> Result<(), ExchangeError> {
        let mut body = postcard::to_stdvec(frame)?;
        let seals = self.keys.seals();
        let length = body.len() + if seals { SEAL } else { 0 };
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        if length > FRAME_MAX {
            return Err(ExchangeError::TooLarge(length));
        }
        let mut bytes = vec![if seals { SEALED } else { VERSION }];
        bytes.extend_from_slice(&length.to_le_bytes());
        if seals {
            body = self.keys.seal(&bytes, &body).ok_or(ExchangeError::Keys)?;
        }
        bytes.extend_from_slice(&body);
        self.conn.write_all(&bytes).await?;
        Ok(self.conn.flush().await?)
    }

    async fn read(&mut self) -> Result<Frame, ExchangeError> {
        let version = self.conn.read_u8().await?;
        match (version, self.keys.seals()) {
            (VERSION, false) | (SEALED, true) => {}
            (VERSION | SEALED | UNHEARD, _) => return Err(ExchangeError::Keys),
            (other, _) => return Err(ExchangeError::Version(other)),
        }
        let length = self.conn.read_u32_le().await?;
        if length > FRAME_MAX {
            return Err(ExchangeError::TooLarge(length));
        }
        // Grows with what arrives, not with what was promised.
        let mut body = Vec::new();
        let mut limited = (&mut *self.conn).take(length.into());
        limited.read_to_end(&mut body).await?;
        if body.len() as u64 != u64::from(length) {
            return Err(ExchangeError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        if version == SEALED {
            let bound = [&[SEALED][..], &length.to_le_bytes()].concat();
            body = self.keys.open(&bound, &body).ok_or(ExchangeError::Keys)?;
        }
        Ok(postcard::from_bytes(&body)?)
    }
}
