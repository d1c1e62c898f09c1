//! What one client can be asked about what it runs.
//!
//! `client` implements [`NodeApi`]; an agent that does not hold the allocation reaches the one
//! that does over the connection pool. Paths are relative to the allocation's directory and can
//! never leave it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::model::{AllocId, NodeId, Timestamp};

/// One client's allocations.
pub trait NodeApi: Send + Sync {
    /// Answers a question.
    fn ask(&self, ask: NodeAsk) -> BoxFuture<'_, Result<NodeAnswer, NodeError>>;
    /// Opens a stream of file or log frames. It ends when the sender is dropped.
    fn stream(&self, open: StreamOpen) -> BoxFuture<'_, Result<FrameStream, NodeError>>;
    /// Runs a command inside a task.
    fn exec(&self, open: ExecOpen) -> BoxFuture<'_, Result<ExecStream, NodeError>>;
}

/// Every client of the cluster, by the node that it is.
pub trait Nodes: Send + Sync {
    /// The client `id`: this agent's own, or the one behind `rpc_addr`. Connects when used.
    fn node(&self, id: NodeId, rpc_addr: SocketAddr) -> Arc<dyn NodeApi>;
}

/// Frames of a file or log; bounded, so that a slow reader slows the sender.
pub type FrameStream = mpsc::Receiver<Result<StreamFrame, NodeError>>;

/// What a client can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum NodeAsk {
    /// → [`NodeAnswer::Files`]
    List { alloc: AllocId, path: String },
    /// → [`NodeAnswer::File`]
    Stat { alloc: AllocId, path: String },
    /// At most `limit` bytes from `offset`; 0: all, up to 64 MiB. → [`NodeAnswer::Data`]
    ReadAt {
        alloc: AllocId,
        path: String,
        offset: u64,
        limit: u64,
    },
    /// `task` `None`: all running tasks, or with `all` every task. → [`NodeAnswer::Done`]
    Restart {
        alloc: AllocId,
        task: Option<String>,
        all: bool,
    },
    /// `task` `None`: all. → [`NodeAnswer::Done`]
    Signal {
        alloc: AllocId,
        task: Option<String>,
        signal: String,
    },
    /// → [`NodeAnswer::Stats`]
    Stats { alloc: AllocId },
    /// → [`NodeAnswer::Checks`]
    Checks { alloc: AllocId },
    /// → [`NodeAnswer::Host`]
    Host,
    /// Removes one ended allocation's directory. → [`NodeAnswer::Done`]
    Gc { alloc: AllocId },
    /// Removes every ended allocation's directory. → [`NodeAnswer::Done`]
    GcAll,
    /// → [`NodeAnswer::Meta`]
    Meta,
    /// Changes the node's metadata; a key without a value is removed. → [`NodeAnswer::Meta`]
    SetMeta(BTreeMap<String, Option<String>>),
}

/// The answers of [`NodeAsk`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum NodeAnswer {
    Files(Vec<FileInfo>),
    File(FileInfo),
    Data(Bytes),
    Done,
    Stats(AllocStats),
    Checks(Vec<CheckResult>),
    Host(HostStats),
    /// (merged, dynamic, static)
    Meta(
        BTreeMap<String, String>,
        BTreeMap<String, String>,
        BTreeMap<String, String>,
    ),
}

/// One directory entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    pub name: String,
    pub is_dir: bool,
    pub size: u64,
    /// As `ls -l` prints it, in Go's spelling: `drwxr-xr-x`, `-rw-r--r--`, `prw-------`.
    pub mode: String,
    pub modified: Timestamp,
}

/// A stream to open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamOpen {
    /// A task's output over all its rotated files.
    Logs {
        alloc: AllocId,
        task: String,
        stderr: bool,
        follow: bool,
        from: From,
    },
    /// One file.
    File {
        alloc: AllocId,
        path: String,
        follow: bool,
        from: From,
    },
}

/// Where a stream starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum From {
    /// That many bytes after the start.
    Start(u64),
    /// That many bytes before the end.
    End(u64),
}

/// A piece of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFrame {
    /// The position in the file after `data`.
    pub offset: u64,
    pub data: Bytes,
    pub file: String,
    /// `file deleted`, `file truncated`, or empty.
    pub event: String,
}

/// A command to run inside a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecOpen {
    pub alloc: AllocId,
    pub task: String,
    pub command: Vec<String>,
    pub tty: bool,
}

/// Both directions of a running command.
pub struct ExecStream {
    pub input: mpsc::Sender<ExecInput>,
    pub output: mpsc::Receiver<ExecOutput>,
}

/// What goes to a running command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecInput {
    Stdin(Bytes),
    CloseStdin,
    Resize { width: u16, height: u16 },
}

/// What comes from a running command; [`ExecOutput::Exited`] or `Failed` is the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecOutput {
    Stdout(Bytes),
    Stderr(Bytes),
    Exited(i32),
    Failed(String),
}

/// One health check's last result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    pub id: String,
    pub check: String,
    pub service: String,
    pub group: String,
    pub task: Option<String>,
    pub status: CheckStatus,
    /// HTTP status; 0: none.
    pub status_code: u16,
    pub output: String,
    pub time: Timestamp,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckStatus {
    Pending,
    Success,
    Failure,
}

impl CheckStatus {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// What an allocation uses, by task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AllocStats {
    pub tasks: BTreeMap<String, TaskStats>,
    pub time: Timestamp,
}

/// What one task uses. A figure that the driver does not measure is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskStats {
    pub memory_rss: Option<u64>,
    pub memory_cache: Option<u64>,
    pub memory_swap: Option<u64>,
    pub memory_usage: Option<u64>,
    pub memory_max_usage: Option<u64>,
    /// Per cent of one core.
    pub cpu_percent: Option<f64>,
    pub cpu_user_percent: Option<f64>,
    pub cpu_system_percent: Option<f64>,
    /// MHz.
    pub cpu_ticks: Option<f64>,
    pub throttled_periods: Option<u64>,
    pub throttled_time: Option<Duration>,
    pub time: Timestamp,
}

/// What the machine uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostStats {
    pub memory_total: u64,
    pub memory_available: u64,
    pub memory_used: u64,
    pub memory_free: u64,
    pub cpus: Vec<CpuStats>,
    pub disks: Vec<DiskStats>,
    pub alloc_dir: DiskStats,
    pub uptime: Duration,
    pub time: Timestamp,
    /// MHz in use over all cores.
    pub cpu_ticks: f64,
}

/// One core's shares, in per cent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuStats {
    pub name: String,
    pub user: f64,
    pub system: f64,
    pub idle: f64,
    pub total: f64,
}

/// One file system's use, in bytes and per cent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DiskStats {
    pub device: String,
    pub mountpoint: String,
    pub size: u64,
    pub used: u64,
    pub available: u64,
    pub used_percent: f64,
    pub inodes_used_percent: f64,
}

/// Why a client did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum NodeError {
    /// HTTP 404.
    #[error("{0}")]
    NotFound(String),
    /// HTTP 400.
    #[error("{0}")]
    BadRequest(String),
    /// HTTP 500.
    #[error("{0}")]
    Failed(String),
    /// The node cannot be reached.
    #[error("No path to node")]
    NoPath,
}
