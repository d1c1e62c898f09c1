//! Allocations and their tasks.

use std::collections::BTreeMap;

use super::{id_or_empty, nanos};
use crate::http::dto::Moment;
use crate::http::dto::alloc::*;
use crate::http::dto::job::job;
use crate::model;

/// An allocation in a list; `resources` and `states` add what is asked for.
pub fn alloc_stub(alloc: &model::Allocation, resources: bool, states: bool) -> AllocListStub {
    AllocListStub {
        allocated_resources: resources.then(|| allocated(alloc)),
        client_description: alloc.client_description.clone(),
        client_status: alloc.client_status.as_str().to_string(),
        create_index: alloc.create_index,
        create_time: alloc.create_time.0,
        deployment_status: alloc.deployment_health.as_ref().map(health),
        desired_description: alloc.desired_description.clone(),
        desired_status: alloc.desired.as_str().to_string(),
        desired_transition: Some(transition(&alloc.transition)),
        eval_id: alloc.eval_id.to_string(),
        followup_eval_id: id_or_empty(alloc.follow_up),
        id: alloc.id.to_string(),
        job_id: alloc.job_id.to_string(),
        job_type: alloc.job.spec.kind.as_str().to_string(),
        job_version: alloc.job.version,
        modify_index: alloc.modify_index,
        modify_time: alloc.modify_time.0,
        name: alloc.name.clone(),
        namespace: alloc.namespace.to_string(),
        next_allocation: id_or_empty(alloc.next),
        node_id: alloc.node_id.to_string(),
        node_name: alloc.node_name.clone(),
        preempted_allocations: Vec::new(),
        preempted_by_allocation: String::new(),
        reschedule_tracker: reschedules(alloc),
        task_group: alloc.group.clone(),
        task_states: if states {
            task_states(alloc)
        } else {
            BTreeMap::new()
        },
    }
}

/// An allocation, whole.
pub fn alloc(alloc: &model::Allocation) -> Allocation {
    let networks = shared_networks(alloc);
    let disk_mb = i64::from(alloc.resources.disk_mb);
    let tasks: BTreeMap<String, Resources> = alloc
        .resources
        .tasks
        .iter()
        .map(|(name, task)| (name.clone(), task_resources(alloc, name, task)))
        .collect();
    let total = Resources {
        cpu: tasks.values().map(|t| t.cpu).sum(),
        memory_mb: tasks.values().map(|t| t.memory_mb).sum(),
        memory_max_mb: tasks
            .values()
            .map(|t| t.memory_max_mb.max(t.memory_mb))
            .sum(),
        disk_mb,
        networks: networks.clone(),
        ..Resources::default()
    };
    Allocation {
        alloc_modify_index: alloc.alloc_modify_index,
        alloc_states: Vec::new(),
        allocated_resources: Some(allocated(alloc)),
        client_description: alloc.client_description.clone(),
        client_status: alloc.client_status.as_str().to_string(),
        create_index: alloc.create_index,
        create_time: alloc.create_time.0,
        deployment_id: id_or_empty(alloc.deployment_id),
        deployment_status: alloc.deployment_health.as_ref().map(health),
        desired_description: alloc.desired_description.clone(),
        desired_status: alloc.desired.as_str().to_string(),
        desired_transition: (alloc.transition != model::DesiredTransition::default())
            .then(|| transition(&alloc.transition)),
        eval_id: alloc.eval_id.to_string(),
        followup_eval_id: id_or_empty(alloc.follow_up),
        id: alloc.id.to_string(),
        job: Some(job(&alloc.job)),
        job_id: alloc.job_id.to_string(),
        metrics: Some(metric(&alloc.metrics)),
        modify_index: alloc.modify_index,
        modify_time: alloc.modify_time.0,
        name: alloc.name.clone(),
        namespace: alloc.namespace.to_string(),
        network_status: None,
        next_allocation: id_or_empty(alloc.next),
        node_id: alloc.node_id.to_string(),
        node_name: alloc.node_name.clone(),
        preempted_allocations: Vec::new(),
        preempted_by_allocation: String::new(),
        previous_allocation: id_or_empty(alloc.previous),
        reschedule_tracker: reschedules(alloc),
        resources: Some(total),
        shared_resources: Some(Resources {
            disk_mb,
            networks,
            ..Resources::default()
        }),
        signing_key_id: String::new(),
        task_group: alloc.group.clone(),
        task_resources: tasks,
        task_states: task_states(alloc),
    }
}

