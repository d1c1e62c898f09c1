//! The witnesses of a node's death: the gossip raises the suspicion, the leader's own question
//! decides what died.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use crate::model::{MemberStatus, Members, Node};
use crate::rpc::{CallError, Pool};

/// How often a node is asked before it counts as silent, and how long it has for each answer.
const TRIES: u32 = 2;
const ANSWER_MAX: Duration = Duration::from_millis(400);

/// Asks nodes, and hears of them in the gossip. Cloning shares it.
#[derive(Clone)]
pub struct Witness {
    members: watch::Receiver<Members>,
    pool: Pool,
}

/// What a node's agent answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Lives,
    /// The host answers and nobody listens: the agent died, what it started may run on.
    ProcessDead,
    /// Nothing answers.
    Silent,
}

/// The members that the gossip takes for dead.
#[derive(Default)]
pub(crate) struct Failed {
    ids: BTreeSet<Uuid>,
    rpc_addrs: BTreeSet<SocketAddr>,
}

impl Failed {
    /// A node's agent has the node's id, or another one if it is a server too.
    pub(crate) fn has(&self, node: &Node) -> bool {
        self.ids.contains(&node.id.0) || self.rpc_addrs.contains(&node.rpc_addr)
    }
}

impl Witness {
    pub fn new(members: watch::Receiver<Members>, pool: Pool) -> Self {
        Self { members, pool }
    }

    pub(crate) fn failed(&self) -> Failed {
        let mut failed = Failed::default();
        for member in self.members.borrow().values() {
            if member.record.client && member.status == MemberStatus::Failed {
                failed.ids.insert(member.record.id);
                failed.rpc_addrs.insert(member.record.rpc_addr);
            }
        }
        failed
    }

    /// Waits for news of the members; for ever once there is none any more.
    pub(crate) async fn changed(&mut self) {
        if self.members.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Asks the agent behind `addr`. An accepted connection is no answer.
    pub(crate) async fn ask(&self, addr: SocketAddr) -> Verdict {
        for _ in 0..TRIES {
            match self.pool.ping(addr, ANSWER_MAX).await {
                Ok(()) => return Verdict::Lives,
                Err(error) if error.port_refuses() => return Verdict::ProcessDead,
                // It answers, though not as we like: it lives.
                Err(CallError::Refused { .. } | CallError::Rejected { .. }) => {
                    return Verdict::Lives;
                }
                Err(error) => tracing::debug!(target: "server", %addr, %error, "no answer"),
            }
        }
        Verdict::Silent
    }
}
