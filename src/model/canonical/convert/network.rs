//! Networks, ports and what a task asks for.

use super::{each, text, whole};
use crate::model::canonical::{At, Notes};
use crate::model::draft::{DnsDraft, NetworkDraft, PortDraft, TaskDraft};
use crate::model::driver_config::DriverConfig;
use crate::model::resources::{Dns, Network, NetworkMode, PortAsk, Resources};
use crate::model::value::ConfigValue;

/// A group's network, or a task's in the old syntax. Ports keep the API's order: fixed first.
pub(in crate::model::canonical) fn network(
    network: &NetworkDraft,
    at: At<'_>,
    notes: &mut Notes,
) -> Network {
    let mut ports = each(&network.reserved_ports, |p| fixed(p, at, notes));
    ports.extend(each(&network.dynamic_ports, |p| ask(p, None, at, notes)));
    Network {
        // Every other mode is refused by name.
        mode: match network.mode.as_deref() {
            Some("none") => NetworkMode::None,
            _ => NetworkMode::Host,
        },
        ports,
        dns: network.dns.as_ref().map(dns),
        mbits: whole(network.mbits, "network.mbits", at, notes),
    }
}

fn dns(dns: &DnsDraft) -> Dns {
    Dns {
        servers: dns.servers.clone().unwrap_or_default(),
        searches: dns.searches.clone().unwrap_or_default(),
        options: dns.options.clone().unwrap_or_default(),
    }
}

fn fixed(port: &PortDraft, at: At<'_>, notes: &mut Notes) -> PortAsk {
    let label = text(&port.label);
    let number = port.value.unwrap_or(0);
    let value = u16::try_from(number).ok().filter(|n| *n > 0);
    if value.is_none() {
        notes.wrong(
            at,
            format!("Port {label} ({number}) cannot be greater than 65535 or less than 1"),
        );
    }
    ask(port, value, at, notes)
}

fn ask(port: &PortDraft, fixed: Option<u16>, at: At<'_>, notes: &mut Notes) -> PortAsk {
    let label = text(&port.label);
    let to = port.to.unwrap_or(0);
    if to < -1 {
        notes.wrong(
            at,
            format!("Port {label:?} cannot be mapped to negative value {to}"),
        );
    } else if to > 65535 {
        notes.wrong(
            at,
            format!("Port {label:?} cannot be mapped to a port ({to}) greater than 65535"),
        );
    }
    PortAsk {
        label,
        fixed,
        to: i32::try_from(to.clamp(-1, 65535)).unwrap_or(0),
        ignore_collision: port.ignore_collision.unwrap_or(false),
    }
}

/// What the task asks for. A `port_map` in the driver's options says what the ports of the
/// task's own network lead to inside.
pub(in crate::model::canonical) fn resources(
    task: &TaskDraft,
    driver: &str,
    config: &ConfigValue,
    at: At<'_>,
    notes: &mut Notes,
) -> Resources {
    let own = task.resources.clone().unwrap_or_default();
    let mut networks = each(&own.networks, |n| network(n, at, notes));
    let inner = DriverConfig::inner_ports(driver, config);
    for port in networks.iter_mut().flat_map(|n| &mut n.ports) {
        if port.to == 0
            && let Some(to) = inner.get(&port.label)
        {
            port.to = i32::from(*to);
        }
    }
    Resources {
        cpu_mhz: whole(own.cpu, "resources.cpu", at, notes),
        memory_mb: whole(own.memory_mb, "resources.memory", at, notes),
        memory_max_mb: memory_max(own.memory_max_mb, at, notes),
        networks,
    }
}

fn memory_max(given: Option<i64>, at: At<'_>, notes: &mut Notes) -> u32 {
    notes.refuse(at, given == Some(-1), "an unlimited memory_max (-1)");
    whole(
        given.filter(|n| *n != -1),
        "resources.memory_max",
        at,
        notes,
    )
}
