//! Domain types to what the API shows of them.

mod alloc;
mod client;
mod job;
mod node;

use std::time::Duration;

pub use alloc::{alloc, alloc_stub, metric, task_event, task_state};
pub use client::{alloc_stats, check, file_info, frame, host_stats};
pub use job::{job_diff, job_stub, job_summary, planned, scale_status, submission, warnings};
pub use node::{NodeExtras, member, node, node_stub};

use crate::model;
use crate::rpc::api;

use super::Moment;
use super::deployment::{Deployment, DeploymentState};
use super::eval::{Evaluation, EvaluationStub};
use super::operator::{RaftConfiguration, RaftServer, SchedulerConfiguration};
use super::service::ServiceRegistration;

/// A duration in nanoseconds.
fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// An id, or nothing.
fn id_or_empty<T: ToString>(id: Option<T>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

/// A deployment.
pub fn deployment(deployment: &model::Deployment) -> Deployment {
    let group = |group: &model::DeploymentGroup| DeploymentState {
        auto_promote: group.auto_promote,
        auto_revert: group.auto_revert,
        desired_canaries: group.desired_canaries,
        desired_total: group.desired_total,
        healthy_allocs: group.healthy,
        placed_allocs: group.placed,
        placed_canaries: group
            .placed_canaries
            .iter()
            .map(ToString::to_string)
            .collect(),
        progress_deadline: nanos(group.progress_deadline),
        promoted: group.promoted,
        require_progress_by: Moment(group.require_progress_by),
        unhealthy_allocs: group.unhealthy,
    };
    Deployment {
        create_index: deployment.create_index,
        create_time: deployment.create_time.0,
        eval_priority: i64::from(deployment.eval_priority),
        id: deployment.id.to_string(),
        is_multiregion: false,
        job_create_index: deployment.job_create_index,
        job_id: deployment.job_id.to_string(),
        job_modify_index: deployment.job_modify_index,
        job_spec_modify_index: deployment.job_spec_modify_index,
        job_version: deployment.job_version,
        modify_index: deployment.modify_index,
        modify_time: deployment.modify_time.0,
        namespace: deployment.namespace.to_string(),
        status: deployment.status.as_str().to_string(),
        status_description: deployment.status_description.clone(),
        task_groups: deployment
            .groups
            .iter()
            .map(|(name, g)| (name.clone(), group(g)))
            .collect(),
    }
}

/// An evaluation.
pub fn eval(eval: &model::Evaluation) -> Evaluation {
    Evaluation {
        annotate_plan: false,
        blocked_eval: id_or_empty(eval.blocked),
        class_eligibility: eval.class_eligibility.clone(),
        create_index: eval.create_index,
        create_time: eval.create_time.0,
        deployment_id: id_or_empty(eval.deployment_id),
        escaped_computed_class: eval.escaped_class,
        failed_tg_allocs: eval
            .failed_groups
            .iter()
            .map(|(group, m)| (group.clone(), metric(m)))
            .collect(),
        id: eval.id.to_string(),
        job_id: eval.job_id.to_string(),
        job_modify_index: eval.job_modify_index,
        modify_index: eval.modify_index,
        modify_time: eval.modify_time.0,
        namespace: eval.namespace.to_string(),
        next_eval: id_or_empty(eval.next),
        node_id: id_or_empty(eval.node_id),
        node_modify_index: eval.node_modify_index,
        plan_annotations: None,
        previous_eval: id_or_empty(eval.previous),
        priority: i64::from(eval.priority),
        queued_allocations: eval.queued.clone(),
        quota_limit_reached: String::new(),
        related_evals: Vec::new(),
        snapshot_index: eval.snapshot_index,
        status: eval.status.as_str().to_string(),
        status_description: eval.status_description.clone(),
        triggered_by: eval.trigger.as_str().to_string(),
        kind: eval.kind.as_str().to_string(),
        wait: 0,
        wait_until: Moment::or_null(eval.wait_until),
    }
}

/// An evaluation among the related ones.
pub fn eval_stub(eval: &model::Evaluation) -> EvaluationStub {
    EvaluationStub {
        blocked_eval: id_or_empty(eval.blocked),
        create_index: eval.create_index,
        create_time: eval.create_time.0,
        deployment_id: id_or_empty(eval.deployment_id),
        id: eval.id.to_string(),
        job_id: eval.job_id.to_string(),
        modify_index: eval.modify_index,
        modify_time: eval.modify_time.0,
        namespace: eval.namespace.to_string(),
        next_eval: id_or_empty(eval.next),
        node_id: id_or_empty(eval.node_id),
        previous_eval: id_or_empty(eval.previous),
        priority: i64::from(eval.priority),
        status: eval.status.as_str().to_string(),
        status_description: eval.status_description.clone(),
        triggered_by: eval.trigger.as_str().to_string(),
        kind: eval.kind.as_str().to_string(),
        wait_until: Moment::or_null(eval.wait_until),
    }
}

/// A running instance of a service.
pub fn service(service: &model::ServiceRegistration) -> ServiceRegistration {
    ServiceRegistration {
        address: service.address.clone(),
        alloc_id: service.alloc_id.to_string(),
        create_index: service.create_index,
        datacenter: service.datacenter.clone(),
        id: service.id.clone(),
        job_id: service.job_id.to_string(),
        modify_index: service.modify_index,
        namespace: service.namespace.to_string(),
        node_id: service.node_id.to_string(),
        port: i64::from(service.port),
        service_name: service.name.clone(),
        tags: service.tags.clone(),
    }
}

/// The Raft group.
pub fn raft(raft: &api::RaftView) -> RaftConfiguration {
    RaftConfiguration {
        index: raft.index,
        servers: raft
            .servers
            .iter()
            .map(|server| RaftServer {
                address: server.addr.to_string(),
                id: server.id.to_string(),
                leader: server.leader,
                node: server.name.clone(),
                raft_protocol: "3".to_string(),
                voter: server.voter,
            })
            .collect(),
    }
}

/// The scheduler's settings. Preemption does not exist yet, so nothing may preempt.
pub fn scheduler_config(config: &model::view::SchedulerConfig) -> SchedulerConfiguration {
    SchedulerConfiguration {
        create_index: config.create_index,
        memory_oversubscription_enabled: config.memory_oversubscription,
        modify_index: config.modify_index,
        node_limit_for_feasibility_checks: 0,
        pause_eval_broker: config.pause_eval_broker,
        preemption_config: Default::default(),
        reject_job_registration: config.reject_job_registration,
        scheduler_algorithm: config.algorithm.as_str().to_string(),
    }
}
