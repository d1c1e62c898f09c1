//! What starts, watches and stops the processes of tasks.
//!
//! **Owns** the trait [`Driver`] and its implementations: [`docker`], [`raw_exec`] and [`mock`].
//! **Does not** decide when a task runs, and knows no restart policy: the task runner does.
//!
//! A started task is a [`TaskHandle`]: plain data, kept in the client's journal, from which
//! [`Driver::recover`] finds the task again after the agent's own restart. Between these two
//! calls the driver pumps the task's output into its log files (see [`logs`](super::logs)).
//!
//! The life of a handle: `start` or `recover`, then any number of the others, last `destroy`.

pub mod docker;
mod error;
mod handle;
pub mod mock;
pub(crate) mod process;
pub mod raw_exec;
pub mod signal;
mod spec;
mod supervise;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::taskenv::TaskPaths;
use crate::rpc::node::{ExecStream, TaskStats};

pub use error::{DriverError, StartError};
pub use handle::{DriverState, HandleError, LogTarget, TaskHandle};
pub use spec::{
    DriverEvent, EVENTS_WAITING_MAX, EventSink, NodeFacts, TaskDirs, TaskPort, TaskResources,
    TaskSpec,
};
pub use supervise::{SUPERVISE, supervise_main};

/// The drivers of one client, by name.
pub type Drivers = BTreeMap<&'static str, Arc<dyn Driver>>;

/// Runs tasks of one kind. Object-safe; one value serves every task of the node.
pub trait Driver: Send + Sync {
    /// As a job's `driver` names it.
    fn name(&self) -> &'static str;

    /// Looks whether it works here. Cheap enough to be asked every 30 s.
    fn fingerprint(&self) -> BoxFuture<'_, DriverFingerprint>;

    /// Where a task sees its directories.
    fn paths(&self, dirs: &TaskDirs) -> TaskPaths;

    /// Starts a task and the pump of its output.
    fn start(
        &self,
        spec: TaskSpec,
        events: EventSink,
    ) -> BoxFuture<'_, Result<TaskHandle, StartError>>;

    /// Takes up a task that an earlier run of the agent started. The task may have ended
    /// meanwhile: [`Driver::wait`] tells. An error means that it is gone without a trace.
    fn recover<'a>(&'a self, handle: &'a TaskHandle) -> BoxFuture<'a, Result<(), DriverError>>;

    /// Waits for the task's end. May be called again, and by several; safe to cancel.
    fn wait<'a>(&'a self, handle: &'a TaskHandle) -> BoxFuture<'a, ExitResult>;

    /// Asks the task to end with `signal` (empty: the driver's default), and kills it when
    /// `kill_timeout` is over. Returns when it has ended.
    fn stop<'a>(
        &'a self,
        handle: &'a TaskHandle,
        signal: &'a str,
        kill_timeout: Duration,
    ) -> BoxFuture<'a, Result<(), DriverError>>;

    /// Sends a signal, named as in `SIGHUP`.
    fn signal<'a>(
        &'a self,
        handle: &'a TaskHandle,
        signal: &'a str,
    ) -> BoxFuture<'a, Result<(), DriverError>>;

    /// Removes what is left of the task, killing it if it still runs. Its last output is in
    /// the log files when this returns. Nothing there is fine.
    fn destroy<'a>(&'a self, handle: &'a TaskHandle) -> BoxFuture<'a, Result<(), DriverError>>;

    /// What the task uses now.
    fn stats<'a>(&'a self, handle: &'a TaskHandle)
    -> BoxFuture<'a, Result<TaskStats, DriverError>>;

    /// Runs a command beside the task, where the task runs.
    fn exec<'a>(
        &'a self,
        handle: &'a TaskHandle,
        request: ExecRequest,
    ) -> BoxFuture<'a, Result<ExecStream, DriverError>>;

    /// Removes what this node once started and nothing knows any more; `live` are the handles
    /// that stay. Returns how many were removed.
    fn sweep<'a>(&'a self, live: &'a [TaskHandle]) -> BoxFuture<'a, Result<usize, DriverError>>;

    /// Lets go of all tasks without stopping any: the agent ends, the tasks live on.
    fn detach(&self) -> BoxFuture<'_, ()>;
}

