//! What a testnet consists of: from a few numbers, or from a file.
//!
//! The file's schema is in `docs/testnet.md`. Every mistake is told, with its line and the key
//! that was probably meant.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hcl_edit::Span;
use hcl_edit::expr::{Expression, ObjectKey};
use hcl_edit::structure::{Attribute, Block, Body, Structure};

use super::address::{CLIENTS_MAX, SERVERS_MAX};

/// A driver that clients may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Driver {
    Docker,
    RawExec,
    Mock,
}

impl Driver {
    /// What clients have unless told otherwise.
    pub const USUAL: [Self; 2] = [Self::Docker, Self::RawExec];

    /// Its name in job files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::RawExec => "raw_exec",
            Self::Mock => "mock_driver",
        }
    }
}

impl FromStr for Driver {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "docker" => Ok(Self::Docker),
            "raw_exec" => Ok(Self::RawExec),
            "mock_driver" | "mock" => Ok(Self::Mock),
            other => Err(format!(
                "there is no driver `{other}`; there are docker, raw_exec and mock_driver"
            )),
        }
    }
}

/// One node to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePlan {
    pub name: String,
    pub datacenter: String,
    pub class: String,
    pub pool: String,
    pub meta: BTreeMap<String, String>,
    pub cpu_mhz: Option<u32>,
    pub memory_mb: Option<u32>,
}

impl NodePlan {
    /// A node without anything special.
    pub fn plain(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            datacenter: "dc1".to_owned(),
            class: String::new(),
            pool: String::new(),
            meta: BTreeMap::new(),
            cpu_mhz: None,
            memory_mb: None,
        }
    }
}

/// A whole testnet to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// As its file names it.
    pub name: Option<String>,
    pub region: String,
    pub drivers: Vec<Driver>,
    pub servers: Vec<NodePlan>,
    pub clients: Vec<NodePlan>,
}

/// What is wrong with a topology.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    #[error("could not read `{}`: {why}", .path.display())]
    Read { path: PathBuf, why: String },
    #[error("{}", .0.join("\n"))]
    Mistakes(Vec<String>),
    #[error(
        "a testnet has one server for now, not {0}: a cluster of several servers is not built yet"
    )]
    Servers(usize),
    #[error("a testnet has at most {CLIENTS_MAX} clients, not {0}")]
    Clients(usize),
}

impl Topology {
    /// So many of each, all alike.
    pub fn simple(
        servers: usize,
        clients: usize,
        drivers: Vec<Driver>,
    ) -> Result<Self, TopologyError> {
        let named = |prefix: &str, count| {
            (1..=count)
                .map(|n| NodePlan::plain(format!("{prefix}{n}")))
                .collect()
        };
        within(servers, clients)?;
        Ok(Self {
            name: None,
            region: "global".to_owned(),
            drivers,
            servers: named("s", servers),
            clients: named("c", clients),
        })
    }

    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, TopologyError> {
        let text = std::fs::read_to_string(path).map_err(|e| TopologyError::Read {
            path: path.to_owned(),
            why: e.to_string(),
        })?;
        let mut topology = Self::parse(&path.display().to_string(), &text)?;
        if topology.name.is_none() {
            topology.name = path.file_stem().map(|s| s.to_string_lossy().into_owned());
        }
        Ok(topology)
    }

    /// Reads a file's text; `file` is its name in messages.
    pub fn parse(file: &str, text: &str) -> Result<Self, TopologyError> {
        let body: Body = text.parse().map_err(|e: hcl_edit::parser::Error| {
            let (line, column) = (e.location().line(), e.location().column());
            TopologyError::Mistakes(vec![format!("{file}:{line}:{column}: {}", e.message())])
        })?;
        let mut reader = Reader {
            file,
            text,
            mistakes: Vec::new(),
        };
        let topology = reader.topology(&body);
        if !reader.mistakes.is_empty() {
            return Err(TopologyError::Mistakes(reader.mistakes));
        }
        within(topology.servers.len(), topology.clients.len())?;
        Ok(topology)
    }
}

