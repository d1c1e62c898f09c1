//! The table of member records: what every agent says of itself, newest version wins.
//!
//! A record spreads as a custom broadcast on SWIM's packets and is repaired by the exchange.
//! Only its owner raises the version; a forced leave marks the version that it saw, so that a
//! living owner refutes it with the next one.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::identity::Identity;
use crate::model::MemberRecord;

/// The largest record on the wire: it must fit a packet beside other things.
pub const RECORD_MAX: usize = 512;

/// The most records kept; beyond it new members are not believed.
const RECORDS_MAX: usize = 50_000;

/// What a record says about its owner's stay. Append only; later beats earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Stay {
    Here,
    /// The owner is on its way out.
    Leaving,
    /// Somebody declared it gone.
    Forced,
    /// Somebody declared it gone and not worth showing.
    Pruned,
}

/// Which of two records of one member is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub(super) version: u64,
    pub(super) stay: Stay,
}

/// A record as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sent {
    pub(super) record: MemberRecord,
    pub(super) stay: Stay,
}

impl Sent {
    pub(super) fn stamp(&self) -> Stamp {
        Stamp {
            version: self.record.version,
            stay: self.stay,
        }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let bytes = postcard::to_stdvec(self).map_err(RecordError::Codec)?;
        if bytes.len() > RECORD_MAX {
            return Err(RecordError::TooLarge {
                length: bytes.len(),
            });
        }
        Ok(bytes)
    }
}

/// Why a record cannot be sent or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("a member record of {length} bytes is over the limit of {RECORD_MAX}")]
    TooLarge { length: usize },
    #[error("could not encode or decode a member record")]
    Codec(#[source] postcard::Error),
}

/// The table. Cloning shares it: SWIM's broadcast handler writes it too.
#[derive(Clone)]
pub(super) struct Records {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    own: Uuid,
    table: BTreeMap<Uuid, Sent>,
    changed: bool,
    /// The newest stamp that others hold of our own record, if it is not ours.
    contested: Option<(Stamp, SocketAddr)>,
}

