//! The configuration, section by section.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;
use super::schema::{self, Fate};
use super::{
    Addrs, ClientConfig, Config, HTTP_PORT, JoinConfig, Machine, Ports, RPC_PORT, SERF_PORT,
    ServerConfig, template,
};
use crate::gossip::Key;
use crate::model::ConfigValue;

const DRIVERS: [&str; 3] = ["docker", "raw_exec", "mock_driver"];

impl Reader<'_> {
    pub(super) fn check_keys(&mut self) {
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

    pub(super) fn read(&mut self, machine: &Machine) -> Config {
        let dev = self.bool("dev", false);
        let server_on = self.bool("server.enabled", dev);
        let client_on = self.bool("client.enabled", dev);
        let mut warnings = Vec::new();
        if !server_on && !client_on {
            self.mistakes
                .push("Must specify either server, client or dev mode for the agent.".to_string());
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
            ports: Ports {
                rpc_named: server_on || self.is_set("ports.rpc"),
                serf_named: server_on || self.is_set("ports.serf"),
            },
            join: self.join(client_on),
            encrypt: self.encrypt(),
            leave_on_interrupt: self.bool("leave_on_interrupt", false),
            leave_on_terminate: self.bool("leave_on_terminate", false),
            server: server_on.then(|| self.server()),
            client: client_on.then(|| self.client(dev)),
            ui_enabled: self.bool("ui.enabled", true),
            cli_hints: self.bool("ui.show_cli_hints", true),
            http_max_conns_per_client: self.int("limits.http_max_conns_per_client", 100),
            response_headers: self.texts("http_api_response_headers"),
            docker: self.docker(dev),
            raw_exec: self.bool("plugin.raw_exec.config.enabled", raw_exec_option),
            warnings,
        }
    }

    /// The docker driver's settings, from its plugin block and the older client options.
    fn docker(&mut self, dev: bool) -> BTreeMap<String, ConfigValue> {
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
        docker
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

    /// Whom to join. The blocks say the same as the older keys beside them; both may be given.
    fn join(&mut self, client: bool) -> JoinConfig {
        let mut join = JoinConfig {
            rejoin_after_leave: self.bool("server.rejoin_after_leave", false),
            ..JoinConfig::default()
        };
        let mut blocks = vec!["server", "server.server_join"];
        if client {
            join.retry.extend(self.list("client.servers"));
            blocks.push("client.server_join");
        }
        for block in blocks {
            join.once.extend(self.list(&format!("{block}.start_join")));
            join.retry.extend(self.list(&format!("{block}.retry_join")));
            join.interval = self.duration(&format!("{block}.retry_interval"), join.interval);
            join.tries_max = self.int(&format!("{block}.retry_max"), join.tries_max);
        }
        for addr in join.once.iter().chain(&join.retry) {
            if addr.contains("provider=") {
                self.mistakes.push(format!(
                    "cannot join `{addr}`: members are not looked up at cloud providers"
                ));
            }
        }
        join
    }

    fn encrypt(&mut self) -> Option<Key> {
        let text = self.text("server.encrypt")?;
        let key = Key::parse(&text);
        key.map_err(|error| self.mistakes.push(format!("server.encrypt: {error}")))
            .ok()
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

    fn drivers(&mut self) -> Option<Vec<String>> {
        let key = "client.options.driver.allowlist";
        let names = self.text(key)?;
        let names: Vec<String> = names.split(',').map(|n| n.trim().to_string()).collect();
        for name in &names {
            if !DRIVERS.contains(&name.as_str()) {
                self.mistakes.push(format!(
                    "{key}: there is no driver `{name}`; there are {}",
                    DRIVERS.join(", ")
                ));
            }
        }
        Some(names)
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
            drivers: self.drivers(),
        }
    }
}
