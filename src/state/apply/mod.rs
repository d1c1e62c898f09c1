//! One command's way into the tables.
//!
//! [`Txn`] is what the handlers write through: it stamps indexes, remembers which keys changed,
//! and keeps what follows from a change: deployment counters, job status, capacity.

mod alloc;
mod collect;
mod deployment;
mod job;
mod node;
mod plan;
mod pool;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::command::{COMMAND_VERSION, Change, Command, Outcome, Refusal};
use super::key::{Key, Table};
use super::tables::Tables;
use super::tables::job::JobRow;
use crate::model::{
    Allocation, Deployment, EvalId, EvalStatus, Evaluation, Index, Job, JobKey, JobStatus, Node,
    Timestamp,
};

/// What a handler answers.
type Applying = Result<Outcome, Refusal>;

/// Applies `command` at `index`.
pub(super) fn apply(t: &mut Tables, index: Index, command: &Command) -> (Outcome, BTreeSet<Key>) {
    let mut txn = Txn {
        t,
        index,
        time: command.time,
        changed: BTreeSet::new(),
        jobs: BTreeSet::new(),
        forgotten: BTreeSet::new(),
    };
    let result = if command.version > COMMAND_VERSION {
        Err(Refusal::UnknownVersion(command.version))
    } else {
        txn.dispatch(&command.change)
    };
    txn.settle();
    (result.unwrap_or_else(Outcome::Refused), txn.changed)
}

/// The changes of one command in the making.
struct Txn<'a> {
    t: &'a mut Tables,
    index: Index,
    time: Timestamp,
    changed: BTreeSet<Key>,
    /// Jobs whose status may have changed.
    jobs: BTreeSet<JobKey>,
    /// Keys of rows that are gone: they keep no index of their own.
    forgotten: BTreeSet<Key>,
}

