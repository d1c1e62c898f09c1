//! What one group of a job needs: stops, updates and placements.
//!
//! The order of the decisions is the module: sort ([`Sorted`]), drop superseded canaries, stop
//! what is too many, tell updates apart, start canaries, spend the update budget.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::changes::is_destructive;
use super::classify::{Class, classify};
use super::feasible;
use super::ids::Ids;
use super::names::Names;
use super::reconcile::Context;
use super::sorted::Sorted;
use crate::model::diff::DesiredUpdates;
use crate::model::{
    AllocClientStatus, AllocId, Allocation, ClusterView, DeploymentGroup, EvalId, Evaluation, Job,
    TaskGroup, Timestamp,
};

/// Why an allocation is stopped; clients match on some of these.
pub(super) mod reason {
    pub(in crate::scheduler) const NOT_NEEDED: &str = "alloc not needed due to job update";
    pub(in crate::scheduler) const UPDATING: &str = "alloc is being updated due to job update";
    pub(in crate::scheduler) const MIGRATING: &str = "alloc is being migrated";
    pub(in crate::scheduler) const LOST: &str = "alloc is lost since its node is down";
    pub(in crate::scheduler) const UNKNOWN: &str =
        "alloc is unknown since its node is disconnected";
    pub(in crate::scheduler) const RESCHEDULED: &str = "alloc was rescheduled because it failed";
    pub(in crate::scheduler) const RECONNECTED: &str =
        "alloc not needed due to disconnected client reconnect";
}

/// A change of an allocation that stays where it is.
pub(super) struct Stop {
    pub(super) alloc: Arc<Allocation>,
    pub(super) reason: &'static str,
    pub(super) client_status: Option<AllocClientStatus>,
    pub(super) follow_up: Option<EvalId>,
    pub(super) keep_running: bool,
}

impl Stop {
    fn because(alloc: &Arc<Allocation>, reason: &'static str) -> Self {
        Self {
            alloc: alloc.clone(),
            reason,
            client_status: None,
            follow_up: None,
            keep_running: false,
        }
    }

    fn lost(alloc: &Arc<Allocation>) -> Self {
        Self {
            client_status: Some(AllocClientStatus::Lost),
            ..Self::because(alloc, reason::LOST)
        }
    }
}

/// An instance to be placed.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) previous: Option<Arc<Allocation>>,
    pub(super) canary: bool,
    /// The previous one failed: it gets a history, and its node a penalty.
    pub(super) reschedule: bool,
    /// Stop the previous one, with this reason, if and only if this finds a node.
    pub(super) stops_previous: Option<&'static str>,
    /// The version to run, if not the newest.
    pub(super) job: Option<Arc<Job>>,
}

/// What one group needs.
#[derive(Default)]
pub(super) struct GroupWork {
    pub(super) stops: Vec<Stop>,
    /// Take the new version where they are.
    pub(super) in_place: Vec<Arc<Allocation>>,
    pub(super) places: Vec<Place>,
    pub(super) updates: DesiredUpdates,
    /// The group's part of the deployment, if it has one.
    pub(super) deployment: Option<DeploymentGroup>,
    /// Whether a deployment is wanted where none is.
    pub(super) starts_deployment: bool,
    pub(super) follow_ups: Vec<Evaluation>,
}

/// Ends everything of a group whose job or itself is gone.
pub(super) fn stop_all(
    view: &dyn ClusterView,
    allocs: &[Arc<Allocation>],
    now: Timestamp,
) -> GroupWork {
    let mut work = GroupWork::default();
    for alloc in allocs.iter().filter(|a| !a.is_terminal()) {
        let stop = match classify(view, alloc, now) {
            Class::Lost => Stop::lost(alloc),
            Class::Ignore | Class::Keep | Class::Migrate | Class::Disconnecting => {
                Stop::because(alloc, reason::NOT_NEEDED)
            }
        };
        work.stops.push(stop);
    }
    work.updates.stop = work.stops.len() as u64;
    work
}

