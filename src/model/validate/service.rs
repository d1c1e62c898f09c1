//! Ports, services and checks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::duration;
use crate::model::job::{Task, TaskGroup};
use crate::model::resources::Network;
use crate::model::service::{AddressMode, Check, CheckKind, Service};
use crate::model::violation;

const INTERVAL_MIN: Duration = Duration::from_secs(1);
const NAME_MAX: usize = 63;

/// What is wrong with the ports of a group's network.
pub(super) fn ports(group: &TaskGroup) -> Vec<String> {
    network(&group.networks, &format!("group {:?}", group.name))
}

/// What is wrong with the ports of a task's own network.
pub(super) fn task_ports(task: &Task) -> Vec<String> {
    network(&task.resources.networks, &format!("task {:?}", task.name))
}

fn network(networks: &[Network], owner: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut labels = BTreeSet::new();
    let mut fixed: BTreeMap<u16, &str> = BTreeMap::new();
    for port in networks.iter().flat_map(|n| &n.ports) {
        if port.label.is_empty() {
            out.push("Port label can't be empty".to_string());
        }
        if !labels.insert(port.label.as_str()) {
            let label = &port.label;
            out.push(format!("Port label {label} already in use by {owner}"));
        }
        if let Some(value) = port.fixed.filter(|_| !port.ignore_collision)
            && let Some(other) = fixed.insert(value, &port.label)
        {
            out.push(format!("Static port {value} already reserved by {other}"));
        }
    }
    out
}

/// What is wrong with the services of a group and of its tasks.
pub(super) fn services(group: &TaskGroup) -> Vec<String> {
    let mut out = Vec::new();
    let group_labels: BTreeSet<&str> = labels(&group.networks).collect();
    let mut seen = BTreeSet::new();
    let task_names: BTreeSet<&str> = group.tasks.iter().map(|t| t.name.as_str()).collect();
    for service in group.all_services() {
        let mut found = Vec::new();
        let task = service.task.as_deref().and_then(|name| group.task(name));
        if let Some(name) = service.task.as_deref().filter(|n| !task_names.contains(n)) {
            found.push(format!("Service task {name:?} does not exist in the group"));
        }
        let mut known = group_labels.clone();
        known.extend(task.iter().flat_map(|t| labels(&t.resources.networks)));
        if !seen.insert((&service.name, &service.task, &service.port)) {
            found.push(format!("service {:?} is duplicate", service.name));
        }
        found.extend(one(service, &known));
        if !found.is_empty() {
            let list = violation::list(&found);
            out.push(format!("Task group service validation failed: {list}"));
        }
    }
    out
}

fn labels(networks: &[Network]) -> impl Iterator<Item = &str> {
    networks
        .iter()
        .flat_map(|n| &n.ports)
        .map(|p| p.label.as_str())
}

fn one(service: &Service, labels: &BTreeSet<&str>) -> Vec<String> {
    let mut out = Vec::new();
    let name = &service.name;
    if !name.contains("${") && !is_dns_label(name) {
        out.push(format!(
            "Service name must be valid per RFC 1123 and can contain only alphanumeric \
             characters or dashes and must be no longer than {NAME_MAX} characters: {name:?}"
        ));
    }
    let is_number = service.port.parse::<u16>().is_ok();
    if !service.port.is_empty()
        && !is_number
        && !service.port.contains("${")
        && !labels.contains(service.port.as_str())
    {
        out.push(format!(
            "port label {:?} referenced by services {name} does not exist",
            service.port
        ));
    }
    if !service.address.is_empty()
        && matches!(
            service.address_mode,
            AddressMode::Alloc | AddressMode::Driver
        )
    {
        out.push(
            "Service address_mode cannot be \"alloc\" or \"driver\" if address is set".to_string(),
        );
    }
    let mut seen = BTreeSet::new();
    for check in &service.checks {
        if !seen.insert(&check.name) {
            out.push(format!("check {:?} is duplicate", check.name));
        }
        out.extend(self::check(check, service, labels));
    }
    out
}

/// Lower-case letters, digits and dashes, neither first nor last a dash.
fn is_dns_label(name: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '-';
    !name.is_empty()
        && name.len() <= NAME_MAX
        && name.chars().all(inside)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn check(check: &Check, service: &Service, labels: &BTreeSet<&str>) -> Vec<String> {
    let mut out = Vec::new();
    let name = &check.name;
    if check.port.is_empty() && service.port.is_empty() {
        out.push(format!("check {name:?} is missing a port"));
    }
    if !check.port.is_empty()
        && check.port.parse::<u16>().is_err()
        && !labels.contains(check.port.as_str())
    {
        let port = &check.port;
        out.push(format!(
            "port label {port:?} referenced by check {name} does not exist"
        ));
    }
    match &check.kind {
        CheckKind::Tcp => {}
        CheckKind::Http { path, .. } if path.is_empty() => {
            out.push("http type must have http path".to_string());
        }
        CheckKind::Http { path, .. } if !path.starts_with('/') => {
            out.push(format!("relative http path required, got {path:?}"));
        }
        CheckKind::Http { .. } => {}
    }
    for (what, value) in [("interval", check.interval), ("timeout", check.timeout)] {
        if value.is_zero() {
            let title = format!("{}{}", what[..1].to_uppercase(), &what[1..]);
            out.push(format!(
                "missing required value {what}. {title} cannot be less than {}",
                duration::format(INTERVAL_MIN)
            ));
        } else if value < INTERVAL_MIN {
            out.push(format!(
                "{what} ({}) cannot be lower than {}",
                duration::format(value),
                duration::format(INTERVAL_MIN)
            ));
        }
    }
    out
}
