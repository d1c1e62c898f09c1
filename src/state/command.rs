//! What the replicated log holds: one [`Command`] an entry.
//!
//! A command carries everything that its application may not make up: ids, times, the job as it
//! is to be stored. The bytes stay readable for ever: variants and fields are only appended, and
//! `tests/golden` keeps the bytes of each version written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pack::StoredPlan;
use crate::model::deployment::Deployment;
use crate::model::job::JobSubmission;
use crate::model::node::{Drain, DrainStatus, NodeEvent};
use crate::model::plan::{DeploymentUpdate, PlanResult};
use crate::model::pool::NodePool;
use crate::model::view::SchedulerConfig;
use crate::model::violation;
use crate::model::{
    AllocId, AllocUpdate, DeploymentId, DesiredTransition, Eligibility, EvalId, Evaluation, Index,
    Job, JobKey, Namespace, Node, NodeId, NodeStatus, RequestId, ServiceRegistration, Timestamp,
};

/// The version that [`Command::new`] writes.
pub const COMMAND_VERSION: u16 = 1;

/// One change of the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    pub version: u16,
    /// Set for writes that may be repeated; those of one id apply once.
    pub request: Option<RequestId>,
    /// The proposer's clock.
    pub time: Timestamp,
    pub change: Change,
}

impl Command {
    /// A command that nobody repeats.
    pub fn new(time: Timestamp, change: Change) -> Self {
        Self {
            version: COMMAND_VERSION,
            request: None,
            time,
            change,
        }
    }

    /// A command that applies once, however often it is proposed.
    pub fn once(request: RequestId, time: Timestamp, change: Change) -> Self {
        Self {
            request: Some(request),
            ..Self::new(time, change)
        }
    }
}

/// What a command changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// Nothing: only a position in the log.
    Barrier,
    /// Stores a job; the same spec again keeps its version. The evaluation is stored in any case.
    RegisterJob {
        job: Box<Job>,
        submission: Option<JobSubmission>,
        eval: Option<Box<Evaluation>>,
        /// Only if the job's modify index is this; 0: only if there is no such job.
        enforce_index: Option<Index>,
    },
    /// Stops a job, or with `purge` removes it.
    DeregisterJob {
        key: JobKey,
        purge: bool,
        no_shutdown_delay: bool,
        eval: Option<Box<Evaluation>>,
    },
    /// Marks a version as (not) stable.
    JobStability {
        key: JobKey,
        version: u64,
        stable: bool,
    },
    /// Stores new evaluations and new states of old ones.
    UpsertEvals(Vec<Evaluation>),
    /// Commits what of a plan still fits.
    ApplyPlan {
        plan: Box<StoredPlan>,
        /// Evaluations that its allocations name: stored in any case.
        follow_ups: Vec<Evaluation>,
        /// The evaluations as the plan leaves them: stored only if all of it fits.
        ends: Vec<Evaluation>,
    },
    /// A node announces itself or what changed of it.
    UpsertNode {
        node: Box<Node>,
        evals: Vec<Evaluation>,
    },
    NodeStatus {
        id: NodeId,
        status: NodeStatus,
        description: String,
        event: Option<NodeEvent>,
        evals: Vec<Evaluation>,
    },
    NodeEligibility {
        id: NodeId,
        eligibility: Eligibility,
        event: Option<NodeEvent>,
        evals: Vec<Evaluation>,
    },
    NodeDrain {
        id: NodeId,
        drain: Option<Drain>,
        status: DrainStatus,
        mark_eligible: bool,
        /// What is kept with the drain; `None`: as it was.
        meta: Option<BTreeMap<String, String>>,
        event: NodeEvent,
        evals: Vec<Evaluation>,
    },
    /// What clients say of their allocations.
    UpdateAllocs {
        updates: Vec<AllocUpdate>,
        evals: Vec<Evaluation>,
    },
    /// Asks for something beside the desired status.
    Transition {
        allocs: Vec<AllocId>,
        transition: DesiredTransition,
        evals: Vec<Evaluation>,
    },
    UpsertDeployment(Box<Deployment>),
    /// Moves a deployment on; `revert` registers an older spec again in the same step.
    DeploymentStatus {
        update: DeploymentUpdate,
        eval: Option<Box<Evaluation>>,
        revert: Option<Box<Job>>,
    },
    /// Somebody says which allocations of a deployment are healthy.
    DeploymentHealth {
        id: DeploymentId,
        healthy: Vec<AllocId>,
        unhealthy: Vec<AllocId>,
        update: Option<DeploymentUpdate>,
        eval: Option<Box<Evaluation>>,
        revert: Option<Box<Job>>,
    },
    /// Promotes the canaries of `groups`; empty: of all.
    PromoteDeployment {
        id: DeploymentId,
        groups: Vec<String>,
        eval: Option<Box<Evaluation>>,
    },
    SchedulerConfig {
        config: SchedulerConfig,
        /// Only if the stored modify index is this.
        cas: Option<Index>,
    },
    /// Replaces what one allocation registers.
    SetServices {
        alloc: AllocId,
        services: Vec<ServiceRegistration>,
    },
    DeleteService {
        namespace: Namespace,
        id: String,
    },
    /// Removes what nobody needs any more.
    Collect(Garbage),
    /// Makes or changes a node pool.
    UpsertPool(NodePool),
    /// Removes a node pool that nothing uses.
    DeletePool(String),
}

