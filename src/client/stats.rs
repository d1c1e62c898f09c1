//! How busy the machine is: cumulative counters become shares of time.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::env::Env;
use crate::env::host::{DiskUse, HostUse};
use crate::model::Timestamp;
use crate::rpc::node::{CpuStats, DiskStats, HostStats};

/// Measures between one question and the next; the first answer covers the time since boot.
pub struct HostMeter {
    env: Env,
    dir: PathBuf,
    last: Mutex<HostUse>,
}

impl HostMeter {
    /// A meter that counts the file system of `dir`.
    pub fn new(env: Env, dir: PathBuf) -> Self {
        Self {
            env,
            dir,
            last: Mutex::default(),
        }
    }

    /// What is used now; `core_mhz` turns shares into MHz.
    pub async fn read(&self, core_mhz: f64) -> HostStats {
        let now = self.env.host.usage(&self.dir).await;
        let before = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *last, now.clone())
        };
        let cpus: Vec<_> = now
            .cpus
            .iter()
            .map(|(name, times)| {
                let earlier = before.cpus.iter().find(|(n, _)| n == name).map(|(_, t)| *t);
                share(name, *times, earlier.unwrap_or_default())
            })
            .collect();
        let busy: f64 = cpus.iter().map(|c| c.total).sum();
        let disk = disk_stats(&now.disk);
        HostStats {
            memory_total: now.memory_total,
            memory_available: now.memory_available,
            memory_used: now.memory_total.saturating_sub(now.memory_available),
            memory_free: now.memory_free,
            cpus,
            disks: vec![disk.clone()],
            alloc_dir: disk,
            uptime: now.uptime,
            time: Timestamp(self.env.clock.wall()),
            cpu_ticks: busy / 100.0 * core_mhz,
        }
    }
}

fn share(name: &str, now: [Duration; 3], before: [Duration; 3]) -> CpuStats {
    let spent = |i: usize| now[i].saturating_sub(before[i]).as_secs_f64();
    let total = spent(0) + spent(1) + spent(2);
    let percent = |part: f64| {
        if total > 0.0 {
            part / total * 100.0
        } else {
            0.0
        }
    };
    CpuStats {
        name: name.to_string(),
        user: percent(spent(0)),
        system: percent(spent(1)),
        idle: percent(spent(2)),
        total: percent(spent(0) + spent(1)),
    }
}

fn disk_stats(disk: &DiskUse) -> DiskStats {
    let percent = |part: u64, of: u64| {
        if of > 0 {
            part as f64 / of as f64 * 100.0
        } else {
            0.0
        }
    };
    let used = disk.bytes_total.saturating_sub(disk.bytes_free);
    DiskStats {
        device: disk.device.clone(),
        mountpoint: disk.mountpoint.clone(),
        size: disk.bytes_total,
        used,
        available: disk.bytes_available,
        used_percent: percent(used, disk.bytes_total),
        inodes_used_percent: percent(
            disk.inodes_total.saturating_sub(disk.inodes_free),
            disk.inodes_total,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_the_time_between_two_looks() {
        let s = Duration::from_secs;
        let cpu = share("cpu0", [s(11), s(22), s(107)], [s(10), s(20), s(100)]);
        assert_eq!(
            (cpu.user, cpu.system, cpu.idle, cpu.total),
            (10.0, 20.0, 70.0, 30.0)
        );
        let none = share("cpu0", [s(1); 3], [s(1); 3]);
        assert_eq!(none.total, 0.0, "no time passed");
    }
}
