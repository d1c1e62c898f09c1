//! What runs beside openraft: one task follows its metrics, publishes leadership and rests the
//! timers of a lone leader, one triggers snapshots, one ends the process when the disk has
//! failed. All end with the group of [`Inner`].

use std::{io, sync::Arc, time::Duration};

use openraft::{ServerState, async_runtime::WatchReceiver};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Inner, Progress, SnapshotRule,
    error::Leader,
    types::{LogId, TypeConfig},
};
use crate::env::Env;

/// How often the snapshot rule is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who leads, as far as this server knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    pub term: u64,
    pub leader: Option<Leader>,
    /// This server leads. Before it acts as leader, a barrier of its term must be committed.
    pub is_me: bool,
}

pub(super) fn start(inner: &Arc<Inner>, rule: SnapshotRule, process: CancellationToken) {
    // A group that was just made takes tasks.
    let token = inner.duties.token().clone();
    inner
        .duties
        .spawn("raft-leadership", follow(inner.clone(), token.clone()));
    let failure = end_on_failure(inner.log.failure(), process, token.clone());
    inner.duties.spawn("raft-failure", failure);
    inner
        .duties
        .spawn("raft-snapshots", snapshots(inner.clone(), rule, token));
}

/// Ends the process when the log has failed: a half-dead server helps nobody.
async fn end_on_failure(
    mut failure: watch::Receiver<Option<Arc<io::Error>>>,
    process: CancellationToken,
    token: CancellationToken,
) {
    let failed = failure.wait_for(Option::is_some);
    if let Some(Ok(_)) = token.run_until_cancelled(failed).await {
        tracing::error!(target: "raft", "the disk has failed under the Raft log: stopping");
        process.cancel();
    }
}

/// Publishes every change of term and leader.
async fn follow(inner: Arc<Inner>, token: CancellationToken) {
    let mut metrics = inner.raft.metrics();
    loop {
        let (now, alone) = {
            let metrics = metrics.borrow_watched();
            let now = leadership(&inner, &metrics);
            (now, metrics.membership_config.nodes().count() == 1)
        };
        // A leader without anybody to send heartbeats to has nothing to time: its ticks, one
        // per fifth of a heartbeat, would be most of what an idle server does.
        inner.raft.runtime_config().tick(!(now.is_me && alone));
        let changed = inner.leadership.send_if_modified(|current| {
            let differs = *current != now;
            if differs {
                *current = now.clone();
            }
            differs
        });
        if changed {
            let leader = now
                .leader
                .map_or("nobody".to_owned(), |leader| leader.id.to_string());
            tracing::info!(target: "raft", term = now.term, leader, "leadership");
        }
        tokio::select! {
            biased;
            () = token.cancelled() => break,
            changed = metrics.changed() => if changed.is_err() { break },
        }
    }
    inner.leadership.send_modify(|current| {
        current.leader = None;
        current.is_me = false;
    });
}

pub(super) fn leadership(inner: &Inner, metrics: &openraft::RaftMetrics<TypeConfig>) -> Leadership {
    let me = inner.identity.get().server;
    let stopped = metrics.running_state.is_err();
    let is_me = metrics.state == ServerState::Leader && !stopped;
    let leader = metrics
        .current_leader
        .filter(|id| !stopped && (*id != me || is_me));
    let leader = leader.map(|id| Leader {
        id,
        rpc: inner.rpc_of(id, metrics),
    });
    Leadership {
        term: metrics.current_term,
        leader,
        is_me,
    }
}

/// Triggers a snapshot when enough has come since the last one.
async fn snapshots(inner: Arc<Inner>, rule: SnapshotRule, token: CancellationToken) {
    let rule = spread(rule, &inner.env);
    let mut since = inner.env.clock.now();
    let mut bytes_then = inner.log.written_bytes();
    let mut asked_at = 0;
    loop {
        tokio::select! {
            biased;
            () = token.cancelled() => return,
            () = inner.env.clock.sleep(LOOK_EVERY) => {}
        }
        let progress = *inner.progress.borrow();
        measure(&inner, progress);
        let entries = progress
            .applied
            .saturating_sub(progress.snapshot.max(asked_at));
        let bytes = inner.log.written_bytes() - bytes_then;
        let long = inner.env.clock.now() - since >= rule.after;
        let due = entries >= rule.entries
            || (bytes >= rule.log_bytes && entries > 0)
            || (long && entries >= rule.entries_after);
        if !due {
            continue;
        }
        if let Err(error) = inner.raft.trigger().snapshot().await {
            tracing::warn!(target: "raft", %error, "could not ask for a snapshot");
            return;
        }
        asked_at = progress.applied;
        since = inner.env.clock.now();
        bytes_then = inner.log.written_bytes();
    }
}

/// What a graph of this server's part in Raft shows.
fn measure(inner: &Inner, progress: Progress) {
    let (purged, last) = inner.log.bounds();
    let index = |id: Option<LogId>| id.map_or(0, |id| id.index);
    let (term, leads) = {
        let now = inner.leadership.borrow();
        (now.term, now.is_me)
    };
    let gauges = [
        ("tumen.raft.term", term),
        ("tumen.raft.leader", u64::from(leads)),
        ("tumen.raft.applied_index", progress.applied),
        ("tumen.raft.snapshot_index", progress.snapshot),
        ("tumen.raft.last_index", index(last)),
        ("tumen.raft.purged_index", index(purged)),
    ];
    for (name, value) in gauges {
        inner.env.metrics.gauge(name, &[], value as f64);
    }
}

/// Up to a quarter more or less, so that servers do not all write at the same index.
fn spread(rule: SnapshotRule, env: &Env) -> SnapshotRule {
    let spread = |n: u64| {
        let quarter = n / 4;
        n - quarter + env.entropy.range(0..quarter * 2 + 1)
    };
    SnapshotRule {
        entries: spread(rule.entries),
        log_bytes: spread(rule.log_bytes),
        ..rule
    }
}
