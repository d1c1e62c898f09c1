//! Who listens at an address, as far as `/proc` shows.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A process that holds a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    pub command: String,
}

/// The process that listens at `addr`, or at its port on every address. `None`: nobody, or not
/// to be seen by this user.
pub fn holder(addr: SocketAddr) -> Option<Holder> {
    let sockets = ["/proc/net/tcp", "/proc/net/udp"];
    let inodes: Vec<String> = sockets
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listening(&table, addr))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.into_iter().find(|pid| has_any(*pid, &inodes))?;
    let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(Holder {
        pid,
        command: command.trim().to_owned(),
    })
}

fn has_any(pid: u32, inodes: &[String]) -> bool {
    let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false; // another user's
    };
    fds.flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok())
        .any(|link| inodes.iter().any(|i| link.as_os_str() == i.as_str()))
}

/// The sockets of a table of `/proc/net` that keep others from listening at `addr`.
fn listening(table: &str, addr: SocketAddr) -> Vec<String> {
    const LISTEN: &str = "0A";
    const UDP_OPEN: &str = "07";
    let rows = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (local, state, inode) = (*fields.get(1)?, *fields.get(3)?, *fields.get(9)?);
        let (ip, port) = local.split_once(':')?;
        let ip = Ipv4Addr::from(u32::from_str_radix(ip, 16).ok()?.to_ne_bytes());
        let port = u16::from_str_radix(port, 16).ok()?;
        let there = ip.is_unspecified() || IpAddr::V4(ip) == addr.ip();
        let open = state == LISTEN || state == UDP_OPEN;
        (there && open && port == addr.port()).then(|| format!("socket:[{inode}]"))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_our_own_is_found() {
        let one = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let all = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = all.local_addr().unwrap().port();
        for addr in [one.local_addr().unwrap(), ([127, 0, 10, 1], port).into()] {
            let found = holder(addr).unwrap();
            assert_eq!(found.pid, std::process::id(), "{addr}");
            assert!(!found.command.is_empty());
        }
        let gone = one.local_addr().unwrap();
        drop(one);
        assert_eq!(holder(gone), None);
    }
}
