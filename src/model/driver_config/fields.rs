//! Takes typed fields out of a free-form map and remembers what is wrong with it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::duration;
use crate::model::value::ConfigValue;

/// One map that is being read.
pub(super) struct Fields<'a> {
    entries: &'a [(String, ConfigValue)],
    /// Names the map in messages: empty, or `mount[1].`.
    path: String,
    /// Whether a text with a reference in it passes for any single value.
    loose: bool,
    known: Vec<&'static str>,
    errors: &'a mut Vec<String>,
}

/// A port number, also as text.
pub(super) fn port(value: &ConfigValue) -> Option<u16> {
    match value {
        ConfigValue::Int(n) => u16::try_from(*n).ok(),
        ConfigValue::String(text) => text.parse().ok(),
        _ => None,
    }
}

impl<'a> Fields<'a> {
    /// Reads `value`, a map or the one-element list that a block arrives as.
    pub(super) fn of(
        value: &'a ConfigValue,
        path: String,
        loose: bool,
        errors: &'a mut Vec<String>,
    ) -> Option<Self> {
        let map = match value {
            ConfigValue::List(items) if items.len() == 1 => &items[0],
            other => other,
        };
        match map {
            ConfigValue::Map(entries) => Some(Self {
                entries,
                path,
                loose,
                known: Vec::new(),
                errors,
            }),
            other => {
                let name = path.trim_end_matches('.');
                errors.push(format!(
                    "{} must be a block or a map, not {}",
                    if name.is_empty() { "config" } else { name },
                    kind(other)
                ));
                None
            }
        }
    }

