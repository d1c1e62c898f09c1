//! The members that an agent knew, so that it finds its cluster again without any address.

use std::sync::Arc;

use crate::env::Store;
use crate::env::store::{Batch, StoreError};
use crate::model::{MemberRecord, MemberStatus, Members};

const KEY: &[u8] = b"members";

/// The first byte of the value.
const VERSION: u8 = 1;

/// The most members remembered; servers come first.
const MOST: usize = 512;

/// Remembers members.
#[derive(Clone)]
pub(super) struct Remembered {
    store: Arc<dyn Store>,
}

impl Remembered {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// What was remembered. A value that cannot be read is as good as none.
    pub(super) async fn load(&self) -> Result<Vec<MemberRecord>, StoreError> {
        let value = self.store.get(KEY).await?;
        Ok(value.map_or_else(Vec::new, |bytes| {
            decode(&bytes).unwrap_or_else(|| {
                tracing::warn!(target: "agent", "the remembered members are unreadable");
                Vec::new()
            })
        }))
    }

    pub(super) async fn save(&self, records: &[MemberRecord]) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.put(KEY, encode(records));
        self.store.commit(batch).await
    }

    pub(super) async fn forget(&self) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.delete(KEY);
        self.store.commit(batch).await
    }
}

/// Who is worth remembering: others that are there, servers first.
pub(super) fn worthy(members: &Members, own: uuid::Uuid) -> Vec<MemberRecord> {
    let mut records: Vec<_> = members
        .values()
        .filter(|m| m.status == MemberStatus::Alive && m.record.id != own)
        .map(|m| m.record.clone())
        .collect();
    records.sort_by_key(|record| record.server.is_none());
    records.truncate(MOST);
    records
}

fn encode(records: &[MemberRecord]) -> Vec<u8> {
    let plain = postcard::to_stdvec(records).expect("a list of plain records always encodes");
    [&[VERSION][..], &plain].concat()
}

fn decode(bytes: &[u8]) -> Option<Vec<MemberRecord>> {
    match bytes {
        [VERSION, plain @ ..] => postcard::from_bytes(plain).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::env::sim::SimWorld;
    use crate::model::{Member, ServerRole};

    fn member(number: u128, server: bool, status: MemberStatus) -> Member {
        let addr = |port: u16| format!("10.0.0.{number}:{port}").parse().unwrap();
        let record = MemberRecord {
            id: Uuid::from_u128(number),
            name: format!("node-{number}"),
            region: "global".to_owned(),
            datacenter: "dc1".to_owned(),
            server: server.then_some(ServerRole {
                expect: 1,
                cluster: Some(Uuid::from_u128(7)),
            }),
            client: !server,
            http_addr: addr(4646),
            rpc_addr: addr(4647),
            serf_addr: addr(4648),
            build: "0.1.0".to_owned(),
            revision: String::new(),
            protocol: (1, 1),
            version: 5,
        };
        Member { record, status }
    }

    fn members() -> Members {
        let members = [
            member(1, false, MemberStatus::Alive),
            member(2, false, MemberStatus::Alive),
            member(3, true, MemberStatus::Alive),
            member(4, true, MemberStatus::Failed),
        ];
        members.into_iter().map(|m| (m.record.id, m)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_living_are_remembered_servers_first_until_forgotten() {
        let store = Arc::new(SimWorld::new(1).store("m1"));
        let remembered = Remembered::new(store.clone());
        assert_eq!(remembered.load().await.unwrap(), []);
        let worthy = worthy(&members(), Uuid::from_u128(1));
        let names: Vec<_> = worthy.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["node-3", "node-2"]);
        remembered.save(&worthy).await.unwrap();
        assert_eq!(remembered.load().await.unwrap(), worthy);
        remembered.forget().await.unwrap();
        assert_eq!(remembered.load().await.unwrap(), []);

        let mut batch = Batch::new();
        batch.put(KEY, *b"\x09nonsense");
        store.commit(batch).await.unwrap();
        assert_eq!(remembered.load().await.unwrap(), []);
    }

    /// What version 1 wrote can be read for ever.
    #[test]
    fn version_1_stays_readable() {
        let worthy = worthy(&members(), Uuid::from_u128(1));
        let golden = include_str!("../../tests/golden/members_v1.hex").trim();
        let hex: String = encode(&worthy).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, golden);
        assert_eq!(decode(&encode(&worthy)), Some(worthy));
    }
}