/// What to remove.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Garbage {
    pub evals: Vec<EvalId>,
    pub allocs: Vec<AllocId>,
    pub deployments: Vec<DeploymentId>,
    pub jobs: Vec<JobKey>,
    pub nodes: Vec<NodeId>,
}

impl Garbage {
    /// Whether there is nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.evals.is_empty()
            && self.allocs.is_empty()
            && self.deployments.is_empty()
            && self.jobs.is_empty()
            && self.nodes.is_empty()
    }
}

/// What became of a command. Kept for a while under its request id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// Applied; with the evaluations that it stored.
    Done {
        evals: Vec<EvalId>,
    },
    /// A job was stored or stopped. `changed` is false when the spec was already there.
    Registered {
        version: u64,
        job_modify_index: Index,
        changed: bool,
        eval: Option<EvalId>,
    },
    Planned(PlanResult),
    Refused(Refusal),
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    #[error("Enforcing job modify index {expected}: {}", enforce_reason(*.expected, *.found))]
    EnforceIndex {
        expected: Index,
        /// `None`: there is no such job.
        found: Option<Index>,
    },
    #[error("job not found")]
    NoSuchJob,
    #[error("job version {0} not found")]
    NoSuchVersion(u64),
    #[error("node not found")]
    NoSuchNode,
    #[error("alloc not found")]
    NoSuchAlloc,
    #[error("deployment not found")]
    NoSuchDeployment,
    #[error("service registration not found")]
    NoSuchService,
    /// The text says which group is not ready.
    #[error("{0}")]
    NotPromotable(String),
    #[error("can't change the status of a terminal deployment")]
    DeploymentEnded,
    #[error("scheduler configuration is at index {found}, not {expected}")]
    ConfigIndex { expected: Index, found: Index },
    #[error("this server is too old for command version {0}")]
    UnknownVersion(u16),
    #[error("node pool {0} not found")]
    NoSuchPool(String),
    #[error("{}", in_use(.pool, *.jobs, *.nodes))]
    PoolInUse {
        pool: String,
        jobs: bool,
        nodes: bool,
    },
    #[error("deleting node pool {0:?} is not allowed")]
    BuiltInPool(String),
}

fn in_use(pool: &str, jobs: bool, nodes: bool) -> String {
    let by_jobs = format!("node pool {pool:?} has non-terminal jobs in regions: [global]");
    let by_nodes = format!("node pool {pool:?} has nodes in regions: [global]");
    let reasons = [(jobs, by_jobs), (nodes, by_nodes)].into_iter();
    let reasons: Vec<String> = reasons
        .filter_map(|(holds, why)| holds.then_some(why))
        .collect();
    violation::list(&reasons)
}

fn enforce_reason(expected: Index, found: Option<Index>) -> String {
    match found {
        None => "job does not exist".to_string(),
        Some(_) if expected == 0 => "job already exists".to_string(),
        Some(found) => format!("job exists with conflicting job modify index: {found}"),
    }
}
