//! What nobody needs any more goes, with its keys.

use super::Txn;
use crate::state::command::{Garbage, Outcome};
use crate::state::key::Key;

impl Txn<'_> {
    /// Removes rows. Their keys stop having an index of their own: the table's, which is newer,
    /// stands in for it, so no index goes back.
    pub(super) fn collect(&mut self, garbage: &Garbage) -> Outcome {
        let mut gone = Vec::new();
        for id in &garbage.allocs {
            if let Some(old) = self.t.allocs.remove(*id) {
                self.remove_services_of(*id);
                for key in [
                    Key::JobAllocs(old.job_key()),
                    Key::NodeAllocs(old.node_id),
                    Key::NodeWanted(old.node_id),
                    Key::EvalAllocs(old.eval_id),
                ] {
                    self.touch(key);
                }
                gone.extend([Key::Alloc(*id), Key::AllocServices(*id)]);
                self.jobs.insert(old.job_key());
            }
        }
        for id in &garbage.evals {
            if let Some(old) = self.t.evals.remove(*id) {
                self.touch(Key::JobEvals(old.job_key()));
                gone.extend([Key::Eval(*id), Key::EvalAllocs(*id)]);
                self.jobs.insert(old.job_key());
            }
        }
        for id in &garbage.deployments {
            if let Some(old) = self.t.deployments.remove(*id) {
                self.touch(Key::JobDeployments(old.job_key()));
                gone.extend([Key::Deployment(*id), Key::DeploymentAllocs(*id)]);
                self.jobs.insert(old.job_key());
            }
        }
        for key in &garbage.jobs {
            if self.t.jobs.remove(key).is_some() {
                self.touch(Key::Job(key.clone()));
            }
        }
        for id in &garbage.nodes {
            if self.t.nodes.remove(*id).is_some() {
                self.touch(Key::Node(*id));
                gone.push(Key::Node(*id));
                self.touch(Key::NodeWanted(*id));
            }
        }
        let touched = std::mem::take(&mut self.jobs);
        for job in touched.iter().chain(&garbage.jobs) {
            let t = &self.t;
            let left = t.jobs.get(job).is_some()
                || t.allocs.job_has_any(job)
                || t.evals.job_has_any(job)
                || t.deployments.job_has_any(job);
            if !left {
                gone.extend([
                    Key::Job(job.clone()),
                    Key::JobAllocs(job.clone()),
                    Key::JobEvals(job.clone()),
                    Key::JobDeployments(job.clone()),
                    Key::JobServices(job.clone()),
                ]);
            }
        }
        self.jobs = touched;
        self.changed.extend(gone.iter().cloned());
        self.forgotten.extend(gone);
        Outcome::Done { evals: Vec::new() }
    }
}
