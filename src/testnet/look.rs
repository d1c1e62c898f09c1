//! Looks at a testnet: what its processes do, what its servers say, what its logs hold.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use super::api::Api;
use super::process;
use super::registry::{NodeRecord, Record, Registry, Role};
use crate::http::dto::node::NodeListStub;

/// How long the servers may take to answer before the status goes on without them.
const PATIENCE: Duration = Duration::from_secs(2);

/// One node as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLook {
    pub node: NodeRecord,
    /// The process, if it runs.
    pub pid: Option<i32>,
    /// In words.
    pub status: String,
    /// Whether there is nothing to mend.
    pub well: bool,
}

/// What the servers say.
#[derive(Default)]
struct Said {
    /// The leader's rpc address.
    leader: Option<String>,
    /// Each client's status.
    nodes: BTreeMap<String, String>,
}

/// Looks at every node of a testnet.
pub async fn status(registry: &Registry, record: &Record) -> Vec<NodeLook> {
    let running = |node: &NodeRecord| {
        let process = process::of_node(&registry.node_dir(&record.name, &node.name));
        process.map(|p| (p.pid, p.is_alive()))
    };
    let said = tokio::time::timeout(PATIENCE, ask(record)).await;
    let said = said.unwrap_or_default();
    let look = |node: &NodeRecord| {
        let (pid, dead) = match running(node) {
            Some((pid, true)) => (Some(pid), None),
            Some((pid, false)) => (None, Some(format!("dead: process {pid} is gone"))),
            None => (None, Some("dead: never started".to_owned())),
        };
        let (status, well) = match dead {
            Some(dead) => (dead, false),
            None => words(node, said.as_ref()),
        };
        NodeLook {
            node: node.clone(),
            pid,
            status,
            well,
        }
    };
    record.nodes.iter().map(look).collect()
}

/// `None`: no server answers.
async fn ask(record: &Record) -> Option<Said> {
    let api = Api {
        addr: record.http()?,
    };
    let nodes = api.get::<Vec<NodeListStub>>("/v1/nodes?stale=true").await;
    let leader = api.get::<String>("/v1/status/leader").await;
    let nodes = nodes.ok()?.value.into_iter();
    Some(Said {
        leader: leader.ok().map(|a| a.value),
        nodes: nodes.map(|n| (n.name, n.status)).collect(),
    })
}

/// A running node's status, and whether all is well with it.
fn words(node: &NodeRecord, said: Option<&Said>) -> (String, bool) {
    let Some(said) = said else {
        return match node.role {
            Role::Server => ("runs, does not answer".to_owned(), false),
            Role::Client => ("runs, no server to ask".to_owned(), false),
        };
    };
    match node.role {
        Role::Server if said.leader.as_deref() == Some(&node.addrs.rpc.to_string()) => {
            ("leader".to_owned(), true)
        }
        Role::Server if said.leader.is_none() => ("no leader".to_owned(), false),
        Role::Server => ("follower".to_owned(), true),
        Role::Client => match said.nodes.get(&node.name) {
            Some(status) => (status.clone(), status == "ready"),
            None => ("not registered".to_owned(), false),
        },
    }
}

/// A line of a node's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub node: String,
    pub text: String,
}

/// Reads the logs of some nodes from where it stopped the last time.
pub struct Logs {
    files: Vec<LogFile>,
}

struct LogFile {
    node: String,
    path: PathBuf,
    read: u64,
    /// The begin of a line whose end is not written yet.
    rest: Vec<u8>,
}

impl Logs {
    /// The logs of `nodes`, from their beginnings.
    pub fn of(registry: &Registry, testnet: &str, nodes: &[&NodeRecord]) -> Self {
        let file = |node: &&NodeRecord| LogFile {
            node: node.name.clone(),
            path: registry.log(testnet, &node.name),
            read: 0,
            rest: Vec::new(),
        };
        Self {
            files: nodes.iter().map(file).collect(),
        }
    }

