//! What one page is made from, and when that has changed.
//!
//! A [`Source`] is made for one rendering. It remembers what the page read and at which index,
//! so that [`Source::changed`] waits for exactly that: by blocking reads for the cluster's
//! state, by a watch for members and leader. Figures that nothing announces (what a task uses)
//! are read again after [`SAMPLE_EVERY`], on pages that show any.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, select_all};

use crate::env::timeout;
use crate::model::{Allocation, Index, Members, Node, NodeId, Timestamp};
use crate::rpc::{AgentInfo, Answer, ApiError, Body, NodeAnswer, NodeAsk, Query, Read};

use super::Ui;

/// How long one blocking read waits; then it is simply asked again.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// How long a client may take to answer before the page goes without.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// How often figures that nothing announces are read again.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);

/// Where a page's content comes from.
pub(super) struct Source {
    pub ui: Ui,
    /// Ends when members or leader are other than at the start of this rendering.
    local_changed: Mutex<Option<BoxFuture<'static, ()>>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    reads: Vec<(Read, Index)>,
    samples: bool,
    leaderless: bool,
}

impl Source {
    pub(super) fn new(ui: Ui) -> Self {
        Self {
            local_changed: Mutex::new(Some(ui.local.changed())),
            seen: Mutex::default(),
            ui,
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Notes stay notes whoever panicked while holding them.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time on pages.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp(self.ui.env.clock.wall())
    }

    /// Who makes the page.
    pub(super) fn info(&self) -> AgentInfo {
        self.ui.local.info()
    }

    /// Every agent that the gossip knows.
    pub(super) fn members(&self) -> Members {
        self.ui.local.members()
    }

    /// Asks the cluster; any server may answer from its own state, so that pages stay up while
    /// there is no leader.
    pub(super) async fn read(&self, read: Read) -> Result<Answer, ApiError> {
        let answer = self
            .ui
            .api
            .read(Query {
                stale: true,
                ..Query::now(read.clone())
            })
            .await?;
        let mut seen = self.seen();
        seen.leaderless |= !answer.known_leader;
        // The Raft group has no index of its own; the agent tells when its leader changes.
        if read != Read::Raft {
            seen.reads.push((read, answer.index));
        }
        drop(seen);
        Ok(answer)
    }

    /// Whether what was read comes from a server that knows no leader: it may be old.
    pub(super) fn leaderless(&self) -> bool {
        self.seen().leaderless
    }

    /// Asks a client something that nothing announces. The reason, if it does not tell.
    pub(super) async fn ask(&self, node: &Node, ask: NodeAsk) -> Result<NodeAnswer, String> {
        self.ask_at(node.id, node.rpc_addr, ask).await
    }

    async fn ask_at(
        &self,
        id: NodeId,
        addr: SocketAddr,
        ask: NodeAsk,
    ) -> Result<NodeAnswer, String> {
        self.seen().samples = true;
        let client = self.ui.nodes.node(id, addr);
        match timeout(&*self.ui.env.clock, ASK_LIMIT, client.ask(ask)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!(
                "no answer from the client in {} s",
                ASK_LIMIT.as_secs()
            )),
        }
    }

    /// The node that holds an allocation, if the cluster still knows it.
    pub(super) async fn node_of(&self, alloc: &Allocation) -> Option<std::sync::Arc<Node>> {
        match self.read(Read::Node(alloc.node_id)).await {
            Ok(Answer {
                body: Body::Node(node),
                ..
            }) => node,
            Ok(_) | Err(_) => None,
        }
    }

    /// Waits until the page would show something else; an error if the cluster stops answering.
    pub(super) async fn changed(&self) -> Result<(), ApiError> {
        let (reads, samples) = {
            let seen = self.seen();
            (seen.reads.clone(), seen.samples)
        };
        let clock = &*self.ui.env.clock;
        let local = self
            .local_changed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let local = async {
            match local {
                Some(changed) => changed.await,
                None => std::future::pending().await,
            }
        };
        let sample = async {
            match samples {
                true => clock.sleep(SAMPLE_EVERY).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = self.any_read_changed(&reads) => changed,
            () = local => Ok(()),
            () = sample => Ok(()),
        }
    }

    async fn any_read_changed(&self, reads: &[(Read, Index)]) -> Result<(), ApiError> {
        if reads.is_empty() {
            return std::future::pending().await;
        }
        let waits = reads
            .iter()
            .map(|(read, index)| Box::pin(self.read_changed(read, *index)));
        select_all(waits).await.0
    }

    /// Waits until what `read` shows is newer than `index`.
    async fn read_changed(&self, read: &Read, index: Index) -> Result<(), ApiError> {
        loop {
            let query = Query {
                read: read.clone(),
                stale: true,
                min_index: index,
                wait: WAIT_MAX,
            };
            if self.ui.api.read(query).await?.index > index {
                return Ok(());
            }
        }
    }
}
