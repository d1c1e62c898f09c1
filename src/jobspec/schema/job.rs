//! The job and its groups.

use serde_json::{Value as Json, json};

use super::Kind::{Bool, Duration, Int, Many, Named, One, Text, TextMap, Texts};
use super::policy::{
    AFFINITY, CONSTRAINT, DISCONNECT, MIGRATE, PARAMETERIZED, PERIODIC, RESCHEDULE, RESTART,
    SCALING, SPREAD, UPDATE,
};
use super::service::SERVICE;
use super::task::{SECRET, TASK, VAULT};
use super::{Object, Schema, block, default, field, objects};

/// The whole job.
pub(in crate::jobspec) static JOB: Schema = Schema {
    name: "job",
    label: Some("_label"),
    fields: &[
        field("id", "ID", Text),
        field("name", "Name", Text),
        field("region", "Region", Text),
        field("namespace", "Namespace", Text),
        field("type", "Type", Text),
        field("priority", "Priority", Int),
        field("all_at_once", "AllAtOnce", Bool),
        field("datacenters", "Datacenters", Texts),
        field("node_pool", "NodePool", Text),
        field("meta", "Meta", TextMap),
        field("constraint", "Constraints", Many(&CONSTRAINT)),
        field("affinity", "Affinities", Many(&AFFINITY)),
        field("spread", "Spreads", Many(&SPREAD)),
        field("group", "TaskGroups", Many(&GROUP)),
        field("task", "_tasks", Many(&TASK)),
        field("update", "Update", One(&UPDATE)),
        field("migrate", "Migrate", One(&MIGRATE)),
        field("reschedule", "Reschedule", One(&RESCHEDULE)),
        field("periodic", "Periodic", One(&PERIODIC)),
        field("parameterized", "ParameterizedJob", One(&PARAMETERIZED)),
        field("multiregion", "Multiregion", One(&MULTIREGION)),
        field("ui", "UI", One(&UI)),
        field("vault", "_vault", One(&VAULT)),
        field("secret", "_secrets", Many(&SECRET)),
    ],
    finish: Some(finish_job),
};

/// Tasks of the job become groups of their own; what is set for the whole job goes to its tasks.
fn finish_job(job: &mut Object) {
    let label = job.remove("_label");
    if let Some(label) = label {
        default(job, "ID", label.clone());
        default(job, "Name", label);
    }
    if let Some(Json::Array(tasks)) = job.remove("_tasks") {
        let groups = tasks
            .into_iter()
            .map(|task| json!({"Name": task.get("Name").cloned(), "Tasks": [task]}));
        match job.get_mut("TaskGroups").and_then(Json::as_array_mut) {
            Some(existing) => existing.extend(groups),
            None => {
                let groups: Vec<Json> = groups.collect();
                job.insert("TaskGroups".to_string(), groups.into());
            }
        }
    }
    let vault = job.remove("_vault");
    let secrets = job.remove("_secrets");
    for group in objects(job, "TaskGroups") {
        let vault = group.remove("_vault").or_else(|| vault.clone());
        for task in objects(group, "Tasks") {
            if let Some(vault) = &vault {
                default(task, "Vault", vault.clone());
            }
            if let Some(secrets) = &secrets {
                default(task, "Secrets", secrets.clone());
            }
        }
    }
}

static GROUP: Schema = Schema {
    name: "group",
    label: Some("Name"),
    fields: &[
        field("count", "Count", Int),
        field("constraint", "Constraints", Many(&CONSTRAINT)),
        field("affinity", "Affinities", Many(&AFFINITY)),
        field("spread", "Spreads", Many(&SPREAD)),
        field("task", "Tasks", Many(&TASK)),
        field("meta", "Meta", TextMap),
        field("restart", "RestartPolicy", One(&RESTART)),
        field("reschedule", "ReschedulePolicy", One(&RESCHEDULE)),
        field("update", "Update", One(&UPDATE)),
        field("migrate", "Migrate", One(&MIGRATE)),
        field("disconnect", "Disconnect", One(&DISCONNECT)),
        field("ephemeral_disk", "EphemeralDisk", One(&EPHEMERAL_DISK)),
        field("network", "Networks", Many(&NETWORK)),
        field("service", "Services", Many(&SERVICE)),
        field("volume", "Volumes", Named(&VOLUME)),
        field("scaling", "Scaling", One(&SCALING)),
        field("consul", "Consul", One(&CONSUL)),
        field("vault", "_vault", One(&VAULT)),
        field("shutdown_delay", "ShutdownDelay", Duration),
        field("max_run_duration", "MaxRunDuration", Duration),
        field("max_client_disconnect", "MaxClientDisconnect", Duration),
        field(
            "stop_after_client_disconnect",
            "StopAfterClientDisconnect",
            Duration,
        ),
        field(
            "prevent_reschedule_on_lost",
            "PreventRescheduleOnLost",
            Bool,
        ),
    ],
    finish: None,
};

