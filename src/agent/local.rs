//! What this agent tells about itself, and how it finds clients.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;

use crate::client::Client;
use crate::consensus::{Consensus, Role};
use crate::env::{Env, LogRing, Metrics};
use crate::gossip::{Gossip, GossipError};
use crate::model::{Member, MemberStatus, Members};
use crate::rpc::{self, AgentInfo, Health, KeyringOp, KeyringReport, Local, LocalError, Pool};

use super::config::{Addrs, Config};
use super::join::Joiner;
use super::keys::AgentKeys;
use super::{REVISION, VERSION};

/// How many members are asked about their keyrings at once, and how long each may take.
const KEYRINGS_AT_ONCE: usize = 32;
const KEYRING_LIMIT: Duration = Duration::from_secs(5);

type Section = BTreeMap<String, String>;

/// This agent, as `http` sees it.
pub struct AgentLocal {
    info: AgentInfo,
    facts: Facts,
    members: watch::Receiver<Members>,
}

/// What it tells about.
pub(super) struct Facts {
    pub env: Env,
    pub addrs: Addrs,
    pub data_dir: PathBuf,
    pub gossip: Gossip,
    pub joiner: Joiner,
    pub pool: Pool,
    pub keys: AgentKeys,
    /// The rpc addresses of the servers that it asks.
    pub servers: watch::Receiver<Vec<SocketAddr>>,
    /// Absent on an agent that is no server.
    pub consensus: Option<Consensus>,
    pub client: Option<Client>,
}

impl AgentLocal {
    /// Gathers what does not change.
    pub(super) fn new(config: &Config, facts: Facts) -> Self {
        let addrs = facts.addrs;
        let settings = config.client.as_ref();
        let info = AgentInfo {
            name: config.name.clone(),
            region: config.region.clone(),
            datacenter: config.datacenter.clone(),
            version: VERSION.to_string(),
            revision: REVISION.to_string(),
            server: config.server.is_some(),
            client: config.client.is_some(),
            dev: config.dev,
            node_id: facts.client.as_ref().map(Client::node_id),
            http_addr: addrs.http,
            rpc_addr: addrs.rpc,
            serf_addr: addrs.serf,
            data_dir: facts.data_dir.display().to_string(),
            bind_addr: config.bind.http.ip().to_string(),
            log_level: config.log_level.clone(),
            bootstrap_expect: config.server.as_ref().map_or(0, |s| s.bootstrap_expect),
            ui_enabled: config.ui_enabled,
            cli_hints: config.cli_hints,
            http_max_conns_per_client: config.http_max_conns_per_client,
            node_class: settings.map(|c| c.node_class.clone()).unwrap_or_default(),
            node_pool: settings.map(|c| c.node_pool.clone()).unwrap_or_default(),
            meta: settings.map(|c| c.meta.clone()).unwrap_or_default(),
            response_headers: config.response_headers.clone(),
        };
        Self {
            info,
            members: facts.gossip.members(),
            facts,
        }
    }

    fn raft(&self, consensus: &Consensus) -> Section {
        let status = consensus.status();
        let shown = status.members.iter().map(|m| {
            let suffrage = if m.voter { "Voter" } else { "Nonvoter" };
            format!("{{Suffrage:{suffrage} ID:{} Address:{}}}", m.id, m.rpc)
        });
        let configuration = format!("[{}]", shown.collect::<Vec<_>>().join(" "));
        let last_contact = match status.role {
            Role::Leader => "0".to_string(),
            _ => crate::model::duration::format(consensus.last_contact()),
        };
        section([
            ("applied_index", status.applied_index.to_string()),
            ("commit_index", status.commit_index.to_string()),
            (
                "fsm_pending",
                (status.commit_index - status.applied_index.min(status.commit_index)).to_string(),
            ),
            ("last_contact", last_contact),
            ("last_log_index", status.last_log_index.to_string()),
            ("last_log_term", status.last_log_term.to_string()),
            (
                "last_snapshot_index",
                status.last_snapshot_index.to_string(),
            ),
            ("last_snapshot_term", status.last_snapshot_term.to_string()),
            ("latest_configuration", configuration),
            (
                "latest_configuration_index",
                status.members_index.to_string(),
            ),
            ("logstore_backend", "segments".to_string()),
            (
                "num_peers",
                status.members.len().saturating_sub(1).to_string(),
            ),
            ("protocol_version", "3".to_string()),
            ("state", status.role.as_str().to_string()),
            ("term", status.term.to_string()),
        ])
    }

