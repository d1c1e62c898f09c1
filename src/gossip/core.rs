//! The member itself, without I/O: SWIM (foca), the records, the timers, and what follows from
//! them.
//!
//! In: datagrams, due timers, what an exchange brought, orders. Out, collected in [`Out`]:
//! datagrams to send, members to exchange with, a new view. `now` is always given.
//!
//! Invariants:
//! - a suspicion that was refuted never ends in a death (see [`Core::is_stale`]);
//! - foca's timers are delivered, late perhaps, never dropped;
//! - hearsay of a death is not believed: this member checks for itself.

use std::{
    collections::{BTreeMap, BinaryHeap},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use foca::{Foca, Member as Row, PostcardCodec, State, Timer};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    exchange::{Brought, Summary},
    identity::Identity,
    keyring::Keyring,
    meet::{self, Intro, Refusal},
    records::{RecordError, Records, Sent, Stamp, Stay},
    swim::{self, Dice, Due, HEAD, Swim, Wishes, config, open, seal},
    view::{self, View},
};
use crate::{
    env::Entropy,
    model::{MemberRecord, Members},
};

/// How often [`Core::look_after`] runs.
const ROUND: Duration = Duration::from_secs(1);

/// Two members that are quiet for so long and differ exchange what they know.
const QUIET: Duration = Duration::from_secs(3);

/// At most one repair in this time.
const REPAIR_EVERY: Duration = Duration::from_secs(5);

/// How often a failed member is tried again.
const RECONNECT_EVERY: Duration = Duration::from_secs(10);

/// How often an exchange is made without any reason.
const EXCHANGE_EVERY: Duration = Duration::from_secs(60);

/// How often a contested own record is raised when another agent claims our id.
const CONFLICT_EVERY: Duration = Duration::from_secs(10);

/// What the loop is to do.
#[derive(Default)]
pub(super) struct Out {
    pub(super) datagrams: Vec<(SocketAddr, Vec<u8>)>,
    /// Members to exchange state with.
    pub(super) exchanges: Vec<SocketAddr>,
    /// The members, if anything about them has changed.
    pub(super) members: Option<Members>,
}

/// See the module.
pub(super) struct Core {
    swim: Swim,
    records: Records,
    entropy: Arc<dyn Entropy>,
    own: Uuid,
    /// Stands for our region; datagrams of others are refused.
    label: u16,
    keys: Keyring,
    timers: BinaryHeap<Due>,
    order: u64,
    view: View,
    /// The cluster size that foca is set up for.
    sized: usize,
    changed_at: Instant,
    next_round: Instant,
    next_repair: Instant,
    next_reconnect: Instant,
    next_exchange: Instant,
    next_conflict: Instant,
    /// Errors of foca's, by kind, for metrics.
    pub(super) refused: u64,
    /// Datagrams that no key of ours opens.
    pub(super) unheard: u64,
    pub(super) renewals: u64,
}

impl Core {
    pub(super) fn new(
        record: MemberRecord,
        generation: u32,
        keys: Keyring,
        entropy: Arc<dyn Entropy>,
        now: Instant,
    ) -> Result<(Self, Out), RecordError> {
        let own = record.id;
        let label = view::label(&record.region);
        let identity = Identity {
            addr: record.serf_addr,
            generation,
        };
        let records = Records::new(own);
        let swim = Foca::with_custom_broadcast(
            identity,
            config(1),
            Dice(entropy.clone()),
            PostcardCodec,
            records.clone(),
        );
        let exchange = now + EXCHANGE_EVERY + entropy.jitter(EXCHANGE_EVERY);
        let mut core = Self {
            swim,
            records,
            entropy,
            own,
            label,
            keys,
            unheard: 0,
            timers: BinaryHeap::new(),
            order: 0,
            view: View::default(),
            sized: 1,
            changed_at: now,
            next_round: now + ROUND,
            next_repair: now,
            next_reconnect: now + RECONNECT_EVERY,
            next_exchange: exchange,
            next_conflict: now,
            refused: 0,
            renewals: 0,
        };
        let mut out = Out::default();
        core.publish(Sent {
            record,
            stay: Stay::Here,
        })?;
        core.settle(Wishes::default(), now, &mut out);
        Ok((core, out))
    }

    /// When [`Core::tick`] has something to do.
    pub(super) fn next_due(&self) -> Instant {
        self.timers
            .peek()
            .map_or(self.next_round, |due| due.at.min(self.next_round))
    }

