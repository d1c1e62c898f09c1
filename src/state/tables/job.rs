//! Jobs with their kept versions and submissions.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::model::job::JobSubmission;
use crate::model::{Job, JobKey};

/// How many versions of a job are kept.
pub const VERSIONS_MAX: usize = 6;

/// Jobs by key.
#[derive(Clone, Default)]
pub(in crate::state) struct Jobs {
    rows: OrdMap<JobKey, Arc<JobRow>>,
}

/// One job. Never without a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRow {
    /// Newest first; the first is the job as it is.
    pub versions: Vec<Arc<Job>>,
    /// By version.
    pub submissions: BTreeMap<u64, Arc<JobSubmission>>,
    /// Instances that the last evaluation could not place, by group.
    pub queued: BTreeMap<String, u32>,
}

impl JobRow {
    /// Puts a new version first and drops the oldest beyond [`VERSIONS_MAX`]; the newest stable
    /// one stays.
    pub fn push(&mut self, job: Job, submission: Option<JobSubmission>) {
        if let Some(submission) = submission {
            self.submissions.insert(job.version, Arc::new(submission));
        }
        self.versions.insert(0, Arc::new(job));
        while self.versions.len() > VERSIONS_MAX {
            let last = self.versions.len() - 1;
            let newest_stable = self.versions.iter().position(|j| j.stable);
            let victim = if newest_stable == Some(last) {
                last - 1
            } else {
                last
            };
            let gone = self.versions.remove(victim);
            self.submissions.remove(&gone.version);
        }
    }
}

impl Jobs {
    pub fn row(&self, key: &JobKey) -> Option<&Arc<JobRow>> {
        self.rows.get(key)
    }

    pub fn get(&self, key: &JobKey) -> Option<&Arc<Job>> {
        self.rows.get(key)?.versions.first()
    }

    pub fn version(&self, key: &JobKey, version: u64) -> Option<&Arc<Job>> {
        self.rows
            .get(key)?
            .versions
            .iter()
            .find(|j| j.version == version)
    }

    pub fn put(&mut self, key: JobKey, row: JobRow) {
        self.rows.insert(key, Arc::new(row));
    }

    pub fn remove(&mut self, key: &JobKey) -> Option<Arc<JobRow>> {
        self.rows.remove(key)
    }

    pub fn rows(&self) -> impl Iterator<Item = (&JobKey, &Arc<JobRow>)> {
        self.rows.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::testing::job;

    #[test]
    fn the_newest_stable_version_outlives_six_others() {
        let mut row = JobRow {
            versions: Vec::new(),
            submissions: BTreeMap::new(),
            queued: BTreeMap::new(),
        };
        for version in 0..10 {
            let mut job = job("web", 1);
            job.version = version;
            job.stable = version == 1 || version == 0;
            row.push(
                job,
                Some(JobSubmission {
                    source: String::new(),
                    format: "hcl2".into(),
                    variable_flags: BTreeMap::new(),
                    variables: String::new(),
                }),
            );
        }
        let kept: Vec<u64> = row.versions.iter().map(|j| j.version).collect();
        assert_eq!(kept, [9, 8, 7, 6, 5, 1]);
        assert_eq!(
            row.submissions.keys().copied().collect::<Vec<_>>(),
            [1, 5, 6, 7, 8, 9]
        );
    }
}
