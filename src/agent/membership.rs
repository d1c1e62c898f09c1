//! Finds the other agents, and tells which servers there are.
//!
//! **Owns** the list of servers that this agent asks, the tries to join, and what is remembered
//! of the members. **Does not** judge who is there: it reads the gossip's watch.
//!
//! One task. While this agent knows nobody who could help it (no other member; for an agent
//! that is no server: no server) it tries what it remembers and what it was told, in pauses
//! that grow up to `retry_interval`.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::env::Env;
use crate::model::{Member, MemberRecord, MemberStatus, Members};

use super::config::JoinConfig;
use super::join::{JoinError, Joiner};
use super::remembered::{self, Remembered};

/// The first pause between two tries; each is twice as long as the one before.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Members that were known before are tried at least so often: a cluster may return.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Failures of the first tries are nothing to talk about: agents start together.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is remembered is written at most so often.
const REMEMBER_EVERY: Duration = Duration::from_secs(5);

/// What the task works with.
pub(super) struct Membership {
    pub(super) env: Env,
    pub(super) joiner: Joiner,
    pub(super) join: JoinConfig,
    pub(super) members: watch::Receiver<Members>,
    pub(super) remembered: Remembered,
    /// This agent's member id.
    pub(super) own: Uuid,
    pub(super) is_server: bool,
    /// The rpc addresses of the servers, for whoever asks them.
    pub(super) servers: watch::Sender<Vec<SocketAddr>>,
    /// Cancelled when the agent gives up joining.
    pub(super) process: CancellationToken,
}

/// The tries so far to find anybody.
struct Tries {
    began: Instant,
    count: u32,
    next: Instant,
    pause: Duration,
}

impl Membership {
    /// Runs until `stop` is cancelled; what is known then is remembered.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let known = self.remembered.load().await.unwrap_or_else(|error| {
            tracing::warn!(target: "agent", %error, "could not read the remembered members");
            Vec::new()
        });
        let servers = known.iter().filter(|r| r.server.is_some());
        self.servers
            .send_replace(servers.map(|r| r.rpc_addr).collect());
        let mut saved = known.clone();
        let mut save_at = self.env.clock.now();
        let mut tries = None;
        let mut ever = false;
        loop {
            let now = self.env.clock.now();
            let members = self.members.borrow_and_update().clone();
            self.tell_servers(&members);
            let worthy = remembered::worthy(&members, self.own);
            // Forgetting everybody would leave nobody to return to.
            let stale = !worthy.is_empty() && worthy != saved;
            if stale && now >= save_at {
                save_at = now + REMEMBER_EVERY;
                self.remember(&worthy).await;
                saved = worthy;
                continue;
            }
            let lonely = self.lonely(&members);
            ever |= !lonely;
            if !lonely || known.is_empty() && self.join.retry.is_empty() {
                tries = None;
            } else if tries.as_ref().is_none_or(|t: &Tries| now >= t.next) {
                let mut these = tries.take().unwrap_or(Tries::new(now));
                self.try_all(&known, &these).await;
                these.count += 1;
                if !ever && self.join.tries_max > 0 && these.count >= self.join.tries_max {
                    return self.give_up(these.count);
                }
                these.wait(self.env.clock.now(), self.join.interval);
                tries = Some(these);
                continue;
            }
            let wake = [tries.as_ref().map(|t| t.next), stale.then_some(save_at)];
            let wake = wake.into_iter().flatten().min();
            let sleep = async {
                match wake {
                    Some(at) => self.env.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changed = self.members.changed() => if changed.is_err() { break },
                () = sleep => {}
            }
        }
        let worthy = remembered::worthy(&self.members.borrow(), self.own);
        if !worthy.is_empty() && worthy != saved {
            self.remember(&worthy).await;
        }
    }

    /// Whether nobody is there who could help.
    fn lonely(&self, members: &Members) -> bool {
        let helps = |m: &Member| {
            let other = m.record.id != self.own && m.status == MemberStatus::Alive;
            other && (self.is_server || m.record.server.is_some())
        };
        !members.values().any(helps)
    }

    fn tell_servers(&self, members: &Members) {
        let addrs = servers(members);
        // Without any, the ones asked before are still the best guess.
        self.servers.send_if_modified(|told| {
            let news = !addrs.is_empty() && *told != addrs;
            if news {
                *told = addrs;
            }
            news
        });
    }

    async fn remember(&self, worthy: &[MemberRecord]) {
        if let Err(error) = self.remembered.save(worthy).await {
            tracing::warn!(target: "agent", %error, "could not remember the members");
        }
    }

    /// Tries every address at once.
    async fn try_all(&self, known: &[MemberRecord], tries: &Tries) {
        let old = known
            .iter()
            .map(|r| async { (r.serf_addr.to_string(), self.joiner.meet(r.serf_addr).await) });
        let told = self
            .join
            .retry
            .iter()
            .map(|addr| async { (addr.clone(), self.joiner.join(addr).await) });
        let old = join_all(old).await;
        let told = join_all(told).await;
        let aloud = self.env.clock.now() >= tries.began + PATIENCE;
        for (addr, result) in old {
            if let Err(error) = result {
                tracing::debug!(target: "agent", addr, %error, "a member of the last run is away");
            }
        }
        for (addr, result) in told {
            match result {
                Ok(()) => tracing::info!(target: "agent", addr, "joined"),
                Err(error) if error.is_own() => {}
                Err(error) => {
                    if aloud || error.is_refusal() && tries.count > 0 {
                        tracing::warn!(target: "agent", addr, %error, "could not join");
                    } else {
                        tracing::debug!(target: "agent", addr, %error, "could not join yet");
                    }
                    if let JoinError::NoGossip { servers, .. } = error {
                        self.ask_without_gossip(servers);
                    }
                }
            }
        }
    }

    /// A client whose gossip is blocked still works by asking servers.
    fn ask_without_gossip(&self, servers: Vec<SocketAddr>) {
        self.servers.send_if_modified(|told| {
            let news = !self.is_server && *told != servers;
            if news {
                *told = servers;
            }
            news
        });
    }

    fn give_up(&self, tries: u32) {
        tracing::error!(target: "agent", tries, "max join retry exhausted, exiting");
        self.process.cancel();
    }
}

impl Tries {
    fn new(now: Instant) -> Self {
        Self {
            began: now,
            count: 0,
            next: now,
            pause: PAUSE_MIN,
        }
    }

    fn wait(&mut self, now: Instant, longest: Duration) {
        self.next = now + self.pause.min(longest).min(PAUSE_MAX);
        self.pause = self.pause.saturating_mul(2).min(PAUSE_MAX);
    }
}

/// The servers to ask: those that are there, else those that were.
fn servers(members: &Members) -> Vec<SocketAddr> {
    let with = |status: MemberStatus| {
        let those = members.values().filter(move |m| m.status == status);
        let those = those.filter(|m| m.record.server.is_some());
        those.map(|m| m.record.rpc_addr).collect::<Vec<_>>()
    };
    let alive = with(MemberStatus::Alive);
    if alive.is_empty() {
        with(MemberStatus::Failed)
    } else {
        alive
    }
}
