//! What of a plan still fits becomes true.

use std::sync::Arc;

use super::Txn;
use crate::model::plan::{PlanResult, PlannedStop};
use crate::model::verify::verify;
use crate::model::{
    AllocClientStatus, AllocDesiredStatus, AllocId, Allocation, Evaluation, Job, Plan,
};
use crate::state::command::Outcome;
use crate::state::snapshot::Snapshot;

impl Txn<'_> {
    /// Verifies a plan once more, on exactly the state that it meets, and applies what fits.
    pub(super) fn apply_plan(
        &mut self,
        plan: &Plan,
        follow_ups: &[Evaluation],
        ends: &[Evaluation],
    ) -> Outcome {
        let view = Snapshot {
            tables: Arc::new(self.t.clone()),
        };
        let verdict = verify(&view, plan);
        drop(view);
        let fits = verdict.accepted(plan);
        for stop in fits.stops.values().flatten() {
            self.stop(stop);
        }
        let mut placed = Vec::new();
        if let Some(deployment) = &fits.deployment {
            let mut deployment = deployment.clone();
            if let Some(known) = self.t.deployments.get(deployment.id) {
                // Counters belong to the state; the plan only says what is wanted.
                for (name, group) in &mut deployment.groups {
                    if let Some(known) = known.groups.get(name) {
                        group.placed = known.placed;
                        group.healthy = known.healthy;
                        group.unhealthy = known.unhealthy;
                        group.placed_canaries = known.placed_canaries.clone();
                        group.require_progress_by = known.require_progress_by;
                    }
                }
            } else {
                for group in deployment.groups.values_mut() {
                    group.placed_canaries.clear();
                    (group.placed, group.healthy, group.unhealthy) = (0, 0, 0);
                }
            }
            self.put_deployment(deployment);
        }
        for alloc in fits.places.into_values().flatten() {
            placed.push((alloc.id, alloc.previous));
            self.place(alloc);
        }
        for (id, previous) in placed {
            self.chain(id, previous);
        }
        for update in &fits.deployment_updates {
            self.move_deployment(update);
        }
        self.put_evals(follow_ups);
        if verdict.refused.is_empty() {
            self.put_evals(ends);
        }
        Outcome::Planned(PlanResult {
            refresh_index: match verdict.refused.is_empty() {
                true => 0,
                false => self.index,
            },
            refused: verdict.refused,
            index: self.index,
        })
    }

    fn stop(&mut self, stop: &PlannedStop) {
        let Some(alloc) = self.t.allocs.get(stop.id) else {
            return;
        };
        let mut alloc = (**alloc).clone();
        if !stop.keep_running {
            alloc.desired = AllocDesiredStatus::Stop;
        }
        if !stop.description.is_empty() {
            alloc.desired_description = stop.description.clone();
        }
        if let Some(status) = stop.client_status {
            alloc.client_status = status;
        }
        if stop.follow_up.is_some() {
            alloc.follow_up = stop.follow_up;
        }
        alloc.modify_time = self.time;
        self.put_alloc(alloc, true);
    }

    /// Stores a placement: a new allocation, or a new version of one that goes on running.
    fn place(&mut self, mut alloc: Allocation) {
        alloc.job = self.shared_job(&alloc.job);
        alloc.modify_time = self.time;
        if let Some(old) = self.t.allocs.get(alloc.id) {
            alloc.create_index = old.create_index;
            alloc.create_time = old.create_time;
            alloc.next = old.next;
            if alloc.client_status != AllocClientStatus::Unknown {
                alloc.client_status = old.client_status;
            }
            alloc.client_description = old.client_description.clone();
            alloc.task_states = old.task_states.clone();
        } else {
            alloc.create_index = self.index;
            alloc.create_time = self.time;
        }
        self.put_alloc(alloc, true);
    }

    /// The state's own copy of a job if it is the same, so that it is kept once.
    fn shared_job(&self, job: &Arc<Job>) -> Arc<Job> {
        match self.t.jobs.version(&job.key(), job.version) {
            Some(stored) if stored == job => stored.clone(),
            Some(_) | None => job.clone(),
        }
    }

    /// Tells the allocation that was replaced by whom.
    fn chain(&mut self, id: AllocId, previous: Option<AllocId>) {
        let Some(previous) = previous.and_then(|p| self.t.allocs.get(p)) else {
            return;
        };
        if previous.next != Some(id) {
            let mut previous = (**previous).clone();
            previous.next = Some(id);
            self.put_alloc(previous, false);
        }
    }
}
