//! Notices that a node is gone.
//!
//! A client holds one long poll against a server. A node whose poll is closed for
//! [`QUIET_MAX`], or whom the gossip takes for dead, is asked ([`Witness::ask`]). What answers
//! lives. A machine that does not answer is down at once; where only the agent's process died,
//! what it runs most likely runs on, so the agent has [`AGENT_RESTART_GRACE`] to return. Down
//! means that its allocations are lost and every job with allocations there is evaluated.
//!
//! Without any such sign, a node that asks for nothing is down after [`SILENCE_MAX`]. A client
//! that said it would be back has [`RESTART_GRACE`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::Instant;

use super::duty;
use crate::env::{Clock, TaskGroup};
use crate::model::node::NodeEvent;
use crate::model::{
    Allocation, ClusterView, EvalTrigger, Evaluation, JobKey, Node, NodeId, NodeStatus,
};
use crate::server::Ctx;
use crate::server::witness::{Failed, Verdict, Witness};
use crate::state::{Change, Snapshot};

/// How long a node may be without an open poll.
pub const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long one may be that said it would be back.
pub const RESTART_GRACE: Duration = Duration::from_secs(60);
/// How long a node may be without an open poll before it is asked.
const QUIET_MAX: Duration = Duration::from_secs(1);
/// How long a node's agent may be dead on a machine that lives.
pub const AGENT_RESTART_GRACE: Duration = Duration::from_secs(5);
/// A node that answered is not asked again before this.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How many nodes are asked at once.
const ASKED_MAX: usize = 64;
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
        !self.is_excused(node) && self.is_without_poll(node, SILENCE_MAX)
    }

    /// Whether a node has been silent for so long that it is worth a question.
    fn is_quiet(&self, node: NodeId) -> bool {
        self.is_without_poll(node, QUIET_MAX)
    }

    /// Whether a node said that it would be back, and has not been yet.
    fn is_excused(&self, node: NodeId) -> bool {
        let now = self.clock.now();
        let nodes = self.lock();
        let contact = nodes.by_id.get(&node);
        contact
            .and_then(|c| c.excused_until)
            .is_some_and(|at| now < at)
    }

    fn is_without_poll(&self, node: NodeId, most: Duration) -> bool {
        let now = self.clock.now();
        let nodes = self.lock();
        let contact = nodes.by_id.get(&node);
        if contact.is_some_and(|c| c.open_polls > 0) {
            return false;
        }
        let last = contact.map(|c| c.last).max(nodes.term_began);
        last.is_some_and(|last| now.saturating_duration_since(last) > most)
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
    let watcher = Watcher {
        ctx: ctx.clone(),
        witness: ctx.witness.clone(),
        asked: BTreeMap::new(),
    };
    duty(ctx, term, "liveness", watcher.run());
}

/// Looks after the nodes for one term.
struct Watcher {
    ctx: Arc<Ctx>,
    witness: Option<Witness>,
    asked: BTreeMap<NodeId, Asked>,
}

/// What came of asking a suspected node.
#[derive(Clone, Copy)]
struct Asked {
    at: Instant,
    /// Since when its port refuses.
    refuses_since: Option<Instant>,
}

impl Watcher {
    async fn run(mut self) {
        loop {
            self.wait().await;
            let view = self.ctx.snapshot();
            self.ctx.seen.retain(&view);
            let mut suspects = Vec::new();
            let failed = self.witness.as_ref().map(Witness::failed);
            for node in view.nodes() {
                if node.status == NodeStatus::Down {
                    continue;
                }
                if self.ctx.seen.is_silent(node.id) {
                    mark_down(&self.ctx, &view, &node, "it asks for nothing any more").await;
                } else if failed.as_ref().is_some_and(|f| self.suspects(&node, f)) {
                    suspects.push(node);
                }
            }
            self.asked.retain(|id, _| view.node(*id).is_some());
            self.ask_all(&view, suspects).await;
        }
    }

    async fn wait(&mut self) {
        let tick = self.ctx.env.clock.sleep(TICK);
        match &mut self.witness {
            Some(witness) => tokio::select! {
                biased;
                () = witness.changed() => {}
                () = tick => {}
            },
            None => tick.await,
        }
    }

    /// Whether there is a reason to ask a node now.
    fn suspects(&self, node: &Node, failed: &Failed) -> bool {
        if self.ctx.seen.is_excused(node.id) {
            return false;
        }
        let now = self.ctx.env.clock.now();
        let asked = self.asked.get(&node.id);
        let again =
            asked.is_none_or(|asked| asked.refuses_since.is_some() || now >= asked.at + ASK_EVERY);
        again && (failed.has(node) || self.ctx.seen.is_quiet(node.id))
    }

    async fn ask_all(&mut self, view: &Snapshot, suspects: Vec<Arc<Node>>) {
        let Some(witness) = self.witness.clone() else {
            return;
        };
        let questions = suspects.into_iter().map(|node| {
            let witness = witness.clone();
            async move { (witness.ask(node.rpc_addr).await, node) }
        });
        let mut answers = futures_util::stream::iter(questions).buffer_unordered(ASKED_MAX);
        while let Some((verdict, node)) = answers.next().await {
            let now = self.ctx.env.clock.now();
            let before = self.asked.get(&node.id).and_then(|a| a.refuses_since);
            let refuses_since = match verdict {
                Verdict::ProcessDead => before.or(Some(now)),
                Verdict::Lives | Verdict::Silent => None,
            };
            let asked = Asked {
                at: now,
                refuses_since,
            };
            self.asked.insert(node.id, asked);
            let graceless = refuses_since.is_some_and(|since| now >= since + AGENT_RESTART_GRACE);
            if verdict == Verdict::Silent {
                mark_down(&self.ctx, view, &node, "its machine does not answer").await;
            } else if graceless {
                mark_down(&self.ctx, view, &node, "its agent died and did not return").await;
            }
        }
    }
}

async fn mark_down(ctx: &Ctx, view: &Snapshot, node: &Node, why: &'static str) {
    tracing::warn!(target: "server", node = %node.id, name = %node.name, why, "a node is down");
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
