//! What is agreed: Raft, behind one handle.
//!
//! **Owns** the Raft directory (log, snapshots, identity), openraft, and the traffic between
//! servers. **Does not** know what commands mean, nor who should be a member: `server` decides
//! both.
//!
//! In: commands ([`Consensus::propose`]), other servers' requests ([`Consensus::service`]). Out:
//! the state of [`Config::store`], [`Leadership`] and [`Progress`] as watches.
//!
//! Tasks: the log's writer ([`log`]), three duties ([`duties`]), and openraft's own. All end with
//! [`Consensus::shutdown`], after which the directory may be opened again.
//!
//! Invariants, each with a test:
//! - R1: nothing is acknowledged before it is synced here and on a majority.
//! - R2: a torn tail of the log is cut, damage is refused; neither loses an acknowledged write.
//! - R3: leadership is never resumed without an election (see `raft_config`).
//! - R4: a server answers only requests meant for it, its cluster and its generation.

mod duties;
mod error;
mod identity;
mod inbound;
mod log;
mod machine;
mod network;
mod snapshot;
mod start;
#[cfg(test)]
mod tests;
mod timing;
mod types;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use openraft::{ChangeMembers, ReadPolicy, ServerState, async_runtime::WatchReceiver};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    env::{Env, TaskGroup, disk::DiskLock, timeout},
    rpc::Service,
    state::{Applied, Command, Snapshot, Store},
};
use error::WriteFailure;
use identity::SharedIdentity;
use inbound::Inbound;
use log::{LogStore, LogWriter};
use types::{Proposal, Raft, TypeConfig};

pub use duties::Leadership;
pub use error::{Leader, MembershipError, ProposeError, ReadError, StartError, TransferError};
pub use identity::IdentityError;
pub use log::{LogConfig, LogError};
pub use machine::Progress;
pub use network::AddressBook;
pub use start::{Config, SnapshotRule};
pub use timing::Timers;
pub use types::{Peer, ServerId};

/// The largest command. Requests between servers hold at most 4 MiB.
pub const COMMAND_BYTES_MAX: usize = 2 << 20;

/// How long a new leader may be without its quorum's first answer before a proposal is refused.
const LEASE_PATIENCE: Duration = Duration::from_millis(500);

/// The agreement of the servers. Cloning shares it.
#[derive(Clone)]
pub struct Consensus {
    inner: Arc<Inner>,
}

struct Inner {
    env: Env,
    me: Peer,
    raft: Raft,
    store: Store,
    identity: SharedIdentity,
    addresses: AddressBook,
    log: LogStore,
    writer: Mutex<Option<LogWriter>>,
    lock: Mutex<Option<DiskLock>>,
    progress: watch::Receiver<Progress>,
    leadership: watch::Sender<Leadership>,
    inbound: Arc<Inbound>,
    duties: TaskGroup,
    timers: Timers,
}

impl Inner {
    /// A server's rpc address: our own, gossip's, or what the membership remembers.
    fn rpc_of(&self, id: ServerId, metrics: &openraft::RaftMetrics<TypeConfig>) -> String {
        if id == self.identity.get().server {
            return self.me.rpc.clone();
        }
        if let Some(address) = (self.addresses)(id) {
            return address.to_string();
        }
        let known = metrics.membership_config.membership().get_node(&id);
        known.map(|peer| peer.rpc.clone()).unwrap_or_default()
    }
}

/// One server of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: ServerId,
    pub name: String,
    pub rpc: String,
    pub voter: bool,
    pub leader: bool,
}

/// What a server is in Raft at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Learner,
    Follower,
    Candidate,
    Leader,
    Stopped,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Learner => "NonVoter",
            Self::Follower => "Follower",
            Self::Candidate => "Candidate",
            Self::Leader => "Leader",
            Self::Stopped => "Shutdown",
        }
    }
}

