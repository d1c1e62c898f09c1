//! From a task to the body of the engine's create request.
//!
//! Everything that the job asks for and this node does not allow is refused here, before the
//! engine is bothered. Nothing is done but looking at paths.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointIpamConfig, EndpointSettings, HealthConfig,
    HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount, MountBindOptions,
    MountBindOptionsPropagationEnum, MountTmpfsOptions, MountType, MountVolumeOptions,
    MountVolumeOptionsDriverConfig, NetworkingConfig, PortBinding, PortMap, ResourcesUlimits,
};

use super::labels;
use super::options::DockerOptions;
use crate::client::driver::{NodeFacts, TaskPort, TaskSpec};
use crate::model::driver_config::{DockerConfig, MountConfig, MountKind};

const MB: i64 = 1 << 20;
/// What the kernel takes as CPU shares.
const SHARES: (i64, i64) = (2, 262_144);
/// Microseconds.
const CFS_PERIOD: i64 = 100_000;

/// What the request is made from.
pub(super) struct Create<'a> {
    pub(super) spec: &'a TaskSpec,
    pub(super) config: &'a DockerConfig,
    pub(super) options: &'a DockerOptions,
    pub(super) node: &'a NodeFacts,
    /// Whether the kernel has cgroups version 1, which alone knows swappiness.
    pub(super) cgroup_v1: bool,
}

/// The container's name.
pub(super) fn name(spec: &TaskSpec) -> String {
    format!("{}-{}", spec.task, spec.alloc)
}