fn task_resources(alloc: &model::Allocation, name: &str, task: &model::AllocatedTask) -> Resources {
    Resources {
        cpu: i64::from(task.cpu_mhz),
        memory_mb: i64::from(task.memory_mb),
        memory_max_mb: i64::from(task.memory_max_mb),
        networks: networks(alloc, Some(name)),
        ..Resources::default()
    }
}

fn allocated(alloc: &model::Allocation) -> AllocatedResources {
    let held = &alloc.resources;
    AllocatedResources {
        shared: AllocatedSharedResources {
            disk_mb: i64::from(held.disk_mb),
            networks: shared_networks(alloc),
            ports: held
                .ports
                .iter()
                .filter(|p| p.task.is_none())
                .map(|p| PortMapping {
                    host_ip: p.host_ip.clone(),
                    ignore_collision: p.ignore_collision,
                    label: p.label.clone(),
                    to: i32::from(p.to),
                    value: i32::from(p.value),
                })
                .collect(),
        },
        task_lifecycles: held
            .tasks
            .iter()
            .map(|(name, task)| {
                let lifecycle = task.lifecycle.map(|l| TaskLifecycle {
                    hook: l.hook.as_str().to_string(),
                    sidecar: l.sidecar,
                });
                (name.clone(), lifecycle)
            })
            .collect(),
        tasks: held
            .tasks
            .iter()
            .map(|(name, task)| (name.clone(), allocated_task(alloc, name, task)))
            .collect(),
    }
}

fn allocated_task(
    alloc: &model::Allocation,
    name: &str,
    task: &model::AllocatedTask,
) -> AllocatedTaskResources {
    AllocatedTaskResources {
        cpu: AllocatedCpu {
            cpu_shares: i64::from(task.cpu_mhz),
            reserved_cores: Vec::new(),
        },
        devices: Vec::new(),
        memory: AllocatedMemory {
            memory_mb: i64::from(task.memory_mb),
            memory_max_mb: i64::from(task.memory_max_mb),
        },
        networks: networks(alloc, Some(name)),
    }
}

/// The group's network, if it has one.
fn shared_networks(alloc: &model::Allocation) -> Vec<NetworkResource> {
    networks(alloc, None)
}

/// The network whose ports belong to `owner`: a task, or the group.
fn networks(alloc: &model::Allocation, owner: Option<&str>) -> Vec<NetworkResource> {
    let held: Vec<_> = alloc
        .resources
        .ports
        .iter()
        .filter(|p| p.task.as_deref() == owner)
        .collect();
    let Some(first) = held.first() else {
        return Vec::new();
    };
    let asked = asked_ports(alloc, owner);
    let is_fixed = |label: &str| asked.iter().any(|a| a.label == label && a.fixed.is_some());
    let port = |p: &&model::AllocatedPort| Port {
        host_network: "default".to_string(),
        ignore_collision: p.ignore_collision,
        label: p.label.clone(),
        to: i32::from(p.to),
        value: i32::from(p.value),
    };
    vec![NetworkResource {
        ip: first.host_ip.clone(),
        dynamic_ports: held
            .iter()
            .filter(|p| !is_fixed(&p.label))
            .map(port)
            .collect(),
        reserved_ports: held
            .iter()
            .filter(|p| is_fixed(&p.label))
            .map(port)
            .collect(),
        ..NetworkResource::default()
    }]
}

/// The ports that `owner` asked for.
fn asked_ports<'a>(
    alloc: &'a model::Allocation,
    owner: Option<&str>,
) -> Vec<&'a model::resources::PortAsk> {
    let Some(group) = alloc.task_group() else {
        return Vec::new();
    };
    let networks = match owner {
        None => &group.networks,
        Some(task) => match group.task(task) {
            Some(task) => &task.resources.networks,
            None => return Vec::new(),
        },
    };
    networks.iter().flat_map(|n| n.ports.iter()).collect()
}

fn health(health: &model::DeploymentHealth) -> AllocDeploymentStatus {
    AllocDeploymentStatus {
        canary: health.canary,
        healthy: health.healthy,
        modify_index: health.modify_index,
        timestamp: Moment(health.time),
    }
}

fn transition(transition: &model::DesiredTransition) -> DesiredTransition {
    DesiredTransition {
        force_reschedule: transition.force_reschedule,
        migrate: transition.migrate,
        migrate_disable_placement: None,
        no_shutdown_delay: transition.no_shutdown_delay,
        reschedule: transition.reschedule,
    }
}

