//! Makes every part of an agent, and takes it down again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::client::{self, Client};
use crate::consensus::{self, Consensus};
use crate::env::{Env, Task, spawn_essential};
use crate::gossip::Gossip;
use crate::http::{self, App};
use crate::model::{MemberRecord, NodeId, RequestId, ServerRole};
use crate::rpc::serve::Services;
use crate::rpc::{
    Api, ApiService, Call, ConnKind, Local, LocalService, NodeApi, NodeService, Op, Pool,
    RemoteApi, RemoteNodes,
};
use crate::ui::Ui;

use super::client_part::{self, Around};
use super::config::{Addrs, Config};
use super::dirs::{self, Dirs};
use super::join::Joiner;
use super::keys::AgentKeys;
use super::local::{AgentLocal, Facts};
use super::membership::Membership;
use super::remembered::Remembered;
use super::server_part::{Replica, ServerPart};
use super::{REVISION, VERSION, sockets};

/// How long each step of a stop may take before the next one starts anyway.
const STEP: Duration = Duration::from_secs(10);

/// How long a stopping agent tries to say that it will be back.
const LAST_WORD: Duration = Duration::from_secs(1);

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
    #[error("the data directory `{}` is in use by another agent", .dir.display())]
    InUse { dir: PathBuf },
    #[error("server setup failed")]
    Consensus(#[from] consensus::StartError),
    #[error("client setup failed")]
    Client(#[from] client::StartError),
    #[error("a file of the agent's own cannot be used")]
    Identity(#[from] crate::env::small_file::SmallFileError),
    #[error("could not open the local store")]
    Store(#[from] crate::env::store::StoreError),
    #[error("client setup failed: {0}")]
    Driver(String),
    #[error("gossip setup failed")]
    Gossip(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("Failed to join: {}", .0.join("; "))]
    Join(Vec<String>),
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
    http: Part,
    rpc: Part,
    gossip: (Gossip, Part),
    membership: Part,
    remembered: Remembered,
    /// Whether a leave forgets the members.
    rejoin_after_leave: bool,
    server: Option<(Consensus, Part)>,
    client: Option<(Client, client::Identity)>,
    api: Arc<dyn Api>,
    pool: Pool,
    dirs: Dirs,
}

/// A task with the token that ends it.
type Part = (CancellationToken, Task<()>);

impl Agent {
    /// Binds, makes and starts everything that `config` asks for.
    pub async fn build(config: Config, env: Env) -> Result<Self, BuildError> {
        let sockets = sockets::bind(&env, &config).await?;
        let dirs = dirs::make(&env, &config).await?;
        let addrs = config.advertise_with(sockets.addrs);
        let process = CancellationToken::new();
        let store = dirs::open_store(&dirs).await?;
        let rpc_stop = process.child_token();
        let keys = AgentKeys::load(&env, &dirs.state, config.encrypt.clone()).await?;
        let pool = Pool::new(env.clone(), keys.tokens(), rpc_stop.clone());

        let replica = match &config.server {
            Some(_) => {
                let made = Replica::start(&config, &env, &dirs, addrs, &pool, &process);
                Some(made.await?)
            }
            None => None,
        };
        let identity = match &config.client {
            Some(_) => Some(client::load_identity(&env, &dirs.state).await?),
            None => None,
        };
        let record = member_record(
            &config,
            addrs,
            replica.as_ref().map(|r| &r.consensus),
            identity,
        );
        let own = record.id;
        let gossip_stop = process.child_token();
        let (gossip, gossip_task) = sockets
            .serf
            .start(record, keys.ring(), gossip_stop.clone())
            .map_err(|e| BuildError::Gossip(Box::new(e)))?;
        let server = replica.map(|r| r.serve(&env, gossip.members(), &process));

        let joiner = Joiner::new(
            env.clone(),
            gossip.clone(),
            pool.clone(),
            config.region.clone(),
        );
        let remembered = Remembered::new(store.clone());
        let servers = watch::Sender::new(Vec::new());
        let servers_seen = servers.subscribe();
        let membership = Membership {
            env: env.clone(),
            joiner: joiner.clone(),
            join: config.join.clone(),
            members: gossip.members(),
            remembered: remembered.clone(),
            own,
            is_server: server.is_some(),
            servers,
            process: process.clone(),
        };
        let membership = essential("membership", &process, |stop| membership.run(stop));

        let api: Arc<dyn Api> = match &server {
            Some(server) => server.forwarding.clone(),
            None => Arc::new(RemoteApi::new(
                env.clone(),
                pool.clone(),
                servers_seen.clone(),
            )),
        };
        let client = match (&config.client, identity) {
            (Some(settings), Some(identity)) => {
                let around = Around {
                    config: &config,
                    env: &env,
                    dirs: &dirs,
                    addrs,
                    store,
                    api: api.clone(),
                    process: &process,
                };
                let client = client_part::start(settings, identity, around).await?;
                Some((client, identity))
            }
            (None | Some(_), None | Some(_)) => None,
        };
        let runs = client.as_ref().map(|(client, _)| client.clone());
        let local: Arc<dyn Local> = Arc::new(AgentLocal::new(
            &config,
            Facts {
                env: env.clone(),
                addrs,
                data_dir: dirs.root.clone(),
                gossip: gossip.clone(),
                joiner: joiner.clone(),
                pool: pool.clone(),
                keys: keys.clone(),
                servers: servers_seen,
                consensus: server.as_ref().map(|s| s.consensus.clone()),
                client: runs.clone(),
            },
        ));
        let services = services(server.as_ref(), runs.as_ref(), &local);
        let rpc = essential_with("rpc", &process, rpc_stop.clone(), |stop| {
            crate::rpc::serve(env.clone(), sockets.rpc, services, keys.tokens(), stop)
        });
        let app = app(&config, &env, &api, &local, &pool, runs, rpc_stop);
        let http = essential("http", &process, |stop| {
            http::serve(sockets.http, app, stop)
        });
        let agent = Self {
            bound: sockets.addrs,
            http,
            rpc,
            gossip: (gossip, (gossip_stop, gossip_task)),
            membership,
            remembered,
            rejoin_after_leave: config.join.rejoin_after_leave,
            server: server.map(|s| (s.consensus, s.running)),
            client,
            api,
            pool,
            dirs,
            process,
            env,
        };
        if let Err(error) = agent.join_once(&joiner, &config.join.once).await {
            agent.shutdown(false).await;
            return Err(error);
        }
        Ok(agent)
    }

    /// Joins the addresses of `start_join`; one of them must answer.
    async fn join_once(&self, joiner: &Joiner, addrs: &[String]) -> Result<(), BuildError> {
        let tries = addrs.iter().map(|addr| joiner.join(addr));
        let results = futures_util::future::join_all(tries).await;
        let failures: Vec<_> = results.iter().filter_map(|r| r.as_ref().err()).collect();
        if addrs.is_empty() || failures.len() < addrs.len() || failures.iter().all(|e| e.is_own()) {
            return Ok(());
        }
        let failures = failures.iter().map(ToString::to_string).collect();
        Err(BuildError::Join(failures))
    }

    /// What it listens on.
    pub fn bound(&self) -> Addrs {
        self.bound
    }

    /// Its client's node, if it has a client.
    pub fn node_id(&self) -> Option<NodeId> {
        self.client.as_ref().map(|(client, _)| client.node_id())
    }

    /// Waits until an essential part is gone.
    pub async fn failed(&self) {
        self.process.cancelled().await;
    }

    /// Whether an essential part is gone.
    pub fn has_failed(&self) -> bool {
        self.process.is_cancelled()
    }

    /// Stops everything, in order, each step for a bounded time. `leave`: the agent goes for
    /// good, and says so; otherwise its node has a while to return.
    pub async fn shutdown(self, leave: bool) {
        let clock = self.env.clock.clone();
        let step = |name: &'static str, work: BoxFuture<'static, ()>| {
            let clock = clock.clone();
            async move {
                if crate::env::timeout(&*clock, STEP, work).await.is_err() {
                    tracing::warn!(target: "agent", step = name, "took too long to stop; going on");
                }
            }
        };
        let dev = self.dirs.temporary;
        self.http.0.cancel();
        if let Some((client, identity)) = self.client {
            let returning = (!dev && !leave).then(|| NodeReturns {
                env: self.env.clone(),
                api: self.api.clone(),
                identity,
            });
            let limit = if dev { STEP * 6 } else { STEP };
            let work = stop_client(client, dev, returning);
            if crate::env::timeout(&*clock, limit, work).await.is_err() {
                tracing::warn!(target: "agent", "the client took too long to stop; going on");
            }
        }
        step("http", Box::pin(ended("http", self.http))).await;
        step("membership", Box::pin(ended("membership", self.membership))).await;
        let (gossip, part) = self.gossip;
        let forget = (leave && !self.rejoin_after_leave).then_some(self.remembered);
        step(
            "gossip",
            Box::pin(async move {
                if leave && let Err(error) = gossip.leave().await {
                    tracing::debug!(target: "agent", %error, "left without a word");
                }
                if let Some(remembered) = forget
                    && let Err(error) = remembered.forget().await
                {
                    tracing::warn!(target: "agent", %error, "could not forget the members");
                }
                ended("gossip", part).await;
            }),
        )
        .await;
        let (rpc, server) = (self.rpc, self.server);
        step("server", Box::pin(stop_server(server, rpc))).await;
        let pool = self.pool;
        step("pool", Box::pin(async move { pool.shutdown().await })).await;
        self.process.cancel();
        drop(self.dirs.lock);
        if dev && let Err(error) = std::fs::remove_dir_all(&self.dirs.root) {
            let dir = self.dirs.root.display();
            tracing::warn!(target: "agent", %dir, %error, "could not be removed");
        }
        tracing::info!(target: "agent", "shutdown complete");
    }
}

/// What it takes to say that a node will be back.
struct NodeReturns {
    env: Env,
    api: Arc<dyn Api>,
    identity: client::Identity,
}

async fn stop_client(client: Client, remove: bool, returning: Option<NodeReturns>) {
    if let Some(it) = returning {
        let call = Call {
            request: RequestId(it.env.entropy.uuid()),
            timeout: LAST_WORD,
            op: Op::NodeRestarting {
                node: it.identity.id,
                secret: it.identity.secret,
            },
        };
        let said = crate::env::timeout(&*it.env.clock, LAST_WORD, it.api.call(call)).await;
        if !matches!(said, Ok(Ok(_))) {
            tracing::warn!(target: "agent", "stopping, and no server heard that it is for a while");
        }
    }
    if remove {
        client.remove_everything().await;
    } else {
        client.detach().await;
    }
}

async fn stop_server(server: Option<(Consensus, Part)>, rpc: Part) {
    let Some((consensus, part)) = server else {
        return ended("rpc", rpc).await;
    };
    ended("server", part).await;
    ended("rpc", rpc).await;
    if let Err(error) = consensus.shutdown().await {
        tracing::error!(target: "agent", %error, "the log did not close well");
    }
}

/// Cancels a part and waits for its end.
async fn ended(name: &'static str, (stop, task): Part) {
    stop.cancel();
    if let Err(error) = task.join().await {
        tracing::error!(target: "agent", task = name, %error, "ended badly");
    }
}

fn essential<F>(
    name: &'static str,
    process: &CancellationToken,
    run: impl FnOnce(CancellationToken) -> F,
) -> Part
where
    F: Future<Output = ()> + Send + 'static,
{
    essential_with(name, process, process.child_token(), run)
}

fn essential_with<F>(
    name: &'static str,
    process: &CancellationToken,
    stop: CancellationToken,
    run: impl FnOnce(CancellationToken) -> F,
) -> Part
where
    F: Future<Output = ()> + Send + 'static,
{
    let task = spawn_essential(name, stop.clone(), process.clone(), run(stop.clone()));
    (stop, task)
}

/// What the rpc port answers.
fn services(
    server: Option<&ServerPart>,
    client: Option<&Client>,
    local: &Arc<dyn Local>,
) -> Services {
    let about = Arc::new(LocalService::new(local.clone()));
    let mut services = Services::new().with(ConnKind::Local, about);
    if let Some(server) = server {
        let api = ApiService::new(server.own.clone(), server.forwarding.clone());
        services = services
            .with(ConnKind::Raft, server.consensus.service())
            .with(ConnKind::Snapshot, server.consensus.service())
            .with(ConnKind::Api, Arc::new(api));
    }
    if let Some(client) = client {
        let node = Arc::new(NodeService::new(Arc::new(client.clone())));
        services = services
            .with(ConnKind::Node, node.clone())
            .with_streams(node);
    }
    services
}

/// What the http port shows.
fn app(
    config: &Config,
    env: &Env,
    api: &Arc<dyn Api>,
    local: &Arc<dyn Local>,
    pool: &Pool,
    client: Option<Client>,
    stop: CancellationToken,
) -> App {
    let own = client.map(|c| (c.node_id(), Arc::new(c) as Arc<dyn NodeApi>));
    let nodes = Arc::new(RemoteNodes::new(pool.clone(), own, stop));
    let ui = Ui {
        api: api.clone(),
        local: local.clone(),
        nodes: nodes.clone(),
        env: env.clone(),
    };
    App {
        api: api.clone(),
        local: local.clone(),
        nodes,
        env: env.clone(),
        pages: config.ui_enabled.then(|| crate::ui::pages(ui)),
    }
}

/// A server is known by its id in Raft, any other agent by its node's.
fn member_record(
    config: &Config,
    addrs: Addrs,
    consensus: Option<&Consensus>,
    identity: Option<client::Identity>,
) -> MemberRecord {
    let id = consensus.map(|c| c.id().0);
    let id = id.or(identity.map(|i| i.id.0)).unwrap_or_default();
    let cluster = consensus.map(Consensus::cluster_id);
    MemberRecord {
        id,
        name: config.name.clone(),
        region: config.region.clone(),
        datacenter: config.datacenter.clone(),
        server: config.server.as_ref().map(|s| ServerRole {
            expect: s.bootstrap_expect,
            cluster: cluster.filter(|id| !id.is_nil()),
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