impl Create<'_> {
    /// The whole body, or why the task cannot run here.
    pub(super) fn body(&self) -> Result<ContainerCreateBody, String> {
        let config = self.config;
        let bindings = self.port_bindings()?;
        let command: Vec<String> = [&config.command]
            .into_iter()
            .filter(|c| !c.is_empty())
            .chain(&config.args)
            .cloned()
            .collect();
        let host = self.host_config(&bindings)?;
        Ok(ContainerCreateBody {
            image: Some(config.image.clone()),
            hostname: some(&config.hostname),
            user: some(&self.spec.user),
            tty: Some(config.tty),
            open_stdin: Some(config.interactive),
            env: Some(
                self.spec
                    .env
                    .iter()
                    .map(|(k, v)| format!("{k}={v}"))
                    .collect(),
            ),
            cmd: (!command.is_empty()).then_some(command),
            entrypoint: config.entrypoint.clone(),
            working_dir: some(&config.work_dir),
            labels: Some(labels::of(self.spec, config, self.node)),
            exposed_ports: (!bindings.is_empty()).then(|| sorted(bindings.keys())),
            healthcheck: config.healthchecks_disabled.then(|| HealthConfig {
                test: Some(vec!["NONE".to_string()]),
                ..HealthConfig::default()
            }),
            networking_config: self.networking(),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        })
    }

    fn network_mode(&self) -> String {
        match self.config.network_mode.as_str() {
            "" if self.spec.no_network => "none".to_string(),
            "" => "default".to_string(),
            mode => mode.to_string(),
        }
    }

    fn host_config(&self, bindings: &PortMap) -> Result<HostConfig, String> {
        let config = self.config;
        let mut host = HostConfig {
            network_mode: Some(self.network_mode()),
            port_bindings: (!bindings.is_empty()).then(|| bindings.clone()),
            binds: Some(self.binds()?),
            mounts: self.mounts()?,
            volume_driver: some(&config.volume_driver),
            log_config: Some(self.log_config()),
            init: config.init.then_some(true),
            readonly_rootfs: Some(config.readonly_rootfs),
            shm_size: config.shm_size,
            storage_opt: map(&config.storage_opt),
            extra_hosts: list(&config.extra_hosts),
            group_add: list(&config.group_add),
            sysctls: map(&config.sysctl),
            ulimits: self.ulimits()?,
            devices: self.devices(),
            ipc_mode: some(&config.ipc_mode),
            pid_mode: some(&config.pid_mode),
            uts_mode: some(&config.uts_mode),
            userns_mode: some(&config.userns_mode),
            ..HostConfig::default()
        };
        self.resolver(&mut host);
        self.limits(&mut host);
        self.security(&mut host)?;
        Ok(host)
    }

    fn resolver(&self, host: &mut HostConfig) {
        let config = self.config;
        let group = self.spec.dns.clone().unwrap_or_default();
        let either =
            |own: &[String], group: &[String]| list(if own.is_empty() { group } else { own });
        host.dns = either(&config.dns_servers, &group.servers);
        host.dns_search = either(&config.dns_search_domains, &group.searches);
        host.dns_options = either(&config.dns_options, &group.options);
    }

    fn limits(&self, host: &mut HostConfig) {
        let (config, resources) = (self.config, &self.spec.resources);
        let asked = i64::from(resources.memory_mb) * MB;
        let ceiling = config
            .memory_hard_limit
            .max(i64::from(resources.memory_max_mb))
            .saturating_mul(MB);
        let hard = asked.max(ceiling);
        if hard > 0 {
            host.memory = Some(hard);
            host.memory_swap = Some(hard);
            host.memory_reservation = (hard > asked).then_some(asked);
            host.memory_swappiness = self.cgroup_v1.then_some(0);
        }
        let mhz = i64::from(resources.cpu_mhz);
        host.cpu_shares = Some(mhz.clamp(SHARES.0, SHARES.1));
        if config.cpu_hard_limit {
            let period = match config.cpu_cfs_period {
                0 => CFS_PERIOD,
                period => period,
            };
            let share = f64::from(resources.cpu_mhz) / self.node.core_mhz.max(1.0);
            host.cpu_period = Some(period);
            host.cpu_quota = Some(((share * period as f64) as i64).max(1000));
        }
        host.pids_limit = config
            .pids_limit
            .or(Some(self.options.pids_limit))
            .filter(|limit| *limit > 0);
        let adjust = config.oom_score_adj.unwrap_or(self.options.oom_score_adj);
        host.oom_score_adj = (adjust != 0).then_some(adjust);
    }

    fn security(&self, host: &mut HostConfig) -> Result<(), String> {
        let (config, options) = (self.config, self.options);
        if config.privileged && !options.allow_privileged {
            return Err("Docker privileged mode is disabled on this agent".to_string());
        }
        if !config.runtime.is_empty() && !options.allow_runtimes.contains(&config.runtime) {
            return Err(format!(
                "requested runtime {:?} is not allowed on this agent",
                config.runtime
            ));
        }
        let allowed: Vec<String> = options.allow_caps.iter().map(|c| cap(c)).collect();
        let refused: Vec<String> = config
            .cap_add
            .iter()
            .map(|c| cap(c))
            .filter(|c| !allowed.contains(c) && !allowed.iter().any(|a| a == "ALL"))
            .collect();
        if !refused.is_empty() {
            return Err(format!(
                "driver does not allow the following capabilities: {}",
                refused.join(", ").to_lowercase()
            ));
        }
        let add: Vec<String> = config.cap_add.iter().map(|c| cap(c)).collect();
        let mut drop: Vec<String> = config.cap_drop.iter().map(|c| cap(c)).collect();
        let raw_wanted = add.iter().any(|c| c == "NET_RAW" || c == "ALL");
        if !config.privileged && !raw_wanted && !drop.iter().any(|c| c == "NET_RAW" || c == "ALL") {
            drop.push("NET_RAW".to_string());
        }
        host.cap_add = list(&add);
        host.cap_drop = list(&drop);
        host.privileged = Some(config.privileged);
        host.runtime = some(&config.runtime);
        host.security_opt = list(&self.security_opt()?);
        if !config.cgroupns.is_empty() {
            let mode = HostConfigCgroupnsModeEnum::from_str(&config.cgroupns);
            host.cgroupns_mode = Some(mode.map_err(|_| {
                format!(
                    "cgroupns must be host or private, not {:?}",
                    config.cgroupns
                )
            })?);
        }
        Ok(())
    }

    /// The options, with the content of a seccomp profile in place of its path: the engine
    /// may not see our files.
    fn security_opt(&self) -> Result<Vec<String>, String> {
        let inline = |option: &String| {
            let path = option
                .strip_prefix("seccomp=")
                .or_else(|| option.strip_prefix("seccomp:"));
            match path {
                Some(path) if path != "unconfined" && !path.starts_with('{') => {
                    let file = self.spec.dirs.task.join(path);
                    std::fs::read_to_string(&file)
                        .map(|profile| format!("seccomp={profile}"))
                        .map_err(|e| {
                            format!("could not read seccomp profile {}: {e}", file.display())
                        })
                }
                Some(_) | None => Ok(option.clone()),
            }
        };
        self.config.security_opt.iter().map(inline).collect()
    }

    fn port_bindings(&self) -> Result<PortMap, String> {
        let (config, ports) = (self.config, &self.spec.ports);
        let legacy = ports.iter().any(|p| p.legacy);
        if !config.port_map.is_empty() && !legacy {
            return Err(if ports.is_empty() {
                "Trying to map ports but no network interface is available".to_string()
            } else {
                "'port_map' cannot map group network ports, use 'ports' instead".to_string()
            });
        }
        let find = |label: &String| {
            let found = ports.iter().find(|p| p.label == *label);
            found.ok_or_else(|| format!("Port {label:?} not found, check network block"))
        };
        for label in config.port_map.keys() {
            find(label)?;
        }
        let mut published: Vec<&TaskPort> = if config.ports.is_empty() {
            ports.iter().filter(|p| p.legacy).collect()
        } else {
            config.ports.iter().map(find).collect::<Result<_, _>>()?
        };
        // These share or lack a network; the engine publishes nothing for them.
        let mode = self.network_mode();
        if mode == "host" || mode == "none" || mode.starts_with("container:") {
            published.clear();
        }
        let mut map = PortMap::new();
        for port in published {
            let inside = match config.port_map.get(&port.label) {
                Some(mapped) => *mapped,
                None if port.to > 0 => port.to,
                None => port.host_port,
            };
            for protocol in ["tcp", "udp"] {
                let binding = PortBinding {
                    host_ip: Some(port.host_ip.clone()),
                    host_port: Some(port.host_port.to_string()),
                };
                map.entry(format!("{inside}/{protocol}"))
                    .or_insert_with(|| Some(Vec::new()))
                    .get_or_insert_default()
                    .push(binding);
            }
        }
        Ok(map)
    }

    fn networking(&self) -> Option<NetworkingConfig> {
        let config = self.config;
        let named = [&config.ipv4_address, &config.ipv6_address];
        if config.network_aliases.is_empty() && named.iter().all(|a| a.is_empty()) {
            return None;
        }
        let endpoint = EndpointSettings {
            aliases: list(&config.network_aliases),
            ipam_config: Some(EndpointIpamConfig {
                ipv4_address: some(&config.ipv4_address),
                ipv6_address: some(&config.ipv6_address),
                link_local_ips: None,
            }),
            ..EndpointSettings::default()
        };
        Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(self.network_mode(), endpoint)])),
        })
    }

    fn binds(&self) -> Result<Vec<String>, String> {
        let dirs = &self.spec.dirs;
        let label = match self.options.volumes_selinux_label.as_str() {
            "" => String::new(),
            label => format!(":{label}"),
        };
        let mut binds = vec![
            format!("{}:/alloc{label}", dirs.alloc.display()),
            format!("{}:/local{label}", dirs.local.display()),
            format!("{}:/secrets{label}", dirs.secrets.display()),
        ];
        // A task must not tamper with what the agent writes.
        let read_only = if label.is_empty() {
            ":ro".to_string()
        } else {
            format!("{label},ro")
        };
        binds.push(format!("{}:/alloc/logs{read_only}", dirs.logs().display()));
        for volume in &self.config.volumes {
            let (source, rest) = volume
                .split_once(':')
                .filter(|(source, rest)| !source.is_empty() && rest.starts_with('/'))
                .ok_or_else(|| format!("invalid docker volume: {volume:?}"))?;
            if !self.config.volume_driver.is_empty() {
                self.need_volumes(source)?;
                binds.push(volume.clone());
                continue;
            }
            let source = self.host_path(source)?;
            binds.push(format!("{}:{rest}", source.display()));
        }
        Ok(binds)
    }

    /// Where a path of the job is on the host: relative ones start at the task's directory.
    fn host_path(&self, path: &str) -> Result<PathBuf, String> {
        let dirs = &self.spec.dirs;
        let joined = normal(&dirs.task.join(path));
        if !inside(&real(&dirs.root), &real(&joined)) {
            self.need_volumes(path)?;
        }
        Ok(joined)
    }

    fn need_volumes(&self, path: &str) -> Result<(), String> {
        if self.options.volumes_enabled {
            return Ok(());
        }
        Err(format!(
            "volumes are not enabled; cannot mount host path: {path:?} (set volumes.enabled in \
             plugin \"docker\" to allow it)"
        ))
    }

    fn mounts(&self) -> Result<Option<Vec<Mount>>, String> {
        let mounts: Vec<Mount> = self
            .config
            .mounts
            .iter()
            .map(|mount| self.mount(mount))
            .collect::<Result<_, _>>()?;
        Ok((!mounts.is_empty()).then_some(mounts))
    }

    fn mount(&self, mount: &MountConfig) -> Result<Mount, String> {
        let mut body = Mount {
            target: Some(mount.target.clone()),
            read_only: Some(mount.readonly),
            ..Mount::default()
        };
        match mount.kind {
            MountKind::Bind => {
                let source = self.host_path(&mount.source)?;
                body.typ = Some(MountType::BIND);
                body.source = Some(source.display().to_string());
                let propagation = &mount.bind.propagation;
                if !propagation.is_empty() {
                    let parsed = MountBindOptionsPropagationEnum::from_str(propagation);
                    body.bind_options = Some(MountBindOptions {
                        propagation: Some(parsed.map_err(|_| {
                            format!("{propagation:?} is no propagation of bind mounts")
                        })?),
                        ..MountBindOptions::default()
                    });
                }
            }
            MountKind::Volume => {
                body.typ = Some(MountType::VOLUME);
                body.source = some(&mount.source);
                body.volume_options = Some(self.volume_options(mount)?);
            }
            MountKind::Tmpfs => {
                body.typ = Some(MountType::TMPFS);
                body.tmpfs_options = Some(MountTmpfsOptions {
                    size_bytes: (mount.tmpfs.size > 0).then_some(mount.tmpfs.size),
                    mode: (mount.tmpfs.mode > 0).then_some(mount.tmpfs.mode),
                    options: None,
                });
            }
        }
        Ok(body)
    }

    fn volume_options(&self, mount: &MountConfig) -> Result<MountVolumeOptions, String> {
        let volume = &mount.volume;
        // A volume driver's options can name any path of the host.
        if !volume.driver.is_empty() {
            self.need_volumes(&mount.source)?;
        }
        Ok(MountVolumeOptions {
            no_copy: Some(volume.no_copy),
            labels: map(&volume.labels),
            driver_config: (!volume.driver.is_empty()).then(|| MountVolumeOptionsDriverConfig {
                name: Some(volume.driver.clone()),
                options: map(&volume.driver_options),
            }),
            subpath: None,
        })
    }

    /// The engine's own copy of the output is small: ours is the one that people read.
    fn log_config(&self) -> HostConfigLogConfig {
        let given = self.config.logging.clone().unwrap_or_default();
        let typ = match given.driver.as_str() {
            "" => "json-file".to_string(),
            driver => driver.to_string(),
        };
        let mut config: HashMap<String, String> = given.config.into_iter().collect();
        if typ == "json-file" && config.is_empty() {
            config.insert("max-file".to_string(), "2".to_string());
            config.insert("max-size".to_string(), "2m".to_string());
        }
        HostConfigLogConfig {
            typ: Some(typ),
            config: Some(config),
        }
    }

    fn ulimits(&self) -> Result<Option<Vec<ResourcesUlimits>>, String> {
        let mut limits = Vec::new();
        for (name, text) in &self.config.ulimit {
            let (soft, hard) = text.split_once(':').unwrap_or((text, text));
            let number = |part: &str| {
                part.trim()
                    .parse::<i64>()
                    .map_err(|_| format!("Malformed ulimit {name:?}: {text:?}"))
            };
            limits.push(ResourcesUlimits {
                name: Some(name.clone()),
                soft: Some(number(soft)?),
                hard: Some(number(hard)?),
            });
        }
        Ok((!limits.is_empty()).then_some(limits))
    }

    fn devices(&self) -> Option<Vec<DeviceMapping>> {
        let device = |d: &crate::model::driver_config::DeviceConfig| DeviceMapping {
            path_on_host: Some(d.host_path.clone()),
            path_in_container: Some(if d.container_path.is_empty() {
                d.host_path.clone()
            } else {
                d.container_path.clone()
            }),
            cgroup_permissions: Some(d.permissions.clone()),
        };
        let devices: Vec<DeviceMapping> = self.config.devices.iter().map(device).collect();
        (!devices.is_empty()).then_some(devices)
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_string())
}

