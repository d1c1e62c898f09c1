//! A cluster of simulated machines, as stories use it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tumen::consensus::Consensus;
use tumen::env::sim::{SimNetwork, SimWorld};
use tumen::env::{Env, timeout};
use tumen::model::job::JobSpec;
use tumen::model::{
    AllocClientStatus, AllocId, Allocation, ClusterView, Deployment, DeploymentStatus, EvalStatus,
    JobKey, NodeStatus, RequestId,
};
use tumen::rpc::api::{Api, ApiError, Call, Op, Registration, Reply};
use tumen::rpc::{ClusterToken, Pool, RemoteApi};
use tumen::state::{Snapshot, Store};

use crate::agents::{Agent, Machine, serf};
use crate::trace::{TABLES, Trace};

/// How long a story waits for a state, in simulated time.
const PATIENCE: Duration = Duration::from_secs(900);
/// How long an operator waits for an answer.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// See the module. Servers are named `s1`, `s2`, …; clients `c1`, `c2`, ….
pub struct Cluster {
    pub env: Env,
    pub trace: Trace,
    world: SimWorld,
    machines: BTreeMap<String, Machine>,
    /// Wakes when a task starts or ends on any machine.
    changed: watch::Receiver<u64>,
    agents: BTreeMap<String, Agent>,
    /// The operator's way to the servers, from a machine of his own.
    pool: Pool,
    api: RemoteApi,
}

impl Cluster {
    /// Starts so many servers, which make one cluster, and clients, which are ready on return.
    pub async fn boot(seed: u64, trace: Trace, servers: u8, clients: u8) -> Self {
        let world = SimWorld::new(seed);
        let ips = |from: u8, count: u8| (1..=count).map(move |n| (n, [10, 0, from, n]));
        let seeds: Vec<SocketAddr> = ips(1, servers).map(|(_, ip)| serf(ip)).collect();
        let (changes, changed) = watch::channel(0);
        let machine = |name: String, ip| {
            let machine = Machine::new(&world, &trace, &name, ip, &seeds, &changes);
            (name, machine)
        };
        let servers = ips(1, servers).map(|(n, ip)| machine(format!("s{n}"), ip));
        let clients = ips(2, clients).map(|(n, ip)| machine(format!("c{n}"), ip));
        let machines: BTreeMap<_, _> = servers.chain(clients).collect();
        let env = world.env("op");
        let pool = Pool::new(
            env.clone(),
            ClusterToken::default(),
            CancellationToken::new(),
        );
        let servers = machines.values().filter(|m| m.name.starts_with('s'));
        let (_, servers) = watch::channel(servers.map(Machine::rpc).collect());
        let mut cluster = Self {
            api: RemoteApi::new(env.clone(), pool.clone(), servers),
            env,
            trace,
            world,
            machines,
            changed,
            agents: BTreeMap::new(),
            pool,
        };
        for name in cluster.machines.keys().cloned().collect::<Vec<_>>() {
            cluster.start(&name).await;
        }
        cluster.take_servers_in().await;
        let nodes = cluster.names('c').len();
        let ready = |view: &Snapshot| {
            let ready = view
                .nodes()
                .iter()
                .filter(|n| n.status == NodeStatus::Ready)
                .count();
            (ready == nodes).then_some(())
        };
        cluster.until("every node is ready", ready).await;
        cluster
    }

    /// Makes voters of the servers that started beside the first.
    async fn take_servers_in(&self) {
        let first = self.consensus("s1");
        let mut leadership = first.leadership();
        leadership.wait_for(|l| l.is_me).await.unwrap();
        first.read_barrier().await.unwrap();
        for name in self.names('s').into_iter().filter(|name| name != "s1") {
            let id = self.consensus(&name).id();
            let peer = self.machines[&name].peer();
            first.add_learner(id, peer).await.unwrap();
            first.promote(BTreeSet::from([id])).await.unwrap();
        }
    }

    /// The machines whose name starts like this.
    pub fn names(&self, kind: char) -> Vec<String> {
        let names = self.machines.keys().filter(|name| name.starts_with(kind));
        names.cloned().collect()
    }

    pub fn machine(&self, name: &str) -> &Machine {
        &self.machines[name]
    }

