//! One segment file: its name, how it is made, and how it grows.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use super::format::{HEADER_BYTES, Header, RECORD_HEADER_BYTES};
use crate::env::disk::{Disk, DiskFile, Open};

/// Zeros are written in pieces of this size.
const ZEROS: &[u8] = &[0; 1 << 20];

/// The name of a segment that is being made.
const ASIDE: &str = "next.tmp";

pub(super) fn name_of(seq: u64) -> String {
    format!("log-{seq:016x}")
}

/// The sequence number in a segment's name.
pub(super) fn seq_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("log-")?;
    let plain = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u64::from_str_radix(digits, 16).ok())?
}

/// A segment open for writing.
pub(super) struct Segment {
    pub(super) header: Header,
    pub(super) file: Arc<dyn DiskFile>,
    /// Where the next batch goes.
    pub(super) end: u64,
    /// Up to here the file was zeroed and synced.
    pub(super) zeroed: u64,
}

impl Segment {
    /// Makes a segment of `zeroed` bytes under a temporary name: complete and synced.
    pub(super) async fn prepare(
        disk: &dyn Disk,
        dir: &Path,
        header: Header,
        zeroed: u64,
    ) -> io::Result<Self> {
        let path = dir.join(ASIDE);
        let file = disk.open(&path, Open::Truncate).await?;
        let end = HEADER_BYTES as u64;
        file.write_at(0, Bytes::copy_from_slice(&header.encode()))
            .await?;
        let mut segment = Self {
            header,
            file,
            end,
            zeroed: end,
        };
        segment.zero_up_to(zeroed).await?;
        Ok(segment)
    }

    /// Gives a prepared segment its name, durably.
    pub(super) async fn publish(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        disk.rename(&dir.join(ASIDE), &path_of(dir, self.header.seq))
            .await?;
        disk.sync_dir(dir).await
    }

    /// Makes room for a batch of `len` bytes, in steps; the room is durable on return.
    pub(super) async fn make_room(&mut self, len: usize, step: u64) -> io::Result<()> {
        let needed = self.end + len as u64 + RECORD_HEADER_BYTES as u64;
        if needed <= self.zeroed {
            return Ok(());
        }
        self.zero_up_to(needed.next_multiple_of(step.max(1))).await
    }

    async fn zero_up_to(&mut self, target: u64) -> io::Result<()> {
        while self.zeroed < target {
            let len = (target - self.zeroed).min(ZEROS.len() as u64);
            let zeros = Bytes::from_static(&ZEROS[..len as usize]);
            self.file.write_and_sync(self.zeroed, zeros).await?;
            self.zeroed += len;
        }
        Ok(())
    }

    /// Wipes what a torn batch left between the end and `until`.
    pub(super) async fn wipe(&self, until: u64) -> io::Result<()> {
        let mut at = self.end;
        while at < until {
            let len = (until - at).min(ZEROS.len() as u64);
            self.file
                .write_at(at, Bytes::from_static(&ZEROS[..len as usize]))
                .await?;
            at += len;
        }
        self.file.sync_data().await
    }
}

pub(super) fn path_of(dir: &Path, seq: u64) -> PathBuf {
    dir.join(name_of(seq))
}

/// Removes what an unfinished [`Segment::prepare`] left.
pub(super) async fn remove_leftovers(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    match disk.remove(&dir.join(ASIDE)).await {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_order_like_numbers() {
        assert_eq!(seq_of(&name_of(0x1f)), Some(0x1f));
        assert!(name_of(9) < name_of(10));
        for other in [
            "log-",
            "log-1",
            "log-00000000000000zz",
            "spare",
            "log-+000000000000001",
        ] {
            assert_eq!(seq_of(other), None, "{other}");
        }
    }
}
