//! How far the source of a log was read, in a small file beside the log.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The file's fixed length: one write, so that a killed agent leaves the old or the new one.
const LEN: usize = 192;

/// How far a source was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The time of the last entry, Unix nanoseconds.
    pub time: i64,
    /// How many entries with that very time were taken: pieces of a long line share one.
    pub count: u32,
}

/// A position, and how long the log was when everything up to it had been written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// What was read: a container's id.
    pub source: String,
    pub position: Position,
    /// The last file.
    pub index: u64,
    /// Its length.
    pub size: u64,
}

impl Cursor {
    fn encode(&self) -> Vec<u8> {
        let body = format!(
            "1 {} {} {} {} {}",
            self.source, self.position.time, self.position.count, self.index, self.size
        );
        let mut bytes = format!("{:08x} {body}\n", crc32c::crc32c(body.as_bytes())).into_bytes();
        bytes.resize(LEN.max(bytes.len()), b'\n');
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(bytes).ok()?.lines().next()?;
        let (crc, body) = line.split_once(' ')?;
        if u32::from_str_radix(crc, 16).ok()? != crc32c::crc32c(body.as_bytes()) {
            return None;
        }
        let parts: Vec<&str> = body.split(' ').collect();
        let [version, source, time, count, index, size] = parts.as_slice() else {
            return None;
        };
        (*version == "1").then_some(())?;
        Some(Self {
            source: (*source).to_string(),
            position: Position {
                time: time.parse().ok()?,
                count: count.parse().ok()?,
            },
            index: index.parse().ok()?,
            size: size.parse().ok()?,
        })
    }
}

/// The open file that holds a cursor.
pub(super) struct CursorFile(File);

impl CursorFile {
    /// Opens it, and reads what it holds; damage counts as nothing.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Option<Cursor>)> {
        let no_follow = rustix::fs::OFlags::NOFOLLOW.bits();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(i32::try_from(no_follow).unwrap_or(0))
            .mode(0o600)
            .open(path)?;
        let mut bytes = [0; LEN];
        let mut filled = 0;
        while filled < LEN {
            match file.read_at(&mut bytes[filled..], filled as u64)? {
                0 => break,
                n => filled += n,
            }
        }
        Ok((Self(file), Cursor::decode(&bytes[..filled])))
    }

    pub(super) fn write(&self, cursor: &Cursor) -> io::Result<()> {
        self.0.write_all_at(&cursor.encode(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor {
            source: "a".repeat(64),
            position: Position { time: -5, count: 2 },
            index: 3,
            size: u64::MAX,
        }
    }

    #[test]
    fn a_cursor_reads_back() {
        assert_eq!(Cursor::decode(&cursor().encode()), Some(cursor()));
        assert_eq!(cursor().encode().len(), LEN);
    }

    #[test]
    fn damage_counts_as_nothing() {
        for i in 0..100 {
            let mut bytes = cursor().encode();
            bytes[i] ^= 1;
            assert_ne!(Cursor::decode(&bytes), Some(cursor()), "byte {i}");
        }
        assert_eq!(Cursor::decode(&[]), None);
        assert_eq!(Cursor::decode(&[0; LEN]), None);
    }
}
