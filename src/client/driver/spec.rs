//! What a driver is told when it starts a task, and what it tells meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::handle::LogTarget;
use crate::model::driver_config::DriverConfig;
use crate::model::job::LogConfig;
use crate::model::resources::Dns;
use crate::model::{AllocId, NodeId};

/// A task to start. All `${…}` are resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskSpec {
    pub alloc: AllocId,
    pub alloc_name: String,
    pub namespace: String,
    pub job_id: String,
    pub job_name: String,
    pub parent_job_id: String,
    pub group: String,
    pub task: String,
    pub config: DriverConfig,
    pub env: BTreeMap<String, String>,
    pub resources: TaskResources,
    /// The ports of the group, and of this task in the old syntax.
    pub ports: Vec<TaskPort>,
    /// The group's resolver settings.
    pub dns: Option<Dns>,
    /// Whether the group asked for no network at all.
    pub no_network: bool,
    pub dirs: TaskDirs,
    /// Empty: the image's or the agent's own.
    pub user: String,
    /// Empty: the driver's default.
    pub kill_signal: String,
    pub logs: LogConfig,
}

impl TaskSpec {
    /// Where this task's output goes.
    pub fn log_target(&self) -> LogTarget {
        LogTarget {
            dir: self.dirs.logs().display().to_string(),
            prefix: self.task.clone(),
            max_files: self.logs.max_files.max(1),
            max_file_bytes: u64::from(self.logs.max_file_size_mb.max(1)) << 20,
            disabled: self.logs.disabled,
        }
    }
}

/// What a task may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskResources {
    pub cpu_mhz: u32,
    pub memory_mb: u32,
    /// 0: same as `memory_mb`.
    pub memory_max_mb: u32,
}

/// A host port that belongs to the task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPort {
    pub label: String,
    pub host_ip: String,
    pub host_port: u16,
    /// The port inside; 0: not mapped, same as the host port.
    pub to: u16,
    /// Whether it was asked for in the task's own (old) `network` block.
    pub legacy: bool,
}

/// A task's directories on the host. They exist when a driver sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDirs {
    /// The allocation's directory, with everything below in it.
    pub root: PathBuf,
    /// Shared by the allocation's tasks.
    pub alloc: PathBuf,
    /// The task's own directory, with `local` and `secrets` in it.
    pub task: PathBuf,
    pub local: PathBuf,
    pub secrets: PathBuf,
}

impl TaskDirs {
    /// The usual layout below `root` for `task`.
    pub fn under(root: impl Into<PathBuf>, task: &str) -> Self {
        let root = root.into();
        let dir = root.join(task);
        Self {
            alloc: root.join("alloc"),
            local: dir.join("local"),
            secrets: dir.join("secrets"),
            task: dir,
            root,
        }
    }

    /// Where the log files are.
    pub fn logs(&self) -> PathBuf {
        self.alloc.join("logs")
    }
}

/// What drivers know of the node they run on.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeFacts {
    pub id: NodeId,
    pub name: String,
    /// One core's speed, for figures in MHz.
    pub core_mhz: f64,
    pub cores: u32,
    /// A directory of the client's own in which a driver may keep small files.
    pub state_dir: PathBuf,
}

/// How many events may wait for the task runner.
pub const EVENTS_WAITING_MAX: usize = 64;

/// Something worth an entry in the task's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverEvent {
    pub message: String,
    pub details: BTreeMap<String, String>,
}

/// Takes a driver's events while it starts a task, and tells it when nobody wants the task any
/// more.
#[derive(Clone, Debug)]
pub struct EventSink {
    events: mpsc::Sender<DriverEvent>,
    unwanted: CancellationToken,
}

impl EventSink {
    /// A sink and where its events come out.
    pub fn new() -> (Self, mpsc::Receiver<DriverEvent>) {
        let (sender, receiver) = mpsc::channel(EVENTS_WAITING_MAX);
        let sink = Self {
            events: sender,
            unwanted: CancellationToken::new(),
        };
        (sink, receiver)
    }

    /// Cancelled when the task is to stop before it has started: what takes long and leaves
    /// nothing behind need not be waited for.
    pub fn unwanted(&self) -> &CancellationToken {
        &self.unwanted
    }

    /// Tells one thing. Never waits: an event that nobody takes is dropped, since a task keeps
    /// only its last ten anyway.
    pub fn tell(&self, message: impl Into<String>) {
        self.tell_with(message, BTreeMap::new());
    }

    /// Tells one thing with details for programs.
    pub fn tell_with(&self, message: impl Into<String>, details: BTreeMap<String, String>) {
        let message = message.into();
        if self
            .events
            .try_send(DriverEvent { message, details })
            .is_err()
        {
            tracing::debug!(target: "driver", "a task event was dropped");
        }
    }
}
