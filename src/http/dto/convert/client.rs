//! What one client tells.

use crate::http::dto::Moment;
use crate::http::dto::client::*;
use crate::rpc::node;

use super::nanos;

/// A directory entry; `content_type` is known for single files.
pub fn file_info(file: &node::FileInfo, content_type: &str) -> AllocFileInfo {
    AllocFileInfo {
        content_type: content_type.to_string(),
        file_mode: file.mode.clone(),
        is_dir: file.is_dir,
        mod_time: Moment(file.modified),
        name: file.name.clone(),
        size: i64::try_from(file.size).unwrap_or(i64::MAX),
    }
}

/// A piece of a stream.
pub fn frame(frame: node::StreamFrame) -> StreamFrame {
    StreamFrame {
        data: frame.data.into(),
        file: frame.file,
        file_event: frame.event,
        offset: i64::try_from(frame.offset).unwrap_or(i64::MAX),
    }
}

/// How a check stands. `group` is the allocation's name.
pub fn check(check: &node::CheckResult, group: &str) -> CheckQueryResult {
    CheckQueryResult {
        check: check.check.clone(),
        group: group.to_string(),
        id: check.id.clone(),
        mode: "healthiness".to_string(),
        output: check.output.clone(),
        service: check.service.clone(),
        status: check.status.as_str().to_string(),
        status_code: i64::from(check.status_code),
        task: check.task.clone().unwrap_or_default(),
        timestamp: check.time.0 / 1_000_000_000,
    }
}

/// What the machine uses.
pub fn host_stats(stats: &node::HostStats) -> HostStats {
    let disk = |disk: &node::DiskStats| DiskStats {
        available: disk.available,
        device: disk.device.clone(),
        inodes_used_percent: disk.inodes_used_percent,
        mountpoint: disk.mountpoint.clone(),
        size: disk.size,
        used: disk.used,
        used_percent: disk.used_percent,
    };
    let cores = stats.cpus.len().max(1) as f64;
    HostStats {
        alloc_dir_stats: Some(disk(&stats.alloc_dir)),
        cpu: stats
            .cpus
            .iter()
            .map(|cpu| HostCpuStats {
                cpu: cpu.name.clone(),
                idle: cpu.idle,
                system: cpu.system,
                total_percent: cpu.total,
                total_ticks: stats.cpu_ticks / cores,
                user: cpu.user,
            })
            .collect(),
        cpu_ticks_consumed: stats.cpu_ticks,
        device_stats: Vec::new(),
        disk_stats: stats.disks.iter().map(disk).collect(),
        memory: Some(HostMemoryStats {
            available: stats.memory_available,
            free: stats.memory_free,
            total: stats.memory_total,
            used: stats.memory_used,
        }),
        timestamp: stats.time.0,
        uptime: stats.uptime.as_secs(),
    }
}

/// What an allocation uses: the sum and each task, or one task alone.
pub fn alloc_stats(stats: &node::AllocStats, task: Option<&str>) -> AllocResourceUsage {
    let tasks = stats
        .tasks
        .iter()
        .filter(|(name, _)| task.is_none_or(|wanted| wanted == *name));
    let mut usage = AllocResourceUsage {
        resource_usage: ResourceUsage {
            device_stats: Some(Vec::new()),
            ..ResourceUsage::default()
        },
        timestamp: stats.time.0,
        ..AllocResourceUsage::default()
    };
    for (name, task) in tasks {
        let resource_usage = task_usage(task);
        add(&mut usage.resource_usage, &resource_usage);
        usage.tasks.insert(
            name.clone(),
            TaskResourceUsage {
                pids: None,
                resource_usage,
                timestamp: task.time.0,
            },
        );
    }
    usage
}

/// The names of the figures that are there.
fn measured(figures: &[(&str, bool)]) -> Vec<String> {
    figures
        .iter()
        .filter(|(_, there)| *there)
        .map(|(name, _)| (*name).to_string())
        .collect()
}

fn task_usage(task: &node::TaskStats) -> ResourceUsage {
    ResourceUsage {
        cpu_stats: CpuStats {
            measured: measured(&[
                ("System Mode", task.cpu_system_percent.is_some()),
                ("User Mode", task.cpu_user_percent.is_some()),
                ("Throttled Periods", task.throttled_periods.is_some()),
                ("Throttled Time", task.throttled_time.is_some()),
                ("Percent", task.cpu_percent.is_some()),
            ]),
            percent: task.cpu_percent.unwrap_or_default(),
            system_mode: task.cpu_system_percent.unwrap_or_default(),
            throttled_periods: task.throttled_periods.unwrap_or_default(),
            throttled_time: task
                .throttled_time
                .and_then(|t| u64::try_from(nanos(t)).ok())
                .unwrap_or_default(),
            total_ticks: task.cpu_ticks.unwrap_or_default(),
            user_mode: task.cpu_user_percent.unwrap_or_default(),
        },
        device_stats: None,
        memory_stats: MemoryStats {
            cache: task.memory_cache.unwrap_or_default(),
            max_usage: task.memory_max_usage.unwrap_or_default(),
            measured: measured(&[
                ("RSS", task.memory_rss.is_some()),
                ("Cache", task.memory_cache.is_some()),
                ("Swap", task.memory_swap.is_some()),
                ("Usage", task.memory_usage.is_some()),
                ("Max Usage", task.memory_max_usage.is_some()),
            ]),
            rss: task.memory_rss.unwrap_or_default(),
            swap: task.memory_swap.unwrap_or_default(),
            usage: task.memory_usage.unwrap_or_default(),
            ..MemoryStats::default()
        },
    }
}

/// Adds a task's usage to its allocation's.
fn add(sum: &mut ResourceUsage, task: &ResourceUsage) {
    let (cpu, memory) = (&mut sum.cpu_stats, &mut sum.memory_stats);
    cpu.percent += task.cpu_stats.percent;
    cpu.system_mode += task.cpu_stats.system_mode;
    cpu.user_mode += task.cpu_stats.user_mode;
    cpu.total_ticks += task.cpu_stats.total_ticks;
    cpu.throttled_periods += task.cpu_stats.throttled_periods;
    cpu.throttled_time += task.cpu_stats.throttled_time;
    memory.rss += task.memory_stats.rss;
    memory.cache += task.memory_stats.cache;
    memory.swap += task.memory_stats.swap;
    memory.usage += task.memory_stats.usage;
    memory.max_usage += task.memory_stats.max_usage;
    for name in &task.cpu_stats.measured {
        if !cpu.measured.contains(name) {
            cpu.measured.push(name.clone());
        }
    }
    for name in &task.memory_stats.measured {
        if !memory.measured.contains(name) {
            memory.measured.push(name.clone());
        }
    }
}