static EPHEMERAL_DISK: Schema = block(
    "ephemeral_disk",
    &[
        field("size", "SizeMB", Int),
        field("sticky", "Sticky", Bool),
        field("migrate", "Migrate", Bool),
    ],
);

/// A group's network; also the network that tasks had before 0.12.
pub(super) static NETWORK: Schema = Schema {
    name: "network",
    label: None,
    fields: &[
        field("mode", "Mode", Text),
        field("device", "Device", Text),
        field("cidr", "CIDR", Text),
        field("hostname", "Hostname", Text),
        field("mbits", "MBits", Int),
        field("dns", "DNS", One(&DNS)),
        field("cni", "CNI", One(&CNI)),
        field("port", "_ports", Many(&PORT)),
    ],
    finish: Some(finish_network),
};

static PORT: Schema = Schema {
    name: "port",
    label: Some("Label"),
    fields: &[
        field("static", "Value", Int),
        field("to", "To", Int),
        field("host_network", "HostNetwork", Text),
        field("ignore_collision", "IgnoreCollision", Bool),
    ],
    finish: None,
};

/// Ports with a fixed number and ports without one are two lists.
fn finish_network(network: &mut Object) {
    let Some(Json::Array(ports)) = network.remove("_ports") else {
        return;
    };
    let is_fixed = |port: &Json| port.get("Value").is_some_and(|v| *v != 0);
    let (fixed, dynamic): (Vec<Json>, Vec<Json>) = ports.into_iter().partition(is_fixed);
    for (key, ports) in [("ReservedPorts", fixed), ("DynamicPorts", dynamic)] {
        if !ports.is_empty() {
            network.insert(key.to_string(), ports.into());
        }
    }
}

static DNS: Schema = block(
    "dns",
    &[
        field("servers", "Servers", Texts),
        field("searches", "Searches", Texts),
        field("options", "Options", Texts),
    ],
);

static CNI: Schema = block("cni", &[field("args", "Args", TextMap)]);

static VOLUME: Schema = Schema {
    name: "volume",
    label: Some("Name"),
    fields: &[
        field("type", "Type", Text),
        field("source", "Source", Text),
        field("read_only", "ReadOnly", Bool),
        field("sticky", "Sticky", Bool),
        field("access_mode", "AccessMode", Text),
        field("attachment_mode", "AttachmentMode", Text),
        field("mount_options", "MountOptions", One(&MOUNT_OPTIONS)),
        field("per_alloc", "PerAlloc", Bool),
    ],
    finish: None,
};

static MOUNT_OPTIONS: Schema = block(
    "mount_options",
    &[
        field("fs_type", "FSType", Text),
        field("mount_flags", "MountFlags", Texts),
    ],
);

pub(super) static CONSUL: Schema = block(
    "consul",
    &[
        field("namespace", "Namespace", Text),
        field("cluster", "Cluster", Text),
        field("partition", "Partition", Text),
    ],
);

static MULTIREGION: Schema = block(
    "multiregion",
    &[
        field("strategy", "Strategy", One(&STRATEGY)),
        field("region", "Regions", Many(&REGION)),
    ],
);

static STRATEGY: Schema = block(
    "strategy",
    &[
        field("max_parallel", "MaxParallel", Int),
        field("on_failure", "OnFailure", Text),
    ],
);

static REGION: Schema = Schema {
    name: "region",
    label: Some("Name"),
    fields: &[
        field("count", "Count", Int),
        field("datacenters", "Datacenters", Texts),
        field("node_pool", "NodePool", Text),
        field("meta", "Meta", TextMap),
    ],
    finish: None,
};

static UI: Schema = block(
    "ui",
    &[
        field("description", "Description", Text),
        field("link", "Links", Many(&LINK)),
    ],
);

static LINK: Schema = block(
    "link",
    &[field("label", "Label", Text), field("url", "URL", Text)],
);
