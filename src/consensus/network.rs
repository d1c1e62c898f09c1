//! Raft between servers: requests, their answers, and how openraft sends them.
//!
//! **Owns** the shapes on the wire. **Does not** open connections: the rpc [`Pool`] does, one
//! for Raft and one for snapshots per server.
//!
//! Every request names its cluster, the cluster's recovery generation, who sends it and whom
//! it is meant for; anything that does not fit is refused by [`inbound`](super::inbound), so
//! that a stray or revived server disturbs nobody. A failure is always `Unreachable`, which openraft retries after
//! a pause: it retries `Network` errors at once, in a hot loop.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{Either, select};
use openraft::{
    OptionalSend,
    error::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::{RPCOption, RaftNetworkFactory, v2::RaftNetworkV2},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
        VoteRequest, VoteResponse,
    },
    storage::Snapshot,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    identity::SharedIdentity,
    types::{LeaderId, LogId, Peer, ServerId, TypeConfig, Vote},
    wire::{self, WireEntry, WireError, WireLogId, WireVote},
};
use crate::rpc::{CallError, ConnKind, Pool};

/// A snapshot travels in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// How long one piece of a snapshot may take.
const PIECE_LIMIT: Duration = Duration::from_secs(10);

/// How long the receiver may take to check and install a snapshot.
const INSTALL_LIMIT: Duration = Duration::from_secs(120);

/// Where a server is now, as gossip knows it; none falls back to the membership's address.
pub type AddressBook = Arc<dyn Fn(ServerId) -> Option<SocketAddr> + Send + Sync>;

/// A request with what it must fit to.
#[derive(Serialize, Deserialize)]
pub(super) struct Envelope {
    pub(super) cluster: [u8; 16],
    pub(super) generation: u64,
    pub(super) from: [u8; 16],
    pub(super) to: [u8; 16],
    pub(super) ask: Ask,
}

/// Append only: the order is the wire format.
#[derive(Serialize, Deserialize)]
pub(super) enum Ask {
    Append {
        vote: WireVote,
        prev: Option<WireLogId>,
        entries: Vec<WireEntry>,
        commit: Option<WireLogId>,
    },
    Vote(WireVoteRequest),
    PreVote(WireVoteRequest),
    Transfer {
        from: WireVote,
        to: [u8; 16],
        last: Option<WireLogId>,
    },
    /// A piece of the snapshot with this SHA-256.
    Piece {
        digest: [u8; 32],
        offset: u64,
        total: u64,
        bytes: Bytes,
    },
    /// All pieces are there: check and install it.
    Install {
        vote: WireVote,
        digest: [u8; 32],
    },
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireVoteRequest {
    pub(super) vote: WireVote,
    pub(super) last: Option<WireLogId>,
    pub(super) transfer: bool,
}

/// Append only.
#[derive(Serialize, Deserialize)]
pub(super) enum Reply {
    Appended,
    AppendedUpTo(Option<WireLogId>),
    Conflict,
    HigherVote(WireVote),
    Voted {
        vote: WireVote,
        granted: bool,
        last: Option<WireLogId>,
    },
    /// Whether the receiver goes on to campaign; why not.
    Transfer(Result<(), String>),
    /// How many bytes of the snapshot are there; the next piece starts here.
    Received(u64),
    Installed(WireVote),
    /// The request was not meant for this server, or cannot be carried out now.
    Refused(String),
}

impl Reply {
    fn name(&self) -> &'static str {
        match self {
            Self::Appended | Self::AppendedUpTo(_) | Self::Conflict | Self::HigherVote(_) => {
                "an answer to append"
            }
            Self::Voted { .. } => "an answer to a vote",
            Self::Transfer(_) => "an answer to a transfer",
            Self::Received(_) | Self::Installed(_) => "an answer to a snapshot",
            Self::Refused(_) => "a refusal",
        }
    }
}

/// Why a server could not be asked.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("`{address}` is no address of server {to}")]
    Address { to: ServerId, address: String },
    #[error("could not ask server {to}: {source}")]
    Call {
        to: ServerId,
        #[source]
        source: CallError,
    },
    #[error("could not speak with server {to}: {source}")]
    Wire {
        to: ServerId,
        #[source]
        source: WireError,
    },
    #[error("server {to} refused: {reason}")]
    Refused { to: ServerId, reason: String },
    #[error("server {to} gave {got} to another question")]
    Unexpected { to: ServerId, got: &'static str },
}

