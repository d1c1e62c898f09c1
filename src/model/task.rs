//! What happened to an allocation's tasks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// How many events a task keeps.
pub const EVENTS_MAX: usize = 10;

/// Where a task stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskPhase {
    #[default]
    Pending,
    Running,
    Dead,
}

impl TaskPhase {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Dead => "dead",
        }
    }
}

/// One task's state, as its client reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskState {
    pub phase: TaskPhase,
    /// Whether it ended badly for good.
    pub failed: bool,
    pub restarts: u64,
    pub last_restart: Timestamp,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    /// Oldest first, at most [`EVENTS_MAX`].
    pub events: Vec<TaskEvent>,
}

impl TaskState {
    /// Appends an event and drops the oldest beyond [`EVENTS_MAX`].
    pub fn push(&mut self, event: TaskEvent) {
        self.events.push(event);
        let extra = self.events.len().saturating_sub(EVENTS_MAX);
        self.events.drain(..extra);
    }
}

/// Something that happened to a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEvent {
    /// Nomad's type text: `Received`, `Started`, `Terminated`, `Restarting`, …
    pub kind: String,
    pub time: Timestamp,
    /// What a person reads.
    pub message: String,
    /// What programs read: `exit_code`, `signal`, `oom_killed`, `restart_reason`, …
    pub details: BTreeMap<String, String>,
    /// Whether this event made the task fail for good.
    pub fails_task: bool,
}

impl TaskEvent {
    /// An event of `kind` at `time` saying `message`.
    pub fn new(kind: &str, time: Timestamp, message: impl Into<String>) -> Self {
        Self {
            kind: kind.to_string(),
            time,
            message: message.into(),
            details: BTreeMap::new(),
            fails_task: false,
        }
    }

    /// Adds one detail.
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.details.insert(key.to_string(), value.to_string());
        self
    }
}
