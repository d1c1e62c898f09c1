//! Raft's timers, chosen from how long this machine's disk takes to sync.
//!
//! A candidate and its voters each sync a vote within one election timeout: on a disk slower
//! than about three quarters of it, no leader is ever elected. So the timers follow the disk.

use std::{io, path::Path, time::Duration};

use bytes::Bytes;

use crate::env::{Env, disk::Open};

const SYNCS: usize = 20;

/// Measuring ends here even with fewer syncs; on such a disk a few tell enough.
const MEASURE_LIMIT: Duration = Duration::from_millis(500);

/// How long Raft waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    pub heartbeat: Duration,
    pub election_min: Duration,
    pub election_max: Duration,
}

impl Timers {
    const fn of(heartbeat_ms: u64, min_ms: u64, max_ms: u64) -> Self {
        Self {
            heartbeat: Duration::from_millis(heartbeat_ms),
            election_min: Duration::from_millis(min_ms),
            election_max: Duration::from_millis(max_ms),
        }
    }

    /// The timers for a disk whose slowest syncs take so long.
    pub fn for_sync(slowest: Duration) -> Self {
        match slowest.as_millis() {
            0..=20 => Self::of(100, 300, 600),
            21..=60 => Self::of(100, 500, 1000),
            _ => Self::of(200, 1000, 2000),
        }
    }

    /// Times small writes in `dir`, which must exist.
    pub(super) async fn measure(env: &Env, dir: &Path) -> io::Result<Self> {
        let path = dir.join("sync.tmp");
        let file = env.disk.open(&path, Open::Truncate).await?;
        file.write_and_sync(0, Bytes::from_static(&[0; 4096]))
            .await?;
        let start = env.clock.now();
        let mut slowest = Duration::ZERO;
        for n in 0..SYNCS {
            let before = env.clock.now();
            let offset = (n % 8) as u64 * 512;
            file.write_and_sync(offset, Bytes::from_static(&[1; 512]))
                .await?;
            slowest = slowest.max(env.clock.now() - before);
            if env.clock.now() - start > MEASURE_LIMIT {
                break;
            }
        }
        drop(file);
        env.disk.remove(&path).await?;
        let timers = Self::for_sync(slowest);
        let (sync_ms, election_ms) = (slowest.as_millis(), timers.election_min.as_millis());
        if sync_ms > 60 {
            tracing::warn!(
                target: "raft", sync_ms, election_ms,
                "this disk syncs slowly: elections take longer"
            );
        } else {
            tracing::debug!(target: "raft", sync_ms, election_ms, "measured the disk");
        }
        Ok(timers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::sim::SimWorld;

    #[tokio::test(start_paused = true)]
    async fn slow_disks_get_slow_timers() {
        for (sync_ms, election_ms) in [(1, 300), (40, 500), (100, 1000)] {
            let world = SimWorld::new(1);
            let env = world.env("a");
            env.disk.create_dir_all(Path::new("/raft")).await.unwrap();
            world
                .disk("a")
                .set_sync_delay(Duration::from_millis(sync_ms));
            let timers = Timers::measure(&env, Path::new("/raft")).await.unwrap();
            assert_eq!(timers.election_min, Duration::from_millis(election_ms));
            assert!(world.disk("a").files().is_empty());
        }
    }
}
