//! What SWIM's rows and the records together say: the members with their status.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use foca::State;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    identity::Identity,
    records::{Records, Sent, Stay},
};
use crate::model::{Member, MemberStatus, Members};

/// How long a failed server is remembered.
pub(super) const REAP_SERVER: Duration = Duration::from_secs(72 * 3600);

/// How long a failed client, or whoever left, is remembered.
const REAP_OTHER: Duration = Duration::from_secs(24 * 3600);

/// The members as last told, and since when each has its status.
#[derive(Default)]
pub(super) struct View {
    shown: BTreeMap<Uuid, (Member, Instant)>,
}

impl View {
    pub(super) fn members(&self) -> Members {
        self.shown
            .iter()
            .map(|(id, (member, _))| (*id, member.clone()))
            .collect()
    }

    /// Takes the newest facts; returns whether anything visible changed.
    pub(super) fn renew(
        &mut self,
        own: Uuid,
        rows: &BTreeMap<SocketAddr, State>,
        records: &[Sent],
        now: Instant,
    ) -> bool {
        let mut newest: BTreeMap<SocketAddr, &Sent> = BTreeMap::new();
        for sent in records {
            let held = newest.entry(sent.record.serf_addr).or_insert(sent);
            if sent.record.id == own || sent.record.version > held.record.version {
                *held = sent;
            }
        }
        let mut next = BTreeMap::new();
        for sent in newest.into_values() {
            let id = sent.record.id;
            let before = self.shown.get(&id);
            let row = rows.get(&sent.record.serf_addr);
            let Some(status) = status(sent, id == own, row, before.is_some()) else {
                continue;
            };
            let since = match before {
                Some((member, since)) if member.status == status => *since,
                Some(_) | None => now,
            };
            next.insert(
                id,
                (
                    Member {
                        record: sent.record.clone(),
                        status,
                    },
                    since,
                ),
            );
        }
        let changed = self.tell(&next);
        self.shown = next;
        changed
    }

    /// Logs what changed.
    fn tell(&self, next: &BTreeMap<Uuid, (Member, Instant)>) -> bool {
        let mut changed = false;
        for (id, (member, _)) in next {
            let before = self.shown.get(id).map(|(member, _)| member);
            changed |= before != Some(member);
            if before.map(|before| before.status) == Some(member.status) {
                continue;
            }
            let (name, addr) = (&member.record.name, member.record.serf_addr);
            match member.status {
                MemberStatus::Alive => {
                    tracing::info!(target: "gossip", %name, %addr, "member joined");
                }
                MemberStatus::Leaving => {
                    tracing::info!(target: "gossip", %name, %addr, "member is leaving");
                }
                MemberStatus::Left => tracing::info!(target: "gossip", %name, %addr, "member left"),
                MemberStatus::Failed => {
                    tracing::warn!(target: "gossip", %name, %addr, "member failed");
                }
            }
        }
        let gone = self.shown.keys().any(|id| !next.contains_key(id));
        changed || gone
    }

    /// Who has been gone for long enough to be forgotten.
    pub(super) fn reap(&self, now: Instant) -> Vec<Uuid> {
        let old = |(_, (member, since)): &(&Uuid, &(Member, Instant))| {
            let limit = match member.status {
                MemberStatus::Alive | MemberStatus::Leaving => return false,
                MemberStatus::Failed if member.record.server.is_some() => REAP_SERVER,
                MemberStatus::Failed | MemberStatus::Left => REAP_OTHER,
            };
            now.saturating_duration_since(*since) >= limit
        };
        self.shown.iter().filter(old).map(|(id, _)| *id).collect()
    }

    /// The members that are there, this agent included.
    pub(super) fn alive(&self) -> impl Iterator<Item = &Member> {
        let members = self.shown.values().map(|(member, _)| member);
        members.filter(|m| m.status == MemberStatus::Alive)
    }

    /// Where the failed members were.
    pub(super) fn failed(&self) -> Vec<SocketAddr> {
        let failed = self
            .shown
            .values()
            .filter(|(m, _)| m.status == MemberStatus::Failed);
        failed.map(|(member, _)| member.record.serf_addr).collect()
    }

