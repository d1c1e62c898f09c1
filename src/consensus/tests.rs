//! One server and three, killed, cut off, restarted and with broken disks. A file of its own per
//! topic is not needed yet: the log has its own tests.

#![allow(clippy::disallowed_methods, reason = "tests wait on the paused clock")]

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

#[tokio::test(start_paused = true)]
async fn one_server_leads_within_milliseconds_and_again_after_a_restart() {
    let world = SimWorld::new(1);
    let machine = Machine::new(&world, 1);
    let before = machine.env.clock.now();
    let server = machine.lead().await;
    assert!(machine.env.clock.now() - before < Duration::from_millis(20));
    let id = server.consensus.id();
    let applied = server.consensus.propose(command(7)).await.unwrap();
    assert!(server.consensus.read_barrier().await.unwrap() >= applied.index);
    assert!(has(&server.consensus.snapshot(), 7));
    let status = server.consensus.status();
    assert_eq!((status.role, status.members.len()), (Role::Leader, 1));
    assert_eq!(status.applied_index, applied.index);
    assert!(status.members[0].leader && status.members[0].voter);
    let cluster = status.cluster;
    server.stop().await;

    let before = machine.env.clock.now();
    let server = machine.lead().await;
    assert!(machine.env.clock.now() - before < Duration::from_millis(20));
    assert_eq!(
        (server.consensus.id(), server.consensus.cluster_id()),
        (id, cluster)
    );
    server.consensus.read_barrier().await.unwrap();
    assert!(has(&server.consensus.snapshot(), 7));
    server.stop().await;
}

/// How often the runtime's one worker found nothing to do and slept within ten seconds.
async fn sleeps_in_ten_seconds() -> u64 {
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.worker_park_count(0);
    tokio::time::sleep(10 * SECOND).await;
    metrics.worker_park_count(0) - before
}

