//! What a job's allocations need so that they match what the job declares.
//!
//! Here: the job and its deployment. One group's share is in [`group`](super::group).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::classify::is_history;
use super::group::{self, GroupWork};
use super::ids::Ids;
use crate::model::deployment::description;
use crate::model::plan::DeploymentUpdate;
use crate::model::{
    Allocation, ClusterView, Deployment, DeploymentGroup, DeploymentId, DeploymentStatus,
    Evaluation, Job, Timestamp,
};

/// What all groups of a job share.
pub(super) struct Context<'a> {
    pub(super) view: &'a dyn ClusterView,
    pub(super) eval: &'a Evaluation,
    pub(super) job: &'a Arc<Job>,
    pub(super) now: Timestamp,
    /// The deployment of this version, unless it succeeded.
    pub(super) deployment: Option<Arc<Deployment>>,
    /// A deployment that this version ends or has behind it.
    pub(super) past: Option<Arc<Deployment>>,
}

impl Context<'_> {
    /// Whether the deployment keeps new placements back.
    pub(super) fn held(&self) -> bool {
        self.deployment.as_ref().is_some_and(|d| {
            matches!(
                d.status,
                DeploymentStatus::Paused | DeploymentStatus::Failed
            )
        })
    }

    /// The group's part of the deployment of this version.
    pub(super) fn deployment_group(&self, name: &str) -> Option<&DeploymentGroup> {
        self.deployment.as_ref()?.groups.get(name)
    }

    /// Whether the allocation belongs to the deployment of this version.
    pub(super) fn is_deployed(&self, alloc: &Allocation) -> bool {
        let id = self.deployment.as_ref().map(|d| d.id);
        id.is_some() && alloc.deployment_id == id
    }
}

/// What a whole job needs.
#[derive(Default)]
pub(super) struct Work {
    pub(super) groups: BTreeMap<String, GroupWork>,
    /// New, or the running one with other targets.
    pub(super) deployment: Option<Deployment>,
    pub(super) deployment_updates: Vec<DeploymentUpdate>,
    /// What placements belong to.
    pub(super) deployment_id: Option<DeploymentId>,
    pub(super) follow_ups: Vec<Evaluation>,
}

/// Compares what runs with what `job` declares; `None` means that it is gone.
pub(super) fn reconcile(
    view: &dyn ClusterView,
    eval: &Evaluation,
    job: Option<&Arc<Job>>,
    now: Timestamp,
    ids: &mut Ids,
) -> Work {
    let key = eval.job_key();
    let allocs = by_group(view.allocs_of_job(&key));
    let latest = view.latest_deployment(&key);
    let mut work = Work {
        deployment_updates: obsolete(latest.as_deref(), job).into_iter().collect(),
        ..Work::default()
    };
    let Some(job) = job.filter(|j| !j.stop) else {
        for (name, allocs) in allocs {
            work.groups
                .insert(name, group::stop_all(view, &allocs, now));
        }
        return work;
    };
    let (deployment, past) = split(latest, job);
    let context = Context {
        view,
        eval,
        job,
        now,
        deployment,
        past,
    };
    reconcile_groups(&context, allocs, ids, &mut work);
    settle_deployment(&context, ids, &mut work);
    work
}

fn reconcile_groups(
    context: &Context<'_>,
    mut allocs: BTreeMap<String, Vec<Arc<Allocation>>>,
    ids: &mut Ids,
    work: &mut Work,
) {
    let job = context.job;
    for declared in &job.spec.groups {
        let mut own = allocs.remove(&declared.name).unwrap_or_default();
        own.retain(|a| !is_history(a, job.version, job.create_index));
        let done = group::reconcile(context, declared, own, ids);
        work.groups.insert(declared.name.clone(), done);
    }
    for (name, removed) in allocs {
        let done = group::stop_all(context.view, &removed, context.now);
        work.groups.insert(name, done);
    }
    for done in work.groups.values_mut() {
        work.follow_ups.append(&mut done.follow_ups);
    }
}

