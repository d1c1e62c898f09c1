//! A machine that is always the same.

use std::path::Path;

use futures_util::future::{BoxFuture, FutureExt, ready};

use crate::env::host::{DiskUse, Host, HostFacts, HostUse};

const GIB: u64 = 1 << 30;

/// Four cores of 1 GHz, 8 GiB of memory, 100 GiB of disk, half of each in use.
pub struct SimHost {
    name: String,
}

impl SimHost {
    /// The machine called `name`.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_string(),
        }
    }
}

impl Host for SimHost {
    fn facts<'a>(&'a self, _dir: &'a Path) -> BoxFuture<'a, HostFacts> {
        let facts = HostFacts {
            hostname: self.name.clone(),
            kernel_name: "linux".to_string(),
            kernel_version: "6.0".to_string(),
            kernel_arch: "x86_64".to_string(),
            cpu_arch: "amd64".to_string(),
            cpu_model: "simulated".to_string(),
            cpu_cores: 4,
            cpu_mhz: 1000,
            memory_bytes: 8 * GIB,
            os_name: "sim".to_string(),
            os_version: "1".to_string(),
            cgroups_version: 2,
            volume: "sim".to_string(),
            volume_bytes_total: 100 * GIB,
            volume_bytes_free: 50 * GIB,
            ..HostFacts::default()
        };
        ready(facts).boxed()
    }

    fn usage<'a>(&'a self, _dir: &'a Path) -> BoxFuture<'a, HostUse> {
        let disk = DiskUse {
            device: "sim".to_string(),
            mountpoint: "/".to_string(),
            bytes_total: 100 * GIB,
            bytes_free: 50 * GIB,
            bytes_available: 50 * GIB,
            inodes_total: 1000,
            inodes_free: 500,
        };
        let usage = HostUse {
            memory_total: 8 * GIB,
            memory_available: 4 * GIB,
            memory_free: 4 * GIB,
            disk,
            ..HostUse::default()
        };
        ready(usage).boxed()
    }
}
