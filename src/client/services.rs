//! What an allocation registers for discovery, and where its checks go.
//!
//! Pure: from the allocation and the node to [`ServiceRegistration`]s and check targets.

use std::net::IpAddr;

use crate::model::service::{AddressMode, Check, OnUpdate, Service, ServiceRegistration};
use crate::model::{Allocation, Node};

use super::taskenv::TaskEnv;

/// A check with the place that it looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckTarget {
    /// Unique within the allocation.
    pub id: String,
    pub service: String,
    pub group: String,
    pub task: Option<String>,
    pub check: Check,
    /// Where to connect, or why there is nowhere.
    pub address: Result<(String, u16), String>,
}

impl CheckTarget {
    /// Whether an update waits for it.
    pub fn gates_health(&self) -> bool {
        self.check.on_update == OnUpdate::RequireHealthy
    }
}

/// The registrations of everything in `alloc` whose owner runs; `running` tells of a task.
pub fn registrations(
    alloc: &Allocation,
    node: &Node,
    env: &TaskEnv,
    running: impl Fn(&str) -> bool,
) -> Vec<ServiceRegistration> {
    let Some(group) = alloc.task_group() else {
        return Vec::new();
    };
    let any_running = group.tasks.iter().any(|t| running(&t.name));
    let lives = |s: &&Service| s.task.as_deref().map_or(any_running, &running);
    group
        .all_services()
        .filter(lives)
        .map(|s| register(alloc, node, env, s))
        .collect()
}

fn register(
    alloc: &Allocation,
    node: &Node,
    env: &TaskEnv,
    service: &Service,
) -> ServiceRegistration {
    let name = env.interpolate(&service.name);
    let owner = match &service.task {
        Some(task) => task.clone(),
        None => format!("group-{}", alloc.group),
    };
    let (address, port) = address_of(alloc, node, service, &service.port)
        .unwrap_or_else(|_| (node.host_ip.clone(), 0));
    let canary = alloc.deployment_health.is_some_and(|h| h.canary);
    let tags = if canary && !service.canary_tags.is_empty() {
        &service.canary_tags
    } else {
        &service.tags
    };
    ServiceRegistration {
        id: format!("_nomad-task-{}-{owner}-{name}-{}", alloc.id, service.port),
        name,
        namespace: alloc.namespace.clone(),
        node_id: alloc.node_id,
        datacenter: node.datacenter.clone(),
        job_id: alloc.job_id.clone(),
        alloc_id: alloc.id,
        tags: tags.iter().map(|t| env.interpolate(t)).collect(),
        address,
        port,
        create_index: 0,
        modify_index: 0,
    }
}

/// Every check of the allocation, in the order of the job file.
pub fn check_targets(alloc: &Allocation, node: &Node, env: &TaskEnv) -> Vec<CheckTarget> {
    let Some(group) = alloc.task_group() else {
        return Vec::new();
    };
    let mut targets = Vec::new();
    for service in group.all_services() {
        for check in &service.checks {
            let label = if check.port.is_empty() {
                &service.port
            } else {
                &check.port
            };
            targets.push(CheckTarget {
                id: format!("{}-{}-{}", service.name, check.name, targets.len()),
                service: env.interpolate(&service.name),
                group: alloc.group.clone(),
                task: service.task.clone(),
                check: check.clone(),
                address: address_of(alloc, node, service, label),
            });
        }
    }
    targets
}

/// Where `label` of `service` is reached from outside: an explicit address, else the host port.
fn address_of(
    alloc: &Allocation,
    node: &Node,
    service: &Service,
    label: &str,
) -> Result<(String, u16), String> {
    let owned = |p: &&crate::model::AllocatedPort| {
        p.label == label && (p.task.is_none() || p.task == service.task)
    };
    let port = alloc.resources.ports.iter().find(owned);
    let number = label.parse::<u16>().ok();
    let (ip, value) = match (port, number) {
        (Some(p), _) if service.address_mode == AddressMode::Alloc && p.to > 0 => {
            (p.host_ip.clone(), p.to)
        }
        (Some(p), _) => (p.host_ip.clone(), p.value),
        (None, Some(n)) => (node.host_ip.clone(), n),
        (None, None) if label.is_empty() => (node.host_ip.clone(), 0),
        (None, None) => return Err(format!("invalid port \"{label}\": port label not found")),
    };
    let ip = if service.address.is_empty() {
        ip
    } else {
        service.address.clone()
    };
    Ok((reachable(ip), value))
}

/// A wildcard is no address to connect to: loopback stands for it.
fn reachable(ip: String) -> String {
    match ip.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) if v4.is_unspecified() => "127.0.0.1".to_string(),
        Ok(IpAddr::V6(v6)) if v6.is_unspecified() => "::1".to_string(),
        Ok(_) | Err(_) => ip,
    }
}
