//! Says why a job, an allocation, an evaluation or a node is as it is.
//!
//! **Owns** the words. Pure: the same view, evaluations and time give the same explanation.
//! **Does not** judge by rules of its own: `placement` asks those that placement asks, and when a
//! failed instance is replaced is told by `reschedule`. Logs and check results are on the
//! clients; whoever asks adds them.
//!
//! Start reading at [`explain`].

mod alloc;
mod eval;
mod job;
mod node;
mod placement;
mod words;

use std::sync::Arc;

use crate::model::why::{Subject, Why};
use crate::model::{ClusterView, EvalStatus, Evaluation, JobKey, Timestamp};

/// What explanations need beside the view.
pub trait Evals {
    /// One evaluation.
    fn eval(&self, id: crate::model::EvalId) -> Option<Arc<Evaluation>>;
    /// Every evaluation of a job that is kept.
    fn of_job(&self, key: &JobKey) -> Vec<Arc<Evaluation>>;
}

/// Everything that an explanation is made from.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    pub view: &'a dyn ClusterView,
    pub evals: &'a dyn Evals,
    pub now: Timestamp,
}

/// Explains a thing; `None` if there is no such thing.
pub fn explain(case: Case<'_>, subject: &Subject) -> Option<Why> {
    match subject {
        Subject::Job(key) => case.view.job(key).map(|job| job::why(case, &job)),
        Subject::Alloc(id) => case.view.alloc(*id).map(|alloc| alloc::why(case, &alloc)),
        Subject::Eval(id) => case.evals.eval(*id).map(|eval| eval::why(case, &eval)),
        Subject::Node(id) => case.view.node(*id).map(|node| node::why(case, &node)),
    }
}

impl Case<'_> {
    /// The job's evaluation that waits for room, if one does.
    fn blocked(&self, key: &JobKey) -> Option<Arc<Evaluation>> {
        let evals = self.evals.of_job(key).into_iter();
        evals
            .filter(|e| e.status == EvalStatus::Blocked)
            .max_by_key(|e| (e.create_time, e.id))
    }

    /// The job's evaluation that a scheduler should take up now, if there is one.
    fn pending(&self, key: &JobKey) -> Option<Arc<Evaluation>> {
        let evals = self.evals.of_job(key).into_iter();
        evals
            .filter(|e| e.status == EvalStatus::Pending && e.wait_until <= self.now)
            .min_by_key(|e| (e.create_time, e.id))
    }
}