impl From<AskError> for RPCError<TypeConfig> {
    fn from(error: AskError) -> Self {
        Self::Unreachable(Unreachable::new(&error))
    }
}

impl From<AskError> for StreamingError<TypeConfig> {
    fn from(error: AskError) -> Self {
        Self::Unreachable(Unreachable::new(&error))
    }
}

/// Makes the links to other servers.
#[derive(Clone)]
pub(super) struct Links {
    pub(super) pool: Pool,
    pub(super) identity: SharedIdentity,
    pub(super) addresses: AddressBook,
    /// No append is given up before this; openraft's own limit is a heartbeat.
    pub(super) append_limit: Duration,
}

impl RaftNetworkFactory<TypeConfig> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: ServerId, node: &Peer) -> Link {
        Link {
            links: self.clone(),
            to: target,
            known: node.rpc.clone(),
        }
    }
}

/// The way to one server.
pub(super) struct Link {
    links: Links,
    to: ServerId,
    /// The address in the membership.
    known: String,
}

impl Link {
    fn address(&self) -> Result<SocketAddr, AskError> {
        if let Some(address) = (self.links.addresses)(self.to) {
            return Ok(address);
        }
        let known = &self.known;
        known.parse().map_err(|_| AskError::Address {
            to: self.to,
            address: known.clone(),
        })
    }

    /// Asks once. The address is looked up each time, so that a server may move.
    async fn ask(&self, kind: ConnKind, ask: Ask, limit: Duration) -> Result<Reply, AskError> {
        let to = self.to;
        let identity = self.links.identity.get();
        let envelope = Envelope {
            cluster: identity.cluster.into_bytes(),
            generation: identity.generation,
            from: identity.server.0.into_bytes(),
            to: to.0.into_bytes(),
            ask,
        };
        let request = wire::encode(&envelope).map_err(|source| AskError::Wire { to, source })?;
        let called = self
            .links
            .pool
            .call(self.address()?, kind, request.into(), limit)
            .await;
        let answer = called.map_err(|source| AskError::Call { to, source })?;
        match wire::decode(&answer).map_err(|source| AskError::Wire { to, source })? {
            Reply::Refused(reason) => Err(AskError::Refused { to, reason }),
            reply => Ok(reply),
        }
    }

    fn unexpected(&self, reply: &Reply) -> AskError {
        AskError::Unexpected {
            to: self.to,
            got: reply.name(),
        }
    }

    async fn ask_for_vote(
        &self,
        ask: impl FnOnce(WireVoteRequest) -> Ask,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = WireVoteRequest {
            vote: request.vote.into(),
            last: request.last_log_id.map(Into::into),
            transfer: request.leadership_transfer,
        };
        match self
            .ask(ConnKind::Raft, ask(request), option.soft_ttl())
            .await?
        {
            Reply::Voted {
                vote,
                granted,
                last,
            } => {
                let vote = Vote::from(vote);
                Ok(VoteResponse::new(vote, last.map(LogId::from), granted))
            }
            reply => Err(self.unexpected(&reply).into()),
        }
    }

    /// Sends what the other end does not have yet, then asks it to install the whole.
    async fn send_snapshot(&self, vote: Vote, file: Bytes) -> Result<Reply, AskError> {
        let digest: [u8; 32] = Sha256::digest(&file).into();
        let total = file.len() as u64;
        let mut offset = 0;
        loop {
            let start = usize::try_from(offset)
                .unwrap_or(file.len())
                .min(file.len());
            let end = file.len().min(start + PIECE_BYTES);
            let bytes = file.slice(start..end);
            let piece = Ask::Piece {
                digest,
                offset: start as u64,
                total,
                bytes,
            };
            match self.ask(ConnKind::Snapshot, piece, PIECE_LIMIT).await? {
                Reply::Received(there) if there >= total => break,
                Reply::Received(there) => offset = there,
                reply => return Err(self.unexpected(&reply)),
            }
        }
        let install = Ask::Install {
            vote: vote.into(),
            digest,
        };
        self.ask(ConnKind::Snapshot, install, INSTALL_LIMIT).await
    }
}

