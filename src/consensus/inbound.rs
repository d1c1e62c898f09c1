//! Answers what other servers ask: checks that the request is meant for this server, then hands
//! it to openraft.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use openraft::{
    raft::{AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest},
    storage::Snapshot,
};
use uuid::Uuid;

use super::{
    identity::SharedIdentity,
    network::{Arriving, Ask, Envelope, Reply, WireVoteRequest},
    snapshot,
    types::{Entry, LogId, Raft, ServerId, TypeConfig, Vote},
    wire::{self, WireEntry, WireLogId, WireVote},
};
use crate::{
    env::Env,
    rpc::{Reject, Request, Service},
};

/// The service behind `ConnKind::Raft` and `ConnKind::Snapshot`.
pub(super) struct Inbound {
    pub(super) env: Env,
    pub(super) raft: Raft,
    pub(super) identity: SharedIdentity,
    pub(super) arriving: Mutex<Arriving>,
    /// When a leader was last heard; at first, when this server started.
    pub(super) heard: Mutex<Instant>,
}

impl Service for Inbound {
    fn handle(&self, request: Request) -> BoxFuture<'_, Result<Bytes, Reject>> {
        async move {
            let envelope: Envelope =
                wire::decode(&request.bytes).map_err(|e| Reject(e.to_string()))?;
            let reply = match self.check(&envelope).await {
                Ok(()) => self.answer(envelope.ask).await,
                Err(reason) => Err(reason),
            };
            let reply = reply.unwrap_or_else(Reply::Refused);
            let encoded = wire::encode(&reply).map_err(|e| Reject(e.to_string()))?;
            Ok(Bytes::from(encoded))
        }
        .boxed()
    }
}

impl Inbound {
    /// Refuses what is meant for another server, cluster or generation. A server that is of
    /// no cluster yet becomes one of the caller's.
    async fn check(&self, envelope: &Envelope) -> Result<(), String> {
        let ours = self.identity.get();
        let to = ServerId(Uuid::from_bytes(envelope.to));
        if to != ours.server {
            return Err(format!("this is server {}, not {to}", ours.server));
        }
        let cluster = Uuid::from_bytes(envelope.cluster);
        if cluster.is_nil() {
            return Err("the caller is of no cluster yet".to_owned());
        }
        if ours.cluster.is_nil() {
            let joined = self.identity.join(cluster, envelope.generation).await;
            return joined.map_err(|e| e.to_string());
        }
        if cluster != ours.cluster {
            return Err(format!(
                "this server is of cluster {}, not {cluster}",
                ours.cluster
            ));
        }
        if envelope.generation != ours.generation {
            let (there, here) = (envelope.generation, ours.generation);
            return Err(format!(
                "the cluster's generation is {here} here, {there} there"
            ));
        }
        Ok(())
    }

    async fn answer(&self, ask: Ask) -> Result<Reply, String> {
        match ask {
            Ask::Append {
                vote,
                prev,
                entries,
                commit,
            } => self.append(vote, prev, entries, commit).await,
            Ask::Vote(request) => {
                let voted = self.raft.vote(vote_request(request)).await;
                Ok(voted_reply(voted.map_err(|e| e.to_string())?))
            }
            Ask::PreVote(request) => {
                let voted = self.raft.pre_vote(vote_request(request)).await;
                Ok(voted_reply(voted.map_err(|e| e.to_string())?))
            }
            Ask::Transfer { from, to, last } => {
                let to = ServerId(Uuid::from_bytes(to));
                let last = last.map(LogId::from);
                let request = TransferLeaderRequest::new(from.into(), to, last);
                let answer = self.raft.handle_transfer_leader(request).await;
                let answer = answer.map_err(|e| e.to_string())?;
                Ok(Reply::Transfer(answer.map_err(|e| e.to_string())))
            }
            Ask::Piece {
                digest,
                offset,
                total,
                bytes,
            } => {
                let mut arriving = self.arriving.lock().unwrap_or_else(PoisonError::into_inner);
                let there = arriving.piece(digest, offset, total, &bytes);
                there.map(Reply::Received).map_err(|e| e.to_string())
            }
            Ask::Install { vote, digest } => self.install(vote.into(), digest).await,
        }
    }

    async fn append(
        &self,
        vote: WireVote,
        prev: Option<WireLogId>,
        entries: Vec<WireEntry>,
        commit: Option<WireLogId>,
    ) -> Result<Reply, String> {
        let entries: Result<Vec<Entry>, _> =
            entries.into_iter().map(WireEntry::into_entry).collect();
        let request = AppendEntriesRequest {
            vote: vote.into(),
            prev_log_id: prev.map(LogId::from),
            entries: entries.map_err(|e| e.to_string())?,
            leader_commit: commit.map(LogId::from),
        };
        let answer = self
            .raft
            .append_entries(request)
            .await
            .map_err(|e| e.to_string())?;
        if !matches!(answer, AppendEntriesResponse::HigherVote(_)) {
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = self.env.clock.now();
        }
        Ok(match answer {
            AppendEntriesResponse::Success => Reply::Appended,
            AppendEntriesResponse::PartialSuccess(id) => Reply::AppendedUpTo(id.map(Into::into)),
            AppendEntriesResponse::Conflict => Reply::Conflict,
            AppendEntriesResponse::HigherVote(vote) => Reply::HigherVote(vote.into()),
        })
    }

    async fn install(&self, vote: Vote, digest: [u8; 32]) -> Result<Reply, String> {
        let file = {
            let mut arriving = self.arriving.lock().unwrap_or_else(PoisonError::into_inner);
            arriving
                .take(digest)
                .ok_or("the snapshot did not arrive whole")?
        };
        let checked = file.clone();
        let decode = move || snapshot::decode(&checked);
        let decoded = self.env.heavy("raft-check-snapshot", decode).await;
        let (meta, _) = decoded
            .map_err(|e| e.to_string())?
            .map_err(|e| e.to_string())?;
        // openraft panics on a snapshot from a later leader than the one that sends it.
        if meta
            .last_log_id
            .is_some_and(|id| id.leader_id > vote.leader_id)
        {
            return Err("the snapshot is newer than its sender's term".to_owned());
        }
        let snapshot = Snapshot {
            meta,
            snapshot: file,
        };
        let installed = self.raft.install_full_snapshot(vote, snapshot).await;
        Ok(Reply::Installed(
            installed.map_err(|e| e.to_string())?.vote.into(),
        ))
    }
}

fn vote_request(request: WireVoteRequest) -> VoteRequest<TypeConfig> {
    VoteRequest {
        vote: request.vote.into(),
        last_log_id: request.last.map(LogId::from),
        leadership_transfer: request.transfer,
    }
}

fn voted_reply(response: openraft::raft::VoteResponse<TypeConfig>) -> Reply {
    Reply::Voted {
        vote: response.vote.into(),
        granted: response.vote_granted,
        last: response.last_log_id.map(Into::into),
    }
}
