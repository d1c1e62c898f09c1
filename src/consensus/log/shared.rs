//! What the log's front, its readers and its writer share.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    ops::Range,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{
    super::{
        types::{Entry, LogId, Vote},
        wire::{self, WireEntry, entry_bytes_max},
    },
    LogConfig,
    format::{Header, Kind, record_at},
};
use crate::env::DiskFile;

/// Where an entry's record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) seq: u64,
    pub(super) offset: u64,
    pub(super) len: u32,
}

/// A segment to read from.
#[derive(Clone)]
pub(super) struct ReadSegment {
    pub(super) header: Header,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) path: PathBuf,
    /// The highest entry index that was ever written to it.
    pub(super) highest: u64,
}

/// The log as it is known now. The front changes `cache` and `last` at once; the writer
/// changes `places` and `flushed` when its batch is on disk.
pub(super) struct View {
    pub(super) config: LogConfig,
    /// The newest entries, all that are not on disk among them. Consecutive, up to `last`.
    cache: VecDeque<Entry>,
    cache_bytes: usize,
    pub(super) last: Option<LogId>,
    pub(super) purged: Option<LogId>,
    /// Durable: what `read_vote` may see.
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    /// Where entries are, from index `first_place` on.
    pub(super) places: VecDeque<Place>,
    pub(super) first_place: u64,
    /// Entries up to this index are on disk.
    flushed: u64,
    pub(super) segments: BTreeMap<u64, ReadSegment>,
    /// Bytes of records written since the program started.
    pub(super) written_bytes: u64,
}

/// Handle to the view.
#[derive(Clone)]
pub(super) struct Shared {
    view: Arc<Mutex<View>>,
    /// Why the log has stopped, once it has.
    failed: watch::Sender<Option<Arc<io::Error>>>,
}

impl Shared {
    pub(super) fn new(view: View) -> Self {
        Self {
            view: Arc::new(Mutex::new(view)),
            failed: watch::Sender::new(None),
        }
    }

    pub(super) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the first failure; the log never recovers from it.
    pub(super) fn fail(&self, error: io::Error) {
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            if first {
                *failed = Some(Arc::new(error));
            }
            first
        });
    }

    pub(super) fn failure(&self) -> watch::Receiver<Option<Arc<io::Error>>> {
        self.failed.subscribe()
    }

    /// The failure as an error of its own, if there was one.
    pub(super) fn check(&self) -> io::Result<()> {
        match &*self.failed.borrow() {
            None => Ok(()),
            Some(e) => Err(io::Error::new(
                e.kind(),
                format!("the Raft log has stopped: {e}"),
            )),
        }
    }

    /// The entries of `range` that the log has, no more than about `bytes_max` of them but at
    /// least one.
    pub(super) async fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let plan = self.view().plan(range, bytes_max)?;
        let mut entries = Vec::with_capacity(plan.cold.len() + plan.cached.len());
        let mut rest = &plan.cold[..];
        while let Some(((index, place), _)) = rest.split_first() {
            let run = contiguous(rest);
            let segment = plan.segments.get(&place.seq);
            let segment = segment.ok_or_else(|| missing(*index, place.seq))?;
            read_run(segment, &rest[..run], &mut entries).await?;
            rest = &rest[run..];
        }
        entries.extend(plan.cached);
        Ok(entries)
    }
}

fn missing(index: u64, seq: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("entry {index}: segment {seq} is gone"),
    )
}

/// What to read, decided under the lock.
struct ReadPlan {
    cold: Vec<(u64, Place)>,
    segments: BTreeMap<u64, ReadSegment>,
    cached: Vec<Entry>,
}

impl View {
    pub(super) fn new(config: LogConfig) -> Self {
        Self {
            config,
            cache: VecDeque::new(),
            cache_bytes: 0,
            last: None,
            purged: None,
            vote: None,
            committed: None,
            places: VecDeque::new(),
            first_place: 0,
            flushed: 0,
            segments: BTreeMap::new(),
            written_bytes: 0,
        }
    }

    /// The index after the last entry.
    pub(super) fn next_index(&self) -> u64 {
        self.last.map_or(0, |id| id.index + 1)
    }

    fn first_cached(&self) -> u64 {
        self.next_index() - self.cache.len() as u64
    }