    fn serf(&self) -> Section {
        let members = self.members.borrow();
        let count = |status: MemberStatus| {
            members
                .values()
                .filter(|m: &&Member| m.status == status)
                .count()
                .to_string()
        };
        section([
            ("encrypted", self.facts.keys.ring().seals().to_string()),
            ("failed", count(MemberStatus::Failed)),
            ("left", count(MemberStatus::Left)),
            ("members", members.len().to_string()),
        ])
    }
}

fn section<const N: usize>(pairs: [(&str, String); N]) -> Section {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_string(), value))
        .collect()
}

impl AgentLocal {
    async fn keyring_of(
        &self,
        member: Member,
        op: KeyringOp,
    ) -> (String, Result<Vec<String>, String>) {
        let record = member.record;
        let answer = if record.serf_addr == self.info.serf_addr {
            self.keyring(op).await.map_err(|e| e.to_string())
        } else {
            let asked = rpc::keyring_at(&self.facts.pool, record.rpc_addr, op, KEYRING_LIMIT);
            match asked.await {
                Ok(answer) => answer.map_err(|e| e.to_string()),
                Err(error) => Err(error.to_string()),
            }
        };
        (record.name, answer)
    }
}

impl Local for AgentLocal {
    fn info(&self) -> AgentInfo {
        self.info.clone()
    }

    fn stats(&self) -> BTreeMap<String, Section> {
        let leader = self.leader();
        let regions: std::collections::BTreeSet<_> = self
            .members
            .borrow()
            .values()
            .map(|m| m.record.region.clone())
            .collect();
        let nomad = section([
            ("bootstrap", (self.info.bootstrap_expect == 1).to_string()),
            ("known_regions", regions.len().max(1).to_string()),
            ("leader", (leader == Some(self.info.rpc_addr)).to_string()),
            (
                "leader_addr",
                leader.map(|a| a.to_string()).unwrap_or_default(),
            ),
            ("server", self.info.server.to_string()),
        ]);
        let cores = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .to_string();
        let runtime = section([
            (
                "arch",
                std::env::consts::ARCH
                    .replace("x86_64", "amd64")
                    .replace("aarch64", "arm64"),
            ),
            ("cpu_count", cores.clone()),
            ("kernel.name", std::env::consts::OS.to_string()),
            ("max_procs", cores),
            ("version", format!("tumen{VERSION}")),
        ]);
        let mut stats = BTreeMap::from([
            ("nomad".to_string(), nomad),
            ("runtime".to_string(), runtime),
            ("serf".to_string(), self.serf()),
        ]);
        if let Some(consensus) = &self.facts.consensus {
            stats.insert("raft".to_string(), self.raft(consensus));
        }
        if let Some(client) = &self.facts.client {
            let servers: Vec<_> = self.servers().iter().map(SocketAddr::to_string).collect();
            let section = section([
                ("known_servers", servers.join(",")),
                ("node_id", client.node_id().to_string()),
                ("num_allocations", client.running().to_string()),
            ]);
            stats.insert("client".to_string(), section);
        }
        stats
    }

