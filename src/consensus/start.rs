//! Opens the Raft directory and starts openraft on it.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use openraft::SnapshotPolicy;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    AddressBook, Consensus, Inner, LogConfig, Progress, StartError, Timers, duties,
    identity::{Identity, SharedIdentity},
    inbound::Inbound,
    log::LogStore,
    machine::Machine,
    network::{Arriving, Links},
    snapshot::SnapshotFiles,
    types::{Peer, Raft, Runtime},
};
use crate::{
    env::{Env, TaskGroup, disk::DiskLock},
    rpc::Pool,
    state::Store,
};

/// Entries kept in the log behind a snapshot, for servers that are a little behind.
const KEPT_ENTRIES: u64 = 10_240;

/// A follower this far behind gets a snapshot; more than lies between two snapshots.
const LAG_MAX: u64 = 20_480;

/// How long openraft waits for a snapshot to be sent and installed.
const SNAPSHOT_LIMIT_MS: u64 = 600_000;

/// What consensus needs.
pub struct Config {
    pub env: Env,
    /// The Raft directory: log, snapshots, identity. Made if missing.
    pub dir: PathBuf,
    /// This server as others shall know it.
    pub me: Peer,
    /// The state that the log is applied to; empty at start.
    pub store: Store,
    pub pool: Pool,
    /// Where servers are now; `|_| None` trusts the membership.
    pub addresses: AddressBook,
    /// Whether a new server may make a cluster of its own (`bootstrap_expect = 1`, nobody to
    /// join).
    pub bootstrap: bool,
    pub log: LogConfig,
    /// Unset: measured.
    pub timers: Option<Timers>,
    pub snapshots: SnapshotRule,
    /// Cancelled when the disk has failed: this server then takes no further part, and a
    /// restart is what may help.
    pub process: CancellationToken,
}

/// When to write a snapshot, beyond what came since the last one.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotRule {
    pub entries: u64,
    pub log_bytes: u64,
    /// After this long, with at least `entries_after` entries.
    pub after: Duration,
    pub entries_after: u64,
    /// Entries kept in the log all the same.
    pub keep: u64,
}

impl Default for SnapshotRule {
    fn default() -> Self {
        Self {
            entries: 16_384,
            log_bytes: 64 << 20,
            after: Duration::from_secs(600),
            entries_after: 1024,
            keep: KEPT_ENTRIES,
        }
    }
}

/// The directory, locked, and who it belongs to.
struct Opened {
    lock: DiskLock,
    identity: SharedIdentity,
}

async fn open_dir(config: &Config) -> Result<Opened, StartError> {
    let (env, dir) = (&config.env, &config.dir);
    let failed = |what| {
        move |source| StartError::Dir {
            what,
            dir: dir.clone(),
            source,
        }
    };
    env.disk.create_dir_all(dir).await.map_err(failed("make"))?;
    let lock = env
        .disk
        .lock(&dir.join("lock"))
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => StartError::InUse { dir: dir.clone() },
            _ => StartError::Dir {
                what: "lock",
                dir: dir.clone(),
                source,
            },
        })?;
    let mut identity = Identity::open(env, dir).await?;
    if config.bootstrap && identity.cluster.is_nil() {
        identity = Identity {
            cluster: env.entropy.uuid(),
            founder: true,
            ..identity
        };
        identity.save(env, dir).await?;
    }
    let identity = SharedIdentity::new(identity, env.clone(), dir.clone());
    Ok(Opened { lock, identity })
}

