//! SIGKILL against a server that writes to real files: what it acknowledged is there afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that panics fails"
)]

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command as Process, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use tumen::{
    consensus::{Config, Consensus, LogConfig, Peer, SnapshotRule},
    env::Env,
    model::{RequestId, Timestamp},
    rpc::{ClusterToken, Pool},
    state::{Change, Command, Store},
};
use uuid::Uuid;

/// Set for the process that is to be killed: where it writes.
const DIR: &str = "TUMEN_TEST_RAFT_DIR";
const ROUNDS: u64 = 12;

/// A write that can be asked for again: the same request id applies once.
fn command(n: u64) -> Command {
    let request = RequestId(Uuid::from_u128(u128::from(n) + 1));
    Command::once(request, Timestamp(1), Change::Barrier)
}

async fn start(dir: &Path) -> Consensus {
    let env = Env::real();
    let pool = Pool::new(
        env.clone(),
        ClusterToken::default(),
        CancellationToken::new(),
    );
    let log = LogConfig {
        segment_bytes: 64 << 10,
        step_bytes: 16 << 10,
        ..LogConfig::default()
    };
    let config = Config {
        env,
        dir: dir.to_owned(),
        me: Peer {
            name: "a".into(),
            rpc: "127.0.0.1:4647".into(),
            build: "1".into(),
        },
        store: Store::new(),
        pool,
        addresses: Arc::new(|_| None),
        bootstrap: true,
        log,
        timers: None,
        snapshots: SnapshotRule {
            entries: 500,
            keep: 100,
            ..SnapshotRule::default()
        },
        process: CancellationToken::new(),
    };
    let consensus = Consensus::start(config).await.expect("the directory opens");
    let mut leadership = consensus.leadership();
    let led = leadership.wait_for(|leadership| leadership.is_me);
    tokio::time::timeout(Duration::from_secs(10), led)
        .await
        .expect("a leader")
        .expect("running");
    consensus
}

/// What the killed process does: says each number after its write is acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that `a_killed_server_loses_nothing` starts and kills"]
async fn writer() {
    let dir = PathBuf::from(std::env::var_os(DIR).expect("started by the test"));
    let consensus = start(&dir).await;
    let first = consensus.status().last_log_index * 1000;
    let mut out = std::io::stdout();
    for n in first.. {
        consensus.propose(command(n)).await.expect("a healthy disk");
        writeln!(out, "ack {n}")
            .and_then(|()| out.flush())
            .expect("the test reads");
    }
}

fn spawn_writer(dir: &Path) -> Child {
    let test = std::env::current_exe().expect("a test has a path");
    Process::new(test)
        .args(["--exact", "writer", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the test can start itself")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let dir = root.path().join("raft");
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let mut child = spawn_writer(&dir);
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let enough = 30 + usize::try_from(round * 53 % 200).expect("it is small");
        let before = acknowledged.len();
        let said = lines.map_while(Result::ok);
        let mut numbers = said.filter_map(|line| line.strip_prefix("ack ")?.parse::<u64>().ok());
        acknowledged.extend(numbers.by_ref().take(enough));
        child.kill().expect("it runs");
        // What it said before it died counts too.
        acknowledged.extend(numbers);
        child.wait().expect("it was killed");
        assert!(
            acknowledged.len() >= before + enough,
            "round {round}: the writer gave up"
        );
    }

    let consensus = start(&dir).await;
    let last = consensus.status().last_log_index;
    for n in &acknowledged {
        let applied = consensus
            .propose(command(*n))
            .await
            .expect("a healthy disk");
        assert!(
            applied.index <= last,
            "write {n} was acknowledged, and is lost"
        );
    }
    consensus.shutdown().await.expect("a healthy disk");
}
