//! Leases evaluations to workers, one at a time for each job.
//!
//! **Owns** the leases, in memory only. **Does not** read jobs or judge placement: it looks at
//! the evaluations that the state says are pending or blocked, every time anew.
//!
//! - B1: a job has at most one lease.
//! - B2: of a job's pending evaluations the most important, then the newest, goes first.
//! - B3: a blocked evaluation goes when room may have appeared since it was planned, in a class
//!   of nodes that it can use or has not seen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Duties, duty, task, worker};
use crate::env::TaskGroup;
use crate::model::{ClusterView, EvalId, EvalStatus, EvalTrigger, Evaluation, JobKey, Timestamp};
use crate::server::Ctx;
use crate::state::{Key, Snapshot, Table};

/// How many evaluations are planned at the same time.
const WORKERS_MAX: usize = 4;
/// How long one that ran out of attempts waits if no room appears.
const RETRY_PLAN: Duration = Duration::from_secs(60);
/// How long one whose worker could not finish waits before it is leased again: that long the
/// first time, twice as long each further time, up to [`RETRY_PLAN`].
const RETRY_LEASE: Duration = Duration::from_secs(1);

/// Which evaluations are being worked on.
#[derive(Default)]
struct Broker {
    leases: BTreeMap<JobKey, EvalId>,
    /// Those that a worker could not finish: not before that time, and how long they waited.
    resting: BTreeMap<EvalId, (Timestamp, Duration)>,
}

/// What the broker found.
#[derive(Default)]
struct Due {
    evals: Vec<Arc<Evaluation>>,
    /// When to look again even if nothing changes.
    next: Option<Timestamp>,
}

impl Broker {
    /// Leases what is due now, most important first, up to the number of free workers.
    fn lease(&mut self, view: &Snapshot, now: Timestamp) -> Due {
        let mut due = Due::default();
        if view.scheduler_config().pause_eval_broker {
            return due;
        }
        let mut best: BTreeMap<JobKey, Arc<Evaluation>> = BTreeMap::new();
        for eval in view.active_evals() {
            match self.due_at(view, eval) {
                None => {}
                Some(at) if at > now => {
                    due.next = Some(due.next.map_or(at, |next| next.min(at)));
                }
                Some(_) => {
                    let slot = best.entry(eval.job_key()).or_insert_with(|| eval.clone());
                    if rank(eval) > rank(slot) {
                        *slot = eval.clone();
                    }
                }
            }
        }
        let mut free: Vec<_> = best
            .into_iter()
            .filter(|(key, _)| !self.leases.contains_key(key))
            .collect();
        free.sort_by_key(|(_, e)| (std::cmp::Reverse(e.priority), e.create_index, e.id));
        free.truncate(WORKERS_MAX.saturating_sub(self.leases.len()));
        for (key, eval) in free {
            self.leases.insert(key, eval.id);
            due.evals.push(eval);
        }
        let known = |id: &EvalId| view.eval(*id).is_some_and(|e| !e.status.is_terminal());
        self.resting.retain(|id, _| known(id));
        due
    }

    /// When an evaluation may be planned; `None`: not before something changes.
    fn due_at(&self, view: &Snapshot, eval: &Evaluation) -> Option<Timestamp> {
        let at = match eval.status {
            EvalStatus::Pending => eval.wait_until,
            EvalStatus::Blocked if has_room(view, eval) => Timestamp::UNSET,
            EvalStatus::Blocked if eval.trigger == EvalTrigger::MaxPlanAttempts => {
                eval.modify_time.plus(RETRY_PLAN)
            }
            EvalStatus::Blocked
            | EvalStatus::Complete
            | EvalStatus::Failed
            | EvalStatus::Canceled => return None,
        };
        let rest = self.resting.get(&eval.id).map(|(until, _)| *until);
        Some(at.max(rest.unwrap_or_default()))
    }

    /// Takes a lease back.
    fn done(&mut self, end: worker::End, now: Timestamp) {
        self.leases.remove(&end.job);
        if end.finished {
            self.resting.remove(&end.eval);
            return;
        }
        let before = self.resting.get(&end.eval).map(|(_, rest)| *rest);
        let rest = before.map_or(RETRY_LEASE, |rest| (rest * 2).min(RETRY_PLAN));
        self.resting.insert(end.eval, (now.plus(rest), rest));
    }
}

/// The more important goes first: pending before blocked, then priority, then the newest.
fn rank(eval: &Evaluation) -> (bool, u8, crate::model::Index, EvalId) {
    let pending = eval.status == EvalStatus::Pending;
    (pending, eval.priority, eval.modify_index, eval.id)
}

/// Whether room may have appeared for a blocked evaluation since it was planned.
fn has_room(view: &Snapshot, eval: &Evaluation) -> bool {
    view.capacities().any(|(class, at)| {
        let usable = eval.escaped_class || eval.class_eligibility.get(class) != Some(&false);
        usable && at > eval.snapshot_index
    })
}

pub(super) fn start(ctx: &Arc<Ctx>, duties: &Arc<Duties>, term: &TaskGroup) {
    let (own, duties, group) = (ctx.clone(), duties.clone(), term.clone());
    duty(ctx, term, "broker", async move {
        run(&own, &duties, &group).await;
    });
}

async fn run(ctx: &Arc<Ctx>, duties: &Arc<Duties>, term: &TaskGroup) {
    let watcher = ctx.raft.store().watch([
        Key::Table(Table::Evals),
        Key::Table(Table::Allocs),
        Key::Table(Table::Nodes),
        Key::Table(Table::Config),
    ]);
    let (ended, mut ends) = mpsc::channel(WORKERS_MAX);
    let mut broker = Broker::default();
    loop {
        let due = broker.lease(&ctx.snapshot(), ctx.now());
        for eval in due.evals {
            let (ctx, duties, ended) = (ctx.clone(), duties.clone(), ended.clone());
            task(term, "worker", worker::work(ctx, duties, eval, ended));
        }
        tokio::select! {
            biased;
            end = ends.recv() => {
                if let Some(end) = end {
                    broker.done(end, ctx.now());
                }
            }
            () = watcher.changed() => {}
            () = until(ctx, due.next) => {}
        }
    }
}

/// Waits for a wall time; for ever without one.
pub(super) async fn until(ctx: &Ctx, at: Option<Timestamp>) {
    match at {
        // A wall clock that jumps must not make the wait much too long.
        Some(at) => {
            let wait = at.since(ctx.now()).min(Duration::from_secs(60));
            ctx.env
                .clock
                .sleep(wait.max(Duration::from_millis(1)))
                .await;
        }
        None => std::future::pending().await,
    }
}

/// The evaluations of a job that a run of `eval` on `view` has made needless.
pub(super) fn covered(view: &Snapshot, eval: &Evaluation) -> Vec<Evaluation> {
    view.evals_of_job(&eval.job_key())
        .into_iter()
        .filter(|other| other.id != eval.id)
        .filter(|other| other.status == EvalStatus::Pending && !other.wait_until.is_set())
        .map(|other| {
            let mut other = (*other).clone();
            other.status = EvalStatus::Canceled;
            other.status_description = "canceled after more recent eval was processed".to_string();
            other
        })
        .collect()
}