    /// The whole lines that have come, the nodes' lines merged by time.
    pub fn read(&mut self) -> io::Result<Vec<LogLine>> {
        let mut stamped: Vec<(String, LogLine)> = Vec::new();
        for file in &mut self.files {
            let mut time = String::new();
            for text in file.read()? {
                // A line without a time belongs to the one before it.
                if let Some(stamp) = stamp(&text) {
                    time = stamp.to_owned();
                }
                let node = file.node.clone();
                stamped.push((time.clone(), LogLine { node, text }));
            }
        }
        stamped.sort_by(|a, b| a.0.cmp(&b.0)); // stable: a node's lines keep their order
        Ok(stamped.into_iter().map(|(_, line)| line).collect())
    }
}

impl LogFile {
    fn read(&mut self) -> io::Result<Vec<String>> {
        let mut file = match fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        self.read += file.read_to_end(&mut bytes)? as u64;
        self.rest.extend(bytes);
        let Some(end) = self.rest.iter().rposition(|b| *b == b'\n') else {
            return Ok(Vec::new());
        };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        let text = String::from_utf8_lossy(&whole);
        Ok(text.lines().map(str::to_owned).collect())
    }
}

/// A log line's time, which begins it; times in one zone sort as text.
fn stamp(line: &str) -> Option<&str> {
    let word = line.split_whitespace().next()?;
    let is_time = word.len() >= 20 && word.as_bytes()[4] == b'-' && word.as_bytes()[10] == b'T';
    is_time.then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testnet::address::Addrs;

    fn node(name: &str, role: Role) -> NodeRecord {
        let at = |port| std::net::SocketAddr::from(([127, 0, 10, 1], port));
        let addrs = Addrs {
            http: at(4646),
            rpc: at(4647),
            serf: at(4648),
        };
        let name = name.to_owned();
        NodeRecord { name, role, addrs }
    }

    #[test]
    fn a_nodes_status_is_in_words() {
        let said = Said {
            leader: Some("127.0.10.1:4647".to_owned()),
            nodes: BTreeMap::from([
                ("c1".to_owned(), "ready".to_owned()),
                ("c2".to_owned(), "down".to_owned()),
            ]),
        };
        let check = |node: &NodeRecord, said: Option<&Said>, status: &str, well| {
            assert_eq!(words(node, said), (status.to_owned(), well));
        };
        check(&node("s1", Role::Server), Some(&said), "leader", true);
        check(&node("c1", Role::Client), Some(&said), "ready", true);
        check(&node("c2", Role::Client), Some(&said), "down", false);
        check(
            &node("c3", Role::Client),
            Some(&said),
            "not registered",
            false,
        );
        check(
            &node("s1", Role::Server),
            None,
            "runs, does not answer",
            false,
        );
    }

    #[test]
    fn logs_are_merged_by_time_and_read_on() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path().to_str(), &|_| None).unwrap();
        let write = |name: &str, text: &str| {
            fs::create_dir_all(registry.node_dir("t", name)).unwrap();
            let path = registry.log("t", name);
            let before = fs::read_to_string(&path).unwrap_or_default();
            fs::write(path, before + text).unwrap();
        };
        write(
            "a",
            "head\n2026-11-23T00:00:01.5Z [INFO] a1\n  more\n2026-11-23T00:00:03.0Z a2",
        );
        write("b", "2026-11-23T00:00:02.0Z [INFO] b1\n");
        let (a, b) = (node("a", Role::Server), node("b", Role::Client));
        let mut logs = Logs::of(&registry, "t", &[&a, &b]);
        let mut read = || -> Vec<String> {
            let lines = logs.read().unwrap().into_iter();
            lines.map(|l| format!("{}|{}", l.node, l.text)).collect()
        };
        assert_eq!(
            read(),
            [
                "a|head",
                "a|2026-11-23T00:00:01.5Z [INFO] a1",
                "a|  more",
                "b|2026-11-23T00:00:02.0Z [INFO] b1"
            ]
        );
        assert!(read().is_empty());
        write("a", " done\n");
        assert_eq!(read(), ["a|2026-11-23T00:00:03.0Z a2 done"]);
    }
}
