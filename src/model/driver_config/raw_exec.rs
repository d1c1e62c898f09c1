//! The options of `raw_exec`.

use super::fields::Fields;

/// A process on the node, without isolation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawExecConfig {
    pub command: String,
    pub args: Vec<String>,
    /// Relative to the task's directory; empty: that directory.
    pub work_dir: String,
    pub oom_score_adj: Option<i64>,
    /// Variables of the agent's own environment that the task must not see.
    pub denied_envvars: Vec<String>,
}

impl RawExecConfig {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        let config = Self {
            command: fields.required("command"),
            args: fields.list("args").unwrap_or_default(),
            work_dir: fields.text("work_dir"),
            oom_score_adj: fields.int("oom_score_adj"),
            denied_envvars: fields.list("denied_envvars").unwrap_or_default(),
        };
        fields.refuse(&[
            ("cgroup_v1_override", "this driver makes no cgroups"),
            ("cgroup_v2_override", "this driver makes no cgroups"),
        ]);
        config
    }
}