fn by_group(allocs: Vec<Arc<Allocation>>) -> BTreeMap<String, Vec<Arc<Allocation>>> {
    let mut groups: BTreeMap<String, Vec<Arc<Allocation>>> = BTreeMap::new();
    for alloc in allocs {
        groups.entry(alloc.group.clone()).or_default().push(alloc);
    }
    groups
}

fn is_of(deployment: &Deployment, job: &Job) -> bool {
    deployment.job_version == job.version && deployment.job_create_index == job.create_index
}

/// Ends a deployment that its job no longer wants.
fn obsolete(latest: Option<&Deployment>, job: Option<&Arc<Job>>) -> Option<DeploymentUpdate> {
    let latest = latest.filter(|d| d.status.is_active())?;
    let text = match job.filter(|j| !j.stop) {
        None => description::STOPPED_JOB,
        Some(job) if !is_of(latest, job) => description::NEWER_JOB,
        Some(_) => return None,
    };
    Some(DeploymentUpdate {
        id: latest.id,
        status: DeploymentStatus::Cancelled,
        description: text.to_string(),
    })
}

/// The deployment of this version that still decides things, and the one that is past.
fn split(
    latest: Option<Arc<Deployment>>,
    job: &Job,
) -> (Option<Arc<Deployment>>, Option<Arc<Deployment>>) {
    match latest {
        Some(d) if !is_of(&d, job) => (None, Some(d)),
        Some(d)
            if matches!(
                d.status,
                DeploymentStatus::Successful | DeploymentStatus::Cancelled
            ) =>
        {
            (None, Some(d))
        }
        other => (other, None),
    }
}

/// Creates the deployment that some group asks for, or gives the running one new targets.
fn settle_deployment(context: &Context<'_>, ids: &mut Ids, work: &mut Work) {
    let wanted: BTreeMap<String, DeploymentGroup> = work
        .groups
        .iter()
        .filter_map(|(name, g)| Some((name.clone(), g.deployment.clone()?)))
        .collect();
    let starts = work.groups.values().any(|g| g.starts_deployment);
    match &context.deployment {
        Some(running) => {
            let mut next = (**running).clone();
            next.groups.extend(wanted);
            next.status_description = match next.status {
                DeploymentStatus::Running => running_text(&next.groups).to_string(),
                _ => next.status_description,
            };
            work.deployment_id = running.status.is_active().then_some(running.id);
            if next.groups != running.groups {
                work.deployment = Some(next);
            }
        }
        None if starts => {
            let created = create(context, ids, wanted);
            work.deployment_id = Some(created.id);
            work.deployment = Some(created);
        }
        None => {}
    }
}

fn create(
    context: &Context<'_>,
    ids: &mut Ids,
    groups: BTreeMap<String, DeploymentGroup>,
) -> Deployment {
    let job = context.job;
    Deployment {
        id: ids.deployment(),
        namespace: job.spec.namespace.clone(),
        job_id: job.spec.id.clone(),
        job_version: job.version,
        job_modify_index: job.modify_index,
        job_spec_modify_index: job.job_modify_index,
        job_create_index: job.create_index,
        status: DeploymentStatus::Running,
        status_description: running_text(&groups).to_string(),
        groups,
        eval_priority: context.eval.priority,
        create_index: 0,
        modify_index: 0,
        create_time: context.now,
        modify_time: context.now,
    }
}

/// What a running deployment says that it waits for.
fn running_text(groups: &BTreeMap<String, DeploymentGroup>) -> &'static str {
    let mut waiting = groups
        .values()
        .filter(|g| g.desired_canaries > 0 && !g.promoted)
        .peekable();
    if waiting.peek().is_none() {
        return description::RUNNING;
    }
    match waiting.all(|g| g.auto_promote) {
        true => description::RUNNING_AUTO_PROMOTION,
        false => description::RUNNING_NEEDS_PROMOTION,
    }
}
