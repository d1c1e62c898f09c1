//! Whether a running allocation can take a new version in place.

use std::collections::BTreeMap;

use crate::model::{Job, Task, TaskGroup};

/// Whether going from `old` to `new` needs the tasks of `group` to start anew.
pub(super) fn is_destructive(old: &Job, new: &Job, group: &str) -> bool {
    let (Some(old_group), Some(new_group)) = (old.group(group), new.group(group)) else {
        return true;
    };
    if old_group.tasks.len() != new_group.tasks.len()
        || old_group.ephemeral_disk_mb != new_group.ephemeral_disk_mb
        || old_group.networks != new_group.networks
    {
        return true;
    }
    new_group.tasks.iter().any(|task| {
        old_group
            .task(&task.name)
            .is_none_or(|old_task| task_differs(old_task, task))
            || meta(old, old_group, &task.name) != meta(new, new_group, &task.name)
    })
}

fn task_differs(old: &Task, new: &Task) -> bool {
    old.driver != new.driver
        || old.user != new.user
        || old.config != new.config
        || old.env != new.env
        || old.resources != new.resources
        || old.logs.disabled != new.logs.disabled
        || old.lifecycle != new.lifecycle
        || old.leader != new.leader
        || old.restart.render_templates != new.restart.render_templates
}

/// The meta that a task sees: its own over its group's over its job's.
fn meta<'a>(job: &'a Job, group: &'a TaskGroup, task: &str) -> BTreeMap<&'a str, &'a str> {
    let own = group.task(task).map(|t| &t.meta);
    [Some(&job.spec.meta), Some(&group.meta), own]
        .into_iter()
        .flatten()
        .flatten()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect()
}
