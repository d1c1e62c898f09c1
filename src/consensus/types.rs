//! What openraft is told about our world, and nothing else about it.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use openraft_rt::deterministic_rng::DeterministicRng;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::state::{Applied, Command};

/// One server, for the life of its Raft directory. A wiped directory is a new server.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServerId(pub Uuid);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The storage suite of openraft counts its servers.
#[cfg(test)]
impl From<u64> for ServerId {
    fn from(n: u64) -> Self {
        Self(Uuid::from_u128(n.into()))
    }
}

/// What the membership remembers of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub name: String,
    /// Where its rpc port was when it joined; gossip knows better.
    pub rpc: String,
    pub build: String,
}

/// A command with its bytes: encoded once, where it is proposed, for every disk and every wire.
#[derive(Clone)]
pub(super) struct Proposal(Arc<(Command, Bytes)>);

impl Proposal {
    pub(super) fn new(command: Command) -> Result<Self, postcard::Error> {
        let bytes = Bytes::from(postcard::to_stdvec(&command)?);
        Ok(Self(Arc::new((command, bytes))))
    }

    pub(super) fn command(&self) -> &Command {
        &self.0.0
    }

    pub(super) fn bytes(&self) -> &Bytes {
        &self.0.1
    }
}

impl TryFrom<Bytes> for Proposal {
    type Error = postcard::Error;

    fn try_from(bytes: Bytes) -> Result<Self, postcard::Error> {
        let command = postcard::from_bytes(&bytes)?;
        Ok(Self(Arc::new((command, bytes))))
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command of {} bytes", self.bytes().len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What applying an entry answers: nothing for entries that carry no command.
pub(super) type Response = Option<Applied>;

/// openraft's runtime. Its random numbers (election timeouts) follow one number that is drawn
/// when a server starts, so that they come from [`Entropy`](crate::env::Entropy) like all others.
pub(super) type Runtime = DeterministicRng<openraft_rt_tokio::TokioRuntime>;

mod config {
    use super::{Peer, Proposal, Response, Runtime, ServerId};

    openraft::declare_raft_types!(
        pub(in crate::consensus) TypeConfig:
            D = Proposal,
            R = Response,
            NodeId = ServerId,
            Node = Peer,
            AsyncRuntime = Runtime,
    );
}

pub(super) use config::TypeConfig;

pub(super) type LeaderId = openraft::alias::LeaderIdOf<TypeConfig>;
pub(super) type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub(super) type Vote = openraft::alias::VoteOf<TypeConfig>;
pub(super) type Entry = openraft::alias::EntryOf<TypeConfig>;
pub(super) type Payload = openraft::alias::PayloadOf<TypeConfig>;
pub(super) type Membership = openraft::Membership<ServerId, Peer>;
pub(super) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub(super) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub(super) type Raft = openraft::Raft<TypeConfig, super::machine::Machine>;
