//! Deployments move on: counters, health, promotion, the end.

use super::{Applying, Txn};
use crate::model::deployment::description;
use crate::model::plan::DeploymentUpdate;
use crate::model::{
    AllocId, Allocation, Deployment, DeploymentHealth, DeploymentId, DeploymentStatus, Evaluation,
    Job, Timestamp,
};
use crate::state::command::Refusal;
use crate::state::key::Key;

impl Txn<'_> {
    /// Keeps a deployment's counters in step with one of its allocations.
    pub(super) fn count_in_deployment(&mut self, old: Option<&Allocation>, new: &mut Allocation) {
        let Some(id) = new.deployment_id else {
            return;
        };
        self.touch(Key::DeploymentAllocs(id));
        let Some(deployment) = self.t.deployments.get(id) else {
            return;
        };
        let mut deployment = (**deployment).clone();
        let Some(group) = deployment.groups.get_mut(&new.group) else {
            return;
        };
        let before = group.clone();
        let old = old.filter(|old| old.deployment_id == Some(id));
        let was = old.and_then(|o| o.deployment_health?.healthy);
        let is = new.deployment_health.and_then(|h| h.healthy);
        if old.is_none() {
            group.placed += 1;
        }
        if was != is {
            match was {
                Some(true) => group.healthy = group.healthy.saturating_sub(1),
                Some(false) => group.unhealthy = group.unhealthy.saturating_sub(1),
                None => {}
            }
            match is {
                Some(true) => group.healthy += 1,
                Some(false) => group.unhealthy += 1,
                None => {}
            }
        }
        let canary = new.deployment_health.is_some_and(|h| h.canary);
        if canary && !group.placed_canaries.contains(&new.id) {
            group.placed_canaries.push(new.id);
        }
        let progressed = is == Some(true) && was != is;
        if !group.progress_deadline.is_zero() && (progressed || !group.require_progress_by.is_set())
        {
            let deadline = self.time.plus(group.progress_deadline);
            group.require_progress_by = group.require_progress_by.max(deadline);
        }
        if *group != before {
            self.put_deployment(deployment);
        }
    }

    /// Gives an existing deployment a new status. A successful one makes its version stable.
    pub(super) fn move_deployment(&mut self, update: &DeploymentUpdate) {
        let Some(deployment) = self.t.deployments.get(update.id) else {
            return;
        };
        let mut deployment = (**deployment).clone();
        if !deployment.status.is_active() {
            return;
        }
        let resumed = deployment.status == DeploymentStatus::Paused
            && update.status == DeploymentStatus::Running;
        if resumed {
            extend_deadlines(&mut deployment, self.time);
        }
        deployment.status = update.status;
        deployment.status_description = update.description.clone();
        let (key, version) = (deployment.job_key(), deployment.job_version);
        self.put_deployment(deployment);
        if update.status == DeploymentStatus::Successful
            && self.t.jobs.version(&key, version).is_some()
        {
            // The version is there, so this cannot be refused.
            let marked = self.job_stability(&key, version, true);
            debug_assert!(marked.is_ok());
        }
    }

    pub(super) fn deployment_status(
        &mut self,
        update: &DeploymentUpdate,
        eval: Option<&Evaluation>,
        revert: Option<&Job>,
    ) -> Applying {
        let known = self.t.deployments.get(update.id);
        let known = known.ok_or(Refusal::NoSuchDeployment)?;
        if !known.status.is_active() {
            return Err(Refusal::DeploymentEnded);
        }
        self.move_deployment(update);
        if let Some(job) = revert {
            self.store_spec(&job.key(), job, None);
            self.jobs.insert(job.key());
        }
        Ok(self.put_evals(eval))
    }

    pub(super) fn deployment_health(
        &mut self,
        id: DeploymentId,
        healthy: &[AllocId],
        unhealthy: &[AllocId],
    ) -> Result<(), Refusal> {
        let known = self.t.deployments.get(id);
        let known = known.ok_or(Refusal::NoSuchDeployment)?;
        if !known.status.is_active() {
            return Err(Refusal::DeploymentEnded);
        }
        let mut all = healthy.iter().chain(unhealthy);
        if all.any(|a| self.t.allocs.get(*a).is_none()) {
            return Err(Refusal::NoSuchAlloc);
        }
        let said = healthy
            .iter()
            .map(|a| (a, true))
            .chain(unhealthy.iter().map(|a| (a, false)));
        for (alloc, healthy) in said {
            let alloc = self.t.allocs.get(*alloc).ok_or(Refusal::NoSuchAlloc)?;
            let mut alloc = (**alloc).clone();
            self.set_health(&mut alloc, healthy, self.time);
            alloc.modify_time = self.time;
            self.put_alloc(alloc, false);
        }
        Ok(())
    }

    /// Makes canaries count as ordinary instances; every canary must be healthy.
    pub(super) fn promote(
        &mut self,
        id: DeploymentId,
        groups: &[String],
        eval: Option<&Evaluation>,
    ) -> Applying {
        let known = self.t.deployments.get(id);
        let mut deployment = (**known.ok_or(Refusal::NoSuchDeployment)?).clone();
        if !deployment.status.is_active() {
            return Err(Refusal::DeploymentEnded);
        }
        let chosen = |name: &String| groups.is_empty() || groups.contains(name);
        let mut canaries = Vec::new();
        for (name, group) in deployment.groups.iter_mut().filter(|(n, _)| chosen(n)) {
            if group.desired_canaries == 0 || group.promoted {
                continue;
            }
            let healthy = group.placed_canaries.iter().filter(|c| {
                let alloc = self.t.allocs.get(**c);
                alloc.is_some_and(|a| is_healthy(a.deployment_health) && !a.is_terminal())
            });
            let healthy = healthy.count();
            if healthy < group.desired_canaries as usize {
                let wanted = group.desired_canaries;
                let text =
                    format!("Task group {name:?} has {healthy}/{wanted} healthy allocations");
                return Err(Refusal::NotPromotable(text));
            }
            group.promoted = true;
            canaries.extend(group.placed_canaries.iter().copied());
        }
        if canaries.is_empty() {
            let text = "no canaries to promote".to_string();
            return Err(Refusal::NotPromotable(text));
        }
        extend_deadlines(&mut deployment, self.time);
        if !deployment.needs_promotion() {
            deployment.status_description = description::RUNNING.to_string();
        }
        self.put_deployment(deployment);
        for canary in canaries {
            if let Some(alloc) = self.t.allocs.get(canary) {
                let mut alloc = (**alloc).clone();
                if let Some(health) = &mut alloc.deployment_health {
                    health.canary = false;
                }
                alloc.modify_time = self.time;
                self.put_alloc(alloc, true);
            }
        }
        Ok(self.put_evals(eval))
    }
}

fn is_healthy(health: Option<DeploymentHealth>) -> bool {
    health.is_some_and(|h| h.healthy == Some(true))
}

/// Gives every unfinished group its whole time again.
fn extend_deadlines(deployment: &mut Deployment, now: Timestamp) {
    for group in deployment.groups.values_mut() {
        if group.require_progress_by.is_set() {
            group.require_progress_by = now.plus(group.progress_deadline);
        }
    }
}
