//! The options of `docker`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fields::Fields;

/// How long a pull may take if the job does not say.
const PULL_TIMEOUT: Duration = Duration::from_secs(300);

/// Why these options of Nomad's driver are refused.
const REFUSED: [(&str, &str); 4] = [
    ("mac_address", "it is not supported yet"),
    ("isolation", "it exists on Windows only"),
    (
        "cpuset_cpus",
        "it has had no effect since Nomad 0.12; use resources.cores",
    ),
    ("advertise_ipv6_address", "it is not supported yet"),
];

/// One container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DockerConfig {
    pub image: String,
    pub command: String,
    pub args: Vec<String>,
    pub entrypoint: Option<Vec<String>>,
    /// Labels of the group's ports to publish.
    pub ports: Vec<String>,
    /// The old form: label to port inside.
    pub port_map: BTreeMap<String, u16>,
    pub network_mode: String,
    pub network_aliases: Vec<String>,
    pub ipv4_address: String,
    pub ipv6_address: String,
    /// `host:container[:mode]`; a relative host path starts at the task's directory.
    pub volumes: Vec<String>,
    pub volume_driver: String,
    pub mounts: Vec<MountConfig>,
    pub labels: BTreeMap<String, String>,
    pub logging: Option<LoggingConfig>,
    pub auth: Option<DockerAuth>,
    /// Whether to try without credentials when finding them fails.
    pub auth_soft_fail: bool,
    pub force_pull: bool,
    pub pull_timeout: Duration,
    /// An image archive in the task's directory to load instead of pulling.
    pub load: String,
    pub work_dir: String,
    pub hostname: String,
    pub extra_hosts: Vec<String>,
    pub dns_servers: Vec<String>,
    pub dns_search_domains: Vec<String>,
    pub dns_options: Vec<String>,
    pub privileged: bool,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub cpu_hard_limit: bool,
    /// Microseconds.
    pub cpu_cfs_period: i64,
    /// MB; 0: none beyond the resources.
    pub memory_hard_limit: i64,
    pub pids_limit: Option<i64>,
    /// Name to `soft[:hard]`.
    pub ulimit: BTreeMap<String, String>,
    pub sysctl: BTreeMap<String, String>,
    pub shm_size: Option<i64>,
    pub storage_opt: BTreeMap<String, String>,
    pub tty: bool,
    pub interactive: bool,
    pub init: bool,
    pub readonly_rootfs: bool,
    pub security_opt: Vec<String>,
    pub healthchecks_disabled: bool,
    pub userns_mode: String,
    pub pid_mode: String,
    pub ipc_mode: String,
    pub uts_mode: String,
    pub cgroupns: String,
    pub devices: Vec<DeviceConfig>,
    pub group_add: Vec<String>,
    pub runtime: String,
    pub oom_score_adj: Option<i64>,
    /// How often a start makes room for its name; 0: the driver's default.
    pub container_exists_attempts: u32,
}

/// Where the engine keeps the output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoggingConfig {
    pub driver: String,
    pub config: BTreeMap<String, String>,
}

/// Credentials for a registry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DockerAuth {
    pub username: String,
    pub password: String,
    pub server_address: String,
}

/// Something mounted into the container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MountConfig {
    pub kind: MountKind,
    pub target: String,
    pub source: String,
    pub readonly: bool,
    pub bind: BindOptions,
    pub tmpfs: TmpfsOptions,
    pub volume: VolumeOptions,
}

/// What is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MountKind {
    Bind,
    #[default]
    Volume,
    Tmpfs,
}

/// Options of a bind mount.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BindOptions {
    pub propagation: String,
}

/// Options of a mount in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TmpfsOptions {
    /// Bytes; 0: no limit.
    pub size: i64,
    /// Permission bits; 0: the engine's default.
    pub mode: i64,
}

/// Options of a volume.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VolumeOptions {
    pub no_copy: bool,
    pub labels: BTreeMap<String, String>,
    pub driver: String,
    pub driver_options: BTreeMap<String, String>,
}

/// A device of the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceConfig {
    pub host_path: String,
    /// Empty: the same path.
    pub container_path: String,
    pub permissions: String,
}

