//! What the machine is and how busy it is.

use std::path::Path;
use std::time::Duration;

use futures_util::future::BoxFuture;

/// What does not change while the agent runs, except free space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    pub hostname: String,
    /// Stable over restarts: the machine id, or empty.
    pub host_id: String,
    pub kernel_name: String,
    pub kernel_version: String,
    /// As the kernel says it, e.g. `x86_64`.
    pub kernel_arch: String,
    /// As Go says it, e.g. `amd64`.
    pub cpu_arch: String,
    pub cpu_model: String,
    pub cpu_cores: u32,
    /// Of one core; 0: not known.
    pub cpu_mhz: u32,
    pub memory_bytes: u64,
    pub os_name: String,
    pub os_version: String,
    /// 1 or 2; 0: none.
    pub cgroups_version: u8,
    pub volume: String,
    pub volume_bytes_total: u64,
    pub volume_bytes_free: u64,
    /// The interface of the default route with its address, if there is one.
    pub default_interface: Option<(String, String)>,
}

/// How busy the machine is. Times count since boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostUse {
    pub memory_total: u64,
    pub memory_available: u64,
    pub memory_free: u64,
    pub uptime: Duration,
    /// Each core's name with its time spent in (user, system, idle).
    pub cpus: Vec<(String, [Duration; 3])>,
    /// Of the file system that holds the given directory.
    pub disk: DiskUse,
}

/// A file system's use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUse {
    pub device: String,
    pub mountpoint: String,
    pub bytes_total: u64,
    pub bytes_free: u64,
    /// What an ordinary user may still take.
    pub bytes_available: u64,
    pub inodes_total: u64,
    pub inodes_free: u64,
}

/// Asks the machine about itself.
pub trait Host: Send + Sync {
    /// What the machine is; `dir` tells which file system counts.
    fn facts<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, HostFacts>;
    /// How busy it is now.
    fn usage<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, HostUse>;
}
