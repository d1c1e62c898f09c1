//! Nodes and members.

use std::collections::BTreeMap;

use super::nanos;
use crate::http::dto::Moment;
use crate::http::dto::agent::AgentMember;
use crate::http::dto::alloc::NetworkResource;
use crate::http::dto::node::*;
use crate::model;
use crate::model::node::DrainLimit;

/// What a list shows on request.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeExtras {
    pub resources: bool,
    pub os: bool,
}

/// A node in the list.
pub fn node_stub(node: &model::Node, extras: NodeExtras) -> NodeListStub {
    let attribute = |name: &str| node.attributes.get(name).cloned().unwrap_or_default();
    NodeListStub {
        address: node.http_addr.ip().to_string(),
        attributes: extras
            .os
            .then(|| BTreeMap::from([("os.name".to_string(), attribute("os.name"))])),
        create_index: node.create_index,
        datacenter: node.datacenter.clone(),
        drain: node.drain.is_some(),
        drivers: drivers(node),
        host_volumes: BTreeMap::new(),
        id: node.id.to_string(),
        last_drain: node.last_drain.as_ref().map(last_drain),
        modify_index: node.modify_index,
        name: node.name.clone(),
        node_class: node.node_class.clone(),
        node_pool: node.node_pool.clone(),
        node_resources: extras.resources.then(|| resources(node)),
        reserved_resources: extras.resources.then(|| reserved(node)),
        scheduling_eligibility: node.eligibility.as_str().to_string(),
        status: node.status.as_str().to_string(),
        status_description: node.status_description.clone(),
        version: match attribute("tumen.version") {
            version if version.is_empty() => attribute("nomad.version"),
            version => version,
        },
    }
}

/// A node, whole.
pub fn node(node: &model::Node) -> Node {
    Node {
        attributes: node.attributes.clone(),
        csi_controller_plugins: BTreeMap::new(),
        csi_node_plugins: BTreeMap::new(),
        cgroup_parent: String::new(),
        computed_class: node.computed_class.clone(),
        create_index: node.create_index,
        datacenter: node.datacenter.clone(),
        drain: node.drain.is_some(),
        drain_strategy: node.drain.as_ref().map(drain),
        drivers: drivers(node),
        events: node
            .events
            .iter()
            .map(|event| NodeEvent {
                create_index: event.create_index,
                details: event.details.clone(),
                message: event.message.clone(),
                subsystem: event.subsystem.clone(),
                timestamp: Moment(event.time),
            })
            .collect(),
        gc_volumes_on_node_gc: false,
        http_addr: node.http_addr.to_string(),
        host_networks: BTreeMap::new(),
        host_volumes: BTreeMap::new(),
        id: node.id.to_string(),
        identity_signing_key_id: String::new(),
        last_alloc_update_index: 0,
        last_drain: node.last_drain.as_ref().map(last_drain),
        last_missed_heartbeat_index: 0,
        links: BTreeMap::new(),
        meta: node.meta.clone(),
        modify_index: node.modify_index,
        name: node.name.clone(),
        node_class: node.node_class.clone(),
        node_max_allocs: 0,
        node_pool: node.node_pool.clone(),
        node_resources: resources(node),
        reserved_resources: reserved(node),
        scheduling_eligibility: node.eligibility.as_str().to_string(),
        secret_id: String::new(),
        status: node.status.as_str().to_string(),
        status_description: node.status_description.clone(),
        status_updated_at: node.status_updated_at.0 / 1_000_000_000,
        tls_enabled: false,
    }
}

