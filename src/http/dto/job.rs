//! The job as servers show it: every field present, with what became of it.
//!
//! What a job's author may write and Tumen does not run (Vault, templates, …) is refused at
//! registration, so that those keys always have their zero here.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::JobJson;
use crate::model::constraint::{Affinity, Constraint, Spread};
use crate::model::job::{
    Disconnect, JobUi, MigrateStrategy, ReschedulePolicy, RestartMode, RestartPolicy,
    UpdateStrategy,
};
use crate::model::resources::{Network, NetworkMode, PortAsk, Resources};
use crate::model::service::{AddressMode, Check, CheckKind, OnUpdate, Service};
use crate::model::value::natural;
use crate::model::{ConfigValue, Job, JobType, Task, TaskGroup};

const NULL: Value = Value::Null;

/// Like `json!` for one level, of any length.
macro_rules! object {
    ({ $($key:literal: $value:expr),* $(,)? }) => {{
        let mut entries = serde_json::Map::new();
        $(entries.insert($key.to_string(), json!($value));)*
        Value::Object(entries)
    }};
}

/// The whole job.
pub fn job(job: &Job) -> JobJson {
    let spec = &job.spec;
    let (stagger, max_parallel) = spec.update.unwrap_or_default();
    object!({
        "Affinities": list(&spec.affinities, affinity),
        "AllAtOnce": spec.all_at_once,
        "Constraints": list(&spec.constraints, constraint),
        "ConsulNamespace": "",
        "CreateIndex": job.create_index,
        "Datacenters": spec.datacenters,
        "DispatchIdempotencyToken": "",
        "Dispatched": false,
        "ID": spec.id.as_str(),
        "JobModifyIndex": job.job_modify_index,
        "Meta": map(&spec.meta),
        "ModifyIndex": job.modify_index,
        "Multiregion": NULL,
        "Name": spec.name,
        "Namespace": spec.namespace.as_str(),
        "NodePool": spec.node_pool,
        "NomadTokenID": "",
        "ParameterizedJob": NULL,
        "ParentID": "",
        "Payload": NULL,
        "Periodic": NULL,
        "Priority": spec.priority,
        "Region": spec.region,
        "Spreads": list(&spec.spreads, spread),
        "Stable": job.stable,
        "Status": job.status.as_str(),
        "StatusDescription": job.status_description,
        "Stop": job.stop,
        "SubmitTime": job.submit_time.0,
        "TaskGroups": list(&spec.groups, |g| group(g, spec.namespace.as_str())),
        "Type": spec.kind.as_str(),
        "UI": spec.ui.as_ref().map(ui),
        "Update": object!({
            "AutoPromote": false,
            "AutoRevert": false,
            "Canary": 0,
            "HealthCheck": "",
            "HealthyDeadline": 0,
            "MaxParallel": if spec.kind == JobType::Service { max_parallel } else { 0 },
            "MinHealthyTime": 0,
            "ProgressDeadline": 0,
            "Stagger": nanos(stagger),
        }),
        "VaultNamespace": "",
        "Version": job.version,
        "VersionTag": NULL,
    })
}

/// A list, or `null` when it is empty.
fn list<T>(items: &[T], show: impl Fn(&T) -> Value) -> Value {
    if items.is_empty() {
        Value::Null
    } else {
        items.iter().map(show).collect()
    }
}

/// Texts, or `null` when there are none.
fn texts(items: &[String]) -> Value {
    list(items, |text| text.clone().into())
}

