//! Notices that a node fell silent.
//!
//! A client holds one long poll against a server. While a poll is open its node lives; after
//! the last one closed, it has [`SILENCE_MAX`] to open another. Then the node is down, its
//! allocations are lost, and every job with allocations there is evaluated. A client that said
//! it would be back has [`RESTART_GRACE`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::duty;
use crate::env::{Clock, TaskGroup};
use crate::model::node::NodeEvent;
use crate::model::{
    Allocation, ClusterView, EvalTrigger, Evaluation, JobKey, Node, NodeId, NodeStatus,
};
use crate::server::Ctx;
use crate::state::{Change, Snapshot};

/// How long a node may be without an open poll.
pub const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long one may be that said it would be back.
pub const RESTART_GRACE: Duration = Duration::from_secs(60);
/// How often the leader looks.
const TICK: Duration = Duration::from_millis(500);

/// When each node was last heard of, in memory only. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Seen {
    clock: Arc<dyn Clock>,
    nodes: Arc<Mutex<Nodes>>,
}

#[derive(Default)]
struct Nodes {
    term_began: Option<Instant>,
    by_id: BTreeMap<NodeId, Contact>,
}

#[derive(Clone, Copy)]
struct Contact {
    open_polls: u32,
    last: Instant,
    /// Not silent before that time.
    excused_until: Option<Instant>,
}

impl Seen {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            nodes: Arc::default(),
        }
    }

    /// A new leader gives every node its whole time.
    pub fn new_term(&self) {
        let now = self.clock.now();
        let mut nodes = self.lock();
        nodes.term_began = Some(now);
    }

    /// A poll of `node` is open as long as the result lives.
    pub fn poll(&self, node: NodeId) -> OpenPoll {
        self.contact(node, |c| {
            c.open_polls += 1;
            c.excused_until = None;
        });
        OpenPoll {
            seen: self.clone(),
            node,
        }
    }

    /// A node was heard of.
    pub fn heard(&self, node: NodeId) {
        self.contact(node, |_| {});
    }

    /// A node said that it stops and will be back.
    pub fn excuse(&self, node: NodeId) {
        let until = self.clock.now() + RESTART_GRACE;
        self.contact(node, |c| c.excused_until = Some(until));
    }

    /// Whether a node has been silent for too long.
    fn is_silent(&self, node: NodeId) -> bool {
        let now = self.clock.now();
        let nodes = self.lock();
        let contact = nodes.by_id.get(&node);
        if contact.is_some_and(|c| c.open_polls > 0) {
            return false;
        }
        if contact
            .and_then(|c| c.excused_until)
            .is_some_and(|at| now < at)
        {
            return false;
        }
        let last = contact.map(|c| c.last).max(nodes.term_began);
        last.is_some_and(|last| now.saturating_duration_since(last) > SILENCE_MAX)
    }

    fn contact(&self, node: NodeId, change: impl FnOnce(&mut Contact)) {
        let now = self.clock.now();
        let mut nodes = self.lock();
        let contact = nodes.by_id.entry(node).or_insert(Contact {
            open_polls: 0,
            last: now,
            excused_until: None,
        });
        contact.last = now;
        change(contact);
    }

    /// Forgets nodes that the state does not have.
    fn retain(&self, view: &Snapshot) {
        let mut nodes = self.lock();
        nodes
            .by_id
            .retain(|id, c| c.open_polls > 0 || view.node(*id).is_some());
    }

    fn lock(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open poll of a node.
pub(crate) struct OpenPoll {
    seen: Seen,
    node: NodeId,
}

impl Drop for OpenPoll {
    fn drop(&mut self) {
        self.seen.contact(self.node, |c| {
            c.open_polls = c.open_polls.saturating_sub(1);
        });
    }
}

pub(super) fn start(ctx: &Arc<Ctx>, term: &TaskGroup) {
    let own = ctx.clone();
    duty(ctx, term, "liveness", async move {
        loop {
            own.env.clock.sleep(TICK).await;
            let view = own.snapshot();
            own.seen.retain(&view);
            for node in view.nodes() {
                if node.status != NodeStatus::Down && own.seen.is_silent(node.id) {
                    mark_down(&own, &view, &node).await;
                }
            }
        }
    });
}

async fn mark_down(ctx: &Ctx, view: &Snapshot, node: &Node) {
    tracing::warn!(target: "server", node = %node.id, name = %node.name, "a node fell silent");
    let change = Change::NodeStatus {
        id: node.id,
        status: NodeStatus::Down,
        description: String::new(),
        event: Some(NodeEvent {
            message: "Node heartbeat missed".to_string(),
            subsystem: "Cluster".to_string(),
            details: BTreeMap::new(),
            time: ctx.now(),
            create_index: 0,
        }),
        evals: node_evals(ctx, view, node.id, EvalTrigger::NodeUpdate),
    };
    ctx.propose_or_log("marking a node down", change).await;
}

/// An evaluation for each job with allocations on a node that still matter.
pub(in crate::server) fn node_evals(
    ctx: &Ctx,
    view: &Snapshot,
    node: NodeId,
    trigger: EvalTrigger,
) -> Vec<Evaluation> {
    let mut allocs = view.allocs_of_node(node);
    allocs.retain(|a| !a.is_client_terminal());
    job_evals(ctx, view, node, allocs, trigger)
}

/// An evaluation for each job of `allocs`, which are on `node`.
pub(super) fn job_evals(
    ctx: &Ctx,
    view: &Snapshot,
    node: NodeId,
    allocs: impl IntoIterator<Item = Arc<Allocation>>,
    trigger: EvalTrigger,
) -> Vec<Evaluation> {
    let mut jobs: BTreeMap<JobKey, Evaluation> = BTreeMap::new();
    for alloc in allocs {
        if jobs.contains_key(&alloc.job_key()) {
            continue;
        }
        let job = view.job(&alloc.job_key());
        let job = job.unwrap_or_else(|| alloc.job.clone());
        let mut eval = Evaluation::pending(ctx.eval_id(), &job, trigger, ctx.now());
        eval.node_id = Some(node);
        eval.node_modify_index = view.node(node).map_or(0, |n| n.modify_index);
        jobs.insert(alloc.job_key(), eval);
    }
    jobs.into_values().collect()
}
