//! Evaluations.

use std::collections::BTreeMap;

use super::alloc::AllocMetric;
use super::jobs::PlanAnnotations;
use super::{Moment, is_zero, nullable};

wire! {
    /// One evaluation. Zero fields are left out.
    pub struct Evaluation {
        #[serde(skip_serializing_if = "is_zero")]
        pub annotate_plan: bool,
        #[serde(skip_serializing_if = "is_zero")]
        pub blocked_eval: String,
        #[serde(with = "nullable", skip_serializing_if = "is_zero")]
        pub class_eligibility: BTreeMap<String, bool>,
        #[serde(skip_serializing_if = "is_zero")]
        pub create_index: u64,
        #[serde(skip_serializing_if = "is_zero")]
        pub create_time: i64,
        #[serde(rename = "DeploymentID", skip_serializing_if = "is_zero")]
        pub deployment_id: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub escaped_computed_class: bool,
        #[serde(rename = "FailedTGAllocs", with = "nullable", skip_serializing_if = "is_zero")]
        pub failed_tg_allocs: BTreeMap<String, AllocMetric>,
        #[serde(rename = "ID", skip_serializing_if = "is_zero")]
        pub id: String,
        #[serde(rename = "JobID", skip_serializing_if = "is_zero")]
        pub job_id: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub job_modify_index: u64,
        #[serde(skip_serializing_if = "is_zero")]
        pub modify_index: u64,
        #[serde(skip_serializing_if = "is_zero")]
        pub modify_time: i64,
        #[serde(skip_serializing_if = "is_zero")]
        pub namespace: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub next_eval: String,
        #[serde(rename = "NodeID", skip_serializing_if = "is_zero")]
        pub node_id: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub node_modify_index: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub plan_annotations: Option<PlanAnnotations>,
        #[serde(skip_serializing_if = "is_zero")]
        pub previous_eval: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub priority: i64,
        #[serde(with = "nullable", skip_serializing_if = "is_zero")]
        pub queued_allocations: BTreeMap<String, u32>,
        #[serde(skip_serializing_if = "is_zero")]
        pub quota_limit_reached: String,
        /// Only on request.
        #[serde(with = "nullable", skip_serializing_if = "is_zero")]
        pub related_evals: Vec<EvaluationStub>,
        #[serde(skip_serializing_if = "is_zero")]
        pub snapshot_index: u64,
        #[serde(skip_serializing_if = "is_zero")]
        pub status: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub status_description: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub triggered_by: String,
        #[serde(rename = "Type", skip_serializing_if = "is_zero")]
        pub kind: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub wait: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub wait_until: Option<Moment>,
    }

    /// The scalars of an evaluation, in the list of related ones.
    pub struct EvaluationStub {
        pub blocked_eval: String,
        pub create_index: u64,
        pub create_time: i64,
        #[serde(rename = "DeploymentID")]
        pub deployment_id: String,
        #[serde(rename = "ID")]
        pub id: String,
        #[serde(rename = "JobID")]
        pub job_id: String,
        pub modify_index: u64,
        pub modify_time: i64,
        pub namespace: String,
        pub next_eval: String,
        #[serde(rename = "NodeID")]
        pub node_id: String,
        pub previous_eval: String,
        pub priority: i64,
        pub status: String,
        pub status_description: String,
        pub triggered_by: String,
        #[serde(rename = "Type")]
        pub kind: String,
        pub wait_until: Option<Moment>,
    }

    /// `GET /v1/evaluations/count`
    pub struct EvalCountResponse {
        pub count: u64,
        pub index: u64,
        pub known_leader: bool,
        pub last_contact: i64,
        pub next_token: String,
    }
}
