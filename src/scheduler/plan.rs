//! Puts stops, updates and placements together to a plan, and tells what found no node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::feasible::{Candidates, Feasible, Rules};
use super::group::{GroupWork, Place, Stop};
use super::ids::Ids;
use super::rank::{Ranker, Rooms, Wish};
use super::reconcile::Work;
use super::reschedule::history;
use super::{Report, Unplaced};
use crate::model::plan::PlannedStop;
use crate::model::{
    AllocClientStatus, AllocDesiredStatus, AllocId, AllocMetric, AllocatedResources, Allocation,
    ClusterView, DeploymentHealth, DeploymentId, DesiredTransition, Evaluation, Index, Job, Node,
    Plan, TaskGroup, Timestamp,
};

/// What placing came to, for the evaluation and what may wait behind it.
#[derive(Default)]
pub(super) struct Placed {
    pub(super) report: Report,
    /// By computed class, over all groups that lacked room: whether it may run one of them.
    pub(super) classes: BTreeMap<String, bool>,
    /// Whether a rule told apart nodes of one class.
    pub(super) escaped: bool,
}

/// Fills a plan.
pub(super) struct Builder<'a> {
    view: &'a dyn ClusterView,
    eval: &'a Evaluation,
    now: Timestamp,
    ids: &'a mut Ids,
    deployment: Option<DeploymentId>,
    pub(super) plan: Plan,
    pub(super) placed: Placed,
}

impl<'a> Builder<'a> {
    /// An empty plan for `eval`.
    pub(super) fn new(
        view: &'a dyn ClusterView,
        eval: &'a Evaluation,
        now: Timestamp,
        ids: &'a mut Ids,
        work: &mut Work,
    ) -> Self {
        let plan = Plan {
            eval_id: Some(eval.id),
            priority: eval.priority,
            snapshot_index: view.index(),
            deployment: work.deployment.take(),
            deployment_updates: std::mem::take(&mut work.deployment_updates),
            ..Plan::default()
        };
        Self {
            view,
            eval,
            now,
            ids,
            deployment: work.deployment_id,
            plan,
            placed: Placed::default(),
        }
    }

    /// Adds everything that `work` wants.
    pub(super) fn fill(&mut self, job: Option<&Arc<Job>>, work: &Work) {
        for stop in work.groups.values().flat_map(|g| &g.stops) {
            self.stop(stop);
        }
        let Some(job) = job else { return };
        self.plan.job = Some(job.clone());
        self.plan.all_at_once = job.spec.all_at_once;
        for alloc in work.groups.values().flat_map(|g| &g.in_place) {
            self.update(job, alloc);
        }
        let staying = self.staying(work);
        let mut rooms = Rooms::new(self.view, staying.iter());
        let candidates = Candidates::of(self.view, job);
        for (name, group_work) in &work.groups {
            if let Some(group) = job.group(name).filter(|_| !group_work.places.is_empty()) {
                self.place_group(job, group, group_work, &candidates, &mut rooms, &staying);
            }
        }
    }

    /// The job's instances that the plan leaves running.
    fn staying(&self, work: &Work) -> Vec<Arc<Allocation>> {
        let stops = work.groups.values().flat_map(|g| &g.stops);
        let stopped = stops.filter(|s| !s.keep_running).map(|s| s.alloc.id);
        let places = work.groups.values().flat_map(|g| &g.places);
        let replaced = places
            .filter(|p| p.stops_previous.is_some())
            .filter_map(|p| p.previous.as_ref().map(|a| a.id));
        let leaving: BTreeSet<AllocId> = stopped.chain(replaced).collect();
        let mut allocs = self.view.allocs_of_job(&self.eval.job_key());
        allocs.retain(|a| !a.is_terminal() && !leaving.contains(&a.id));
        allocs
    }

    fn stop(&mut self, stop: &Stop) {
        let planned = PlannedStop {
            id: stop.alloc.id,
            description: stop.reason.to_string(),
            client_status: stop.client_status,
            follow_up: stop.follow_up,
            keep_running: stop.keep_running,
        };
        let node = self.plan.stops.entry(stop.alloc.node_id).or_default();
        node.push(planned);
    }

    /// Gives a running allocation the new version where it is.
    fn update(&mut self, job: &Arc<Job>, alloc: &Arc<Allocation>) {
        let mut next = (**alloc).clone();
        next.job = job.clone();
        next.eval_id = self.eval.id;
        if self.deployment.is_some() && next.deployment_id != self.deployment {
            next.deployment_id = self.deployment;
            next.deployment_health = None;
        }
        self.plan
            .places
            .entry(alloc.node_id)
            .or_default()
            .push(next);
    }

    fn place_group(
        &mut self,
        job: &Arc<Job>,
        group: &TaskGroup,
        work: &GroupWork,
        candidates: &Candidates,
        rooms: &mut Rooms<'_>,
        staying: &[Arc<Allocation>],
    ) {
        let mut newest = self.ranker(job, group, candidates, staying);
        for place in &work.places {
            let kept = place.job.as_ref().filter(|j| j.version != job.version);
            match kept.and_then(|j| Some((j, j.group(&group.name)?))) {
                None => self.place(&mut newest, job, place, rooms),
                Some((old, old_group)) => {
                    let mut ranker = self.ranker(old, old_group, candidates, staying);
                    self.place(&mut ranker, old, place, rooms);
                }
            }
        }
        if self.placed.report.unplaced.contains_key(&group.name) {
            for (class, may) in &newest.feasible.classes {
                *self.placed.classes.entry(class.clone()).or_default() |= may;
            }
            self.placed.escaped |= Rules::of(job, group).escape_classes();
        }
    }