    fn take(&mut self, key: &'static str) -> Option<&'a ConfigValue> {
        self.known.push(key);
        let found = self.entries.iter().find(|(k, _)| k == key);
        found
            .map(|(_, v)| v)
            .filter(|v| !matches!(v, ConfigValue::Null))
    }

    fn wrong(&mut self, key: &str, wanted: &str, value: &ConfigValue) {
        if !(self.loose && is_reference(value)) {
            let path = &self.path;
            self.errors.push(format!(
                "Incorrect type of \"{path}{key}\": {wanted} is needed, not {}",
                kind(value)
            ));
        }
    }

    /// Adds a mistake about this map.
    pub(super) fn error(&mut self, message: impl Into<String>) {
        self.errors.push(message.into());
    }

    /// The name of `key` as messages show it.
    pub(super) fn name(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    /// Text; empty if unset. Numbers and truth values are taken as they are written.
    pub(super) fn text(&mut self, key: &'static str) -> String {
        let Some(value) = self.take(key) else {
            return String::new();
        };
        text_of(value).unwrap_or_else(|| {
            self.wrong(key, "a string", value);
            String::new()
        })
    }

    /// Text that must be there.
    pub(super) fn required(&mut self, key: &'static str) -> String {
        let text = self.text(key);
        let wrong_type = self.errors.last().is_some_and(|e| e.contains(key));
        if text.is_empty() && !wrong_type {
            let name = self.name(key);
            self.error(format!(
                "Missing required argument: \"{name}\" is needed here"
            ));
        }
        text
    }

    /// A list of texts, or `None`.
    pub(super) fn list(&mut self, key: &'static str) -> Option<Vec<String>> {
        let value = self.take(key)?;
        let ConfigValue::List(items) = value else {
            self.wrong(key, "a list of strings", value);
            return None;
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match text_of(item) {
                Some(text) => texts.push(text),
                None => self.wrong(key, "a list of strings", item),
            }
        }
        Some(texts)
    }

    /// A list of texts; one text stands for a list of one.
    pub(super) fn list_or_one(&mut self, key: &'static str) -> Option<Vec<String>> {
        match self.take(key)? {
            ConfigValue::String(one) => Some(vec![one.clone()]),
            _ => self.list(key),
        }
    }

    /// A truth value, also as text; false if unset.
    pub(super) fn flag(&mut self, key: &'static str) -> bool {
        match self.take(key) {
            None => false,
            Some(ConfigValue::Bool(flag)) => *flag,
            Some(ConfigValue::String(text)) if text == "true" || text == "1" => true,
            Some(ConfigValue::String(text)) if text == "false" || text == "0" => false,
            Some(other) => {
                self.wrong(key, "true or false", other);
                false
            }
        }
    }

    /// A whole number, also as text.
    pub(super) fn int(&mut self, key: &'static str) -> Option<i64> {
        let value = self.take(key)?;
        let number = match value {
            ConfigValue::Int(n) => Some(*n),
            ConfigValue::Float(f) if f.fract() == 0.0 && f.abs() < 9e15 => Some(*f as i64),
            ConfigValue::String(text) => text.parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.wrong(key, "a whole number", value);
        }
        number
    }

    /// A duration: text with units, or a number of nanoseconds.
    pub(super) fn duration(&mut self, key: &'static str) -> Option<Duration> {
        let value = self.take(key)?;
        let nanos = match value {
            ConfigValue::Int(n) => Some(*n),
            ConfigValue::String(text) => duration::parse(text).ok(),
            _ => None,
        };
        match nanos.map(u64::try_from) {
            Some(Ok(nanos)) => Some(Duration::from_nanos(nanos)),
            Some(Err(_)) | None => {
                self.wrong(key, "a duration such as \"30s\"", value);
                None
            }
        }
    }

    /// A map of texts, written as a map or as one or several blocks.
    pub(super) fn map(&mut self, key: &'static str) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        for (name, value) in self.pairs(key) {
            match text_of(value) {
                Some(text) => drop(texts.insert(name.clone(), text)),
                None => self.wrong(&format!("{key}.{name}"), "a string", value),
            }
        }
        texts
    }

    /// A map of port numbers.
    pub(super) fn ports(&mut self, key: &'static str) -> BTreeMap<String, u16> {
        let mut ports = BTreeMap::new();
        for (name, value) in self.pairs(key) {
            match port(value) {
                Some(number) => drop(ports.insert(name.clone(), number)),
                None => self.wrong(&format!("{key}.{name}"), "a port number", value),
            }
        }
        ports
    }

    fn pairs(&mut self, key: &'static str) -> Vec<&'a (String, ConfigValue)> {
        let mut pairs = Vec::new();
        let maps = match self.take(key) {
            None => return pairs,
            Some(ConfigValue::List(maps)) => maps.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        for map in maps {
            match map {
                ConfigValue::Map(entries) => pairs.extend(entries),
                other => self.wrong(key, "a block or a map", other),
            }
        }
        pairs
    }

    /// Reads every block or map under `key` with `read`; refuses what `read` does not take.
    pub(super) fn blocks<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Fields<'_>) -> T,
    ) -> Vec<T> {
        let blocks = match self.take(key) {
            None => return Vec::new(),
            Some(ConfigValue::List(items)) => items.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        let mut all = Vec::with_capacity(blocks.len());
        for (i, block) in blocks.iter().enumerate() {
            let path = if blocks.len() == 1 {
                format!("{}{key}.", self.path)
            } else {
                format!("{}{key}[{i}].", self.path)
            };
            if let Some(mut inner) = Fields::of(block, path, self.loose, self.errors) {
                all.push(read(&mut inner));
                inner.finish();
            }
        }
        all
    }

    /// Like [`Fields::blocks`] for at most one.
    pub(super) fn block<T>(
        &mut self,
        key: &'static str,
        read: impl FnMut(&mut Fields<'_>) -> T,
    ) -> Option<T> {
        let mut all = self.blocks(key, read);
        if all.len() > 1 {
            let name = self.name(key);
            self.error(format!("There may be only one \"{name}\" block"));
        }
        all.pop()
    }

    /// Refuses options that exist elsewhere but not here, each with its reason.
    pub(super) fn refuse(&mut self, refused: &[(&'static str, &str)]) {
        for (key, why) in refused {
            if self.take(key).is_some() {
                let name = self.name(key);
                self.error(format!("Option \"{name}\" is refused: {why}"));
            }
        }
    }

    /// Names every key that nobody asked for, with the nearest one that there is.
    pub(super) fn finish(&mut self) {
        for (key, _) in self.entries {
            if self.known.contains(&key.as_str()) {
                continue;
            }
            let near = self
                .known
                .iter()
                .map(|known| (strsim::damerau_levenshtein(key, known), known))
                .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
                .min();
            let hint = near.map_or(String::new(), |(_, known)| {
                format!(" Did you mean \"{}{known}\"?", self.path)
            });
            self.errors.push(format!(
                "No argument or block type is named \"{}{key}\".{hint}",
                self.path
            ));
        }
    }
}

fn text_of(value: &ConfigValue) -> Option<String> {
    match value {
        ConfigValue::String(text) => Some(text.clone()),
        ConfigValue::Bool(flag) => Some(flag.to_string()),
        ConfigValue::Int(number) => Some(number.to_string()),
        ConfigValue::Float(number) => Some(number.to_string()),
        ConfigValue::Null | ConfigValue::List(_) | ConfigValue::Map(_) => None,
    }
}

fn is_reference(value: &ConfigValue) -> bool {
    matches!(value, ConfigValue::String(text) if text.contains("${"))
}

fn kind(value: &ConfigValue) -> String {
    match value {
        ConfigValue::Null => "nothing".to_string(),
        ConfigValue::Bool(flag) => flag.to_string(),
        ConfigValue::Int(number) => number.to_string(),
        ConfigValue::Float(number) => number.to_string(),
        ConfigValue::String(text) => format!("{text:?}"),
        ConfigValue::List(_) => "a list".to_string(),
        ConfigValue::Map(_) => "a map".to_string(),
    }
}
