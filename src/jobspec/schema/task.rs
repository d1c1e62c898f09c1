//! Tasks.

use serde_json::Value as Json;

use super::Kind::{Bool, Duration, Free, Int, Many, One, Text, TextMap, Texts};
use super::job::{CONSUL, NETWORK};
use super::policy::{AFFINITY, CONSTRAINT, RESTART, TASK_SCALING};
use super::service::SERVICE;
use super::{Object, Schema, block, default, field};

const SECOND: i64 = 1_000_000_000;

pub(super) static TASK: Schema = Schema {
    name: "task",
    label: Some("Name"),
    fields: &[
        field("driver", "Driver", Text),
        field("user", "User", Text),
        field("config", "Config", Free),
        field("env", "Env", TextMap),
        field("meta", "Meta", TextMap),
        field("constraint", "Constraints", Many(&CONSTRAINT)),
        field("affinity", "Affinities", Many(&AFFINITY)),
        field("lifecycle", "Lifecycle", One(&LIFECYCLE)),
        field("service", "Services", Many(&SERVICE)),
        field("resources", "Resources", One(&RESOURCES)),
        field("restart", "RestartPolicy", One(&RESTART)),
        field("logs", "LogConfig", One(&LOGS)),
        field("artifact", "Artifacts", Many(&ARTIFACT)),
        field("template", "Templates", Many(&TEMPLATE)),
        field("vault", "Vault", One(&VAULT)),
        field("consul", "Consul", One(&CONSUL)),
        field(
            "dispatch_payload",
            "DispatchPayload",
            One(&DISPATCH_PAYLOAD),
        ),
        field("volume_mount", "VolumeMounts", Many(&VOLUME_MOUNT)),
        field("csi_plugin", "CSIPluginConfig", One(&CSI_PLUGIN)),
        field("identity", "_identities", Many(&IDENTITY)),
        field("action", "Actions", Many(&ACTION)),
        field("schedule", "Schedule", One(&SCHEDULE)),
        field("secret", "Secrets", Many(&SECRET)),
        field("scaling", "ScalingPolicies", Many(&TASK_SCALING)),
        field("leader", "Leader", Bool),
        field("kill_timeout", "KillTimeout", Duration),
        field("kill_signal", "KillSignal", Text),
        field("shutdown_delay", "ShutdownDelay", Duration),
        field("kind", "Kind", Text),
    ],
    finish: Some(finish_task),
};

/// The unnamed identity is the default one and has a field of its own.
fn finish_task(task: &mut Object) {
    let Some(Json::Array(identities)) = task.remove("_identities") else {
        return;
    };
    let mut named = Vec::new();
    for identity in identities {
        let name = identity.get("Name").and_then(Json::as_str).unwrap_or("");
        if matches!(name, "" | "default") && !task.contains_key("Identity") {
            task.insert("Identity".to_string(), identity);
        } else {
            named.push(identity);
        }
    }
    if !named.is_empty() {
        task.insert("Identities".to_string(), named.into());
    }
}

static LIFECYCLE: Schema = block(
    "lifecycle",
    &[
        field("hook", "Hook", Text),
        field("sidecar", "Sidecar", Bool),
    ],
);

pub(super) static RESOURCES: Schema = block(
    "resources",
    &[
        field("cpu", "CPU", Int),
        field("cores", "Cores", Int),
        field("memory", "MemoryMB", Int),
        field("memory_max", "MemoryMaxMB", Int),
        field("disk", "DiskMB", Int),
        field("iops", "IOPS", Int),
        field("secrets", "SecretsMB", Int),
        field("network", "Networks", Many(&NETWORK)),
        field("device", "Devices", Many(&DEVICE)),
        field("numa", "NUMA", One(&NUMA)),
    ],
);

static DEVICE: Schema = Schema {
    name: "device",
    label: Some("Name"),
    fields: &[
        field("count", "Count", Int),
        field("constraint", "Constraints", Many(&CONSTRAINT)),
        field("affinity", "Affinities", Many(&AFFINITY)),
    ],
    finish: None,
};

static NUMA: Schema = block(
    "numa",
    &[
        field("affinity", "Affinity", Text),
        field("devices", "Devices", Texts),
    ],
);

pub(super) static LOGS: Schema = block(
    "logs",
    &[
        field("max_files", "MaxFiles", Int),
        field("max_file_size", "MaxFileSizeMB", Int),
        field("enabled", "Enabled", Bool),
        field("disabled", "Disabled", Bool),
    ],
);

