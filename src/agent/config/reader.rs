//! Typed values out of settings; every mistake is collected, none ends the reading.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::settings::Settings;
use super::{Machine, template};
use crate::model::{ConfigValue, duration};

/// Reads typed values and collects every mistake on the way.
pub(super) struct Reader<'a> {
    pub(super) settings: &'a Settings,
    pub(super) mistakes: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn wrong(&mut self, key: &str, wanted: &str) {
        if let Some(setting) = self.settings.get(key) {
            self.mistakes
                .push(format!("{}: {key} must be {wanted}", setting.at));
        }
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
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

    pub(super) fn texts(&mut self, prefix: &str) -> BTreeMap<String, String> {
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

    pub(super) fn bool(&mut self, key: &str, default: bool) -> bool {
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

    pub(super) fn path(&mut self, key: &str, shown: &str) -> Option<PathBuf> {
        let text = self.text(key)?;
        if !Path::new(&text).is_absolute() {
            self.mistakes.push(format!(
                "{shown} must be given as an absolute path: got {text}"
            ));
        }
        Some(PathBuf::from(text))
    }

    /// A number that fits the type wanted.
    pub(super) fn int<T: TryFrom<i64>>(&mut self, key: &str, default: T) -> T {
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

    pub(super) fn duration(&mut self, key: &str, default: Duration) -> Duration {
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

    pub(super) fn ip(&mut self, key: &str, machine: &Machine) -> Option<IpAddr> {
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

    /// A list of texts; a single text is a list of one.
    pub(super) fn list(&mut self, key: &str) -> Vec<String> {
        let items = match self.settings.get(key).map(|s| &s.value) {
            None | Some(ConfigValue::Null) => return Vec::new(),
            Some(ConfigValue::List(items)) => items.clone(),
            Some(one) => vec![one.clone()],
        };
        let mut texts = Vec::new();
        for item in items {
            match item {
                ConfigValue::String(text) if !text.trim().is_empty() => texts.push(text),
                _ => self.wrong(key, "a list of texts"),
            }
        }
        texts
    }

    /// Whether `key` was set at all.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.settings
            .get(key)
            .is_some_and(|s| s.value != ConfigValue::Null)
    }

    /// `22,80,8500-8600`
    pub(super) fn ports(&mut self, key: &str) -> Vec<u16> {
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
