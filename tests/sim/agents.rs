//! A server and a client as a machine's agent composes them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tumen::client::driver::Drivers;
use tumen::client::fingerprint::NodeConfig;
use tumen::client::{self, Client};
use tumen::consensus::{self, Consensus, Peer};
use tumen::env::sim::SimWorld;
use tumen::env::{Env, Store, Task, spawn};
use tumen::gossip::{self, Gossip, Keyring};
use tumen::model::node::NodeReserved;
use tumen::model::{AllocId, MemberRecord, MemberStatus, Members, ServerRole};
use tumen::rpc::serve::Services;
use tumen::rpc::{
    Api, ApiService, ClusterToken, ConnKind, Forwarding, NodeService, Pool, RemoteApi, hello,
};
use tumen::server::{Agreed, Server};
use tumen::state;
use uuid::Uuid;

use crate::engine::Engine;
use crate::trace::{Observed, Trace, follow};

const RPC_PORT: u16 = 4647;
const SERF_PORT: u16 = 4648;
/// How soon an agent that found nobody tries again.
const JOIN_RETRY: Duration = Duration::from_secs(1);

/// A machine that may run an agent.
pub struct Machine {
    pub name: String,
    pub env: Env,
    pub engine: Arc<Engine>,
    ip: [u8; 4],
    world: SimWorld,
    trace: Trace,
    /// The serf addresses that an agent joins.
    seeds: Vec<SocketAddr>,
}

/// A running agent.
pub struct Agent {
    stop: CancellationToken,
    tasks: Vec<Task<()>>,
    pool: Pool,
    pub server: Option<(Consensus, state::Store)>,
    pub client: Option<Client>,
}

/// The serf address of a machine.
pub fn serf(ip: [u8; 4]) -> SocketAddr {
    (ip, SERF_PORT).into()
}

impl Machine {
    pub fn new(
        world: &SimWorld,
        trace: &Trace,
        name: &str,
        ip: [u8; 4],
        seeds: &[SocketAddr],
        changes: &watch::Sender<u64>,
    ) -> Self {
        let env = world.env(name);
        let engine = Engine::new(name, env.clone(), trace.clone(), changes.clone());
        Self {
            engine: Arc::new(engine),
            name: name.to_owned(),
            env,
            ip,
            world: world.clone(),
            trace: trace.clone(),
            seeds: seeds.to_vec(),
        }
    }

    pub fn rpc(&self) -> SocketAddr {
        (self.ip, RPC_PORT).into()
    }

    /// The allocations whose tasks run here.
    pub fn runs(&self) -> BTreeSet<AllocId> {
        self.engine
            .running()
            .into_iter()
            .map(|(id, _)| id)
            .collect()
    }

    /// This machine's server as the others shall know it.
    pub fn peer(&self) -> Peer {
        Peer {
            name: self.name.clone(),
            rpc: self.rpc().to_string(),
            build: "1.0.0".to_owned(),
        }
    }

    fn record(&self, id: Uuid, server: Option<ServerRole>) -> MemberRecord {
        MemberRecord {
            id,
            name: self.name.clone(),
            region: "global".to_owned(),
            datacenter: "dc1".to_owned(),
            client: server.is_none(),
            server,
            http_addr: (self.ip, 4646).into(),
            rpc_addr: self.rpc(),
            serf_addr: serf(self.ip),
            build: "1.0.0".to_owned(),
            revision: String::new(),
            protocol: hello::VERSIONS,
            version: 0,
        }
    }

    /// What every agent has: rpc to others, and the gossip, which it joins.
    async fn begin(
        &self,
        stop: &CancellationToken,
        record: MemberRecord,
    ) -> (Gossip, Vec<Task<()>>) {
        let bound = gossip::bind(self.env.clone(), record.serf_addr).await;
        let keys = Keyring::new(Vec::new(), self.env.entropy.clone());
        let (gossip, running) = bound.unwrap().start(record, keys, stop.clone()).unwrap();
        let (env, seeds, own) = (self.env.clone(), self.seeds.clone(), gossip.clone());
        let join = async move {
            while own.join(&seeds).await.is_empty() {
                env.clock.sleep(JOIN_RETRY).await;
            }
        };
        let joining = ended_by(stop, "join", join);
        (gossip, vec![running, joining])
    }

    async fn serve(&self, stop: &CancellationToken, services: Services) -> Task<()> {
        let listener = self.env.net.listen(self.rpc()).await.unwrap();
        let token = ClusterToken::default();
        let serve = tumen::rpc::serve(self.env.clone(), listener, services, token, stop.clone());
        spawn("rpc", stop.clone(), serve)
    }

