//! The rules between a job's values, on the finished spec.
//!
//! Pure and cheap: the API checks a job before it is sent on, the leader checks it again before
//! it is stored. The words are those that Nomad's users know where they know some.

mod placement;
mod policy;
mod service;
mod task;

use std::collections::BTreeMap;

use super::job::{JobSpec, JobType, TaskGroup};
use super::pool;
use super::violation::{self, Violation};

/// The most instances that one job may ask for, over all its groups.
const JOB_COUNT_MAX: u64 = 50_000;
/// The longest description that the pages show.
const UI_DESCRIPTION_MAX: usize = 1000;
/// The smallest disk that a group may ask for.
const DISK_MB_MIN: u32 = 10;

/// What is wrong with a job, and what its author should know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Problems {
    pub violations: Vec<Violation>,
    /// One entry each, as the API lists them.
    pub warnings: Vec<String>,
}

impl Problems {
    /// The violations as one text, or `None` when the job is fine.
    pub fn error(&self) -> Option<String> {
        (!self.violations.is_empty()).then(|| violation::text(&self.violations))
    }

    fn job(&mut self, message: impl Into<String>) {
        self.violations.push(Violation::job(message));
    }

    fn group(&mut self, group: &TaskGroup, message: impl Into<String>) {
        self.violations.push(Violation::group(&group.name, message));
    }
}

/// Checks a whole job.
pub fn validate(spec: &JobSpec) -> Problems {
    let mut out = Problems::default();
    names(spec, &mut out);
    for message in placement::rules(&spec.constraints, &spec.affinities, &spec.spreads) {
        out.job(message);
    }
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, group) in spec.groups.iter().enumerate() {
        if let Some(first) = seen.get(group.name.as_str()) {
            out.job(format!(
                "Job task group {} redefines '{}' from group {}",
                i + 1,
                group.name,
                first + 1
            ));
        }
        seen.entry(&group.name).or_insert(i);
        self::group(spec, group, &mut out);
    }
    if !(1..=100).contains(&spec.priority) {
        out.job("job priority must be between [1, 100]");
    }
    let total: u64 = spec.groups.iter().map(|g| u64::from(g.count)).sum();
    if total > JOB_COUNT_MAX {
        out.job(format!(
            "total count was greater than configured job_max_count: {total} > {JOB_COUNT_MAX}"
        ));
    }
    let description = spec
        .ui
        .as_ref()
        .map_or(0, |ui| ui.description.chars().count());
    if description > UI_DESCRIPTION_MAX {
        out.job(format!(
            "UI description must be under {UI_DESCRIPTION_MAX} characters, currently \
             {description}"
        ));
    }
    warnings(spec, &mut out);
    out
}

fn names(spec: &JobSpec, out: &mut Problems) {
    let id = spec.id.as_str();
    for (missing, what) in [
        (spec.region.is_empty(), "Missing job region"),
        (id.is_empty(), "Missing job ID"),
        (id.contains(' '), "Job ID contains a space"),
        (id.contains('\0'), "Job ID contains a null character"),
        (spec.name.is_empty(), "Missing job name"),
        (
            spec.name.contains('\0'),
            "Job Name contains a null character",
        ),
        (
            spec.namespace.as_str().is_empty(),
            "Job must be in a namespace",
        ),
        (spec.datacenters.is_empty(), "Missing job datacenters"),
        (spec.groups.is_empty(), "Missing job task groups"),
    ] {
        if missing {
            out.job(what);
        }
    }
    if spec.datacenters.iter().any(String::is_empty) {
        out.job("Job datacenter must be non-empty string");
    }
    if !pool::is_name(&spec.node_pool) {
        out.job(format!(
            "invalid node pool {:?}, must match regex {}",
            spec.node_pool,
            pool::NAME_PATTERN
        ));
    }
}

