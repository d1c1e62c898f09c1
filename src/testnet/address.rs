//! Chooses the addresses of a testnet's nodes.
//!
//! A testnet has a network 127.0.X.0 of its own and a node an address in it, with Nomad's own
//! ports where they are free and the same ports a thousand higher where they are not. Where the
//! system has no such addresses, all nodes share 127.0.0.1 and differ in their ports. Pure but
//! for the probe that is passed in.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use serde::{Deserialize, Serialize};

/// Nomad's http port; rpc and serf follow it.
const FIRST_PORT: u16 = 4646;
/// How many thousands above it are tried. What follows belongs to the dynamic ports of tasks.
const BASES: u16 = 15;
/// The networks 127.0.X.0 that are used.
const NETWORKS: std::ops::RangeInclusive<u8> = 10..=250;
/// How many networks are tried with the same ports: taken in all of them, they are taken in
/// every network.
const TRIES: usize = 4;
/// The first client's last byte; servers are below.
const FIRST_CLIENT: u8 = 11;
/// How many servers a network has room for.
pub const SERVERS_MAX: usize = 9;
/// How many clients a network has room for.
pub const CLIENTS_MAX: usize = 240;
/// What lies between two nodes that share an address.
pub const SHARED_STEP: u16 = 10;

/// Where a node listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Addrs {
    pub http: SocketAddr,
    pub rpc: SocketAddr,
    pub serf: SocketAddr,
}

impl Addrs {
    fn new(ip: Ipv4Addr, first: u16) -> Self {
        let at = |offset| SocketAddr::from((ip, first + offset));
        Self {
            http: at(0),
            rpc: at(1),
            serf: at(2),
        }
    }

    /// All three.
    pub fn all(&self) -> [SocketAddr; 3] {
        [self.http, self.rpc, self.serf]
    }
}

/// How a testnet's nodes get their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// An address a node in 127.0.`network`.0, the ports from `first` on.
    Own { network: u8, first: u16 },
    /// One address for all.
    Shared,
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    Free,
    Taken,
    /// The system has no such address.
    Nowhere,
}

/// Why there are no addresses.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error(
        "no free addresses: in every network 127.0.10.0 to 127.0.250.0 that was tried, and on \
         every port tried, something listens already (last at {last})"
    )]
    NoneFree { last: SocketAddr },
    #[error("there is room for {SERVERS_MAX} servers and {CLIENTS_MAX} clients")]
    Full,
}

/// The networks beside those that are `used`, the `start`th first. Whoever starts elsewhere does
/// not race for the same one.
pub fn networks(used: &BTreeSet<u8>, start: usize) -> Vec<u8> {
    let (count, first) = (NETWORKS.len(), usize::from(*NETWORKS.start()));
    let all = (0..count).filter_map(|n| u8::try_from(first + (start + n) % count).ok());
    all.filter(|n| !used.contains(n)).collect()
}

/// Chooses a layout and the addresses of `servers` and `clients`, servers first, in one of
/// `networks`.
pub fn choose(
    servers: usize,
    clients: usize,
    networks: &[u8],
    probe: &dyn Fn(SocketAddr) -> Probed,
) -> Result<(Layout, Vec<Addrs>), AddressError> {
    if servers > SERVERS_MAX || clients > CLIENTS_MAX {
        return Err(AddressError::Full);
    }
    let mut last = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST_PORT));
    for base in 0..BASES {
        let first = FIRST_PORT + base * 1000;
        for &network in networks.iter().take(TRIES) {
            let nodes = own(network, first, servers, clients);
            match worst(&nodes, probe) {
                None => return Ok((Layout::Own { network, first }, nodes)),
                Some((_, Probed::Nowhere)) => return shared(servers + clients, &[], probe),
                Some((addr, _)) => last = addr,
            }
        }
    }
    Err(AddressError::NoneFree { last })
}

/// The address of one more client beside `nodes`.
pub fn one_more(
    layout: Layout,
    nodes: &[Addrs],
    probe: &dyn Fn(SocketAddr) -> Probed,
) -> Result<Addrs, AddressError> {
    let Layout::Own { network, first } = layout else {
        let (_, mut added) = shared(1, nodes, probe)?;
        return added.pop().ok_or(AddressError::Full);
    };
    let mut last = None;
    for host in FIRST_CLIENT..=250 {
        let addrs = Addrs::new(Ipv4Addr::new(127, 0, network, host), first);
        if nodes.contains(&addrs) {
            continue;
        }
        match worst(&[addrs], probe) {
            None => return Ok(addrs),
            Some((addr, _)) => last = Some(addr),
        }
    }
    Err(last.map_or(AddressError::Full, |last| AddressError::NoneFree { last }))
}

fn own(network: u8, first: u16, servers: usize, clients: usize) -> Vec<Addrs> {
    let hosts = (1..=250u8).take(servers);
    let hosts = hosts.chain((FIRST_CLIENT..=250).take(clients));
    hosts
        .map(|host| Addrs::new(Ipv4Addr::new(127, 0, network, host), first))
        .collect()
}

/// The first address that is not free.
fn worst(nodes: &[Addrs], probe: &dyn Fn(SocketAddr) -> Probed) -> Option<(SocketAddr, Probed)> {
    let all = nodes.iter().flat_map(Addrs::all);
    all.map(|addr| (addr, probe(addr)))
        .find(|(_, probed)| *probed != Probed::Free)
}

