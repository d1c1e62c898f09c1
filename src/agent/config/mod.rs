//! The agent's configuration: files and flags in, one validated [`Config`] or every mistake out.
//!
//! Two steps: [`settings`] gathers what was written and where; [`Config::new`] checks it against
//! [`schema`], fills in defaults and resolves addresses. Nobody reads files, flags or the
//! environment later.

pub mod flags;
pub mod schema;
pub mod settings;
mod template;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::{ConfigValue, duration};

use schema::Fate;
use settings::Settings;

/// A port of Nomad's, unless the configuration names another.
const HTTP_PORT: u16 = 4646;
const RPC_PORT: u16 = 4647;
const SERF_PORT: u16 = 4648;

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

/// Reads typed values and collects every mistake on the way.
struct Reader<'a> {
    settings: &'a Settings,
    mistakes: Vec<String>,
}

impl Reader<'_> {
    fn check_keys(&mut self) {
        for (key, setting) in self.settings.iter() {
            match schema::fate(key) {
                Some(Fate::Used | Fate::Ignored(_)) => {}
                Some(Fate::Refused(reason)) => {
                    self.mistakes
                        .push(format!("{}: {key} cannot be used: {reason}", setting.at));
                }
                None => {
                    let hint = schema::nearest(key);
                    let hint = hint.map_or(String::new(), |n| format!("; did you mean {n}?"));
                    let (block, name) = key.rsplit_once('.').unwrap_or(("", key));
                    let what = match block {
                        "" => format!("unexpected keys {name}"),
                        block => format!("{block} unexpected keys {name}"),
                    };
                    self.mistakes.push(format!("{}: {what}{hint}", setting.at));
                }
            }
        }
    }

    fn read(&mut self, machine: &Machine) -> Config {
        let dev = self.bool("dev", false);
        let server_on = self.bool("server.enabled", dev);
        let client_on = self.bool("client.enabled", dev);
        let mut warnings = Vec::new();
        if !server_on && !client_on {
            self.mistakes
                .push("Must specify either server, client or dev mode for the agent.".to_string());
        }
        if client_on && !server_on {
            self.mistakes.push(
                "a client without a server is not supported yet: enable the server role too"
                    .to_string(),
            );
        }
        let data_dir = self.data_dir(dev);
        self.refuse_switches();
        let name = self
            .text("name")
            .unwrap_or_else(|| machine.hostname.clone());
        let (bind, advertise) = self.addresses(dev, machine);
        if !bind.rpc.ip().is_loopback() {
            warnings.push(
                "WARNING: TLS is not supported yet: whoever reaches these ports controls the \
                 cluster"
                    .to_string(),
            );
        }
        let docker_volumes = self.bool("client.options.docker.volumes.enabled", dev);
        let mut docker: BTreeMap<String, ConfigValue> = self
            .settings
            .below("plugin.docker.config")
            .filter(|(_, s)| !matches!(s.value, ConfigValue::Map(_)))
            .map(|(k, s)| (k.to_string(), s.value.clone()))
            .collect();
        docker
            .entry("volumes.enabled".to_string())
            .or_insert(ConfigValue::Bool(docker_volumes));
        if self
            .settings
            .get("client.options.docker.cleanup.image")
            .is_some()
        {
            let clean = self.bool("client.options.docker.cleanup.image", true);
            docker
                .entry("gc.image".to_string())
                .or_insert(ConfigValue::Bool(clean));
        }
        let raw_exec_option = self.bool("client.options.driver.raw_exec.enable", dev);
        Config {
            dev,
            name,
            region: self.text("region").unwrap_or_else(|| "global".to_string()),
            datacenter: self.text("datacenter").unwrap_or_else(|| "dc1".to_string()),
            data_dir,
            log_level: self.log_level(dev),
            log_json: self.bool("log_json", false),
            bind,
            advertise,
            server: server_on.then(|| self.server()),
            client: client_on.then(|| self.client(dev)),
            ui_enabled: self.bool("ui.enabled", true),
            cli_hints: self.bool("ui.show_cli_hints", true),
            http_max_conns_per_client: self.int("limits.http_max_conns_per_client", 100),
            response_headers: self.texts("http_api_response_headers"),
            docker,
            raw_exec: self.bool("plugin.raw_exec.config.enabled", raw_exec_option),
            warnings,
        }
    }

    /// Switches whose "off" is fine and whose "on" is not to be had.
    fn refuse_switches(&mut self) {
        for (key, what) in [
            ("acl.enabled", "access control lists are"),
            ("tls.http", "TLS is"),
            ("tls.rpc", "TLS is"),
        ] {
            if self.bool(key, false) {
                self.mistakes
                    .push(format!("{key} cannot be true: {what} not supported yet"));
            }
        }
        if !self.bool("client.nomad_service_discovery", true) {
            self.mistakes
                .push("client.nomad_service_discovery cannot be switched off".to_string());
        }
    }

    fn data_dir(&mut self, dev: bool) -> Option<PathBuf> {
        let given = self.path("data_dir", "data-dir");
        if given.is_none() && !dev {
            let text = "Must specify \"data_dir\" config option or \"data-dir\" CLI flag";
            self.mistakes.push(text.to_string());
        }
        given
    }

    fn path(&mut self, key: &str, shown: &str) -> Option<PathBuf> {
        let text = self.text(key)?;
        if !Path::new(&text).is_absolute() {
            self.mistakes.push(format!(
                "{shown} must be given as an absolute path: got {text}"
            ));
        }
        Some(PathBuf::from(text))
    }

    fn log_level(&mut self, dev: bool) -> String {
        let default = if dev { "DEBUG" } else { "INFO" };
        let level = self
            .text("log_level")
            .unwrap_or_else(|| default.to_string())
            .to_uppercase();
        let known = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"];
        if !known.contains(&level.as_str()) {
            self.mistakes.push(format!(
                "invalid log level: {level}. Valid log levels are: {known:?}"
            ));
        }
        level
    }

    fn addresses(&mut self, dev: bool, machine: &Machine) -> (Addrs, Addrs) {
        let default = if dev {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        let bind_all = self.ip("bind_addr", machine).unwrap_or(default);
        let bind = |reader: &mut Self, name: &str, port: u16| {
            let ip = reader
                .ip(&format!("addresses.{name}"), machine)
                .unwrap_or(bind_all);
            SocketAddr::new(ip, reader.int(&format!("ports.{name}"), port))
        };
        let bound = Addrs {
            http: bind(self, "http", HTTP_PORT),
            rpc: bind(self, "rpc", RPC_PORT),
            serf: bind(self, "serf", SERF_PORT),
        };
        let advertised = Addrs {
            http: self.advertised("http", bound.http, machine),
            rpc: self.advertised("rpc", bound.rpc, machine),
            serf: self.advertised("serf", bound.serf, machine),
        };
        (bound, advertised)
    }

    fn advertised(&mut self, name: &str, bound: SocketAddr, machine: &Machine) -> SocketAddr {
        let key = format!("advertise.{name}");
        if let Some(text) = self.text(&key) {
            let text = match template::resolve(&text, machine) {
                Ok(text) => text,
                Err(reason) => {
                    self.mistakes.push(format!("{key}: {reason}"));
                    return bound;
                }
            };
            if let Ok(full) = text.parse::<SocketAddr>() {
                return full;
            }
            match text.parse::<IpAddr>() {
                Ok(ip) => return SocketAddr::new(ip, bound.port()),
                Err(_) => self
                    .mistakes
                    .push(format!("{key}: `{text}` is no IP address")),
            }
        }
        if !bound.ip().is_unspecified() {
            return bound;
        }
        match machine.private_ip {
            Some(ip) => SocketAddr::new(ip, bound.port()),
            None => {
                self.mistakes.push(format!(
                    "no private address found to advertise for {name}: set {key}, or bind_addr"
                ));
                bound
            }
        }
    }

    fn server(&mut self) -> ServerConfig {
        let expect = self.int("server.bootstrap_expect", 1);
        if expect != 1 {
            self.mistakes.push(format!(
                "server.bootstrap_expect = {expect} is not supported yet: a cluster has one server"
            ));
        }
        ServerConfig {
            bootstrap_expect: expect,
        }
    }

    fn client(&mut self, dev: bool) -> ClientConfig {
        let ports = (
            self.int("client.min_dynamic_port", 20_000),
            self.int("client.max_dynamic_port", 32_000),
        );
        if ports.0 > ports.1 || ports.0 == 0 {
            self.mistakes.push(format!(
                "client.min_dynamic_port ({}) must be above 0 and not above \
                 client.max_dynamic_port ({})",
                ports.0, ports.1
            ));
        }
        let optional = |reader: &mut Self, key: &str| match reader.int(key, 0u32) {
            0 => None,
            n => Some(n),
        };
        ClientConfig {
            state_dir: self.path("client.state_dir", "client.state_dir"),
            alloc_dir: self.path("client.alloc_dir", "client.alloc_dir"),
            node_class: self.text("client.node_class").unwrap_or_default(),
            node_pool: self
                .text("client.node_pool")
                .unwrap_or_else(|| "default".to_string()),
            meta: self.texts("client.meta"),
            network_interface: self.text("client.network_interface"),
            cpu_total: optional(self, "client.cpu_total_compute"),
            memory_total_mb: optional(self, "client.memory_total_mb"),
            disk_total_mb: optional(self, "client.disk_total_mb"),
            max_kill_timeout: self.duration("client.max_kill_timeout", Duration::from_secs(30)),
            dynamic_ports: ports,
            reserved_cpu: self.int("client.reserved.cpu", 0),
            reserved_memory_mb: self.int("client.reserved.memory", 0),
            reserved_disk_mb: self.int("client.reserved.disk", 0),
            reserved_ports: self.ports("client.reserved.reserved_ports"),
            gc_max_allocs: self.int("client.gc_max_allocs", if dev { 99 } else { 50 }),
            default_ineligible: self.bool("client.default_ineligible", false),
        }
    }

    // ---- typed values ----

    fn wrong(&mut self, key: &str, wanted: &str) {
        if let Some(setting) = self.settings.get(key) {
            self.mistakes
                .push(format!("{}: {key} must be {wanted}", setting.at));
        }
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match &self.settings.get(key)?.value {
            ConfigValue::String(s) => Some(s.clone()).filter(|s| !s.is_empty()),
            ConfigValue::Int(i) => Some(i.to_string()),
            ConfigValue::Bool(b) => Some(b.to_string()),
            ConfigValue::Null => None,
            ConfigValue::Float(_) | ConfigValue::List(_) | ConfigValue::Map(_) => {
                self.wrong(key, "text");
                None
            }
        }
    }

    fn texts(&mut self, prefix: &str) -> BTreeMap<String, String> {
        let keys: Vec<_> = self
            .settings
            .below(prefix)
            .map(|(k, _)| k.to_string())
            .collect();
        let mut texts = BTreeMap::new();
        for key in keys {
            if let Some(text) = self.text(&format!("{prefix}.{key}")) {
                texts.insert(key, text);
            }
        }
        texts
    }

    fn bool(&mut self, key: &str, default: bool) -> bool {
        let value = match self.settings.get(key).map(|s| &s.value) {
            None | Some(ConfigValue::Null) => Some(default),
            Some(ConfigValue::Bool(b)) => Some(*b),
            Some(ConfigValue::String(s)) => match s.as_str() {
                "1" | "t" | "true" | "TRUE" | "True" => Some(true),
                "0" | "f" | "false" | "FALSE" | "False" => Some(false),
                _ => None,
            },
            Some(ConfigValue::Int(i @ (0 | 1))) => Some(*i == 1),
            Some(_) => None,
        };
        value.unwrap_or_else(|| {
            self.wrong(key, "true or false");
            default
        })
    }

    /// A number that fits the type wanted.
    fn int<T: TryFrom<i64>>(&mut self, key: &str, default: T) -> T {
        let number = match self.settings.get(key).map(|s| &s.value) {
            None | Some(ConfigValue::Null) => return default,
            Some(ConfigValue::Int(i)) => Some(*i),
            Some(ConfigValue::String(s)) => s.trim().parse().ok(),
            Some(_) => None,
        };
        match number.and_then(|n| T::try_from(n).ok()) {
            Some(n) => n,
            None => {
                self.wrong(key, "a whole number in its range");
                default
            }
        }
    }

    fn duration(&mut self, key: &str, default: Duration) -> Duration {
        let parsed = match self.settings.get(key).map(|s| &s.value) {
            None | Some(ConfigValue::Null) => return default,
            Some(ConfigValue::Int(ns)) => u64::try_from(*ns).ok().map(Duration::from_nanos),
            Some(ConfigValue::String(s)) => duration::parse(s)
                .ok()
                .and_then(|ns| u64::try_from(ns).ok())
                .map(Duration::from_nanos),
            Some(_) => None,
        };
        parsed.unwrap_or_else(|| {
            let text = self.text(key).unwrap_or_default();
            self.mistakes
                .push(format!("{key} can't parse time duration {text}"));
            default
        })
    }

    fn ip(&mut self, key: &str, machine: &Machine) -> Option<IpAddr> {
        let text = self.text(key)?;
        let resolved = template::resolve(&text, machine);
        let parsed = resolved.and_then(|t| {
            t.parse::<IpAddr>()
                .map_err(|_| format!("`{t}` is no IP address"))
        });
        parsed
            .map_err(|reason| self.mistakes.push(format!("{key}: {reason}")))
            .ok()
    }

    /// `22,80,8500-8600`
    fn ports(&mut self, key: &str) -> Vec<u16> {
        let Some(text) = self.text(key) else {
            return Vec::new();
        };
        let mut ports = Vec::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            match (low.trim().parse::<u16>(), high.trim().parse::<u16>()) {
                (Ok(low), Ok(high)) if low <= high => ports.extend(low..=high),
                (Ok(_) | Err(_), Ok(_) | Err(_)) => {
                    self.mistakes
                        .push(format!("{key}: `{part}` is neither a port nor a range"));
                }
            }
        }
        ports
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn machine() -> Machine {
        Machine {
            hostname: "host1".to_string(),
            cores: 2,
            interfaces: vec![("eth0".to_string(), "192.0.2.10".parse().unwrap())],
            private_ip: Some("192.0.2.10".parse().unwrap()),
        }
    }

    fn read(text: &str) -> Result<Config, Mistakes> {
        let mut settings = Settings::default();
        settings::parse(Path::new("a.hcl"), text, &mut settings).unwrap();
        Config::new(&settings, &machine())
    }

    fn mistakes(text: &str) -> Vec<String> {
        read(text).map(|_| Vec::new()).unwrap_or_else(|m| m.0)
    }

    #[test]
    fn dev_needs_nothing() {
        let config = Config::new(
            &flags::parse(&["-dev".to_string()]).unwrap().settings,
            &machine(),
        );
        let config = config.unwrap();
        assert_eq!(config.bind.http, "127.0.0.1:4646".parse().unwrap());
        assert_eq!(config.name, "host1");
        assert!(config.server.is_some() && config.client.is_some() && config.raw_exec);
    }

    #[test]
    fn addresses_come_from_the_most_particular_key() {
        let config = read(
            r#"
            data_dir = "/d"
            bind_addr = "0.0.0.0"
            addresses { http = "127.0.0.1" }
            ports { rpc = 5647 }
            advertise {
              serf = "{{ GetInterfaceIP \"eth0\" }}"
              rpc  = "203.0.113.7:7000"
            }
            server { enabled = true }
            "#,
        )
        .unwrap();
        assert_eq!(config.bind.http, "127.0.0.1:4646".parse().unwrap());
        assert_eq!(config.bind.rpc, "0.0.0.0:5647".parse().unwrap());
        assert_eq!(config.advertise.rpc, "203.0.113.7:7000".parse().unwrap());
        assert_eq!(config.advertise.serf, "192.0.2.10:4648".parse().unwrap());
        assert_eq!(config.advertise.http, "127.0.0.1:4646".parse().unwrap());
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let told = mistakes(
            "data_dir = \"rel\"\nfoo = 1\nserver {\n enabled = true\n bananas = 2\n \
             encrypt = \"k\"\n}\nclient {\n \
             enabled = true\n max_kill_timeout = \"5 days\"\n}\nports {\n http = \"abc\"\n rpc = 70000\n}\n\
             tls {\n http = true\n}\n",
        );
        let has = |part: &str| assert!(told.iter().any(|m| m.contains(part)), "{part} in {told:?}");
        has("a.hcl:2: unexpected keys foo");
        has("a.hcl:5: server unexpected keys bananas");
        has("a.hcl:6: server.encrypt cannot be used");
        has("client.max_kill_timeout can't parse time duration 5 days");
        has("data-dir must be given as an absolute path: got rel");
        has("a.hcl:13: ports.http must be a whole number in its range");
        has("a.hcl:14: ports.rpc must be a whole number in its range");
        has("tls.http cannot be true");
        assert_eq!(told.len(), 8, "{told:?}");
    }

    #[test]
    fn a_role_and_a_directory_are_needed() {
        assert_eq!(
            mistakes(""),
            [
                "Must specify either server, client or dev mode for the agent.",
                "Must specify \"data_dir\" config option or \"data-dir\" CLI flag",
            ]
        );
    }
}
