//! Configuration files as a flat list of settings, each with the place that it was written at.
//!
//! HCL and JSON, whatever the file's name ends in; a directory gives its `*.hcl` and `*.json`
//! files in lexical order. Later settings replace earlier ones, lists are extended.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use hcl_edit::Span;
use hcl_edit::expr::{Expression, ObjectKey, TraversalOperator};
use hcl_edit::structure::{Body, Structure};

use crate::model::ConfigValue;

/// A key's full name: `server.enabled`, `plugin.docker.config.gc.image`.
pub type Key = String;

/// One value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    pub value: ConfigValue,
    pub at: Place,
}

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    File { path: PathBuf, line: usize },
    Flag(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Flag(name) => write!(f, "flag -{name}"),
        }
    }
}

/// Everything that was set, by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    map: BTreeMap<Key, Setting>,
}

impl Settings {
    /// Sets `key`; a list adds to the one that is there.
    pub fn set(&mut self, key: impl Into<Key>, value: ConfigValue, at: Place) {
        let key = key.into();
        match (self.map.get_mut(&key), value) {
            (
                Some(Setting {
                    value: ConfigValue::List(old),
                    at: place,
                }),
                ConfigValue::List(new),
            ) => {
                old.extend(new);
                *place = at;
            }
            (_, value) => {
                self.map.insert(key, Setting { value, at });
            }
        }
    }

    /// The setting of `key`.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.map.get(key)
    }

    /// Takes the setting of one key over, or removes it.
    pub fn replace(&mut self, key: &str, setting: Option<Setting>) {
        match setting {
            Some(setting) => drop(self.map.insert(key.to_string(), setting)),
            None => drop(self.map.remove(key)),
        }
    }

    /// The keys that have another value in `other`, wherever it was written.
    pub fn differences(&self, other: &Self) -> Vec<Key> {
        let keys: std::collections::BTreeSet<_> = self.map.keys().chain(other.map.keys()).collect();
        let value = |of: &Self, key: &str| of.get(key).map(|s| s.value.clone());
        keys.into_iter()
            .filter(|key| value(self, key) != value(other, key))
            .cloned()
            .collect()
    }

    /// Every setting, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Setting)> {
        self.map.iter()
    }

    /// Every setting below `prefix.`, with the rest of its key.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Setting)> {
        self.map.iter().filter_map(move |(key, setting)| {
            Some((key.strip_prefix(prefix)?.strip_prefix('.')?, setting))
        })
    }
}

/// Why a file could not be read. The text names the file and, where known, line and column.
#[derive(Debug, thiserror::Error)]
#[error("Error loading configuration from {}: {reason}", .path.display())]
pub struct LoadError {
    pub path: PathBuf,
    pub reason: String,
}

/// Reads a file or directory into `settings`; returns the files read.
pub fn load(path: &Path, settings: &mut Settings) -> Result<Vec<PathBuf>, LoadError> {
    let fail = |reason: String| LoadError {
        path: path.to_owned(),
        reason,
    };
    let missing = |e: std::io::Error| fail(format!("stat {}: {}", path.display(), plain(&e)));
    let files = if std::fs::metadata(path).map_err(missing)?.is_dir() {
        directory(path).map_err(|e| fail(e.to_string()))?
    } else {
        vec![path.to_owned()]
    };
    for file in &files {
        let text = std::fs::read_to_string(file)
            .map_err(|e| fail(format!("open {}: {}", file.display(), plain(&e))))?;
        parse(file, &text, settings)
            .map_err(|e| fail(format!("Error loading {}: {e}", file.display())))?;
    }
    Ok(files)
}

/// An I/O error without the number of the system call's error.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| {
        c.to_lowercase().collect::<String>() + chars.as_str()
    })
}

