//! Which testnets there are: a directory each, with a record in it.
//!
//! **Owns** `<registry>/NAME/testnet.json` and the lock under which records change. What a
//! node's process is, the node's own directory says ([`process`](super::process)). A record is
//! replaced whole, so whoever reads sees a state that was.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::address::{Addrs, Layout};
use super::process::{self, Identity};
use super::topology::{NAME_RULE, is_name};

const RECORD: &str = "testnet.json";
const LOCK: &str = ".lock";
/// The version of the record that this program writes.
const VERSION: u32 = 1;

/// Server or client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Server,
    Client,
}

impl Role {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// What is known of a node beyond its own directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    pub name: String,
    pub role: Role,
    pub addrs: Addrs,
}

/// What happens to a testnet now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Up,
    /// Being started by a process.
    Starting(Identity),
    /// Being taken down by a process.
    Ending(Identity),
}

/// A testnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub version: u32,
    pub name: String,
    pub region: String,
    pub drivers: Vec<String>,
    /// Whether there was a Docker engine, so that containers may be there.
    pub engine: bool,
    pub layout: Layout,
    pub phase: Phase,
    /// The process without which nobody wants it any more.
    pub bound_to: Option<Identity>,
    pub nodes: Vec<NodeRecord>,
}

impl Record {
    /// A record in today's version.
    pub fn new(name: &str, layout: Layout, phase: Phase, nodes: Vec<NodeRecord>) -> Self {
        Self {
            version: VERSION,
            name: name.to_owned(),
            region: String::new(),
            drivers: Vec::new(),
            engine: false,
            layout,
            phase,
            bound_to: None,
            nodes,
        }
    }

    /// The rpc addresses of the servers.
    pub fn servers(&self) -> Vec<SocketAddr> {
        let servers = self.nodes.iter().filter(|n| n.role == Role::Server);
        servers.map(|n| n.addrs.rpc).collect()
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&NodeRecord> {
        self.nodes.iter().find(|n| n.name == name)
    }

    /// Where to ask about the cluster.
    pub fn http(&self) -> Option<SocketAddr> {
        let server = self.nodes.iter().find(|n| n.role == Role::Server);
        server.map(|n| n.addrs.http)
    }
}

/// A testnet's name, and its record or why that cannot be read.
pub type Listed = (String, Result<Record, RegistryError>);

/// Why the registry did not do it.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("`{0}` cannot be a testnet's name: {NAME_RULE}")]
    Name(String),
    #[error("there is no testnet `{0}`")]
    Unknown(String),
    #[error("there is a testnet `{name}` already")]
    Exists { name: String },
    #[error("the testnet `{name}` is being started by process {pid}")]
    Busy { name: String, pid: i32 },
    #[error("the testnet `{name}` is being taken down by process {pid}")]
    Going { name: String, pid: i32 },
    #[error("the testnet `{name}` was left half started by a process that is gone")]
    Half { name: String },
    #[error("the record `{}` cannot be used: {why}", .path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("no directory for testnets: neither XDG_STATE_HOME nor HOME is set")]
    NoHome,
    #[error("could not {what} `{}`", .path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RegistryError {
    let path = path.to_owned();
    move |source| RegistryError::Io { what, path, source }
}

/// The testnets below one directory.
#[derive(Clone, Debug)]
pub struct Registry {
    root: PathBuf,
    /// The network that is tried first. Every registry begins elsewhere: they do not know of
    /// each other.
    pub first_network: usize,
}

