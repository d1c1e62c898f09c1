//! Tasks and what they ask for.

use super::{placement, policy, service};
use crate::model::constraint::Operand;
use crate::model::driver_config::DriverConfig;
use crate::model::job::{Task, TaskGroup};
use crate::model::resources::Resources;
use crate::model::violation;

const CPU_MHZ_MIN: u32 = 1;
const MEMORY_MB_MIN: u32 = 10;

/// What is wrong with one task.
pub(super) fn rules(task: &Task, group: &TaskGroup) -> Vec<String> {
    let mut out = Vec::new();
    if task.name.is_empty() {
        out.push("Missing task name".to_string());
    }
    if task.name.contains(['/', '\\']) {
        out.push("Task name cannot include slashes".to_string());
    }
    if task.name.contains('\0') {
        out.push("Task name cannot include null characters".to_string());
    }
    // A name that the folders of an allocation already use.
    if task.name == "alloc" {
        out.push("Task cannot be named \"alloc\"".to_string());
    }
    if task.driver.is_empty() {
        out.push("Missing task driver".to_string());
    } else if let Err(mistakes) = DriverConfig::check(&task.driver, &task.config) {
        let driver = &task.driver;
        out.extend(mistakes.iter().map(|m| format!("{driver} config: {m}")));
    }
    let amounts = amounts(&task.resources);
    if !amounts.is_empty() {
        out.push(violation::list(&[violation::list(&amounts)]));
    }
    out.extend(logs(task, group));
    for constraint in &task.constraints {
        if matches!(
            constraint.operand,
            Operand::DistinctHosts | Operand::DistinctProperty
        ) {
            out.push(format!(
                "Constraint has disallowed Operand at task level: {}",
                constraint.operand.as_str()
            ));
        }
    }
    out.extend(placement::rules(&task.constraints, &task.affinities, &[]));
    if task.restart != group.restart {
        out.extend(policy::restart(&task.restart));
    }
    out.extend(service::task_ports(task));
    out
}

fn amounts(r: &Resources) -> Vec<String> {
    let mut out = Vec::new();
    if r.cpu_mhz < CPU_MHZ_MIN {
        out.push(format!(
            "minimum CPU value is {CPU_MHZ_MIN}; got {}",
            r.cpu_mhz
        ));
    }
    if r.memory_mb < MEMORY_MB_MIN {
        out.push(format!(
            "minimum MemoryMB value is {MEMORY_MB_MIN}; got {}",
            r.memory_mb
        ));
    }
    if r.memory_max_mb > 0 && r.memory_max_mb < r.memory_mb {
        out.push(format!(
            "MemoryMaxMB value ({}) should be larger than MemoryMB value ({})",
            r.memory_max_mb, r.memory_mb
        ));
    }
    out
}

fn logs(task: &Task, group: &TaskGroup) -> Vec<String> {
    let mut out = Vec::new();
    let logs = task.logs;
    if logs.max_files < 1 {
        out.push(format!(
            "minimum number of files is 1; got {}",
            logs.max_files
        ));
    }
    if logs.max_file_size_mb < 1 {
        out.push(format!(
            "minimum file size is 1MB; got {}",
            logs.max_file_size_mb
        ));
    }
    let storage = u64::from(logs.max_files) * u64::from(logs.max_file_size_mb);
    if storage >= u64::from(group.ephemeral_disk_mb) {
        out.push(format!(
            "log storage ({storage} MB) must be less than requested disk capacity ({} MB)",
            group.ephemeral_disk_mb
        ));
    }
    out
}
