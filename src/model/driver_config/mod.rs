//! The options of each driver, typed.
//!
//! A job's author writes them free-form in a task's `config`; [`DriverConfig::decode`] gives
//! them types, and names every mistake at once. Pure, so that the server refuses at
//! registration what the client could not run.

mod docker;
mod fields;
mod mock;
mod raw_exec;

use std::collections::BTreeMap;

use super::value::ConfigValue;
use fields::Fields;

pub use docker::{
    BindOptions, DeviceConfig, DockerAuth, DockerConfig, LoggingConfig, MountConfig, MountKind,
    TmpfsOptions, VolumeOptions,
};
pub use mock::MockConfig;
pub use raw_exec::RawExecConfig;

/// The names of the drivers that there are.
pub const DRIVERS: [&str; 3] = ["docker", "mock_driver", "raw_exec"];

/// A task's driver options.
#[derive(Clone, Debug, PartialEq)]
pub enum DriverConfig {
    Docker(Box<DockerConfig>),
    RawExec(RawExecConfig),
    Mock(Box<MockConfig>),
}

impl DriverConfig {
    /// Types the options of `driver`, or lists all mistakes. Every `${…}` must be resolved.
    pub fn decode(driver: &str, value: &ConfigValue) -> Result<Self, Vec<String>> {
        decode(driver, value, false)
    }

    /// Lists the mistakes that can be seen before `${…}` is resolved: a text with a reference
    /// in it is taken for any single value.
    pub fn check(driver: &str, value: &ConfigValue) -> Result<(), Vec<String>> {
        decode(driver, value, true).map(|_| ())
    }

    /// Ports inside that the options themselves name, by label: the old `port_map`. What does
    /// not read as such is left out here and named by [`DriverConfig::decode`].
    pub fn inner_ports(driver: &str, value: &ConfigValue) -> BTreeMap<String, u16> {
        let maps = match (driver, value.get("port_map")) {
            ("docker", Some(ConfigValue::List(maps))) => maps.as_slice(),
            ("docker", Some(map)) => std::slice::from_ref(map),
            _ => &[],
        };
        let entries = maps.iter().flat_map(|map| match map {
            ConfigValue::Map(entries) => entries.as_slice(),
            _ => &[],
        });
        entries
            .filter_map(|(label, port)| Some((label.clone(), fields::port(port)?)))
            .collect()
    }
}

fn decode(driver: &str, value: &ConfigValue, loose: bool) -> Result<DriverConfig, Vec<String>> {
    let mut errors = Vec::new();
    let empty = ConfigValue::Map(Vec::new());
    let value = match value {
        ConfigValue::Null => &empty,
        other => other,
    };
    let Some(mut fields) = Fields::of(value, String::new(), loose, &mut errors) else {
        return Err(errors);
    };
    let config = match driver {
        "docker" => DriverConfig::Docker(Box::new(DockerConfig::read(&mut fields))),
        "raw_exec" => DriverConfig::RawExec(RawExecConfig::read(&mut fields)),
        "mock_driver" => DriverConfig::Mock(Box::new(MockConfig::read(&mut fields))),
        other => return Err(vec![unknown_driver(other)]),
    };
    fields.finish();
    if errors.is_empty() {
        Ok(config)
    } else {
        Err(errors)
    }
}