impl Registry {
    /// The registry in `dir`, or else in the user's state directory.
    pub fn open(
        dir: Option<&str>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, RegistryError> {
        let set = |name: &str| env(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let root = match dir {
            Some(dir) => PathBuf::from(dir),
            None => set("XDG_STATE_HOME")
                .or_else(|| set("HOME").map(|home| home.join(".local/state")))
                .ok_or(RegistryError::NoHome)?
                .join("tumen/testnets"),
        };
        let root = std::path::absolute(&root).map_err(io_error("resolve", &root))?;
        let first_network = match dir {
            Some(_) => crc32c::crc32c(root.as_os_str().as_encoded_bytes()) as usize,
            None => 0,
        };
        Ok(Self {
            root,
            first_network,
        })
    }

    /// The directory of a testnet.
    pub fn dir(&self, testnet: &str) -> PathBuf {
        self.root.join(testnet)
    }

    /// The directory of a node.
    pub fn node_dir(&self, testnet: &str, node: &str) -> PathBuf {
        self.dir(testnet).join(node)
    }

    /// A node's log.
    pub fn log(&self, testnet: &str, node: &str) -> PathBuf {
        self.node_dir(testnet, node).join("log")
    }

    /// All testnets, by name; with each that cannot be read, why.
    pub fn list(&self) -> Result<Vec<Listed>, RegistryError> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error("list", &self.root)(error)),
        };
        let names: BTreeSet<String> = entries
            .flatten()
            .filter(|e| e.path().is_dir())
            .filter_map(|e| e.file_name().into_string().ok())
            .filter(|name| is_name(name))
            .collect();
        let read = names.into_iter().map(|name| {
            let record = self.read(&name);
            (name, record)
        });
        Ok(read.collect())
    }

    /// A testnet's record.
    pub fn read(&self, name: &str) -> Result<Record, RegistryError> {
        if !is_name(name) {
            return Err(RegistryError::Name(name.to_owned()));
        }
        let path = self.dir(name).join(RECORD);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(RegistryError::Unknown(name.to_owned()));
            }
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let damaged = |why: String| RegistryError::Damaged {
            path: path.clone(),
            why,
        };
        let record: Record = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if record.version > VERSION {
            let why = format!("a newer tumen wrote it (version {})", record.version);
            return Err(damaged(why));
        }
        Ok(record)
    }

    /// Makes a testnet. `make` gets the networks of the others; nobody else makes or changes one
    /// meanwhile.
    pub fn claim<E: From<RegistryError>>(
        &self,
        name: &str,
        make: impl FnOnce(&BTreeSet<u8>) -> Result<Record, E>,
    ) -> Result<Record, E> {
        if !is_name(name) {
            return Err(RegistryError::Name(name.to_owned()).into());
        }
        let _lock = self.lock()?;
        match self.read(name) {
            Ok(record) => return Err(in_the_way(&record).into()),
            Err(RegistryError::Unknown(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let networks = self.list()?.into_iter().filter_map(|(_, record)| {
            let Layout::Own { network, .. } = record.ok()?.layout else {
                return None;
            };
            Some(network)
        });
        let record = make(&networks.collect())?;
        self.write(&record)?;
        Ok(record)
    }

    /// Changes a record; nobody else changes it meanwhile.
    pub fn change<T, E: From<RegistryError>>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Record) -> Result<T, E>,
    ) -> Result<T, E> {
        let _lock = self.lock()?;
        let mut record = self.read(name)?;
        let value = change(&mut record)?;
        self.write(&record)?;
        Ok(value)
    }

    /// Removes a testnet's directory with everything in it.
    pub fn forget(&self, name: &str) -> Result<(), RegistryError> {
        let dir = self.dir(name);
        let _lock = self.lock()?;
        fs::remove_dir_all(&dir).map_err(io_error("remove", &dir))
    }

    fn write(&self, record: &Record) -> Result<(), RegistryError> {
        let dir = self.dir(&record.name);
        fs::create_dir_all(&dir).map_err(io_error("make", &dir))?;
        let path = dir.join(RECORD);
        let bytes = serde_json::to_vec_pretty(record).expect("plain data has a JSON form");
        process::write_whole(&path, &bytes).map_err(io_error("write", &path))
    }

    /// Holds others off until it is dropped.
    fn lock(&self) -> Result<fs::File, RegistryError> {
        fs::create_dir_all(&self.root).map_err(io_error("make", &self.root))?;
        let path = self.root.join(LOCK);
        let file = fs::File::create(&path).map_err(io_error("open", &path))?;
        file.lock().map_err(io_error("lock", &path))?;
        Ok(file)
    }
}

