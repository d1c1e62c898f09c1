//! The job as its author wrote it: every field optional, so that "unset" differs from "zero".
//!
//! Both job files and API requests become a [`JobDraft`]. Its JSON is the API's: what serde writes
//! here is what `/v1/jobs/parse` answers, with `null` for what is unset, except where the API has
//! a plain field and shows its zero. A draft is never stored; see
//! [`JobDraft::canonical`] for the job that is.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod connect;
mod policy;
mod service;
mod task;

pub use connect::*;
pub use policy::*;
pub use service::*;
pub use task::*;

use super::duration;
use super::value::{ConfigValue, natural};

/// A whole job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobDraft {
    #[serde(rename = "ID")]
    pub id: Option<String>,
    pub region: Option<String>,
    pub namespace: Option<String>,
    pub name: Option<String>,
    #[serde(rename = "Type")]
    pub kind: Option<String>,
    pub priority: Option<i64>,
    pub all_at_once: Option<bool>,
    pub datacenters: Option<Vec<String>>,
    pub node_pool: Option<String>,
    pub constraints: Option<Vec<ConstraintDraft>>,
    pub affinities: Option<Vec<AffinityDraft>>,
    pub spreads: Option<Vec<SpreadDraft>>,
    #[serde(rename = "TaskGroups")]
    pub groups: Option<Vec<GroupDraft>>,
    pub update: Option<UpdateDraft>,
    pub reschedule: Option<RescheduleDraft>,
    pub migrate: Option<MigrateDraft>,
    pub multiregion: Option<MultiregionDraft>,
    pub periodic: Option<PeriodicDraft>,
    #[serde(rename = "ParameterizedJob")]
    pub parameterized: Option<ParameterizedDraft>,
    pub payload: Option<String>,
    pub meta: Option<BTreeMap<String, String>>,
    #[serde(rename = "UI")]
    pub ui: Option<UiDraft>,
    #[serde(rename = "ParentID")]
    pub parent_id: Option<String>,
    #[serde(serialize_with = "zero")]
    pub dispatched: Option<bool>,
    pub dispatch_idempotency_token: Option<String>,
    pub consul_namespace: Option<String>,
    pub vault_namespace: Option<String>,
    #[serde(rename = "NomadTokenID")]
    pub nomad_token_id: Option<String>,
    pub status: Option<String>,
    pub status_description: Option<String>,
    pub stop: Option<bool>,
    pub stable: Option<bool>,
    pub version: Option<u64>,
    pub submit_time: Option<i64>,
    pub create_index: Option<u64>,
    pub modify_index: Option<u64>,
    pub job_modify_index: Option<u64>,
    pub version_tag: Option<VersionTagDraft>,
}

/// The name that somebody gave to a version of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VersionTagDraft {
    #[serde(serialize_with = "zero")]
    pub name: Option<String>,
    #[serde(serialize_with = "zero")]
    pub description: Option<String>,
    #[serde(serialize_with = "zero")]
    pub tagged_time: Option<i64>,
}

/// What the pages show about the job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UiDraft {
    #[serde(serialize_with = "zero")]
    pub description: Option<String>,
    pub links: Option<Vec<UiLinkDraft>>,
}

/// One link on the job's page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UiLinkDraft {
    #[serde(serialize_with = "zero")]
    pub label: Option<String>,
    #[serde(rename = "URL", serialize_with = "zero")]
    pub url: Option<String>,
}

/// Several regions at once; Nomad Enterprise only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MultiregionDraft {
    pub strategy: Option<MultiregionStrategyDraft>,
    pub regions: Option<Vec<MultiregionRegionDraft>>,
}

/// How regions follow each other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MultiregionStrategyDraft {
    pub max_parallel: Option<i64>,
    pub on_failure: Option<String>,
}

/// What differs in one region.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MultiregionRegionDraft {
    #[serde(serialize_with = "zero")]
    pub name: Option<String>,
    pub count: Option<i64>,
    pub datacenters: Option<Vec<String>>,
    #[serde(serialize_with = "zero")]
    pub node_pool: Option<String>,
    pub meta: Option<BTreeMap<String, String>>,
}

/// A task group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GroupDraft {
    pub name: Option<String>,
    pub count: Option<i64>,
    pub constraints: Option<Vec<ConstraintDraft>>,
    pub affinities: Option<Vec<AffinityDraft>>,
    pub spreads: Option<Vec<SpreadDraft>>,
    pub tasks: Option<Vec<TaskDraft>>,
    pub volumes: Option<BTreeMap<String, VolumeDraft>>,
    #[serde(rename = "RestartPolicy")]
    pub restart: Option<RestartDraft>,
    pub disconnect: Option<DisconnectDraft>,
    #[serde(rename = "ReschedulePolicy")]
    pub reschedule: Option<RescheduleDraft>,
    pub ephemeral_disk: Option<EphemeralDiskDraft>,
    pub update: Option<UpdateDraft>,
    pub migrate: Option<MigrateDraft>,
    pub networks: Option<Vec<NetworkDraft>>,
    pub meta: Option<BTreeMap<String, String>>,
    pub services: Option<Vec<ServiceDraft>>,
    pub shutdown_delay: Option<Nanos>,
    pub max_run_duration: Option<Nanos>,
    pub stop_after_client_disconnect: Option<Nanos>,
    pub max_client_disconnect: Option<Nanos>,
    pub prevent_reschedule_on_lost: Option<bool>,
    pub scaling: Option<ScalingDraft>,
    pub consul: Option<ConsulDraft>,
}

