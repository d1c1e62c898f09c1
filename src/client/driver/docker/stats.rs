//! What a container uses: from its cgroup's files, or from the engine where they are not seen.
//!
//! The files take well below a millisecond; the engine takes up to two seconds an answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::engine::{Engine, EngineError};
use crate::model::Timestamp;
use crate::rpc::node::TaskStats;

const CGROUPS: &str = "/sys/fs/cgroup";

/// Figures at one moment. Processor times are sums since the container's start.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// Unix nanoseconds.
    pub(super) at: i64,
    cpu: Duration,
    user: Duration,
    system: Duration,
    usage: u64,
    max_usage: Option<u64>,
    rss: u64,
    cache: u64,
    swap: u64,
    throttled_periods: u64,
    throttled: Duration,
}

impl Sample {
    /// The figures as shares of the time since `before`.
    pub(super) fn since(&self, before: &Self, core_mhz: f64) -> TaskStats {
        let wall = (self.at - before.at).max(1) as f64;
        let share = |now: Duration, then: Duration| {
            100.0 * now.saturating_sub(then).as_nanos() as f64 / wall
        };
        let percent = share(self.cpu, before.cpu);
        TaskStats {
            memory_rss: Some(self.rss),
            memory_cache: Some(self.cache),
            memory_swap: Some(self.swap),
            memory_usage: Some(self.usage),
            memory_max_usage: self.max_usage,
            cpu_percent: Some(percent),
            cpu_user_percent: Some(share(self.user, before.user)),
            cpu_system_percent: Some(share(self.system, before.system)),
            cpu_ticks: Some(percent / 100.0 * core_mhz),
            throttled_periods: Some(self.throttled_periods),
            throttled_time: Some(self.throttled),
            time: Timestamp(self.at),
        }
    }

    /// Reads the files of the container's cgroup; `None`: they are not where they should be.
    pub(super) fn from_files(container: &str, at: i64) -> Option<Self> {
        let root = Path::new(CGROUPS);
        if root.join("cgroup.controllers").exists() {
            Self::unified(&places(root, container), at)
        } else {
            Self::separate(root, container, at)
        }
    }

    /// cgroup version 1: a tree for each controller.
    fn separate(root: &Path, container: &str, at: i64) -> Option<Self> {
        let dir = |controller: &str| {
            let found = places(&root.join(controller), container);
            found.into_iter().find(|p| p.exists())
        };
        let (memory, account) = (dir("memory")?, dir("cpuacct")?);
        let memory_stat = fields(&memory.join("memory.stat"));
        let cpu_stat = dir("cpu").map(|d| fields(&d.join("cpu.stat")));
        let cpu_stat = cpu_stat.unwrap_or_default();
        let nanos = |file: &str| number(&account.join(file)).map(Duration::from_nanos);
        let get = |map: &BTreeMap<String, u64>, key: &str| map.get(key).copied().unwrap_or(0);
        Some(Self {
            at,
            cpu: nanos("cpuacct.usage")?,
            user: nanos("cpuacct.usage_user").unwrap_or_default(),
            system: nanos("cpuacct.usage_sys").unwrap_or_default(),
            usage: number(&memory.join("memory.usage_in_bytes"))?,
            max_usage: number(&memory.join("memory.max_usage_in_bytes")),
            rss: get(&memory_stat, "total_rss"),
            cache: get(&memory_stat, "total_cache"),
            swap: get(&memory_stat, "total_swap"),
            throttled_periods: get(&cpu_stat, "nr_throttled"),
            throttled: Duration::from_nanos(get(&cpu_stat, "throttled_time")),
        })
    }

    /// cgroup version 2: one tree.
    fn unified(places: &[PathBuf], at: i64) -> Option<Self> {
        let dir = places.iter().find(|p| p.exists())?;
        let (cpu, memory) = (
            fields(&dir.join("cpu.stat")),
            fields(&dir.join("memory.stat")),
        );
        let get = |map: &BTreeMap<String, u64>, key: &str| map.get(key).copied().unwrap_or(0);
        Some(Self {
            at,
            cpu: Duration::from_micros(*cpu.get("usage_usec")?),
            user: Duration::from_micros(get(&cpu, "user_usec")),
            system: Duration::from_micros(get(&cpu, "system_usec")),
            usage: number(&dir.join("memory.current"))?,
            max_usage: number(&dir.join("memory.peak")),
            rss: get(&memory, "anon"),
            cache: get(&memory, "file"),
            swap: number(&dir.join("memory.swap.current")).unwrap_or(0),
            throttled_periods: get(&cpu, "nr_throttled"),
            throttled: Duration::from_micros(get(&cpu, "throttled_usec")),
        })
    }

    /// Asks the engine.
    pub(super) async fn from_engine(
        engine: &Engine,
        container: &str,
        at: i64,
    ) -> Result<Self, EngineError> {
        let path = format!("/containers/{container}/stats?stream=false&one-shot=true");
        let told: Told = engine.get(&path).await?;
        let get = |key: &str| told.memory_stats.stats.get(key).copied().unwrap_or(0);
        let cpu = &told.cpu_stats.cpu_usage;
        Ok(Self {
            at,
            cpu: Duration::from_nanos(cpu.total_usage),
            user: Duration::from_nanos(cpu.usage_in_usermode),
            system: Duration::from_nanos(cpu.usage_in_kernelmode),
            usage: told.memory_stats.usage,
            max_usage: told.memory_stats.max_usage,
            rss: get("rss").max(get("anon")),
            cache: get("cache").max(get("file")),
            swap: get("swap"),
            throttled_periods: told.cpu_stats.throttling_data.throttled_periods,
            throttled: Duration::from_nanos(told.cpu_stats.throttling_data.throttled_time),
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    cpu_stats: ToldCpu,
    memory_stats: ToldMemory,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ToldCpu {
    cpu_usage: ToldUsage,
    throttling_data: ToldThrottling,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ToldUsage {
    total_usage: u64,
    usage_in_usermode: u64,
    usage_in_kernelmode: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ToldThrottling {
    throttled_periods: u64,
    throttled_time: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ToldMemory {
    usage: u64,
    max_usage: Option<u64>,
    stats: BTreeMap<String, u64>,
}

/// Where a container's cgroup may be below `root`: by either of the engine's cgroup drivers.
fn places(root: &Path, container: &str) -> Vec<PathBuf> {
    vec![
        root.join("docker").join(container),
        root.join(format!("system.slice/docker-{container}.scope")),
    ]
}

fn number(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// A file of `key value` lines.
fn fields(file: &Path) -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_string(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_time_between() {
        let before = Sample {
            at: 1_000_000_000,
            cpu: Duration::from_millis(100),
            ..Sample::default()
        };
        let now = Sample {
            at: 3_000_000_000,
            cpu: Duration::from_millis(1100),
            usage: 5,
            ..Sample::default()
        };
        let stats = now.since(&before, 2000.0);
        assert_eq!(stats.cpu_percent, Some(50.0));
        assert_eq!(stats.cpu_ticks, Some(1000.0));
        assert_eq!(stats.memory_usage, Some(5));
    }
}