    /// Takes one datagram.
    pub(super) fn datagram(&mut self, bytes: &[u8], from: SocketAddr, now: Instant) -> Out {
        let mut out = Out::default();
        let Some(plain) = swim::unseal(&self.keys, bytes) else {
            self.unheard += 1;
            self.keys.not_heard(from, now);
            return out;
        };
        let Some((digest, quiet, body)) = open(self.label, &plain) else {
            self.refused += 1;
            return out;
        };
        let mut wishes = Wishes::default();
        if let Err(error) = self.swim.handle_data(body, &mut wishes) {
            self.refused += 1;
            tracing::debug!(target: "gossip", %from, %error, "refused a datagram");
        } else if digest != self.digest() && quiet >= QUIET && self.quiet(now) >= QUIET {
            self.repair(from, now, &mut out);
        }
        self.settle(wishes, now, &mut out);
        out
    }

    /// Delivers every timer that is due.
    pub(super) fn tick(&mut self, now: Instant) -> Out {
        let mut out = Out::default();
        let mut wishes = Wishes::default();
        while self.timers.peek().is_some_and(|due| due.at <= now) {
            let Some(due) = self.timers.pop() else { break };
            if self.is_stale(&due.timer) {
                continue;
            }
            if let Err(error) = self.swim.handle_timer(due.timer, &mut wishes) {
                self.refused += 1;
                tracing::debug!(target: "gossip", %error, "a timer was refused");
            }
        }
        if now >= self.next_round {
            self.next_round = now + ROUND;
            self.look_after(now, &mut out);
        }
        self.settle(wishes, now, &mut out);
        out
    }

    /// Whether the suspicion that this timer ends was refuted meanwhile. foca would tell the
    /// member that it is down all the same, and so make it renew for nothing.
    fn is_stale(&self, timer: &Timer<Identity>) -> bool {
        let Timer::ChangeSuspectToDown {
            member_id,
            incarnation,
            ..
        } = timer
        else {
            return false;
        };
        let expected = Row::new(*member_id, *incarnation, State::Suspect);
        !self
            .swim
            .iter_membership_state()
            .any(|row| *row == expected)
    }

    /// What does not follow from a single event: repairs, reconnects, reaping.
    fn look_after(&mut self, now: Instant, out: &mut Out) {
        for id in self.view.reap(now) {
            self.records.remove(&id);
        }
        if let Some(addr) = self.view.without_record(&self.rows(), &self.records.all()) {
            self.repair(addr, now, out);
        }
        if now >= self.next_reconnect {
            self.next_reconnect = now + RECONNECT_EVERY;
            out.exchanges.extend(self.pick(self.view.failed()));
        }
        if now >= self.next_exchange {
            self.next_exchange = now + EXCHANGE_EVERY + self.entropy.jitter(EXCHANGE_EVERY);
            let active = self.swim.iter_members().map(|row| row.id().addr).collect();
            out.exchanges.extend(self.pick(active));
        }
    }

    fn pick(&self, among: Vec<SocketAddr>) -> Option<SocketAddr> {
        let at = self.entropy.range(0..among.len() as u64);
        among.get(at as usize).copied()
    }

    fn repair(&mut self, with: SocketAddr, now: Instant, out: &mut Out) {
        if now >= self.next_repair {
            self.next_repair = now + REPAIR_EVERY;
            out.exchanges.push(with);
        }
    }

    /// Who we are, to somebody who may not know us yet.
    pub(super) fn intro(&self) -> Intro {
        let own = self.records.get(&self.own);
        let own = own
            .expect("our own record is there from the start on")
            .record;
        let cluster = |record: &MemberRecord| record.server.as_ref().and_then(|s| s.cluster);
        let known = cluster(&own).or_else(|| self.view.alive().find_map(|m| cluster(&m.record)));
        Intro::of(&own, known)
    }

    /// Whether we may exchange with whom this is.
    pub(super) fn judge(&self, theirs: &Intro) -> Result<(), Box<Refusal>> {
        meet::judge(&self.intro(), theirs, self.view.alive())
    }

    /// What an exchange starts with.
    pub(super) fn summary(&self) -> Summary {
        let own = Row::alive(*self.swim.identity());
        let rows = self
            .swim
            .iter_membership_state()
            .cloned()
            .chain([own])
            .collect();
        Summary {
            rows,
            stamps: self.records.stamps(),
        }
    }

