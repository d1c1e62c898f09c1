//! Snapshot files: the state at one log id, whole and checked.
//!
//! ```text
//! magic 8 | meta length 4 | meta crc 4 | meta | section… | 0 (4) | SHA-256 of all before
//! section: length 4 | crc 4 | at most 1 MiB of the state's dump
//! ```
//!
//! A file is written aside, synced, renamed, and its name synced; the two newest are kept. The
//! same bytes travel to servers that are too far behind for the log, and are checked there
//! before anything is replaced.

use std::{io, path::PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    types::{LogId, SnapshotMeta, StoredMembership},
    wire::{self, WireError, WireLogId, WireStoredMembership},
};
use crate::env::{
    Env,
    disk::{read_all, replace},
};

/// The last byte is the format's version.
const MAGIC: [u8; 8] = *b"TUMNSNP\x01";
const SECTION_BYTES: usize = 1 << 20;
const DIGEST_BYTES: usize = 32;
const KEPT: usize = 2;

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("the snapshot is damaged at byte {offset}: {what}")]
    Damaged { offset: usize, what: &'static str },
    #[error("the snapshot's description cannot be read")]
    Meta(#[from] WireError),
}

#[derive(Serialize, Deserialize)]
struct WireMeta {
    last: Option<WireLogId>,
    membership: WireStoredMembership,
    state_bytes: u64,
}

/// The bytes of a snapshot file.
pub(super) fn encode(meta: &SnapshotMeta, state: &[u8]) -> Result<Bytes, SnapshotError> {
    let wire = WireMeta {
        last: meta.last_log_id.map(Into::into),
        membership: (&meta.last_membership).into(),
        state_bytes: state.len() as u64,
    };
    let described = wire::encode(&wire)?;
    let mut out = Vec::with_capacity(state.len() + described.len() + 128);
    out.extend(MAGIC);
    out.extend((described.len() as u32).to_le_bytes());
    out.extend(crc32c::crc32c(&described).to_le_bytes());
    out.extend(described);
    for section in state.chunks(SECTION_BYTES) {
        out.extend((section.len() as u32).to_le_bytes());
        out.extend(crc32c::crc32c(section).to_le_bytes());
        out.extend_from_slice(section);
    }
    out.extend([0; 4]);
    let digest = Sha256::digest(&out);
    out.extend(digest);
    Ok(out.into())
}

/// Checks a snapshot file; returns its description and the state's dump.
pub(super) fn decode(file: &[u8]) -> Result<(SnapshotMeta, Vec<u8>), SnapshotError> {
    let content_len = file.len().saturating_sub(DIGEST_BYTES);
    let mut cursor = Cursor {
        file: &file[..content_len],
        at: 0,
    };
    if cursor.take(8)? != MAGIC {
        return Err(SnapshotError::Damaged {
            offset: 0,
            what: "it does not start like one",
        });
    }
    let described = cursor
        .section()?
        .ok_or(cursor.damaged("it has no description"))?;
    let wire: WireMeta = wire::decode(described)?;
    let mut state = Vec::new();
    while let Some(section) = cursor.section()? {
        state.extend_from_slice(section);
    }
    if cursor.at != content_len || wire.state_bytes != state.len() as u64 {
        return Err(cursor.damaged("its length is wrong"));
    }
    if Sha256::digest(&file[..content_len])[..] != file[content_len..] {
        return Err(cursor.damaged("its SHA-256 does not match"));
    }
    let last_membership = StoredMembership::try_from(wire.membership)?;
    Ok((
        SnapshotMeta {
            last_log_id: wire.last.map(Into::into),
            last_membership,
        },
        state,
    ))
}

struct Cursor<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn damaged(&self, what: &'static str) -> SnapshotError {
        SnapshotError::Damaged {
            offset: self.at,
            what,
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], SnapshotError> {
        let end = self
            .at
            .checked_add(len)
            .filter(|end| *end <= self.file.len());
        let end = end.ok_or(self.damaged("it is cut off"))?;
        let taken = &self.file[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, SnapshotError> {
        Ok(u32::from_le_bytes(
            self.take(4)?.try_into().expect("four bytes were taken"),
        ))
    }

    /// The next length-prefixed piece; none at the terminator.
    fn section(&mut self) -> Result<Option<&'a [u8]>, SnapshotError> {
        let len = self.number()?;
        if len == 0 {
            return Ok(None);
        }
        let crc = self.number()?;
        let section = self.take(len as usize)?;
        if crc32c::crc32c(section) != crc {
            return Err(self.damaged("a section's checksum does not match"));
        }
        Ok(Some(section))
    }
}

/// The snapshot files of a Raft directory.
#[derive(Clone)]
pub(super) struct SnapshotFiles {
    pub(super) env: Env,
    pub(super) dir: PathBuf,
}

/// `snap-<index>-<term>`, so that names sort by age.
fn name_of(id: Option<LogId>) -> String {
    let (index, term) = id.map_or((0, 0), |id| (id.index, id.leader_id.term));
    format!("snap-{index:016x}-{term:016x}")
}

impl SnapshotFiles {
    async fn names(&self) -> io::Result<Vec<String>> {
        let names = self.env.disk.list(&self.dir).await?;
        let is_ours = |n: &String| n.starts_with("snap-") && !n.ends_with(".tmp");
        Ok(names.into_iter().filter(is_ours).collect())
    }

    /// Keeps a file durably, unless it is there already, and removes the oldest.
    pub(super) async fn save(&self, id: Option<LogId>, file: Bytes) -> io::Result<()> {
        let name = name_of(id);
        if self.names().await?.contains(&name) {
            let there = read_all(&*self.env.disk, &self.dir.join(&name)).await?;
            if there == file {
                return Ok(());
            }
        }
        replace(&*self.env.disk, &self.dir.join(&name), file).await?;
        let names = self.names().await?;
        for old in names.iter().rev().skip(KEPT) {
            self.env.disk.remove(&self.dir.join(old)).await?;
        }
        self.env.disk.sync_dir(&self.dir).await
    }

    /// The newest file that is whole. Damaged ones are set aside by name; if the log does not
    /// reach back to what is left, openraft refuses to start.
    pub(super) async fn newest(&self) -> io::Result<Option<(SnapshotMeta, Bytes)>> {
        for name in self.names().await?.iter().rev() {
            let path = self.dir.join(name);
            let file = read_all(&*self.env.disk, &path).await?;
            match decode(&file) {
                Ok((meta, _)) => return Ok(Some((meta, file))),
                Err(e) => {
                    let path = path.display();
                    tracing::error!(target: "raft", %path, error = %e, "skipped a snapshot");
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::types::{LeaderId, Membership, Peer, ServerId};
    use std::collections::{BTreeMap, BTreeSet};

    fn meta(index: u64) -> SnapshotMeta {
        let id = ServerId::from(7);
        let leader_id = LeaderId {
            term: 3,
            node_id: id,
        };
        let at = Some(LogId { leader_id, index });
        let nodes = BTreeMap::from([(id, Peer::default())]);
        let membership = Membership::new(vec![BTreeSet::from([id])], nodes).unwrap();
        SnapshotMeta {
            last_log_id: at,
            last_membership: StoredMembership::new(at, membership),
        }
    }

    #[test]
    fn a_file_is_read_back_and_any_damage_is_seen() {
        let state: Vec<u8> = (0..3000u32).map(|n| n as u8).collect();
        let file = encode(&meta(9), &state).unwrap();
        let (read, dump) = decode(&file).unwrap();
        assert_eq!((read, dump), (meta(9), state));
        let mut broken = file.to_vec();
        for at in 0..broken.len() {
            broken[at] ^= 0x10;
            assert!(decode(&broken).is_err(), "a flipped bit at {at} passed");
            broken[at] ^= 0x10;
            assert!(decode(&broken[..at]).is_err(), "a file cut at {at} passed");
        }
    }

    /// The bytes of format 1; see the log's golden test.
    #[test]
    fn golden_snapshot() {
        let file = encode(&meta(9), b"state").unwrap();
        let hex: String = file.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            include_str!("../../tests/golden/raft_snapshot_v1.hex").trim()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn two_are_kept_and_the_newest_whole_one_is_used() {
        let world = crate::env::sim::SimWorld::new(1);
        let env = world.env("a");
        let dir = PathBuf::from("/raft");
        env.disk.create_dir_all(&dir).await.unwrap();
        let files = SnapshotFiles {
            env,
            dir: dir.clone(),
        };
        assert!(files.newest().await.unwrap().is_none());
        for index in [5, 300, 40] {
            files
                .save(meta(index).last_log_id, encode(&meta(index), b"x").unwrap())
                .await
                .unwrap();
        }
        assert_eq!(
            files.names().await.unwrap(),
            [
                name_of(meta(40).last_log_id),
                name_of(meta(300).last_log_id)
            ]
        );
        assert_eq!(files.newest().await.unwrap().unwrap().0, meta(300));
        world.disk("a").put(
            &dir.join(name_of(meta(300).last_log_id)),
            Some(b"broken".to_vec()),
        );
        assert_eq!(files.newest().await.unwrap().unwrap().0, meta(40));
    }
}
