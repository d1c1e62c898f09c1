//! Plans what a job needs changed: a view of the cluster and an evaluation become an [`Outcome`].
//!
//! **Owns** nothing: every call is a pure function of its arguments, seed included.
//! **Does not** write state, watch deployments, or decide what is a capacity event.
//!
//! - `reconcile`: which allocations to keep, stop, update and replace, and which are missing;
//!   `classify` sorts them, `group` decides for one group, `reschedule` knows the delays,
//!   `changes` tells in-place from destructive;
//! - `feasible`: which nodes may run a group, and why the others may not;
//! - `rank` and `ports`: which of those fit, and which is best;
//! - `plan`: puts the placements and stops together and reports what could not be placed.
//!
//! Start reading at [`schedule`].

use std::collections::BTreeMap;

use crate::model::diff::DesiredUpdates;
use crate::model::{AllocMetric, Evaluation, JobType, Plan, Timestamp};

mod ids;

/// How often one evaluation is planned again because a part of its plan was refused.
pub fn attempts_max(kind: JobType) -> u32 {
    match kind {
        JobType::Service => 5,
        JobType::Batch => 2,
    }
}

/// What a plan depends on beside the view and the evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Inputs {
    pub now: Timestamp,
    /// Random, for ids, ports and the order among equals.
    pub seed: u128,
    /// 0 for the first try of this evaluation; others follow a plan that was partly refused.
    pub attempt: u32,
}

/// What planning an evaluation came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub plan: Plan,
    pub report: Report,
    /// Delayed evaluations that the plan's allocations name: store them with the plan, even if
    /// the plan is refused in part.
    pub follow_ups: Vec<Evaluation>,
    /// Waits for capacity for what could not be placed. Store it with [`Outcome::eval`], of the
    /// last attempt only.
    pub blocked: Option<Evaluation>,
    /// The evaluation as it ends; `blocked` again if it was a blocked one and still lacks room.
    pub eval: Evaluation,
    /// By group, what the plan does.
    pub annotations: BTreeMap<String, DesiredUpdates>,
}

/// What could not be done, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// By group: why its instances found no node, and how many did not.
    pub unplaced: BTreeMap<String, Unplaced>,
}

/// A group's instances that found no node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unplaced {
    pub count: u32,
    /// What the first of them met; the others met the same or worse.
    pub metric: AllocMetric,
}
