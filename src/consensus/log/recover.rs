//! Reads the segments at start, and tells a torn tail from damage.
//!
//! - The last segment may end in a bad batch, if no good batch follows it: the crash took a
//!   batch that nobody was told about. It is wiped.
//! - Anything else that is wrong is damage: a bad batch before a good one or in an earlier
//!   segment, a file that ends inside a batch, a segment that is missing, records that
//!   contradict each other. Then the log refuses to open and names file and offset.

use std::{io, path::Path, path::PathBuf};

use bytes::Bytes;

use super::{
    super::{
        types::{LogId, ServerId, Vote},
        wire::{self, WireEntry, WireError, WireLogId, WireVote},
    },
    LogConfig, LogError,
    format::{HEADER_BYTES, Header, Kind, NoRecord, Record, batch_at, later_batch},
    segment::{Segment, path_of, remove_leftovers, seq_of},
    shared::{Place, ReadSegment, View},
};
use crate::env::{
    DiskFile,
    disk::{Disk, Open},
};

/// An opened log: what it says, and where it goes on.
pub(super) struct Recovered {
    pub(super) view: View,
    /// The segment to go on in; none in a new directory.
    pub(super) active: Option<Segment>,
    /// The number of the last batch.
    pub(super) batch: u64,
    /// How many bytes of a torn batch were cut.
    pub(super) cut_bytes: u64,
}

/// Opens the log in `dir`, which must exist.
pub(super) async fn recover(
    disk: &dyn Disk,
    dir: &Path,
    server: ServerId,
    config: LogConfig,
) -> Result<Recovered, LogError> {
    let io_error = |what, source| LogError::Io {
        what,
        path: dir.to_owned(),
        source,
    };
    remove_leftovers(disk, dir)
        .await
        .map_err(|e| io_error("clean up", e))?;
    let names = disk.list(dir).await.map_err(|e| io_error("list", e))?;
    let seqs: Vec<u64> = names.iter().filter_map(|name| seq_of(name)).collect();

    let mut replay = Replay {
        view: View::new(config),
        batch: None,
    };
    let mut active = None;
    let mut cut_bytes = 0;
    for (i, seq) in seqs.iter().enumerate() {
        let last = i + 1 == seqs.len();
        let found = Found::load(disk, dir, *seq, server).await?;
        if i > 0 && *seq != seqs[i - 1] + 1 {
            let what = format!("segment {} before it is missing", seq - 1);
            return Err(found.damaged(0, what));
        }
        let end = found.replay(&mut replay, last)?;
        if last {
            let (segment, cut) = found.resume(end).await?;
            (active, cut_bytes) = (Some(segment), cut);
        }
    }
    if let (None, Some(seq @ 2..)) = (replay.batch, seqs.first()) {
        let what = "it is empty, and the segments before it are missing".to_owned();
        return Err(LogError::Damaged {
            path: path_of(dir, *seq),
            offset: 0,
            what,
        });
    }
    replay.check_complete(dir, &seqs)?;
    replay.view.flushed();
    Ok(Recovered {
        view: replay.view,
        active,
        batch: replay.batch.unwrap_or(0),
        cut_bytes,
    })
}

/// A segment as it was found on disk.
struct Found {
    path: PathBuf,
    header: Header,
    file: std::sync::Arc<dyn DiskFile>,
    bytes: Bytes,
}

impl Found {
    async fn load(
        disk: &dyn Disk,
        dir: &Path,
        seq: u64,
        server: ServerId,
    ) -> Result<Self, LogError> {
        let path = path_of(dir, seq);
        let (file, bytes) = read(disk, &path).await.map_err(|source| LogError::Io {
            what: "read",
            path: path.clone(),
            source,
        })?;
        let damaged = |what: &str| LogError::Damaged {
            path: path.clone(),
            offset: 0,
            what: what.to_owned(),
        };
        let header = Header::decode(&bytes).map_err(damaged)?;
        if header.seq != seq {
            return Err(damaged("the segment has another segment's name"));
        }
        if header.server != server.0 {
            return Err(damaged("the segment was written by another server"));
        }
        Ok(Self {
            path,
            header,
            file,
            bytes,
        })
    }

    fn damaged(&self, offset: usize, what: impl Into<String>) -> LogError {
        LogError::Damaged {
            path: self.path.clone(),
            offset: offset as u64,
            what: what.into(),
        }
    }

    /// Replays all good batches; returns the offset behind the last one.
    fn replay(&self, replay: &mut Replay, last: bool) -> Result<usize, LogError> {
        replay.add_segment(self);
        let mut at = HEADER_BYTES;
        loop {
            match batch_at(&self.header, &self.bytes, at) {
                Ok(batch) => {
                    let expected = replay.batch.map_or(batch.number, |n| n + 1);
                    if batch.number != expected {
                        let what = format!("batch {} where {expected} belongs", batch.number);
                        return Err(self.damaged(at, what));
                    }
                    for record in &batch.records {
                        let applied = replay.apply(self.header.seq, record);
                        applied.map_err(|what| self.damaged(record.offset as usize, what))?;
                    }
                    replay.batch = Some(batch.number);
                    at = batch.end;
                }
                Err(NoRecord::Short) => {
                    return Err(self.damaged(at, "the file ends inside what was written to it"));
                }
                Err(NoRecord::End) => {
                    self.check_tail(at, replay, last, "a batch is missing")?;
                    return Ok(at);
                }
                Err(NoRecord::Bad(what)) => {
                    self.check_tail(at, replay, last, what)?;
                    return Ok(at);
                }
            }
        }
    }

