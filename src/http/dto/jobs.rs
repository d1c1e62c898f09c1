//! Job lists, summaries and what registering, planning and stopping answer.

use std::collections::BTreeMap;

use super::alloc::{AllocListStub, AllocMetric};
use super::diff::JobDiff;
use super::eval::Evaluation;
use super::{JobJson, Moment, is_zero, nullable};
use crate::model::draft::JobDraft;

wire! {
    /// One row of the job list.
    pub struct JobListStub {
        pub create_index: u64,
        #[serde(with = "nullable")]
        pub datacenters: Vec<String>,
        #[serde(rename = "ID")]
        pub id: String,
        pub job_modify_index: u64,
        pub job_summary: JobSummary,
        /// Only on request.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub meta: Option<BTreeMap<String, String>>,
        pub modify_index: u64,
        pub multiregion: Option<()>,
        pub name: String,
        #[serde(skip_serializing_if = "is_zero")]
        pub namespace: String,
        pub node_pool: String,
        pub parameterized_job: bool,
        #[serde(rename = "ParentID")]
        pub parent_id: String,
        pub periodic: bool,
        pub priority: i64,
        pub status: String,
        pub status_description: String,
        pub stop: bool,
        /// Nanoseconds since the epoch.
        pub submit_time: i64,
        #[serde(rename = "Type")]
        pub kind: String,
    }

    /// How many allocations of each group are in which state.
    pub struct JobSummary {
        pub children: Option<JobChildren>,
        pub create_index: u64,
        #[serde(rename = "JobID")]
        pub job_id: String,
        pub modify_index: u64,
        pub namespace: String,
        #[serde(deserialize_with = "nullable::deserialize")]
        pub summary: BTreeMap<String, GroupSummary>,
    }

    /// Children of periodic and parameterized jobs.
    pub struct JobChildren {
        pub dead: i64,
        pub pending: i64,
        pub running: i64,
    }

    /// One group's part of a [`JobSummary`].
    pub struct GroupSummary {
        pub complete: u32,
        pub failed: u32,
        pub lost: u32,
        pub queued: u32,
        pub running: u32,
        pub starting: u32,
        pub unknown: u32,
    }

    /// `PUT /v1/jobs`
    pub struct JobRegisterRequest {
        pub enforce_index: bool,
        pub eval_priority: i64,
        pub job: Option<JobDraft>,
        pub job_modify_index: u64,
        pub namespace: String,
        pub policy_override: bool,
        pub preserve_counts: bool,
        pub preserve_resources: bool,
        pub region: String,
        pub submission: Option<JobSubmission>,
    }

    /// The job file as its author wrote it.
    pub struct JobSubmission {
        pub format: String,
        #[serde(rename = "JobID")]
        pub job_id: String,
        pub job_modify_index: u64,
        pub namespace: String,
        pub source: String,
        #[serde(with = "nullable")]
        pub variable_flags: BTreeMap<String, String>,
        pub variables: String,
        pub version: u64,
    }

    /// What registering, reverting, scaling and evaluating answer.
    pub struct JobRegisterResponse {
        pub eval_create_index: u64,
        #[serde(rename = "EvalID")]
        pub eval_id: String,
        pub index: u64,
        pub job_modify_index: u64,
        pub known_leader: bool,
        pub last_contact: i64,
        pub next_token: String,
        pub warnings: String,
    }

    /// What `DELETE /v1/job/…` answers.
    pub struct JobDeregisterResponse {
        pub eval_create_index: u64,
        #[serde(rename = "EvalID")]
        pub eval_id: String,
        pub index: u64,
        pub job_modify_index: u64,
        pub known_leader: bool,
        pub last_contact: i64,
        pub next_token: String,
        #[serde(rename = "VolumeEvalID")]
        pub volume_eval_id: String,
        pub volume_eval_index: u64,
    }

    /// `PUT /v1/job/…/plan`
    pub struct JobPlanRequest {
        pub diff: bool,
        pub job: Option<JobDraft>,
        pub policy_override: bool,
    }

    /// What a dry run would change.
    pub struct JobPlanResponse {
        pub annotations: Option<PlanAnnotations>,
        #[serde(with = "nullable")]
        pub created_evals: Vec<Evaluation>,
        pub diff: Option<JobDiff>,
        #[serde(rename = "FailedTGAllocs", with = "nullable")]
        pub failed_tg_allocs: BTreeMap<String, AllocMetric>,
        pub index: u64,
        pub job_modify_index: u64,
        pub next_periodic_launch: Option<Moment>,
        pub warnings: String,
    }

    /// What the scheduler meant to do.
    pub struct PlanAnnotations {
        #[serde(rename = "DesiredTGUpdates", deserialize_with = "nullable::deserialize")]
        pub desired_tg_updates: BTreeMap<String, DesiredUpdates>,
        #[serde(with = "nullable")]
        pub preempted_allocs: Vec<AllocListStub>,
    }

    /// How many allocations of a group are placed, stopped, updated…
    pub struct DesiredUpdates {
        pub canary: u64,
        pub destructive_update: u64,
        pub disconnect: u64,
        pub ignore: u64,
        pub in_place_update: u64,
        pub migrate: u64,
        pub place: u64,
        pub preemptions: u64,
        pub reconnect: u64,
        pub reschedule_later: u64,
        pub reschedule_now: u64,
        pub stop: u64,
    }

    /// `PUT /v1/jobs/parse`
    pub struct JobsParseRequest {
        pub canonicalize: bool,
        #[serde(rename = "JobHCL")]
        pub job_hcl: String,
        pub variables: String,
    }

    /// `PUT /v1/validate/job`
    pub struct JobValidateRequest {
        pub job: Option<JobDraft>,
    }

    /// Whether a job would be accepted.
    pub struct JobValidateResponse {
        pub driver_config_validated: bool,
        pub error: String,
        #[serde(with = "nullable")]
        pub validation_errors: Vec<String>,
        pub warnings: String,
    }

    /// `PUT /v1/job/…/evaluate`
    pub struct JobEvaluateRequest {
        pub eval_options: EvalOptions,
        #[serde(rename = "JobID")]
        pub job_id: String,
    }

    /// Options of a forced evaluation.
    pub struct EvalOptions {
        pub force_reschedule: bool,
    }

    /// The kept versions of a job, newest first.
    pub struct JobVersionsResponse {
        #[serde(with = "nullable")]
        pub diffs: Vec<JobDiff>,
        pub index: u64,
        pub known_leader: bool,
        pub last_contact: i64,
        pub next_token: String,
        #[serde(with = "nullable")]
        pub versions: Vec<JobJson>,
    }

    /// `PUT /v1/job/…/revert`
    pub struct JobRevertRequest {
        pub enforce_prior_version: Option<u64>,
        #[serde(rename = "JobID")]
        pub job_id: String,
        pub job_version: u64,
    }

    /// `PUT /v1/job/…/stable`
    pub struct JobStabilityRequest {
        #[serde(rename = "JobID")]
        pub job_id: String,
        pub job_version: u64,
        pub stable: bool,
    }

    /// `PUT /v1/job/…/scale`
    pub struct JobScaleRequest {
        pub count: Option<i64>,
        pub error: bool,
        pub job_modify_index: u64,
        pub message: String,
        #[serde(with = "nullable")]
        pub meta: BTreeMap<String, serde_json::Value>,
        pub policy_override: bool,
        #[serde(with = "nullable")]
        pub target: BTreeMap<String, String>,
    }

    /// `GET /v1/job/…/scale`
    pub struct JobScaleStatus {
        pub job_create_index: u64,
        #[serde(rename = "JobID")]
        pub job_id: String,
        pub job_modify_index: u64,
        pub job_stopped: bool,
        pub namespace: String,
        #[serde(deserialize_with = "nullable::deserialize")]
        pub task_groups: BTreeMap<String, GroupScaleStatus>,
    }

    /// One group's part of a [`JobScaleStatus`].
    pub struct GroupScaleStatus {
        pub desired: u32,
        #[serde(with = "nullable")]
        pub events: Vec<ScalingEvent>,
        pub healthy: u32,
        pub placed: u32,
        pub running: u32,
        pub unhealthy: u32,
    }

    /// A past change of a group's count.
    pub struct ScalingEvent {
        pub count: Option<i64>,
        pub create_index: u64,
        pub error: bool,
        #[serde(rename = "EvalID")]
        pub eval_id: Option<String>,
        pub message: String,
        #[serde(with = "nullable")]
        pub meta: BTreeMap<String, serde_json::Value>,
        pub previous_count: i64,
        pub time: i64,
    }
}