fn within(servers: usize, clients: usize) -> Result<(), TopologyError> {
    if servers != 1 {
        return Err(TopologyError::Servers(servers));
    }
    if clients > CLIENTS_MAX {
        return Err(TopologyError::Clients(clients));
    }
    Ok(())
}

/// A name that is part of paths and of other names.
pub fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=32).contains(&text.len()) && text.chars().all(fits) && !text.starts_with('-')
}

const TOP: &[&str] = &["name", "region", "drivers", "servers", "clients"];
const SERVERS: &[&str] = &["count", "datacenter"];
const CLIENTS: &[&str] = &[
    "count",
    "datacenter",
    "node_class",
    "node_pool",
    "meta",
    "cpu_mhz",
    "memory_mb",
];

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    mistakes: Vec<String>,
}

impl Reader<'_> {
    fn wrong(&mut self, at: &impl Span, what: impl fmt::Display) {
        let line = at
            .span()
            .map_or(0, |span| self.text[..span.start].matches('\n').count() + 1);
        self.mistakes.push(format!("{}:{line}: {what}", self.file));
    }

    fn unknown(&mut self, at: &impl Span, key: &str, inside: &str, known: &[&str]) {
        let near = known
            .iter()
            .map(|k| (strsim::damerau_levenshtein(key, k), *k))
            .min()
            .filter(|(distance, _)| *distance <= 1 + key.len() / 3);
        let hint = match near {
            Some((_, name)) => format!("did you mean `{name}`?"),
            None => format!("there are {}", known.join(", ")),
        };
        self.wrong(at, format!("{inside} has no key `{key}`; {hint}"));
    }

    fn topology(&mut self, body: &Body) -> Topology {
        let mut topology = Topology {
            name: None,
            region: "global".to_owned(),
            drivers: Driver::USUAL.to_vec(),
            servers: Vec::new(),
            clients: Vec::new(),
        };
        let mut servers_given = false;
        for item in body {
            match item {
                Structure::Attribute(a) => self.top_attribute(a, &mut topology),
                Structure::Block(b) if b.ident.as_str() == "servers" => {
                    servers_given = true;
                    self.group(b, "s", SERVERS, &mut topology.servers);
                }
                Structure::Block(b) if b.ident.as_str() == "clients" => {
                    self.group(b, "c", CLIENTS, &mut topology.clients);
                }
                Structure::Block(b) => self.unknown(b, b.ident.as_str(), "a testnet", TOP),
            }
        }
        if !servers_given {
            topology.servers.push(NodePlan::plain("s1"));
        }
        topology
    }

    fn top_attribute(&mut self, attribute: &Attribute, topology: &mut Topology) {
        let value = &attribute.value;
        match attribute.key.as_str() {
            "name" => {
                topology.name = self.string(attribute);
                if topology.name.as_deref().is_some_and(|n| !is_name(n)) {
                    self.wrong(value, NAME_RULE);
                }
            }
            "region" => topology.region = self.string(attribute).unwrap_or_default(),
            "drivers" => topology.drivers = self.drivers(attribute),
            key @ ("servers" | "clients") => {
                self.wrong(
                    attribute,
                    format!("`{key}` is a block: {key} {{ count = 1 }}"),
                );
            }
            key => self.unknown(attribute, key, "a testnet", TOP),
        }
    }

    fn drivers(&mut self, attribute: &Attribute) -> Vec<Driver> {
        let Expression::Array(items) = &attribute.value else {
            self.wrong(&attribute.value, "`drivers` must be a list of names");
            return Vec::new();
        };
        let mut drivers = Vec::new();
        for item in items {
            match item.as_str().map(Driver::from_str) {
                Some(Ok(driver)) => drivers.push(driver),
                Some(Err(why)) => self.wrong(item, why),
                None => self.wrong(item, "a driver's name must be a string"),
            }
        }
        drivers
    }

    /// Adds the nodes of a block `servers` or `clients`.
    fn group(&mut self, block: &Block, prefix: &str, known: &[&str], nodes: &mut Vec<NodePlan>) {
        let kind = block.ident.as_str();
        let prefix = match block.labels.as_slice() {
            [] => prefix.to_owned(),
            [label] if is_name(label.as_str()) => label.as_str().to_owned(),
            [_] => return self.wrong(block, format!("the label of `{kind}`: {NAME_RULE}")),
            _ => return self.wrong(block, format!("`{kind}` takes one label at most")),
        };
        let mut plan = NodePlan::plain("");
        let mut count = 1;
        for item in &block.body {
            match item {
                Structure::Attribute(a) if known.contains(&a.key.as_str()) => {
                    self.group_attribute(a, &mut plan, &mut count);
                }
                Structure::Attribute(a) => self.unknown(a, a.key.as_str(), kind, known),
                Structure::Block(b) if b.ident.as_str() == "meta" && known.contains(&"meta") => {
                    for item in &b.body {
                        match item {
                            Structure::Attribute(a) => {
                                let text = self.string(a).unwrap_or_default();
                                plan.meta.insert(a.key.as_str().to_owned(), text);
                            }
                            Structure::Block(b) => self.wrong(b, "`meta` holds no blocks"),
                        }
                    }
                }
                Structure::Block(b) => self.unknown(b, b.ident.as_str(), kind, known),
            }
        }
        let limit = SERVERS_MAX.max(CLIENTS_MAX);
        for _ in 0..count.min(limit + 1) {
            // Blocks with the same label go on counting.
            let taken = |n: &usize| nodes.iter().any(|p| p.name == format!("{prefix}{n}"));
            let number = (1..).find(|n| !taken(n)).unwrap_or(1);
            nodes.push(NodePlan {
                name: format!("{prefix}{number}"),
                ..plan.clone()
            });
        }
    }

    fn group_attribute(&mut self, attribute: &Attribute, plan: &mut NodePlan, count: &mut usize) {
        let text = |reader: &mut Self| reader.string(attribute).unwrap_or_default();
        match attribute.key.as_str() {
            "count" => *count = self.number(attribute).unwrap_or(1) as usize,
            "datacenter" => plan.datacenter = text(self),
            "node_class" => plan.class = text(self),
            "node_pool" => plan.pool = text(self),
            "cpu_mhz" => plan.cpu_mhz = self.number(attribute),
            "memory_mb" => plan.memory_mb = self.number(attribute),
            _ => plan.meta = self.map(attribute),
        }
    }

    fn string(&mut self, attribute: &Attribute) -> Option<String> {
        let text = attribute.value.as_str().map(str::to_owned);
        if text.is_none() {
            let what = format!("`{}` must be a string", attribute.key.as_str());
            self.wrong(&attribute.value, what);
        }
        text
    }

    fn number(&mut self, attribute: &Attribute) -> Option<u32> {
        let number = attribute.value.as_number().and_then(|n| n.as_u64());
        let number = number.and_then(|n| u32::try_from(n).ok());
        if number.is_none() {
            let what = format!("`{}` must be a whole number", attribute.key.as_str());
            self.wrong(&attribute.value, what);
        }
        number
    }

    fn map(&mut self, attribute: &Attribute) -> BTreeMap<String, String> {
        let Expression::Object(object) = &attribute.value else {
            self.wrong(&attribute.value, "`meta` must be a map of strings");
            return BTreeMap::new();
        };
        let mut map = BTreeMap::new();
        for (key, value) in object.iter() {
            let key = match key {
                ObjectKey::Ident(ident) => Some(ident.as_str()),
                ObjectKey::Expression(e) => e.as_str(),
            };
            match (key, value.expr().as_str()) {
                (Some(key), Some(text)) => {
                    map.insert(key.to_owned(), text.to_owned());
                }
                (Some(_) | None, Some(_) | None) => {
                    self.wrong(value.expr(), "`meta` must be a map of strings");
                }
            }
        }
        map
    }
}

