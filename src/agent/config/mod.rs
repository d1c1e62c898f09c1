//! The agent's configuration: files and flags in, one validated [`Config`] or every mistake out.
//!
//! Two steps: [`settings`] gathers what was written and where; [`Config::new`] checks it against
//! [`schema`], fills in defaults and resolves addresses. Nobody reads files, flags or the
//! environment later.

pub mod flags;
mod read;
mod reader;
pub mod schema;
pub mod settings;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::gossip::Key;
use crate::model::ConfigValue;

use reader::Reader;
use settings::Settings;

/// A port of Nomad's, unless the configuration names another.
const HTTP_PORT: u16 = 4646;
pub(super) const RPC_PORT: u16 = 4647;
pub(super) const SERF_PORT: u16 = 4648;

/// Everything that an agent is told. All paths are absolute.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub dev: bool,
    pub name: String,
    pub region: String,
    pub datacenter: String,
    /// `None` in dev mode: a temporary directory is made.
    pub data_dir: Option<PathBuf>,
    pub log_level: String,
    pub log_json: bool,
    /// What to listen on.
    pub bind: Addrs,
    /// What to tell others.
    pub advertise: Addrs,
    pub ports: Ports,
    pub join: JoinConfig,
    /// What the gossip is sealed with, and the rpc port guarded by.
    pub encrypt: Option<Key>,
    /// Whether SIGINT leaves the cluster for good, rather than stopping for a while.
    pub leave_on_interrupt: bool,
    pub leave_on_terminate: bool,
    pub server: Option<ServerConfig>,
    pub client: Option<ClientConfig>,
    pub ui_enabled: bool,
    pub cli_hints: bool,
    pub http_max_conns_per_client: u32,
    pub response_headers: BTreeMap<String, String>,
    /// The docker driver's own settings, by key below `plugin.docker.config`.
    pub docker: BTreeMap<String, ConfigValue>,
    pub raw_exec: bool,
    /// What should be said before the agent starts.
    pub warnings: Vec<String>,
}

/// One address for each port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addrs {
    pub http: SocketAddr,
    pub rpc: SocketAddr,
    pub serf: SocketAddr,
}

/// Which ports must be the ones of [`Config::bind`]. Another one is taken for the rest if that is
/// in use, and the gossip tells the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    pub rpc_named: bool,
    pub serf_named: bool,
}

/// Whom to join, as `host`, `host:port`, for either the serf or the rpc port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinConfig {
    /// Tried once at the start; failing is fatal.
    pub once: Vec<String>,
    /// Tried until one answers, and again when this agent is alone.
    pub retry: Vec<String>,
    /// The longest pause between tries.
    pub interval: Duration,
    /// How many tries before the agent gives up; 0: any number.
    pub tries_max: u32,
    /// Whether the members are remembered when this agent leaves.
    pub rejoin_after_leave: bool,
}

impl Default for JoinConfig {
    fn default() -> Self {
        Self {
            once: Vec::new(),
            retry: Vec::new(),
            interval: Duration::from_secs(30),
            tries_max: 0,
            rejoin_after_leave: false,
        }
    }
}

/// The server role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    pub bootstrap_expect: u32,
}

/// The client role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    pub state_dir: Option<PathBuf>,
    pub alloc_dir: Option<PathBuf>,
    pub node_class: String,
    pub node_pool: String,
    pub meta: BTreeMap<String, String>,
    pub network_interface: Option<String>,
    /// In MHz; `None`: measured.
    pub cpu_total: Option<u32>,
    pub memory_total_mb: Option<u32>,
    pub disk_total_mb: Option<u32>,
    pub max_kill_timeout: Duration,
    pub dynamic_ports: (u16, u16),
    pub reserved_cpu: u32,
    pub reserved_memory_mb: u32,
    pub reserved_disk_mb: u32,
    pub reserved_ports: Vec<u16>,
    /// How many ended allocations keep their directories.
    pub gc_max_allocs: u32,
    pub default_ineligible: bool,
    /// The only drivers there may be; `None`: all.
    pub drivers: Option<Vec<String>>,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Mistakes(pub Vec<String>);

impl Config {
    /// Checks `settings` and fills in defaults. `hostname` names an agent without a name; `cores`
    /// bounds the schedulers; `interfaces` resolves address templates.
    pub fn new(settings: &Settings, machine: &Machine) -> Result<Self, Mistakes> {
        let mut reader = Reader {
            settings,
            mistakes: Vec::new(),
        };
        reader.check_keys();
        let config = reader.read(machine);
        if reader.mistakes.is_empty() {
            Ok(config)
        } else {
            Err(Mistakes(reader.mistakes))
        }
    }
}

impl Config {
    /// What to tell others once sockets are bound: a port that was left to the system is known.
    pub fn advertise_with(&self, bound: Addrs) -> Addrs {
        let real = |told: SocketAddr, wanted: SocketAddr, got: SocketAddr| {
            let port = if told.port() == wanted.port() {
                got.port()
            } else {
                told.port()
            };
            SocketAddr::new(told.ip(), port)
        };
        Addrs {
            http: real(self.advertise.http, self.bind.http, bound.http),
            rpc: real(self.advertise.rpc, self.bind.rpc, bound.rpc),
            serf: real(self.advertise.serf, self.bind.serf, bound.serf),
        }
    }
}

/// What of the machine the configuration depends on.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub hostname: String,
    pub cores: u32,
    /// Interface name with its addresses.
    pub interfaces: Vec<(String, IpAddr)>,
    /// The address of the default route.
    pub private_ip: Option<IpAddr>,
}
