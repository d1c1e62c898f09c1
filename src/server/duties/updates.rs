//! Commits what clients report, many reports in one command when they come fast.
//!
//! A report that finds nobody waiting goes at once; those that arrive while a command is being
//! committed share the next one. No timer: an idle cluster waits for nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::duty;
use crate::env::TaskGroup;
use crate::model::{
    AllocClientStatus, AllocUpdate, Allocation, ClusterView, EvalStatus, EvalTrigger, Evaluation,
    Index, Job, JobKey,
};
use crate::rpc::api::ApiError;
use crate::server::Ctx;
use crate::state::{Change, Snapshot};

/// How many reports may wait; a client that finds it full tries again.
const QUEUE_MAX: usize = 1024;
/// How many allocations one command carries: a report has about 2 KiB, a command 2 MiB.
const BATCH_MAX: usize = 400;

type Report = (Vec<AllocUpdate>, oneshot::Sender<Result<Index, ApiError>>);

/// The way into the queue.
pub(crate) struct Handle {
    queue: mpsc::Sender<Report>,
}

impl Handle {
    /// Commits a report; returns where.
    pub async fn report(&self, updates: Vec<AllocUpdate>) -> Result<Index, ApiError> {
        let (reply, answer) = oneshot::channel();
        self.queue
            .try_send((updates, reply))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    ApiError::Busy("too many allocation reports wait".to_string())
                }
                mpsc::error::TrySendError::Closed(_) => ApiError::NotLeader { hint: None },
            })?;
        let lost = |_| ApiError::Unknown("leadership was lost".to_string());
        answer.await.map_err(lost)?
    }
}

pub(super) fn start(ctx: &Arc<Ctx>, term: &TaskGroup) -> Handle {
    let (queue, mut reports) = mpsc::channel::<Report>(QUEUE_MAX);
    let own = ctx.clone();
    duty(ctx, term, "updates", async move {
        while let Some((mut batch, reply)) = reports.recv().await {
            let mut replies = vec![reply];
            while batch.len() < BATCH_MAX {
                let Ok((more, reply)) = reports.try_recv() else {
                    break;
                };
                batch.extend(more);
                replies.push(reply);
            }
            let result = commit(&own, batch).await;
            for reply in replies {
                // A client that went away does not miss the answer.
                drop(reply.send(result.clone()));
            }
        }
    });
    Handle { queue }
}

async fn commit(ctx: &Ctx, updates: Vec<AllocUpdate>) -> Result<Index, ApiError> {
    let mut index = ctx.snapshot().index();
    for updates in updates.chunks(BATCH_MAX) {
        let evals = follow_ups(ctx, &ctx.snapshot(), updates);
        let updates = updates.to_vec();
        let applied = ctx.propose(Change::UpdateAllocs { updates, evals }).await?;
        index = applied.index;
    }
    Ok(index)
}

/// The evaluations that reports call for, one a job. Ordinary progress calls for none.
fn follow_ups(ctx: &Ctx, view: &Snapshot, updates: &[AllocUpdate]) -> Vec<Evaluation> {
    let mut wanted: BTreeMap<JobKey, (EvalTrigger, Arc<Allocation>)> = BTreeMap::new();
    for update in updates {
        let Some(alloc) = view.alloc(update.id) else {
            continue;
        };
        if let Some(trigger) = trigger(view, &alloc, update) {
            wanted.entry(alloc.job_key()).or_insert((trigger, alloc));
        }
    }
    let now = ctx.now();
    let evals = wanted.into_iter().map(|(key, (trigger, alloc))| {
        let job = view.job(&key);
        let job: &Job = job.as_deref().unwrap_or(&alloc.job);
        Evaluation::pending(ctx.eval_id(), job, trigger, now)
    });
    evals.collect()
}

/// Whether a report needs the scheduler, and why.
fn trigger(view: &Snapshot, alloc: &Allocation, update: &AllocUpdate) -> Option<EvalTrigger> {
    let before = alloc.client_status;
    let Some(job) = view.job(&alloc.job_key()) else {
        return (!alloc.is_server_terminal()).then_some(EvalTrigger::JobDeregister);
    };
    if before == AllocClientStatus::Unknown && update.client_status != before {
        return Some(EvalTrigger::Reconnect);
    }
    let failed =
        update.client_status == AllocClientStatus::Failed && before != update.client_status;
    if !failed || alloc.is_server_terminal() || job.stop {
        return None;
    }
    let policy = alloc.task_group()?.reschedule;
    if !policy.unlimited && policy.attempts == 0 {
        return None;
    }
    // One that waits for its time already has an evaluation of its own.
    let waits = alloc.follow_up.and_then(|id| view.eval(id));
    let waits = waits.is_some_and(|e| e.status == EvalStatus::Pending);
    (!waits).then_some(EvalTrigger::AllocFailure)
}
