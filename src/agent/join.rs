//! Joins members by their addresses.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::env::Env;
use crate::gossip::{ExchangeError, Gossip};
use crate::model::{MemberRecord, MemberStatus};
use crate::rpc::{self, CallError, Pool};

use super::config::{RPC_PORT, SERF_PORT};

/// How long an agent may take to say whom it knows.
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// Why an address was not joined. The text names the address, and for a refusal both agents.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("`{addr}` is no address: {source}")]
    Resolve {
        addr: String,
        #[source]
        source: std::io::Error,
    },
    #[error("`{addr}` names no host")]
    Nobody { addr: String },
    #[error("{at} did not join: {source}")]
    Exchange {
        at: SocketAddr,
        #[source]
        source: ExchangeError,
    },
    #[error("no member answers at {at}: as its serf port: {serf}; as its rpc port: {rpc}")]
    NoMember {
        at: SocketAddr,
        serf: ExchangeError,
        rpc: CallError,
    },
    #[error("{at} knows no server that answers")]
    NoServer { at: SocketAddr },
    /// Its rpc port answers, so its servers can be asked although the gossip does not reach them.
    #[error("the serf ports do not answer: {source}")]
    NoGossip {
        /// The rpc addresses of the servers of our region.
        servers: Vec<SocketAddr>,
        #[source]
        source: ExchangeError,
    },
}

impl JoinError {
    /// Whether the address is this agent's own: a list may name every agent.
    pub fn is_own(&self) -> bool {
        let source = match self {
            Self::Exchange { source, .. } | Self::NoMember { serf: source, .. } => source,
            Self::Resolve { .. }
            | Self::Nobody { .. }
            | Self::NoServer { .. }
            | Self::NoGossip { .. } => return false,
        };
        matches!(source, ExchangeError::Myself)
    }

    /// Whether a member answered and would not have us.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Exchange {
                source: ExchangeError::Refused(_),
                ..
            }
        )
    }
}

/// Joins by address. Cloning shares it.
#[derive(Clone)]
pub struct Joiner {
    env: Env,
    gossip: Gossip,
    pool: Pool,
    region: String,
}

impl Joiner {
    pub fn new(env: Env, gossip: Gossip, pool: Pool, region: String) -> Self {
        Self {
            env,
            gossip,
            pool,
            region,
        }
    }

    /// Joins the member at `host`, `host:serf-port` or `host:rpc-port`.
    pub async fn join(&self, addr: &str) -> Result<(), JoinError> {
        let mut last = JoinError::Nobody {
            addr: addr.to_owned(),
        };
        for at in self.resolve(addr).await? {
            match self.meet(at).await {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn resolve(&self, addr: &str) -> Result<Vec<SocketAddr>, JoinError> {
        let mut found = Vec::new();
        for target in targets(addr, &[SERF_PORT, RPC_PORT]) {
            let resolved = self.env.net.resolve(&target).await;
            found.extend(resolved.map_err(|source| JoinError::Resolve {
                addr: addr.to_owned(),
                source,
            })?);
        }
        Ok(found)
    }

    /// Meets the member whose serf port this is, or else a server that the agent knows whose rpc
    /// port this is.
    pub async fn meet(&self, at: SocketAddr) -> Result<(), JoinError> {
        let serf = match self.gossip.meet(at).await {
            Ok(()) => return Ok(()),
            Err(source @ (ExchangeError::Refused(_) | ExchangeError::Myself)) => {
                return Err(JoinError::Exchange { at, source });
            }
            Err(error) => error,
        };
        let members = match rpc::members_at(&self.pool, at, ASK_LIMIT).await {
            Ok(members) => members,
            Err(rpc) => return Err(JoinError::NoMember { at, serf, rpc }),
        };
        let servers: Vec<_> = members
            .into_iter()
            .filter(|m| m.status == MemberStatus::Alive && m.record.server.is_some())
            .map(|m| m.record)
            .collect();
        let mut last = JoinError::NoServer { at };
        for record in &servers {
            last = match self.gossip.meet(record.serf_addr).await {
                Ok(()) => return Ok(()),
                Err(source @ (ExchangeError::Refused(_) | ExchangeError::Myself)) => {
                    let at = record.serf_addr;
                    return Err(JoinError::Exchange { at, source });
                }
                Err(source) => JoinError::NoGossip {
                    servers: self.of_our_region(&servers),
                    source,
                },
            };
        }
        Err(last)
    }

    fn of_our_region(&self, servers: &[MemberRecord]) -> Vec<SocketAddr> {
        let ours = servers.iter().filter(|r| r.region == self.region);
        ours.map(|r| r.rpc_addr).collect()
    }
}

/// `host:port` for every port that `addr` may mean: the one that it names, else the usual ones.
fn targets(addr: &str, ports: &[u16]) -> Vec<String> {
    let addr = addr.trim();
    if let Ok(ip) = addr.parse::<IpAddr>() {
        let with = |port: &u16| SocketAddr::new(ip, *port).to_string();
        return ports.iter().map(with).collect();
    }
    let named = addr
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if named {
        vec![addr.to_owned()]
    } else {
        ports.iter().map(|port| format!("{addr}:{port}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_leave_out_its_port() {
        let check = |addr: &str, expected: &[&str]| {
            assert_eq!(targets(addr, &[4648, 4647]), expected, "{addr}");
        };
        check("10.0.0.1", &["10.0.0.1:4648", "10.0.0.1:4647"]);
        check("10.0.0.1:5647", &["10.0.0.1:5647"]);
        check("s1.example", &["s1.example:4648", "s1.example:4647"]);
        check(" s1.example:1 ", &["s1.example:1"]);
        check("::1", &["[::1]:4648", "[::1]:4647"]);
        check("[::1]:7", &["[::1]:7"]);
    }
}