impl RaftNetworkV2<TypeConfig> for Link {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let ask = Ask::Append {
            vote: request.vote.into(),
            prev: request.prev_log_id.map(Into::into),
            entries: request.entries.iter().map(WireEntry::from).collect(),
            commit: request.leader_commit.map(Into::into),
        };
        let limit = option.soft_ttl().max(self.links.append_limit);
        match self.ask(ConnKind::Raft, ask, limit).await? {
            Reply::Appended => Ok(AppendEntriesResponse::Success),
            Reply::AppendedUpTo(id) => {
                Ok(AppendEntriesResponse::PartialSuccess(id.map(LogId::from)))
            }
            Reply::Conflict => Ok(AppendEntriesResponse::Conflict),
            Reply::HigherVote(vote) => Ok(AppendEntriesResponse::HigherVote(vote.into())),
            reply => Err(self.unexpected(&reply).into()),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_for_vote(Ask::Vote, request, option).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_for_vote(Ask::PreVote, request, option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<LeaderId, ServerId, Peer, Bytes>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let sending = std::pin::pin!(self.send_snapshot(vote, snapshot.snapshot));
        let cancel = std::pin::pin!(cancel);
        match select(cancel, sending).await {
            Either::Left((closed, _)) => Err(closed.into()),
            Either::Right((reply, _)) => match reply? {
                Reply::Installed(vote) => Ok(SnapshotResponse::new(vote.into())),
                reply => Err(self.unexpected(&reply).into()),
            },
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<openraft::raft::TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let ask = Ask::Transfer {
            from: (*request.from_leader()).into(),
            to: request.to_node_id().0.into_bytes(),
            last: request.last_log_id().copied().map(Into::into),
        };
        match self.ask(ConnKind::Raft, ask, option.soft_ttl()).await? {
            Reply::Transfer(Ok(())) => Ok(Ok(())),
            Reply::Transfer(Err(reason)) => Err(AskError::Refused {
                to: self.to,
                reason,
            }
            .into()),
            reply => Err(self.unexpected(&reply).into()),
        }
    }
}

/// What a caller that broke off leaves is kept for the next attempt; one snapshot at a time.
#[derive(Default)]
pub(super) struct Arriving {
    digest: [u8; 32],
    bytes: Vec<u8>,
}

impl Arriving {
    /// Takes a piece; returns how many bytes are there now.
    pub(super) fn piece(
        &mut self,
        digest: [u8; 32],
        offset: u64,
        total: u64,
        bytes: &[u8],
    ) -> io::Result<u64> {
        if self.digest != digest || self.bytes.is_empty() {
            let room = usize::try_from(total).map_err(io::Error::other)?;
            *self = Self {
                digest,
                bytes: Vec::new(),
            };
            self.bytes
                .try_reserve_exact(room)
                .map_err(io::Error::other)?;
        }
        let there = self.bytes.len() as u64;
        if offset == there && there + bytes.len() as u64 <= total {
            self.bytes.extend_from_slice(bytes);
        }
        Ok(self.bytes.len() as u64)
    }

    /// The whole snapshot, if it is what was announced.
    pub(super) fn take(&mut self, digest: [u8; 32]) -> Option<Bytes> {
        let whole = std::mem::take(self);
        let right = <[u8; 32]>::from(Sha256::digest(&whole.bytes)) == digest;
        right.then(|| whole.bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_arrives_in_pieces_and_resumes() {
        let file: Vec<u8> = (0..100).collect();
        let digest: [u8; 32] = Sha256::digest(&file).into();
        let mut arriving = Arriving::default();
        assert_eq!(arriving.piece(digest, 0, 100, &file[..40]).unwrap(), 40);
        // The sender starts over: it is told what is there.
        assert_eq!(arriving.piece(digest, 0, 100, &file[..40]).unwrap(), 40);
        assert_eq!(arriving.piece(digest, 40, 100, &file[40..]).unwrap(), 100);
        assert_eq!(arriving.take(digest).unwrap(), file);
        assert!(arriving.take(digest).is_none());

        arriving.piece(digest, 0, 100, &file[..40]).unwrap();
        assert_eq!(arriving.piece([1; 32], 0, 50, &file[..50]).unwrap(), 50);
        assert!(
            arriving.take([1; 32]).is_none(),
            "the content does not match"
        );
    }
}