static ARTIFACT: Schema = block(
    "artifact",
    &[
        field("source", "GetterSource", Text),
        field("destination", "RelativeDest", Text),
        field("mode", "GetterMode", Text),
        field("options", "GetterOptions", TextMap),
        field("headers", "GetterHeaders", TextMap),
        field("insecure", "GetterInsecure", Bool),
        field("chown", "Chown", Bool),
    ],
);

static TEMPLATE: Schema = Schema {
    name: "template",
    label: None,
    fields: &[
        field("source", "SourcePath", Text),
        field("destination", "DestPath", Text),
        field("data", "EmbeddedTmpl", Text),
        field("change_mode", "ChangeMode", Text),
        field("change_signal", "ChangeSignal", Text),
        field("change_script", "ChangeScript", One(&CHANGE_SCRIPT)),
        field("once", "Once", Bool),
        field("splay", "Splay", Duration),
        field("perms", "Perms", Text),
        field("uid", "Uid", Int),
        field("gid", "Gid", Int),
        field("left_delimiter", "LeftDelim", Text),
        field("right_delimiter", "RightDelim", Text),
        field("env", "Envvars", Bool),
        field("vault_grace", "VaultGrace", Duration),
        field("wait", "Wait", One(&WAIT)),
        field("error_on_missing_key", "ErrMissingKey", Bool),
    ],
    finish: Some(|template| {
        default(template, "ChangeMode", "restart");
        default(template, "Splay", 5 * SECOND);
        default(template, "Perms", "0644");
        default(template, "ErrMissingKey", false);
    }),
};

static CHANGE_SCRIPT: Schema = block(
    "change_script",
    &[
        field("command", "Command", Text),
        field("args", "Args", Texts),
        field("timeout", "Timeout", Duration),
        field("fail_on_error", "FailOnError", Bool),
        field("run_on_first_render", "RunOnFirstRender", Bool),
    ],
);

static WAIT: Schema = block(
    "wait",
    &[field("min", "Min", Duration), field("max", "Max", Duration)],
);

pub(super) static VAULT: Schema = Schema {
    name: "vault",
    label: None,
    fields: &[
        field("policies", "Policies", Texts),
        field("role", "Role", Text),
        field("namespace", "Namespace", Text),
        field("cluster", "Cluster", Text),
        field("env", "Env", Bool),
        field("disable_file", "DisableFile", Bool),
        field("change_mode", "ChangeMode", Text),
        field("change_signal", "ChangeSignal", Text),
        field("allow_token_expiration", "AllowTokenExpiration", Bool),
    ],
    finish: Some(|vault| {
        default(vault, "ChangeMode", "restart");
        default(vault, "Env", true);
        default(vault, "DisableFile", false);
    }),
};

static DISPATCH_PAYLOAD: Schema = block("dispatch_payload", &[field("file", "File", Text)]);

pub(super) static VOLUME_MOUNT: Schema = block(
    "volume_mount",
    &[
        field("volume", "Volume", Text),
        field("destination", "Destination", Text),
        field("read_only", "ReadOnly", Bool),
        field("propagation_mode", "PropagationMode", Text),
        field("selinux_label", "SELinuxLabel", Text),
    ],
);

static CSI_PLUGIN: Schema = block(
    "csi_plugin",
    &[
        field("id", "ID", Text),
        field("type", "Type", Text),
        field("mount_dir", "MountDir", Text),
        field("stage_publish_base_dir", "StagePublishBaseDir", Text),
        field("health_timeout", "HealthTimeout", Duration),
    ],
);

pub(super) static IDENTITY: Schema = block(
    "identity",
    &[
        field("name", "Name", Text),
        field("aud", "Audience", Texts),
        field("change_mode", "ChangeMode", Text),
        field("change_signal", "ChangeSignal", Text),
        field("env", "Env", Bool),
        field("file", "File", Bool),
        field("filepath", "Filepath", Text),
        field("service_name", "ServiceName", Text),
        field("ttl", "TTL", Duration),
        field("extra_claims", "ExtraClaims", Texts),
    ],
);

static ACTION: Schema = Schema {
    name: "action",
    label: Some("Name"),
    fields: &[
        field("command", "Command", Text),
        field("args", "Args", Texts),
    ],
    finish: None,
};

static SCHEDULE: Schema = block("schedule", &[field("cron", "Cron", One(&SCHEDULE_CRON))]);

static SCHEDULE_CRON: Schema = block(
    "cron",
    &[
        field("start", "Start", Text),
        field("end", "End", Text),
        field("timezone", "Timezone", Text),
    ],
);

pub(super) static SECRET: Schema = Schema {
    name: "secret",
    label: Some("Name"),
    fields: &[
        field("provider", "Provider", Text),
        field("path", "Path", Text),
        field("config", "Config", Free),
        field("env", "Env", TextMap),
    ],
    finish: None,
};