fn reschedules(alloc: &model::Allocation) -> Option<RescheduleTracker> {
    let event = |event: &model::RescheduleEvent| RescheduleEvent {
        delay: nanos(event.delay),
        prev_alloc_id: event.previous_alloc.to_string(),
        prev_node_id: event.previous_node.to_string(),
        reschedule_time: event.time.0,
    };
    (!alloc.reschedules.is_empty()).then(|| RescheduleTracker {
        events: alloc.reschedules.iter().map(event).collect(),
        last_reschedule: "ok".to_string(),
    })
}

/// What a placement attempt saw.
pub fn metric(metric: &model::AllocMetric) -> AllocMetric {
    AllocMetric {
        allocation_time: nanos(metric.allocation_time),
        class_exhausted: metric.class_exhausted.clone(),
        class_filtered: metric.class_filtered.clone(),
        coalesced_failures: metric.coalesced_failures,
        constraint_filtered: metric.constraint_filtered.clone(),
        dimension_exhausted: metric.dimension_exhausted.clone(),
        node_pool: metric.node_pool.clone(),
        nodes_available: metric.nodes_available.clone(),
        nodes_evaluated: metric.nodes_evaluated,
        nodes_exhausted: metric.nodes_exhausted,
        nodes_filtered: metric.nodes_filtered,
        nodes_in_pool: metric.nodes_in_pool,
        quota_exhausted: Vec::new(),
        resources_exhausted: BTreeMap::new(),
        score_meta_data: metric
            .scores
            .iter()
            .map(|score| NodeScoreMeta {
                node_id: score.node.to_string(),
                norm_score: score.total,
                scores: score.parts.clone(),
            })
            .collect(),
        scores: BTreeMap::new(),
    }
}

fn task_states(alloc: &model::Allocation) -> BTreeMap<String, TaskState> {
    alloc
        .task_states
        .iter()
        .map(|(name, state)| (name.clone(), task_state(state)))
        .collect()
}

/// One task's state.
pub fn task_state(state: &model::TaskState) -> TaskState {
    TaskState {
        events: state.events.iter().map(task_event).collect(),
        failed: state.failed,
        finished_at: Moment::or_null(state.finished_at),
        last_restart: Moment::or_null(state.last_restart),
        paused: String::new(),
        restarts: state.restarts,
        started_at: Moment::or_null(state.started_at),
        state: state.phase.as_str().to_string(),
    }
}

/// One task event, with the scalar fields that repeat its details.
pub fn task_event(event: &model::TaskEvent) -> TaskEvent {
    let text = |key: &str| event.details.get(key).cloned().unwrap_or_default();
    let number = |key: &str| {
        event
            .details
            .get(key)
            .and_then(|v| v.parse::<i64>().ok())
            .unwrap_or_default()
    };
    // Written as `5s` or as plain nanoseconds.
    let duration = |key: &str| {
        let text = text(key);
        text.parse::<i64>()
            .ok()
            .or_else(|| model::duration::parse(&text).ok())
            .unwrap_or_default()
    };
    TaskEvent {
        disk_limit: number("disk_limit"),
        display_message: event.message.clone(),
        download_error: text("download_error"),
        driver_error: text("driver_error"),
        driver_message: text("driver_message"),
        exit_code: number("exit_code"),
        failed_sibling: text("failed_sibling"),
        fails_task: event.fails_task,
        generic_source: String::new(),
        kill_error: text("kill_error"),
        kill_reason: text("kill_reason"),
        kill_timeout: duration("kill_timeout"),
        message: match text("message") {
            message if message.is_empty() => text("exit_message"),
            message => message,
        },
        restart_reason: text("restart_reason"),
        setup_error: text("setup_error"),
        signal: number("signal"),
        start_delay: duration("start_delay"),
        task_signal: if event.kind == "Signaling" {
            text("signal")
        } else {
            text("task_signal")
        },
        task_signal_reason: text("task_signal_reason"),
        time: event.time.0,
        kind: event.kind.clone(),
        validation_error: text("validation_error"),
        vault_error: text("vault_error"),
        details: event.details.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn the_scalars_of_an_event_repeat_its_details() {
        let event = model::TaskEvent::new("Terminated", Timestamp(7), "Exit Code: 137")
            .with("exit_code", 137)
            .with("exit_message", "killed")
            .with("kill_timeout", "5s")
            .with("start_delay", 1_500_000_000_i64);
        let shown = task_event(&event);
        assert_eq!((shown.exit_code, shown.time), (137, 7));
        assert_eq!(shown.message, "killed");
        assert_eq!(shown.kill_timeout, 5_000_000_000);
        assert_eq!(shown.start_delay, 1_500_000_000);
        assert_eq!(shown.details["exit_code"], "137");
    }
}
