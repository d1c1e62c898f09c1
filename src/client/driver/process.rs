//! Processes of the host as `/proc` shows them. A pid is only good together with its birth:
//! numbers are used again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::unix::AsyncFd;

/// A process that cannot be mistaken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Its start in clock ticks since boot.
    pub(crate) birth: u64,
}

/// The part of `/proc/PID/stat` that we need.
struct Stat {
    state: char,
    parent: i32,
    user_ticks: u64,
    system_ticks: u64,
    birth: u64,
    rss_pages: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, spaces too.
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |i: usize| fields.get(i)?.parse::<u64>().ok();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        user_ticks: number(11)?,
        system_ticks: number(12)?,
        birth: number(19)?,
        rss_pages: number(21)?,
    })
}

impl Process {
    /// The process that has this pid now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let birth = stat(pid)?.birth;
        Some(Self { pid, birth })
    }

    /// Whether it still runs; a zombie does not.
    pub(crate) fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|s| s.birth == self.birth && s.state != 'Z')
    }

    /// Sends it a signal; false: it is gone.
    pub(crate) fn signal(self, number: i32) -> Result<bool, rustix::io::Errno> {
        if !self.is_alive() {
            return Ok(false);
        }
        let (Some(pid), Some(signal)) = (Pid::from_raw(self.pid), Signal::from_named_raw(number))
        else {
            return Err(rustix::io::Errno::INVAL);
        };
        match rustix::process::kill_process(pid, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Kills the group that it leads, even when it is gone itself but others of it live.
    pub(crate) fn kill_group(self) {
        if let Some(pid) = Pid::from_raw(self.pid)
            && let Err(error) = rustix::process::kill_process_group(pid, Signal::KILL)
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!(target: "raw_exec", pid = self.pid, %error, "could not kill a group");
        }
    }
}

/// Waits until a process is gone, whether or not it is our child.
pub(crate) async fn gone(process: Process) {
    let Some(pid) = Pid::from_raw(process.pid) else {
        return;
    };
    if !process.is_alive() {
        return;
    }
    let opened = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::NONBLOCK);
    #[expect(
        deprecated,
        reason = "its successor is unsafe; this descriptor is owned and stays"
    )]
    let watched = opened.map_err(io::Error::from).and_then(AsyncFd::new);
    let Ok(fd) = watched else {
        return;
    };
    // The number may have been given away between the two.
    if process.is_alive() && fd.readable().await.is_err() {
        tracing::warn!(target: "raw_exec", pid = process.pid, "could not wait for a process");
    }
}

/// What a process and all its descendants use.
pub(super) struct Usage {
    pub(super) user: Duration,
    pub(super) system: Duration,
    pub(super) rss: u64,
}

/// Adds up the processes below `root`, itself included.
pub(super) fn usage(root: i32) -> Usage {
    let mut stats = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        if let Some(pid) = name.to_str().and_then(|n| n.parse::<i32>().ok())
            && let Some(stat) = stat(pid)
        {
            stats.insert(pid, stat);
        }
    }
    let below = |pid: i32| {
        let mut at = pid;
        for _ in 0..stats.len() {
            if at == root {
                return true;
            }
            match stats.get(&at) {
                Some(stat) if stat.parent > 0 => at = stat.parent,
                Some(_) | None => return false,
            }
        }
        false
    };
    let tick = Duration::from_secs(1) / rustix::param::clock_ticks_per_second().max(1) as u32;
    let page = rustix::param::page_size() as u64;
    let mut usage = Usage {
        user: Duration::ZERO,
        system: Duration::ZERO,
        rss: 0,
    };
    for (_, stat) in stats.iter().filter(|(pid, _)| below(**pid)) {
        usage.user += tick * u32::try_from(stat.user_ticks).unwrap_or(u32::MAX);
        usage.system += tick * u32::try_from(stat.system_ticks).unwrap_or(u32::MAX);
        usage.rss += stat.rss_pages * page;
    }
    usage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_alone_proves_nothing() {
        let me = Process::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.is_alive());
        let other = Process {
            birth: me.birth + 1,
            ..me
        };
        assert!(!other.is_alive());
        assert_eq!(other.signal(9), Ok(false));
        assert!(usage(me.pid).rss > 0);
    }
}
