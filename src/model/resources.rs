//! What tasks ask for, what an allocation got, and what a node has left.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What one task asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resources {
    /// CPU shares in MHz.
    pub cpu_mhz: u32,
    pub memory_mb: u32,
    /// Upper bound when the node allows oversubscription; 0: same as `memory_mb`.
    pub memory_max_mb: u32,
    /// The pre-0.12 task network, whose ports belong to the task alone.
    pub networks: Vec<Network>,
}

/// The ports a group (or, in the old syntax, a task) asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Network {
    pub mode: NetworkMode,
    pub ports: Vec<PortAsk>,
    pub dns: Option<Dns>,
    /// Deprecated and without effect; kept because the job's author wrote it.
    pub mbits: u32,
}

/// How a group's tasks see the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NetworkMode {
    /// The node's own network; Docker tasks publish their ports on it.
    #[default]
    Host,
    /// No network.
    None,
}

/// Resolver settings for a group's containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dns {
    pub servers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<String>,
}

/// One wanted port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortAsk {
    pub label: String,
    /// A fixed host port, or `None` for one from the node's dynamic range.
    pub fixed: Option<u16>,
    /// The port inside the container; 0: not mapped, −1: same as the host port.
    pub to: i32,
    /// Whether a fixed port may be one that another allocation also holds.
    pub ignore_collision: bool,
}

/// What an allocation holds on its node until its client says that it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocatedResources {
    /// By task name.
    pub tasks: BTreeMap<String, AllocatedTask>,
    pub disk_mb: u32,
    pub ports: Vec<AllocatedPort>,
}

/// One task's part of an allocation's resources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocatedTask {
    pub cpu_mhz: u32,
    pub memory_mb: u32,
    pub memory_max_mb: u32,
    /// Whether it counts only while the group starts or ends (prestart, poststop).
    pub lifecycle: Option<super::job::Lifecycle>,
}

/// A host port that an allocation holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AllocatedPort {
    pub label: String,
    /// The host port.
    pub value: u16,
    /// The port inside; 0: not mapped. Never −1: that is resolved at placement.
    pub to: u16,
    pub host_ip: String,
    pub ignore_collision: bool,
    /// The owning task in the old task-network syntax; `None` for a group's port.
    pub task: Option<String>,
}

impl AllocatedResources {
    /// CPU, memory and disk that count against the node. Tasks that never run at the same time
    /// (non-sidecar prestart, main, poststop) share: the largest phase counts.
    pub fn usage(&self) -> Amounts {
        use super::job::LifecycleHook as Hook;
        let (mut main, mut pre, mut post) =
            (Amounts::default(), Amounts::default(), Amounts::default());
        let mut always = Amounts::default();
        for task in self.tasks.values() {
            let phase = match task.lifecycle {
                Some(l) if l.sidecar => &mut always,
                Some(l) if l.hook == Hook::Prestart => &mut pre,
                Some(l) if l.hook == Hook::Poststop => &mut post,
                Some(_) | None => &mut main,
            };
            phase.cpu_mhz += u64::from(task.cpu_mhz);
            phase.memory_mb += u64::from(task.memory_mb);
        }
        Amounts {
            cpu_mhz: always.cpu_mhz + main.cpu_mhz.max(pre.cpu_mhz).max(post.cpu_mhz),
            memory_mb: always.memory_mb + main.memory_mb.max(pre.memory_mb).max(post.memory_mb),
            disk_mb: u64::from(self.disk_mb),
        }
    }
}

/// Sums of the divisible resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    pub cpu_mhz: u64,
    pub memory_mb: u64,
    pub disk_mb: u64,
}

impl Amounts {
    /// Adds `other` in place.
    pub fn add(&mut self, other: Self) {
        self.cpu_mhz += other.cpu_mhz;
        self.memory_mb += other.memory_mb;
        self.disk_mb += other.disk_mb;
    }

    /// Takes `other` away in place; saturates at zero.
    pub fn sub(&mut self, other: Self) {
        self.cpu_mhz = self.cpu_mhz.saturating_sub(other.cpu_mhz);
        self.memory_mb = self.memory_mb.saturating_sub(other.memory_mb);
        self.disk_mb = self.disk_mb.saturating_sub(other.disk_mb);
    }
}

/// What the allocations on one node hold: kept up to date by the state as an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeUsage {
    pub amounts: Amounts,
    /// Host ports in use (those with `ignore_collision` left out).
    pub ports: BTreeSet<u16>,
}