/// What a name may be, in words.
pub const NAME_RULE: &str =
    "a name has 1 to 32 of the characters a-z, 0-9 and `-`, and does not begin with `-`";

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
name    = "two"
drivers = ["raw_exec", "mock"]

servers {
  datacenter = "east"
}
clients "web" {
  count      = 2
  datacenter = "east"
  meta       = { rack = "r1" }
}
clients "web" {
  node_class = "big"
  memory_mb  = 512
  meta {
    rack = "r2"
  }
}
"#;

    #[test]
    fn a_file_becomes_nodes() {
        let topology = Topology::parse("two.hcl", FILE).unwrap();
        assert_eq!(topology.name.as_deref(), Some("two"));
        assert_eq!(topology.drivers, [Driver::RawExec, Driver::Mock]);
        let nodes = topology.servers.iter().chain(&topology.clients);
        let shown: Vec<_> = nodes
            .map(|n| format!("{} {} {:?} {:?}", n.name, n.datacenter, n.class, n.meta))
            .collect();
        let expected = [
            r#"s1 east "" {}"#,
            r#"web1 east "" {"rack": "r1"}"#,
            r#"web2 east "" {"rack": "r1"}"#,
            r#"web3 dc1 "big" {"rack": "r2"}"#,
        ];
        assert_eq!(shown, expected);
        assert_eq!(topology.clients[2].memory_mb, Some(512));
    }

    #[test]
    fn every_mistake_has_its_line_and_what_was_meant() {
        let check = |text: &str, expected: &[&str]| match Topology::parse("t.hcl", text) {
            Err(TopologyError::Mistakes(mistakes)) => assert_eq!(mistakes, expected),
            other => panic!("{other:?}"),
        };
        check(
            "nmae = \"x\"\nclients {\n  cuont = 3\n  meta = [1]\n}\nnodes {}\n",
            &[
                "t.hcl:1: a testnet has no key `nmae`; did you mean `name`?",
                "t.hcl:3: clients has no key `cuont`; did you mean `count`?",
                "t.hcl:4: `meta` must be a map of strings",
                "t.hcl:6: a testnet has no key `nodes`; there are name, region, drivers, servers, \
                 clients",
            ],
        );
        check(
            "drivers = [\"dcoker\"]\nname = \"A b\"\nclients \"x\" {\n  count = \"many\"\n}",
            &[
                "t.hcl:1: there is no driver `dcoker`; there are docker, raw_exec and mock_driver",
                "t.hcl:2: a name has 1 to 32 of the characters a-z, 0-9 and `-`, and does not \
                 begin with `-`",
                "t.hcl:4: `count` must be a whole number",
            ],
        );
        check(
            "servers {\n  node_class = \"a\"\n}\nclients = 3",
            &[
                "t.hcl:2: servers has no key `node_class`; there are count, datacenter",
                "t.hcl:4: `clients` is a block: clients { count = 1 }",
            ],
        );
    }

    #[test]
    fn what_does_not_exist_yet_is_said() {
        let error = Topology::parse("t.hcl", "servers {\n  count = 3\n}").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("a testnet has one server for now, not 3")
        );
        let error = Topology::simple(1, 241, Vec::new()).unwrap_err();
        assert_eq!(error, TopologyError::Clients(241));
    }

    #[test]
    fn the_ready_made_topologies_are_sound() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testnet");
        let mut seen = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "hcl") {
                let topology = Topology::load(&path).unwrap();
                assert!(!topology.clients.is_empty(), "{}", path.display());
                seen += 1;
            }
        }
        assert!(seen >= 2);
    }
}