/// Whether a driver works on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DriverFingerprint {
    /// Whether the thing it drives is there, or was since the agent started.
    pub detected: bool,
    pub healthy: bool,
    /// `Healthy`, or in words what is wrong and how to put it right.
    pub description: String,
    /// Node attributes, with their full names: `driver.docker.version`.
    pub attributes: BTreeMap<String, String>,
}

impl DriverFingerprint {
    /// A driver that works.
    pub fn healthy(attributes: BTreeMap<String, String>) -> Self {
        Self {
            detected: true,
            healthy: true,
            description: "Healthy".to_string(),
            attributes,
        }
    }
}

/// How a task ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExitResult {
    pub exit_code: i32,
    /// 0: it ended by itself.
    pub signal: i32,
    pub oom_killed: bool,
    /// What the driver has to say about it, if anything.
    pub err: Option<String>,
}

impl ExitResult {
    /// Whether the task ended well.
    pub fn is_success(&self) -> bool {
        self.exit_code == 0 && self.signal == 0 && self.err.is_none()
    }

    /// An end about which nothing can be said but `why`.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self {
            err: Some(why.into()),
            ..Self::default()
        }
    }
}

/// Paths for tasks that see the host's file system.
fn host_paths(dirs: &TaskDirs) -> TaskPaths {
    TaskPaths {
        alloc: dirs.alloc.display().to_string(),
        local: dirs.local.display().to_string(),
        secrets: dirs.secrets.display().to_string(),
    }
}

/// A handle came to the wrong driver.
fn foreign(handle: &TaskHandle, driver: &'static str) -> DriverError {
    DriverError::Invalid(format!(
        "task {:?} was started by driver {}, not {driver}",
        handle.task,
        handle.driver()
    ))
}

/// A command to run beside a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecRequest {
    pub command: Vec<String>,
    pub tty: bool,
}

#[cfg(test)]
pub(crate) mod testing {
    //! What the drivers' tests share.

    use super::*;
    use crate::model::driver_config::DriverConfig;
    use crate::model::job::LogConfig;

    /// Options as a job writes them in JSON.
    pub(crate) fn config(driver: &str, json: &str) -> DriverConfig {
        let mut from = serde_json::Deserializer::from_str(json);
        let value = crate::model::value::natural::deserialize(&mut from).unwrap();
        DriverConfig::decode(driver, &value).unwrap()
    }

    /// A node of the tests' own, with one core of 2 GHz.
    pub(crate) fn facts(state_dir: impl Into<std::path::PathBuf>) -> NodeFacts {
        NodeFacts {
            id: "00000000-0000-0000-0000-0000000000ee".parse().unwrap(),
            name: "test".to_string(),
            core_mhz: 2000.0,
            cores: 1,
            state_dir: state_dir.into(),
        }
    }

    /// A task `web` in an allocation of its own below `root`.
    pub(crate) fn spec(root: impl Into<std::path::PathBuf>, config: DriverConfig) -> TaskSpec {
        TaskSpec {
            alloc: crate::model::AllocId(uuid::Uuid::from_u128(rand::random())),
            alloc_name: "example.cache[0]".to_string(),
            namespace: "default".to_string(),
            job_id: "example".to_string(),
            job_name: "example".to_string(),
            parent_job_id: String::new(),
            group: "cache".to_string(),
            task: "web".to_string(),
            config,
            env: BTreeMap::new(),
            resources: TaskResources {
                cpu_mhz: 100,
                memory_mb: 64,
                memory_max_mb: 0,
            },
            ports: Vec::new(),
            dns: None,
            no_network: false,
            dirs: TaskDirs::under(root, "web"),
            user: String::new(),
            kill_signal: String::new(),
            logs: LogConfig {
                max_files: 10,
                max_file_size_mb: 10,
                disabled: false,
            },
        }
    }
}
