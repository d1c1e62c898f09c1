//! The environment of a task and what `${…}` stands for in it.
//!
//! Pure: values come from the allocation, the node and the task's directories. A reference that
//! nothing defines stays as it is, so that a shell inside the task can still see it.

use std::collections::BTreeMap;

use crate::model::job::{Task, TaskGroup};
use crate::model::resources::AllocatedPort;
use crate::model::{Allocation, ConfigValue, Node};

/// Where a task sees its directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPaths {
    pub alloc: String,
    pub local: String,
    pub secrets: String,
}

/// A task's environment and what its configuration may refer to.
#[derive(Clone, Debug, Default)]
pub struct TaskEnv {
    /// The variables that the process gets.
    pub vars: BTreeMap<String, String>,
    /// `node.…`, `attr.…` and `meta.…`.
    node: BTreeMap<String, String>,
}

impl TaskEnv {
    /// Works out the environment of `task` in `alloc`. `inner_ports` are ports that the driver
    /// itself maps (label to port inside), as the old `port_map` does.
    pub fn build(
        alloc: &Allocation,
        group: &TaskGroup,
        task: &Task,
        node: &Node,
        paths: &TaskPaths,
        inner_ports: &BTreeMap<String, u16>,
    ) -> Self {
        let mut env = Self {
            vars: BTreeMap::new(),
            node: node_values(node),
        };
        env.describe(alloc, task, paths);
        env.add_meta(alloc, group, task);
        for port in &alloc.resources.ports {
            env.add_port(port, task, inner_ports);
        }
        for (key, value) in &task.env {
            let (key, value) = (env.interpolate(key), env.interpolate(value));
            env.vars.insert(key, value);
        }
        env
    }

    fn set(&mut self, key: impl Into<String>, value: impl ToString) {
        self.vars.insert(key.into(), value.to_string());
    }

    fn describe(&mut self, alloc: &Allocation, task: &Task, paths: &TaskPaths) {
        let spec = &alloc.job.spec;
        let memory_max = task.resources.memory_max_mb;
        self.set("NOMAD_ALLOC_DIR", &paths.alloc);
        self.set("NOMAD_TASK_DIR", &paths.local);
        self.set("NOMAD_SECRETS_DIR", &paths.secrets);
        self.set("NOMAD_CPU_LIMIT", task.resources.cpu_mhz);
        self.set("NOMAD_MEMORY_LIMIT", task.resources.memory_mb);
        if memory_max > 0 {
            self.set("NOMAD_MEMORY_MAX_LIMIT", memory_max);
        }
        self.set("NOMAD_ALLOC_ID", alloc.id);
        self.set("NOMAD_SHORT_ALLOC_ID", alloc.id.short());
        self.set("NOMAD_ALLOC_NAME", &alloc.name);
        if let Some(index) = alloc.index() {
            self.set("NOMAD_ALLOC_INDEX", index);
        }
        self.set("NOMAD_TASK_NAME", &task.name);
        self.set("NOMAD_GROUP_NAME", &alloc.group);
        self.set("NOMAD_JOB_ID", &alloc.job_id);
        self.set("NOMAD_JOB_NAME", &spec.name);
        self.set("NOMAD_NAMESPACE", &alloc.namespace);
        self.set("NOMAD_REGION", &spec.region);
        let datacenter = self
            .node
            .get("node.datacenter")
            .cloned()
            .unwrap_or_default();
        self.set("NOMAD_DC", datacenter);
    }

    /// Task meta wins over the group's, the group's over the job's.
    fn add_meta(&mut self, alloc: &Allocation, group: &TaskGroup, task: &Task) {
        for level in [&alloc.job.spec.meta, &group.meta, &task.meta] {
            for (key, value) in level {
                let (key, value) = (clean(key), self.interpolate(value));
                self.set(format!("NOMAD_META_{}", key.to_uppercase()), &value);
                self.set(format!("NOMAD_META_{key}"), value);
            }
        }
    }