impl DockerConfig {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        let mut config = Self {
            image: fields.required("image"),
            command: fields.text("command"),
            args: fields.list("args").unwrap_or_default(),
            entrypoint: fields.list_or_one("entrypoint"),
            work_dir: fields.text("work_dir"),
            hostname: fields.text("hostname"),
            tty: fields.flag("tty"),
            interactive: fields.flag("interactive"),
            init: fields.flag("init"),
            labels: fields.map("labels"),
            runtime: fields.text("runtime"),
            ..Self::default()
        };
        config.read_image(fields);
        config.read_network(fields);
        config.read_storage(fields);
        config.read_limits(fields);
        config.read_security(fields);
        fields.refuse(&REFUSED);
        config
    }

    fn read_image(&mut self, fields: &mut Fields<'_>) {
        self.auth = fields.block("auth", DockerAuth::read);
        self.auth_soft_fail = fields.flag("auth_soft_fail");
        self.force_pull = fields.flag("force_pull");
        self.pull_timeout = fields
            .duration("image_pull_timeout")
            .filter(|timeout| !timeout.is_zero())
            .unwrap_or(PULL_TIMEOUT);
        self.load = fields.text("load");
        let attempts = fields.int("container_exists_attempts").unwrap_or(0);
        self.container_exists_attempts = u32::try_from(attempts).unwrap_or(0);
    }

    fn read_network(&mut self, fields: &mut Fields<'_>) {
        self.ports = fields.list("ports").unwrap_or_default();
        self.port_map = fields.ports("port_map");
        self.network_mode = fields.text("network_mode");
        self.network_aliases = fields.list("network_aliases").unwrap_or_default();
        self.ipv4_address = fields.text("ipv4_address");
        self.ipv6_address = fields.text("ipv6_address");
        self.extra_hosts = fields.list("extra_hosts").unwrap_or_default();
        self.dns_servers = fields.list("dns_servers").unwrap_or_default();
        self.dns_search_domains = fields.list("dns_search_domains").unwrap_or_default();
        self.dns_options = fields.list("dns_options").unwrap_or_default();
    }

    fn read_storage(&mut self, fields: &mut Fields<'_>) {
        self.volumes = fields.list("volumes").unwrap_or_default();
        self.volume_driver = fields.text("volume_driver");
        self.mounts = fields.blocks("mount", MountConfig::read);
        self.mounts
            .extend(fields.blocks("mounts", MountConfig::read));
        self.logging = fields.block("logging", LoggingConfig::read);
        self.readonly_rootfs = fields.flag("readonly_rootfs");
        self.shm_size = fields.int("shm_size");
        self.storage_opt = fields.map("storage_opt");
        self.devices = fields.blocks("devices", DeviceConfig::read);
    }

    fn read_limits(&mut self, fields: &mut Fields<'_>) {
        self.cpu_hard_limit = fields.flag("cpu_hard_limit");
        self.cpu_cfs_period = fields.int("cpu_cfs_period").unwrap_or(0);
        self.memory_hard_limit = fields.int("memory_hard_limit").unwrap_or(0);
        self.pids_limit = fields.int("pids_limit");
        self.ulimit = fields.map("ulimit");
        self.sysctl = fields.map("sysctl");
        self.oom_score_adj = fields.int("oom_score_adj");
        if !(0..=1_000_000).contains(&self.cpu_cfs_period) {
            fields.error("\"cpu_cfs_period\" must be between 0 and 1000000 microseconds");
        }
    }

    fn read_security(&mut self, fields: &mut Fields<'_>) {
        self.privileged = fields.flag("privileged");
        self.cap_add = fields.list("cap_add").unwrap_or_default();
        self.cap_drop = fields.list("cap_drop").unwrap_or_default();
        self.security_opt = fields.list("security_opt").unwrap_or_default();
        self.userns_mode = fields.text("userns_mode");
        self.pid_mode = fields.text("pid_mode");
        self.ipc_mode = fields.text("ipc_mode");
        self.uts_mode = fields.text("uts_mode");
        self.cgroupns = fields.text("cgroupns");
        self.group_add = fields.list("group_add").unwrap_or_default();
        self.healthchecks_disabled = fields
            .block("healthchecks", |inner| inner.flag("disable"))
            .unwrap_or(false);
    }
}

impl DockerAuth {
    fn read(fields: &mut Fields<'_>) -> Self {
        // Registries ignore it for ten years; accepted so that old job files run.
        let _email = fields.text("email");
        Self {
            username: fields.text("username"),
            password: fields.text("password"),
            server_address: fields.text("server_address"),
        }
    }
}

impl LoggingConfig {
    fn read(fields: &mut Fields<'_>) -> Self {
        let (by_type, by_driver) = (fields.text("type"), fields.text("driver"));
        Self {
            driver: if by_driver.is_empty() {
                by_type
            } else {
                by_driver
            },
            config: fields.map("config"),
        }
    }
}

impl MountConfig {
    fn read(fields: &mut Fields<'_>) -> Self {
        let kind = match fields.text("type").as_str() {
            "bind" => MountKind::Bind,
            "" | "volume" => MountKind::Volume,
            "tmpfs" => MountKind::Tmpfs,
            other => {
                let name = fields.name("type");
                fields.error(format!(
                    "\"{name}\" must be bind, volume or tmpfs, not {other:?}"
                ));
                MountKind::default()
            }
        };
        Self {
            kind,
            target: fields.required("target"),
            source: fields.text("source"),
            readonly: fields.flag("readonly"),
            bind: fields
                .block("bind_options", |inner| BindOptions {
                    propagation: inner.text("propagation"),
                })
                .unwrap_or_default(),
            tmpfs: fields
                .block("tmpfs_options", |inner| TmpfsOptions {
                    size: inner.int("size").unwrap_or(0),
                    mode: inner.int("mode").unwrap_or(0),
                })
                .unwrap_or_default(),
            volume: fields
                .block("volume_options", VolumeOptions::read)
                .unwrap_or_default(),
        }
    }
}

impl VolumeOptions {
    fn read(fields: &mut Fields<'_>) -> Self {
        let driver = fields.block("driver_config", |inner| {
            (inner.text("name"), inner.map("options"))
        });
        let (driver, driver_options) = driver.unwrap_or_default();
        Self {
            no_copy: fields.flag("no_copy"),
            labels: fields.map("labels"),
            driver,
            driver_options,
        }
    }
}

impl DeviceConfig {
    fn read(fields: &mut Fields<'_>) -> Self {
        let permissions = fields.text("cgroup_permissions");
        Self {
            host_path: fields.required("host_path"),
            container_path: fields.text("container_path"),
            permissions: if permissions.is_empty() {
                "rwm".to_string()
            } else {
                permissions
            },
        }
    }
}
