//! What a node's machine and its allocations use.

use crate::cli::format::{bytes, mebibytes};
use crate::cli::output::{Pairs, section, table};
use crate::http::dto::alloc::Allocation;
use crate::http::dto::client::{AllocResourceUsage, DiskStats, HostStats};
use crate::http::dto::node::Node;

/// What the node can give: CPU in MHz, memory and disk in MB.
pub struct Room {
    cpu: i64,
    memory_mb: i64,
    disk_mb: i64,
}

impl Room {
    /// What the node has, without what its operator keeps back.
    pub fn of(node: &Node) -> Self {
        let (has, kept) = (&node.node_resources, &node.reserved_resources);
        Self {
            cpu: has.cpu.cpu_shares - kept.cpu.cpu_shares,
            memory_mb: has.memory.memory_mb - kept.memory.memory_mb,
            disk_mb: has.disk.disk_mb - kept.disk.disk_mb,
        }
    }
}

fn live(alloc: &&Allocation) -> bool {
    matches!(
        alloc.client_status.as_str(),
        "running" | "pending" | "unknown"
    )
}

/// What the allocations hold.
pub fn allocated(room: &Room, allocs: &[Allocation]) -> String {
    let (mut cpu, mut memory, mut disk, mut count) = (0, 0, 0, 0);
    for alloc in allocs.iter().filter(live) {
        count += 1;
        let Some(held) = &alloc.allocated_resources else {
            continue;
        };
        disk += held.shared.disk_mb;
        for task in held.tasks.values() {
            cpu += task.cpu.cpu_shares;
            memory += task.memory.memory_mb;
        }
    }
    let mut rows = table(["CPU", "Memory", "Disk", "Alloc Count"]);
    rows.row([
        format!("{cpu}/{} MHz", room.cpu),
        format!("{}/{}", mebibytes(memory), mebibytes(room.memory_mb)),
        format!("{}/{}", mebibytes(disk), mebibytes(room.disk_mb)),
        count.to_string(),
    ]);
    section("Allocated Resources", &rows.render())
}

/// What the allocations use.
pub fn utilization(room: &Room, usage: &[AllocResourceUsage]) -> String {
    let ticks = usage.iter().map(|u| u.resource_usage.cpu_stats.total_ticks);
    let cpu = ticks.fold(0.0, |a, b| a + b);
    let memory = usage.iter().map(|u| {
        let stats = &u.resource_usage.memory_stats;
        if stats.measured.iter().any(|m| m == "RSS") {
            stats.rss
        } else {
            stats.usage
        }
    });
    let memory: u64 = memory.sum();
    let mut rows = table(["CPU", "Memory"]);
    rows.row([
        format!("{:.0}/{} MHz", cpu.floor(), room.cpu),
        format!("{}/{}", bytes(memory), mebibytes(room.memory_mb)),
    ]);
    section("Allocation Resource Utilization", &rows.render())
}

/// What the machine uses.
pub fn host(node: &Node, stats: &HostStats) -> String {
    let total = node.node_resources.cpu.cpu_shares;
    let memory = stats.memory.clone().unwrap_or_default();
    let volume = node.attributes.get("unique.storage.volume");
    let own = volume.and_then(|v| stats.disk_stats.iter().find(|d| d.device == *v));
    let disk = stats
        .alloc_dir_stats
        .as_ref()
        .filter(|d| d.size > 0)
        .or(own)
        .or(stats.disk_stats.first());
    let disk = disk.cloned().unwrap_or_default();
    let mut rows = table(["CPU", "Memory", "Disk"]);
    rows.row([
        format!("{:.0}/{total} MHz", stats.cpu_ticks_consumed.floor()),
        format!("{}/{}", bytes(memory.used), bytes(memory.total)),
        format!("{}/{}", bytes(disk.used), bytes(disk.size)),
    ]);
    section("Host Resource Utilization", &rows.render())
}

/// Every core, the memory and every file system.
pub fn details(stats: &HostStats) -> String {
    let percent = |value: f64| format!("{value:.2}%");
    let cores: Vec<String> = (stats.cpu.iter())
        .map(|c| {
            Pairs::new()
                .with("CPU", &c.cpu)
                .with("User", percent(c.user))
                .with("System", percent(c.system))
                .with("Idle", percent(c.idle))
                .render()
        })
        .collect();
    let memory = stats.memory.clone().unwrap_or_default();
    let memory = Pairs::new()
        .with("Total", bytes(memory.total))
        .with("Available", bytes(memory.available))
        .with("Used", bytes(memory.used))
        .with("Free", bytes(memory.free))
        .render();
    let disk = |d: &DiskStats| {
        Pairs::new()
            .with("Device", &d.device)
            .with("MountPoint", &d.mountpoint)
            .with("Size", bytes(d.size))
            .with("Used", bytes(d.used))
            .with("Available", bytes(d.available))
            .with("Used Percent", percent(d.used_percent))
            .with("Inodes Percent", percent(d.inodes_used_percent))
            .render()
    };
    let disks: Vec<String> = stats.disk_stats.iter().map(disk).collect();
    [
        section("CPU Stats", &cores.join("\n\n")),
        section("Memory Stats", &memory),
        section("Disk Stats", &disks.join("\n\n")),
    ]
    .join("\n")
}
