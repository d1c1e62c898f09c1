//! What the cluster can be asked: reads, calls that change something, and how they fail.
//!
//! `http`, `ui` and `client` know the cluster through [`Api`] alone; `server` implements it, and
//! an agent that is no server reaches one through the connection pool. The types are sent as
//! postcard, so variants and fields are only ever appended.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::model::diff::JobDiff;
use crate::model::job::{JobSpec, JobSubmission};
use crate::model::node::DrainSpec;
use crate::model::pool::NodePool;
use crate::model::view::SchedulerConfig;
use crate::model::why::{Subject, Why};
use crate::model::{
    AllocId, AllocMetric, AllocUpdate, Allocation, Deployment, DeploymentId, Eligibility, EvalId,
    Evaluation, Index, Job, JobKey, Namespace, Node, NodeId, RequestId, ServiceRegistration,
};

/// The cluster, wherever it is.
pub trait Api: Send + Sync {
    /// Answers a read; waits first if [`Query::min_index`] asks for it.
    fn read(&self, query: Query) -> BoxFuture<'_, Result<Answer, ApiError>>;
    /// Performs a call, once: calls with the same request id apply once.
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Reply, ApiError>>;
}

/// A read and how it wants to be answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    pub read: Read,
    /// Whether any server may answer from its own state, without asking a quorum.
    pub stale: bool,
    /// Wait until what is read has changed after this index; 0: answer at once.
    pub min_index: Index,
    /// How long to wait at most; jitter is already in it.
    pub wait: Duration,
}

impl Query {
    /// A linearizable read, answered at once.
    pub fn now(read: Read) -> Self {
        Self {
            read,
            stale: false,
            min_index: 0,
            wait: Duration::ZERO,
        }
    }
}

/// What can be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Read {
    /// Jobs of one namespace, or of all. → [`Body::Jobs`]
    Jobs { namespace: Option<Namespace> },
    /// → [`Body::Job`]
    Job(JobKey),
    /// Kept versions, newest first. → [`Body::JobVersions`]
    JobVersions(JobKey),
    /// → [`Body::Summary`]
    JobSummary(JobKey),
    /// → [`Body::Submission`]
    JobSubmission { key: JobKey, version: u64 },
    /// → [`Body::Allocs`]
    JobAllocs(JobKey),
    /// → [`Body::Evals`]
    JobEvals(JobKey),
    /// → [`Body::Deployments`]
    JobDeployments(JobKey),
    /// → [`Body::Services`]
    JobServices(JobKey),
    /// → [`Body::Nodes`]
    Nodes,
    /// → [`Body::Node`]
    Node(NodeId),
    /// → [`Body::Allocs`]
    NodeAllocs(NodeId),
    /// → [`Body::Allocs`]
    Allocs { namespace: Option<Namespace> },
    /// → [`Body::Alloc`]
    Alloc(AllocId),
    /// → [`Body::Services`]
    AllocServices(AllocId),
    /// → [`Body::Evals`]
    Evals { namespace: Option<Namespace> },
    /// → [`Body::Eval`]
    Eval(EvalId),
    /// → [`Body::Allocs`]
    EvalAllocs(EvalId),
    /// → [`Body::Deployments`]
    Deployments { namespace: Option<Namespace> },
    /// → [`Body::Deployment`]
    Deployment(DeploymentId),
    /// → [`Body::Allocs`]
    DeploymentAllocs(DeploymentId),
    /// → [`Body::Services`]
    Services { namespace: Option<Namespace> },
    /// Instances of one service. → [`Body::Services`]
    Service { namespace: Namespace, name: String },
    /// → [`Body::SchedulerConfig`]
    SchedulerConfig,
    /// → [`Body::Raft`]
    Raft,
    /// A client's long poll for what it should run. → [`Body::ClientAllocs`]
    ClientAllocs { node: NodeId, secret: uuid::Uuid },
    /// By name, those that every cluster has among them. → [`Body::Pools`]
    Pools,
    /// Why something is as it is. → [`Body::Why`]
    Explain(Subject),
}

/// What was read, and how current it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The index of the last change of what was read; never 0.
    pub index: Index,
    /// Whether the answering server knows a leader.
    pub known_leader: bool,
    /// How long ago it heard from the leader; zero at the leader.
    pub last_contact: Duration,
    pub body: Body,
}

