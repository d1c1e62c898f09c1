//! The server: what the API does, and what the leader does by itself.
//!
//! **Owns** [`ops`] (one file a noun: reads and calls of [`Api`](crate::rpc::Api)) and the
//! leader's [`duties`]. **Does not** keep anything of its own that matters: every duty is made
//! from the state anew when this server comes to lead, and ends with its term.
//!
//! ```text
//! RegisterJob → ops → Command{job, eval} → log → state ─watch→ broker → worker (scheduler)
//!                                                   ↑                        │ plan
//!                                                   └──── applier (verify) ←─┘
//! ```
//!
//! Duties reconcile by level: each wakes on a watch of the state and on its own timer, reads a
//! snapshot, and does what is missing. Losing leadership cancels them all and waits for them.
//! Start reading at [`Server::run`].

mod agreed;
pub mod duties;
pub mod ops;
pub mod replicated;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod witness;

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::env::{Env, TaskGroup};
use crate::model::{EvalId, Timestamp};
use crate::rpc::api::ApiError;
use crate::state::{Applied, Change, Command, Outcome, Snapshot};
pub use agreed::Agreed;
use duties::Duties;
use duties::liveness::Seen;
pub use replicated::{Leadership, ProposeError, Replicated};
pub use witness::Witness;

/// One server. Cloning shares it.
#[derive(Clone)]
pub struct Server {
    pub(crate) ctx: Arc<Ctx>,
}

/// What operations and duties work with.
pub(crate) struct Ctx {
    pub env: Env,
    pub raft: Arc<dyn Replicated>,
    /// When each node was last heard of.
    pub seen: Seen,
    /// How the leader asks a node whether it lives; without it only silence counts.
    pub witness: Option<Witness>,
    /// The duties of the term that this server leads.
    pub duties: watch::Sender<Option<Arc<Duties>>>,
    /// Cancelled when a duty panicked.
    pub broken: CancellationToken,
}

impl Server {
    /// A server on a replicated log. Nothing runs before [`Server::run`].
    pub fn new(env: Env, raft: Arc<dyn Replicated>) -> Self {
        Self::with_witness(env, raft, None)
    }

    /// A server that finds out early when a node's machine or agent dies.
    pub fn with_witness(env: Env, raft: Arc<dyn Replicated>, witness: Option<Witness>) -> Self {
        let seen = Seen::new(env.clock.clone());
        let (duties, _) = watch::channel(None);
        Self {
            ctx: Arc::new(Ctx {
                env,
                raft,
                seen,
                witness,
                duties,
                broken: CancellationToken::new(),
            }),
        }
    }

    /// Performs the leader's duties whenever this server leads, until `token` is cancelled.
    ///
    /// # Panics
    /// When a duty panicked: this task is essential, so the process ends and starts anew.
    pub async fn run(self, token: CancellationToken) {
        while !token.is_cancelled() {
            let now = self.ctx.raft.leadership();
            let mut term = None;
            if now.here {
                let group = TaskGroup::new(token.child_token());
                tracing::info!(target: "server", term = now.term, "leading");
                duties::start(&self.ctx, &group);
                term = Some(group);
            }
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                () = self.ctx.broken.cancelled() => panic!("a duty of the leader panicked"),
                () = self.ctx.raft.leadership_changed(now) => {}
            }
            if let Some(group) = term {
                self.ctx.duties.send_replace(None);
                group.shutdown().await;
                tracing::info!(target: "server", term = now.term, "no longer leading");
            }
        }
    }
}

impl Ctx {
    /// The newest state on this server.
    pub fn snapshot(&self) -> Snapshot {
        self.raft.store().snapshot()
    }

    /// Wall time, as commands carry it.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.env.clock.wall())
    }

    /// A fresh evaluation id.
    pub fn eval_id(&self) -> EvalId {
        EvalId(self.env.entropy.uuid())
    }

    /// Commits a change that nobody repeats.
    pub async fn propose(&self, change: Change) -> Result<Applied, ProposeError> {
        self.raft.propose(Command::new(self.now(), change)).await
    }

    /// Commits a change made by a duty and logs why it failed; the duty looks again later.
    pub async fn propose_or_log(&self, what: &str, change: Change) -> Option<Applied> {
        match self.propose(change).await {
            Ok(applied) => match &applied.outcome {
                Outcome::Refused(refusal) => {
                    tracing::warn!(target: "server", %refusal, "{what} was refused");
                    None
                }
                Outcome::Done { .. } | Outcome::Registered { .. } | Outcome::Planned(_) => {
                    Some(applied)
                }
            },
            Err(error) => {
                tracing::warn!(target: "server", %error, "{what} was not committed");
                None
            }
        }
    }

    /// The current term's duties.
    pub fn leading(&self) -> Result<Arc<Duties>, ApiError> {
        if let Some(duties) = self.duties.borrow().clone() {
            return Ok(duties);
        }
        // One that leads and has not begun its duties will, in a moment.
        let now = self.raft.leadership();
        let hint = now.leader.filter(|_| !now.here);
        Err(ApiError::NotLeader { hint })
    }
}