#[tokio::test(start_paused = true)]
async fn a_lone_leader_rests_until_there_are_others() {
    let world = SimWorld::new(1);
    let machines = [Machine::new(&world, 1), Machine::new(&world, 2)];
    let first = machines[0].lead().await;
    first.consensus.propose(command(1)).await.unwrap();
    let alone = sleeps_in_ten_seconds().await;
    assert!(alone <= 60, "{alone} wake-ups in ten idle seconds");

    let second = machines[1].start(false).await;
    let id = second.consensus.id();
    let peer = machines[1].peer();
    first.consensus.add_learner(id, peer).await.unwrap();
    first.consensus.promote(BTreeSet::from([id])).await.unwrap();
    let term = first.consensus.leadership().borrow().term;
    let together = sleeps_in_ten_seconds().await;
    assert!(together > 100, "{together}: no heartbeats");
    let now = first.consensus.leadership().borrow().clone();
    assert!(now.is_me && now.term == term, "{now:?}");
    first.stop().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_directory_is_used_by_one_process() {
    let world = SimWorld::new(1);
    let machine = Machine::new(&world, 1);
    let server = machine.lead().await;
    let second = machine.start_with(true, |_| ()).await.err().unwrap();
    assert!(matches!(second, StartError::InUse { .. }), "{second}");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_without_a_cluster_refuses() {
    let world = SimWorld::new(1);
    let machine = Machine::new(&world, 1);
    let server = machine.start(false).await;
    let refused = server.consensus.propose(command(1)).await.unwrap_err();
    assert_eq!(refused, ProposeError::NotLeader { hint: None });
    let refused = server.consensus.read_barrier().await.unwrap_err();
    assert_eq!(refused, ReadError::NotLeader { hint: None });
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_commands_have_results_of_their_own() {
    let world = SimWorld::new(1);
    let machine = Machine::new(&world, 1);
    let server = machine.lead().await;
    let mut commands: Vec<Command> = (0..50).map(command).collect();
    let mut large = testing::eval(99, &testing::job("j", 1));
    large.status_description = "x".repeat(COMMAND_BYTES_MAX);
    commands.push(Command::new(Timestamp(1), Change::UpsertEvals(vec![large])));
    let results = server.consensus.propose_many(commands).await;
    assert!(results[..50].iter().all(Result::is_ok));
    assert!(matches!(results[50], Err(ProposeError::TooLarge { .. })));
    assert!((0..50).all(|n| has(&server.consensus.snapshot(), n)));
    server.stop().await;
}

/// Power cuts and kills at random moments of a busy server: every acknowledged write is there.
#[tokio::test(start_paused = true)]
async fn one_server_loses_nothing_acknowledged() {
    for seed in 0..seeds(25) {
        let world = SimWorld::new(seed);
        let machine = Machine::new(&world, 1);
        let mut acknowledged = Vec::new();
        for life in 0..3 {
            let snapshots = SnapshotRule {
                entries: 40,
                keep: 10,
                ..SnapshotRule::default()
            };
            let server = machine
                .start_with(true, |config| config.snapshots = snapshots)
                .await
                .unwrap();
            server.led_by_me().await;
            server.consensus.read_barrier().await.unwrap();
            let state = server.consensus.snapshot();
            for n in &acknowledged {
                assert!(
                    has(&state, *n),
                    "seed {seed}, life {life}: write {n} is lost"
                );
            }
            machine.disk.set_sync_delay(Duration::from_millis(3));
            let start = life * 100_000;
            let work = async {
                for n in start.. {
                    if server.consensus.propose(command(n)).await.is_err() {
                        break;
                    }
                    acknowledged.push(n);
                }
            };
            let limit = Duration::from_micros(200_000 + (seed * 104_729 + life * 331) % 2_000_000);
            tokio::select! {
                () = work => panic!("a healthy server refused a write"),
                () = machine.env.clock.sleep(limit) => {}
            }
            machine.crash(&world, server, seed % 2 == 0).await;
            machine.disk.set_sync_delay(Duration::ZERO);
        }
        assert!(acknowledged.len() > 100);
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_from_snapshot_and_log() {
    let world = SimWorld::new(3);
    let machine = Machine::new(&world, 1);
    let rule = SnapshotRule {
        entries: 100,
        keep: 10,
        ..SnapshotRule::default()
    };
    let server = machine
        .start_with(true, |config| config.snapshots = rule)
        .await
        .unwrap();
    server.led_by_me().await;
    for n in 0..300 {
        server.consensus.propose(command(n)).await.unwrap();
    }
    let mut progress = server.consensus.progress();
    let covered = progress.wait_for(|progress| progress.snapshot > 200);
    tokio::time::timeout(10 * SECOND, covered)
        .await
        .unwrap()
        .unwrap();
    for n in 300..330 {
        server.consensus.propose(command(n)).await.unwrap();
    }
    let status = server.consensus.status();
    let before = server.consensus.snapshot().dump();
    server.stop().await;
    let files = machine.disk.files();
    let snapshots = files
        .keys()
        .filter(|p| p.starts_with("/raft") && p.to_string_lossy().contains("snap-"));
    assert_eq!(snapshots.count(), 1);

    let server = machine.lead().await;
    server.consensus.read_barrier().await.unwrap();
    assert_eq!(
        server.consensus.status().last_snapshot_index,
        status.last_snapshot_index
    );
    assert!((0..330).all(|n| has(&server.consensus.snapshot(), n)));
    assert_eq!(server.consensus.snapshot().dump(), before);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_disk_stops_acknowledging_and_is_reported() {
    for full in [true, false] {
        let world = SimWorld::new(4);
        let machine = Machine::new(&world, 1);
        let process = CancellationToken::new();
        let ended = process.clone();
        let started = machine
            .start_with(true, |config| config.process = process)
            .await;
        let server = started.unwrap();
        server.led_by_me().await;
        server.consensus.propose(command(0)).await.unwrap();
        if full {
            machine.disk.set_capacity(Some(0));
        } else {
            machine.disk.set_sync_error(Some(io::ErrorKind::Other));
        }
        let mut acknowledged = 1;
        let error = loop {
            match server.consensus.propose(command(acknowledged)).await {
                Ok(_) => acknowledged += 1,
                Err(error) => break error,
            }
            assert!(acknowledged < 10_000, "a full disk goes on acknowledging");
        };
        assert!(matches!(error, ProposeError::Storage(_)), "{error}");
        let again = server
            .consensus
            .propose(command(acknowledged))
            .await
            .unwrap_err();
        assert!(matches!(again, ProposeError::Storage(_)), "{again}");
        let read = server.consensus.read_barrier().await.unwrap_err();
        assert!(matches!(read, ReadError::Storage(_)), "{read}");
        assert!(server.consensus.failure().borrow().is_some());
        ended.cancelled().await;
        let mut leadership = server.consensus.leadership();
        leadership
            .wait_for(|leadership| !leadership.is_me)
            .await
            .unwrap();
        assert_eq!(server.consensus.status().role, Role::Stopped);
        machine.crash(&world, server, true).await;
        machine.disk.set_capacity(None);
        machine.disk.set_sync_error(None);

        let server = machine.lead().await;
        server.consensus.read_barrier().await.unwrap();
        assert!((0..acknowledged).all(|n| has(&server.consensus.snapshot(), n)));
        server.stop().await;
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

#[tokio::test(start_paused = true)]
async fn three_servers_replicate_and_know_each_other() {
    let cluster = Cluster::new(5).await;
    let leader = cluster.leader().await;
    for n in 0..20 {
        cluster
            .server(leader)
            .consensus
            .propose(command(n))
            .await
            .unwrap();
    }
    let state = cluster.agree().await;
    assert!((0..20).all(|n| has(&state, n)));
    let ids: BTreeSet<_> = cluster
        .running()
        .map(|(_, s)| s.consensus.cluster_id())
        .collect();
    assert_eq!(ids.len(), 1, "the others adopt the cluster's id");
    let follower = (leader + 1) % 3;
    let error = cluster
        .server(follower)
        .consensus
        .propose(command(99))
        .await
        .unwrap_err();
    let ProposeError::NotLeader { hint: Some(hint) } = error else {
        panic!("{error}")
    };
    assert_eq!(hint.id, cluster.server(leader).consensus.id());
    assert_eq!(hint.rpc, cluster.machines[leader].address.to_string());
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn leadership_is_handed_over_without_an_election_timeout() {
    let cluster = Cluster::new(6).await;
    let old = cluster.leader().await;
    let before = cluster.machines[0].env.clock.now();
    cluster
        .server(old)
        .consensus
        .transfer_leadership(None)
        .await
        .unwrap();
    let new = cluster.leader().await;
    assert_ne!(old, new);
    assert!(cluster.machines[0].env.clock.now() - before < Duration::from_millis(200));
    cluster
        .server(new)
        .consensus
        .propose(command(1))
        .await
        .unwrap();
    assert!(has(&cluster.agree().await, 1));
    let error = cluster
        .server(old)
        .consensus
        .transfer_leadership(None)
        .await
        .unwrap_err();
    assert_eq!(error, TransferError::NotLeader);
    cluster.stop().await;
}

/// A leader that is cut off stops confirming reads, and its writes do not survive unseen.
#[tokio::test(start_paused = true)]
async fn a_cut_off_leader_confirms_nothing() {
    let cluster = Cluster::new(7).await;
    let old = cluster.leader().await;
    for n in (0..3).filter(|n| *n != old) {
        cluster
            .world
            .network()
            .cut(&cluster.machines[old].name, &cluster.machines[n].name);
    }
    let read = cluster.server(old).consensus.read_barrier();
    if let Ok(Ok(index)) = tokio::time::timeout(10 * SECOND, read).await {
        panic!("a cut off leader confirmed index {index}");
    }
    let new = async {
        loop {
            for n in (0..3).filter(|n| *n != old) {
                if cluster.server(n).consensus.read_barrier().await.is_ok() {
                    return n;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let new = tokio::time::timeout(10 * SECOND, new)
        .await
        .expect("a new leader");
    cluster
        .server(new)
        .consensus
        .propose(command(5))
        .await
        .unwrap();
    cluster.world.network().heal_all();
    assert!(has(&cluster.agree().await, 5));
    cluster.stop().await;
}

/// A server that slept through more than the log keeps gets a snapshot.
#[tokio::test(start_paused = true)]
async fn a_server_far_behind_gets_a_snapshot() {
    let mut cluster = Cluster::new(8).await;
    let leader = cluster.leader().await;
    let behind = (leader + 1) % 3;
    cluster.crash(behind, true).await;
    let mut commands = 0..;
    for _ in 0..30 {
        let batch = commands.by_ref().take(1000).map(command).collect();
        let results = cluster.server(leader).consensus.propose_many(batch).await;
        assert!(results.iter().all(Result::is_ok));
    }
    cluster
        .server(leader)
        .consensus
        .take_snapshot()
        .await
        .unwrap();
    let purged = async {
        let log = &cluster.server(leader).consensus.inner.log;
        while log.bounds().0.is_none_or(|id| id.index < 15_000) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let purged = tokio::time::timeout(30 * SECOND, purged).await;
    purged.expect("the log is purged behind the snapshot");
    cluster.restart(behind).await;
    let state = cluster.agree().await;
    assert!((0..30_000).step_by(997).all(|n| has(&state, n)));
    let status = cluster.server(behind).consensus.status();
    assert!(status.last_snapshot_index > 25_000, "{status:?}");
    cluster.stop().await;
}

/// Servers die and return at random while one client writes; what it was told is there.
///
/// Catches a leader that resumes its term after a restart (`enable_leader_restore`): entries
/// that it had sent before they were synced, and lost, are then written anew under the same
/// log ids, and the servers differ.
#[tokio::test(start_paused = true)]
async fn three_servers_lose_nothing_acknowledged() {
    for seed in 0..seeds(12) {
        let mut cluster = Cluster::new(100 + seed).await;
        for machine in &cluster.machines {
            machine.disk.set_sync_delay(Duration::from_millis(3));
        }
        let mut acknowledged = Vec::new();
        let mut next = 0;
        for round in 0..6 {
            let leader = cluster.leader().await;
            let until = Duration::from_millis(50 + (seed * 37 + round * 91) % 300);
            let server = cluster.server(leader).consensus.clone();
            let work = async {
                loop {
                    next += 1;
                    if server.propose(command(next)).await.is_ok() {
                        acknowledged.push(next);
                    }
                }
            };
            drop(tokio::time::timeout(until, work).await);
            let victim = if round % 2 == 0 {
                leader
            } else {
                (leader + 1) % 3
            };
            cluster.crash(victim, true).await;
            if round % 3 == 1 {
                cluster.leader().await;
            }
            cluster.restart(victim).await;
        }
        let state = cluster.agree().await;
        for n in &acknowledged {
            assert!(has(&state, *n), "seed {seed}: write {n} is lost");
        }
        assert!(
            acknowledged.len() > 30,
            "seed {seed}: {} writes",
            acknowledged.len()
        );
        cluster.stop().await;
    }
}

/// A wiped disk makes a new server; what is meant for the old one is refused.
#[tokio::test(start_paused = true)]
async fn a_wiped_server_is_a_new_one() {
    let mut cluster = Cluster::new(9).await;
    let leader = cluster.leader().await;
    let wiped = (leader + 1) % 3;
    let old_id = cluster.server(wiped).consensus.id();
    cluster.crash(wiped, true).await;
    for path in cluster.machines[wiped].disk.files().into_keys() {
        cluster.machines[wiped].disk.put(&path, None);
    }
    cluster.restart(wiped).await;
    let server = cluster.server(wiped);
    assert_ne!(server.consensus.id(), old_id);
    for n in 0..5 {
        cluster
            .server(leader)
            .consensus
            .propose(command(n))
            .await
            .unwrap();
    }
    tokio::time::sleep(5 * SECOND).await;
    assert!(
        server.consensus.cluster_id().is_nil(),
        "it took what was meant for another"
    );
    assert_eq!(server.consensus.status().last_log_index, 0);
    cluster.stop().await;
}
