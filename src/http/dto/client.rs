//! What one node tells about what it runs: files, logs, usage, checks.

use std::collections::BTreeMap;

use super::{Moment, is_zero, nullable};

wire! {
    /// A file or directory of an allocation.
    pub struct AllocFileInfo {
        #[serde(skip_serializing_if = "is_zero")]
        pub content_type: String,
        /// `drwxr-xr-x`
        pub file_mode: String,
        pub is_dir: bool,
        pub mod_time: Moment,
        pub name: String,
        pub size: i64,
    }

    /// A piece of a file or log stream; all zero is a heartbeat.
    pub struct StreamFrame {
        #[serde(with = "base64_bytes", skip_serializing_if = "is_zero")]
        pub data: Vec<u8>,
        #[serde(skip_serializing_if = "is_zero")]
        pub file: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub file_event: String,
        /// Where in the file the data ends.
        #[serde(skip_serializing_if = "is_zero")]
        pub offset: i64,
    }

    /// What a node's machine is doing.
    pub struct HostStats {
        pub alloc_dir_stats: Option<DiskStats>,
        #[serde(rename = "CPU", with = "nullable")]
        pub cpu: Vec<HostCpuStats>,
        #[serde(rename = "CPUTicksConsumed")]
        pub cpu_ticks_consumed: f64,
        #[serde(with = "nullable")]
        pub device_stats: Vec<serde_json::Value>,
        #[serde(with = "nullable")]
        pub disk_stats: Vec<DiskStats>,
        pub memory: Option<HostMemoryStats>,
        /// Nanoseconds since the epoch.
        pub timestamp: i64,
        /// Seconds.
        pub uptime: u64,
    }

    /// One core's use since the last sample, in percent.
    pub struct HostCpuStats {
        #[serde(rename = "CPU")]
        pub cpu: String,
        pub idle: f64,
        pub system: f64,
        pub total_percent: f64,
        pub total_ticks: f64,
        pub user: f64,
    }

    /// One file system's use, in bytes.
    pub struct DiskStats {
        pub available: u64,
        pub device: String,
        pub inodes_used_percent: f64,
        pub mountpoint: String,
        pub size: u64,
        pub used: u64,
        pub used_percent: f64,
    }

    /// Memory, in bytes.
    pub struct HostMemoryStats {
        pub available: u64,
        pub free: u64,
        pub total: u64,
        pub used: u64,
    }

    /// What an allocation uses.
    pub struct AllocResourceUsage {
        pub resource_usage: ResourceUsage,
        #[serde(deserialize_with = "nullable::deserialize")]
        pub tasks: BTreeMap<String, TaskResourceUsage>,
        /// Nanoseconds since the epoch.
        pub timestamp: i64,
    }

    /// What one task uses.
    pub struct TaskResourceUsage {
        pub pids: Option<BTreeMap<String, ResourceUsage>>,
        pub resource_usage: ResourceUsage,
        /// Nanoseconds since the epoch.
        pub timestamp: i64,
    }

    /// CPU and memory in use.
    pub struct ResourceUsage {
        pub cpu_stats: CpuStats,
        /// An empty list in sums, `null` for a task.
        pub device_stats: Option<Vec<serde_json::Value>>,
        pub memory_stats: MemoryStats,
    }

    /// CPU in use; `measured` names the fields that mean something.
    pub struct CpuStats {
        #[serde(with = "nullable")]
        pub measured: Vec<String>,
        pub percent: f64,
        pub system_mode: f64,
        pub throttled_periods: u64,
        pub throttled_time: u64,
        pub total_ticks: f64,
        pub user_mode: f64,
    }

    /// Memory in use, in bytes; `measured` names the fields that mean something.
    pub struct MemoryStats {
        pub cache: u64,
        pub kernel_max_usage: u64,
        pub kernel_usage: u64,
        pub mapped_file: u64,
        pub max_usage: u64,
        #[serde(with = "nullable")]
        pub measured: Vec<String>,
        #[serde(rename = "RSS")]
        pub rss: u64,
        pub swap: u64,
        pub usage: u64,
    }

    /// How a service's check stands.
    pub struct CheckQueryResult {
        pub check: String,
        /// The allocation's name.
        pub group: String,
        #[serde(rename = "ID")]
        pub id: String,
        /// `healthiness` or `readiness`
        pub mode: String,
        pub output: String,
        pub service: String,
        /// `success`, `failure` or `pending`
        pub status: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub status_code: i64,
        #[serde(skip_serializing_if = "is_zero")]
        pub task: String,
        /// Seconds since the epoch.
        pub timestamp: i64,
    }

    /// A node's metadata.
    pub struct NodeMetadata {
        #[serde(deserialize_with = "nullable::deserialize")]
        pub dynamic: BTreeMap<String, String>,
        #[serde(deserialize_with = "nullable::deserialize")]
        pub meta: BTreeMap<String, String>,
        #[serde(rename = "Static", deserialize_with = "nullable::deserialize")]
        pub fixed: BTreeMap<String, String>,
    }

    /// `POST /v1/client/metadata`; a key set to `null` is removed.
    pub struct NodeMetadataRequest {
        #[serde(with = "nullable")]
        pub meta: BTreeMap<String, Option<String>>,
        #[serde(rename = "NodeID")]
        pub node_id: String,
    }

    /// `PUT /v1/client/allocation/…/restart`
    pub struct AllocRestartRequest {
        pub all_tasks: bool,
        pub task_name: String,
    }

    /// `PUT /v1/client/allocation/…/signal`
    pub struct AllocSignalRequest {
        pub signal: String,
        pub task: String,
    }

    /// What writes answer that change nothing in the cluster's state.
    pub struct IndexOnly {
        pub index: u64,
    }
}

/// One message of an exec session, from the client.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ExecInput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<ExecData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tty_size: Option<TtySize>,
}

/// One message of an exec session, from the server.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ExecOutput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdout: Option<ExecData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stderr: Option<ExecData>,
    #[serde(skip_serializing_if = "is_zero")]
    pub exited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<ExecResult>,
}

/// Bytes of one stream, or its end.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ExecData {
    #[serde(with = "base64_bytes", skip_serializing_if = "is_zero")]
    pub data: Vec<u8>,
    #[serde(skip_serializing_if = "is_zero")]
    pub close: bool,
}

/// The size of the caller's terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct TtySize {
    pub height: u16,
    pub width: u16,
}

/// How the command ended; 0 is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ExecResult {
    #[serde(skip_serializing_if = "is_zero")]
    pub exit_code: i64,
}

/// Serde for bytes as base64 text.
pub mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the bytes as text.
    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    /// Reads text or `null`.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = Option::<String>::deserialize(from)?.unwrap_or_default();
        STANDARD
            .decode(&text)
            .map_err(|e| D::Error::custom(format!("not base64: {e}")))
    }
}