    /// A group's port is seen by every task; one in the old syntax by its own task under its
    /// label, and by the others under `<task>_<label>`.
    fn add_port(&mut self, port: &AllocatedPort, task: &Task, inner: &BTreeMap<String, u16>) {
        let own = port.task.as_ref().is_none_or(|owner| *owner == task.name);
        let label = match &port.task {
            Some(owner) if !own => clean(&format!("{owner}_{}", port.label)),
            Some(_) | None => clean(&port.label),
        };
        let (ip, host_port) = (&port.host_ip, port.value);
        let inside = match inner.get(&port.label) {
            Some(mapped) if own => *mapped,
            Some(_) | None if port.to > 0 => port.to,
            Some(_) | None => host_port,
        };
        self.set(format!("NOMAD_IP_{label}"), ip);
        self.set(format!("NOMAD_PORT_{label}"), inside);
        self.set(format!("NOMAD_ADDR_{label}"), join_host_port(ip, host_port));
        if own {
            self.set(format!("NOMAD_HOST_IP_{label}"), ip);
            self.set(format!("NOMAD_HOST_PORT_{label}"), host_port);
            self.set(
                format!("NOMAD_HOST_ADDR_{label}"),
                join_host_port(ip, host_port),
            );
            self.set(format!("NOMAD_ALLOC_PORT_{label}"), inside);
        }
    }

    /// Replaces every `${name}` that is known.
    pub fn interpolate(&self, text: &str) -> String {
        replace_references(text, |name| {
            self.vars.get(name).or_else(|| self.node.get(name)).cloned()
        })
    }

    /// Replaces references in every string of a free-form value.
    pub fn interpolate_value(&self, value: &ConfigValue) -> ConfigValue {
        match value {
            ConfigValue::String(text) => ConfigValue::String(self.interpolate(text)),
            ConfigValue::List(items) => {
                ConfigValue::List(items.iter().map(|v| self.interpolate_value(v)).collect())
            }
            ConfigValue::Map(entries) => ConfigValue::Map(
                entries
                    .iter()
                    .map(|(k, v)| (self.interpolate(k), self.interpolate_value(v)))
                    .collect(),
            ),
            ConfigValue::Null | ConfigValue::Bool(_) | ConfigValue::Int(_) => value.clone(),
            ConfigValue::Float(_) => value.clone(),
        }
    }
}

/// Replaces `${name}`, where the name has letters, digits, `_`, `-` and `.`, by what `lookup`
/// knows; everything else stays.
fn replace_references(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        out.push_str(&rest[..start]);
        let after = &rest[start + 2..];
        let name_len = after
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))
            .unwrap_or(after.len());
        let closed = after[name_len..].starts_with('}');
        match lookup(&after[..name_len]).filter(|_| closed && name_len > 0) {
            Some(value) => {
                out.push_str(&value);
                rest = &after[name_len + 1..];
            }
            None => {
                out.push_str("${");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Letters, digits and `_` stay; anything else becomes `_`, since shells take no other names.
fn clean(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '_'
            }
        })
        .collect()
}

fn join_host_port(ip: &str, port: u16) -> String {
    if ip.contains(':') {
        format!("[{ip}]:{port}")
    } else {
        format!("{ip}:{port}")
    }
}

fn node_values(node: &Node) -> BTreeMap<String, String> {
    let mut values: BTreeMap<String, String> = [
        ("node.unique.id", node.id.to_string()),
        ("node.unique.name", node.name.clone()),
        ("node.datacenter", node.datacenter.clone()),
        ("node.class", node.node_class.clone()),
        ("node.pool", node.node_pool.clone()),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_string(), v))
    .collect();
    values.extend(
        node.attributes
            .iter()
            .map(|(k, v)| (format!("attr.{k}"), v.clone())),
    );
    values.extend(
        node.meta
            .iter()
            .map(|(k, v)| (format!("meta.{k}"), v.clone())),
    );
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_references_are_replaced_and_others_stay() {
        let lookup = |name: &str| (name == "NOMAD_PORT_db").then(|| "6379".to_string());
        let check = |text: &str, want: &str| assert_eq!(replace_references(text, lookup), want);
        check("port ${NOMAD_PORT_db}", "port 6379");
        check("${NOMAD_PORT_db}${NOMAD_PORT_db}", "63796379");
        check(
            "${HOME} stays, ${NOMAD_PORT_db} not",
            "${HOME} stays, 6379 not",
        );
        check("${NOMAD_PORT_db", "${NOMAD_PORT_db");
        check("${}", "${}");
        check("$${NOMAD_PORT_db}", "$6379");
        check("${a b}", "${a b}");
    }

    #[test]
    fn names_are_made_fit_for_a_shell() {
        assert_eq!(clean("my-port.v2"), "my_port_v2");
        assert_eq!(join_host_port("::1", 80), "[::1]:80");
    }
}