    /// Adds entries behind the last one.
    ///
    /// # Errors
    /// When they would leave a hole.
    pub(super) fn push(&mut self, entry: Entry) -> io::Result<()> {
        let index = entry.log_id.index;
        if self.last.is_some() && index != self.next_index() {
            let text = format!("entry {index} does not follow {}", self.next_index() - 1);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.last = Some(entry.log_id);
        self.cache_bytes += entry_bytes_max(&entry);
        self.cache.push_back(entry);
        Ok(())
    }

    /// Forgets the entries above `after`. Places follow when the writer gets there.
    pub(super) fn truncate_front(&mut self, after: Option<LogId>) {
        let keep = after.map_or(0, |id| id.index + 1);
        let drop_from = keep.saturating_sub(self.first_cached()) as usize;
        for entry in self.cache.drain(drop_from.min(self.cache.len())..) {
            self.cache_bytes -= entry_bytes_max(&entry);
        }
        self.last = after;
    }

    /// Forgets the entries up to `upto`.
    pub(super) fn purge_front(&mut self, upto: LogId) {
        if self.purged.is_some_and(|id| id.index >= upto.index) {
            return;
        }
        let first = self.first_cached();
        let gone = (upto.index + 1).saturating_sub(first) as usize;
        for entry in self.cache.drain(..gone.min(self.cache.len())) {
            self.cache_bytes -= entry_bytes_max(&entry);
        }
        self.purged = Some(upto);
        if self.last.is_none_or(|last| last.index < upto.index) {
            self.last = Some(upto);
        }
    }

    /// Notes where a written entry is.
    pub(super) fn place(&mut self, index: u64, place: Place) {
        if self.places.is_empty() {
            self.first_place = index;
        }
        self.places.push_back(place);
        if let Some(segment) = self.segments.get_mut(&place.seq) {
            segment.highest = segment.highest.max(index);
        }
    }

    pub(super) fn truncate_places(&mut self, from: u64) {
        self.places
            .truncate(from.saturating_sub(self.first_place) as usize);
        self.flushed = self.flushed.min(from.saturating_sub(1));
    }

    pub(super) fn purge_places(&mut self, upto: u64) {
        let gone = (upto + 1).saturating_sub(self.first_place) as usize;
        self.places.drain(..gone.min(self.places.len()));
        self.first_place = self.first_place.max(upto + 1);
    }

    /// Notes that everything placed is on disk, and lets old entries leave memory.
    pub(super) fn flushed(&mut self) {
        if let Some(last) = (self.places.len() as u64).checked_sub(1) {
            self.flushed = self.first_place + last;
        }
        while self.cache.len() > self.config.cache_entries
            || self.cache_bytes > self.config.cache_bytes
        {
            if self.cache.is_empty() || self.first_cached() > self.flushed {
                break;
            }
            if let Some(entry) = self.cache.pop_front() {
                self.cache_bytes -= entry_bytes_max(&entry);
            }
        }
    }

    fn plan(&self, range: Range<u64>, bytes_max: usize) -> io::Result<ReadPlan> {
        let first_cached = self.first_cached();
        let lowest = if self.places.is_empty() {
            first_cached
        } else {
            self.first_place
        };
        let first = lowest.min(first_cached).max(range.start);
        let first = self.purged.map_or(first, |id| first.max(id.index + 1));
        let end = self.next_index().min(range.end);
        let mut plan = ReadPlan {
            cold: Vec::new(),
            segments: BTreeMap::new(),
            cached: Vec::new(),
        };
        let mut bytes = 0;
        for index in first..end {
            if index >= first_cached {
                let entry = &self.cache[(index - first_cached) as usize];
                bytes += entry_bytes_max(entry);
                plan.cached.push(entry.clone());
            } else {
                let place = self.place_of(index).ok_or_else(|| {
                    io::Error::new(
                        io::ErrorKind::NotFound,
                        format!("entry {index} has no place"),
                    )
                })?;
                bytes += place.len as usize;
                plan.cold.push((index, place));
                if let Some(segment) = self.segments.get(&place.seq) {
                    plan.segments
                        .entry(place.seq)
                        .or_insert_with(|| segment.clone());
                }
            }
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(plan)
    }

    fn place_of(&self, index: u64) -> Option<Place> {
        let at = index.checked_sub(self.first_place)?;
        self.places.get(at as usize).copied()
    }
}

/// How many places from the first on lie in one piece of at most 8 MiB.
fn contiguous(places: &[(u64, Place)]) -> usize {
    const PIECE_BYTES_MAX: u64 = 8 << 20;
    let first = places[0].1;
    let fits = |(_, place): &&(u64, Place)| {
        place.seq == first.seq
            && place.offset >= first.offset
            && place.offset + u64::from(place.len) - first.offset <= PIECE_BYTES_MAX
    };
    places.iter().take_while(fits).count().max(1)
}

async fn read_run(
    segment: &ReadSegment,
    run: &[(u64, Place)],
    entries: &mut Vec<Entry>,
) -> io::Result<()> {
    let (start, last) = (run[0].1.offset, run[run.len() - 1].1);
    let len = last.offset + u64::from(last.len) - start;
    let bytes = segment.file.read_at(start, len as usize).await?;
    for (index, place) in run {
        let at = (place.offset - start) as usize;
        let here = bytes.get(at..).unwrap_or_default();
        let found = record_at(&segment.header, here, place.offset).ok();
        let found = found.filter(|r| r.kind == Kind::Entry && r.index == *index);
        let entry = found.and_then(|r| wire::decode::<WireEntry>(r.payload).ok());
        let entry = entry.and_then(|wire| wire.into_entry().ok());
        entries.push(entry.ok_or_else(|| {
            let (path, offset) = (segment.path.display(), place.offset);
            let text = format!("entry {index} at offset {offset} of `{path}` is damaged");
            io::Error::new(io::ErrorKind::InvalidData, text)
        })?);
    }
    Ok(())
}
