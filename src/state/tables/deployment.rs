//! Deployments by id and job.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::{link, unlink};
use crate::model::{Deployment, DeploymentId, JobKey};

/// Deployments by id.
#[derive(Clone, Default)]
pub(in crate::state) struct Deployments {
    rows: OrdMap<DeploymentId, Arc<Deployment>>,
    by_job: OrdMap<JobKey, OrdSet<DeploymentId>>,
    active: OrdSet<DeploymentId>,
}

impl Deployments {
    pub fn get(&self, id: DeploymentId) -> Option<&Arc<Deployment>> {
        self.rows.get(&id)
    }

    pub fn rows(&self) -> impl Iterator<Item = &Arc<Deployment>> {
        self.rows.values()
    }

    pub fn put(&mut self, deployment: Deployment) -> Option<Arc<Deployment>> {
        link(&mut self.by_job, deployment.job_key(), deployment.id);
        if deployment.status.is_active() {
            self.active.insert(deployment.id);
        } else {
            self.active.remove(&deployment.id);
        }
        self.rows.insert(deployment.id, Arc::new(deployment))
    }

    pub fn remove(&mut self, id: DeploymentId) -> Option<Arc<Deployment>> {
        let old = self.rows.remove(&id)?;
        unlink(&mut self.by_job, &old.job_key(), &id);
        self.active.remove(&id);
        Some(old)
    }

    pub fn of_job(&self, key: &JobKey) -> Vec<Arc<Deployment>> {
        let ids = self.by_job.get(key).into_iter().flatten();
        ids.filter_map(|id| self.rows.get(id).cloned()).collect()
    }

    pub fn job_has_any(&self, key: &JobKey) -> bool {
        self.by_job.contains_key(key)
    }

    /// The newest one of a job.
    pub fn latest(&self, key: &JobKey) -> Option<Arc<Deployment>> {
        let all = self.of_job(key).into_iter();
        all.max_by_key(|d| (d.create_index, d.id))
    }

    /// Running and paused ones, by id.
    pub fn active(&self) -> impl Iterator<Item = &Arc<Deployment>> {
        self.active.iter().filter_map(|id| self.rows.get(id))
    }

    /// Whether a job has a running or paused one.
    pub fn job_is_active(&self, key: &JobKey) -> bool {
        let mut ids = self.by_job.get(key).into_iter().flatten();
        ids.any(|id| self.active.contains(id))
    }
}