/// Why a testnet of this name cannot be made beside `record`.
fn in_the_way(record: &Record) -> RegistryError {
    let name = record.name.clone();
    match &record.phase {
        Phase::Up => RegistryError::Exists { name },
        Phase::Starting(by) if by.is_alive() => RegistryError::Busy { name, pid: by.pid },
        Phase::Ending(by) if by.is_alive() => RegistryError::Going { name, pid: by.pid },
        Phase::Starting(_) | Phase::Ending(_) => RegistryError::Half { name },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> (tempfile::TempDir, Registry) {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path().to_str(), &|_| None).unwrap();
        (dir, registry)
    }

    fn record(name: &str, network: u8) -> Record {
        let layout = Layout::Own {
            network,
            first: 4646,
        };
        Record::new(name, layout, Phase::Up, Vec::new())
    }

    fn claim(registry: &Registry, name: &str, network: u8) -> Result<Record, RegistryError> {
        registry.claim(name, |_| Ok(record(name, network)))
    }

    #[test]
    fn a_name_is_given_once() {
        let (_dir, registry) = registry();
        claim(&registry, "a", 10).unwrap();
        assert_eq!(registry.read("a").unwrap(), record("a", 10));
        let twice = claim(&registry, "a", 11).unwrap_err();
        assert_eq!(twice.to_string(), "there is a testnet `a` already");
        registry.forget("a").unwrap();
        assert!(!registry.dir("a").exists());
        let gone = registry.read("a").unwrap_err();
        assert_eq!(gone.to_string(), "there is no testnet `a`");
        claim(&registry, "a", 11).unwrap();
    }

    #[test]
    fn of_many_who_want_one_name_one_gets_it() {
        let (_dir, registry) = registry();
        let won: usize = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..8)
                .map(|n| {
                    let registry = &registry;
                    scope.spawn(move || claim(registry, "a", 10 + n).is_ok())
                })
                .collect();
            tries
                .into_iter()
                .map(|t| usize::from(t.join().unwrap()))
                .sum()
        });
        assert_eq!(won, 1);
    }

    #[test]
    fn each_makes_its_testnet_beside_the_others() {
        let (_dir, registry) = registry();
        claim(&registry, "a", 10).unwrap();
        claim(&registry, "b", 12).unwrap();
        let made = registry.claim("c", |used| {
            assert_eq!(used.iter().copied().collect::<Vec<_>>(), [10, 12]);
            Ok::<_, RegistryError>(record("c", 13))
        });
        made.unwrap();
        let names: Vec<_> = registry
            .list()
            .unwrap()
            .into_iter()
            .map(|(n, _)| n)
            .collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn what_is_half_done_is_told_from_what_is_being_done() {
        let (_dir, registry) = registry();
        let me = Identity::own().unwrap();
        let mut dead = serde_json::to_value(&me).unwrap();
        dead["birth"] = 1.into();
        let dead: Identity = serde_json::from_value(dead).unwrap();
        for (phase, expected) in [
            (Phase::Starting(me.clone()), "is being started by process"),
            (Phase::Ending(me), "is being taken down by process"),
            (Phase::Starting(dead), "was left half started"),
        ] {
            let making = |_: &BTreeSet<u8>| {
                let mut record = record("a", 10);
                record.phase = phase;
                Ok::<_, RegistryError>(record)
            };
            registry.claim("a", making).unwrap();
            let error = claim(&registry, "a", 10).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            registry.forget("a").unwrap();
        }
    }

    #[test]
    fn bad_names_and_damaged_records_are_told() {
        let (_dir, registry) = registry();
        for name in ["", "..", "A", "a/b", "-x", "a b"] {
            let error = claim(&registry, name, 10).unwrap_err();
            assert!(matches!(error, RegistryError::Name(_)), "{name}: {error}");
        }
        claim(&registry, "a", 10).unwrap();
        let path = registry.dir("a").join(RECORD);
        fs::write(&path, "{\"version\": 1").unwrap();
        let error = registry.read("a").unwrap_err().to_string();
        assert!(error.contains("testnet.json` cannot be used"), "{error}");
        let mut newer = record("a", 10);
        newer.version = 2;
        fs::write(&path, serde_json::to_vec(&newer).unwrap()).unwrap();
        let error = registry.read("a").unwrap_err().to_string();
        assert!(error.contains("a newer tumen wrote it"), "{error}");
    }

    #[test]
    fn the_state_directory_is_found() {
        let open = |vars: &[(&str, &str)]| {
            let vars: std::collections::BTreeMap<_, _> = vars.iter().copied().collect();
            let env = move |name: &str| vars.get(name).map(|v| (*v).to_owned());
            Registry::open(None, &env).map(|r| r.root.display().to_string())
        };
        let xdg = open(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]).unwrap();
        assert_eq!(xdg, "/s/tumen/testnets");
        let home = open(&[("HOME", "/h")]).unwrap();
        assert_eq!(home, "/h/.local/state/tumen/testnets");
        assert!(matches!(open(&[]), Err(RegistryError::NoHome)));
    }
}
