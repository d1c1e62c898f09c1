//! Why something could not be agreed on. One enum an operation, and the one place that reads
//! openraft's errors.

use std::{io, path::PathBuf, time::Duration};

use openraft::error::{
    ClientWriteError, Fatal, ForwardReason, ForwardToLeader, InitializeError,
    LinearizableReadError, RaftError,
};

use super::{
    identity::IdentityError,
    log::LogError,
    types::{Peer, ServerId, TypeConfig},
};

/// Where the leader is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    pub id: ServerId,
    /// Its rpc address.
    pub rpc: String,
}

/// Why consensus did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("could not {what} the Raft directory `{}`", .dir.display())]
    Dir {
        what: &'static str,
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the Raft directory `{}` is used by another process", .dir.display())]
    InUse { dir: PathBuf },
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the timers contradict each other: {0}")]
    Timers(String),
    #[error("could not recover the Raft state: {0}")]
    Recover(String),
}

/// Why a command was not, or perhaps not, applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Not applied; the leader can be asked.
    #[error("this server is not the leader")]
    NotLeader { hint: Option<Leader> },
    /// Leadership was lost while the command was under way: it may be applied or not. Repeat it
    /// only under the same request id.
    #[error("leadership was lost; whether the command was applied is unknown")]
    Unknown,
    #[error("a command of {bytes} bytes is too large: {max} are allowed")]
    TooLarge { bytes: usize, max: usize },
    #[error("the command cannot be encoded: {0}")]
    Encode(String),
    /// The disk failed. This server takes no further part; the command may have reached others.
    #[error("the Raft log of this server has failed: {0}")]
    Storage(String),
    #[error("consensus is shut down")]
    Stopped,
}

/// Why a read could not be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("this server is not the leader")]
    NotLeader { hint: Option<Leader> },
    #[error("a majority of servers did not answer")]
    NoQuorum,
    #[error("the Raft log of this server has failed: {0}")]
    Storage(String),
    #[error("consensus is shut down")]
    Stopped,
}

/// Why the members did not change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    #[error("this server is not the leader")]
    NotLeader { hint: Option<Leader> },
    #[error("the cluster has members already")]
    Initialized,
    #[error("the change is not possible now: {0}")]
    Refused(String),
    #[error("leadership was lost; whether the change was made is unknown")]
    Unknown,
    #[error("the Raft log of this server has failed: {0}")]
    Storage(String),
    #[error("consensus is shut down")]
    Stopped,
}

/// Why leadership was not handed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    #[error("this server is not the leader")]
    NotLeader,
    #[error("there is no other voter to hand leadership to")]
    NoOther,
    #[error("server {0} is no voter")]
    NoVoter(ServerId),
    #[error("the other server did not take over within {0:?}")]
    TimedOut(Duration),
    #[error("consensus is shut down")]
    Stopped,
}

fn hint(forward: ForwardToLeader<TypeConfig>) -> Option<Leader> {
    let node: Option<Peer> = forward.leader_node;
    forward
        .leader_id
        .zip(node)
        .map(|(id, peer)| Leader { id, rpc: peer.rpc })
}

/// What became of a write inside openraft.
pub(super) enum WriteFailure {
    /// It was not taken because this leader has not heard from a quorum yet or lately: for a
    /// few milliseconds after each election this is the normal answer.
    Lease,
    Other(ProposeError),
}

impl From<ClientWriteError<TypeConfig>> for WriteFailure {
    fn from(error: ClientWriteError<TypeConfig>) -> Self {
        match error {
            ClientWriteError::ForwardToLeader(forward) => match forward.reason {
                ForwardReason::LeaseExpired => Self::Lease,
                _ => Self::Other(ProposeError::NotLeader {
                    hint: hint(forward),
                }),
            },
            ClientWriteError::LogEntryDiscarded(_) => Self::Other(ProposeError::Unknown),
            // Only changes of the membership are refused for these.
            other @ (ClientWriteError::ChangeMembershipError(_)
            | ClientWriteError::PreconditionFailed(_)) => {
                Self::Other(ProposeError::Encode(other.to_string()))
            }
        }
    }
}

impl From<Fatal<TypeConfig>> for WriteFailure {
    fn from(fatal: Fatal<TypeConfig>) -> Self {
        Self::Other(match fatal {
            Fatal::StorageError(e) => ProposeError::Storage(e.to_string()),
            Fatal::Panicked => ProposeError::Storage("the core of Raft panicked".to_owned()),
            Fatal::Stopped => ProposeError::Stopped,
        })
    }
}

impl From<RaftError<TypeConfig, ClientWriteError<TypeConfig>>> for WriteFailure {
    fn from(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> Self {
        match error {
            RaftError::APIError(e) => e.into(),
            RaftError::Fatal(fatal) => fatal.into(),
        }
    }
}

impl From<RaftError<TypeConfig, LinearizableReadError<TypeConfig>>> for ReadError {
    fn from(error: RaftError<TypeConfig, LinearizableReadError<TypeConfig>>) -> Self {
        match error {
            RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
                Self::NotLeader {
                    hint: hint(forward),
                }
            }
            RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => Self::NoQuorum,
            RaftError::Fatal(Fatal::Stopped) => Self::Stopped,
            RaftError::Fatal(fatal) => Self::Storage(fatal.to_string()),
        }
    }
}

impl From<RaftError<TypeConfig, ClientWriteError<TypeConfig>>> for MembershipError {
    fn from(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> Self {
        match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => Self::NotLeader {
                hint: hint(forward),
            },
            RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => Self::Unknown,
            RaftError::APIError(other) => Self::Refused(other.to_string()),
            RaftError::Fatal(Fatal::Stopped) => Self::Stopped,
            RaftError::Fatal(fatal) => Self::Storage(fatal.to_string()),
        }
    }
}

impl From<RaftError<TypeConfig, InitializeError<TypeConfig>>> for MembershipError {
    fn from(error: RaftError<TypeConfig, InitializeError<TypeConfig>>) -> Self {
        match error {
            RaftError::APIError(InitializeError::NotAllowed(_)) => Self::Initialized,
            RaftError::APIError(e @ InitializeError::NotInMembers(_)) => {
                Self::Refused(e.to_string())
            }
            RaftError::Fatal(Fatal::Stopped) => Self::Stopped,
            RaftError::Fatal(fatal) => Self::Storage(fatal.to_string()),
        }
    }
}
