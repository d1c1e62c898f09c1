//! What the server needs of the replicated log, and nothing about how it is agreed.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::model::Index;
use crate::rpc::api::{ApiError, RaftView};
use crate::state::{Applied, Command, Store};

/// The replicated log and this server's copy of the state.
pub trait Replicated: Send + Sync {
    /// Commits a command and applies it here. Only the leader can.
    fn propose(&self, command: Command) -> BoxFuture<'_, Result<Applied, ProposeError>>;
    /// Waits until the state here holds everything that was acknowledged before the call.
    fn read_barrier(&self) -> BoxFuture<'_, Result<Index, ProposeError>>;
    /// This server's copy.
    fn store(&self) -> &Store;
    /// Who leads now.
    fn leadership(&self) -> Leadership;
    /// Waits until that is no longer `known`; for ever once the log has stopped.
    fn leadership_changed(&self, known: Leadership) -> BoxFuture<'_, ()>;
    /// How long ago this server heard from the leader; zero at the leader.
    fn last_contact(&self) -> Duration;
    /// The group as this server sees it.
    fn view(&self) -> RaftView;
}

/// Who leads, as this server knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    pub term: u64,
    /// Whether it is this server.
    pub here: bool,
    /// The leader's rpc address.
    pub leader: Option<SocketAddr>,
}

/// Why a command was not committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nothing was done: another server leads.
    #[error("this server does not lead")]
    NotLeader { leader: Option<SocketAddr> },
    /// It may or may not be committed yet.
    #[error("leadership was lost before the command was committed")]
    Lost,
    /// Nothing was done: a majority of servers did not answer.
    #[error("a majority of servers did not answer")]
    NoQuorum,
    /// Nothing was done: the command cannot be stored.
    #[error("the command was not taken: {0}")]
    Unfit(String),
    /// This server's log or state stopped.
    #[error("the log stopped: {0}")]
    Stopped(String),
}

impl From<ProposeError> for ApiError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { leader } => Self::NotLeader { hint: leader },
            ProposeError::Lost => Self::Unknown(error.to_string()),
            ProposeError::NoQuorum => Self::NoLeader,
            ProposeError::Unfit(_) => Self::Refused(error.to_string()),
            ProposeError::Stopped(_) => Self::Unavailable(error.to_string()),
        }
    }
}