    fn ranker<'b>(
        &mut self,
        job: &'b Job,
        group: &'b TaskGroup,
        candidates: &Candidates,
        staying: &[Arc<Allocation>],
    ) -> Ranker<'b> {
        let mut rules = Rules::of(job, group);
        let feasible = Feasible::of(candidates, &mut rules);
        let seed = self.ids.number();
        let mut ranker = Ranker::new(self.view, job, group, rules, feasible, seed);
        ranker.note_present(self.view, staying);
        ranker
    }

    fn place(
        &mut self,
        ranker: &mut Ranker<'_>,
        job: &Arc<Job>,
        place: &Place,
        rooms: &mut Rooms<'_>,
    ) {
        let group = ranker.group_name().to_string();
        let before = self.placed.report.unplaced.get_mut(&group);
        if let Some(before) = before.filter(|_| place.previous.is_none()) {
            // The same ask met no room a moment ago, and nothing has left since.
            before.count += 1;
            before.metric.coalesced_failures += 1;
            return;
        }
        let previous = place.previous.as_deref();
        let leaving = previous.filter(|_| self.leaves(place));
        let wish = Wish {
            leaving,
            avoid: avoided(place),
        };
        let (node, metric) = ranker.choose(rooms, &wish);
        let placed = node.and_then(|node| {
            let used = rooms.on(node.id).usage().ports.clone();
            let ports = ranker.asks.assign(&node, &used, self.ids)?;
            let mut resources = ranker.resources.clone();
            resources.ports = ports;
            Some((node, resources))
        });
        let Some((node, resources)) = placed else {
            self.unplaced(&group, metric);
            return;
        };
        rooms.take(node.id, &group, &resources, leaving);
        ranker.placed(&node);
        let alloc = self.allocation(job, &group, place, &node, resources, metric);
        self.plan.places.entry(node.id).or_default().push(alloc);
        if let (Some(reason), Some(previous)) = (place.stops_previous, &place.previous) {
            self.stop(&Stop {
                alloc: previous.clone(),
                reason,
                client_status: None,
                follow_up: None,
                keep_running: false,
            });
        }
    }

    /// Whether the instance's predecessor ends by this plan, so that on its node the new one
    /// may count on its room: the client starts it only when the old one has ended.
    fn leaves(&self, place: &Place) -> bool {
        let stopped = |a: &Arc<Allocation>| {
            let stops = self.plan.stops.get(&a.node_id).into_iter().flatten();
            stops.into_iter().any(|s| s.id == a.id && !s.keep_running)
        };
        place.stops_previous.is_some() || place.previous.as_ref().is_some_and(stopped)
    }

    fn unplaced(&mut self, group: &str, metric: AllocMetric) {
        match self.placed.report.unplaced.get_mut(group) {
            Some(before) => {
                before.count += 1;
                before.metric.coalesced_failures += 1;
            }
            None => {
                let first = Unplaced { count: 1, metric };
                self.placed.report.unplaced.insert(group.to_string(), first);
            }
        }
    }

    fn allocation(
        &mut self,
        job: &Arc<Job>,
        group: &str,
        place: &Place,
        node: &Node,
        resources: AllocatedResources,
        metrics: AllocMetric,
    ) -> Allocation {
        let deployed = place.job.as_ref().is_none_or(|j| Arc::ptr_eq(j, job));
        let newest = self
            .plan
            .job
            .as_ref()
            .is_some_and(|j| j.version == job.version);
        let deployment_id = self.deployment.filter(|_| deployed && newest);
        let previous = place.previous.as_deref();
        let policy = job.group(group).map(|g| g.reschedule);
        Allocation {
            id: self.ids.alloc(),
            namespace: job.spec.namespace.clone(),
            eval_id: self.eval.id,
            name: place.name.clone(),
            node_id: node.id,
            node_name: node.name.clone(),
            job_id: job.spec.id.clone(),
            job: job.clone(),
            group: group.to_string(),
            resources,
            metrics,
            desired: AllocDesiredStatus::Run,
            desired_description: String::new(),
            transition: DesiredTransition::default(),
            client_status: AllocClientStatus::Pending,
            client_description: String::new(),
            task_states: BTreeMap::new(),
            deployment_id,
            deployment_health: (place.canary && deployment_id.is_some()).then(|| {
                DeploymentHealth {
                    canary: true,
                    ..DeploymentHealth::default()
                }
            }),
            previous: previous.map(|p| p.id),
            next: None,
            reschedules: match (previous, policy) {
                (Some(p), Some(policy)) if place.reschedule => history(p, &policy, self.now),
                (Some(p), _) if place.stops_previous.is_none() => p.reschedules.clone(),
                (Some(_) | None, _) => Vec::new(),
            },
            follow_up: None,
            create_index: Index::default(),
            modify_index: Index::default(),
            alloc_modify_index: Index::default(),
            create_time: self.now,
            modify_time: self.now,
        }
    }
}

/// The nodes where a rescheduled instance failed before.
fn avoided(place: &Place) -> Vec<crate::model::NodeId> {
    let Some(previous) = place.previous.as_ref().filter(|_| place.reschedule) else {
        return Vec::new();
    };
    let past = previous.reschedules.iter().map(|e| e.previous_node);
    past.chain([previous.node_id]).collect()
}
