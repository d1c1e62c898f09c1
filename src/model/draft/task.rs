//! Tasks, as written.

use super::*;

/// One process or container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskDraft {
    #[serde(serialize_with = "zero")]
    pub name: Option<String>,
    #[serde(serialize_with = "zero")]
    pub driver: Option<String>,
    #[serde(serialize_with = "zero")]
    pub user: Option<String>,
    pub lifecycle: Option<LifecycleDraft>,
    #[serde(with = "natural::option")]
    pub config: Option<ConfigValue>,
    pub constraints: Option<Vec<ConstraintDraft>>,
    pub affinities: Option<Vec<AffinityDraft>>,
    pub env: Option<BTreeMap<String, String>>,
    pub services: Option<Vec<ServiceDraft>>,
    pub resources: Option<ResourcesDraft>,
    #[serde(rename = "RestartPolicy")]
    pub restart: Option<RestartDraft>,
    pub meta: Option<BTreeMap<String, String>>,
    pub kill_timeout: Option<Nanos>,
    #[serde(rename = "LogConfig")]
    pub logs: Option<LogsDraft>,
    pub artifacts: Option<Vec<ArtifactDraft>>,
    pub vault: Option<VaultDraft>,
    pub consul: Option<ConsulDraft>,
    pub templates: Option<Vec<TemplateDraft>>,
    pub dispatch_payload: Option<DispatchPayloadDraft>,
    pub volume_mounts: Option<Vec<VolumeMountDraft>>,
    #[serde(rename = "CSIPluginConfig", skip_serializing_if = "Option::is_none")]
    pub csi_plugin: Option<CsiPluginDraft>,
    #[serde(serialize_with = "zero")]
    pub leader: Option<bool>,
    #[serde(serialize_with = "zero")]
    pub shutdown_delay: Option<Nanos>,
    #[serde(serialize_with = "zero")]
    pub kill_signal: Option<String>,
    #[serde(serialize_with = "zero")]
    pub kind: Option<String>,
    pub scaling_policies: Option<Vec<ScalingDraft>>,
    pub identity: Option<IdentityDraft>,
    pub identities: Option<Vec<IdentityDraft>>,
    pub actions: Option<Vec<ActionDraft>>,
    pub schedule: Option<ScheduleDraft>,
    pub secrets: Option<Vec<SecretDraft>>,
}

/// When a task runs that is not a main task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LifecycleDraft {
    #[serde(serialize_with = "zero")]
    pub hook: Option<String>,
    #[serde(serialize_with = "zero")]
    pub sidecar: Option<bool>,
}

/// What a task asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ResourcesDraft {
    #[serde(rename = "CPU")]
    pub cpu: Option<i64>,
    pub cores: Option<i64>,
    #[serde(rename = "MemoryMB")]
    pub memory_mb: Option<i64>,
    #[serde(rename = "MemoryMaxMB")]
    pub memory_max_mb: Option<i64>,
    #[serde(rename = "DiskMB")]
    pub disk_mb: Option<i64>,
    pub networks: Option<Vec<NetworkDraft>>,
    pub devices: Option<Vec<DeviceDraft>>,
    #[serde(rename = "NUMA")]
    pub numa: Option<NumaDraft>,
    #[serde(rename = "SecretsMB")]
    pub secrets_mb: Option<i64>,
    #[serde(rename = "IOPS")]
    pub iops: Option<i64>,
}

/// Devices of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceDraft {
    #[serde(serialize_with = "zero")]
    pub name: Option<String>,
    pub count: Option<u64>,
    pub constraints: Option<Vec<ConstraintDraft>>,
    pub affinities: Option<Vec<AffinityDraft>>,
}

/// Where in memory a task's cores should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NumaDraft {
    #[serde(serialize_with = "zero")]
    pub affinity: Option<String>,
    pub devices: Option<Vec<String>>,
}

/// How much output is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogsDraft {
    pub max_files: Option<i64>,
    #[serde(rename = "MaxFileSizeMB")]
    pub max_file_size_mb: Option<i64>,
    pub enabled: Option<bool>,
    pub disabled: Option<bool>,
}

/// A file fetched before the task starts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ArtifactDraft {
    pub getter_source: Option<String>,
    pub getter_options: Option<BTreeMap<String, String>>,
    pub getter_headers: Option<BTreeMap<String, String>>,
    pub getter_mode: Option<String>,
    pub getter_insecure: Option<bool>,
    pub relative_dest: Option<String>,
    #[serde(serialize_with = "zero")]
    pub chown: Option<bool>,
}

