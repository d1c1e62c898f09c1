//! Evaluations by id and job, and those that something will still come of.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::{count, link, unlink};
use crate::model::{EvalId, Evaluation, JobKey};

/// Evaluations by id.
#[derive(Clone, Default)]
pub(in crate::state) struct Evals {
    rows: OrdMap<EvalId, Arc<Evaluation>>,
    by_job: OrdMap<JobKey, OrdSet<EvalId>>,
    active: OrdSet<EvalId>,
    active_by_job: OrdMap<JobKey, u32>,
}

impl Evals {
    pub fn get(&self, id: EvalId) -> Option<&Arc<Evaluation>> {
        self.rows.get(&id)
    }

    pub fn rows(&self) -> impl Iterator<Item = &Arc<Evaluation>> {
        self.rows.values()
    }

    pub fn put(&mut self, eval: Evaluation) -> Option<Arc<Evaluation>> {
        let old = self.rows.get(&eval.id).cloned();
        if let Some(old) = &old {
            self.forget(old);
        }
        link(&mut self.by_job, eval.job_key(), eval.id);
        if !eval.status.is_terminal() {
            self.active.insert(eval.id);
            count(&mut self.active_by_job, &eval.job_key(), 1);
        }
        self.rows.insert(eval.id, Arc::new(eval));
        old
    }

    pub fn remove(&mut self, id: EvalId) -> Option<Arc<Evaluation>> {
        let old = self.rows.remove(&id)?;
        self.forget(&old);
        Some(old)
    }

    fn forget(&mut self, old: &Evaluation) {
        unlink(&mut self.by_job, &old.job_key(), &old.id);
        if !old.status.is_terminal() {
            self.active.remove(&old.id);
            count(&mut self.active_by_job, &old.job_key(), -1);
        }
    }

    pub fn of_job(&self, key: &JobKey) -> Vec<Arc<Evaluation>> {
        let ids = self.by_job.get(key).into_iter().flatten();
        ids.filter_map(|id| self.rows.get(id).cloned()).collect()
    }

    pub fn job_has_any(&self, key: &JobKey) -> bool {
        self.by_job.contains_key(key)
    }

    /// Pending and blocked ones, by id.
    pub fn active(&self) -> impl Iterator<Item = &Arc<Evaluation>> {
        self.active.iter().filter_map(|id| self.rows.get(id))
    }

    /// How many of a job's evaluations are not terminal.
    pub fn active_of(&self, key: &JobKey) -> u32 {
        self.active_by_job.get(key).copied().unwrap_or(0)
    }
}
