//! Services and their checks, as written.

use super::*;

/// How a port is found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceDraft {
    #[serde(serialize_with = "zero")]
    pub name: Option<String>,
    pub tags: Option<Vec<String>>,
    pub canary_tags: Option<Vec<String>>,
    #[serde(serialize_with = "zero")]
    pub enable_tag_override: Option<bool>,
    #[serde(rename = "PortLabel", serialize_with = "zero")]
    pub port: Option<String>,
    #[serde(serialize_with = "zero")]
    pub address_mode: Option<String>,
    #[serde(serialize_with = "zero")]
    pub address: Option<String>,
    pub checks: Option<Vec<CheckDraft>>,
    pub check_restart: Option<CheckRestartDraft>,
    pub connect: Option<ConnectDraft>,
    pub meta: Option<BTreeMap<String, String>>,
    pub canary_meta: Option<BTreeMap<String, String>>,
    pub tagged_addresses: Option<BTreeMap<String, String>>,
    #[serde(rename = "TaskName", serialize_with = "zero")]
    pub task: Option<String>,
    #[serde(serialize_with = "zero")]
    pub on_update: Option<String>,
    pub identity: Option<IdentityDraft>,
    pub weights: Option<WeightsDraft>,
    #[serde(serialize_with = "zero")]
    pub provider: Option<String>,
    #[serde(serialize_with = "zero")]
    pub cluster: Option<String>,
    #[serde(serialize_with = "zero")]
    pub kind: Option<String>,
}

/// The service's weight in DNS answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WeightsDraft {
    #[serde(serialize_with = "zero")]
    pub passing: Option<i64>,
    #[serde(serialize_with = "zero")]
    pub warning: Option<i64>,
}

/// A health check.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CheckDraft {
    #[serde(serialize_with = "zero")]
    pub name: Option<String>,
    #[serde(rename = "Type", serialize_with = "zero")]
    pub kind: Option<String>,
    #[serde(serialize_with = "zero")]
    pub command: Option<String>,
    pub args: Option<Vec<String>>,
    #[serde(serialize_with = "zero")]
    pub path: Option<String>,
    #[serde(serialize_with = "zero")]
    pub protocol: Option<String>,
    #[serde(rename = "PortLabel", serialize_with = "zero")]
    pub port: Option<String>,
    #[serde(serialize_with = "zero")]
    pub expose: Option<bool>,
    #[serde(serialize_with = "zero")]
    pub address_mode: Option<String>,
    #[serde(serialize_with = "zero")]
    pub advertise: Option<String>,
    #[serde(serialize_with = "zero")]
    pub interval: Option<Nanos>,
    #[serde(serialize_with = "zero")]
    pub timeout: Option<Nanos>,
    #[serde(serialize_with = "zero")]
    pub initial_status: Option<String>,
    #[serde(serialize_with = "zero")]
    pub notes: Option<String>,
    #[serde(rename = "TLSServerName", serialize_with = "zero")]
    pub tls_server_name: Option<String>,
    #[serde(rename = "TLSSkipVerify", serialize_with = "zero")]
    pub tls_skip_verify: Option<bool>,
    pub header: Option<BTreeMap<String, Vec<String>>>,
    #[serde(serialize_with = "zero")]
    pub method: Option<String>,
    pub check_restart: Option<CheckRestartDraft>,
    #[serde(rename = "GRPCService", serialize_with = "zero")]
    pub grpc_service: Option<String>,
    #[serde(rename = "GRPCUseTLS", serialize_with = "zero")]
    pub grpc_use_tls: Option<bool>,
    #[serde(rename = "TaskName", serialize_with = "zero")]
    pub task: Option<String>,
    #[serde(serialize_with = "zero")]
    pub success_before_passing: Option<i64>,
    #[serde(serialize_with = "zero")]
    pub failures_before_critical: Option<i64>,
    #[serde(serialize_with = "zero")]
    pub failures_before_warning: Option<i64>,
    #[serde(serialize_with = "zero")]
    pub body: Option<String>,
    #[serde(serialize_with = "zero")]
    pub on_update: Option<String>,
}

/// When a failing check restarts its task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CheckRestartDraft {
    #[serde(serialize_with = "zero")]
    pub limit: Option<i64>,
    pub grace: Option<Nanos>,
    #[serde(serialize_with = "zero")]
    pub ignore_warnings: Option<bool>,
}