fn unknown_driver(name: &str) -> String {
    match name {
        "exec" | "java" | "qemu" | "podman" => format!(
            "driver {name:?} is not supported yet; there are {}",
            DRIVERS.join(", ")
        ),
        _ => format!(
            "there is no driver {name:?}; there are {}",
            DRIVERS.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> ConfigValue {
        let mut from = serde_json::Deserializer::from_str(json);
        crate::model::value::natural::deserialize(&mut from).unwrap()
    }

    fn docker(json: &str) -> DockerConfig {
        match DriverConfig::decode("docker", &value(json)) {
            Ok(DriverConfig::Docker(config)) => *config,
            other => panic!("{other:?}"),
        }
    }

    fn mistakes(driver: &str, json: &str) -> Vec<String> {
        DriverConfig::decode(driver, &value(json)).unwrap_err()
    }

    /// The shapes in which a job file's blocks arrive.
    #[test]
    fn blocks_and_maps_read_alike() {
        let block = docker(
            r#"{"image": "redis:7", "labels": [{"a": "1"}], "port_map": [{"db": 6379}],
                "ulimit": [{"nofile": "1024:2048"}],
                "logging": [{"type": "json-file", "config": [{"max-size": "1m"}]}]}"#,
        );
        let map = docker(
            r#"{"image": "redis:7", "labels": {"a": "1"}, "port_map": {"db": 6379},
                "ulimit": {"nofile": "1024:2048"},
                "logging": {"driver": "json-file", "config": {"max-size": "1m"}}}"#,
        );
        assert_eq!(block, map);
        assert_eq!(block.port_map["db"], 6379);
        assert_eq!(block.logging.unwrap().config["max-size"], "1m");
    }

    #[test]
    fn a_whole_docker_config() {
        let config = docker(
            r#"{"image": "redis:7", "command": "sh", "args": ["-c", "x"], "ports": ["http"],
                "entrypoint": "/bin/sh", "volumes": ["local/x:/x:ro"], "privileged": "false",
                "shm_size": 16000000, "image_pull_timeout": "10m", "cap_add": ["net_admin"],
                "auth": [{"username": "u", "password": "p", "server_address": "r.test"}],
                "mount": [{"type": "bind", "source": "local", "target": "/mnt", "readonly": true,
                           "bind_options": [{"propagation": "rshared"}]},
                          {"type": "tmpfs", "target": "/t", "tmpfs_options": [{"size": 1000}]}],
                "mounts": [{"type": "volume", "target": "/v", "source": "vol"}],
                "sysctl": [{"net.core.somaxconn": "16384"}],
                "devices": [{"host_path": "/dev/null", "container_path": "/dev/n"}],
                "healthchecks": [{"disable": true}], "init": true}"#,
        );
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh"]);
        assert_eq!(config.mounts.len(), 3);
        assert_eq!(config.mounts[0].bind.propagation, "rshared");
        assert_eq!(config.mounts[1].tmpfs.size, 1000);
        assert_eq!(config.devices[0].permissions, "rwm");
        assert_eq!(config.pull_timeout.as_secs(), 600);
        assert!(config.healthchecks_disabled && config.init && !config.privileged);
        assert_eq!(config.sysctl["net.core.somaxconn"], "16384");
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        insta::assert_snapshot!(
            mistakes(
                "docker",
                r#"{"imagee": "redis:7", "args": "x y", "tty": "maybe", "isolation": "hyperv",
                    "mount": [{"type": "nfs", "targett": "/x"}], "shm_size": 1.5,
                    "port_map": {"db": 70000}, "advertise_ipv6_address": true}"#
            )
            .join("\n"),
            @r#"
            Missing required argument: "image" is needed here
            Incorrect type of "args": a list of strings is needed, not "x y"
            Incorrect type of "tty": true or false is needed, not "maybe"
            Incorrect type of "port_map.db": a port number is needed, not 70000
            "mount.type" must be bind, volume or tmpfs, not "nfs"
            Missing required argument: "mount.target" is needed here
            No argument or block type is named "mount.targett". Did you mean "mount.target"?
            Incorrect type of "shm_size": a whole number is needed, not 1.5
            Option "isolation" is refused: it exists on Windows only
            Option "advertise_ipv6_address" is refused: it is not supported yet
            No argument or block type is named "imagee". Did you mean "image"?
            "#
        );
    }

    #[test]
    fn references_pass_the_check_but_not_the_decoding() {
        let config = value(r#"{"image": "${meta.image}", "tty": "${meta.tty}"}"#);
        DriverConfig::check("docker", &config).unwrap();
        DriverConfig::decode("docker", &config).unwrap_err();
    }

    #[test]
    fn the_other_drivers() {
        let config = value(r#"{"command": "/bin/date", "args": ["-u"]}"#);
        let Ok(DriverConfig::RawExec(raw)) = DriverConfig::decode("raw_exec", &config) else {
            panic!("not decoded");
        };
        assert_eq!((raw.command.as_str(), raw.args.len()), ("/bin/date", 1));
        let config = value(r#"{"run_for": "10s", "exit_code": 3, "start_error": "no"}"#);
        let Ok(DriverConfig::Mock(mock)) = DriverConfig::decode("mock_driver", &config) else {
            panic!("not decoded");
        };
        assert_eq!((mock.run_for.unwrap().as_secs(), mock.exit_code), (10, 3));
        assert_eq!(
            mistakes("raw_exec", r#"{"comand": "x"}"#),
            [
                "Missing required argument: \"command\" is needed here",
                "No argument or block type is named \"comand\". Did you mean \"command\"?"
            ]
        );
        assert_eq!(
            mistakes("dokcer", "{}"),
            ["there is no driver \"dokcer\"; there are docker, mock_driver, raw_exec"]
        );
    }

    #[test]
    fn inner_ports_are_those_of_port_map() {
        let config = value(r#"{"port_map": [{"db": 6379, "bad": "x", "text": "80"}]}"#);
        let ports = DriverConfig::inner_ports("docker", &config);
        assert_eq!(
            ports.into_iter().collect::<Vec<_>>(),
            [("db".to_string(), 6379), ("text".to_string(), 80)]
        );
    }
}