fn group(spec: &JobSpec, group: &TaskGroup, out: &mut Problems) {
    if group.name.is_empty() {
        out.group(group, "Missing task group name");
    }
    if group.name.contains('\0') {
        out.group(group, "Task group name contains null character");
    }
    if group.tasks.is_empty() {
        out.group(group, "Missing tasks for task group");
    }
    for message in placement::rules(&group.constraints, &group.affinities, &group.spreads) {
        out.group(group, message);
    }
    for message in policy::of_group(group) {
        out.group(group, message);
    }
    if group.ephemeral_disk_mb < DISK_MB_MIN {
        out.group(
            group,
            format!(
                "minimum DiskMB value is {DISK_MB_MIN}; got {}",
                group.ephemeral_disk_mb
            ),
        );
    }
    match (spec.kind, group.max_run_duration) {
        (JobType::Service, Some(_)) => {
            out.group(
                group,
                "Job type \"service\" does not allow max_run_duration",
            );
        }
        (JobType::Batch, Some(limit)) if limit.is_zero() => {
            out.group(group, "max_run_duration must be greater than zero");
        }
        (JobType::Service | JobType::Batch, _) => {}
    }
    for message in service::ports(group) {
        out.group(group, message);
    }
    for message in service::services(group) {
        out.group(group, message);
    }
    tasks(group, out);
}

fn tasks(group: &TaskGroup, out: &mut Problems) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, task) in group.tasks.iter().enumerate() {
        if let Some(first) = seen.get(task.name.as_str()) {
            let message = format!(
                "Task {} redefines '{}' from task {}",
                i + 1,
                task.name,
                first + 1
            );
            out.group(group, message);
        }
        seen.entry(&task.name).or_insert(i);
        for message in self::task::rules(task, group) {
            let violation = Violation::task(&group.name, &task.name, message);
            out.violations.push(violation);
        }
    }
    if group.tasks.iter().filter(|t| t.leader).count() > 1 {
        out.group(group, "Only one task may be marked as leader");
    }
    if !group.tasks.is_empty() && group.tasks.iter().all(|t| t.lifecycle.is_some()) {
        let message = format!("Task group {} must have at least one main task", group.name);
        out.group(group, message);
    }
}

fn warnings(spec: &JobSpec, out: &mut Problems) {
    for group in &spec.groups {
        for warning in group_warnings(group) {
            let inner = violation::list(&[warning]);
            out.warnings.push(format!(
                "Group {:?} has warnings: {}",
                group.name,
                inner.trim_end()
            ));
        }
    }
    let promotes = |g: &TaskGroup| g.update.is_some_and(|u| u.auto_promote);
    if spec.groups.iter().any(promotes) && !spec.groups.iter().all(promotes) {
        out.warnings.push(
            "auto_promote must be true for all groups to enable automatic promotion".to_string(),
        );
    }
    for group in spec.groups.iter().filter(|g| g.shutdown_delay.is_zero()) {
        let sudden = |t: &&super::Task| !t.services.is_empty() && t.shutdown_delay.is_zero();
        for task in group.tasks.iter().filter(sudden) {
            out.warnings.push(format!(
                "task {:?} in group {:?} defines services, but has no shutdown_delay set",
                task.name, group.name
            ));
        }
    }
}

fn group_warnings(group: &TaskGroup) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(update) = &group.update
        && update.max_parallel > group.count
        && group.count > 1
    {
        found.push(format!(
            "Update max parallel count is greater than task group count ({} > {}). A destructive \
             change would result in the simultaneous replacement of all allocations.",
            update.max_parallel, group.count
        ));
    }
    if group.networks.iter().any(|n| n.mbits > 0) {
        found.push(
            "mbits has been deprecated as of Nomad 0.12.0. Please remove mbits from the network \
             block"
                .to_string(),
        );
    }
    for task in group
        .tasks
        .iter()
        .filter(|t| !t.resources.networks.is_empty())
    {
        found.push(format!(
            "Task {:?} has warnings: 1 error occurred:\n\t* task network resources have been \
             deprecated as of Nomad 0.12.0. Please configure networking via group network block.",
            task.name
        ));
    }
    found
}

#[cfg(test)]
mod tests;
