//! Brings a testnet up, adds a client to one, and starts a node again.
//!
//! All nodes of a role start at once: first the servers, then the clients, whose first word then
//! finds somebody. What is waited for is told by those who know it: a node that it answers
//! ([`ready`](super::ready)), the servers which clients are ready (a blocking query).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Child;
use tokio::time::Instant;

use super::address::{self, AddressError, Addrs, Layout};
use super::api::{Api, ApiError};
use super::files::{self, Common};
use super::process::{self, EndError, Identity};
use super::ready::{Ready, ReadyError};
use super::registry::{NodeRecord, Phase, Record, Registry, RegistryError, Role};
use super::taken;
use super::topology::{Driver, NodePlan, Topology};
use crate::client::driver::docker;
use crate::env::{Clock, real::RealClock};
use crate::http::dto::node::NodeListStub;

/// How long a testnet may take to come up.
const LIMIT: Duration = Duration::from_secs(60);
/// How long one question about the nodes waits for news.
const NEWS: Duration = Duration::from_secs(10);
/// How many of a node's last log lines an error shows.
const LINES: usize = 8;

/// Why a testnet or a node did not come up.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("the testnet `{testnet}` has no node `{node}`; it has {}", .there.join(", "))]
    NoNode {
        testnet: String,
        node: String,
        there: Vec<String>,
    },
    #[error("{what} {addr} is taken{by}", what = .node)]
    Taken {
        node: String,
        addr: SocketAddr,
        by: String,
    },
    #[error("could not write `{}`", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not start the node {node}")]
    Start {
        node: String,
        #[source]
        source: io::Error,
    },
    #[error("could not listen for the nodes' word that they are ready")]
    Listen(#[source] io::Error),
    #[error("the node {node} did not come up: {why}{log}")]
    Node {
        node: String,
        why: ReadyError,
        log: String,
    },
    #[error("{} not ready within {LIMIT:?}: {}{log}", if .nodes.len() == 1 { "the node is" } else { "these nodes are" }, .nodes.join(", "))]
    Late { nodes: Vec<String>, log: String },
    #[error("the node {node} could not be stopped")]
    End { node: String, source: EndError },
    #[error("the servers do not say which nodes are ready")]
    Ask(#[source] ApiError),
}

/// One who brings testnets up.
#[derive(Clone)]
pub struct Starter {
    registry: Registry,
    clock: Arc<dyn Clock>,
}

impl Starter {
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            clock: Arc::new(RealClock),
        }
    }

    /// Takes a name and addresses for a testnet, and writes its nodes' files. From here on it
    /// exists, and whoever fails later takes it down again. One that is `bound` is of no use
    /// without this process.
    pub async fn prepare(
        &self,
        name: &str,
        topology: &Topology,
        bound: bool,
    ) -> Result<Record, UpError> {
        let docker = topology.drivers.contains(&Driver::Docker);
        let engine = docker && docker::outside::version().await.is_ok();
        let record = self.registry.claim(name, |used| {
            let (servers, clients) = (topology.servers.len(), topology.clients.len());
            let networks = address::networks(used, self.registry.first_network);
            let (layout, addrs) = address::choose(servers, clients, &networks, &address::probe)?;
            let roles = [
                (Role::Server, &topology.servers),
                (Role::Client, &topology.clients),
            ];
            let plans = roles
                .into_iter()
                .flat_map(|(role, plans)| plans.iter().map(move |plan| (role, plan)));
            let nodes = plans.zip(addrs).map(|((role, plan), addrs)| NodeRecord {
                name: plan.name.clone(),
                role,
                addrs,
            });
            let own = Identity::own().map_err(UpError::Listen)?;
            let phase = Phase::Starting(own.clone());
            let mut record = Record::new(name, layout, phase, nodes.collect());
            record.bound_to = bound.then_some(own);
            record.engine = engine;
            record.region = topology.region.clone();
            let drivers = topology.drivers.iter().map(|d| d.name().to_owned());
            record.drivers = drivers.collect();
            Ok::<_, UpError>(record)
        })?;
        let plans = topology.servers.iter().chain(&topology.clients);
        for (plan, node) in plans.zip(&record.nodes) {
            if let Err(error) = self.write_files(&record, plan, node) {
                self.registry.forget(name)?;
                return Err(error);
            }
        }
        Ok(record)
    }

    /// Starts all nodes of a prepared testnet and waits until they are ready.
    pub async fn start(&self, record: &Record) -> Result<(), UpError> {
        let deadline = self.clock.now() + LIMIT;
        for role in [Role::Server, Role::Client] {
            let nodes: Vec<_> = record.nodes.iter().filter(|n| n.role == role).collect();
            self.launch(record, &nodes, deadline).await?;
        }
        self.await_clients(record, &clients(record), deadline)
            .await?;
        self.registry.change(&record.name, |record| {
            record.phase = Phase::Up;
            Ok::<_, UpError>(())
        })
    }

    /// Adds a client to a testnet.
    pub async fn add(&self, name: &str) -> Result<NodeRecord, UpError> {
        let (record, node) = self.registry.change(name, |record| {
            let there: Vec<Addrs> = record.nodes.iter().map(|n| n.addrs).collect();
            let addrs = address::one_more(record.layout, &there, &address::probe)?;
            let free = |n: &usize| record.node(&format!("c{n}")).is_none();
            let number = (1..).find(free).unwrap_or(1);
            let node = NodeRecord {
                name: format!("c{number}"),
                role: Role::Client,
                addrs,
            };
            record.nodes.push(node.clone());
            Ok::<_, UpError>((record.clone(), node))
        })?;
        let plan = NodePlan::plain(&node.name);
        let started = match self.write_files(&record, &plan, &node) {
            Ok(()) => self.start_one(&record, &node).await,
            Err(error) => Err(error),
        };
        started.map(|()| node)
    }

    /// Starts a node again, stopping it before if it runs.
    pub async fn restart(&self, name: &str, node: &str) -> Result<NodeRecord, UpError> {
        let record = self.registry.read(name)?;
        let Some(node) = record.node(node).cloned() else {
            return Err(no_node(&record, node));
        };
        let dir = self.registry.node_dir(name, &node.name);
        if let Some(process) = process::of_node(&dir) {
            let ended = process.end(&*self.clock).await;
            ended.map_err(|source| UpError::End {
                node: node.name.clone(),
                source,
            })?;
        }
        self.start_one(&record, &node).await.map(|()| node)
    }

    async fn start_one(&self, record: &Record, node: &NodeRecord) -> Result<(), UpError> {
        let deadline = self.clock.now() + LIMIT;
        self.launch(record, &[node], deadline).await?;
        if node.role == Role::Server {
            // The others find it again by themselves; ready is who leads or knows who does.
            return self.await_clients(record, &BTreeSet::new(), deadline).await;
        }
        let name = BTreeSet::from([node.name.clone()]);
        self.await_clients(record, &name, deadline).await
    }

    fn write_files(
        &self,
        record: &Record,
        plan: &NodePlan,
        node: &NodeRecord,
    ) -> Result<(), UpError> {
        let drivers: Vec<Driver> = record
            .drivers
            .iter()
            .filter_map(|d| d.parse().ok())
            .collect();
        let common = Common {
            testnet: &record.name,
            region: &record.region,
            drivers: &drivers,
            servers: &record.servers(),
            shared: record.layout == Layout::Shared,
        };
        let dir = self.registry.node_dir(&record.name, &node.name);
        let text = match node.role {
            Role::Server => files::server(&common, plan, node.addrs, &dir),
            Role::Client => files::client(&common, plan, node.addrs, &dir),
        };
        let path = dir.join("agent.hcl");
        fs::create_dir_all(dir.join("data"))
            .and_then(|()| fs::write(&path, text))
            .map_err(|source| UpError::Write { path, source })
    }

    /// Starts the processes of `nodes` and waits until each answers.
    async fn launch(
        &self,
        record: &Record,
        nodes: &[&NodeRecord],
        deadline: Instant,
    ) -> Result<(), UpError> {
        let socket = format!("{}-{}", record.name, nodes.first().map_or("", |n| &n.name));
        let ready = Ready::listen(&socket).map_err(UpError::Listen)?;
        let mut children = BTreeMap::new();
        for node in nodes {
            let child = self.spawn(record, node, ready.path())?;
            children.insert(node.name.clone(), child);
        }
        let answers = ready.all(&mut children);
        match crate::env::timeout_at(&*self.clock, deadline, answers).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err((node, why))) => Err(UpError::Node {
                log: self.last_lines(&record.name, &node),
                node,
                why,
            }),
            Err(_) => {
                let names: BTreeSet<_> = nodes.iter().map(|n| n.name.clone()).collect();
                Err(self.late(record, names))
            }
        }
    }

    fn spawn(&self, record: &Record, node: &NodeRecord, ready: &Path) -> Result<Child, UpError> {
        for addr in node.addrs.all() {
            if address::probe(addr) != address::Probed::Free {
                let by = taken::holder(addr);
                return Err(UpError::Taken {
                    node: node.name.clone(),
                    addr,
                    by: by.map_or(String::new(), |h| {
                        format!(" by process {} ({})", h.pid, h.command)
                    }),
                });
            }
        }
        let dir = self.registry.node_dir(&record.name, &node.name);
        let config = dir.join("agent.hcl");
        let mut flag = OsString::from("-config=");
        flag.push(&config);
        let args = [OsString::from("agent"), flag];
        let log = self.registry.log(&record.name, &node.name);
        process::start(&dir, &log, ready, &args).map_err(|source| UpError::Start {
            node: node.name.clone(),
            source,
        })
    }

    /// Waits until the servers see every one of `wanted` ready.
    async fn await_clients(
        &self,
        record: &Record,
        wanted: &BTreeSet<String>,
        deadline: Instant,
    ) -> Result<(), UpError> {
        let Some(addr) = record.http() else {
            return Ok(());
        };
        let api = Api { addr };
        let mut index = 0;
        loop {
            let left = deadline.saturating_duration_since(self.clock.now());
            let asked = api.after("/v1/nodes", index, NEWS.min(left));
            let Ok(answer) = crate::env::timeout_at(&*self.clock, deadline, asked).await else {
                return Err(self.late(record, wanted.clone()));
            };
            let answer = answer.map_err(UpError::Ask)?;
            let nodes: Vec<NodeListStub> = answer.value;
            let is_ready = |n: &&NodeListStub| n.status == "ready";
            let ready = nodes.iter().filter(is_ready).map(|n| n.name.clone());
            let ready: BTreeSet<String> = ready.collect();
            let missing: BTreeSet<String> = wanted.difference(&ready).cloned().collect();
            if missing.is_empty() {
                return Ok(());
            }
            if self.clock.now() >= deadline {
                return Err(self.late(record, missing));
            }
            index = answer.index;
        }
    }

    fn late(&self, record: &Record, nodes: BTreeSet<String>) -> UpError {
        let nodes: Vec<String> = nodes.into_iter().collect();
        let first = nodes.first().cloned().unwrap_or_default();
        UpError::Late {
            log: self.last_lines(&record.name, &first),
            nodes,
        }
    }

    /// The end of a node's log, for an error.
    fn last_lines(&self, testnet: &str, node: &str) -> String {
        let text = fs::read(self.registry.log(testnet, node)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        if lines.is_empty() {
            return String::new();
        }
        let last = &lines[lines.len().saturating_sub(LINES)..];
        format!("\nThe end of its log:\n    {}", last.join("\n    "))
    }
}

fn clients(record: &Record) -> BTreeSet<String> {
    let clients = record.nodes.iter().filter(|n| n.role == Role::Client);
    clients.map(|n| n.name.clone()).collect()
}

/// The complaint about a node that is not there.
pub fn no_node(record: &Record, node: &str) -> UpError {
    UpError::NoNode {
        testnet: record.name.clone(),
        node: node.to_owned(),
        there: record.nodes.iter().map(|n| n.name.clone()).collect(),
    }
}
