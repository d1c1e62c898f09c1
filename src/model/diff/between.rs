//! The difference between two versions of a job.

use std::collections::BTreeMap;

use super::tree::{self, Block};
use super::{DiffKind, GroupDiff, JobDiff, TaskDiff, blocks};
use crate::model::{Job, Task, TaskGroup};

/// What changes from `old` to `new`; `None` is a job that is not there.
pub fn between(old: Option<&Job>, new: Option<&Job>) -> JobDiff {
    let (old_block, new_block) = (old.map(blocks::job), new.map(blocks::job));
    let groups = pairs(
        old.map_or(&[], |j| &j.spec.groups),
        new.map_or(&[], |j| &j.spec.groups),
        |g: &TaskGroup| g.name.clone(),
    );
    let groups: Vec<GroupDiff> = groups
        .into_iter()
        .map(|(name, (old, new))| group(name, old, new))
        .collect();
    let (fields, objects) = parts(old_block.as_ref(), new_block.as_ref());
    let differs = !fields.is_empty()
        || !objects.is_empty()
        || groups.iter().any(|g| g.kind != DiffKind::None);
    JobDiff {
        kind: tree::kind(old.is_some(), new.is_some(), differs),
        id: new.or(old).map_or(String::new(), |j| j.spec.id.to_string()),
        fields,
        objects,
        groups,
    }
}

/// Matches two lists by name.
fn pairs<'a, T>(
    old: &'a [T],
    new: &'a [T],
    name: impl Fn(&T) -> String,
) -> BTreeMap<String, (Option<&'a T>, Option<&'a T>)> {
    let mut pairs: BTreeMap<String, (Option<&T>, Option<&T>)> = BTreeMap::new();
    for item in old {
        pairs.entry(name(item)).or_default().0 = Some(item);
    }
    for item in new {
        pairs.entry(name(item)).or_default().1 = Some(item);
    }
    pairs
}

fn parts(
    old: Option<&Block>,
    new: Option<&Block>,
) -> (Vec<super::FieldDiff>, Vec<super::ObjectDiff>) {
    (tree::fields(old, new, false), tree::blocks(old, new))
}

fn group(name: String, old: Option<&TaskGroup>, new: Option<&TaskGroup>) -> GroupDiff {
    let (old_block, new_block) = (old.map(blocks::group), new.map(blocks::group));
    let tasks = pairs(
        old.map_or(&[], |g| &g.tasks),
        new.map_or(&[], |g| &g.tasks),
        |t: &Task| t.name.clone(),
    );
    let tasks: Vec<TaskDiff> = tasks
        .into_iter()
        .map(|(name, (old_task, new_task))| {
            let block = |t: Option<&Task>, g: Option<&TaskGroup>| Some(blocks::task(t?, g?));
            task(name, block(old_task, old), block(new_task, new))
        })
        .collect();
    let (fields, objects) = parts(old_block.as_ref(), new_block.as_ref());
    let differs =
        !fields.is_empty() || !objects.is_empty() || tasks.iter().any(|t| t.kind != DiffKind::None);
    GroupDiff {
        kind: tree::kind(old.is_some(), new.is_some(), differs),
        name,
        fields,
        objects,
        tasks,
        updates: BTreeMap::new(),
    }
}

fn task(name: String, old: Option<Block>, new: Option<Block>) -> TaskDiff {
    let (fields, objects) = parts(old.as_ref(), new.as_ref());
    let differs = !fields.is_empty() || !objects.is_empty();
    TaskDiff {
        kind: tree::kind(old.is_some(), new.is_some(), differs),
        name,
        fields,
        objects,
        annotations: Vec::new(),
    }
}