fn raft_config(
    cluster: Uuid,
    timers: Timers,
    rule: &SnapshotRule,
) -> Result<Arc<openraft::Config>, StartError> {
    let config = openraft::Config {
        cluster_name: cluster.to_string(),
        heartbeat_interval: timers.heartbeat.as_millis() as u64,
        election_timeout_min: timers.election_min.as_millis() as u64,
        election_timeout_max: timers.election_max.as_millis() as u64,
        install_snapshot_timeout: SNAPSHOT_LIMIT_MS,
        max_payload_entries: 1024,
        replication_lag_threshold: LAG_MAX.max(rule.keep * 2),
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: rule.keep,
        purge_batch_size: 1024.min(rule.keep.max(1)),
        enable_pre_vote: Some(true),
        // The default resumes leadership in the same term after a restart. Entries that a crash
        // took before they were synced may be on followers already: others would be written
        // under the same log ids, and acknowledged writes would be lost.
        enable_leader_restore: Some(false),
        backoff: "50ms ...1s".to_owned(),
        ..openraft::Config::default()
    };
    let valid = config
        .validate()
        .map_err(|e| StartError::Timers(e.to_string()))?;
    Ok(Arc::new(valid))
}

impl Consensus {
    /// Opens or makes the Raft directory, recovers what it holds and starts to take part.
    ///
    /// # Errors
    /// When the directory is in use, damaged or cannot be written. Nothing runs then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let Opened { lock, identity } = open_dir(&config).await?;
        let timers = match config.timers {
            Some(timers) => timers,
            None => {
                let measured = Timers::measure(&config.env, &config.dir).await;
                measured.map_err(|source| StartError::Dir {
                    what: "measure the disk of",
                    dir: config.dir.clone(),
                    source,
                })?
            }
        };
        let who = identity.get();
        let raft_config = raft_config(who.cluster, timers, &config.snapshots)?;
        let (env, dir) = (&config.env, &config.dir);
        let (log, writer) =
            LogStore::open(env, dir, who.server, who.cluster, config.log.clone()).await?;
        let progress = watch::Sender::new(Progress::default());
        let followed = progress.subscribe();
        let files = SnapshotFiles {
            env: env.clone(),
            dir: dir.clone(),
        };
        let machine = Machine::new(config.store.clone(), files, progress);
        let links = Links {
            pool: config.pool.clone(),
            identity: identity.clone(),
            addresses: config.addresses.clone(),
            append_limit: (timers.election_max * 2).max(Duration::from_secs(2)),
        };
        let starting = Raft::new(who.server, raft_config, links, log.clone(), machine);
        let raft = match Runtime::scope(env.entropy.u64(), starting).await {
            Ok(raft) => raft,
            Err(e) => {
                let reason = e.to_string();
                drop(log);
                if let Err(e) = writer.close().await {
                    tracing::warn!(target: "raft", error = %e, "could not close the Raft log");
                }
                return Err(StartError::Recover(reason));
            }
        };
        let inbound = Arc::new(Inbound {
            env: env.clone(),
            raft: raft.clone(),
            identity: identity.clone(),
            arriving: Mutex::new(Arriving::default()),
            heard: Mutex::new(env.clock.now()),
        });
        let consensus = Self {
            inner: Arc::new(Inner {
                env: config.env.clone(),
                me: config.me.clone(),
                raft,
                store: config.store,
                identity,
                addresses: config.addresses,
                log,
                writer: Mutex::new(Some(writer)),
                lock: Mutex::new(Some(lock)),
                progress: followed,
                leadership: watch::Sender::default(),
                inbound,
                duties: TaskGroup::new(CancellationToken::new()),
                timers,
            }),
        };
        consensus
            .begin(config.bootstrap)
            .await
            .map_err(|e| StartError::Recover(e.to_string()))?;
        duties::start(&consensus.inner, config.snapshots, config.process);
        Ok(consensus)
    }

    /// Makes the cluster if this server is to be its first; the only voter leads at once.
    async fn begin(&self, bootstrap: bool) -> Result<(), super::MembershipError> {
        let raft = &self.inner.raft;
        let who = self.inner.identity.get();
        let fatal = |e: openraft::error::Fatal<_>| super::MembershipError::Storage(e.to_string());
        if !raft.is_initialized().await.map_err(fatal)? {
            if bootstrap && who.founder {
                self.initialize(BTreeMap::from([(who.server, self.inner.me.clone())]))
                    .await?;
            }
            return Ok(());
        }
        let voters: Vec<_> = raft.voter_ids().collect();
        if voters == [who.server] {
            raft.trigger().elect(false).await.map_err(fatal)?;
        }
        Ok(())
    }
}