    fn members(&self) -> Members {
        self.members.borrow().clone()
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        let mut members = self.members.clone();
        members.mark_unchanged();
        let mut leadership = self.facts.consensus.as_ref().map(Consensus::leadership);
        let leader_changed = async move {
            match &mut leadership {
                Some(leadership) => leadership.changed().await.is_ok(),
                None => false,
            }
        };
        async move {
            // A sender that is gone, with the agent ending, changes nothing any more.
            let members = async move {
                if members.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let leader = async move {
                if !leader_changed.await {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                () = members => {}
                () = leader => {}
            }
        }
        .boxed()
    }

    fn servers(&self) -> Vec<SocketAddr> {
        match &self.facts.consensus {
            Some(_) => self.peers(),
            None => self.facts.servers.borrow().clone(),
        }
    }

    fn leader(&self) -> Option<SocketAddr> {
        let status = self.facts.consensus.as_ref()?.status();
        let leader = status.members.iter().find(|m| m.leader);
        leader.and_then(|m| m.rpc.parse().ok())
    }

    fn peers(&self) -> Vec<SocketAddr> {
        let consensus = self.facts.consensus.as_ref();
        let members = consensus.map(Consensus::members).unwrap_or_default();
        members.iter().filter_map(|m| m.rpc.parse().ok()).collect()
    }

    fn join(&self, addrs: Vec<String>) -> BoxFuture<'_, Result<usize, LocalError>> {
        async move {
            let tries = addrs.iter().map(|addr| self.facts.joiner.join(addr));
            let results = futures_util::future::join_all(tries).await;
            let joined = results.iter().filter(|r| r.is_ok()).count();
            let failures = results.into_iter().filter_map(Result::err);
            let failures: Vec<_> = failures.map(|e| e.to_string()).collect();
            match joined {
                0 => Err(LocalError::Failed(failures.join("; "))),
                joined => Ok(joined),
            }
        }
        .boxed()
    }

    fn force_leave(&self, name: String, prune: bool) -> BoxFuture<'_, Result<(), LocalError>> {
        async move {
            match self.facts.gossip.force_leave(&name, prune).await {
                Ok(()) => Ok(()),
                Err(GossipError::NoSuchMember(name)) => Err(LocalError::NoSuchMember(name)),
                Err(error) => Err(LocalError::Failed(error.to_string())),
            }
        }
        .boxed()
    }

    fn keyring(&self, op: KeyringOp) -> BoxFuture<'_, Result<Vec<String>, LocalError>> {
        self.facts.keys.apply(op).boxed()
    }

    fn keyring_of_all(&self, op: KeyringOp) -> BoxFuture<'_, KeyringReport> {
        async move {
            let members = self.members.borrow().clone();
            let alive = members
                .into_values()
                .filter(|m| m.status == MemberStatus::Alive);
            let asked = alive.map(|m| self.keyring_of(m, op.clone()));
            // Collected first: the futures must not borrow from a closure of the stream.
            let asked: Vec<_> = asked.collect();
            let mut answers = futures_util::stream::iter(asked).buffer_unordered(KEYRINGS_AT_ONCE);
            let mut report = KeyringReport::default();
            while let Some((name, answer)) = answers.next().await {
                report.members += 1;
                match answer {
                    Ok(keys) => {
                        if let Some(first) = keys.first() {
                            *report.primary.entry(first.clone()).or_default() += 1;
                        }
                        for key in keys {
                            *report.keys.entry(key).or_default() += 1;
                        }
                    }
                    Err(why) => drop(report.failures.insert(name, why)),
                }
            }
            report
        }
        .boxed()
    }

    fn health(&self) -> (Option<Health>, Option<Health>) {
        let judged = |ok: bool, otherwise: &str| Health {
            ok,
            message: if ok { "ok" } else { otherwise }.to_string(),
        };
        let client = self.facts.client.as_ref();
        let unknown = match self.servers().is_empty() {
            true => "no known servers",
            false => "the servers do not know this node",
        };
        let client = client.map(|c| judged(c.is_registered(), unknown));
        let leads = || judged(self.leader().is_some(), "No cluster leader");
        (client, self.facts.consensus.as_ref().map(|_| leads()))
    }

    fn metrics(&self) -> &Metrics {
        &self.facts.env.metrics
    }

    fn logs(&self) -> &LogRing {
        &self.facts.env.logs
    }
}
