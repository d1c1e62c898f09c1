//! The labels by which a container says whose it is.

use std::collections::HashMap;

use crate::client::driver::{NodeFacts, TaskSpec};
use crate::model::driver_config::DockerConfig;

/// The node that started the container. Clean-up touches no container without its own id here.
pub(super) const NODE: &str = "tumen.node_id";
/// The allocation, under the name that other tools know.
pub(super) const ALLOC: &str = "com.hashicorp.nomad.alloc_id";
/// The task's name.
pub(super) const TASK: &str = "com.hashicorp.nomad.task_name";

/// All labels of a task's container. The job's own cannot replace ours.
pub(super) fn of(
    spec: &TaskSpec,
    config: &DockerConfig,
    node: &NodeFacts,
) -> HashMap<String, String> {
    let mut labels: HashMap<String, String> = config.labels.clone().into_iter().collect();
    let own = [
        (NODE, node.id.to_string()),
        (ALLOC, spec.alloc.to_string()),
        (TASK, spec.task.clone()),
        ("com.hashicorp.nomad.job_id", spec.job_id.clone()),
        ("com.hashicorp.nomad.job_name", spec.job_name.clone()),
        (
            "com.hashicorp.nomad.parent_job_id",
            spec.parent_job_id.clone(),
        ),
        ("com.hashicorp.nomad.task_group_name", spec.group.clone()),
        ("com.hashicorp.nomad.namespace", spec.namespace.clone()),
        ("com.hashicorp.nomad.node_name", node.name.clone()),
        ("com.hashicorp.nomad.node_id", node.id.to_string()),
    ];
    for (key, value) in own {
        if !value.is_empty() {
            labels.insert(key.to_string(), value);
        }
    }
    labels
}
