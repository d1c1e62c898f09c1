//! Linux, through `/proc`, `/etc` and a few system calls.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::env::host::{DiskUse, Host, HostFacts, HostUse};

/// The machine that this process runs on.
pub struct RealHost;

impl Host for RealHost {
    fn facts<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, HostFacts> {
        let dir = dir.to_owned();
        Box::pin(async move {
            crate::env::blocking("host-facts", move || read_facts(&dir))
                .await
                .unwrap_or_default()
        })
    }

    fn usage<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, HostUse> {
        let dir = dir.to_owned();
        Box::pin(async move {
            crate::env::blocking("host-usage", move || read_usage(&dir))
                .await
                .unwrap_or_default()
        })
    }
}

/// What the machine is, before there is a runtime: for reading the configuration.
pub fn quick_facts() -> HostFacts {
    read_facts(Path::new("/"))
}

/// A file's text, trimmed; empty where it cannot be read.
fn text(path: &str) -> String {
    fs::read_to_string(path)
        .map(|t| t.trim().to_string())
        .unwrap_or_default()
}

/// `key<separator>value` lines, the first of each key.
fn pairs(text: &str, separator: char) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    for (key, value) in text.lines().filter_map(|l| l.split_once(separator)) {
        let value = value.trim().trim_matches('"').to_string();
        pairs.entry(key.trim().to_string()).or_insert(value);
    }
    pairs
}

fn read_facts(dir: &Path) -> HostFacts {
    let name = rustix::system::uname();
    let cpu = pairs(&text("/proc/cpuinfo"), ':');
    let os = pairs(&text("/etc/os-release"), '=');
    let disk = disk_use(dir);
    let field = |from: &BTreeMap<String, String>, key: &str| from.get(key).cloned();
    let arch = name.machine().to_string_lossy().into_owned();
    HostFacts {
        hostname: name.nodename().to_string_lossy().into_owned(),
        host_id: text("/etc/machine-id"),
        kernel_name: name.sysname().to_string_lossy().to_lowercase(),
        kernel_version: name.release().to_string_lossy().into_owned(),
        cpu_arch: go_arch(&arch).to_string(),
        kernel_arch: arch,
        cpu_model: field(&cpu, "model name").unwrap_or_default(),
        cpu_cores: std::thread::available_parallelism()
            .map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
        cpu_mhz: cpu_mhz(&cpu),
        memory_bytes: memory("MemTotal"),
        os_name: field(&os, "ID").unwrap_or_default(),
        os_version: os_version(&os),
        cgroups_version: match () {
            () if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() => 2,
            () if Path::new("/sys/fs/cgroup").exists() => 1,
            () => 0,
        },
        volume: disk.device,
        volume_bytes_total: disk.bytes_total,
        volume_bytes_free: disk.bytes_available,
        default_interface: default_interface(),
    }
}

/// Debian's point release is more exact than `VERSION_ID`.
fn os_version(os: &BTreeMap<String, String>) -> String {
    let exact = text("/etc/debian_version");
    if os.get("ID").is_some_and(|id| id == "debian") && !exact.is_empty() {
        return exact;
    }
    os.get("VERSION_ID").cloned().unwrap_or_default()
}