    /// The records of ours that `theirs` lacks, and those that we want.
    pub(super) fn compare(&self, theirs: &BTreeMap<Uuid, Stamp>) -> (Vec<Sent>, Vec<Uuid>) {
        (self.records.newer_than(theirs), self.records.wanted(theirs))
    }

    pub(super) fn records_of(&self, ids: &[Uuid]) -> Vec<Sent> {
        ids.iter().filter_map(|id| self.records.get(id)).collect()
    }

    /// Merges what an exchange brought.
    pub(super) fn merge(&mut self, brought: Brought, now: Instant) -> Out {
        let mut out = Out::default();
        let mut wishes = Wishes::default();
        self.outgrow(&brought.rows, &mut wishes);
        let held: BTreeMap<SocketAddr, Row<Identity>> = self
            .swim
            .iter_membership_state()
            .map(|row| (row.id().addr, row.clone()))
            .collect();
        let own = *self.swim.identity();
        let believable = |row: &Row<Identity>| {
            let about_us = row.id().addr == own.addr;
            about_us && *row.id() == own || !about_us && row.state() != State::Down
        };
        let news: Vec<_> = brought
            .rows
            .into_iter()
            .filter(|row| believable(row) && held.get(&row.id().addr) != Some(row))
            .collect();
        let spread = news.len() <= 64 || held.len() <= 500;
        if let Err(error) = self.swim.apply_many(news.into_iter(), spread, &mut wishes) {
            self.refused += 1;
            tracing::debug!(target: "gossip", %error, "could not merge a member list");
        }
        for sent in brought.records {
            if self.records.offer(sent.clone()) {
                self.spread(&sent);
            }
        }
        self.settle(wishes, now, &mut out);
        out
    }

    /// If others know a later start of this address, ours must be later still; otherwise every
    /// packet of ours would be answered with "you are dead".
    fn outgrow(&mut self, rows: &[Row<Identity>], wishes: &mut Wishes) {
        let own = *self.swim.identity();
        let ours = rows.iter().map(Row::id).filter(|id| id.addr == own.addr);
        let newest = ours.map(|id| id.generation).max();
        if let Some(generation) = newest.filter(|generation| *generation > own.generation) {
            let next = Identity {
                generation: generation.saturating_add(1),
                ..own
            };
            if let Err(error) = self.swim.change_identity(next, &mut *wishes) {
                tracing::warn!(target: "gossip", %error, "could not take a newer generation");
            }
        }
    }

    /// Changes our own record; the version rises.
    pub(super) fn update(
        &mut self,
        change: impl FnOnce(&mut MemberRecord),
        now: Instant,
    ) -> Result<Out, RecordError> {
        let mut out = Out::default();
        if let Some(mut sent) = self.records.get(&self.own) {
            change(&mut sent.record);
            sent.record.id = self.own;
            sent.record.version += 1;
            self.publish(sent)?;
        }
        self.settle(Wishes::default(), now, &mut out);
        Ok(out)
    }

    /// Declares a member gone. `false` if nobody has that name.
    pub(super) fn force_leave(&mut self, name: &str, prune: bool, now: Instant) -> (bool, Out) {
        let mut out = Out::default();
        let stay = if prune { Stay::Pruned } else { Stay::Forced };
        let targets: Vec<Uuid> = self
            .records
            .all()
            .into_iter()
            .filter(|sent| sent.record.id != self.own && named(&sent.record, name))
            .map(|sent| sent.record.id)
            .collect();
        for id in &targets {
            if let Some(sent) = self.records.force(*id, stay) {
                self.spread(&sent);
            }
        }
        self.settle(Wishes::default(), now, &mut out);
        (!targets.is_empty(), out)
    }

    /// Says that we are about to leave.
    pub(super) fn announce_leave(&mut self, now: Instant) -> Result<Out, RecordError> {
        let mut out = Out::default();
        if let Some(mut sent) = self.records.get(&self.own) {
            sent.record.version += 1;
            sent.stay = Stay::Leaving;
            self.publish(sent)?;
        }
        let mut wishes = Wishes::default();
        self.say(
            "announce the leave",
            |swim, wishes| swim.gossip(wishes),
            &mut wishes,
        );
        self.settle(wishes, now, &mut out);
        Ok(out)
    }

    /// Leaves. Nothing may be fed to the core afterwards but [`Core::repeat`].
    pub(super) fn leave(&mut self, now: Instant) -> Out {
        let mut wishes = Wishes::default();
        self.say(
            "leave",
            |swim, wishes| swim.leave_cluster(wishes),
            &mut wishes,
        );
        let mut out = Out::default();
        self.settle(wishes, now, &mut out);
        out
    }

