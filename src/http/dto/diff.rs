//! The difference between two versions of a job.

use std::collections::BTreeMap;

use super::nullable;

wire! {
    /// What changed in a job. `kind` is `None`, `Added`, `Deleted` or `Edited`, as everywhere below.
    pub struct JobDiff {
        #[serde(with = "nullable")]
        pub fields: Vec<FieldDiff>,
        #[serde(rename = "ID")]
        pub id: String,
        #[serde(with = "nullable")]
        pub objects: Vec<ObjectDiff>,
        #[serde(with = "nullable")]
        pub task_groups: Vec<TaskGroupDiff>,
        #[serde(rename = "Type")]
        pub kind: String,
    }

    /// What changed in a group.
    pub struct TaskGroupDiff {
        #[serde(with = "nullable")]
        pub fields: Vec<FieldDiff>,
        pub name: String,
        #[serde(with = "nullable")]
        pub objects: Vec<ObjectDiff>,
        #[serde(with = "nullable")]
        pub tasks: Vec<TaskDiff>,
        #[serde(rename = "Type")]
        pub kind: String,
        /// What that does to how many allocations: `create`, `in-place update`, …
        #[serde(with = "nullable")]
        pub updates: BTreeMap<String, u64>,
    }

    /// What changed in a task.
    pub struct TaskDiff {
        #[serde(with = "nullable")]
        pub annotations: Vec<String>,
        #[serde(with = "nullable")]
        pub fields: Vec<FieldDiff>,
        pub name: String,
        #[serde(with = "nullable")]
        pub objects: Vec<ObjectDiff>,
        #[serde(rename = "Type")]
        pub kind: String,
    }

    /// What changed in a block.
    pub struct ObjectDiff {
        #[serde(with = "nullable")]
        pub fields: Vec<FieldDiff>,
        pub name: String,
        #[serde(with = "nullable")]
        pub objects: Vec<ObjectDiff>,
        #[serde(rename = "Type")]
        pub kind: String,
    }

    /// What changed in a value.
    pub struct FieldDiff {
        #[serde(with = "nullable")]
        pub annotations: Vec<String>,
        pub name: String,
        pub new: String,
        pub old: String,
        #[serde(rename = "Type")]
        pub kind: String,
    }
}