impl Txn<'_> {
    fn dispatch(&mut self, change: &Change) -> Applying {
        match change {
            Change::Barrier => Ok(Outcome::Done { evals: Vec::new() }),
            Change::RegisterJob {
                job,
                submission,
                eval,
                enforce_index,
            } => self.register_job(job, submission.as_ref(), eval.as_deref(), *enforce_index),
            Change::DeregisterJob {
                key,
                purge,
                no_shutdown_delay,
                eval,
            } => self.deregister_job(key, *purge, *no_shutdown_delay, eval.as_deref()),
            Change::JobStability {
                key,
                version,
                stable,
            } => self.job_stability(key, *version, *stable),
            Change::UpsertEvals(evals) => Ok(self.put_evals(evals)),
            Change::ApplyPlan {
                plan,
                follow_ups,
                ends,
            } => Ok(self.apply_plan(&plan.0, follow_ups, ends)),
            Change::UpsertNode { node, evals } => Ok(self.upsert_node(node, evals)),
            Change::NodeStatus {
                id,
                status,
                description,
                event,
                evals,
            } => self.node_status(*id, *status, description, event.as_ref(), evals),
            Change::NodeEligibility {
                id,
                eligibility,
                event,
                evals,
            } => self.node_eligibility(*id, *eligibility, event.as_ref(), evals),
            Change::NodeDrain {
                id,
                drain,
                status,
                mark_eligible,
                meta,
                event,
                evals,
            } => {
                self.node_drain(*id, *drain, *status, *mark_eligible, meta.as_ref(), event)?;
                Ok(self.put_evals(evals))
            }
            Change::UpdateAllocs { updates, evals } => Ok(self.update_allocs(updates, evals)),
            Change::Transition {
                allocs,
                transition,
                evals,
            } => self.transition(allocs, *transition, evals),
            Change::UpsertDeployment(deployment) => {
                self.put_deployment((**deployment).clone());
                Ok(Outcome::Done { evals: Vec::new() })
            }
            Change::DeploymentStatus {
                update,
                eval,
                revert,
            } => self.deployment_status(update, eval.as_deref(), revert.as_deref()),
            Change::DeploymentHealth {
                id,
                healthy,
                unhealthy,
                update,
                eval,
                revert,
            } => {
                self.deployment_health(*id, healthy, unhealthy)?;
                if let Some(update) = update {
                    return self.deployment_status(update, eval.as_deref(), revert.as_deref());
                }
                Ok(self.put_evals(eval.as_deref()))
            }
            Change::PromoteDeployment { id, groups, eval } => {
                self.promote(*id, groups, eval.as_deref())
            }
            Change::SchedulerConfig { config, cas } => self.scheduler_config(config, *cas),
            Change::SetServices { alloc, services } => self.set_services(*alloc, services),
            Change::DeleteService { namespace, id } => {
                let key = (namespace.clone(), id.clone());
                match self.remove_service(&key) {
                    true => Ok(Outcome::Done { evals: Vec::new() }),
                    false => Err(Refusal::NoSuchService),
                }
            }
            Change::Collect(garbage) => Ok(self.collect(garbage)),
            Change::UpsertPool(pool) => self.upsert_pool(pool),
            Change::DeletePool(name) => self.delete_pool(name),
        }
    }

    /// Remembers that `key` changed.
    fn touch(&mut self, key: Key) {
        self.changed.insert(Key::Table(key.table()));
        self.changed.insert(key);
    }

    /// Finishes the command: job statuses, then the index of each changed key.
    fn settle(&mut self) {
        for key in std::mem::take(&mut self.jobs) {
            self.settle_job(&key);
        }
        for key in &self.changed {
            if self.forgotten.contains(key) {
                self.t.changed_at.remove(key);
            } else {
                self.t.changed_at.insert(key.clone(), self.index);
            }
        }
    }

    /// A job runs while anything of it lives, is pending while somebody will look at it or
    /// nobody did yet, and is dead otherwise.
    fn settle_job(&mut self, key: &JobKey) {
        let Some(row) = self.t.jobs.row(key).cloned() else {
            return;
        };
        let Some(job) = row.versions.first() else {
            return;
        };
        let runs = self.t.allocs.live(key) > 0 || self.t.deployments.job_is_active(key);
        let looked_at = self.t.evals.job_has_any(key) || self.t.allocs.job_has_any(key);
        let status = if runs {
            JobStatus::Running
        } else if !job.stop
            && (self.t.evals.active_of(key) > 0 || (!looked_at && job.status != JobStatus::Dead))
        {
            JobStatus::Pending
        } else {
            JobStatus::Dead
        };
        if status != job.status {
            let mut job = (**job).clone();
            job.status = status;
            self.replace_version(key, &row, job);
        }
    }

    /// Writes a changed version of a job in its place.
    fn replace_version(&mut self, key: &JobKey, row: &JobRow, mut job: Job) {
        job.modify_index = self.index;
        let mut row = row.clone();
        for kept in &mut row.versions {
            if kept.version == job.version {
                *kept = Arc::new(job);
                break;
            }
        }
        self.t.jobs.put(key.clone(), row);
        self.touch(Key::Job(key.clone()));
    }

    /// Stores an allocation as given, stamped; keeps what follows from it.
    fn put_alloc(&mut self, mut alloc: Allocation, client_must_know: bool) {
        alloc.modify_index = self.index;
        if client_must_know {
            alloc.alloc_modify_index = self.index;
            self.touch(Key::NodeWanted(alloc.node_id));
        }
        self.touch(Key::Alloc(alloc.id));
        self.touch(Key::JobAllocs(alloc.job_key()));
        self.touch(Key::NodeAllocs(alloc.node_id));
        self.touch(Key::EvalAllocs(alloc.eval_id));
        self.jobs.insert(alloc.job_key());
        let (node, held) = (alloc.node_id, alloc.holds_resources());
        let ended = alloc.is_client_terminal();
        let id = alloc.id;
        let old = self.t.allocs.get(id).cloned();
        self.count_in_deployment(old.as_deref(), &mut alloc);
        self.t.allocs.put(alloc);
        if old.is_some_and(|old| old.holds_resources() && !held) {
            self.room_on(node);
        }
        if ended {
            self.remove_services_of(id);
        }
    }

    /// Notes that room may have appeared on a node.
    fn room_on(&mut self, node: crate::model::NodeId) {
        if let Some(node) = self.t.nodes.get(node) {
            let class = node.computed_class.clone();
            self.t.capacity.insert(class, self.index);
        }
    }

    /// Stores evaluations, stamped.
    fn put_evals<'e>(&mut self, evals: impl IntoIterator<Item = &'e Evaluation>) -> Outcome {
        let mut stored = Vec::new();
        for eval in evals {
            stored.push(eval.id);
            self.put_eval(eval.clone());
        }
        Outcome::Done { evals: stored }
    }

    fn put_eval(&mut self, mut eval: Evaluation) -> EvalId {
        let id = eval.id;
        let key = eval.job_key();
        if let Some(old) = self.t.evals.get(id) {
            eval.create_index = old.create_index;
            eval.create_time = old.create_time;
        } else {
            eval.create_index = self.index;
        }
        eval.modify_index = self.index;
        eval.modify_time = self.time;
        self.touch(Key::Eval(id));
        self.touch(Key::JobEvals(key.clone()));
        let placed_all = eval.status == EvalStatus::Complete && eval.failed_groups.is_empty();
        let decided = matches!(eval.status, EvalStatus::Complete | EvalStatus::Blocked);
        if decided && (placed_all || !eval.queued.is_empty()) {
            self.set_queued(&key, &eval);
        }
        let blocked = eval.status == EvalStatus::Blocked;
        self.t.evals.put(eval);
        if placed_all || blocked {
            self.cancel_blocked(&key, id, blocked);
        }
        self.jobs.insert(key);
        id
    }

    /// Remembers how many instances of each group an evaluation left without a place.
    fn set_queued(&mut self, key: &JobKey, eval: &Evaluation) {
        let Some(row) = self.t.jobs.row(key) else {
            return;
        };
        if row.queued != eval.queued {
            let mut row = (**row).clone();
            row.queued = eval.queued.clone();
            self.t.jobs.put(key.clone(), row);
            self.touch(Key::Job(key.clone()));
        }
    }

    /// At most one evaluation of a job waits for room: the newest, and none once all is placed.
    fn cancel_blocked(&mut self, key: &JobKey, done: EvalId, superseded: bool) {
        for other in self.t.evals.of_job(key) {
            if other.status == EvalStatus::Blocked && other.id != done {
                let mut other = (*other).clone();
                other.status = EvalStatus::Canceled;
                other.status_description = match superseded {
                    true => format!("superseded by evaluation {done}"),
                    false => format!("evaluation {done} successful"),
                };
                other.modify_index = self.index;
                other.modify_time = self.time;
                self.touch(Key::Eval(other.id));
                self.t.evals.put(other);
            }
        }
    }

    fn put_deployment(&mut self, mut deployment: Deployment) {
        let known = self.t.deployments.get(deployment.id);
        deployment.create_index = known.map_or(self.index, |d| d.create_index);
        if known.is_none() {
            deployment.create_time = self.time;
        }
        deployment.modify_index = self.index;
        deployment.modify_time = self.time;
        let key = deployment.job_key();
        self.touch(Key::Deployment(deployment.id));
        self.touch(Key::JobDeployments(key.clone()));
        self.t.deployments.put(deployment);
        self.jobs.insert(key);
    }

    /// Stores a node as given, stamped; notes room when it can take more than before.
    fn put_node(&mut self, mut node: Node) {
        let old = self.t.nodes.get(node.id).cloned();
        node.create_index = old.as_ref().map_or(self.index, |n| n.create_index);
        node.modify_index = self.index;
        self.touch(Key::Node(node.id));
        let roomier = node.is_ready()
            && old.as_ref().is_none_or(|old| {
                !old.is_ready()
                    || old.computed_class != node.computed_class
                    || old.resources != node.resources
                    || old.reserved != node.reserved
                    || old.drivers != node.drivers
            });
        let id = node.id;
        self.t.nodes.put(node);
        if roomier {
            self.room_on(id);
        }
        if old.is_none() {
            self.touch(Key::NodeWanted(id));
        }
    }

    fn scheduler_config(
        &mut self,
        config: &crate::model::view::SchedulerConfig,
        cas: Option<Index>,
    ) -> Applying {
        let found = self.t.config.modify_index;
        if let Some(expected) = cas
            && expected != found
        {
            return Err(Refusal::ConfigIndex { expected, found });
        }
        let mut config = *config;
        config.create_index = match self.t.config.create_index {
            0 => self.index,
            before => before,
        };
        config.modify_index = self.index;
        self.t.config = config;
        self.touch(Key::Table(Table::Config));
        Ok(Outcome::Done { evals: Vec::new() })
    }
}