fn list(items: &[String]) -> Option<Vec<String>> {
    (!items.is_empty()).then(|| items.to_vec())
}

fn map(items: &std::collections::BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!items.is_empty()).then(|| items.clone().into_iter().collect())
}

fn sorted<'a>(keys: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut keys: Vec<String> = keys.cloned().collect();
    keys.sort_unstable();
    keys
}

/// A capability in the engine's spelling.
fn cap(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_string()
}

/// The path with `.` and `..` resolved as text.
fn normal(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(clean.pop()),
            Component::CurDir => {}
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => clean.push(part),
        }
    }
    clean
}

/// The path with every link followed as far as it exists: a task could lay a link from its
/// directory to the host's files.
fn real(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    let mut at = path;
    loop {
        if let Ok(found) = std::fs::canonicalize(at) {
            return rest.iter().rev().fold(found, |p, part| p.join(part));
        }
        match (at.parent(), at.file_name()) {
            (Some(parent), Some(name)) => {
                rest.push(name.to_owned());
                at = parent;
            }
            _ => return path.to_path_buf(),
        }
    }
}

fn inside(root: &Path, path: &Path) -> bool {
    path.starts_with(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::driver::testing::{self, facts};
    use crate::model::driver_config::DriverConfig;

    fn build(
        json: &str,
        change: impl FnOnce(&mut TaskSpec, &mut DockerOptions),
    ) -> Result<ContainerCreateBody, String> {
        let config = testing::config("docker", json);
        let mut spec = testing::spec("/allocs/a1", config.clone());
        spec.alloc = crate::model::AllocId(uuid::Uuid::nil());
        let mut options = DockerOptions::default();
        change(&mut spec, &mut options);
        let DriverConfig::Docker(config) = config else {
            panic!("not docker");
        };
        Create {
            spec: &spec,
            config: &config,
            options: &options,
            node: &facts("/state"),
            cgroup_v1: true,
        }
        .body()
    }

    fn port(label: &str, host_port: u16, to: u16, legacy: bool) -> TaskPort {
        TaskPort {
            label: label.to_string(),
            host_ip: "127.0.0.1".to_string(),
            host_port,
            to,
            legacy,
        }
    }

    /// `inside -> host`, one for each published port.
    fn published(body: &ContainerCreateBody) -> Vec<String> {
        let host = body.host_config.as_ref().unwrap();
        let mut all: Vec<String> = host
            .port_bindings
            .iter()
            .flatten()
            .map(|(inside, to)| {
                let to = &to.as_ref().unwrap()[0];
                let (ip, port) = (to.host_ip.as_ref().unwrap(), to.host_port.as_ref().unwrap());
                format!("{inside} -> {ip}:{port}")
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn the_old_port_map_publishes_tcp_and_udp() {
        let json = r#"{"image": "redis:3.2", "port_map": [{"db": 6379}]}"#;
        let body = build(json, |s, _| s.ports = vec![port("db", 22000, 0, true)]).unwrap();
        assert_eq!(
            published(&body),
            ["6379/tcp -> 127.0.0.1:22000", "6379/udp -> 127.0.0.1:22000"]
        );
    }

    #[test]
    fn group_ports_are_published_by_label() {
        let ports = || vec![port("db", 22000, 6379, false), port("x", 23000, 0, false)];
        let json = r#"{"image": "i", "ports": ["db", "x"]}"#;
        let body = build(json, |s, _| s.ports = ports()).unwrap();
        assert_eq!(published(&body).len(), 4);
        assert!(published(&body).contains(&"23000/udp -> 127.0.0.1:23000".to_string()));
        let none = build(r#"{"image": "i"}"#, |s, _| s.ports = ports()).unwrap();
        assert!(published(&none).is_empty());
        for (json, why) in [
            (
                r#"{"image": "i", "ports": ["no"]}"#,
                "Port \"no\" not found, check network block",
            ),
            (
                r#"{"image": "i", "port_map": {"db": 1}}"#,
                "'port_map' cannot map group network ports, use 'ports' instead",
            ),
        ] {
            assert_eq!(build(json, |s, _| s.ports = ports()).unwrap_err(), why);
        }
    }

    #[test]
    fn limits_follow_the_resources() {
        let host = |json, change: fn(&mut TaskSpec)| {
            let body = build(json, |s, _| change(s)).unwrap();
            body.host_config.unwrap()
        };
        let plain = host(r#"{"image": "i"}"#, |_| {});
        assert_eq!(plain.memory, Some(64 * MB));
        assert_eq!(plain.memory_swap, plain.memory);
        assert_eq!(
            (plain.memory_reservation, plain.cpu_shares),
            (None, Some(100))
        );
        let larger = host(r#"{"image": "i", "cpu_hard_limit": true}"#, |s| {
            s.resources.memory_max_mb = 100;
        });
        assert_eq!(larger.memory, Some(100 * MB));
        assert_eq!(larger.memory_reservation, Some(64 * MB));
        assert_eq!(
            (larger.cpu_period, larger.cpu_quota),
            (Some(100_000), Some(5000))
        );
    }

    #[test]
    fn host_paths_need_permission() {
        let json = r#"{"image": "i", "volumes": ["local/x:/x:ro", "../other/y:/y"]}"#;
        let body = build(json, |_, _| {}).unwrap();
        let binds = body.host_config.unwrap().binds.unwrap();
        assert_eq!(
            binds,
            [
                "/allocs/a1/alloc:/alloc",
                "/allocs/a1/web/local:/local",
                "/allocs/a1/web/secrets:/secrets",
                "/allocs/a1/alloc/logs:/alloc/logs:ro",
                "/allocs/a1/web/local/x:/x:ro",
                "/allocs/a1/other/y:/y",
            ]
        );
        for volume in ["/etc:/e", "../../../etc:/e"] {
            let json = format!(r#"{{"image": "i", "volumes": ["{volume}"]}}"#);
            let error = build(&json, |_, _| {}).unwrap_err();
            assert!(error.starts_with("volumes are not enabled; cannot mount host path"));
            build(&json, |_, o| o.volumes_enabled = true).unwrap();
        }
    }

    #[test]
    fn a_link_out_of_the_directory_is_no_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a1");
        std::fs::create_dir_all(root.join("web/local")).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("web/local/x")).unwrap();
        let json = r#"{"image": "i", "volumes": ["local/x/y:/x"]}"#;
        let dirs = crate::client::driver::TaskDirs::under(root, "web");
        let error = build(json, |s, _| s.dirs = dirs).unwrap_err();
        assert!(error.starts_with("volumes are not enabled"), "{error}");
    }

    #[test]
    fn privileges_need_permission() {
        for (json, why) in [
            (
                r#"{"image": "i", "privileged": true}"#,
                "privileged mode is disabled",
            ),
            (
                r#"{"image": "i", "cap_add": ["cap_net_admin"]}"#,
                "capabilities: net_admin",
            ),
            (
                r#"{"image": "i", "runtime": "kata"}"#,
                "runtime \"kata\" is not allowed",
            ),
        ] {
            let error = build(json, |_, _| {}).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let body = build(r#"{"image": "i"}"#, |_, _| {}).unwrap();
        assert_eq!(body.host_config.unwrap().cap_drop.unwrap(), ["NET_RAW"]);
    }

    #[test]
    fn every_container_says_whose_it_is() {
        let labels = build(r#"{"image": "i", "labels": {"a": "1"}}"#, |_, _| {}).unwrap();
        let labels = labels.labels.unwrap();
        let label = |key: &str| labels[key].as_str();
        assert_eq!(label("a"), "1");
        assert_eq!(
            label("com.hashicorp.nomad.alloc_id"),
            "00000000-0000-0000-0000-000000000000"
        );
        assert_eq!(label("com.hashicorp.nomad.task_name"), "web");
        assert_eq!(label("tumen.node_id"), facts("/").id.to_string());
    }
}