    /// Refuses unless what follows the last good batch can be a torn one.
    fn check_tail(
        &self,
        at: usize,
        replay: &Replay,
        last: bool,
        what: &str,
    ) -> Result<(), LogError> {
        let tail = &self.bytes[at..];
        if tail.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        if !last {
            return Err(self.damaged(at, format!("{what}, and a later segment exists")));
        }
        let next = replay.batch.map_or(1, |n| n + 1);
        match later_batch(&self.header, &self.bytes, at, next) {
            Some(later) => Err(self.damaged(at, format!("{what}, but batch {later} is intact"))),
            None => Ok(()),
        }
    }

    /// Opens the segment for writing behind `end`; wipes what a torn batch left there.
    async fn resume(self, end: usize) -> Result<(Segment, u64), LogError> {
        let garbage = self.bytes[end..]
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |i| i + 1);
        let segment = Segment {
            header: self.header,
            file: self.file,
            end: end as u64,
            zeroed: self.bytes.len() as u64,
        };
        if garbage > 0 {
            let wiped = segment.wipe((end + garbage) as u64).await;
            wiped.map_err(|source| LogError::Io {
                what: "repair",
                path: self.path,
                source,
            })?;
        }
        Ok((segment, garbage as u64))
    }
}

async fn read(disk: &dyn Disk, path: &Path) -> io::Result<(std::sync::Arc<dyn DiskFile>, Bytes)> {
    let file = disk.open(path, Open::Write).await?;
    let len = usize::try_from(file.size().await?).map_err(io::Error::other)?;
    let bytes = file.read_at(0, len).await?;
    Ok((file, bytes))
}

/// The log's state while its records are replayed.
struct Replay {
    view: View,
    batch: Option<u64>,
}

impl Replay {
    fn add_segment(&mut self, found: &Found) {
        let (file, path) = (found.file.clone(), found.path.clone());
        let segment = ReadSegment {
            header: found.header,
            file,
            path,
            highest: 0,
        };
        self.view.segments.insert(found.header.seq, segment);
    }

    /// Takes one record; says in words what is wrong with it.
    fn apply(&mut self, seq: u64, record: &Record) -> Result<(), String> {
        let unreadable = |e: WireError| format!("a record cannot be read: {e}");
        match record.kind {
            Kind::Entry => {
                let wire: WireEntry = wire::decode(record.payload).map_err(unreadable)?;
                let entry = wire.into_entry().map_err(unreadable)?;
                if entry.log_id.index != record.index {
                    return Err("an entry has another entry's index".to_owned());
                }
                self.view.push(entry).map_err(|e| e.to_string())?;
                let place = Place {
                    seq,
                    offset: record.offset,
                    len: record.len,
                };
                self.view.place(record.index, place);
                self.view.flushed();
            }
            Kind::Vote => {
                let vote: WireVote = wire::decode(record.payload).map_err(unreadable)?;
                self.view.vote = Some(Vote::from(vote));
            }
            Kind::Committed => self.view.committed = Some(log_id(record).map_err(unreadable)?),
            Kind::Base => {
                let base: Option<WireLogId> = wire::decode(record.payload).map_err(unreadable)?;
                self.base(base.map(LogId::from))?;
            }
            Kind::Truncate => {
                let after: Option<WireLogId> = wire::decode(record.payload).map_err(unreadable)?;
                self.view.truncate_front(after.map(LogId::from));
                self.view.truncate_places(record.index);
            }
            Kind::Purge => {
                self.view.purge_front(log_id(record).map_err(unreadable)?);
                self.view.purge_places(record.index);
            }
            Kind::Commit => return Err("a batch ends twice".to_owned()),
        }
        Ok(())
    }

    /// A segment opens: in the first one, earlier entries were purged with their segments.
    fn base(&mut self, base: Option<LogId>) -> Result<(), String> {
        if self.batch.is_none() {
            self.view.last = base;
        }
        if self.view.last != base {
            return Err("the segment before this one has lost entries".to_owned());
        }
        Ok(())
    }

    /// All entries above the purged ones must be there.
    fn check_complete(&mut self, dir: &Path, seqs: &[u64]) -> Result<(), LogError> {
        let first = self.view.purged.map_or(0, |id| id.index + 1);
        let next = self.view.next_index();
        let held = if self.view.places.is_empty() {
            next
        } else {
            self.view.first_place
        };
        if held > first && next > first {
            let path = seqs
                .first()
                .map_or(dir.to_owned(), |seq| path_of(dir, *seq));
            let what = format!("entries {first} to {} are missing", held.min(next) - 1);
            return Err(LogError::Damaged {
                path,
                offset: 0,
                what,
            });
        }
        // A committed id beyond the log would stop openraft; the log itself decides.
        let last = self.view.last;
        if self.view.committed > last {
            self.view.committed = last;
        }
        Ok(())
    }
}

fn log_id(record: &Record) -> Result<LogId, WireError> {
    let id: WireLogId = wire::decode(record.payload)?;
    Ok(id.into())
}
