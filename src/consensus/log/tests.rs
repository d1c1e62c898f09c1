//! The log under openraft's storage suite, over restarts, and against damage.

#![allow(clippy::disallowed_methods, reason = "tests wait on the paused clock")]

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use openraft::{
    RaftLogReader, StorageError,
    storage::{RaftLogStorage, RaftLogStorageExt},
    testing::log::{StoreBuilder, Suite},
};
use tokio::sync::watch;
use uuid::Uuid;

use super::{super::types::*, *};
use crate::{
    consensus::{machine::Machine, snapshot::SnapshotFiles},
    env::{Env, sim::SimWorld},
    model::Timestamp,
    state::{Change, Command, Store},
};

const DIR: &str = "/raft";

fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 2000,
        step_bytes: 512,
        cache_entries: 0,
        cache_bytes: 0,
    }
}

async fn open(env: &Env, config: LogConfig) -> Result<(LogStore, store::LogWriter), LogError> {
    env.disk.create_dir_all(Path::new(DIR)).await.unwrap();
    LogStore::open(
        env,
        Path::new(DIR),
        ServerId::from(1),
        Uuid::from_u128(9),
        config,
    )
    .await
}

fn id(term: u64, index: u64) -> LogId {
    LogId {
        leader_id: LeaderId {
            term,
            node_id: ServerId::from(1),
        },
        index,
    }
}

fn entry(term: u64, index: u64) -> Entry {
    let proposal = Proposal::new(Command::new(Timestamp(index as i64), Change::Barrier)).unwrap();
    Entry {
        log_id: id(term, index),
        payload: Payload::Normal(proposal),
    }
}

async fn append(log: &mut LogStore, term: u64, range: std::ops::Range<u64>) {
    let entries: Vec<Entry> = range.map(|index| entry(term, index)).collect();
    log.blocking_append(entries).await.unwrap();
}

async fn ids(log: &mut LogStore) -> Vec<(u64, u64)> {
    let entries = log.try_get_log_entries(..).await.unwrap();
    entries
        .iter()
        .map(|e| (e.log_id.leader_id.term, e.log_id.index))
        .collect()
}

fn expected(term: u64, range: std::ops::Range<u64>) -> Vec<(u64, u64)> {
    range.map(|index| (term, index)).collect()
}

struct Stores {
    world: SimWorld,
    config: LogConfig,
    made: AtomicU64,
}

impl StoreBuilder<TypeConfig, LogStore, Machine, ()> for Stores {
    async fn build(&self) -> Result<((), LogStore, Machine), StorageError<TypeConfig>> {
        let n = self.made.fetch_add(1, Ordering::Relaxed);
        let env = self.world.env(&n.to_string());
        let opened = open(&env, self.config.clone()).await.unwrap();
        let files = SnapshotFiles {
            env,
            dir: PathBuf::from(DIR),
        };
        let machine = Machine::new(Store::new(), files, watch::Sender::default());
        // The writer ends when the last handle of its log does.
        tokio::spawn(async move { opened.1.wait().await });
        Ok(((), opened.0, machine))
    }
}