/// Decides for one group.
pub(super) fn reconcile(
    context: &Context<'_>,
    group: &TaskGroup,
    allocs: Vec<Arc<Allocation>>,
    ids: &mut Ids,
) -> GroupWork {
    let had_this_version = allocs.iter().any(|a| {
        a.job.version == context.job.version && a.job.create_index == context.job.create_index
    });
    let mut sorted = Sorted::sort(context, group, allocs);
    let mut round = Round {
        context,
        group,
        work: GroupWork::default(),
        canaries: BTreeSet::new(),
        names: Names::of(&context.job.spec.id, &group.name, sorted.named()),
        state: new_state(context, group),
    };
    round.stop_superseded_canaries(&mut sorted);
    round.note_canaries(&sorted);
    round.mark_delays(&sorted, ids);
    round.stop_extra(&mut sorted);
    let destructive = round.sort_updates(&sorted);
    let canarying = round.start_canaries(&destructive);
    round.place(&mut sorted, destructive, canarying);
    round.settle(had_this_version);
    round.work
}

/// The group's part of the deployment that is, or of the one that may start.
fn new_state(context: &Context<'_>, group: &TaskGroup) -> Option<DeploymentGroup> {
    let update = group.update.filter(|u| u.max_parallel > 0)?;
    Some(match context.deployment_group(&group.name) {
        Some(known) => known.clone(),
        None => DeploymentGroup {
            auto_revert: update.auto_revert,
            auto_promote: update.auto_promote,
            progress_deadline: update.progress_deadline,
            ..DeploymentGroup::default()
        },
    })
}

/// One group's reconciliation in progress.
struct Round<'a> {
    context: &'a Context<'a>,
    group: &'a TaskGroup,
    work: GroupWork,
    /// Placed canaries of the deployment that is not promoted yet.
    canaries: BTreeSet<AllocId>,
    names: Names,
    state: Option<DeploymentGroup>,
}

