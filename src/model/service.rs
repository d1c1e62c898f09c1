//! Services: how a job's ports are found, and how their health is checked.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Index;
use super::ids::{AllocId, JobId, Namespace, NodeId};

/// A named port of a group or task, registered while the allocation runs (native discovery).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Service {
    pub name: String,
    /// The owning task, for a service written inside a task.
    pub task: Option<String>,
    /// A port label or a number; empty: no port.
    pub port: String,
    pub address_mode: AddressMode,
    /// An address to register instead of the node's; empty: none.
    pub address: String,
    pub tags: Vec<String>,
    pub canary_tags: Vec<String>,
    pub meta: BTreeMap<String, String>,
    pub canary_meta: BTreeMap<String, String>,
    pub checks: Vec<Check>,
    pub on_update: OnUpdate,
}

/// Which address a service registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AddressMode {
    #[default]
    Auto,
    Host,
    Driver,
    Alloc,
}

/// How a service's checks bear on an update's health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OnUpdate {
    #[default]
    RequireHealthy,
    Ignore,
}

/// A health check that the client runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub kind: CheckKind,
    /// Overrides the service's port; empty: the service's.
    pub port: String,
    pub interval: Duration,
    pub timeout: Duration,
    pub on_update: OnUpdate,
    /// Restarts the task after that many failures in a row.
    pub restart: Option<CheckRestart>,
}

/// What a check does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CheckKind {
    /// Opens a connection.
    Tcp,
    /// Sends a request; a status below 400 passes.
    Http {
        path: String,
        method: String,
        body: String,
        headers: BTreeMap<String, Vec<String>>,
        tls: bool,
        tls_skip_verify: bool,
    },
}

/// When a failing check restarts its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CheckRestart {
    /// Failures in a row; above 0.
    pub limit: u32,
    /// How long after a start failures do not count.
    pub grace: Duration,
}

/// One running instance of a service, as discovery shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRegistration {
    /// `_nomad-task-<alloc>-<group or task>-<service>-<port label>`.
    pub id: String,
    pub name: String,
    pub namespace: Namespace,
    pub node_id: NodeId,
    pub datacenter: String,
    pub job_id: JobId,
    pub alloc_id: AllocId,
    pub tags: Vec<String>,
    pub address: String,
    pub port: u16,
    pub create_index: Index,
    pub modify_index: Index,
}