    pub fn network(&self) -> &SimNetwork {
        self.world.network()
    }

    pub fn consensus(&self, name: &str) -> &Consensus {
        &self.agents[name].server.as_ref().expect("it is a server").0
    }

    /// Whether an agent runs there.
    pub fn is_up(&self, name: &str) -> bool {
        self.agents.contains_key(name)
    }

    /// Starts the agent of a machine, on what its disk holds.
    pub async fn start(&mut self, name: &str) {
        self.trace.add(name, "starts");
        let machine = &self.machines[name];
        machine.power_on();
        let agent = match name.starts_with('s') {
            true => machine.start_server(name == "s1").await,
            false => machine.start_client().await,
        };
        self.agents.insert(name.to_owned(), agent);
    }

    /// Kills an agent; what runs on its machine goes on.
    pub async fn kill(&mut self, name: &str) {
        self.crash(name, false).await;
    }

    /// Cuts a machine's power: what was not synced is gone, and so are its tasks.
    pub async fn power_cut(&mut self, name: &str) {
        self.crash(name, true).await;
    }

    async fn crash(&mut self, name: &str, power_cut: bool) {
        let what = if power_cut {
            "loses power"
        } else {
            "is killed"
        };
        self.trace.add(name, what);
        let agent = self.agents.remove(name).expect("it runs");
        self.machines[name].crash(agent, power_cut).await;
    }

    /// Cuts a machine off from all others, and from the operator.
    pub fn isolate(&self, name: &str) {
        self.trace.add(name, "is cut off");
        for other in self.machines.keys().map(String::as_str).chain(["op"]) {
            if other != name {
                self.network().cut(name, other);
            }
        }
    }

    /// Every link is as it should be.
    pub fn heal(&self) {
        self.trace.add("net", "is healed");
        self.network().heal_all();
    }

    /// Ends every agent.
    pub async fn end(mut self) {
        for (_, agent) in std::mem::take(&mut self.agents) {
            agent.end().await;
        }
        self.pool.shutdown().await;
    }

    // ---- what an operator does ----

    pub async fn call(&self, op: Op) -> Result<Reply, ApiError> {
        let call = Call {
            request: RequestId(self.env.entropy.uuid()),
            timeout: CALL_LIMIT,
            op,
        };
        self.api.call(call).await
    }

    pub async fn register(&self, job: &JobSpec) -> Result<Reply, ApiError> {
        let registration = Registration {
            job: job.clone(),
            enforce_index: None,
            submission: None,
            preserve_counts: false,
            eval_priority: 0,
            warnings: Vec::new(),
        };
        self.call(Op::RegisterJob(Box::new(registration))).await
    }

    pub async fn stop_job(&self, id: &str) -> Result<Reply, ApiError> {
        let op = Op::DeregisterJob {
            key: key(id),
            purge: false,
            no_shutdown_delay: false,
            eval_priority: 0,
        };
        self.call(op).await
    }

    // ---- what a story sees ----

    /// The state of a server that runs.
    pub fn store(&self) -> &Store {
        let mut stores = self.agents.values().filter_map(|a| a.server.as_ref());
        &stores.next().expect("a server runs").1
    }

    pub fn view(&self) -> Snapshot {
        self.store().snapshot()
    }

    /// Waits until the state, or what runs on the machines, is as `wanted` says.
    pub async fn until<T>(&self, what: &str, wanted: impl Fn(&Snapshot) -> Option<T>) -> T {
        let store = self.store();
        let watcher = store.watch(TABLES);
        let mut tasks = self.changed.clone();
        let waited = timeout(&*self.env.clock, PATIENCE, async {
            loop {
                if let Some(found) = wanted(&store.snapshot()) {
                    return found;
                }
                tokio::select! {
                    biased;
                    () = watcher.changed() => {}
                    changed = tasks.changed() => changed.expect("the machines are there"),
                }
            }
        });
        let found = waited.await.unwrap_or_else(|_| panic!("never: {what}"));
        self.trace.add("story", what);
        found
    }