/// With everything cached, with nothing cached, and with tiny segments.
#[tokio::test(start_paused = true)]
async fn passes_the_storage_suite_of_openraft() {
    let uncached = LogConfig {
        cache_entries: 0,
        cache_bytes: 0,
        ..LogConfig::default()
    };
    for config in [
        LogConfig {
            step_bytes: 4096,
            ..LogConfig::default()
        },
        uncached,
        small(),
    ] {
        let stores = Stores {
            world: SimWorld::new(1),
            config,
            made: AtomicU64::new(0),
        };
        Suite::test_all(stores).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_is_the_same_after_a_restart() {
    let world = SimWorld::new(2);
    let env = world.env("a");
    let (mut log, writer) = open(&env, small()).await.unwrap();
    append(&mut log, 1, 0..60).await;
    log.truncate_after(Some(id(1, 49))).await.unwrap();
    append(&mut log, 2, 50..90).await;
    log.save_vote(&Vote::new(3, ServerId::from(2)))
        .await
        .unwrap();
    log.save_committed(Some(id(2, 80))).await.unwrap();
    log.purge(id(1, 19)).await.unwrap();
    let mut before = expected(1, 20..50);
    before.extend(expected(2, 50..90));
    assert_eq!(ids(&mut log).await, before);
    writer.close().await.unwrap();
    drop(log);
    let segments = world.disk("a").files().len();
    assert!(
        segments > 2,
        "{segments} files: the test wants several segments"
    );

    let (mut log, writer) = open(&env, small()).await.unwrap();
    assert_eq!(ids(&mut log).await, before);
    assert_eq!(
        log.read_vote().await.unwrap(),
        Some(Vote::new(3, ServerId::from(2)))
    );
    assert_eq!(log.read_committed().await.unwrap(), Some(id(2, 80)));
    assert_eq!(log.bounds(), (Some(id(1, 19)), Some(id(2, 89))));
    append(&mut log, 3, 90..95).await;
    before.extend(expected(3, 90..95));
    assert_eq!(ids(&mut log).await, before);
    writer.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn purging_unlinks_segments() {
    let world = SimWorld::new(3);
    let env = world.env("a");
    let (mut log, writer) = open(&env, small()).await.unwrap();
    append(&mut log, 1, 0..20).await;
    for start in (20..200).step_by(10) {
        append(&mut log, 1, start..start + 10).await;
    }
    let before = world.disk("a").files().len();
    log.purge(id(1, 189)).await.unwrap();
    writer.close().await.unwrap();
    drop(log);
    let after = world.disk("a").files().len();
    assert!(after < before && after <= 3, "{before} files, then {after}");
    let (mut log, writer) = open(&env, small()).await.unwrap();
    assert_eq!(ids(&mut log).await, expected(1, 190..200));
    // A snapshot from the leader may be ahead of the whole log.
    log.purge(id(1, 500)).await.unwrap();
    append(&mut log, 4, 501..503).await;
    assert_eq!(ids(&mut log).await, expected(4, 501..503));
    writer.close().await.unwrap();
    let (mut log, writer) = open(&env, small()).await.unwrap();
    assert_eq!(ids(&mut log).await, expected(4, 501..503));
    writer.close().await.unwrap();
}

/// Power cuts at any moment: what was acknowledged is there, in order, without a hole.
#[tokio::test(start_paused = true)]
async fn a_power_cut_loses_nothing_acknowledged() {
    let mut cut = 0;
    for seed in 0..150 {
        let world = SimWorld::new(seed);
        let disk = world.disk("a");
        let env = world.env("a");
        let mut acknowledged = 0;
        for life in 1..4 {
            let (mut log, writer) = open(&env, small()).await.unwrap();
            let held = ids(&mut log).await;
            let next = held.len() as u64;
            assert!(
                next >= acknowledged,
                "seed {seed}: {next} of {acknowledged} entries left"
            );
            assert!(
                held.iter()
                    .enumerate()
                    .all(|(i, (_, index))| i as u64 == *index)
            );
            disk.set_sync_delay(Duration::from_millis(2));
            let work = async {
                for n in 0.. {
                    let from = next + n * 3;
                    let entries: Vec<Entry> = (from..from + 3).map(|i| entry(life, i)).collect();
                    if log.blocking_append(entries).await.is_err() {
                        break;
                    }
                    acknowledged = from + 3;
                }
            };
            let until = Duration::from_micros(500 + (seed * 7919) % 40_000);
            tokio::select! {
                () = work => panic!("the log failed"),
                () = tokio::time::sleep(until) => {}
            }
            disk.crash();
            disk.set_sync_delay(Duration::ZERO);
            let closed = writer.close().await;
            cut += u32::from(closed.is_err());
        }
    }
    assert!(cut > 50, "only {cut} crashes hit a write in progress");
}

/// A log of a few batches in several segments: its files, its ids, and those of its last batch.
async fn sample() -> (SimWorld, PathBuf, Vec<(u64, u64)>, u64) {
    let world = SimWorld::new(4);
    let (mut log, writer) = open(&world.env("a"), small()).await.unwrap();
    log.save_vote(&Vote::new(1, ServerId::from(1)))
        .await
        .unwrap();
    for start in (0..45).step_by(3) {
        append(&mut log, 1, start..start + 3).await;
    }
    let all = ids(&mut log).await;
    writer.close().await.unwrap();
    let files = world.disk("a").files();
    let newest = files.keys().next_back().unwrap().clone();
    assert_eq!(files.len(), 2, "{:?}", files.keys());
    (world, newest, all, 42)
}

/// What a damaged log does: refuses, or opens with all but the last batch at least.
async fn judge(world: &SimWorld, all: &[(u64, u64)], last_batch: u64, what: &str) -> bool {
    match open(&world.env("a"), small()).await {
        Err(LogError::Damaged { .. }) => false,
        Err(e) => panic!("{what}: {e}"),
        Ok((mut log, writer)) => {
            let held = ids(&mut log).await;
            assert!(
                held.len() as u64 >= last_batch,
                "{what}: only {} entries left",
                held.len()
            );
            assert_eq!(held, all[..held.len()], "{what}");
            assert!(
                log.read_vote().await.unwrap().is_some(),
                "{what}: the vote is lost"
            );
            // It goes on, and what it writes is read back.
            let next = held.len() as u64;
            append(&mut log, 2, next..next + 2).await;
            writer.close().await.unwrap();
            let (mut log, writer) = open(&world.env("a"), small()).await.unwrap();
            assert_eq!(ids(&mut log).await.len() as u64, next + 2, "{what}");
            writer.close().await.unwrap();
            true
        }
    }
}

/// Every byte of every segment is damaged in three ways, and every length is cut to.
#[tokio::test(start_paused = true)]
async fn damage_is_cut_off_or_refused_never_missed() {
    let (world, newest, all, last_batch) = sample().await;
    let disk = world.disk("a");
    let files = disk.files();
    let (mut opened, mut refused) = (0, 0);
    let mut count = |ok: bool| if ok { opened += 1 } else { refused += 1 };
    for (path, content) in &files {
        for at in 0..content.len() {
            let mut flipped = content.clone();
            flipped[at] ^= 0x04;
            let mut zeroed = content.clone();
            let end = (at + 40).min(zeroed.len());
            zeroed[at..end].fill(0);
            let cut = content[..at].to_vec();
            for (how, damaged) in [("flipped", flipped), ("zeroed", zeroed), ("cut", cut)] {
                for (other, whole) in &files {
                    disk.put(other, Some(whole.clone()));
                }
                disk.put(path, Some(damaged));
                let what = format!("{how} at {at} of {}", path.display());
                count(judge(&world, &all, last_batch, &what).await);
                for extra in disk.files().into_keys().filter(|p| !files.contains_key(p)) {
                    disk.put(&extra, None);
                }
            }
        }
    }
    assert!(
        opened > 100 && refused > 1000,
        "{opened} opened, {refused} refused"
    );

    files
        .iter()
        .for_each(|(path, whole)| disk.put(path, Some(whole.clone())));
    let first = files.keys().find(|path| **path != newest).unwrap();
    disk.put(first, None);
    let missing = open(&world.env("a"), small()).await.err().unwrap();
    assert!(missing.to_string().contains("are missing"), "{missing}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_file_and_offset() {
    let (world, newest, _, _) = sample().await;
    let disk = world.disk("a");
    let mut content = disk.files()[&newest].clone();
    content[100] ^= 1;
    disk.put(&newest, Some(content));
    let error = open(&world.env("a"), small())
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("log-0000000000000002") && error.contains("offset 64"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_sync_nothing_is_acknowledged() {
    for kind in [std::io::ErrorKind::Other, std::io::ErrorKind::StorageFull] {
        let world = SimWorld::new(6);
        let disk = world.disk("a");
        let (mut log, writer) = open(&world.env("a"), small()).await.unwrap();
        append(&mut log, 1, 0..3).await;
        let failure = log.failure();
        disk.set_sync_error(Some(kind));
        log.blocking_append([entry(1, 3)]).await.unwrap_err();
        disk.set_sync_error(None);
        log.blocking_append([entry(1, 4)]).await.unwrap_err();
        log.save_vote(&Vote::new(2, ServerId::from(1)))
            .await
            .unwrap_err();
        assert_eq!(failure.borrow().as_ref().map(|e| e.kind()), Some(kind));
        writer.close().await.unwrap_err();
    }
}