impl Round<'_> {
    fn stop(&mut self, stop: Stop) {
        self.names.release(&stop.alloc);
        self.work.updates.stop += 1;
        self.work.stops.push(stop);
    }

    /// Canaries that no promotion can reach any more: of older versions and of a failed one.
    fn stop_superseded_canaries(&mut self, sorted: &mut Sorted) {
        let failed = self
            .context
            .deployment
            .iter()
            .filter(|_| self.context.held());
        let failed = failed.filter(|d| d.status == crate::model::DeploymentStatus::Failed);
        let ids: BTreeSet<AllocId> = failed
            .chain(self.context.past.iter())
            .filter_map(|d| d.groups.get(&self.group.name))
            .filter(|g| !g.promoted)
            .flat_map(|g| g.placed_canaries.iter().copied())
            .collect();
        for (alloc, lost) in sorted.take(&ids) {
            let stop = match lost {
                true => Stop::lost(&alloc),
                false => Stop::because(&alloc, reason::NOT_NEEDED),
            };
            self.stop(stop);
        }
    }

    fn note_canaries(&mut self, sorted: &Sorted) {
        let Some(known) = self.context.deployment_group(&self.group.name) else {
            return;
        };
        if known.desired_canaries > 0 && !known.promoted {
            let placed: BTreeSet<AllocId> = known.placed_canaries.iter().copied().collect();
            self.canaries = sorted
                .keep
                .iter()
                .map(|a| a.id)
                .filter(|id| placed.contains(id))
                .collect();
        }
    }

    fn is_canary(&self, alloc: &Allocation) -> bool {
        self.canaries.contains(&alloc.id)
    }

    /// Marks what waits for a replacement, or for its node, with the evaluation to come.
    fn mark_delays(&mut self, sorted: &Sorted, ids: &mut Ids) {
        self.work.updates.reschedule_later = sorted.later.len() as u64;
        self.work.updates.disconnect = sorted.disconnecting.len() as u64;
        let (stops, evals) = sorted.delays(self.context, self.group, ids);
        self.work.stops.extend(stops);
        self.work.follow_ups.extend(evals);
        for alloc in &sorted.lost {
            self.stop(Stop::lost(alloc));
        }
    }

    /// Stops what is above the count.
    fn stop_extra(&mut self, sorted: &mut Sorted) {
        let counted = |a: &&Arc<Allocation>| !self.canaries.contains(&a.id);
        let have =
            sorted.keep.iter().filter(counted).count() + sorted.migrate.len() + sorted.now.len();
        let mut extra = have.saturating_sub(self.group.count as usize);
        let promoted = self.promoted_names(sorted);
        while extra > 0 {
            let Some((alloc, why)) = sorted.take_one(&self.canaries, &promoted) else {
                break;
            };
            self.stop(Stop::because(&alloc, why));
            extra -= 1;
        }
    }

    /// Names of promoted canaries, whose older namesakes go first.
    fn promoted_names(&self, sorted: &Sorted) -> BTreeMap<String, AllocId> {
        let promoted = self
            .context
            .deployment_group(&self.group.name)
            .filter(|g| g.promoted);
        let Some(state) = promoted else {
            return BTreeMap::new();
        };
        sorted
            .keep
            .iter()
            .filter(|a| state.placed_canaries.contains(&a.id))
            .map(|a| (a.name.clone(), a.id))
            .collect()
    }

    /// Tells apart what stays, what takes the new version in place and what must start anew;
    /// returns the latter in the order of their names.
    fn sort_updates(&mut self, sorted: &Sorted) -> Vec<Arc<Allocation>> {
        let job = self.context.job;
        let mut destructive = Vec::new();
        for alloc in &sorted.keep {
            let same = alloc.job.create_index == job.create_index
                && alloc.job.job_modify_index == job.job_modify_index
                && alloc.job.version == job.version;
            if same || self.is_canary(alloc) {
                self.work.updates.ignore += 1;
            } else if is_destructive(&alloc.job, job, &self.group.name)
                || !feasible::stays_feasible(self.context.view, job, self.group, alloc)
            {
                destructive.push(alloc.clone());
            } else if alloc.is_terminal() {
                self.work.updates.ignore += 1;
            } else {
                self.work.in_place.push(alloc.clone());
            }
        }
        self.work.updates.in_place_update = self.work.in_place.len() as u64;
        destructive.sort_by_key(|a| (a.index(), a.id));
        destructive
    }

    /// Places the canaries that are missing; returns whether the group waits for them.
    fn start_canaries(&mut self, destructive: &[Arc<Allocation>]) -> bool {
        let held = self.context.held();
        let wanted = self.group.update.map_or(0, |u| u.canary);
        let Some(state) = &mut self.state else {
            return false;
        };
        let missing = (wanted as usize).saturating_sub(self.canaries.len());
        if !destructive.is_empty() && !state.promoted && missing > 0 {
            state.desired_canaries = wanted;
            if !held {
                self.work.updates.canary += missing as u64;
                for name in self.names.canaries(missing, destructive) {
                    self.work.places.push(Place {
                        name,
                        previous: None,
                        canary: true,
                        reschedule: false,
                        stops_previous: None,
                        job: None,
                    });
                }
            }
        }
        state.desired_canaries > 0 && !state.promoted
    }

    /// How many allocations may change at once.
    fn budget(&self, sorted: &Sorted, destructive: usize) -> usize {
        let rolling = self.group.update.filter(|u| u.max_parallel > 0);
        let Some(update) = rolling.filter(|_| destructive + sorted.migrate.len() > 0) else {
            return self.group.count as usize;
        };
        let mut budget = update.max_parallel as usize;
        let deployed = sorted.keep.iter().filter(|a| self.context.is_deployed(a));
        for alloc in deployed {
            match alloc.deployment_health.and_then(|h| h.healthy) {
                Some(true) => {}
                Some(false) => return 0,
                None => budget = budget.saturating_sub(1),
            }
        }
        budget
    }

    fn place(&mut self, sorted: &mut Sorted, destructive: Vec<Arc<Allocation>>, canarying: bool) {
        let ready = !canarying && !self.context.held();
        let mut budget = match ready {
            true => self.budget(sorted, destructive.len()),
            false => 0,
        };
        let missing = match sorted.held_until_later() {
            true => Vec::new(),
            false => self.missing(sorted, canarying),
        };
        self.work.updates.reschedule_now = missing.iter().filter(|p| p.reschedule).count() as u64;
        for place in missing {
            let urgent = place.previous.is_some()
                && (!place.reschedule || !self.context.held() || !self.was_deployed(&place));
            if ready || urgent {
                self.work.updates.place += 1;
                self.work.places.push(place);
                budget = budget.saturating_sub(1);
            }
        }
        let now = budget.min(destructive.len());
        self.work.updates.destructive_update = now as u64;
        self.work.updates.ignore += (destructive.len() - now) as u64;
        for alloc in destructive.iter().take(now) {
            self.work.places.push(Place {
                name: alloc.name.clone(),
                canary: false,
                reschedule: false,
                stops_previous: Some(reason::UPDATING),
                job: None,
                previous: Some(alloc.clone()),
            });
        }
        self.migrate(&sorted.migrate);
    }

    fn was_deployed(&self, place: &Place) -> bool {
        place
            .previous
            .as_ref()
            .is_some_and(|p| self.context.is_deployed(p))
    }

    fn migrate(&mut self, leaving: &[Arc<Allocation>]) {
        self.work.updates.migrate = leaving.len() as u64;
        for alloc in leaving {
            self.work
                .stops
                .push(Stop::because(alloc, reason::MIGRATING));
            self.work.places.push(Place {
                name: alloc.name.clone(),
                canary: alloc.deployment_health.is_some_and(|h| h.canary),
                reschedule: false,
                stops_previous: None,
                job: None,
                previous: Some(alloc.clone()),
            });
        }
    }

    /// Replacements first for the failed, then for the lost, then new instances, up to count.
    fn missing(&mut self, sorted: &Sorted, canarying: bool) -> Vec<Place> {
        let counted = |a: &&Arc<Allocation>| !self.canaries.contains(&a.id);
        let kept = sorted.keep.iter().filter(counted).count() + sorted.migrate.len();
        let mut room = (self.group.count as usize).saturating_sub(kept);
        let mut places = Vec::new();
        // While canaries run, what is replaced stays on its own version.
        let version = |a: &Arc<Allocation>| canarying.then(|| a.job.clone());
        let failed = sorted.now.iter().map(|a| (a, true));
        for (alloc, failed) in failed.chain(sorted.lost_to_replace().map(|a| (a, false))) {
            let canary = alloc.deployment_health.is_some_and(|h| h.canary);
            if room == 0 {
                break;
            }
            room -= 1;
            if !failed {
                self.names.claim(alloc);
            }
            places.push(Place {
                name: alloc.name.clone(),
                canary: canary && canarying,
                reschedule: failed,
                stops_previous: (failed && alloc.is_client_terminal())
                    .then_some(reason::RESCHEDULED),
                job: version(alloc).filter(|_| !canary),
                previous: Some(alloc.clone()),
            });
        }
        for name in self.names.next(room) {
            places.push(Place {
                name,
                previous: None,
                canary: false,
                reschedule: false,
                stops_previous: None,
                job: None,
            });
        }
        places
    }

    /// Whether all this is worth a deployment, and what that should reach.
    fn settle(&mut self, had_this_version: bool) {
        let Some(mut state) = self.state.take() else {
            return;
        };
        let updates = self.work.updates;
        let known = self.context.deployment_group(&self.group.name).is_some();
        if !known {
            state.desired_total = self.group.count;
        }
        let changes = updates.destructive_update + updates.in_place_update + updates.canary > 0;
        self.work.starts_deployment = self.context.deployment.is_none()
            && state.desired_total > 0
            && (!had_this_version || changes);
        if state.desired_total == 0 {
            return;
        }
        if known || self.work.starts_deployment || self.context.deployment.is_some() {
            self.work.deployment = Some(state);
        }
    }
}
