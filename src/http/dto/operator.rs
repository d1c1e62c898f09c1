//! Raft, autopilot and scheduler settings.

use super::{Moment, nullable};

wire! {
    /// `GET /v1/operator/raft/configuration`
    pub struct RaftConfiguration {
        pub index: u64,
        #[serde(with = "nullable")]
        pub servers: Vec<RaftServer>,
    }

    /// One server of the Raft cluster.
    pub struct RaftServer {
        pub address: String,
        #[serde(rename = "ID")]
        pub id: String,
        pub leader: bool,
        pub node: String,
        pub raft_protocol: String,
        pub voter: bool,
    }

    /// `GET /v1/operator/scheduler/configuration`
    pub struct SchedulerConfigurationResponse {
        pub index: u64,
        pub known_leader: bool,
        pub last_contact: i64,
        pub next_token: String,
        pub scheduler_config: SchedulerConfiguration,
    }

    /// Cluster-wide settings of the scheduler.
    pub struct SchedulerConfiguration {
        pub create_index: u64,
        pub memory_oversubscription_enabled: bool,
        pub modify_index: u64,
        pub node_limit_for_feasibility_checks: i64,
        pub pause_eval_broker: bool,
        pub preemption_config: PreemptionConfig,
        pub reject_job_registration: bool,
        /// `binpack` or `spread`
        pub scheduler_algorithm: String,
    }

    /// Which schedulers may preempt.
    pub struct PreemptionConfig {
        pub batch_scheduler_enabled: bool,
        pub service_scheduler_enabled: bool,
        pub sys_batch_scheduler_enabled: bool,
        pub system_scheduler_enabled: bool,
    }

    /// `PUT /v1/operator/scheduler/configuration`
    pub struct SchedulerSetResponse {
        pub index: u64,
        pub updated: bool,
    }

    /// `GET /v1/operator/autopilot/health`
    pub struct AutopilotHealth {
        pub failure_tolerance: i64,
        pub healthy: bool,
        pub leader: String,
        #[serde(with = "nullable")]
        pub servers: Vec<AutopilotServer>,
        #[serde(with = "nullable")]
        pub voters: Vec<String>,
    }

    /// One server's health.
    pub struct AutopilotServer {
        /// A duration as text, `0s`.
        pub last_contact: String,
        #[serde(rename = "ID")]
        pub id: String,
        pub name: String,
        pub address: String,
        pub serf_status: String,
        pub version: String,
        pub leader: bool,
        pub last_term: u64,
        pub last_index: u64,
        pub healthy: bool,
        pub voter: bool,
        pub stable_since: Moment,
    }
}
