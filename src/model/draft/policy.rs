//! Rules of placement and policies of update, restart and scaling, as written.

use super::*;

/// A rule that a node must meet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ConstraintDraft {
    #[serde(rename = "LTarget", serialize_with = "zero")]
    pub left: Option<String>,
    #[serde(rename = "RTarget", serialize_with = "zero")]
    pub right: Option<String>,
    #[serde(serialize_with = "zero")]
    pub operand: Option<String>,
}

/// A preference for nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AffinityDraft {
    #[serde(rename = "LTarget", serialize_with = "zero")]
    pub left: Option<String>,
    #[serde(rename = "RTarget", serialize_with = "zero")]
    pub right: Option<String>,
    #[serde(serialize_with = "zero")]
    pub operand: Option<String>,
    pub weight: Option<i64>,
}

/// A distribution over an attribute's values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SpreadDraft {
    #[serde(serialize_with = "zero")]
    pub attribute: Option<String>,
    pub weight: Option<i64>,
    #[serde(rename = "SpreadTarget")]
    pub targets: Option<Vec<SpreadTargetDraft>>,
}

/// One value's wanted share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SpreadTargetDraft {
    #[serde(serialize_with = "zero")]
    pub value: Option<String>,
    #[serde(serialize_with = "zero")]
    pub percent: Option<i64>,
}

/// How a new version replaces the old one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateDraft {
    pub stagger: Option<Nanos>,
    pub max_parallel: Option<i64>,
    pub health_check: Option<String>,
    pub min_healthy_time: Option<Nanos>,
    pub healthy_deadline: Option<Nanos>,
    pub progress_deadline: Option<Nanos>,
    pub canary: Option<i64>,
    pub auto_revert: Option<bool>,
    pub auto_promote: Option<bool>,
}

/// When a task is started again in place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartDraft {
    pub interval: Option<Nanos>,
    pub attempts: Option<i64>,
    pub delay: Option<Nanos>,
    pub mode: Option<String>,
    pub render_templates: Option<bool>,
}

/// When a failed allocation is replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RescheduleDraft {
    pub attempts: Option<i64>,
    pub interval: Option<Nanos>,
    pub delay: Option<Nanos>,
    pub delay_function: Option<String>,
    pub max_delay: Option<Nanos>,
    pub unlimited: Option<bool>,
}

/// How allocations leave a draining node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MigrateDraft {
    pub max_parallel: Option<i64>,
    pub health_check: Option<String>,
    pub min_healthy_time: Option<Nanos>,
    pub healthy_deadline: Option<Nanos>,
}

/// What happens while the node is out of reach.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DisconnectDraft {
    pub lost_after: Option<Nanos>,
    pub stop_on_client_after: Option<Nanos>,
    pub replace: Option<bool>,
    pub reconcile: Option<String>,
}

/// When a job starts by the clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PeriodicDraft {
    pub enabled: Option<bool>,
    pub spec: Option<String>,
    pub specs: Option<Vec<String>>,
    pub spec_type: Option<String>,
    pub prohibit_overlap: Option<bool>,
    pub time_zone: Option<String>,
}

/// What a dispatch of the job must bring.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ParameterizedDraft {
    #[serde(serialize_with = "zero")]
    pub payload: Option<String>,
    pub meta_required: Option<Vec<String>>,
    pub meta_optional: Option<Vec<String>>,
}

/// Bounds for an autoscaler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ScalingDraft {
    #[serde(rename = "ID", serialize_with = "zero")]
    pub id: Option<String>,
    #[serde(serialize_with = "zero")]
    pub namespace: Option<String>,
    #[serde(rename = "Type", serialize_with = "zero")]
    pub kind: Option<String>,
    pub target: Option<BTreeMap<String, String>>,
    #[serde(with = "natural::option")]
    pub policy: Option<ConfigValue>,
    pub min: Option<i64>,
    pub max: Option<i64>,
    pub enabled: Option<bool>,
    #[serde(serialize_with = "zero")]
    pub create_index: Option<u64>,
    #[serde(serialize_with = "zero")]
    pub modify_index: Option<u64>,
}
