//! The canonical job: every default filled in, only what Tumen can run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Index;
use super::constraint::{Affinity, Constraint, Spread};
use super::ids::{JobId, JobKey, Namespace};
use super::resources::{Network, Resources};
use super::service::Service;
use super::time::Timestamp;
use super::value::ConfigValue;

/// A job as stored. `spec` is what its author declared; the rest is what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub spec: JobSpec,
    /// Counts the different specs registered under this id, from 0.
    pub version: u64,
    /// Whether it was stopped; its allocations end and its row stays.
    pub stop: bool,
    pub status: JobStatus,
    pub status_description: String,
    /// Whether a deployment of this version succeeded.
    pub stable: bool,
    pub submit_time: Timestamp,
    pub create_index: Index,
    /// The last change of any field.
    pub modify_index: Index,
    /// The last change of the spec: what `-check-index` compares.
    pub job_modify_index: Index,
}

impl Job {
    /// A freshly declared job, not yet stored anywhere.
    pub fn new(spec: JobSpec, submit_time: Timestamp) -> Self {
        Self {
            spec,
            version: 0,
            stop: false,
            status: JobStatus::Pending,
            status_description: String::new(),
            stable: false,
            submit_time,
            create_index: 0,
            modify_index: 0,
            job_modify_index: 0,
        }
    }

    /// What names it.
    pub fn key(&self) -> JobKey {
        JobKey {
            namespace: self.spec.namespace.clone(),
            id: self.spec.id.clone(),
        }
    }

    /// The group named `name`.
    pub fn group(&self, name: &str) -> Option<&TaskGroup> {
        self.spec.groups.iter().find(|g| g.name == name)
    }
}

/// What a job's author declared, with defaults filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    pub region: String,
    pub namespace: Namespace,
    pub id: JobId,
    pub name: String,
    pub kind: JobType,
    /// 1 to 100.
    pub priority: u8,
    pub all_at_once: bool,
    /// Names or globs.
    pub datacenters: Vec<String>,
    pub node_pool: String,
    pub constraints: Vec<Constraint>,
    pub affinities: Vec<Affinity>,
    pub spreads: Vec<Spread>,
    pub groups: Vec<TaskGroup>,
    pub meta: BTreeMap<String, String>,
    pub ui: Option<JobUi>,
    /// The job-level update block as written, shown back in the API: (stagger, max_parallel).
    pub update: Option<(Duration, u32)>,
}

/// What the pages show about a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobUi {
    pub description: String,
    /// (label, url)
    pub links: Vec<(String, String)>,
}

/// How a job's allocations live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum JobType {
    /// Runs until stopped.
    Service,
    /// Runs until it exits with 0.
    Batch,
}

impl JobType {
    /// The name in job files and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Batch => "batch",
        }
    }
}

/// What a job is doing, derived from its allocations and evaluations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobStatus {
    Pending,
    Running,
    Dead,
}

impl JobStatus {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Dead => "dead",
        }
    }
}

/// Tasks that run together on one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskGroup {
    pub name: String,
    pub count: u32,
    pub constraints: Vec<Constraint>,
    pub affinities: Vec<Affinity>,
    pub spreads: Vec<Spread>,
    pub tasks: Vec<Task>,
    pub networks: Vec<Network>,
    pub services: Vec<Service>,
    pub restart: RestartPolicy,
    pub reschedule: ReschedulePolicy,
    /// `None` for batch jobs.
    pub update: Option<UpdateStrategy>,
    /// `None` for batch jobs.
    pub migrate: Option<MigrateStrategy>,
    pub disconnect: Option<Disconnect>,
    pub ephemeral_disk_mb: u32,
    pub meta: BTreeMap<String, String>,
    pub shutdown_delay: Duration,
    /// Batch only: allocations are killed after that long.
    pub max_run_duration: Option<Duration>,
}

impl TaskGroup {
    /// The task named `name`.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.tasks.iter().find(|t| t.name == name)
    }

    /// Every service of the group and of its tasks.
    pub fn all_services(&self) -> impl Iterator<Item = &Service> {
        self.services
            .iter()
            .chain(self.tasks.iter().flat_map(|t| t.services.iter()))
    }
}

