//! Makes every part of an agent, and takes it down again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::client::driver::docker::{DockerDriver, DockerOptions};
use crate::client::driver::mock::MockDriver;
use crate::client::driver::raw_exec::RawExecDriver;
use crate::client::driver::{Drivers, NodeFacts};
use crate::client::{self, Client};
use crate::consensus::{self, Consensus, Peer};
use crate::env::real::RealStore;
use crate::env::{Env, Listener, Store, Task, spawn_essential};
use crate::gossip::{self, Gossip};
use crate::http::{self, App};
use crate::model::node::NodeReserved;
use crate::model::resources::Amounts;
use crate::model::{MemberRecord, NodeId, ServerRole};
use crate::rpc::serve::Services;
use crate::rpc::{
    Api, ApiService, ClusterToken, ConnKind, Forwarding, NodeApi, NodeService, Pool, RemoteNodes,
};
use crate::server::{Agreed, Server};
use crate::state;
use crate::ui::Ui;

use super::config::{Addrs, ClientConfig, Config};
use super::local::AgentLocal;
use super::{REVISION, VERSION};

/// How long each step of a stop may take before the next one starts anyway.
const STEP: Duration = Duration::from_secs(10);

/// Why an agent could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("{what}: listen {protocol} {addr}")]
    Listen {
        what: &'static str,
        protocol: &'static str,
        addr: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("could not make the data directory `{}`", .dir.display())]
    DataDir {
        dir: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("server setup failed")]
    Consensus(#[from] consensus::StartError),
    #[error("client setup failed")]
    Client(#[from] client::StartError),
    #[error("client setup failed")]
    Identity(#[from] crate::env::small_file::SmallFileError),
    #[error("client setup failed")]
    Store(#[from] crate::env::store::StoreError),
    #[error("client setup failed: {0}")]
    Driver(String),
    #[error("gossip setup failed")]
    Gossip(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl BuildError {
    /// The error with its causes, in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text.push_str(&format!(": {cause}"));
            next = cause.source();
        }
        text
    }
}

/// A running agent.
pub struct Agent {
    env: Env,
    bound: Addrs,
    /// Cancelled when an essential task is gone.
    process: CancellationToken,
    http: (CancellationToken, Task<()>),
    rpc: (CancellationToken, Task<()>),
    gossip: (Gossip, CancellationToken, Task<()>),
    server: Option<(Consensus, CancellationToken, Task<()>)>,
    client: Option<Client>,
    pool: Pool,
    /// Removed at the end: what `-dev` put there.
    temporary: Option<PathBuf>,
}

/// Sockets that are bound and not served yet.
struct Sockets {
    http: Box<dyn Listener>,
    rpc: Box<dyn Listener>,
    serf: gossip::Bound,
    addrs: Addrs,
}

async fn bind(env: &Env, wanted: Addrs) -> Result<Sockets, BuildError> {
    let fail = |what, protocol, addr| {
        move |source| BuildError::Listen {
            what,
            protocol,
            addr,
            source,
        }
    };
    let http = env.net.listen(wanted.http).await;
    let http = http.map_err(fail("failed to start HTTP listener", "tcp", wanted.http))?;
    let rpc = env.net.listen(wanted.rpc).await;
    let rpc = rpc.map_err(fail("failed to start RPC layer", "tcp", wanted.rpc))?;
    let serf = gossip::bind(env.clone(), wanted.serf).await;
    let serf = serf.map_err(fail(
        "failed to start the gossip",
        "tcp and udp",
        wanted.serf,
    ))?;
    let addrs = Addrs {
        http: http.local_addr().unwrap_or(wanted.http),
        rpc: rpc.local_addr().unwrap_or(wanted.rpc),
        serf: serf.addr(),
    };
    Ok(Sockets {
        http,
        rpc,
        serf,
        addrs,
    })
}

/// Where an agent keeps things.
struct Dirs {
    root: PathBuf,
    raft: PathBuf,
    state: PathBuf,
    allocs: PathBuf,
    temporary: bool,
}

async fn make_dirs(env: &Env, config: &Config) -> Result<Dirs, BuildError> {
    let temporary = config.data_dir.is_none();
    let root = config.data_dir.clone().unwrap_or_else(|| {
        let name = format!(
            "tumen-dev-{}",
            &env.entropy.uuid().simple().to_string()[..12]
        );
        std::env::temp_dir().join(name)
    });
    let client = config.client.as_ref();
    let dirs = Dirs {
        raft: root.join("server").join("raft"),
        state: client
            .and_then(|c| c.state_dir.clone())
            .unwrap_or_else(|| root.join("client")),
        allocs: client
            .and_then(|c| c.alloc_dir.clone())
            .unwrap_or_else(|| root.join("alloc")),
        root,
        temporary,
    };
    for dir in [&dirs.root, &dirs.state, &dirs.allocs] {
        env.disk
            .create_dir_all(dir)
            .await
            .map_err(|source| BuildError::DataDir {
                dir: dir.clone(),
                source,
            })?;
    }
    Ok(dirs)
}

impl Agent {
    /// Binds, makes and starts everything that `config` asks for.
    pub async fn build(config: Config, env: Env) -> Result<Self, BuildError> {
        let sockets = bind(&env, config.bind).await?;
        let dirs = make_dirs(&env, &config).await?;
        let process = CancellationToken::new();
        let addrs = config.advertise_with(sockets.addrs);
        let rpc_stop = process.child_token();
        let pool = Pool::new(env.clone(), ClusterToken(Vec::new()), rpc_stop.clone());

        let state = state::Store::new();
        let consensus =
            start_consensus(&config, &env, &dirs, addrs, &pool, &state, &process).await?;
        let agreed = Agreed::new(consensus.clone(), state);
        let server = Server::new(env.clone(), Arc::new(agreed));
        let server_stop = process.child_token();
        let running = spawn_essential(
            "server",
            server_stop.clone(),
            process.clone(),
            server.clone().run(server_stop.clone()),
        );
        let own: Arc<dyn Api> = Arc::new(server);
        let api: Arc<dyn Api> = Arc::new(Forwarding::new(env.clone(), pool.clone(), own.clone()));

        let record = member_record(&config, addrs, consensus.id().0);
        let gossip_stop = process.child_token();
        let (gossip, gossip_task) = sockets
            .serf
            .start(record, gossip_stop.clone())
            .map_err(|e| BuildError::Gossip(Box::new(e)))?;

        let client = match &config.client {
            Some(settings) => {
                let made =
                    start_client(&config, settings, &env, &dirs, addrs, api.clone(), &process);
                Some(made.await?)
            }
            None => None,
        };
        let mut services = Services::new()
            .with(ConnKind::Raft, consensus.service())
            .with(ConnKind::Snapshot, consensus.service())
            .with(ConnKind::Api, Arc::new(ApiService::new(own, api.clone())));
        if let Some(client) = &client {
            let node = Arc::new(NodeService::new(Arc::new(client.clone())));
            services = services
                .with(ConnKind::Node, node.clone())
                .with_streams(node);
        }
        let rpc_task = spawn_essential(
            "rpc",
            rpc_stop.clone(),
            process.clone(),
            crate::rpc::serve(
                env.clone(),
                sockets.rpc,
                services,
                ClusterToken(Vec::new()),
                rpc_stop.clone(),
            ),
        );
        let local = AgentLocal::new(
            &config,
            &env,
            addrs,
            &dirs.root,
            &gossip,
            &consensus,
            client.clone(),
        );
        let own_node = client
            .clone()
            .map(|c| (c.node_id(), Arc::new(c) as Arc<dyn NodeApi>));
        let nodes = Arc::new(RemoteNodes::new(pool.clone(), own_node, rpc_stop.clone()));
        let local = Arc::new(local);
        let ui = Ui {
            api: api.clone(),
            local: local.clone(),
            nodes: nodes.clone(),
            env: env.clone(),
        };
        let pages = config.ui_enabled.then(|| crate::ui::pages(ui));
        let app = App {
            api,
            local,
            nodes,
            env: env.clone(),
            pages,
        };
        let http_stop = process.child_token();
        let http_task = spawn_essential(
            "http",
            http_stop.clone(),
            process.clone(),
            http::serve(sockets.http, app, http_stop.clone()),
        );
        Ok(Self {
            env,
            bound: sockets.addrs,
            process,
            http: (http_stop, http_task),
            rpc: (rpc_stop, rpc_task),
            gossip: (gossip, gossip_stop, gossip_task),
            server: Some((consensus, server_stop, running)),
            client,
            pool,
            temporary: dirs.temporary.then_some(dirs.root),
        })
    }

    /// What it listens on.
    pub fn bound(&self) -> Addrs {
        self.bound
    }

    /// Its client's node, if it has a client.
    pub fn node_id(&self) -> Option<NodeId> {
        self.client.as_ref().map(Client::node_id)
    }

    /// Waits until an essential part is gone.
    pub async fn failed(&self) {
        self.process.cancelled().await;
    }

    /// Whether an essential part is gone.
    pub fn has_failed(&self) -> bool {
        self.process.is_cancelled()
    }

    /// Stops everything, in order, each step for a bounded time.
    pub async fn shutdown(self) {
        let clock = self.env.clock.clone();
        let step = |name: &'static str, work: futures_util::future::BoxFuture<'static, ()>| {
            let clock = clock.clone();
            async move {
                if crate::env::timeout(&*clock, STEP, work).await.is_err() {
                    tracing::warn!(target: "agent", step = name, "took too long to stop; going on");
                }
            }
        };
        let (http_stop, http) = self.http;
        http_stop.cancel();
        if let Some(client) = self.client {
            let dev = self.temporary.is_some();
            let work = async move {
                if dev {
                    client.remove_everything().await
                } else {
                    client.detach().await
                }
            };
            let limit = if dev { STEP * 6 } else { STEP };
            if crate::env::timeout(&*clock, limit, work).await.is_err() {
                tracing::warn!(target: "agent", "the client took too long to stop; going on");
            }
        }
        step("http", Box::pin(async move { ended("http", http).await })).await;
        let (gossip, gossip_stop, gossip_task) = self.gossip;
        step(
            "gossip",
            Box::pin(async move {
                if let Err(error) = gossip.leave().await {
                    tracing::debug!(target: "agent", %error, "left without a word");
                }
                gossip_stop.cancel();
                ended("gossip", gossip_task).await;
            }),
        )
        .await;
        let (rpc_stop, rpc) = self.rpc;
        if let Some((consensus, stop, task)) = self.server {
            step(
                "server",
                Box::pin(async move {
                    stop.cancel();
                    ended("server", task).await;
                    rpc_stop.cancel();
                    ended("rpc", rpc).await;
                    if let Err(error) = consensus.shutdown().await {
                        tracing::error!(target: "agent", %error, "the log did not close well");
                    }
                }),
            )
            .await;
        }
        let pool = self.pool;
        step("pool", Box::pin(async move { pool.shutdown().await })).await;
        self.process.cancel();
        if let Some(dir) = self.temporary
            && let Err(error) = std::fs::remove_dir_all(&dir)
        {
            tracing::warn!(target: "agent", dir = %dir.display(), %error, "could not be removed");
        }
        tracing::info!(target: "agent", "shutdown complete");
    }
}

async fn ended(name: &'static str, task: Task<()>) {
    if let Err(error) = task.join().await {
        tracing::error!(target: "agent", task = name, %error, "ended badly");
    }
}

async fn start_consensus(
    config: &Config,
    env: &Env,
    dirs: &Dirs,
    addrs: Addrs,
    pool: &Pool,
    state: &state::Store,
    process: &CancellationToken,
) -> Result<Consensus, BuildError> {
    let consensus = Consensus::start(consensus::Config {
        env: env.clone(),
        dir: dirs.raft.clone(),
        me: Peer {
            name: config.name.clone(),
            rpc: addrs.rpc.to_string(),
            build: VERSION.to_string(),
        },
        store: state.clone(),
        pool: pool.clone(),
        addresses: Arc::new(|_| None),
        bootstrap: true,
        log: consensus::LogConfig::default(),
        timers: None,
        snapshots: consensus::SnapshotRule::default(),
        process: process.clone(),
    });
    Ok(consensus.await?)
}

fn member_record(config: &Config, addrs: Addrs, id: Uuid) -> MemberRecord {
    MemberRecord {
        id,
        name: config.name.clone(),
        region: config.region.clone(),
        datacenter: config.datacenter.clone(),
        server: config.server.as_ref().map(|s| ServerRole {
            expect: s.bootstrap_expect,
            cluster: None,
        }),
        client: config.client.is_some(),
        http_addr: addrs.http,
        rpc_addr: addrs.rpc,
        serf_addr: addrs.serf,
        build: VERSION.to_string(),
        revision: REVISION.to_string(),
        protocol: crate::rpc::hello::VERSIONS,
        version: 0,
    }
}

async fn start_client(
    config: &Config,
    settings: &ClientConfig,
    env: &Env,
    dirs: &Dirs,
    addrs: Addrs,
    api: Arc<dyn Api>,
    process: &CancellationToken,
) -> Result<Client, BuildError> {
    let identity = client::load_identity(env, &dirs.state).await?;
    let (store, aside) = RealStore::open_or_set_aside(&dirs.state.join("store")).await?;
    if let Some(aside) = aside {
        tracing::error!(
            target: "client", aside = %aside.display(),
            "the local store would not open and was set aside; rebuilding from the cluster"
        );
    }
    let store: Arc<dyn Store> = Arc::new(store);
    let fs = env.files.clone();
    let facts = env.host.facts(&dirs.allocs).await;
    let about = NodeFacts {
        id: identity.id,
        name: config.name.clone(),
        core_mhz: f64::from(facts.cpu_mhz.max(1)),
        cores: facts.cpu_cores,
        state_dir: dirs.state.clone(),
    };
    let drivers = drivers(config, env, &about)?;
    let node = client::fingerprint::NodeConfig {
        name: config.name.clone(),
        datacenter: config.datacenter.clone(),
        node_class: settings.node_class.clone(),
        node_pool: settings.node_pool.clone(),
        meta: settings.meta.clone(),
        http_addr: addrs.http,
        rpc_addr: addrs.rpc,
        host_ip: addrs.http.ip().to_string(),
        interface: settings
            .network_interface
            .clone()
            .unwrap_or_else(|| "lo".to_string()),
        cpu_total: settings.cpu_total,
        memory_total_mb: settings.memory_total_mb,
        disk_total_mb: settings.disk_total_mb,
        dynamic_ports: settings.dynamic_ports,
        reserved: NodeReserved {
            amounts: Amounts {
                cpu_mhz: u64::from(settings.reserved_cpu),
                memory_mb: u64::from(settings.reserved_memory_mb),
                disk_mb: u64::from(settings.reserved_disk_mb),
            },
            ports: settings.reserved_ports.clone(),
        },
        eligible: !settings.default_ineligible,
        version: VERSION.to_string(),
        revision: REVISION.to_string(),
    };
    let config = client::Config {
        node,
        alloc_dir: dirs.allocs.clone(),
        max_kill_timeout: settings.max_kill_timeout,
        gc_max_allocs: settings.gc_max_allocs,
    };
    let parts = client::Parts {
        env: env.clone(),
        api,
        drivers,
        store,
        fs,
        identity,
    };
    Ok(Client::start(config, parts, process.child_token()).await?)
}

/// The drivers of this node. One that is switched off is not there; one whose engine is away is,
/// and its fingerprint says why.
fn drivers(config: &Config, env: &Env, about: &NodeFacts) -> Result<Drivers, BuildError> {
    // Containers and processes outlive the agent: this token only ends the pumps, and
    // `Client::detach` is what cancels those.
    let token = CancellationToken::new();
    let mut drivers = Drivers::new();
    let options = DockerOptions::from_settings(&config.docker)
        .map_err(|mistakes| BuildError::Driver(mistakes.join("\n")))?;
    let docker = DockerDriver::new(env.clock.clone(), options, about.clone(), token.clone())
        .map_err(|e| BuildError::Driver(e.to_string()))?;
    drivers.insert("docker", Arc::new(docker));
    if config.raw_exec {
        let raw_exec = RawExecDriver::new(env.clock.clone(), about.core_mhz, token.clone());
        drivers.insert("raw_exec", Arc::new(raw_exec));
    }
    if config.dev {
        let mock = MockDriver::new(env.clock.clone(), env.files.clone(), token);
        drivers.insert("mock_driver", Arc::new(mock));
    }
    Ok(drivers)
}
