//! Commits plans, one after the other, cut to what fits the newest state.
//!
//! **Owns** the plan queue (bounded: workers wait, the state machine never does). **Does not**
//! plan again: what was refused goes back to the worker with the index to wait for.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::duty;
use crate::env::TaskGroup;
use crate::model::verify::verify;
use crate::model::{Evaluation, Plan, PlanResult};
use crate::server::Ctx;
use crate::server::replicated::ProposeError;
use crate::state::{Change, Outcome, StoredPlan};

/// How many plans may wait: more than there are workers.
const QUEUE_MAX: usize = 64;

/// A plan with the evaluations that go with it.
pub(crate) struct Submission {
    pub plan: Plan,
    pub follow_ups: Vec<Evaluation>,
    pub ends: Vec<Evaluation>,
}

type Answer = Result<PlanResult, ProposeError>;

/// The way into the queue.
pub(crate) struct Handle {
    queue: mpsc::Sender<(Submission, oneshot::Sender<Answer>)>,
}

impl Handle {
    /// Hands a plan over and waits for what became of it.
    pub async fn submit(&self, submission: Submission) -> Answer {
        let (reply, answer) = oneshot::channel();
        let gone = || ProposeError::NotLeader { leader: None };
        let sent = self.queue.send((submission, reply)).await;
        sent.map_err(|_| gone())?;
        answer.await.map_err(|_| ProposeError::Lost)?
    }
}

pub(super) fn start(ctx: &Arc<Ctx>, term: &TaskGroup) -> Handle {
    let (queue, mut plans) = mpsc::channel::<(Submission, oneshot::Sender<Answer>)>(QUEUE_MAX);
    let ctx = ctx.clone();
    duty(term, "applier", async move {
        while let Some((submission, reply)) = plans.recv().await {
            let answer = commit(&ctx, submission).await;
            // A worker that is gone does not miss the answer.
            drop(reply.send(answer));
        }
    });
    Handle { queue }
}

/// Cuts a plan to what fits now and commits that. The state verifies once more when it applies.
async fn commit(ctx: &Ctx, submission: Submission) -> Answer {
    let view = ctx.snapshot();
    let verdict = verify(&view, &submission.plan);
    let fits = match verdict.refused.is_empty() {
        true => submission.plan,
        false => verdict.accepted(&submission.plan),
    };
    let ends = match verdict.refused.is_empty() {
        true => submission.ends,
        false => Vec::new(),
    };
    let applied = ctx
        .propose(Change::ApplyPlan {
            plan: Box::new(StoredPlan(fits)),
            follow_ups: submission.follow_ups,
            ends,
        })
        .await?;
    let Outcome::Planned(mut result) = applied.outcome else {
        return Err(ProposeError::Stopped(
            "a plan was not answered as a plan".to_string(),
        ));
    };
    for (node, reason) in verdict.refused {
        tracing::debug!(target: "server", %node, %reason, "a part of a plan no longer fits");
        result.refused.insert(node, reason);
        result.refresh_index = result.index;
    }
    Ok(result)
}
