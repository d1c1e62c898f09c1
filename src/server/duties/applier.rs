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
/// How many placements one command carries: a placement has about 2 KiB, a command 2 MiB.
const PLACES_MAX: usize = 400;

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
    let own = ctx.clone();
    duty(ctx, term, "applier", async move {
        while let Some((submission, reply)) = plans.recv().await {
            let answer = commit(&own, submission).await;
            // A worker that is gone does not miss the answer.
            drop(reply.send(answer));
        }
    });
    Handle { queue }
}

/// Commits a plan part by part; what no longer fits is left out of each.
async fn commit(ctx: &Ctx, submission: Submission) -> Answer {
    let mut follow_ups = submission.follow_ups;
    let mut ends = submission.ends;
    let mut whole = PlanResult::default();
    let mut parts = split(submission.plan).into_iter().peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        let ends = match last && whole.refused.is_empty() {
            true => std::mem::take(&mut ends),
            false => Vec::new(),
        };
        let result = commit_part(ctx, part, std::mem::take(&mut follow_ups), ends).await?;
        whole.refused.extend(result.refused);
        whole.refresh_index = whole.refresh_index.max(result.refresh_index);
        whole.index = result.index;
    }
    Ok(whole)
}

/// Cuts a plan into parts that each fit into a command. A node's stops and placements stay
/// together, since a successor takes the room of the one that is stopped.
fn split(mut plan: Plan) -> Vec<Plan> {
    let total: usize = plan.places.values().map(Vec::len).sum();
    if total <= PLACES_MAX || plan.all_at_once {
        return vec![plan];
    }
    let places = std::mem::take(&mut plan.places);
    let mut stops = std::mem::take(&mut plan.stops);
    let rest = Plan {
        deployment: None,
        deployment_updates: Vec::new(),
        ..plan.clone()
    };
    let mut parts = vec![plan];
    let mut room = PLACES_MAX;
    for (node, placed) in places {
        let stopped = stops.remove(&node);
        let chunk = match &stopped {
            Some(_) => placed.len().max(1),
            None => PLACES_MAX,
        };
        let mut placed = placed.into_iter().peekable();
        let mut stopped = stopped.into_iter();
        while placed.peek().is_some() {
            let taken: Vec<_> = placed.by_ref().take(chunk).collect();
            if taken.len() > room {
                parts.push(rest.clone());
                room = PLACES_MAX;
            }
            room = room.saturating_sub(taken.len());
            if let Some(part) = parts.last_mut() {
                part.places.insert(node, taken);
                part.stops.extend(stopped.next().map(|s| (node, s)));
            }
        }
    }
    if let Some(first) = parts.first_mut() {
        first.stops.extend(stops);
    }
    parts
}

/// Cuts a part to what fits now and commits that. The state verifies once more when it applies.
async fn commit_part(
    ctx: &Ctx,
    plan: Plan,
    follow_ups: Vec<Evaluation>,
    ends: Vec<Evaluation>,
) -> Answer {
    let verdict = verify(&ctx.snapshot(), &plan);
    let (fits, ends) = match verdict.refused.is_empty() {
        true => (plan, ends),
        false => (verdict.accepted(&plan), Vec::new()),
    };
    let applied = ctx
        .propose(Change::ApplyPlan {
            plan: Box::new(StoredPlan(fits)),
            follow_ups,
            ends,
        })
        .await?;
    let Outcome::Planned(mut result) = applied.outcome else {
        let text = "a plan was not answered as a plan".to_string();
        return Err(ProposeError::Stopped(text));
    };
    for (node, reason) in verdict.refused {
        tracing::debug!(target: "server", %node, %reason, "a part of a plan no longer fits");
        result.refused.insert(node, reason);
        result.refresh_index = result.index;
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::plan::PlannedStop;
    use crate::model::{AllocId, EvalId};
    use crate::state::testing::{alloc, deployment, job, node, uuid};

    /// Every placement and stop is in exactly one part, and a node's stops are with its
    /// placements.
    #[test]
    fn a_large_plan_is_cut_and_nothing_is_lost() {
        let job = Arc::new(job("web", 1));
        let mut plan = Plan {
            deployment: Some(deployment(1, &job)),
            ..Plan::default()
        };
        for (n, count) in [(1, 900), (2, 300), (3, 300), (4, 0)] {
            let node = node(n);
            let placed = (0..count).map(|i| alloc(n * 1000 + i, &job, &node, EvalId(uuid(1))));
            if count > 0 {
                plan.places.insert(node.id, placed.collect());
            }
            if n >= 3 {
                let stop = PlannedStop {
                    id: AllocId(uuid(n)),
                    description: String::new(),
                    client_status: None,
                    follow_up: None,
                    keep_running: false,
                };
                plan.stops.insert(node.id, vec![stop]);
            }
        }
        let parts = split(plan.clone());
        assert!(parts.len() > 1);
        let mut ids = Vec::new();
        for part in &parts {
            let placed = part.places.values().flatten();
            let before = ids.len();
            ids.extend(placed.map(|a| a.id));
            assert!(ids.len() - before <= PLACES_MAX);
        }
        let mut wanted: Vec<_> = plan.places.values().flatten().map(|a| a.id).collect();
        ids.sort();
        wanted.sort();
        assert_eq!(ids, wanted);
        assert_eq!(parts.iter().filter(|p| p.deployment.is_some()).count(), 1);
        let third = node(3).id;
        let with_stop = parts.iter().filter(|p| p.stops.contains_key(&third));
        let with_stop: Vec<_> = with_stop.collect();
        assert_eq!(with_stop.len(), 1);
        assert_eq!(with_stop[0].places[&third].len(), 300);
        assert!(parts[0].stops.contains_key(&node(4).id));
    }
}
