//! The driver's own settings: `plugin "docker" { config { … } }` in the agent's file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::{ConfigValue, duration};

/// Docker's default capabilities but for `net_raw`.
const CAPS: [&str; 13] = [
    "audit_write",
    "chown",
    "dac_override",
    "fowner",
    "fsetid",
    "kill",
    "mknod",
    "net_bind_service",
    "setfcap",
    "setgid",
    "setpcap",
    "setuid",
    "sys_chroot",
];

/// How the driver behaves on this node.
#[derive(Clone, Debug, PartialEq)]
pub struct DockerOptions {
    /// Empty: `DOCKER_HOST`, else the usual socket.
    pub endpoint: String,
    /// Docker's `config.json` with credentials; `None`: that of the agent's user.
    pub auth_config: Option<PathBuf>,
    /// `docker-credential-NAME` to ask last.
    pub auth_helper: String,
    pub gc_image: bool,
    pub gc_image_delay: Duration,
    pub gc_container: bool,
    pub volumes_enabled: bool,
    pub volumes_selinux_label: String,
    pub allow_privileged: bool,
    pub allow_caps: Vec<String>,
    pub allow_runtimes: Vec<String>,
    pub pids_limit: i64,
    pub pull_activity_timeout: Duration,
    pub disable_log_collection: bool,
    pub oom_score_adj: i64,
}

impl Default for DockerOptions {
    fn default() -> Self {
        Self {
            endpoint: std::env::var("DOCKER_HOST").unwrap_or_default(),
            auth_config: None,
            auth_helper: String::new(),
            gc_image: true,
            gc_image_delay: Duration::from_secs(180),
            gc_container: true,
            volumes_enabled: false,
            volumes_selinux_label: String::new(),
            allow_privileged: false,
            allow_caps: CAPS.map(str::to_string).to_vec(),
            allow_runtimes: vec!["runc".to_string(), "nvidia".to_string()],
            pids_limit: 0,
            pull_activity_timeout: Duration::from_secs(120),
            disable_log_collection: false,
            oom_score_adj: 0,
        }
    }
}

impl DockerOptions {
    /// Reads the settings, keyed by their path: `volumes.enabled`. Lists every mistake.
    pub fn from_settings(settings: &BTreeMap<String, ConfigValue>) -> Result<Self, Vec<String>> {
        let mut options = Self::default();
        let mut errors = Vec::new();
        for (key, value) in settings {
            if let Err(why) = options.set(key, value) {
                errors.push(format!("plugin \"docker\": {key}: {why}"));
            }
        }
        if errors.is_empty() {
            Ok(options)
        } else {
            Err(errors)
        }
    }

    fn set(&mut self, key: &str, value: &ConfigValue) -> Result<(), String> {
        match key {
            "endpoint" => self.endpoint = text(value)?,
            "auth.config" => self.auth_config = Some(PathBuf::from(text(value)?)),
            "auth.helper" => self.auth_helper = text(value)?,
            "gc.image" => self.gc_image = flag(value)?,
            "gc.image_delay" => self.gc_image_delay = time(value)?,
            "gc.container" => self.gc_container = flag(value)?,
            "volumes.enabled" => self.volumes_enabled = flag(value)?,
            "volumes.selinuxlabel" => self.volumes_selinux_label = text(value)?,
            "allow_privileged" => self.allow_privileged = flag(value)?,
            "allow_caps" => self.allow_caps = texts(value)?,
            "allow_runtimes" => self.allow_runtimes = texts(value)?,
            "pids_limit" => self.pids_limit = int(value)?,
            "oom_score_adj" => self.oom_score_adj = int(value)?,
            "pull_activity_timeout" => {
                self.pull_activity_timeout = time(value)?.max(Duration::from_secs(60));
            }
            "disable_log_collection" => self.disable_log_collection = flag(value)?,
            // Every label is always given, so nothing is left to choose.
            "extra_labels" => drop(texts(value)?),
            _ => return Err("is not supported".to_string()),
        }
        Ok(())
    }
}

fn text(value: &ConfigValue) -> Result<String, String> {
    match value {
        ConfigValue::String(text) => Ok(text.clone()),
        _ => Err("must be a string".to_string()),
    }
}

fn flag(value: &ConfigValue) -> Result<bool, String> {
    match value {
        ConfigValue::Bool(flag) => Ok(*flag),
        ConfigValue::String(text) if text == "true" => Ok(true),
        ConfigValue::String(text) if text == "false" => Ok(false),
        _ => Err("must be true or false".to_string()),
    }
}

fn int(value: &ConfigValue) -> Result<i64, String> {
    match value {
        ConfigValue::Int(number) => Ok(*number),
        _ => Err("must be a whole number".to_string()),
    }
}

fn time(value: &ConfigValue) -> Result<Duration, String> {
    let nanos = duration::parse(&text(value)?).map_err(|e| e.to_string())?;
    u64::try_from(nanos)
        .map(Duration::from_nanos)
        .map_err(|_| "must not be negative".to_string())
}

fn texts(value: &ConfigValue) -> Result<Vec<String>, String> {
    match value {
        ConfigValue::List(items) => items.iter().map(text).collect(),
        _ => Err("must be a list of strings".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_mistakes_listed() {
        let settings = BTreeMap::from([
            ("volumes.enabled".to_string(), ConfigValue::Bool(true)),
            (
                "gc.image_delay".to_string(),
                ConfigValue::String("1h".to_string()),
            ),
        ]);
        let options = DockerOptions::from_settings(&settings).unwrap();
        assert!(options.volumes_enabled);
        assert_eq!(options.gc_image_delay.as_secs(), 3600);

        let settings = BTreeMap::from([
            ("volumes.enabled".to_string(), ConfigValue::Int(3)),
            ("nope".to_string(), ConfigValue::Null),
        ]);
        assert_eq!(
            DockerOptions::from_settings(&settings).unwrap_err(),
            [
                "plugin \"docker\": nope: is not supported",
                "plugin \"docker\": volumes.enabled: must be true or false"
            ]
        );
    }
}