    /// Waits until exactly `count` allocations of a job should run, and do.
    pub async fn running(&self, id: &str, count: usize) -> Vec<Arc<Allocation>> {
        let what = format!("{count} of {id} run");
        self.until(&what, |view| {
            let wanted = wanted(view, id);
            let all_run = wanted
                .iter()
                .all(|a| a.client_status == AllocClientStatus::Running);
            (wanted.len() == count && all_run).then_some(wanted)
        })
        .await
    }

    /// Waits until all of `count` run, none of them on the node of this name.
    pub async fn running_but_not_on(
        &self,
        node: &str,
        id: &str,
        count: usize,
    ) -> Vec<Arc<Allocation>> {
        let what = format!("{id} has left {node}");
        let left = |view: &Snapshot| {
            wanted(view, id)
                .iter()
                .all(|a| a.node_name != node)
                .then_some(())
        };
        self.until(&what, left).await;
        self.running(id, count).await
    }

    /// Waits until the newest deployment, of this version of a job, is in this state.
    pub async fn deployment(
        &self,
        id: &str,
        version: u64,
        status: DeploymentStatus,
    ) -> Arc<Deployment> {
        let what = format!("deployment of {id} {version} is {}", status.as_str());
        self.until(&what, |view| {
            let latest = view.latest_deployment(&key(id));
            latest.filter(|d| d.job_version == version && d.status == status)
        })
        .await
    }

    /// The machines on which a task of this allocation runs.
    pub fn where_runs(&self, alloc: AllocId) -> Vec<&str> {
        let runs = |m: &&Machine| m.runs().contains(&alloc);
        let machines = self.machines.values().filter(runs);
        machines.map(|m| m.name.as_str()).collect()
    }

    /// How often a task of an allocation was started, on whatever machine.
    pub fn starts(&self, alloc: AllocId) -> u32 {
        let machines = self.machines.values();
        machines.map(|m| m.engine.starts(alloc, "t")).sum()
    }

    /// Waits until nothing is under way and every machine with an agent runs exactly what it
    /// should.
    pub async fn at_rest(&self) {
        let rests = |view: &Snapshot| {
            let due = view.active_evals().any(|e| e.status == EvalStatus::Pending);
            let under_way = view.allocs().any(|a| match a.is_server_terminal() {
                true => !a.is_client_terminal(),
                false => a.client_status == AllocClientStatus::Pending,
            });
            let agents = self
                .agents
                .iter()
                .filter(|(_, agent)| agent.client.is_some());
            let mut machines = agents.map(|(name, _)| &self.machines[name]);
            (!due && !under_way && machines.all(|m| m.runs() == should_run(view, &m.name)))
                .then_some(())
        };
        self.until("all is at rest", rests).await;
    }

    /// Checks, once all is at rest, that no port is taken twice and that the servers agree.
    pub async fn check(&self) {
        self.at_rest().await;
        let view = self.view();
        for node in view.nodes() {
            let mut ports = BTreeSet::new();
            for alloc in view
                .allocs_of_node(node.id)
                .iter()
                .filter(|a| a.holds_resources())
            {
                for port in alloc.resources.ports.iter().map(|p| p.value) {
                    assert!(ports.insert(port), "port {port} twice on {}", node.name);
                }
            }
        }
        let index = view.index();
        for (name, agent) in &self.agents {
            if let Some((consensus, store)) = &agent.server {
                assert!(consensus.wait_applied(index).await, "{name} has stopped");
                if store.snapshot().index() == index {
                    assert!(store.snapshot().dump() == view.dump(), "{name} differs");
                }
            }
        }
    }
}

/// The allocations that should run on the machine of this name.
fn should_run(view: &Snapshot, machine: &str) -> BTreeSet<AllocId> {
    let live = view
        .allocs()
        .filter(|a| a.node_name == machine && !a.is_terminal());
    live.map(|a| a.id).collect()
}

/// A job of the default namespace.
pub fn key(id: &str) -> JobKey {
    JobKey::new("default", id)
}

/// The allocations of a job that should run.
pub fn wanted(view: &Snapshot, id: &str) -> Vec<Arc<Allocation>> {
    let mut allocs = view.allocs_of_job(&key(id));
    allocs.retain(|a| !a.is_server_terminal() && !a.is_client_terminal());
    allocs
}