/// The answers of [`Read`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Body {
    /// By namespace and id.
    Jobs(Vec<(Arc<Job>, JobSummary)>),
    Job(Option<Arc<Job>>),
    JobVersions(Vec<Arc<Job>>),
    Summary(Option<JobSummary>),
    Submission(Option<JobSubmission>),
    Allocs(Vec<Arc<Allocation>>),
    Alloc(Option<Arc<Allocation>>),
    Evals(Vec<Arc<Evaluation>>),
    Eval(Option<Arc<Evaluation>>),
    Deployments(Vec<Arc<Deployment>>),
    Deployment(Option<Arc<Deployment>>),
    Nodes(Vec<Arc<Node>>),
    Node(Option<Arc<Node>>),
    Services(Vec<ServiceRegistration>),
    SchedulerConfig(SchedulerConfig),
    Raft(RaftView),
    ClientAllocs(ClientAllocs),
    Pools(Vec<NodePool>),
    Why(Option<Box<Why>>),
}

/// How many of a job's allocations are in which state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JobSummary {
    pub groups: BTreeMap<String, GroupSummary>,
    pub create_index: Index,
    pub modify_index: Index,
}

/// One group's part of a [`JobSummary`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSummary {
    pub queued: u32,
    pub complete: u32,
    pub failed: u32,
    pub running: u32,
    pub starting: u32,
    pub lost: u32,
    pub unknown: u32,
}

/// The Raft group as one server sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RaftView {
    pub index: Index,
    pub term: u64,
    pub leader: Option<SocketAddr>,
    pub servers: Vec<RaftServer>,
}

/// One server of the Raft group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RaftServer {
    pub id: uuid::Uuid,
    pub name: String,
    pub addr: SocketAddr,
    pub leader: bool,
    pub voter: bool,
}

/// Everything that a client should know of its allocations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientAllocs {
    /// Whether the state has this node at all; if not, the client registers again and stops
    /// nothing.
    pub known: bool,
    /// Whether a quorum confirmed the answer; only then may the client stop what is absent.
    pub linearizable: bool,
    /// Every allocation on the node that is not garbage yet.
    pub allocs: Vec<Arc<Allocation>>,
}

/// A call with what makes it safe to repeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    pub request: RequestId,
    /// How long the caller waits.
    pub timeout: Duration,
    pub op: Op,
}

/// What can be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Op {
    /// → [`Reply::Registered`]
    RegisterJob(Box<Registration>),
    /// A dry run. → [`Reply::Planned`]
    PlanJob { job: Box<JobSpec>, diff: bool },
    /// → [`Reply::Registered`]
    DeregisterJob {
        key: JobKey,
        purge: bool,
        no_shutdown_delay: bool,
        eval_priority: u8,
    },
    /// → [`Reply::Registered`]
    EvaluateJob { key: JobKey, force_reschedule: bool },
    /// → [`Reply::Registered`]
    RevertJob {
        key: JobKey,
        version: u64,
        enforce_version: Option<u64>,
    },
    /// → [`Reply::Done`]
    StableJob {
        key: JobKey,
        version: u64,
        stable: bool,
    },
    /// → [`Reply::Registered`]
    ScaleJob {
        key: JobKey,
        group: String,
        count: u32,
        /// The modify index that the job must have.
        enforce_index: Option<u64>,
    },
    /// → [`Reply::Evaluated`]
    StopAlloc {
        id: AllocId,
        no_shutdown_delay: bool,
    },
    /// → [`Reply::Node`]
    NodeEligibility {
        id: NodeId,
        eligibility: Eligibility,
    },
    /// `None` cancels. → [`Reply::Node`]
    NodeDrain {
        id: NodeId,
        spec: Option<DrainSpec>,
        mark_eligible: bool,
        meta: BTreeMap<String, String>,
    },
    /// → [`Reply::Node`]
    NodeEvaluate(NodeId),
    /// → [`Reply::Node`]
    NodePurge(NodeId),
    /// → [`Reply::Deployment`]
    FailDeployment(DeploymentId),
    /// → [`Reply::Deployment`]
    PauseDeployment { id: DeploymentId, pause: bool },
    /// Empty `groups`: all. → [`Reply::Deployment`]
    PromoteDeployment {
        id: DeploymentId,
        groups: Vec<String>,
    },
    /// → [`Reply::Deployment`]
    DeploymentHealth {
        id: DeploymentId,
        healthy: Vec<AllocId>,
        unhealthy: Vec<AllocId>,
    },
    /// `cas`: only if the stored modify index is this. → [`Reply::Updated`]
    SetSchedulerConfig {
        config: SchedulerConfig,
        cas: Option<Index>,
    },
    /// → [`Reply::Done`]
    SystemGc,
    /// A client announces itself or what changed of it. → [`Reply::Done`]
    RegisterNode(Box<Node>),
    /// A client reports on its allocations. → [`Reply::Done`]
    UpdateAllocs {
        node: NodeId,
        secret: uuid::Uuid,
        updates: Vec<AllocUpdate>,
    },
    /// A client replaces what one allocation registers; empty: none. → [`Reply::Done`]
    SetServices {
        node: NodeId,
        secret: uuid::Uuid,
        alloc: AllocId,
        services: Vec<ServiceRegistration>,
    },
    /// A client stops on purpose and will be back. → [`Reply::Done`]
    NodeRestarting { node: NodeId, secret: uuid::Uuid },
    /// → [`Reply::Done`]
    DeleteService { namespace: Namespace, id: String },
    /// → [`Reply::Done`]
    UpsertPool(NodePool),
    /// → [`Reply::Done`]
    DeletePool(String),
}