/// A map, or `null` when it is empty.
fn map(entries: &BTreeMap<String, String>) -> Value {
    if entries.is_empty() {
        Value::Null
    } else {
        json!(entries)
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn constraint(c: &Constraint) -> Value {
    json!({"LTarget": c.left, "Operand": c.operand.as_str(), "RTarget": c.right})
}

fn affinity(a: &Affinity) -> Value {
    json!({
        "LTarget": a.left,
        "Operand": a.operand.as_str(),
        "RTarget": a.right,
        "Weight": a.weight,
    })
}

fn spread(s: &Spread) -> Value {
    json!({
        "Attribute": s.attribute,
        "SpreadTarget": list(&s.targets, |t| json!({"Percent": t.percent, "Value": t.value})),
        "Weight": s.weight,
    })
}

fn ui(ui: &JobUi) -> Value {
    json!({
        "Description": ui.description,
        "Links": list(&ui.links, |(label, url)| json!({"Label": label, "Url": url})),
    })
}

fn group(group: &TaskGroup, namespace: &str) -> Value {
    object!({
        "Affinities": list(&group.affinities, affinity),
        "Constraints": list(&group.constraints, constraint),
        "Consul": NULL,
        "Count": group.count,
        "Disconnect": group.disconnect.as_ref().map(disconnect),
        "EphemeralDisk": json!({
            "Migrate": false,
            "SizeMB": group.ephemeral_disk_mb,
            "Sticky": false,
        }),
        "MaxClientDisconnect": NULL,
        "MaxRunDuration": group.max_run_duration.map(nanos),
        "Meta": map(&group.meta),
        "Migrate": group.migrate.as_ref().map(migrate),
        "Name": group.name,
        "Networks": list(&group.networks, network),
        "PreventRescheduleOnLost": false,
        "ReschedulePolicy": reschedule(&group.reschedule),
        "RestartPolicy": restart(&group.restart),
        "Scaling": NULL,
        "Services": list(&group.services, |s| service(s, namespace)),
        "ShutdownDelay": (!group.shutdown_delay.is_zero()).then(|| nanos(group.shutdown_delay)),
        "Spreads": list(&group.spreads, spread),
        "StopAfterClientDisconnect": NULL,
        "Tasks": list(&group.tasks, |t| task(t, namespace)),
        "Update": group.update.as_ref().map(update),
        "Volumes": NULL,
    })
}

fn disconnect(d: &Disconnect) -> Value {
    json!({
        "LostAfter": nanos(d.lost_after),
        "Reconcile": d.reconcile.as_str(),
        "Replace": d.replace,
        "StopOnClientAfter": d.stop_on_client_after.map(nanos),
    })
}

fn migrate(m: &MigrateStrategy) -> Value {
    json!({
        "HealthCheck": m.health_check.as_str(),
        "HealthyDeadline": nanos(m.healthy_deadline),
        "MaxParallel": m.max_parallel,
        "MinHealthyTime": nanos(m.min_healthy_time),
    })
}

fn reschedule(r: &ReschedulePolicy) -> Value {
    json!({
        "Attempts": r.attempts,
        "Delay": nanos(r.delay),
        "DelayFunction": r.function.as_str(),
        "Interval": nanos(r.interval),
        "MaxDelay": nanos(r.max_delay),
        "Unlimited": r.unlimited,
    })
}

fn restart(r: &RestartPolicy) -> Value {
    json!({
        "Attempts": r.attempts,
        "Delay": nanos(r.delay),
        "Interval": nanos(r.interval),
        "Mode": match r.mode {
            RestartMode::Fail => "fail",
            RestartMode::Delay => "delay",
        },
        "RenderTemplates": r.render_templates,
    })
}

fn update(u: &UpdateStrategy) -> Value {
    json!({
        "AutoPromote": u.auto_promote,
        "AutoRevert": u.auto_revert,
        "Canary": u.canary,
        "HealthCheck": u.health_check.as_str(),
        "HealthyDeadline": nanos(u.healthy_deadline),
        "MaxParallel": u.max_parallel,
        "MinHealthyTime": nanos(u.min_healthy_time),
        "ProgressDeadline": nanos(u.progress_deadline),
        "Stagger": nanos(u.stagger),
    })
}

/// A network drops its zero fields.
fn network(network: &Network) -> Value {
    let mut shown = serde_json::Map::new();
    if let Some(dns) = &network.dns {
        shown.insert(
            "DNS".into(),
            json!({
                "Options": texts(&dns.options),
                "Searches": texts(&dns.searches),
                "Servers": texts(&dns.servers),
            }),
        );
    }
    let (fixed, dynamic): (Vec<&PortAsk>, Vec<&PortAsk>) =
        network.ports.iter().partition(|p| p.fixed.is_some());
    if !dynamic.is_empty() {
        shown.insert("DynamicPorts".into(), list(&dynamic, |p| port(p)));
    }
    if network.mbits > 0 {
        shown.insert("MBits".into(), network.mbits.into());
    }
    if network.mode == NetworkMode::None {
        shown.insert("Mode".into(), "none".into());
    }
    if !fixed.is_empty() {
        shown.insert("ReservedPorts".into(), list(&fixed, |p| port(p)));
    }
    shown.into()
}

fn port(port: &PortAsk) -> Value {
    let mut shown = serde_json::Map::new();
    shown.insert("HostNetwork".into(), "default".into());
    if port.ignore_collision {
        shown.insert("IgnoreCollision".into(), true.into());
    }
    shown.insert("Label".into(), port.label.clone().into());
    if port.to != 0 {
        shown.insert("To".into(), port.to.into());
    }
    if let Some(fixed) = port.fixed {
        shown.insert("Value".into(), fixed.into());
    }
    shown.into()
}

fn task(task: &Task, namespace: &str) -> Value {
    object!({
        "Actions": NULL,
        "Affinities": list(&task.affinities, affinity),
        "Artifacts": NULL,
        "CSIPluginConfig": NULL,
        "Config": config(&task.config),
        "Constraints": list(&task.constraints, constraint),
        "Consul": NULL,
        "DispatchPayload": NULL,
        "Driver": task.driver,
        "Env": map(&task.env),
        "Identities": NULL,
        "Identity": NULL,
        "KillSignal": task.kill_signal,
        "KillTimeout": nanos(task.kill_timeout),
        "Kind": "",
        "Leader": task.leader,
        "Lifecycle": task.lifecycle.map(|l| json!({"Hook": l.hook.as_str(), "Sidecar": l.sidecar})),
        "LogConfig": json!({
            "Disabled": task.logs.disabled,
            "MaxFileSizeMB": task.logs.max_file_size_mb,
            "MaxFiles": task.logs.max_files,
        }),
        "Meta": map(&task.meta),
        "Name": task.name,
        "Resources": resources(&task.resources),
        "RestartPolicy": restart(&task.restart),
        "ScalingPolicies": NULL,
        "Schedule": NULL,
        "Secrets": NULL,
        "Services": list(&task.services, |s| service(s, namespace)),
        "ShutdownDelay": nanos(task.shutdown_delay),
        "Templates": NULL,
        "User": task.user,
        "Vault": NULL,
        "VolumeMounts": NULL,
    })
}

/// The driver's options as ordinary JSON; `null` when there are none.
fn config(config: &ConfigValue) -> Value {
    match config {
        ConfigValue::Map(entries) if entries.is_empty() => Value::Null,
        // Plain data: writing it as a value cannot fail but for a number that JSON lacks.
        config => natural::serialize(config, serde_json::value::Serializer).unwrap_or_default(),
    }
}

fn resources(r: &Resources) -> Value {
    json!({
        "CPU": r.cpu_mhz,
        "Cores": 0,
        "Devices": NULL,
        "DiskMB": 0,
        "IOPS": 0,
        "MemoryMB": r.memory_mb,
        "MemoryMaxMB": r.memory_max_mb,
        "NUMA": NULL,
        "Networks": list(&r.networks, network),
        "SecretsMB": 0,
    })
}

fn on_update(on: OnUpdate) -> &'static str {
    match on {
        OnUpdate::RequireHealthy => "require_healthy",
        OnUpdate::Ignore => "ignore",
    }
}

fn service(service: &Service, namespace: &str) -> Value {
    object!({
        "Address": service.address,
        "AddressMode": match service.address_mode {
            AddressMode::Auto => "auto",
            AddressMode::Host => "host",
            AddressMode::Driver => "driver",
            AddressMode::Alloc => "alloc",
        },
        "CanaryMeta": map(&service.canary_meta),
        "CanaryTags": texts(&service.canary_tags),
        "Checks": list(&service.checks, |c| check(c, service)),
        "Cluster": "default",
        "Connect": NULL,
        "EnableTagOverride": false,
        "Identity": NULL,
        "Kind": "",
        "Meta": map(&service.meta),
        "Name": service.name,
        "Namespace": namespace,
        "OnUpdate": on_update(service.on_update),
        "PortLabel": service.port,
        "Provider": "nomad",
        "TaggedAddresses": NULL,
        "Tags": texts(&service.tags),
        "TaskName": service.task.as_deref().unwrap_or_default(),
        "Weights": NULL,
    })
}

fn check(check: &Check, service: &Service) -> Value {
    let (kind, protocol, path, method, body, headers, skip_verify) = match &check.kind {
        CheckKind::Tcp => ("tcp", "", "", "", "", None, false),
        CheckKind::Http {
            path,
            method,
            body,
            headers,
            tls,
            tls_skip_verify,
        } => (
            "http",
            if *tls { "https" } else { "" },
            path.as_str(),
            method.as_str(),
            body.as_str(),
            (!headers.is_empty()).then_some(headers),
            *tls_skip_verify,
        ),
    };
    object!({
        "AddressMode": "",
        "Args": NULL,
        "Body": body,
        "CheckRestart": check.restart.map(|r| json!({
            "Grace": nanos(r.grace),
            "IgnoreWarnings": false,
            "Limit": r.limit,
        })),
        "Command": "",
        "Expose": false,
        "FailuresBeforeCritical": 0,
        "FailuresBeforeWarning": 0,
        "GRPCService": "",
        "GRPCUseTLS": false,
        "Header": headers,
        "InitialStatus": "",
        "Interval": nanos(check.interval),
        "Method": method,
        "Name": check.name,
        "Notes": "",
        "OnUpdate": on_update(check.on_update),
        "Path": path,
        "PortLabel": check.port,
        "Protocol": protocol,
        "SuccessBeforePassing": 0,
        "TLSServerName": "",
        "TLSSkipVerify": skip_verify,
        "TaskName": service.task.as_deref().unwrap_or_default(),
        "Timeout": nanos(check.timeout),
        "Type": kind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::json as loose;
    use crate::model::Timestamp;
    use crate::model::canonical::CanonicalDefaults;
    use crate::model::draft::JobDraft;

    /// What a server shows of a job registers as the same job: `job inspect | job run -json`.
    #[test]
    fn what_is_shown_registers_as_the_same_job() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parse");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let draft: JobDraft = loose::read(&std::fs::read(&path).unwrap()).unwrap();
            let first = draft.canonical(&CanonicalDefaults::default());
            if !first.violations.is_empty() {
                continue;
            }
            seen += 1;
            let shown = job(&Job::new(first.spec.clone(), Timestamp(1)));
            let text = serde_json::to_vec(&shown).unwrap();
            let again: JobDraft = loose::read(&text).unwrap();
            let again = again.canonical(&CanonicalDefaults::default());
            assert_eq!(again.violations, [], "{}", path.display());
            assert_eq!(again.spec, first.spec, "{}", path.display());
        }
        assert!(seen > 30, "only {seen} captures were canonical");
    }

    /// Every key that a real server shows of a job is there, and no other.
    #[test]
    fn the_keys_are_the_captured_ones() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parse");
        let text = std::fs::read(format!("{folder}/001-minimal.json")).unwrap();
        let draft: JobDraft = loose::read(&text).unwrap();
        let spec = draft.canonical(&CanonicalDefaults::default()).spec;
        let shown = job(&Job::new(spec, Timestamp(1)));
        let parsed: Value = serde_json::from_slice(&text).unwrap();
        let keys = |value: &Value| {
            let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
            keys.retain(|k| !matches!(k.as_str(), "Migrate" | "Reschedule"));
            keys.sort();
            keys
        };
        assert_eq!(keys(&shown), keys(&parsed));
    }
}
