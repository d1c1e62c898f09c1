//! What this node has: facts about the machine and its drivers become a [`Node`].

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sha2::{Digest, Sha256};

use crate::env::host::HostFacts;
use crate::model::Timestamp;
use crate::model::node::{
    DriverInfo, Eligibility, Node, NodeEvent, NodeNetwork, NodeReserved, NodeResources, NodeStatus,
};
use crate::model::resources::Amounts;

use super::driver::DriverFingerprint;
use super::identity::Identity;
use super::meta::Meta;

/// Nomad's version whose behaviour constraints may ask for.
pub const COMPATIBLE_VERSION: &str = "2.0.6";
/// The signals that a task can be sent.
pub const SIGNALS: &str = "SIGABRT,SIGALRM,SIGBUS,SIGCHLD,SIGCONT,SIGFPE,SIGHUP,SIGILL,SIGINT,SIGIO,\
    SIGIOT,SIGKILL,SIGPIPE,SIGPROF,SIGQUIT,SIGSEGV,SIGSTOP,SIGSYS,SIGTERM,SIGTRAP,SIGTSTP,SIGTTIN,\
    SIGTTOU,SIGURG,SIGUSR1,SIGUSR2,SIGWINCH,SIGXCPU,SIGXFSZ";
/// What a core counts for where its speed cannot be read.
const CORE_MHZ: u32 = 1000;

/// What the operator says about the node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeConfig {
    pub name: String,
    pub datacenter: String,
    pub node_class: String,
    pub node_pool: String,
    pub meta: BTreeMap<String, String>,
    pub http_addr: SocketAddr,
    pub rpc_addr: SocketAddr,
    /// The address that ports are published on.
    pub host_ip: String,
    pub interface: String,
    pub cpu_total: Option<u32>,
    pub memory_total_mb: Option<u32>,
    pub disk_total_mb: Option<u32>,
    pub dynamic_ports: (u16, u16),
    pub reserved: NodeReserved,
    pub eligible: bool,
    pub version: String,
    pub revision: String,
}

/// The node as it registers. `meta` is what holds now; `drivers` are named fingerprints.
pub fn node(
    config: &NodeConfig,
    meta: Meta,
    identity: Identity,
    facts: &HostFacts,
    drivers: &BTreeMap<&'static str, DriverFingerprint>,
    now: Timestamp,
) -> Node {
    let mut attributes = host_attributes(config, facts);
    for (name, driver) in drivers.iter().filter(|(_, d)| d.detected && d.healthy) {
        attributes.extend(
            driver
                .attributes
                .iter()
                .map(|(k, v)| (k.clone(), v.clone())),
        );
        attributes.insert(format!("driver.{name}"), "1".to_string());
    }
    let mut node = Node {
        id: identity.id,
        secret: identity.secret,
        name: config.name.clone(),
        datacenter: config.datacenter.clone(),
        node_class: config.node_class.clone(),
        node_pool: config.node_pool.clone(),
        http_addr: config.http_addr,
        rpc_addr: config.rpc_addr,
        host_ip: config.host_ip.clone(),
        attributes,
        meta,
        resources: resources(config, facts),
        reserved: config.reserved.clone(),
        drivers: drivers
            .iter()
            .map(|(n, d)| (n.to_string(), info(n, d, now)))
            .collect(),
        computed_class: String::new(),
        status: NodeStatus::Ready,
        status_description: String::new(),
        status_updated_at: now,
        eligibility: if config.eligible {
            Eligibility::Eligible
        } else {
            Eligibility::Ineligible
        },
        drain: None,
        last_drain: None,
        events: vec![NodeEvent {
            message: "Node registered".to_string(),
            subsystem: "Cluster".to_string(),
            details: BTreeMap::new(),
            time: now,
            create_index: 0,
        }],
        create_index: 0,
        modify_index: 0,
    };
    node.computed_class = computed_class(&node);
    node
}

fn info(name: &str, driver: &DriverFingerprint, now: Timestamp) -> DriverInfo {
    let mut attributes = driver.attributes.clone();
    if driver.detected {
        attributes.insert(format!("driver.{name}"), "true".to_string());
    }
    DriverInfo {
        detected: driver.detected,
        healthy: driver.healthy,
        description: driver.description.clone(),
        attributes,
        update_time: now,
    }
}

/// All cores' MHz, as configured or measured.
fn total_mhz(config: &NodeConfig, facts: &HostFacts) -> u32 {
    let core = if facts.cpu_mhz == 0 {
        CORE_MHZ
    } else {
        facts.cpu_mhz
    };
    config
        .cpu_total
        .unwrap_or_else(|| facts.cpu_cores.saturating_mul(core))
}

fn resources(config: &NodeConfig, facts: &HostFacts) -> NodeResources {
    let mb = |bytes: u64| bytes >> 20;
    NodeResources {
        amounts: Amounts {
            cpu_mhz: u64::from(total_mhz(config, facts)),
            memory_mb: config
                .memory_total_mb
                .map_or(mb(facts.memory_bytes), u64::from),
            disk_mb: config
                .disk_total_mb
                .map_or(mb(facts.volume_bytes_free), u64::from),
        },
        cores: facts.cpu_cores,
        dynamic_ports: config.dynamic_ports,
        networks: vec![NodeNetwork {
            device: config.interface.clone(),
            address: config.host_ip.clone(),
            speed_mbits: 1000,
        }],
    }
}