    /// Says what there is to say once more.
    pub(super) fn repeat(&mut self, now: Instant) -> Out {
        let mut wishes = Wishes::default();
        self.say("gossip", |swim, wishes| swim.gossip(wishes), &mut wishes);
        let mut out = Out::default();
        self.settle(wishes, now, &mut out);
        out
    }

    fn say(
        &mut self,
        what: &'static str,
        act: impl FnOnce(&mut Swim, &mut Wishes) -> Result<(), foca::Error>,
        wishes: &mut Wishes,
    ) {
        if let Err(error) = act(&mut self.swim, wishes) {
            tracing::debug!(target: "gossip", %error, "could not {what}");
        }
    }

    fn publish(&mut self, sent: Sent) -> Result<(), RecordError> {
        sent.encode()?; // refuse what would never fit a packet
        self.records.set_own(sent.clone());
        self.spread(&sent);
        Ok(())
    }

    fn spread(&mut self, sent: &Sent) {
        let added = sent.encode().map(|bytes| self.swim.add_broadcast(&bytes));
        if let Err(error) = added {
            tracing::warn!(target: "gossip", name = %sent.record.name, %error, "record not spread");
        }
    }

    /// After every event: carries out what foca wished, answers claims on our record, resizes,
    /// renews the view.
    fn settle(&mut self, wishes: Wishes, now: Instant, out: &mut Out) {
        self.answer_claims(now);
        for (timer, after) in wishes.timers {
            self.order += 1;
            self.timers.push(Due {
                at: now + after,
                order: self.order,
                timer,
            });
        }
        self.renewals += u64::from(wishes.renewed);
        if self.records.take_changed() || wishes.moved {
            self.changed_at = now;
            let rows = self.rows();
            self.resize(rows.len() + 1);
            if self.view.renew(self.own, &rows, &self.records.all(), now) {
                out.members = Some(self.view.members());
            }
        }
        if wishes.sends.is_empty() {
            return;
        }
        let head = self.head(now);
        let sealed = wishes
            .sends
            .into_iter()
            .map(|(to, body)| (to.addr, seal(&self.keys, head, &body)));
        out.datagrams.extend(sealed);
    }

    /// Others hold a newer record of ours: from an earlier life, or a forced leave. Ours must be
    /// newer still, since we are here.
    fn answer_claims(&mut self, now: Instant) {
        let Some((stamp, addr)) = self.records.take_contested() else {
            return;
        };
        let Some(mut sent) = self.records.get(&self.own) else {
            return;
        };
        if addr != sent.record.serf_addr && stamp.stay == Stay::Here {
            if now < self.next_conflict {
                return;
            }
            self.next_conflict = now + CONFLICT_EVERY;
            tracing::warn!(target: "gossip", id = %self.own, other = %addr, "another agent has our id");
        }
        if sent.stay != Stay::Here {
            return; // we are leaving: let them have the last word
        }
        sent.record.version = stamp.version + 1;
        if let Err(error) = self.publish(sent) {
            tracing::warn!(target: "gossip", %error, "could not renew our record");
        }
    }

    /// foca's limits follow the cluster's size, in steps.
    fn resize(&mut self, size: usize) {
        let step = size.next_power_of_two();
        if step != self.sized {
            match self.swim.set_config(config(step)) {
                Ok(()) => self.sized = step,
                Err(error) => tracing::warn!(target: "gossip", %error, "could not resize"),
            }
        }
    }

    fn rows(&self) -> BTreeMap<SocketAddr, State> {
        self.swim
            .iter_membership_state()
            .map(|row| (row.id().addr, row.state()))
            .collect()
    }

    fn quiet(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.changed_at)
    }

    /// One number for everything that members must agree on: who is active, with which record.
    pub(super) fn digest(&self) -> u64 {
        view::digest(
            self.swim.identity(),
            self.swim.iter_members().map(Row::id),
            &self.records,
        )
    }

    fn head(&self, now: Instant) -> [u8; HEAD] {
        let quiet = u8::try_from(self.quiet(now).as_secs()).unwrap_or(u8::MAX);
        swim::head(self.label, self.digest(), quiet)
    }
}

/// `name` or, as servers are also called, `name.region`.
fn named(record: &MemberRecord, name: &str) -> bool {
    let full = name
        .strip_prefix(&record.name)
        .and_then(|rest| rest.strip_prefix('.'));
    record.name == name || full == Some(&record.region)
}
