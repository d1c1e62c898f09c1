//! Works one evaluation off: plans on a snapshot, submits, and plans again what was refused.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Duties;
use super::applier::Submission;
use super::broker::covered;
use crate::model::{ClusterView, EvalId, EvalStatus, EvalTrigger, Evaluation, Index, JobKey, Plan};
use crate::scheduler::{self, Inputs, Outcome};
use crate::server::Ctx;
use crate::server::replicated::ProposeError;
use crate::state::{Change, Key, Snapshot, Table};

/// How a lease ended.
pub(super) struct End {
    pub job: JobKey,
    pub eval: EvalId,
    /// Whether the evaluation needs no more work.
    pub finished: bool,
}

/// Gives its lease back in any case, a panic of the scheduler included.
struct Lease {
    end: Option<End>,
    ended: mpsc::Sender<End>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            // The queue has room for every worker; a broker that is gone needs no answer.
            drop(self.ended.try_send(end));
        }
    }
}

pub(super) async fn work(
    ctx: Arc<Ctx>,
    duties: Arc<Duties>,
    eval: Arc<Evaluation>,
    ended: mpsc::Sender<End>,
) {
    let mut lease = Lease {
        end: Some(End {
            job: eval.job_key(),
            eval: eval.id,
            finished: false,
        }),
        ended,
    };
    match finish(&ctx, &duties, &eval).await {
        Ok(()) => {
            if let Some(end) = &mut lease.end {
                end.finished = true;
            }
        }
        Err(error) => {
            tracing::warn!(target: "server", eval = %eval.id, %error, "an evaluation was put back");
        }
    }
}

/// Plans until everything is committed or the attempts are used up.
async fn finish(ctx: &Ctx, duties: &Duties, eval: &Evaluation) -> Result<(), ProposeError> {
    let mut at_least = eval.modify_index;
    let mut attempt = 0;
    loop {
        let view = newer_than(ctx, at_least).await;
        let outcome = plan(ctx, &view, eval, attempt);
        let progress = !outcome.plan.is_empty();
        let refused = submit(ctx, duties, &view, eval, outcome).await?;
        let Some(refused) = refused else {
            return Ok(());
        };
        at_least = refused.refresh_index;
        // A plan that was partly committed got somewhere: its attempts count anew.
        attempt = match progress && refused.partly {
            true => 1,
            false => attempt + 1,
        };
        if attempt >= scheduler::attempts_max(eval.kind) {
            return give_up(ctx, eval, at_least).await;
        }
    }
}

struct Refused {
    refresh_index: Index,
    /// Whether at least a part was committed.
    partly: bool,
}

fn plan(ctx: &Ctx, view: &Snapshot, eval: &Evaluation, attempt: u32) -> Outcome {
    let inputs = Inputs {
        now: ctx.now(),
        seed: ctx.env.entropy.uuid().as_u128(),
        attempt,
    };
    scheduler::schedule(view, eval, &inputs)
}

/// Commits an outcome; returns what of it was refused.
async fn submit(
    ctx: &Ctx,
    duties: &Duties,
    view: &Snapshot,
    eval: &Evaluation,
    outcome: Outcome,
) -> Result<Option<Refused>, ProposeError> {
    let mut ends = vec![stamped(outcome.eval, view)];
    ends.extend(outcome.blocked.map(|blocked| stamped(blocked, view)));
    ends.extend(covered(view, eval));
    if outcome.plan.is_empty() {
        ends.extend(outcome.follow_ups);
        ctx.propose(Change::UpsertEvals(ends)).await?;
        return Ok(None);
    }
    let nodes = touched(&outcome.plan);
    let submission = Submission {
        plan: outcome.plan,
        follow_ups: outcome.follow_ups,
        ends,
    };
    let result = duties.applier.submit(submission).await?;
    if result.refused.is_empty() {
        return Ok(None);
    }
    Ok(Some(Refused {
        refresh_index: result.refresh_index,
        partly: result.refused.len() < nodes,
    }))
}

fn touched(plan: &Plan) -> usize {
    let placed = plan.places.keys();
    let nodes: std::collections::BTreeSet<_> = placed.chain(plan.stops.keys()).collect();
    nodes.len()
}

/// The evaluation with the state that it was planned on.
fn stamped(mut eval: Evaluation, view: &Snapshot) -> Evaluation {
    eval.snapshot_index = view.index();
    eval
}

/// Ends an evaluation whose plans were refused too often; another one waits for calmer times.
async fn give_up(ctx: &Ctx, eval: &Evaluation, index: Index) -> Result<(), ProposeError> {
    let mut later = eval.clone();
    later.id = ctx.eval_id();
    later.trigger = EvalTrigger::MaxPlanAttempts;
    later.status = EvalStatus::Blocked;
    later.status_description = "created due to placement conflicts".to_string();
    later.previous = Some(eval.id);
    later.snapshot_index = index;
    later.escaped_class = true;
    later.create_time = ctx.now();
    let mut failed = eval.clone();
    failed.status = EvalStatus::Failed;
    failed.status_description = format!(
        "maximum attempts reached ({})",
        scheduler::attempts_max(eval.kind)
    );
    failed.blocked = Some(later.id);
    ctx.propose(Change::UpsertEvals(vec![failed, later]))
        .await?;
    Ok(())
}

/// A snapshot that holds at least `index`.
async fn newer_than(ctx: &Ctx, index: Index) -> Snapshot {
    let store = ctx.raft.store();
    let watcher = store.watch([Key::Table(Table::Evals), Key::Table(Table::Allocs)]);
    loop {
        let view = store.snapshot();
        if view.index() >= index {
            return view;
        }
        watcher.changed().await;
    }
}