/// `count` nodes on one address, beside `there`.
fn shared(
    count: usize,
    there: &[Addrs],
    probe: &dyn Fn(SocketAddr) -> Probed,
) -> Result<(Layout, Vec<Addrs>), AddressError> {
    let ports = (FIRST_PORT..20_000).step_by(usize::from(SHARED_STEP));
    let mut last = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST_PORT));
    let mut nodes = Vec::new();
    for port in ports {
        if nodes.len() == count {
            break;
        }
        let addrs = Addrs::new(Ipv4Addr::LOCALHOST, port);
        if there.contains(&addrs) {
            continue;
        }
        match worst(&[addrs], probe) {
            None => nodes.push(addrs),
            Some((addr, _)) => last = addr,
        }
    }
    if nodes.len() < count {
        return Err(AddressError::NoneFree { last });
    }
    Ok((Layout::Shared, nodes))
}

/// Tries to listen at an address, on TCP and UDP.
pub fn probe(addr: SocketAddr) -> Probed {
    let tcp = TcpListener::bind(addr).map(drop);
    match tcp.and_then(|()| UdpSocket::bind(addr).map(drop)) {
        Ok(()) => Probed::Free,
        Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => Probed::Nowhere,
        Err(_) => Probed::Taken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// The http addresses of one server and two clients, where `taken` says what is taken.
    fn check(taken: impl Fn(SocketAddr) -> Probed, used: &[u8], expected: &[&str]) {
        let used = used.iter().copied().collect();
        let (_, nodes) = choose(1, 2, &networks(&used, 0), &taken).unwrap();
        let http: Vec<_> = nodes.iter().map(|n| n.http.to_string()).collect();
        assert_eq!(http, expected);
    }

    #[test]
    fn nomads_ports_are_taken_where_they_are_free() {
        let free = |_| Probed::Free;
        let first = ["127.0.10.1:4646", "127.0.10.11:4646", "127.0.10.12:4646"];
        check(free, &[], &first);
        let second = ["127.0.11.1:4646", "127.0.11.11:4646", "127.0.11.12:4646"];
        check(free, &[10], &second);
        // One node's port is enough to leave a network alone.
        let one = |a| match a == at("127.0.10.12:4648") {
            true => Probed::Taken,
            false => Probed::Free,
        };
        check(one, &[], &second);
    }

    #[test]
    fn networks_are_tried_from_any_of_them_on() {
        let used = BTreeSet::from([249]);
        let order = networks(&used, 238);
        assert_eq!(order[..4], [248, 250, 10, 11]);
        assert_eq!(order.len(), 240);
        assert_eq!(networks(&used, usize::MAX / 2).len(), 240);
    }

    #[test]
    fn a_port_taken_on_every_address_moves_them_all() {
        let everywhere = |a: SocketAddr| match a.port() {
            4646 => Probed::Taken,
            _ => Probed::Free,
        };
        let moved = ["127.0.10.1:5646", "127.0.10.11:5646", "127.0.10.12:5646"];
        check(everywhere, &[], &moved);
    }

    #[test]
    fn a_system_with_one_loopback_address_shares_it() {
        let one = |a: SocketAddr| match a.ip() == Ipv4Addr::LOCALHOST {
            true if a.port() == 4656 => Probed::Taken,
            true => Probed::Free,
            false => Probed::Nowhere,
        };
        let shared = ["127.0.0.1:4646", "127.0.0.1:4666", "127.0.0.1:4676"];
        check(one, &[], &shared);
        let there = [Addrs::new(Ipv4Addr::LOCALHOST, 4646)];
        let more = one_more(Layout::Shared, &there, &one).unwrap();
        assert_eq!(more.http, at("127.0.0.1:4666"));
    }

    #[test]
    fn one_more_takes_the_first_address_that_is_free() {
        let layout = Layout::Own {
            network: 10,
            first: 4646,
        };
        let nodes = own(10, 4646, 1, 2);
        let taken = |a| match a == at("127.0.10.13:4647") {
            true => Probed::Taken,
            false => Probed::Free,
        };
        let added = one_more(layout, &nodes, &taken).unwrap();
        assert_eq!(added.serf, at("127.0.10.14:4648"));
        let without_first: Vec<_> = nodes.iter().copied().filter(|n| *n != nodes[1]).collect();
        let added = one_more(layout, &without_first, &taken).unwrap();
        assert_eq!(added.http, at("127.0.10.11:4646"));
    }

    #[test]
    fn no_room_is_an_error_that_names_an_address() {
        let full = choose(1, 1, &[10, 11, 12, 13, 14], &|_| Probed::Taken);
        let text = full.unwrap_err().to_string();
        assert!(text.contains("127.0.13.1:18646"), "{text}");
        let many = choose(1, 241, &[10], &|_| Probed::Free);
        assert_eq!(many.unwrap_err(), AddressError::Full);
    }

    #[test]
    fn a_probe_tells_free_from_taken() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        assert_eq!(probe(addr), Probed::Taken);
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(probe(udp.local_addr().unwrap()), Probed::Taken);
        drop(socket);
        assert_eq!(probe(addr), Probed::Free);
        assert_eq!(probe(at("192.0.2.1:4646")), Probed::Nowhere);
    }
}
