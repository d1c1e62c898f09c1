//! What a new version of a job changes, field by field.
//!
//! [`between`] compares two jobs: `blocks` turns each into a tree of named blocks with text
//! fields, `tree` compares such trees. [`annotate`] adds what the plan makes of the change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod annotate;
mod between;
mod blocks;
#[cfg(test)]
mod tests;
mod tree;

pub use annotate::annotate;
pub use between::between;

/// Whether something was added, removed or changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DiffKind {
    #[default]
    None,
    Added,
    Deleted,
    Edited,
}

impl DiffKind {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Added => "Added",
            Self::Deleted => "Deleted",
            Self::Edited => "Edited",
        }
    }
}

/// A job's changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobDiff {
    pub kind: DiffKind,
    pub id: String,
    pub fields: Vec<FieldDiff>,
    pub objects: Vec<ObjectDiff>,
    pub groups: Vec<GroupDiff>,
}

/// A group's changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupDiff {
    pub kind: DiffKind,
    pub name: String,
    pub fields: Vec<FieldDiff>,
    pub objects: Vec<ObjectDiff>,
    pub tasks: Vec<TaskDiff>,
    /// `create`, `destroy`, `in-place update`, … to how many allocations.
    pub updates: BTreeMap<String, u64>,
}

/// A task's changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDiff {
    pub kind: DiffKind,
    pub name: String,
    pub fields: Vec<FieldDiff>,
    pub objects: Vec<ObjectDiff>,
    pub annotations: Vec<String>,
}

/// A block's changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectDiff {
    pub kind: DiffKind,
    pub name: String,
    pub fields: Vec<FieldDiff>,
    pub objects: Vec<ObjectDiff>,
}

/// A field's change, both sides as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldDiff {
    pub kind: DiffKind,
    pub name: String,
    pub old: String,
    pub new: String,
    pub annotations: Vec<String>,
}

/// How many allocations of a group a plan treats in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredUpdates {
    pub ignore: u64,
    pub place: u64,
    pub migrate: u64,
    pub stop: u64,
    pub in_place_update: u64,
    pub destructive_update: u64,
    pub canary: u64,
    pub preemptions: u64,
    pub disconnect: u64,
    pub reconnect: u64,
    pub reschedule_now: u64,
    pub reschedule_later: u64,
}