/// A file rendered before and while the task runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TemplateDraft {
    pub source_path: Option<String>,
    pub dest_path: Option<String>,
    pub embedded_tmpl: Option<String>,
    pub change_mode: Option<String>,
    pub change_script: Option<ChangeScriptDraft>,
    pub change_signal: Option<String>,
    pub once: Option<bool>,
    pub splay: Option<Nanos>,
    pub perms: Option<String>,
    pub uid: Option<i64>,
    pub gid: Option<i64>,
    pub left_delim: Option<String>,
    pub right_delim: Option<String>,
    pub envvars: Option<bool>,
    pub vault_grace: Option<Nanos>,
    pub wait: Option<WaitDraft>,
    pub err_missing_key: Option<bool>,
}

/// The command run when a template changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ChangeScriptDraft {
    pub command: Option<String>,
    pub args: Option<Vec<String>>,
    pub timeout: Option<Nanos>,
    #[serde(serialize_with = "zero")]
    pub fail_on_error: Option<bool>,
    #[serde(serialize_with = "zero")]
    pub run_on_first_render: Option<bool>,
}

/// How long changes are gathered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WaitDraft {
    pub min: Option<Nanos>,
    pub max: Option<Nanos>,
}

/// The task's Vault token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VaultDraft {
    pub policies: Option<Vec<String>>,
    #[serde(serialize_with = "zero")]
    pub role: Option<String>,
    pub namespace: Option<String>,
    #[serde(serialize_with = "zero")]
    pub cluster: Option<String>,
    pub env: Option<bool>,
    pub disable_file: Option<bool>,
    pub change_mode: Option<String>,
    pub change_signal: Option<String>,
    pub allow_token_expiration: Option<bool>,
}

/// Where a dispatch's payload is put.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DispatchPayloadDraft {
    #[serde(serialize_with = "zero")]
    pub file: Option<String>,
}

/// Where a group's volume is seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeMountDraft {
    pub volume: Option<String>,
    pub destination: Option<String>,
    pub read_only: Option<bool>,
    pub propagation_mode: Option<String>,
    #[serde(rename = "SELinuxLabel")]
    pub selinux_label: Option<String>,
}

/// A task that is a storage plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CsiPluginDraft {
    #[serde(rename = "ID")]
    pub id: Option<String>,
    #[serde(rename = "Type")]
    pub kind: Option<String>,
    pub mount_dir: Option<String>,
    pub stage_publish_base_dir: Option<String>,
    #[serde(serialize_with = "zero")]
    pub health_timeout: Option<Nanos>,
}

/// A signed identity of the workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IdentityDraft {
    #[serde(serialize_with = "zero")]
    pub name: Option<String>,
    pub audience: Option<Vec<String>>,
    #[serde(serialize_with = "zero")]
    pub change_mode: Option<String>,
    #[serde(serialize_with = "zero")]
    pub change_signal: Option<String>,
    #[serde(serialize_with = "zero")]
    pub env: Option<bool>,
    #[serde(serialize_with = "zero")]
    pub file: Option<bool>,
    #[serde(serialize_with = "zero")]
    pub filepath: Option<String>,
    #[serde(serialize_with = "zero")]
    pub service_name: Option<String>,
    #[serde(rename = "TTL", serialize_with = "zero")]
    pub ttl: Option<Nanos>,
    pub extra_claims: Option<Vec<String>>,
}

/// A named command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ActionDraft {
    #[serde(serialize_with = "zero")]
    pub name: Option<String>,
    #[serde(serialize_with = "zero")]
    pub command: Option<String>,
    pub args: Option<Vec<String>>,
}

/// When a task runs; Nomad Enterprise only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ScheduleDraft {
    pub cron: Option<ScheduleCronDraft>,
}

/// A daily window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ScheduleCronDraft {
    #[serde(serialize_with = "zero")]
    pub start: Option<String>,
    #[serde(serialize_with = "zero")]
    pub end: Option<String>,
    #[serde(serialize_with = "zero")]
    pub timezone: Option<String>,
}

/// A secret fetched before the task starts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SecretDraft {
    #[serde(serialize_with = "zero")]
    pub name: Option<String>,
    #[serde(serialize_with = "zero")]
    pub provider: Option<String>,
    #[serde(serialize_with = "zero")]
    pub path: Option<String>,
    #[serde(with = "natural::option")]
    pub config: Option<ConfigValue>,
    pub env: Option<BTreeMap<String, String>>,
}
