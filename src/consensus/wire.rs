//! Our own shapes of openraft's values, for disk and wire: postcard behind one version byte.
//!
//! openraft's own serde shapes change between its releases, so none of them is ever written.
//! A new version of a shape gets a new number here, and the old number goes on decoding.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::types::{
    Entry, LeaderId, LogId, Membership, Payload, Peer, Proposal, ServerId, StoredMembership, Vote,
};

/// The version written today.
const VERSION: u8 = 1;

/// Why bytes are no value of ours.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("nothing to decode")]
    Empty,
    #[error("version {0} is not known here (newest known: {VERSION})")]
    Version(u8),
    #[error("the content has the wrong shape")]
    Shape(#[from] postcard::Error),
    #[error("the membership contradicts itself: {0}")]
    Membership(String),
}

/// Writes the version byte and `value` at the end of `out`.
pub(super) fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), WireError> {
    out.push(VERSION);
    let taken = std::mem::take(out);
    *out = postcard::to_extend(value, taken)?;
    Ok(())
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::new();
    encode_into(value, &mut out)?;
    Ok(out)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    let (version, rest) = bytes.split_first().ok_or(WireError::Empty)?;
    if *version != VERSION {
        return Err(WireError::Version(*version));
    }
    Ok(postcard::from_bytes(rest)?)
}

/// (term, server)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WireLeader {
    term: u64,
    server: [u8; 16],
}

impl From<LeaderId> for WireLeader {
    fn from(leader: LeaderId) -> Self {
        Self {
            term: leader.term,
            server: leader.node_id.0.into_bytes(),
        }
    }
}

impl From<WireLeader> for LeaderId {
    fn from(leader: WireLeader) -> Self {
        Self {
            term: leader.term,
            node_id: ServerId(Uuid::from_bytes(leader.server)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WireLogId {
    leader: WireLeader,
    index: u64,
}

impl From<LogId> for WireLogId {
    fn from(id: LogId) -> Self {
        Self {
            leader: id.leader_id.into(),
            index: id.index,
        }
    }
}

impl From<WireLogId> for LogId {
    fn from(id: WireLogId) -> Self {
        Self {
            leader_id: id.leader.into(),
            index: id.index,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WireVote {
    leader: WireLeader,
    committed: bool,
}

impl From<Vote> for WireVote {
    fn from(vote: Vote) -> Self {
        Self {
            leader: vote.leader_id.into(),
            committed: vote.committed,
        }
    }
}

impl From<WireVote> for Vote {
    fn from(vote: WireVote) -> Self {
        Self {
            leader_id: vote.leader.into(),
            committed: vote.committed,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WireMembership {
    configs: Vec<Vec<[u8; 16]>>,
    nodes: Vec<([u8; 16], Peer)>,
}

impl From<&Membership> for WireMembership {
    fn from(membership: &Membership) -> Self {
        let bytes = |id: &ServerId| id.0.into_bytes();
        let configs = membership.get_joint_config().iter();
        Self {
            configs: configs
                .map(|config| config.iter().map(bytes).collect())
                .collect(),
            nodes: membership
                .nodes()
                .map(|(id, peer)| (bytes(id), peer.clone()))
                .collect(),
        }
    }
}

impl TryFrom<WireMembership> for Membership {
    type Error = WireError;

    fn try_from(wire: WireMembership) -> Result<Self, WireError> {
        let id = |bytes| ServerId(Uuid::from_bytes(bytes));
        let config = |ids: Vec<[u8; 16]>| ids.into_iter().map(id).collect::<BTreeSet<_>>();
        let configs: Vec<_> = wire.configs.into_iter().map(config).collect();
        let nodes: BTreeMap<_, _> = wire
            .nodes
            .into_iter()
            .map(|(b, peer)| (id(b), peer))
            .collect();
        if configs.is_empty() && nodes.is_empty() {
            return Ok(Self::default());
        }
        Self::new(configs, nodes).map_err(|e| WireError::Membership(e.to_string()))
    }
}

/// The membership that a snapshot ends with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WireStoredMembership {
    at: Option<WireLogId>,
    membership: WireMembership,
}

impl From<&StoredMembership> for WireStoredMembership {
    fn from(stored: &StoredMembership) -> Self {
        Self {
            at: stored.log_id().as_ref().copied().map(Into::into),
            membership: stored.membership().into(),
        }
    }
}

impl TryFrom<WireStoredMembership> for StoredMembership {
    type Error = WireError;

    fn try_from(wire: WireStoredMembership) -> Result<Self, WireError> {
        Ok(Self::new(
            wire.at.map(Into::into),
            wire.membership.try_into()?,
        ))
    }
}

#[derive(Serialize, Deserialize)]
enum WirePayload {
    Blank,
    Command(Bytes),
    Membership(WireMembership),
}

/// One log entry, alike on disk and on the wire.
#[derive(Serialize, Deserialize)]
pub(super) struct WireEntry {
    id: WireLogId,
    payload: WirePayload,
}

impl From<&Entry> for WireEntry {
    fn from(entry: &Entry) -> Self {
        let payload = match &entry.payload {
            Payload::Blank => WirePayload::Blank,
            Payload::Normal(proposal) => WirePayload::Command(proposal.bytes().clone()),
            Payload::Membership(membership) => WirePayload::Membership(membership.into()),
        };
        Self {
            id: entry.log_id.into(),
            payload,
        }
    }
}

impl WireEntry {
    pub(super) fn into_entry(self) -> Result<Entry, WireError> {
        let payload = match self.payload {
            WirePayload::Blank => Payload::Blank,
            WirePayload::Command(bytes) => Payload::Normal(Proposal::try_from(bytes)?),
            WirePayload::Membership(membership) => Payload::Membership(membership.try_into()?),
        };
        Ok(Entry {
            log_id: self.id.into(),
            payload,
        })
    }
}

/// What an entry takes on the wire, at most, without encoding it.
pub(super) fn entry_bytes_max(entry: &Entry) -> usize {
    match &entry.payload {
        Payload::Blank => 64,
        Payload::Normal(proposal) => 64 + proposal.bytes().len(),
        Payload::Membership(membership) => {
            let names = membership
                .nodes()
                .map(|(_, p)| p.name.len() + p.rpc.len() + p.build.len());
            64 + names.map(|n| n + 64).sum::<usize>() * 2
        }
    }
}
