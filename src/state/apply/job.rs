//! Jobs come, change, stop and go.

use std::collections::BTreeMap;

use super::{Applying, Txn};
use crate::model::job::JobSubmission;
use crate::model::{Evaluation, Index, Job, JobKey, JobStatus};
use crate::state::command::{Outcome, Refusal};
use crate::state::key::Key;
use crate::state::tables::job::JobRow;

impl Txn<'_> {
    /// Stores a job and the evaluation that looks at it.
    ///
    /// The same spec again changes nothing about the job, but is evaluated all the same.
    pub(super) fn register_job(
        &mut self,
        job: &Job,
        submission: Option<&JobSubmission>,
        eval: Option<&Evaluation>,
        enforce: Option<Index>,
    ) -> Applying {
        let key = job.key();
        let found = self.t.jobs.get(&key).map(|j| j.job_modify_index);
        if let Some(expected) = enforce
            && expected != found.unwrap_or(0)
        {
            return Err(Refusal::EnforceIndex { expected, found });
        }
        let changed = self.store_spec(&key, job, submission);
        let stored = self.t.jobs.get(&key).ok_or(Refusal::NoSuchJob)?;
        let (version, job_modify_index) = (stored.version, stored.job_modify_index);
        let eval = eval.map(|eval| {
            let mut eval = eval.clone();
            eval.job_modify_index = job_modify_index;
            self.put_eval(eval)
        });
        self.jobs.insert(key);
        Ok(Outcome::Registered {
            version,
            job_modify_index,
            changed,
            eval,
        })
    }

    /// Stores a spec as the job's newest version; returns whether it differed from the last.
    pub(super) fn store_spec(
        &mut self,
        key: &JobKey,
        job: &Job,
        submission: Option<&JobSubmission>,
    ) -> bool {
        let old = self.t.jobs.row(key).cloned();
        let current = old.as_ref().and_then(|row| row.versions.first());
        if current.is_some_and(|c| c.spec == job.spec && c.stop == job.stop) {
            return false;
        }
        let mut next = job.clone();
        next.version = current.map_or(0, |c| c.version + 1);
        next.create_index = current.map_or(self.index, |c| c.create_index);
        next.status = current.map_or(JobStatus::Pending, |c| c.status);
        next.modify_index = self.index;
        next.job_modify_index = self.index;
        let mut row = old.map_or_else(empty_row, |row| (*row).clone());
        row.push(next, submission.cloned());
        self.t.jobs.put(key.clone(), row);
        self.touch(Key::Job(key.clone()));
        true
    }

    pub(super) fn deregister_job(
        &mut self,
        key: &JobKey,
        purge: bool,
        no_shutdown_delay: bool,
        eval: Option<&Evaluation>,
    ) -> Applying {
        let row = self.t.jobs.row(key).cloned().ok_or(Refusal::NoSuchJob)?;
        let current = row.versions.first().ok_or(Refusal::NoSuchJob)?;
        if no_shutdown_delay {
            self.skip_shutdown_delay(key);
        }
        let version = if purge {
            self.t.jobs.remove(key);
            self.touch(Key::Job(key.clone()));
            current.version
        } else {
            let mut stopped = (**current).clone();
            stopped.stop = true;
            stopped.version += 1;
            stopped.stable = false;
            stopped.submit_time = self.time;
            stopped.modify_index = self.index;
            stopped.job_modify_index = self.index;
            let version = stopped.version;
            let mut row = (*row).clone();
            row.push(stopped, None);
            self.t.jobs.put(key.clone(), row);
            self.touch(Key::Job(key.clone()));
            version
        };
        let eval = eval.map(|eval| {
            let mut eval = eval.clone();
            eval.job_modify_index = self.index;
            self.put_eval(eval)
        });
        self.jobs.insert(key.clone());
        Ok(Outcome::Registered {
            version,
            job_modify_index: self.index,
            changed: true,
            eval,
        })
    }

    fn skip_shutdown_delay(&mut self, key: &JobKey) {
        for alloc in self.t.allocs.of_job(key) {
            if !alloc.is_client_terminal() {
                let mut alloc = (*alloc).clone();
                alloc.transition.no_shutdown_delay = Some(true);
                self.put_alloc(alloc, true);
            }
        }
    }

    pub(super) fn job_stability(&mut self, key: &JobKey, version: u64, stable: bool) -> Applying {
        let row = self.t.jobs.row(key).cloned().ok_or(Refusal::NoSuchJob)?;
        let job = row.versions.iter().find(|j| j.version == version);
        let mut job = (**job.ok_or(Refusal::NoSuchVersion(version))?).clone();
        if job.stable != stable {
            job.stable = stable;
            self.replace_version(key, &row, job);
        }
        Ok(Outcome::Done { evals: Vec::new() })
    }
}

fn empty_row() -> JobRow {
    JobRow {
        versions: Vec::new(),
        submissions: BTreeMap::new(),
        queued: BTreeMap::new(),
    }
}
