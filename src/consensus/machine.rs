//! The state machine as openraft sees it: the replicated state, and its snapshots on disk.
//!
//! **Owns** what was applied last and the membership that came with it. **Does not** judge
//! commands: that is [`state`](crate::state).
//!
//! The state is in memory; on disk are snapshots and the log. At start openraft installs the
//! newest snapshot and applies the committed entries after it.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::{
    OptionalSend, RaftSnapshotBuilder,
    storage::{EntryResponder, RaftStateMachine, Snapshot},
};
use tokio::sync::watch;

use super::{
    snapshot::{self, SnapshotFiles},
    types::{LeaderId, LogId, Payload, Peer, ServerId, SnapshotMeta, StoredMembership, TypeConfig},
};
use crate::state::{Snapshot as StateSnapshot, State, Store};

type RaftSnapshot = Snapshot<LeaderId, ServerId, Peer, Bytes>;

/// How far the state is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last applied index.
    pub applied: u64,
    /// The index that the newest snapshot covers.
    pub snapshot: u64,
}

pub(super) struct Machine {
    store: Store,
    files: SnapshotFiles,
    progress: watch::Sender<Progress>,
    last: Option<LogId>,
    membership: StoredMembership,
}

impl Machine {
    pub(super) fn new(
        store: Store,
        files: SnapshotFiles,
        progress: watch::Sender<Progress>,
    ) -> Self {
        Self {
            store,
            files,
            progress,
            last: None,
            membership: StoredMembership::default(),
        }
    }

    fn publish(&self, snapshot: Option<u64>) {
        let applied = self.last.map_or(0, |id| id.index);
        self.progress.send_modify(|progress| {
            progress.applied = applied;
            progress.snapshot = snapshot.unwrap_or(progress.snapshot);
        });
    }

    /// Installs a file whose state may be anything that passes its checksums.
    async fn install(&mut self, file: Bytes) -> io::Result<()> {
        let checked = file.clone();
        let decode = move || -> io::Result<(SnapshotMeta, State)> {
            let (meta, dump) = snapshot::decode(&checked).map_err(invalid)?;
            Ok((meta, State::restore(&dump).map_err(invalid)?))
        };
        let (meta, state) = self
            .files
            .env
            .heavy("raft-restore", decode)
            .await
            .map_err(io::Error::other)??;
        self.files.save(meta.last_log_id, file).await?;
        self.store.install(state);
        self.last = meta.last_log_id;
        self.membership = meta.last_membership;
        self.publish(self.last.map(|id| id.index));
        Ok(())
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut answers = Vec::new();
        let mut result = Ok(());
        while let Some(item) = entries.next().await {
            let (entry, responder) = match item {
                Ok(item) => item,
                Err(e) => {
                    result = Err(e);
                    break;
                }
            };
            self.last = Some(entry.log_id);
            let response = match entry.payload {
                Payload::Blank => None,
                Payload::Normal(proposal) => {
                    Some(self.store.apply(entry.log_id.index, proposal.command()))
                }
                Payload::Membership(membership) => {
                    self.membership = StoredMembership::new(self.last, membership);
                    None
                }
            };
            answers.extend(responder.map(|responder| (responder, response)));
        }
        // Published before anyone is answered: who writes and then reads, sees what it wrote.
        self.publish(None);
        for (responder, response) in answers {
            responder.send(response);
        }
        result
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            meta: SnapshotMeta {
                last_log_id: self.last,
                last_membership: self.membership.clone(),
            },
            state: self.store.snapshot(),
            files: self.files.clone(),
            progress: self.progress.clone(),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, file: Bytes) -> io::Result<()> {
        self.install(file).await?;
        if meta.last_log_id != self.last {
            return Err(io::Error::other(
                "a snapshot is not what it was announced as",
            ));
        }
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<RaftSnapshot>> {
        let newest = self.files.newest().await?;
        Ok(newest.map(|(meta, snapshot)| Snapshot { meta, snapshot }))
    }
}

/// Writes the state of one moment into a file, beside everything else.
pub(super) struct Builder {
    meta: SnapshotMeta,
    state: StateSnapshot,
    files: SnapshotFiles,
    progress: watch::Sender<Progress>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> io::Result<RaftSnapshot> {
        let (meta, state) = (self.meta.clone(), self.state.clone());
        let encode = move || snapshot::encode(&meta, &state.dump()).map_err(io::Error::other);
        let file = self
            .files
            .env
            .heavy("raft-snapshot", encode)
            .await
            .map_err(io::Error::other)??;
        let bytes = file.len();
        self.files.save(self.meta.last_log_id, file.clone()).await?;
        let index = self.meta.last_log_id.map_or(0, |id| id.index);
        self.progress
            .send_modify(|progress| progress.snapshot = progress.snapshot.max(index));
        tracing::info!(target: "raft", index, bytes, "wrote a snapshot");
        Ok(Snapshot {
            meta: self.meta.clone(),
            snapshot: file,
        })
    }
}