impl Records {
    pub(super) fn new(own: Uuid) -> Self {
        let table = BTreeMap::new();
        let inner = Inner {
            own,
            table,
            changed: true,
            contested: None,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// Takes a record if it is newer than what is held. Nobody but us changes our own.
    pub(super) fn offer(&self, sent: Sent) -> bool {
        let mut inner = self.lock();
        let id = sent.record.id;
        if id == inner.own {
            let held = inner.table.get(&id).map(Sent::stamp);
            if Some(sent.stamp()) > held {
                inner.contested = Some((sent.stamp(), sent.record.serf_addr));
            }
            return false;
        }
        inner.put(sent)
    }

    /// Replaces our own record.
    pub(super) fn set_own(&self, sent: Sent) {
        let mut inner = self.lock();
        let own = inner.own;
        inner.table.insert(own, sent);
        inner.changed = true;
    }

    /// Marks a member as forced out; `None` if it is unknown.
    pub(super) fn force(&self, id: Uuid, stay: Stay) -> Option<Sent> {
        let mut inner = self.lock();
        let mut sent = inner.table.get(&id)?.clone();
        sent.stay = sent.stay.max(stay);
        inner.put(sent.clone());
        Some(sent)
    }

    pub(super) fn remove(&self, id: &Uuid) {
        let mut inner = self.lock();
        inner.changed |= inner.table.remove(id).is_some();
    }

    pub(super) fn get(&self, id: &Uuid) -> Option<Sent> {
        self.lock().table.get(id).cloned()
    }

    pub(super) fn stamps(&self) -> Vec<(Uuid, Stamp)> {
        self.lock()
            .table
            .iter()
            .map(|(id, sent)| (*id, sent.stamp()))
            .collect()
    }

    pub(super) fn all(&self) -> Vec<Sent> {
        self.lock().table.values().cloned().collect()
    }

    /// The records that `theirs` lacks or has in an older version.
    pub(super) fn newer_than(&self, theirs: &BTreeMap<Uuid, Stamp>) -> Vec<Sent> {
        let inner = self.lock();
        let newer = |sent: &&Sent| theirs.get(&sent.record.id) < Some(&sent.stamp());
        inner.table.values().filter(newer).cloned().collect()
    }

    /// The ids that are unknown or older here.
    pub(super) fn wanted(&self, theirs: &BTreeMap<Uuid, Stamp>) -> Vec<Uuid> {
        let inner = self.lock();
        let older =
            |(id, stamp): &(&Uuid, &Stamp)| inner.table.get(id).map(Sent::stamp) < Some(**stamp);
        theirs.iter().filter(older).map(|(id, _)| *id).collect()
    }

    pub(super) fn take_changed(&self) -> bool {
        std::mem::take(&mut self.lock().changed)
    }

    pub(super) fn take_contested(&self) -> Option<(Stamp, SocketAddr)> {
        self.lock().contested.take()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is one insertion or removal: a poisoned table is still a table.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn put(&mut self, sent: Sent) -> bool {
        let id = sent.record.id;
        let held = self.table.get(&id).map(Sent::stamp);
        let full = held.is_none() && self.table.len() >= RECORDS_MAX;
        if held >= Some(sent.stamp()) || full {
            return false;
        }
        self.table.insert(id, sent);
        self.changed = true;
        true
    }
}

/// What foca compares to drop outdated broadcasts from its queue.
pub(super) struct RecordKey {
    id: Uuid,
    stamp: Stamp,
}

impl RecordKey {
    fn of(sent: &Sent) -> Self {
        Self {
            id: sent.record.id,
            stamp: sent.stamp(),
        }
    }
}

impl foca::Invalidates for RecordKey {
    fn invalidates(&self, other: &Self) -> bool {
        self.id == other.id && self.stamp >= other.stamp
    }
}

impl foca::BroadcastHandler<Identity> for Records {
    type Key = RecordKey;
    type Error = RecordError;

    fn receive_item(
        &mut self,
        data: &[u8],
        sender: Option<&Identity>,
    ) -> Result<Option<RecordKey>, RecordError> {
        if data.len() > RECORD_MAX {
            return Err(RecordError::TooLarge { length: data.len() });
        }
        let sent: Sent = postcard::from_bytes(data).map_err(RecordError::Codec)?;
        let key = RecordKey::of(&sent);
        // Without a sender it is ours to spread: the table has it already.
        let spread = sender.is_none() || self.offer(sent);
        Ok(spread.then_some(key))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::gossip) fn record(number: u128, version: u64) -> MemberRecord {
        let addr = |port: u16| format!("10.0.0.{number}:{port}").parse().unwrap();
        MemberRecord {
            id: Uuid::from_u128(number),
            name: format!("node-{number}"),
            region: "global".to_owned(),
            datacenter: "dc1".to_owned(),
            server: None,
            client: true,
            http_addr: addr(4646),
            rpc_addr: addr(4647),
            serf_addr: addr(4648),
            build: "0.1.0".to_owned(),
            revision: "abc".to_owned(),
            protocol: (1, 1),
            version,
        }
    }

    fn sent(number: u128, version: u64, stay: Stay) -> Sent {
        Sent {
            record: record(number, version),
            stay,
        }
    }

    #[test]
    fn newer_records_win_and_a_forced_leave_is_refuted_by_the_next_version() {
        let records = Records::new(Uuid::from_u128(1));
        assert!(records.offer(sent(2, 5, Stay::Here)));
        assert!(!records.offer(sent(2, 5, Stay::Here)));
        assert!(!records.offer(sent(2, 4, Stay::Leaving)));
        assert_eq!(
            records
                .force(Uuid::from_u128(2), Stay::Forced)
                .unwrap()
                .stay,
            Stay::Forced
        );
        assert!(!records.offer(sent(2, 5, Stay::Leaving)));
        assert!(records.offer(sent(2, 6, Stay::Here)));
        assert!(records.force(Uuid::from_u128(9), Stay::Forced).is_none());
    }

    #[test]
    fn nobody_changes_our_own_record() {
        let records = Records::new(Uuid::from_u128(1));
        records.set_own(sent(1, 5, Stay::Here));
        assert!(!records.offer(sent(1, 5, Stay::Forced)));
        assert_eq!(
            records.get(&Uuid::from_u128(1)),
            Some(sent(1, 5, Stay::Here))
        );
        let (stamp, _) = records.take_contested().unwrap();
        assert_eq!(
            stamp,
            Stamp {
                version: 5,
                stay: Stay::Forced
            }
        );
        assert!(!records.offer(sent(1, 4, Stay::Forced)));
        assert_eq!(records.take_contested(), None);
    }

    #[test]
    fn two_tables_know_what_the_other_lacks() {
        let (ours, theirs) = (
            Records::new(Uuid::from_u128(1)),
            Records::new(Uuid::from_u128(9)),
        );
        for (number, version) in [(2, 5), (3, 1)] {
            ours.offer(sent(number, version, Stay::Here));
        }
        for (number, version) in [(2, 6), (4, 1)] {
            theirs.offer(sent(number, version, Stay::Here));
        }
        let stamps = theirs.stamps().into_iter().collect();
        let ids = |sent: Vec<Sent>| sent.into_iter().map(|s| s.record.id).collect::<Vec<_>>();
        assert_eq!(ids(ours.newer_than(&stamps)), [Uuid::from_u128(3)]);
        assert_eq!(
            ours.wanted(&stamps),
            [Uuid::from_u128(2), Uuid::from_u128(4)]
        );
    }

    #[test]
    fn an_oversized_record_is_refused() {
        let mut big = sent(1, 1, Stay::Here);
        big.record.name = "x".repeat(RECORD_MAX);
        assert!(matches!(big.encode(), Err(RecordError::TooLarge { .. })));
        assert!(sent(1, 1, Stay::Here).encode().unwrap().len() < 200);
    }
}