/// A job to register.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    pub job: JobSpec,
    /// Only if the job's modify index is this; 0: only if there is no such job.
    pub enforce_index: Option<Index>,
    pub submission: Option<JobSubmission>,
    /// Keep the counts of the registered version.
    pub preserve_counts: bool,
    /// 0: the job's.
    pub eval_priority: u8,
    /// What the canonical form warned about; comes back with the reply's own warnings.
    pub warnings: Vec<String>,
}

/// The answers of [`Op`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// `eval` is `None` where there was nothing to evaluate.
    Registered {
        index: Index,
        eval: Option<(EvalId, Index)>,
        job_modify_index: Index,
        warnings: Vec<String>,
    },
    Evaluated {
        index: Index,
        eval: EvalId,
    },
    Planned(Box<PlannedJob>),
    Deployment {
        index: Index,
        eval: Option<(EvalId, Index)>,
        reverted_to: Option<u64>,
    },
    Node {
        index: Index,
        evals: Vec<EvalId>,
    },
    Updated {
        index: Index,
        updated: bool,
    },
    Done {
        index: Index,
    },
}

/// What a dry run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedJob {
    pub index: Index,
    /// 0: the job is new.
    pub job_modify_index: Index,
    pub diff: Option<JobDiff>,
    pub updates: BTreeMap<String, DesiredUpdates>,
    pub failed_groups: BTreeMap<String, AllocMetric>,
    /// Evaluations that the real run would leave behind (blocked, follow-up).
    pub created_evals: Vec<Evaluation>,
    pub warnings: Vec<String>,
}

pub use crate::model::diff::DesiredUpdates;

/// Why the cluster did not do what was asked. `http::error` maps each to one status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ApiError {
    /// Nobody leads; nothing was done.
    #[error("No cluster leader")]
    NoLeader,
    /// A forwarded request reached a server that does not lead; nothing was done.
    #[error("this server does not lead")]
    NotLeader { hint: Option<SocketAddr> },
    /// The object does not exist; the text is what clients match on, e.g. `job not found`.
    #[error("{0}")]
    NotFound(String),
    /// The request makes no sense; HTTP 400.
    #[error("{0}")]
    BadRequest(String),
    /// The request was understood and refused (validation, enforced index, …); HTTP 500, which
    /// is what Nomad's clients expect.
    #[error("{0}")]
    Refused(String),
    /// The secret does not match the node.
    #[error("Permission denied")]
    Denied,
    /// A bounded queue is full; try again.
    #[error("{0}")]
    Busy(String),
    /// The outcome is not known: the request may or may not have been applied.
    #[error("unknown whether it was applied: {0}")]
    Unknown(String),
    /// This server cannot store or reach anything.
    #[error("{0}")]
    Unavailable(String),
    /// Known, but not built yet.
    #[error("{0} is not supported yet")]
    Unsupported(String),
}