fn go_arch(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The core's top frequency, or else the present one.
fn cpu_mhz(cpuinfo: &BTreeMap<String, String>) -> u32 {
    let khz = text("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq");
    if let Ok(khz) = khz.parse::<u32>() {
        return khz / 1000;
    }
    let mhz = cpuinfo
        .get("cpu MHz")
        .and_then(|m| m.parse::<f64>().ok())
        .unwrap_or(0.0);
    mhz.round() as u32
}

/// A line of `/proc/meminfo`, in bytes.
fn memory(key: &str) -> u64 {
    let info = pairs(&text("/proc/meminfo"), ':');
    let kib = info
        .get(key)
        .and_then(|v| v.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The interface that the default route names, with its IPv4 address.
fn default_interface() -> Option<(String, String)> {
    let routes = text("/proc/net/route");
    let device = routes.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let device = fields.next()?;
        (fields.next()? == "00000000").then(|| device.to_string())
    })?;
    // Connecting a datagram socket sends nothing; it only asks the kernel for a route.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some((device, socket.local_addr().ok()?.ip().to_string()))
}

fn read_usage(dir: &Path) -> HostUse {
    let uptime = text("/proc/uptime");
    let seconds = uptime
        .split_whitespace()
        .next()
        .and_then(|s| s.parse::<f64>().ok());
    HostUse {
        memory_total: memory("MemTotal"),
        memory_available: memory("MemAvailable"),
        memory_free: memory("MemFree"),
        uptime: Duration::from_secs_f64(seconds.unwrap_or(0.0)),
        cpus: text("/proc/stat").lines().filter_map(cpu_line).collect(),
        disk: disk_use(dir),
    }
}

/// `cpu0 user nice system idle iowait irq softirq …`, in ticks of 10 ms.
fn cpu_line(line: &str) -> Option<(String, [Duration; 3])> {
    let mut fields = line.split_whitespace();
    let name = fields
        .next()
        .filter(|n| n.starts_with("cpu") && *n != "cpu")?;
    let ticks: Vec<u64> = fields.map_while(|f| f.parse().ok()).collect();
    let sum = |which: &[usize]| which.iter().filter_map(|i| ticks.get(*i)).sum::<u64>();
    let time = |which: &[usize]| Duration::from_millis(sum(which) * 10);
    Some((
        name.to_string(),
        [time(&[0, 1]), time(&[2, 5, 6]), time(&[3, 4])],
    ))
}

/// The file system that holds `dir`, or its nearest parent that exists.
fn disk_use(dir: &Path) -> DiskUse {
    let existing = dir
        .ancestors()
        .find(|p| p.exists())
        .unwrap_or(Path::new("/"));
    let existing = fs::canonicalize(existing).unwrap_or_else(|_| PathBuf::from("/"));
    let Ok(fs_stat) = rustix::fs::statvfs(&existing) else {
        return DiskUse::default();
    };
    let (device, mountpoint) = mount_of(&existing);
    DiskUse {
        device,
        mountpoint,
        bytes_total: fs_stat.f_blocks * fs_stat.f_frsize,
        bytes_free: fs_stat.f_bfree * fs_stat.f_frsize,
        bytes_available: fs_stat.f_bavail * fs_stat.f_frsize,
        inodes_total: fs_stat.f_files,
        inodes_free: fs_stat.f_ffree,
    }
}

/// The (device, mount point) with the longest mount point above `path`.
fn mount_of(path: &Path) -> (String, String) {
    let mounts = text("/proc/self/mounts");
    let above = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (device, mountpoint) = (fields.next()?, fields.next()?);
        path.starts_with(mountpoint).then_some((device, mountpoint))
    });
    above
        .max_by_key(|(_, mountpoint)| mountpoint.len())
        .map(|(d, m)| (d.to_string(), m.to_string()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory_cores_and_a_disk() {
        let facts = read_facts(Path::new("/does/not/exist"));
        assert!(facts.memory_bytes > 0 && facts.cpu_cores > 0 && facts.volume_bytes_total > 0);
        assert_eq!(facts.kernel_name, "linux");
        let usage = read_usage(Path::new("/"));
        assert_eq!(usage.memory_total, facts.memory_bytes);
        assert!(!usage.cpus.is_empty());
    }

    #[test]
    fn a_cpu_line_is_summed() {
        let (name, [user, system, idle]) = cpu_line("cpu1 10 5 20 100 7 1 2 0 0 0").unwrap();
        assert_eq!(name, "cpu1");
        assert_eq!(
            (user.as_millis(), system.as_millis(), idle.as_millis()),
            (150, 230, 1070)
        );
        assert!(
            cpu_line("cpu  1 2 3 4").is_none(),
            "the sum over all cores is left out"
        );
    }
}