fn host_attributes(config: &NodeConfig, facts: &HostFacts) -> BTreeMap<String, String> {
    let total = total_mhz(config, facts);
    let usable = u64::from(total).saturating_sub(config.reserved.amounts.cpu_mhz);
    let pairs = [
        ("cpu.arch", facts.cpu_arch.clone()),
        ("cpu.modelname", facts.cpu_model.clone()),
        ("cpu.numcores", facts.cpu_cores.to_string()),
        ("cpu.reservablecores", facts.cpu_cores.to_string()),
        ("cpu.frequency", facts.cpu_mhz.to_string()),
        ("cpu.totalcompute", total.to_string()),
        ("cpu.usablecompute", usable.to_string()),
        ("kernel.name", facts.kernel_name.clone()),
        ("kernel.version", facts.kernel_version.clone()),
        ("kernel.arch", facts.kernel_arch.clone()),
        ("os.name", facts.os_name.clone()),
        ("os.version", facts.os_version.clone()),
        ("os.signals", SIGNALS.to_string()),
        ("os.cgroups.version", facts.cgroups_version.to_string()),
        ("memory.totalbytes", facts.memory_bytes.to_string()),
        ("nomad.version", COMPATIBLE_VERSION.to_string()),
        ("nomad.revision", config.revision.clone()),
        ("nomad.service_discovery", "true".to_string()),
        ("tumen.version", config.version.clone()),
        ("unique.hostname", facts.hostname.clone()),
        ("unique.host_id", facts.host_id.clone()),
        ("unique.network.ip-address", config.host_ip.clone()),
        ("unique.advertise.address", config.http_addr.to_string()),
        ("unique.storage.volume", facts.volume.clone()),
        (
            "unique.storage.bytestotal",
            facts.volume_bytes_total.to_string(),
        ),
        (
            "unique.storage.bytesfree",
            facts.volume_bytes_free.to_string(),
        ),
    ];
    let known = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    known.map(|(key, value)| (key.to_string(), value)).collect()
}

/// Nodes of one class look alike to the scheduler: same place, same attributes and meta but for
/// those that are `unique.`.
fn computed_class(node: &Node) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update(text.as_bytes());
        hash.update([0]);
    };
    for text in [&node.datacenter, &node.node_class, &node.node_pool] {
        add(text);
    }
    for (key, value) in node.attributes.iter().chain(&node.meta) {
        if !key.contains("unique.") {
            add(key);
            add(value);
        }
    }
    let digest = hash.finalize();
    let short = digest
        .iter()
        .take(8)
        .fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    format!("v1:{short}")
}

/// Whether what registers differs in anything that the servers must know.
pub fn differs(old: &Node, new: &Node) -> bool {
    let ignore_time = |node: &Node| {
        let mut node = node.clone();
        node.status_updated_at = Timestamp::UNSET;
        node.events.clear();
        node.attributes.remove("unique.storage.bytesfree");
        for driver in node.drivers.values_mut() {
            driver.update_time = Timestamp::UNSET;
        }
        node.resources.amounts.disk_mb = 0;
        node
    };
    ignore_time(old) != ignore_time(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NodeId;
    use uuid::Uuid;

    fn config(name: &str) -> NodeConfig {
        NodeConfig {
            name: name.to_string(),
            datacenter: "dc1".to_string(),
            node_class: String::new(),
            node_pool: "default".to_string(),
            meta: BTreeMap::new(),
            http_addr: "127.0.0.1:4646".parse().unwrap(),
            rpc_addr: "127.0.0.1:4647".parse().unwrap(),
            host_ip: "127.0.0.1".to_string(),
            interface: "lo".to_string(),
            cpu_total: None,
            memory_total_mb: None,
            disk_total_mb: None,
            dynamic_ports: (20_000, 32_000),
            reserved: NodeReserved::default(),
            eligible: true,
            version: "0.1.0".to_string(),
            revision: String::new(),
        }
    }

    fn build(config: &NodeConfig, drivers: &BTreeMap<&'static str, DriverFingerprint>) -> Node {
        let identity = Identity {
            id: NodeId(Uuid::nil()),
            secret: Uuid::nil(),
        };
        let facts = HostFacts {
            hostname: config.name.clone(),
            cpu_cores: 4,
            cpu_mhz: 2500,
            memory_bytes: 8 << 30,
            ..HostFacts::default()
        };
        let meta = config.meta.clone();
        node(config, meta, identity, &facts, drivers, Timestamp(1))
    }

    #[test]
    fn nodes_that_differ_in_unique_things_share_a_class() {
        let (a, b) = (
            build(&config("a"), &BTreeMap::new()),
            build(&config("b"), &BTreeMap::new()),
        );
        assert_eq!(a.computed_class, b.computed_class);
        let mut other = config("a");
        other.meta.insert("rack".to_string(), "r1".to_string());
        assert_ne!(
            build(&other, &BTreeMap::new()).computed_class,
            a.computed_class
        );
        assert_eq!(a.resources.amounts.cpu_mhz, 10_000);
    }

    #[test]
    fn only_a_driver_that_works_is_an_attribute() {
        let broken = DriverFingerprint {
            detected: true,
            description: "no permission".to_string(),
            ..DriverFingerprint::default()
        };
        let drivers = BTreeMap::from([
            ("docker", broken),
            ("raw_exec", DriverFingerprint::healthy(BTreeMap::new())),
        ]);
        let node = build(&config("a"), &drivers);
        assert!(!node.attributes.contains_key("driver.docker"));
        assert_eq!(node.attributes["driver.raw_exec"], "1");
        assert_eq!(node.drivers["docker"].description, "no permission");
    }

    #[test]
    fn time_alone_is_no_change() {
        let old = build(&config("a"), &BTreeMap::new());
        let mut new = old.clone();
        new.status_updated_at = Timestamp(99);
        assert!(!differs(&old, &new));
        new.meta.insert("k".to_string(), "v".to_string());
        assert!(differs(&old, &new));
    }
}