    /// An active member of which there is no record.
    pub(super) fn without_record(
        &self,
        rows: &BTreeMap<SocketAddr, State>,
        records: &[Sent],
    ) -> Option<SocketAddr> {
        let mut active = rows.iter().filter(|(_, state)| **state != State::Down);
        let known = |addr: SocketAddr| records.iter().any(|sent| sent.record.serf_addr == addr);
        active
            .find(|(addr, _)| !known(**addr))
            .map(|(addr, _)| *addr)
    }
}

/// `None`: not a member, as far as this agent can tell.
fn status(sent: &Sent, own: bool, row: Option<&State>, known: bool) -> Option<MemberStatus> {
    if sent.stay == Stay::Pruned && !own {
        return None;
    }
    let active = own || matches!(row, Some(State::Alive | State::Suspect));
    let here = sent.stay == Stay::Here;
    match (active, here) {
        (true, true) => Some(MemberStatus::Alive),
        // A forced leave of a living member: it is about to object.
        (true, false) if sent.stay == Stay::Forced => Some(MemberStatus::Left),
        (true, false) => Some(MemberStatus::Leaving),
        // A record alone, heard from somebody else, makes no member.
        (false, _) if !known && row.is_none() => None,
        (false, true) => Some(MemberStatus::Failed),
        (false, false) => Some(MemberStatus::Left),
    }
}

/// See [`Core::digest`](super::core::Core::digest). Equal for two members that agree, whatever
/// the order in which they learned.
pub(super) fn digest<'a>(
    own: &'a Identity,
    others: impl Iterator<Item = &'a Identity>,
    records: &Records,
) -> u64 {
    let mut active: BTreeMap<SocketAddr, u32> = others
        .map(|identity| (identity.addr, identity.generation))
        .collect();
    active.insert(own.addr, own.generation);
    let mut sum = 0;
    for (addr, generation) in &active {
        sum ^= mix(&postcard::to_stdvec(&(addr, generation)).unwrap_or_default());
    }
    for sent in records.all() {
        if active.contains_key(&sent.record.serf_addr) {
            let stamped = (sent.record.id, sent.stamp());
            sum ^= mix(&postcard::to_stdvec(&stamped).unwrap_or_default());
        }
    }
    sum
}

/// Stands for a region in datagrams.
pub(super) fn label(region: &str) -> u16 {
    mix(region.as_bytes()) as u16
}

/// FNV-1a with a finisher that spreads its bits.
fn mix(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, step);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::{super::records::tests::record, *};

    fn sent(number: u128, stay: Stay) -> Sent {
        Sent {
            record: record(number, 1),
            stay,
        }
    }

    #[test]
    fn status_follows_from_row_and_record() {
        use MemberStatus::{Alive, Failed, Leaving, Left};
        let check = |stay, row: Option<State>, known, expected: Option<MemberStatus>| {
            let shown = status(&sent(2, stay), false, row.as_ref(), known);
            assert_eq!(shown, expected, "{stay:?} {row:?} {known}");
        };
        check(Stay::Here, Some(State::Alive), false, Some(Alive));
        check(Stay::Here, Some(State::Suspect), true, Some(Alive));
        check(Stay::Here, Some(State::Down), true, Some(Failed));
        check(Stay::Here, None, false, None);
        check(Stay::Here, None, true, Some(Failed));
        check(Stay::Leaving, Some(State::Alive), true, Some(Leaving));
        check(Stay::Leaving, Some(State::Down), true, Some(Left));
        check(Stay::Forced, Some(State::Down), true, Some(Left));
        check(Stay::Pruned, Some(State::Down), true, None);
    }

    #[test]
    fn a_new_agent_on_an_old_address_replaces_its_predecessor() {
        let mut view = View::default();
        let mut successor = sent(3, Stay::Here);
        successor.record.serf_addr = record(2, 1).serf_addr;
        successor.record.version = 2;
        let rows = BTreeMap::from([(record(2, 1).serf_addr, State::Alive)]);
        view.renew(
            Uuid::from_u128(1),
            &rows,
            &[sent(2, Stay::Here), successor],
            Instant::now(),
        );
        let members = view.members();
        assert_eq!(members.keys().collect::<Vec<_>>(), [&Uuid::from_u128(3)]);
    }
}