/// The configuration files of a directory, leaving out what editors leave behind.
fn directory(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let file = entry?.path();
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let temporary = name.ends_with('~') || name.starts_with(".#") || name.starts_with('#');
        if !temporary && (name.ends_with(".hcl") || name.ends_with(".json")) && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads one file's text.
pub fn parse(path: &Path, text: &str, settings: &mut Settings) -> Result<(), String> {
    if text.trim_start().starts_with('{') {
        let json: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let at = Place::File {
            path: path.to_owned(),
            line: 0,
        };
        flatten_json("", &json, &at, settings);
        return Ok(());
    }
    let text = unquote_keys(text);
    let body: Body = text.parse().map_err(|e: hcl_edit::parser::Error| {
        let at = e.location();
        format!("{}:{}: {}", at.line(), at.column(), e.message())
    })?;
    let file = File { path, text: &text };
    file.flatten_body("", &body, settings)
}

/// HCL1 allowed `"key" = value` inside blocks; such a block is read as a map.
fn unquote_keys(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    let mut open: Vec<usize> = Vec::new();
    for at in 0..lines.len() {
        let line = lines[at].trim().to_string();
        let quoted_key = line.starts_with('"')
            && line[1..]
                .split_once('"')
                .is_some_and(|(_, rest)| rest.trim_start().starts_with('='));
        if let (true, Some(opener)) = (quoted_key, open.last()) {
            let head = lines[*opener].trim_end().to_string();
            let name = head
                .strip_suffix('{')
                .unwrap_or(&head)
                .trim_end()
                .to_string();
            let bare = name
                .trim()
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_');
            if bare && head.ends_with('{') {
                lines[*opener] = format!("{name} = {{");
            }
        }
        let code = line.split('#').next().unwrap_or_default();
        for c in code.chars() {
            match c {
                '{' => open.push(at),
                '}' => drop(open.pop()),
                _ => {}
            }
        }
    }
    lines.join("\n") + "\n"
}

fn join(prefix: &str, name: &str) -> Key {
    if prefix.is_empty() {
        name.to_string()
    } else {
        format!("{prefix}.{name}")
    }
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn place(&self, span: Option<std::ops::Range<usize>>) -> Place {
        let line = span.map_or(0, |s| self.text[..s.start].matches('\n').count() + 1);
        Place::File {
            path: self.path.to_owned(),
            line,
        }
    }

    fn flatten_body(
        &self,
        prefix: &str,
        body: &Body,
        settings: &mut Settings,
    ) -> Result<(), String> {
        for item in body {
            match item {
                Structure::Attribute(attribute) => {
                    let at = self.place(attribute.span());
                    let key = join(prefix, attribute.key.as_str());
                    let value = self.value(&attribute.value, &key)?;
                    flatten_value(key, value, &at, settings);
                }
                Structure::Block(block) => {
                    let mut key = join(prefix, block.ident.as_str());
                    for label in &block.labels {
                        key = join(&key, label.as_str());
                    }
                    let at = self.place(block.span());
                    settings.set(key.clone(), ConfigValue::Map(Vec::new()), at);
                    self.flatten_body(&key, &block.body, settings)?;
                }
            }
        }
        Ok(())
    }

    fn value(&self, expr: &Expression, key: &str) -> Result<ConfigValue, String> {
        let unfit = || {
            let at = self.place(expr.span());
            format!("{at}: the value of {key} must be a plain value, not an expression")
        };
        Ok(match expr {
            Expression::Null(_) => ConfigValue::Null,
            Expression::Bool(b) => ConfigValue::Bool(*b.value()),
            Expression::Number(n) => match n.value().as_i64() {
                Some(i) => ConfigValue::Int(i),
                None => ConfigValue::Float(n.value().as_f64().ok_or_else(unfit)?),
            },
            Expression::String(s) => ConfigValue::String(s.value().clone()),
            Expression::StringTemplate(t) => {
                // `${…}` means nothing in an agent file; it is kept as written.
                let written = t.to_string();
                ConfigValue::String(written.trim().trim_matches('"').to_string())
            }
            Expression::HeredocTemplate(t) => ConfigValue::String(t.template.to_string()),
            Expression::Array(items) => ConfigValue::List(
                items
                    .iter()
                    .map(|e| self.value(e, key))
                    .collect::<Result<_, _>>()?,
            ),
            Expression::Object(object) => {
                let mut entries = Vec::new();
                for (k, v) in object.iter() {
                    let name = match k {
                        ObjectKey::Ident(ident) => ident.as_str().to_string(),
                        ObjectKey::Expression(e) => self.key_text(e).ok_or_else(unfit)?,
                    };
                    entries.push((name, self.value(v.expr(), key)?));
                }
                ConfigValue::Map(entries)
            }
            Expression::Parenthesis(inner) => self.value(inner.inner(), key)?,
            Expression::Variable(_)
            | Expression::Conditional(_)
            | Expression::FuncCall(_)
            | Expression::Traversal(_)
            | Expression::UnaryOp(_)
            | Expression::BinaryOp(_)
            | Expression::ForExpr(_) => return Err(unfit()),
        })
    }

    fn key_text(&self, expr: &Expression) -> Option<String> {
        match expr {
            Expression::String(s) => Some(s.value().clone()),
            Expression::Variable(v) => Some(v.as_str().to_string()),
            Expression::Traversal(t) => {
                let Expression::Variable(first) = &t.expr else {
                    return None;
                };
                let mut name = first.as_str().to_string();
                for operator in &t.operators {
                    let TraversalOperator::GetAttr(part) = operator.value() else {
                        return None;
                    };
                    name = join(&name, part.as_str());
                }
                Some(name)
            }
            _ => None,
        }
    }
}

/// Maps become settings of their own, and so does a list of one map: both ways of writing a
/// block in JSON.
fn flatten_value(key: Key, value: ConfigValue, at: &Place, settings: &mut Settings) {
    match value {
        ConfigValue::Map(entries) => {
            settings.set(key.clone(), ConfigValue::Map(Vec::new()), at.clone());
            for (name, value) in entries {
                flatten_value(join(&key, &name), value, at, settings);
            }
        }
        ConfigValue::List(items) if is_blocks(&items) => {
            for item in items {
                flatten_value(key.clone(), item, at, settings);
            }
        }
        value => settings.set(key, value, at.clone()),
    }
}

fn is_blocks(items: &[ConfigValue]) -> bool {
    !items.is_empty() && items.iter().all(|i| matches!(i, ConfigValue::Map(_)))
}

fn flatten_json(prefix: &str, json: &serde_json::Value, at: &Place, settings: &mut Settings) {
    let value = crate::model::value::natural::deserialize(json)
        .expect("any JSON value is a free-form value");
    if let ConfigValue::Map(entries) = value {
        for (name, value) in entries {
            flatten_value(join(prefix, &name), value, at, settings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Settings {
        let mut settings = Settings::default();
        parse(Path::new("a.hcl"), text, &mut settings).unwrap();
        settings
    }

    fn check(text: &str, key: &str, want: ConfigValue) {
        assert_eq!(
            read(text).get(key).map(|s| s.value.clone()),
            Some(want),
            "{key} in {text}"
        );
    }

    #[test]
    fn blocks_maps_and_json_mean_the_same() {
        let want = || ConfigValue::Int(4700);
        check("ports {\n  http = 4700\n}", "ports.http", want());
        check("ports = { http = 4700 }", "ports.http", want());
        check(r#"{"ports": {"http": 4700}}"#, "ports.http", want());
        check(r#"{"ports": [{"http": 4700}]}"#, "ports.http", want());
    }

    #[test]
    fn labels_and_quoted_keys_become_part_of_the_name() {
        let text = "plugin \"docker\" {\n config {\n  gc { image = false }\n }\n}";
        check(
            text,
            "plugin.docker.config.gc.image",
            ConfigValue::Bool(false),
        );
        let old = "client {\n  options {\n    \"docker.cleanup.image\" = \"0\"\n  }\n}";
        check(
            old,
            "client.options.docker.cleanup.image",
            ConfigValue::String("0".into()),
        );
    }

    #[test]
    fn lists_are_extended_and_values_replaced() {
        let mut settings = read("client {\n servers = [\"a\"]\n}\nname = \"x\"");
        parse(
            Path::new("b.hcl"),
            "client {\n servers = [\"b\"]\n}\nname = \"y\"",
            &mut settings,
        )
        .unwrap();
        let text = |s: &str| ConfigValue::String(s.into());
        assert_eq!(
            settings.get("client.servers").unwrap().value,
            ConfigValue::List(vec![text("a"), text("b")])
        );
        assert_eq!(settings.get("name").unwrap().value, text("y"));
        assert_eq!(settings.get("name").unwrap().at.to_string(), "b.hcl:4");
    }

    #[test]
    fn a_mistake_names_its_place() {
        let mut settings = Settings::default();
        let error = parse(Path::new("a.hcl"), "a = 1\nb = = 2\n", &mut settings).unwrap_err();
        assert!(error.starts_with("2:5:"), "{error}");
        let error = parse(Path::new("a.hcl"), "a = f(1)\n", &mut settings).unwrap_err();
        assert!(error.contains("plain value"), "{error}");
    }
}
