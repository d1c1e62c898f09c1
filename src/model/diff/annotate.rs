//! What a change does to running allocations, written beside it.

use std::collections::BTreeMap;

use super::{DesiredUpdates, DiffKind, FieldDiff, JobDiff, TaskDiff};

const CREATE: &str = "forces create";
const DESTROY: &str = "forces destroy";
const IN_PLACE: &str = "forces in-place update";
const REPLACE: &str = "forces create/destroy update";

/// Writes into `diff` what the planned `updates` of each group do.
pub fn annotate(diff: &mut JobDiff, updates: &BTreeMap<String, DesiredUpdates>) {
    for group in &mut diff.groups {
        if let Some(updates) = updates.get(&group.name) {
            group.updates = counts(updates);
        }
        annotate_count(&mut group.fields);
        let kind = group.kind;
        for task in &mut group.tasks {
            task.annotations = annotate_task(task, kind).into_iter().collect();
        }
    }
}

fn counts(updates: &DesiredUpdates) -> BTreeMap<String, u64> {
    [
        ("ignore", updates.ignore),
        ("create", updates.place),
        ("migrate", updates.migrate),
        ("destroy", updates.stop),
        ("canary", updates.canary),
        ("in-place update", updates.in_place_update),
        ("create/destroy update", updates.destructive_update),
    ]
    .into_iter()
    .filter(|(_, n)| *n > 0)
    .map(|(name, n)| (name.to_string(), n))
    .collect()
}

fn annotate_count(fields: &mut [FieldDiff]) {
    let Some(count) = fields.iter_mut().find(|f| f.name == "Count") else {
        return;
    };
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    match number(&count.new).cmp(&number(&count.old)) {
        std::cmp::Ordering::Greater => count.annotations.push(CREATE.to_string()),
        std::cmp::Ordering::Less => count.annotations.push(DESTROY.to_string()),
        std::cmp::Ordering::Equal => {}
    }
}

fn annotate_task(task: &TaskDiff, group: DiffKind) -> Option<String> {
    let whole_group = matches!(group, DiffKind::Added | DiffKind::Deleted);
    let text = match task.kind {
        DiffKind::None => return None,
        DiffKind::Added if whole_group => CREATE,
        DiffKind::Deleted if whole_group => DESTROY,
        DiffKind::Added | DiffKind::Deleted => REPLACE,
        DiffKind::Edited if stays_in_place(task) => IN_PLACE,
        DiffKind::Edited => REPLACE,
    };
    Some(text.to_string())
}

/// Whether a running task takes all of its changes as it runs.
fn stays_in_place(task: &TaskDiff) -> bool {
    let field = |f: &FieldDiff| {
        matches!(
            f.name.as_str(),
            "KillTimeout" | "KillSignal" | "ShutdownDelay"
        )
    };
    let disabled = |f: &FieldDiff| f.name == "Disabled" && f.kind != DiffKind::None;
    let rendering = |f: &FieldDiff| f.name == "RenderTemplates" && f.kind == DiffKind::Edited;
    task.fields.iter().all(field)
        && task
            .objects
            .iter()
            .all(|object| match object.name.as_str() {
                "Service" | "Constraint" | "Affinity" => true,
                "LogConfig" => !object.fields.iter().any(disabled),
                "RestartPolicy" => !object.fields.iter().any(rendering),
                _ => false,
            })
}