fn amount(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn drivers(node: &model::Node) -> BTreeMap<String, DriverInfo> {
    node.drivers
        .iter()
        .map(|(name, driver)| {
            let info = DriverInfo {
                attributes: driver.attributes.clone(),
                detected: driver.detected,
                health_description: driver.description.clone(),
                healthy: driver.healthy,
                update_time: Moment(driver.update_time),
            };
            (name.clone(), info)
        })
        .collect()
}

fn drain(drain: &model::node::Drain) -> DrainStrategy {
    DrainStrategy {
        deadline: match drain.spec.limit {
            DrainLimit::Never => 0,
            DrainLimit::AtOnce => -1,
            DrainLimit::After(limit) => nanos(limit),
        },
        force_deadline: Moment(drain.deadline),
        ignore_system_jobs: drain.spec.ignore_system_jobs,
        started_at: Moment(drain.started_at),
    }
}

fn last_drain(drain: &model::node::LastDrain) -> LastDrain {
    LastDrain {
        accessor_id: String::new(),
        meta: drain.meta.clone(),
        started_at: Moment(drain.started_at),
        status: drain.status.as_str().to_string(),
        updated_at: Moment(drain.updated_at),
    }
}

fn resources(node: &model::Node) -> NodeResources {
    let has = &node.resources;
    let mbits = |n: &model::node::NodeNetwork| i64::from(n.speed_mbits);
    let cores = has.cores;
    let core_mhz = amount(has.amounts.cpu_mhz) / i64::from(cores.max(1));
    NodeResources {
        cpu: NodeCpu {
            cpu_shares: amount(has.amounts.cpu_mhz),
            reservable_cpu_cores: (0..cores).collect(),
            total_cpu_cores: cores,
        },
        devices: Vec::new(),
        disk: NodeDisk {
            disk_mb: amount(has.amounts.disk_mb),
        },
        max_dynamic_port: u32::from(has.dynamic_ports.1),
        memory: NodeMemory {
            memory_mb: amount(has.amounts.memory_mb),
        },
        min_dynamic_port: u32::from(has.dynamic_ports.0),
        networks: has
            .networks
            .iter()
            .map(|n| NetworkResource {
                cidr: cidr(&n.address),
                device: n.device.clone(),
                ip: n.address.clone(),
                mbits: mbits(n),
                mode: "host".to_string(),
                ..NetworkResource::default()
            })
            .collect(),
        node_networks: has.networks.iter().map(network).collect(),
        processors: NodeProcessors {
            topology: Some(NodeTopology {
                cores: (0..cores)
                    .map(|id| NodeCore {
                        base_speed: core_mhz,
                        grade: true,
                        id,
                        ..NodeCore::default()
                    })
                    .collect(),
                nodes: vec![0],
                ..NodeTopology::default()
            }),
        },
    }
}

/// An address as a network of its own.
fn cidr(address: &str) -> String {
    let bits = if address.contains(':') { 128 } else { 32 };
    format!("{address}/{bits}")
}

fn network(network: &model::node::NodeNetwork) -> NodeNetwork {
    let family = if network.address.contains(':') {
        "ipv6"
    } else {
        "ipv4"
    };
    NodeNetwork {
        addresses: vec![NodeAddress {
            address: network.address.clone(),
            alias: "default".to_string(),
            family: family.to_string(),
            ..NodeAddress::default()
        }],
        device: network.device.clone(),
        mac_address: String::new(),
        mode: "host".to_string(),
        speed: network.speed_mbits,
    }
}

fn reserved(node: &model::Node) -> NodeReservedResources {
    let kept = &node.reserved;
    NodeReservedResources {
        cpu: NodeReservedCpu {
            cpu_shares: amount(kept.amounts.cpu_mhz),
            reserved_cpu_cores: Vec::new(),
        },
        disk: NodeDisk {
            disk_mb: amount(kept.amounts.disk_mb),
        },
        memory: NodeMemory {
            memory_mb: amount(kept.amounts.memory_mb),
        },
        networks: NodeReservedNetworks {
            reserved_host_ports: kept
                .ports
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(","),
        },
    }
}

/// A member of the gossip.
pub fn member(member: &model::member::Member) -> AgentMember {
    let record = &member.record;
    let mut tags: BTreeMap<String, String> = [
        ("build", record.build.clone()),
        ("dc", record.datacenter.clone()),
        ("id", record.id.to_string()),
        ("port", record.rpc_addr.port().to_string()),
        ("raft_vsn", "3".to_string()),
        ("region", record.region.clone()),
        ("revision", record.revision.clone()),
        ("role", "nomad".to_string()),
        ("rpc_addr", record.rpc_addr.ip().to_string()),
        ("vsn", "1".to_string()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_string(), value))
    .collect();
    if let Some(server) = &record.server {
        if server.expect == 1 {
            tags.insert("bootstrap".to_string(), "1".to_string());
        }
        if server.expect > 0 {
            tags.insert("expect".to_string(), server.expect.to_string());
        }
    }
    AgentMember {
        addr: record.serf_addr.ip().to_string(),
        delegate_cur: 4,
        delegate_max: 5,
        delegate_min: 2,
        name: format!("{}.{}", record.name, record.region),
        port: record.serf_addr.port(),
        protocol_cur: 2,
        protocol_max: 5,
        protocol_min: 1,
        status: member.status.as_str().to_string(),
        tags,
    }
}