/// A volume that a group's tasks may mount.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeDraft {
    #[serde(serialize_with = "zero")]
    pub name: Option<String>,
    #[serde(rename = "Type", serialize_with = "zero")]
    pub kind: Option<String>,
    #[serde(serialize_with = "zero")]
    pub source: Option<String>,
    #[serde(serialize_with = "zero")]
    pub read_only: Option<bool>,
    #[serde(serialize_with = "zero")]
    pub sticky: Option<bool>,
    #[serde(serialize_with = "zero")]
    pub access_mode: Option<String>,
    #[serde(serialize_with = "zero")]
    pub attachment_mode: Option<String>,
    pub mount_options: Option<VolumeMountOptionsDraft>,
    #[serde(serialize_with = "zero")]
    pub per_alloc: Option<bool>,
}

/// How a CSI volume is mounted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeMountOptionsDraft {
    #[serde(rename = "FSType", serialize_with = "zero")]
    pub fs_type: Option<String>,
    pub mount_flags: Option<Vec<String>>,
}

/// The disk space shared by a group's tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EphemeralDiskDraft {
    #[serde(rename = "SizeMB")]
    pub size_mb: Option<i64>,
    pub sticky: Option<bool>,
    pub migrate: Option<bool>,
}

/// The network and ports of a group (or, before 0.12, of a task).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkDraft {
    #[serde(serialize_with = "zero")]
    pub mode: Option<String>,
    #[serde(serialize_with = "zero")]
    pub device: Option<String>,
    #[serde(rename = "CIDR", serialize_with = "zero")]
    pub cidr: Option<String>,
    #[serde(rename = "IP", serialize_with = "zero")]
    pub ip: Option<String>,
    #[serde(serialize_with = "zero")]
    pub hostname: Option<String>,
    #[serde(rename = "MBits")]
    pub mbits: Option<i64>,
    #[serde(rename = "DNS")]
    pub dns: Option<DnsDraft>,
    pub reserved_ports: Option<Vec<PortDraft>>,
    pub dynamic_ports: Option<Vec<PortDraft>>,
    #[serde(rename = "CNI")]
    pub cni: Option<CniDraft>,
}

/// Resolver settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DnsDraft {
    pub servers: Option<Vec<String>>,
    pub searches: Option<Vec<String>>,
    pub options: Option<Vec<String>>,
}

/// One port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortDraft {
    #[serde(serialize_with = "zero")]
    pub label: Option<String>,
    #[serde(serialize_with = "zero")]
    pub value: Option<i64>,
    #[serde(serialize_with = "zero")]
    pub to: Option<i64>,
    #[serde(serialize_with = "zero")]
    pub host_network: Option<String>,
    #[serde(serialize_with = "zero")]
    pub ignore_collision: Option<bool>,
}

/// Arguments to a network plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CniDraft {
    pub args: Option<BTreeMap<String, String>>,
}

/// Where in Consul a group or task belongs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ConsulDraft {
    #[serde(serialize_with = "zero")]
    pub namespace: Option<String>,
    #[serde(serialize_with = "zero")]
    pub cluster: Option<String>,
    #[serde(serialize_with = "zero")]
    pub partition: Option<String>,
}

/// A duration as the API carries it: nanoseconds, or a text such as `"1m30s"` when read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Nanos(pub i64);

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct NanosVisitor;
        impl serde::de::Visitor<'_> for NanosVisitor {
            type Value = Nanos;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a duration in nanoseconds or a text such as \"30s\"")
            }

            fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<Nanos, E> {
                Ok(Nanos(v))
            }

            fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Nanos, E> {
                i64::try_from(v).map(Nanos).map_err(E::custom)
            }

            fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Nanos, E> {
                // JSON writers without integers send 5e9 or 5000000000.0.
                if v.fract() == 0.0 && v.abs() < 9.0e18 {
                    Ok(Nanos(v as i64))
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Float(v), &self))
                }
            }

            fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Nanos, E> {
                duration::parse(v).map(Nanos).map_err(E::custom)
            }
        }
        from.deserialize_any(NanosVisitor)
    }
}

/// Writes an unset field as its zero, for the API's plain fields.
fn zero<T: Serialize + Default, S: Serializer>(
    value: &Option<T>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => value.serialize(to),
        None => T::default().serialize(to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a real server answered survives reading and writing unchanged: no field is missing.
    #[test]
    fn every_captured_job_survives() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parse");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let wanted: serde_json::Value = serde_json::from_str(&text).unwrap();
            let draft: JobDraft = serde_json::from_value(wanted.clone())
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(
                serde_json::to_value(&draft).unwrap(),
                wanted,
                "{}",
                path.display()
            );
            seen += 1;
        }
        assert!(seen > 90, "only {seen} captures found");
    }
}