    /// Starts a server. The `first` makes the cluster; the others wait to be taken in.
    pub async fn start_server(&self, first: bool) -> Agent {
        let stop = CancellationToken::new();
        let pool = Pool::new(self.env.clone(), ClusterToken::default(), stop.clone());
        let store = state::Store::new();
        let consensus = Consensus::start(consensus::Config {
            env: self.env.clone(),
            dir: "/raft".into(),
            me: self.peer(),
            store: store.clone(),
            pool: pool.clone(),
            addresses: Arc::new(|_| None),
            bootstrap: first,
            log: consensus::LogConfig::default(),
            timers: None,
            snapshots: consensus::SnapshotRule::default(),
            process: CancellationToken::new(),
        })
        .await
        .unwrap();
        let raft = Observed {
            agreed: Agreed::new(consensus.clone(), store.clone()),
            trace: self.trace.clone(),
            machine: self.name.clone(),
        };
        let server = Server::new(self.env.clone(), Arc::new(raft));
        let run = spawn("server", stop.clone(), server.clone().run(stop.clone()));
        let own: Arc<dyn Api> = Arc::new(server);
        let api = Forwarding::new(self.env.clone(), pool.clone(), own.clone());
        let services = Services::new()
            .with(ConnKind::Raft, consensus.service())
            .with(ConnKind::Snapshot, consensus.service())
            .with(ConnKind::Api, Arc::new(ApiService::new(own, Arc::new(api))));
        let role = ServerRole {
            expect: 1,
            cluster: None,
        };
        let record = self.record(consensus.id().0, Some(role));
        let (_, mut tasks) = self.begin(&stop, record).await;
        tasks.push(self.serve(&stop, services).await);
        tasks.push(run);
        let following = follow(store.clone(), self.trace.clone(), self.name.clone());
        tasks.push(ended_by(&stop, "trace", following));
        Agent {
            stop,
            tasks,
            pool,
            server: Some((consensus, store)),
            client: None,
        }
    }

    /// Starts a client, which finds the servers by gossip.
    pub async fn start_client(&self) -> Agent {
        let stop = CancellationToken::new();
        let pool = Pool::new(self.env.clone(), ClusterToken::default(), stop.clone());
        let dir = Path::new("/client");
        self.env.disk.create_dir_all(dir).await.unwrap();
        let identity = client::load_identity(&self.env, dir).await.unwrap();
        let (gossip, mut tasks) = self.begin(&stop, self.record(identity.id.0, None)).await;
        let (found, servers) = watch::channel(Vec::new());
        tasks.push(ended_by(&stop, "servers", find(gossip.members(), found)));
        let mut drivers = Drivers::new();
        drivers.insert("mock_driver", self.engine.clone());
        let store: Arc<dyn Store> = Arc::new(self.world.store(&self.name));
        let parts = client::Parts {
            env: self.env.clone(),
            api: Arc::new(RemoteApi::new(self.env.clone(), pool.clone(), servers)),
            drivers,
            store,
            fs: self.env.files.clone(),
            identity,
        };
        let client = Client::start(self.client_config(), parts, stop.clone()).await;
        let client = client.unwrap();
        let node = Arc::new(NodeService::new(Arc::new(client.clone())));
        let services = Services::new()
            .with(ConnKind::Node, node.clone())
            .with_streams(node);
        tasks.push(self.serve(&stop, services).await);
        Agent {
            stop,
            tasks,
            pool,
            server: None,
            client: Some(client),
        }
    }

    fn client_config(&self) -> client::Config {
        client::Config {
            node: NodeConfig {
                name: self.name.clone(),
                datacenter: "dc1".to_owned(),
                node_class: String::new(),
                node_pool: "default".to_owned(),
                meta: Default::default(),
                http_addr: (self.ip, 4646).into(),
                rpc_addr: self.rpc(),
                host_ip: self.rpc().ip().to_string(),
                interface: "eth0".to_owned(),
                cpu_total: None,
                memory_total_mb: None,
                disk_total_mb: None,
                dynamic_ports: (20_000, 32_000),
                reserved: NodeReserved::default(),
                eligible: true,
                version: "1.0.0".to_owned(),
                revision: String::new(),
            },
            alloc_dir: "/alloc".into(),
            max_kill_timeout: Duration::from_secs(30),
            gc_max_allocs: 50,
        }
    }

    /// Ends an agent without a word: its process is killed, or the machine loses power.
    pub async fn crash(&self, agent: Agent, power_cut: bool) {
        let disk = self.world.disk(&self.name);
        if power_cut {
            disk.crash();
            self.world.network().power_off(&self.name);
        } else {
            disk.kill();
            self.world.network().crash(&self.name);
        }
        agent.end().await;
        if power_cut {
            self.world.store(&self.name).crash();
            self.engine.power_cut();
        }
    }

    /// The machine has power again.
    pub fn power_on(&self) {
        self.world.network().power_on(&self.name);
    }
}

impl Agent {
    /// Ends everything and waits for it. What runs on the machine is left alone.
    pub async fn end(self) {
        self.stop.cancel();
        if let Some(client) = self.client {
            client.detach().await;
        }
        for task in self.tasks {
            task.join().await.unwrap();
        }
        if let Some((consensus, _)) = self.server {
            // On a machine that crashed, the last writes meet a dead disk.
            drop(consensus.shutdown().await);
        }
        self.pool.shutdown().await;
    }
}

/// A task that is dropped where it waits when `stop` is cancelled.
fn ended_by(
    stop: &CancellationToken,
    name: &'static str,
    work: impl Future<Output = ()> + Send + 'static,
) -> Task<()> {
    let token = stop.clone();
    spawn(name, stop.clone(), async move {
        token.run_until_cancelled(work).await;
    })
}

/// Keeps the rpc addresses of the servers that the gossip knows.
async fn find(mut members: watch::Receiver<Members>, found: watch::Sender<Vec<SocketAddr>>) {
    loop {
        let servers = members
            .borrow_and_update()
            .values()
            .filter(|m| m.record.server.is_some() && m.status != MemberStatus::Left)
            .map(|m| m.record.rpc_addr)
            .collect();
        found.send_replace(servers);
        if members.changed().await.is_err() {
            return;
        }
    }
}