/// Where this server stands in Raft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub id: ServerId,
    /// Nil before the server is of a cluster.
    pub cluster: Uuid,
    pub role: Role,
    pub term: u64,
    pub last_log_index: u64,
    pub last_log_term: u64,
    pub commit_index: u64,
    pub applied_index: u64,
    pub last_snapshot_index: u64,
    pub last_snapshot_term: u64,
    pub members: Vec<Member>,
    /// The index of the newest change of members.
    pub members_index: u64,
    pub timers: Timers,
}

impl Consensus {
    /// This server's id, for the life of its Raft directory.
    pub fn id(&self) -> ServerId {
        self.inner.identity.get().server
    }

    /// The cluster's id; nil until there is one.
    pub fn cluster_id(&self) -> Uuid {
        self.inner.identity.get().cluster
    }

    /// Answers other servers; serve it for `ConnKind::Raft` and `ConnKind::Snapshot`.
    pub fn service(&self) -> Arc<dyn Service> {
        self.inner.inbound.clone()
    }

    /// Commits and applies one command.
    ///
    /// Returns when it is applied on this server, so that a read here sees it. Not safe to
    /// cancel: a dropped proposal may still be applied.
    pub async fn propose(&self, command: Command) -> Result<Applied, ProposeError> {
        let proposal = self.proposal(command)?;
        let (clock, metrics) = (&self.inner.env.clock, &self.inner.env.metrics);
        let start = clock.now();
        let patience_ends = start + LEASE_PATIENCE;
        let mut pause = Duration::from_millis(2);
        loop {
            let written = self.inner.raft.client_write(proposal.clone()).await;
            match written.map_err(WriteFailure::from) {
                Ok(written) => {
                    metrics.since("tumen.raft.commit", &[], start);
                    return written.data.ok_or(ProposeError::Unknown);
                }
                Err(WriteFailure::Other(error)) => return Err(self.explain(error)),
                Err(WriteFailure::Lease) if clock.now() >= patience_ends => {
                    return Err(ProposeError::NotLeader { hint: None });
                }
                Err(WriteFailure::Lease) => {
                    clock.sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_millis(100));
                }
            }
        }
    }

    /// Commits several commands, in order and in few batches; each has a result of its own.
    pub async fn propose_many(&self, commands: Vec<Command>) -> Vec<Result<Applied, ProposeError>> {
        let encoded: Vec<_> = commands.into_iter().map(|c| self.proposal(c)).collect();
        let proposals: Vec<Proposal> = encoded
            .iter()
            .filter_map(|p| p.as_ref().ok().cloned())
            .collect();
        let mut answers = match self.inner.raft.client_write_many(proposals).await {
            Ok(stream) => stream,
            Err(fatal) => futures_util::stream::repeat_with(move || Err(fatal.clone())).boxed(),
        };
        let mut results = Vec::with_capacity(encoded.len());
        for proposal in encoded {
            let result = match proposal {
                Err(error) => Err(error),
                Ok(_) => match answers.next().await {
                    Some(Ok(Ok(written))) => written.response.ok_or(ProposeError::Unknown),
                    Some(Ok(Err(error))) => Err(self.write_failed(error.into())),
                    Some(Err(fatal)) => Err(self.write_failed(fatal.into())),
                    None => Err(ProposeError::Unknown),
                },
            };
            results.push(result);
        }
        results
    }

    fn proposal(&self, command: Command) -> Result<Proposal, ProposeError> {
        let proposal = Proposal::new(command).map_err(|e| ProposeError::Encode(e.to_string()))?;
        let (bytes, max) = (proposal.bytes().len(), COMMAND_BYTES_MAX);
        if bytes > max {
            return Err(ProposeError::TooLarge { bytes, max });
        }
        Ok(proposal)
    }

    fn write_failed(&self, failure: WriteFailure) -> ProposeError {
        match failure {
            WriteFailure::Lease => ProposeError::NotLeader { hint: None },
            WriteFailure::Other(error) => self.explain(error),
        }
    }

    /// A core that stopped because the disk failed says only that it stopped.
    fn explain(&self, error: ProposeError) -> ProposeError {
        match (error, &*self.inner.log.failure().borrow()) {
            (ProposeError::Stopped, Some(cause)) => ProposeError::Storage(cause.to_string()),
            (ProposeError::NotLeader { hint: Some(hint) }, _) => {
                let metrics = self.inner.raft.metrics();
                let rpc = self.inner.rpc_of(hint.id, &metrics.borrow_watched());
                ProposeError::NotLeader {
                    hint: Some(Leader { rpc, ..hint }),
                }
            }
            (error, _) => error,
        }
    }

    /// Confirms that this server leads and returns an index that is applied here and covers
    /// every write that was acknowledged before the call.
    pub async fn read_barrier(&self) -> Result<u64, ReadError> {
        let read = self
            .inner
            .raft
            .ensure_linearizable(ReadPolicy::ReadIndex)
            .await;
        let read =
            read.map_err(
                |error| match (error.into(), &*self.inner.log.failure().borrow()) {
                    (ReadError::Stopped, Some(cause)) => ReadError::Storage(cause.to_string()),
                    (error, _) => error,
                },
            )?;
        Ok(read.index())
    }

    /// Who leads; changes with every term and leader.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.subscribe()
    }

    /// How long ago this server heard from the leader; zero at the leader.
    pub fn last_contact(&self) -> Duration {
        if self.inner.leadership.borrow().is_me {
            return Duration::ZERO;
        }
        let heard = self.inner.inbound.heard.lock();
        let heard = *heard.unwrap_or_else(PoisonError::into_inner);
        self.inner.env.clock.now().saturating_duration_since(heard)
    }

    /// How far this server has applied the log.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.inner.progress.clone()
    }

    /// The newest state on this server, at or after the published progress.
    pub fn snapshot(&self) -> Snapshot {
        self.inner.store.snapshot()
    }

    /// Waits until this server has applied `index`. False: consensus ended first.
    pub async fn wait_applied(&self, index: u64) -> bool {
        let mut progress = self.progress();
        progress
            .wait_for(|progress| progress.applied >= index)
            .await
            .is_ok()
    }

    /// Becomes `Some` when the disk has failed: this server then takes no further part, and its
    /// process should end.
    pub fn failure(&self) -> watch::Receiver<Option<Arc<io::Error>>> {
        self.inner.log.failure()
    }

    /// The members as the newest configuration has them, committed or not.
    pub fn members(&self) -> Vec<Member> {
        self.status().members
    }

    /// Where this server stands.
    pub fn status(&self) -> Status {
        let watched = self.inner.raft.metrics();
        let metrics = watched.borrow_watched().clone();
        let identity = self.inner.identity.get();
        let role = match metrics.state {
            _ if metrics.running_state.is_err() => Role::Stopped,
            ServerState::Learner => Role::Learner,
            ServerState::Follower => Role::Follower,
            ServerState::Candidate => Role::Candidate,
            ServerState::Leader => Role::Leader,
            ServerState::Shutdown => Role::Stopped,
        };
        let (_, last) = self.inner.log.bounds();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<ServerId> = membership.voter_ids().collect();
        let member = |(id, peer): (&ServerId, &Peer)| Member {
            id: *id,
            name: peer.name.clone(),
            rpc: self.inner.rpc_of(*id, &metrics),
            voter: voters.contains(id),
            leader: metrics.current_leader == Some(*id),
        };
        Status {
            id: identity.server,
            cluster: identity.cluster,
            role,
            term: metrics.current_term,
            last_log_index: last.map_or(0, |id| id.index),
            last_log_term: last.map_or(0, |id| id.leader_id.term),
            commit_index: metrics.local_committed.map_or(0, |id| id.index),
            applied_index: self.inner.progress.borrow().applied,
            last_snapshot_index: metrics.snapshot.map_or(0, |id| id.index),
            last_snapshot_term: metrics.snapshot.map_or(0, |id| id.leader_id.term),
            members: membership.nodes().map(member).collect(),
            members_index: metrics.membership_config.log_id().map_or(0, |id| id.index),
            timers: self.inner.timers,
        }
    }

    /// Makes a cluster of exactly these voters. Only one server may do this, once, after all of
    /// them have agreed.
    pub async fn initialize(
        &self,
        voters: BTreeMap<ServerId, Peer>,
    ) -> Result<(), MembershipError> {
        Ok(self.inner.raft.initialize(voters).await?)
    }

    /// Adds a server that receives the log but does not vote.
    pub async fn add_learner(&self, id: ServerId, peer: Peer) -> Result<(), MembershipError> {
        self.inner.raft.add_learner(id, peer, false).await?;
        Ok(())
    }

    /// Makes learners voters.
    pub async fn promote(&self, ids: BTreeSet<ServerId>) -> Result<(), MembershipError> {
        self.inner
            .raft
            .change_membership(ChangeMembers::AddVoterIds(ids), false)
            .await?;
        Ok(())
    }

    /// Removes servers, voters or not.
    pub async fn remove(&self, id: ServerId) -> Result<(), MembershipError> {
        let members = self.members();
        let voter = members.iter().any(|member| member.id == id && member.voter);
        let ids = BTreeSet::from([id]);
        let change = if voter {
            ChangeMembers::RemoveVoters(ids)
        } else {
            ChangeMembers::RemoveNodes(ids)
        };
        self.inner.raft.change_membership(change, false).await?;
        Ok(())
    }

    /// Hands leadership to `to`, or to any other voter, and waits until this server no longer
    /// leads.
    pub async fn transfer_leadership(&self, to: Option<ServerId>) -> Result<(), TransferError> {
        let limit = self.inner.timers.election_max * 2;
        let me = self.id();
        if !self.leadership().borrow().is_me {
            return Err(TransferError::NotLeader);
        }
        let voters: Vec<ServerId> = self.inner.raft.voter_ids().filter(|id| *id != me).collect();
        let target = match to {
            Some(id) if voters.contains(&id) => id,
            Some(id) => return Err(TransferError::NoVoter(id)),
            None => self.most_advanced(&voters).ok_or(TransferError::NoOther)?,
        };
        let asked = self.inner.raft.trigger().transfer_leader(target).await;
        asked.map_err(|_| TransferError::Stopped)?;
        let mut leadership = self.leadership();
        let moved = leadership.wait_for(|l| !l.is_me && l.leader.is_some());
        match timeout(&*self.inner.env.clock, limit, moved).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(TransferError::Stopped),
            Err(_) => Err(TransferError::TimedOut(limit)),
        }
    }

    fn most_advanced(&self, voters: &[ServerId]) -> Option<ServerId> {
        let watched = self.inner.raft.metrics();
        let metrics = watched.borrow_watched();
        let replication = metrics.replication.as_ref();
        let matched = |id: &ServerId| replication.and_then(|r| r.get(id).copied().flatten());
        voters.iter().copied().max_by_key(matched)
    }

    /// Asks for a snapshot now, whatever the rule says.
    pub async fn take_snapshot(&self) -> Result<(), ReadError> {
        let asked = self.inner.raft.trigger().snapshot().await;
        asked.map_err(|_| ReadError::Stopped)
    }

    /// Ends everything and waits for it; the directory is free on return. Calling it again does
    /// nothing.
    ///
    /// # Errors
    /// When the log had failed, or its last writes fail.
    pub async fn shutdown(&self) -> io::Result<()> {
        self.inner.duties.shutdown().await;
        if self.inner.raft.shutdown().await.is_err() {
            tracing::warn!(target: "raft", "the core of Raft had panicked");
        }
        let writer = self
            .inner
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let closed = match writer {
            Some(writer) => writer.close().await,
            None => Ok(()),
        };
        drop(
            self.inner
                .lock
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        closed
    }
}
