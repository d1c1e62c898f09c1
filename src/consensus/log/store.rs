//! The log as openraft sees it.

use std::{
    fmt::Debug,
    io,
    ops::{Bound, Range, RangeBounds},
    path::Path,
    sync::Arc,
};

use openraft::{
    OptionalSend, RaftLogReader,
    storage::{IOFlushed, LogState, RaftLogStorage},
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    super::{
        types::{Entry, LogId, ServerId, TypeConfig, Vote},
        wire::entry_bytes_max,
    },
    LogConfig, LogError,
    recover::recover,
    shared::Shared,
    writer::{Request, Site, Writer},
};
use crate::env::{Env, Task, spawn};

/// Requests waiting for the writer; the core of openraft waits when it is full.
const QUEUE_MAX: usize = 1024;

/// What one replication request takes of the log, about.
const READ_BYTES_MAX: usize = 1 << 20;

/// The log, as storage and as reader. Clones share it.
#[derive(Clone)]
pub(in crate::consensus) struct LogStore {
    shared: Shared,
    requests: mpsc::Sender<Request>,
}

/// The right to end the log's writer.
pub(in crate::consensus) struct LogWriter {
    requests: mpsc::Sender<Request>,
    task: Task<()>,
}

impl LogWriter {
    /// Waits until nobody is left to ask the writer for anything.
    #[cfg(test)]
    pub(super) async fn wait(self) {
        drop(self.requests);
        self.task.join().await.expect("the writer does not panic");
    }

    /// Writes all that waits and returns when the files are no longer used.
    pub(in crate::consensus) async fn close(self) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        let asked = self.requests.send(Request::Close { done }).await;
        let result = match asked {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(gone())),
            Err(_) => Err(gone()),
        };
        let joined = self.task.join().await;
        result.and(joined.map_err(io::Error::other))
    }
}

fn gone() -> io::Error {
    io::Error::other("the Raft log is closed")
}

impl LogStore {
    /// Opens the log in `dir`, which must exist, or makes a new one.
    pub(in crate::consensus) async fn open(
        env: &Env,
        dir: &Path,
        server: ServerId,
        cluster: Uuid,
        config: LogConfig,
    ) -> Result<(Self, LogWriter), LogError> {
        let recovered = recover(&*env.disk, dir, server, config).await?;
        if recovered.cut_bytes > 0 {
            let bytes = recovered.cut_bytes;
            tracing::warn!(target: "raft", bytes, "cut an unfinished batch off the Raft log");
        }
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let site = Site {
            env: env.clone(),
            dir: dir.to_owned(),
            server,
            cluster,
        };
        let started = Writer::start(site, recovered, queue).await;
        let writer = started.map_err(|source| LogError::Io {
            what: "start writing in",
            path: dir.to_owned(),
            source,
        })?;
        let shared = writer.shared();
        let task = spawn("raft-log", CancellationToken::new(), writer.run());
        let store = Self {
            shared,
            requests: requests.clone(),
        };
        Ok((store, LogWriter { requests, task }))
    }

    /// Becomes `Some` when the log has failed for good.
    pub(in crate::consensus) fn failure(&self) -> watch::Receiver<Option<Arc<io::Error>>> {
        self.shared.failure()
    }

    /// Bytes written to the log since it was opened.
    pub(in crate::consensus) fn written_bytes(&self) -> u64 {
        self.shared.view().written_bytes
    }

    /// The purged and the last log id.
    pub(in crate::consensus) fn bounds(&self) -> (Option<LogId>, Option<LogId>) {
        let view = self.shared.view();
        (view.purged, view.last)
    }

    async fn ask(&self, request: Request) -> io::Result<()> {
        self.shared.check()?;
        self.requests.send(request).await.map_err(|_| gone())
    }

    async fn ask_and_wait(
        &self,
        request: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Request,
    ) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.ask(request(done)).await?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn bounds(range: impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(n) => *n,
        Bound::Excluded(n) => n + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(n) => n.saturating_add(1),
        Bound::Excluded(n) => *n,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> io::Result<Vec<Entry>> {
        self.shared.read(bounds(range), usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.shared.read(start..end, READ_BYTES_MAX).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.view().vote)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let (last_purged_log_id, last_log_id) = self.bounds();
        Ok(LogState {
            last_purged_log_id,
            last_log_id,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let vote = *vote;
        self.ask_and_wait(|done| Request::Vote { vote, done }).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let Some(id) = committed else { return Ok(()) };
        self.shared.view().committed = Some(id);
        self.ask(Request::Committed { id }).await
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.shared.view().committed)
    }

    async fn append<I>(&mut self, entries: I, done: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.shared.check()?;
        let entries: Vec<Entry> = entries.into_iter().collect();
        let bytes = entries.iter().map(entry_bytes_max).sum();
        {
            let mut view = self.shared.view();
            entries
                .iter()
                .try_for_each(|entry| view.push(entry.clone()))?;
        }
        self.ask(Request::Append {
            entries,
            bytes,
            done,
        })
        .await
    }

    async fn truncate_after(&mut self, after: Option<LogId>) -> io::Result<()> {
        {
            let mut view = self.shared.view();
            if after >= view.last {
                return Ok(());
            }
            view.truncate_front(after);
        }
        self.ask_and_wait(|done| Request::Truncate { after, done })
            .await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.shared.view().purge_front(upto);
        self.ask(Request::Purge { upto }).await
    }
}