/// One process or container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub name: String,
    pub driver: String,
    pub user: String,
    /// The driver's own options as written; [`driver_config`](super) types them.
    pub config: ConfigValue,
    pub env: BTreeMap<String, String>,
    pub services: Vec<Service>,
    pub constraints: Vec<Constraint>,
    pub affinities: Vec<Affinity>,
    pub resources: Resources,
    pub restart: RestartPolicy,
    pub lifecycle: Option<Lifecycle>,
    pub meta: BTreeMap<String, String>,
    pub kill_timeout: Duration,
    /// Empty: the driver's default.
    pub kill_signal: String,
    pub shutdown_delay: Duration,
    pub logs: LogConfig,
    pub leader: bool,
}

/// When a task runs that is not a main task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lifecycle {
    pub hook: LifecycleHook,
    /// Whether it goes on beside the main tasks.
    pub sidecar: bool,
}

/// The moment a lifecycle task starts at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LifecycleHook {
    Prestart,
    Poststart,
    Poststop,
}

impl LifecycleHook {
    /// The name in job files and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }
}

/// How much of a task's output is kept, per stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    pub max_files: u32,
    pub max_file_size_mb: u32,
    pub disabled: bool,
}

/// When a task that ended is started again on the same node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    pub attempts: u32,
    pub interval: Duration,
    pub delay: Duration,
    pub mode: RestartMode,
    pub render_templates: bool,
}

/// What happens when the attempts are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartMode {
    /// The task fails.
    Fail,
    /// It waits until the interval is over.
    Delay,
}

/// When a failed allocation is replaced by a new one, perhaps elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReschedulePolicy {
    pub attempts: u32,
    pub interval: Duration,
    pub delay: Duration,
    pub function: DelayFunction,
    pub max_delay: Duration,
    pub unlimited: bool,
}

/// How the delay grows from one reschedule to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DelayFunction {
    Constant,
    Exponential,
    Fibonacci,
}

impl DelayFunction {
    /// The name in job files and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Exponential => "exponential",
            Self::Fibonacci => "fibonacci",
        }
    }
}

/// How a new version replaces the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateStrategy {
    pub stagger: Duration,
    /// 0: no rolling update, everything at once.
    pub max_parallel: u32,
    pub health_check: HealthCheck,
    pub min_healthy_time: Duration,
    pub healthy_deadline: Duration,
    pub progress_deadline: Duration,
    pub auto_revert: bool,
    pub auto_promote: bool,
    pub canary: u32,
}

/// What makes an allocation healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthCheck {
    /// Tasks run and service checks pass.
    Checks,
    /// Tasks run.
    TaskStates,
    /// Somebody says so through the API.
    Manual,
}

impl HealthCheck {
    /// The name in job files and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Checks => "checks",
            Self::TaskStates => "task_states",
            Self::Manual => "manual",
        }
    }
}

/// How allocations leave a draining node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrateStrategy {
    pub max_parallel: u32,
    pub health_check: HealthCheck,
    pub min_healthy_time: Duration,
    pub healthy_deadline: Duration,
}

/// What happens when the node is out of reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disconnect {
    pub lost_after: Duration,
    pub stop_on_client_after: Option<Duration>,
    pub replace: bool,
    pub reconcile: ReconcileChoice,
}

/// Which of two instances stays when the node comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReconcileChoice {
    BestScore,
    KeepOriginal,
    KeepReplacement,
    LongestRunning,
}

impl ReconcileChoice {
    /// The name in job files and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BestScore => "best_score",
            Self::KeepOriginal => "keep_original",
            Self::KeepReplacement => "keep_replacement",
            Self::LongestRunning => "longest_running",
        }
    }
}

/// The job file as its author sent it, kept beside each version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSubmission {
    pub source: String,
    /// `hcl2` or `json`.
    pub format: String,
    pub variable_flags: BTreeMap<String, String>,
    pub variables: String,
}
