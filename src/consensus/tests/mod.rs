//! One server and three on simulated machines: killed, cut off, restarted, with broken disks.

#![allow(clippy::disallowed_methods, reason = "tests wait on the paused clock")]

mod elections;
mod one;
mod three;

use std::{net::SocketAddr, path::PathBuf};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    env::{
        Task,
        sim::{SimDisk, SimWorld},
        spawn,
    },
    model::{EvalId, Timestamp},
    rpc::{ClusterToken, ConnKind, Pool, Services, serve},
    state::{Change, testing},
};

const SECOND: Duration = Duration::from_secs(1);
const DIR: &str = "/raft";

/// A command that leaves evaluation `n`, and the question whether it did.
fn command(n: u64) -> Command {
    let eval = testing::eval(n.into(), &testing::job("j", 1));
    Command::new(Timestamp(1), Change::UpsertEvals(vec![eval]))
}

fn has(snapshot: &Snapshot, n: u64) -> bool {
    snapshot.eval(EvalId(testing::uuid(n.into()))).is_some()
}

fn small_log() -> LogConfig {
    LogConfig {
        segment_bytes: 16 << 10,
        step_bytes: 4 << 10,
        cache_entries: 16,
        cache_bytes: 4 << 10,
    }
}

/// How many seeds to try: so many, or what `TUMEN_SEEDS` says for a longer search.
fn seeds(few: u64) -> u64 {
    let said = std::env::var("TUMEN_SEEDS").ok();
    said.and_then(|n| n.parse().ok()).unwrap_or(few)
}

/// A machine that may run a server.
struct Machine {
    name: String,
    env: Env,
    disk: SimDisk,
    address: SocketAddr,
}

/// A running server.
struct Server {
    consensus: Consensus,
    stop: CancellationToken,
    serving: Task<()>,
}

impl Machine {
    fn new(world: &SimWorld, n: u8) -> Self {
        let name = format!("10.0.0.{n}");
        let address = SocketAddr::new(name.parse().unwrap(), 4647);
        Self {
            env: world.env(&name),
            disk: world.disk(&name),
            address,
            name,
        }
    }

    fn config(&self, pool: Pool, bootstrap: bool) -> Config {
        Config {
            env: self.env.clone(),
            dir: PathBuf::from(DIR),
            me: self.peer(),
            store: Store::new(),
            pool,
            addresses: Arc::new(|_| None),
            bootstrap,
            log: small_log(),
            timers: None,
            snapshots: SnapshotRule::default(),
            process: CancellationToken::new(),
        }
    }

    fn peer(&self) -> Peer {
        let build = "1.0.0".to_owned();
        Peer {
            name: self.name.clone(),
            rpc: self.address.to_string(),
            build,
        }
    }

    async fn start_with(
        &self,
        bootstrap: bool,
        change: impl FnOnce(&mut Config),
    ) -> Result<Server, StartError> {
        let stop = CancellationToken::new();
        let pool = Pool::new(self.env.clone(), ClusterToken::default(), stop.clone());
        let mut config = self.config(pool, bootstrap);
        change(&mut config);
        let consensus = Consensus::start(config).await?;
        let services = Services::new()
            .with(ConnKind::Raft, consensus.service())
            .with(ConnKind::Snapshot, consensus.service());
        let listener = self.env.net.listen(self.address).await.unwrap();
        let token = ClusterToken::default();
        let serve = serve(self.env.clone(), listener, services, token, stop.clone());
        let serving = spawn("serve", stop.clone(), serve);
        Ok(Server {
            consensus,
            stop,
            serving,
        })
    }

    async fn start(&self, bootstrap: bool) -> Server {
        self.start_with(bootstrap, |_| ()).await.unwrap()
    }

    /// Starts a first server and waits until it leads.
    async fn lead(&self) -> Server {
        let server = self.start(true).await;
        server.led_by_me().await;
        server
    }

    /// Ends a server without letting it finish anything: its disk forgets or keeps the
    /// unsynced, its network is gone.
    async fn crash(&self, world: &SimWorld, server: Server, power_cut: bool) {
        if power_cut {
            self.disk.crash();
        } else {
            self.disk.kill();
        }
        world.network().crash(&self.name);
        server.stop.cancel();
        // What it still tries to write meets a dead disk.
        drop(server.consensus.shutdown().await);
        server.serving.join().await.unwrap();
    }
}

impl Server {
    async fn led_by_me(&self) {
        let mut leadership = self.consensus.leadership();
        let led = leadership.wait_for(|leadership| leadership.is_me);
        tokio::time::timeout(20 * SECOND, led)
            .await
            .expect("a leader in time")
            .unwrap();
    }

    async fn stop(self) {
        self.consensus.shutdown().await.unwrap();
        self.stop.cancel();
        self.serving.join().await.unwrap();
    }
}

/// Three servers of one cluster.
struct Cluster {
    world: SimWorld,
    machines: Vec<Machine>,
    servers: Vec<Option<Server>>,
}

impl Cluster {
    async fn new(seed: u64) -> Self {
        let world = SimWorld::new(seed);
        let machines: Vec<Machine> = (1..=3).map(|n| Machine::new(&world, n)).collect();
        let first = machines[0].lead().await;
        let mut servers = vec![Some(first)];
        for machine in &machines[1..] {
            servers.push(Some(machine.start(false).await));
        }
        let cluster = Self {
            world,
            machines,
            servers,
        };
        let leader = cluster.server(0);
        leader.consensus.read_barrier().await.unwrap();
        for n in 1..3 {
            let id = cluster.server(n).consensus.id();
            leader
                .consensus
                .add_learner(id, cluster.machines[n].peer())
                .await
                .unwrap();
            leader
                .consensus
                .promote(BTreeSet::from([id]))
                .await
                .unwrap();
        }
        cluster
    }

    fn server(&self, n: usize) -> &Server {
        self.servers[n].as_ref().expect("the server runs")
    }

    fn running(&self) -> impl Iterator<Item = (usize, &Server)> {
        let servers = self.servers.iter().enumerate();
        servers.filter_map(|(n, server)| server.as_ref().map(|server| (n, server)))
    }

    /// Waits for a server that confirms that it leads.
    async fn leader(&self) -> usize {
        let search = async {
            loop {
                for (n, server) in self.running() {
                    if server.consensus.leadership().borrow().is_me
                        && server.consensus.read_barrier().await.is_ok()
                    {
                        return n;
                    }
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(30 * SECOND, search)
            .await
            .expect("a leader in time")
    }

    async fn crash(&mut self, n: usize, power_cut: bool) {
        let server = self.servers[n].take().expect("the server runs");
        self.machines[n].crash(&self.world, server, power_cut).await;
    }

    async fn restart(&mut self, n: usize) {
        self.servers[n] = Some(self.machines[n].start(false).await);
    }

    /// Waits until all have applied what the leader confirms; all states must be equal then.
    async fn agree(&self) -> Snapshot {
        let leader = self.server(self.leader().await);
        let index = leader.consensus.read_barrier().await.unwrap();
        for (n, server) in self.running() {
            let applied = server.consensus.wait_applied(index);
            let in_time = tokio::time::timeout(20 * SECOND, applied).await;
            assert!(in_time.unwrap_or_else(|_| panic!("server {n} stays behind")));
        }
        let state = leader.consensus.snapshot();
        for (n, server) in self.running() {
            let same = server.consensus.snapshot().dump() == state.dump();
            assert!(same, "server {n} differs");
        }
        state
    }

    async fn stop(self) {
        for server in self.servers.into_iter().flatten() {
            server.stop().await;
        }
    }
}
