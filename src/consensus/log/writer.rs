//! The one writer of the log: drains its queue, writes one batch, syncs, reports.
//!
//! Requests wait in a bounded channel. A purge is synced like anything else before segments are
//! unlinked; what is committed rides along with the next batch, or goes alone after a quiet
//! second. The first failure ends all writing: what a failed sync left behind is unknown, so
//! nothing is retried and every request from then on is answered with the failure.

use std::{io, path::PathBuf, time::Duration};

use bytes::Bytes;
use openraft::storage::IOFlushed;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    super::{
        types::{Entry, LogId, ServerId, TypeConfig, Vote},
        wire::{self, WireEntry, WireError, WireLogId, WireVote},
    },
    format::{BatchWriter, HEADER_BYTES, Header, Kind},
    recover::Recovered,
    segment::{Segment, path_of},
    shared::{Place, ReadSegment, Shared},
};
use crate::env::{Env, Task, spawn, timeout};

/// A batch takes no more requests beyond this.
const BATCH_BYTES_MAX: usize = 8 << 20;
const BATCH_REQUESTS_MAX: usize = 16 << 10;

/// What is committed is written at the latest after this much silence.
const QUIET: Duration = Duration::from_secs(1);

type Done = oneshot::Sender<io::Result<()>>;

/// What the log is asked to write.
pub(super) enum Request {
    Append {
        entries: Vec<Entry>,
        bytes: usize,
        done: IOFlushed<TypeConfig>,
    },
    Vote {
        vote: Vote,
        done: Done,
    },
    Truncate {
        after: Option<LogId>,
        done: Done,
    },
    Purge {
        upto: LogId,
    },
    Committed {
        id: LogId,
    },
    /// Writes all that waits, then ends the writer.
    Close {
        done: Done,
    },
}

/// Where and for whom segments are made.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) env: Env,
    pub(super) dir: PathBuf,
    pub(super) server: ServerId,
    pub(super) cluster: Uuid,
}

impl Site {
    async fn prepare(&self, seq: u64, zeroed: u64) -> io::Result<Segment> {
        let salt = self.env.entropy.u64();
        let header = Header {
            cluster: self.cluster,
            server: self.server.0,
            seq,
            salt,
        };
        Segment::prepare(&*self.env.disk, &self.dir, header, zeroed).await
    }
}

/// What the written part of the log says.
#[derive(Clone, Copy)]
struct Written {
    last: Option<LogId>,
    purged: Option<LogId>,
    vote: Option<Vote>,
    committed: Option<LogId>,
    /// The number of the last batch.
    batch: u64,
}

/// A batch ready to be written.
struct Encoded {
    batch: BatchWriter,
    places: Vec<(u64, Place)>,
    written: Written,
}

pub(super) struct Writer {
    site: Site,
    shared: Shared,
    requests: mpsc::Receiver<Request>,
    active: Segment,
    written: Written,
    /// Committed, but not written yet.
    committed: Option<LogId>,
    /// The next segment, being made while this one fills up.
    next: Option<Task<Option<io::Result<Segment>>>>,
    segment_bytes: u64,
    step_bytes: u64,
}

impl Writer {
    /// Takes the log over where recovery left it; makes the first segment of a new one.
    pub(super) async fn start(
        site: Site,
        recovered: Recovered,
        requests: mpsc::Receiver<Request>,
    ) -> io::Result<Self> {
        let view = recovered.view;
        let written = Written {
            last: view.last,
            purged: view.purged,
            vote: view.vote,
            committed: view.committed,
            batch: recovered.batch,
        };
        let (segment_bytes, step_bytes) = (view.config.segment_bytes, view.config.step_bytes);
        let active = match recovered.active {
            Some(segment) => segment,
            None => {
                let segment = site.prepare(1, step_bytes).await?;
                segment.publish(&*site.env.disk, &site.dir).await?;
                segment
            }
        };
        let mut writer = Self {
            shared: Shared::new(view),
            site,
            requests,
            active,
            written,
            committed: None,
            next: None,
            segment_bytes,
            step_bytes,
        };
        if writer.active.end == HEADER_BYTES as u64 {
            writer.open_segment().await?;
        }
        Ok(writer)
    }

    pub(super) fn shared(&self) -> Shared {
        self.shared.clone()
    }

    /// Runs until it is asked to close or nobody is left to ask.
    pub(super) async fn run(mut self) {
        loop {
            let (requests, closing) = self.gather().await;
            if requests.is_empty() && closing {
                break;
            }
            let result = match self.shared.check() {
                Ok(()) => self.write(&requests).await,
                Err(e) => Err(e),
            };
            match result {
                Ok(places) => self.report(requests, places).await,
                Err(e) => {
                    tracing::error!(target: "raft", error = %e, "the Raft log cannot be written");
                    self.shared.fail(io::Error::new(e.kind(), e.to_string()));
                    refuse(requests, &e);
                }
            }
            if closing {
                break;
            }
        }
        if let Some(next) = self.next.take() {
            // Whether it was ready or not: the next start makes it anew.
            drop(next.stop().await);
        }
    }

    /// Waits for requests; says whether the writer must end after them. An empty list means
    /// that what is committed has waited long enough.
    async fn gather(&mut self) -> (Vec<Request>, bool) {
        let clock = self.site.env.clock.clone();
        let mut gathered = Vec::new();
        let mut bytes = 0;
        loop {
            let wait = if gathered.is_empty() && self.committed.is_some() {
                match timeout(&*clock, QUIET, self.requests.recv()).await {
                    Ok(request) => request,
                    Err(_) => return (gathered, false),
                }
            } else if gathered.is_empty() {
                self.requests.recv().await
            } else {
                match self.requests.try_recv() {
                    Ok(request) => Some(request),
                    Err(_) => return (gathered, false),
                }
            };
            match wait {
                None => return (gathered, true),
                Some(Request::Committed { id }) => self.committed = Some(id),
                Some(close @ Request::Close { .. }) => {
                    gathered.push(close);
                    return (gathered, true);
                }
                Some(request) => {
                    if let Request::Append { bytes: more, .. } = &request {
                        bytes += more;
                    }
                    gathered.push(request);
                }
            }
            if bytes > BATCH_BYTES_MAX || gathered.len() >= BATCH_REQUESTS_MAX {
                return (gathered, false);
            }
        }
    }

    /// Writes the requests as one batch and syncs it; returns where the entries went.
    async fn write(&mut self, requests: &[Request]) -> io::Result<Vec<(u64, Place)>> {
        let mut encoded = self.encode(requests)?;
        let fits = self.active.end + encoded.batch.finished_len() as u64 <= self.segment_bytes;
        if !fits && self.active.end > HEADER_BYTES as u64 {
            self.roll().await?;
            encoded = self.encode(requests)?;
        }
        if encoded.batch.is_empty() {
            return Ok(encoded.places);
        }
        self.commit(encoded.batch, encoded.written).await?;
        self.committed = None;
        self.prepare_next();
        Ok(encoded.places)
    }

    fn encode(&self, requests: &[Request]) -> io::Result<Encoded> {
        let batch = BatchWriter::new(&self.active.header, self.active.end);
        let mut encoded = Encoded {
            batch,
            places: Vec::new(),
            written: self.written,
        };
        for request in requests {
            encoded
                .add(request, self.active.header.seq)
                .map_err(io::Error::other)?;
        }
        if let Some(id) = self.committed {
            encoded.add_committed(id).map_err(io::Error::other)?;
        }
        Ok(encoded)
    }

    async fn commit(&mut self, batch: BatchWriter, mut written: Written) -> io::Result<()> {
        written.batch = self.written.batch + 1;
        let bytes = batch.finish(written.batch);
        let len = bytes.len();
        let env = &self.site.env;
        let start = env.clock.now();
        self.active.make_room(len, self.step_bytes).await?;
        self.active
            .file
            .write_and_sync(self.active.end, Bytes::from(bytes))
            .await?;
        env.metrics.since("tumen.raft.log_sync", &[], start);
        env.metrics
            .sample("tumen.raft.log_batch_bytes", &[], len as f64);
        self.active.end += len as u64;
        self.written = written;
        self.shared.view().written_bytes += len as u64;
        Ok(())
    }

    /// Goes on in a new segment.
    async fn roll(&mut self) -> io::Result<()> {
        let prepared = match self.next.take() {
            None => None,
            Some(task) => task.join().await.ok().flatten(),
        };
        let seq = self.active.header.seq + 1;
        let segment = match prepared {
            Some(Ok(segment)) => segment,
            Some(Err(_)) | None => self.site.prepare(seq, self.step_bytes).await?,
        };
        segment
            .publish(&*self.site.env.disk, &self.site.dir)
            .await?;
        self.active = segment;
        self.open_segment().await
    }

    /// Begins the active segment with what the log said before it.
    async fn open_segment(&mut self) -> io::Result<()> {
        let header = self.active.header;
        let read = ReadSegment {
            header,
            file: self.active.file.clone(),
            path: path_of(&self.site.dir, header.seq),
            highest: 0,
        };
        self.shared.view().segments.insert(header.seq, read);
        let written = self.written;
        let batch = BatchWriter::new(&header, self.active.end);
        let mut opening = Encoded {
            batch,
            places: Vec::new(),
            written,
        };
        opening.open(&written).map_err(io::Error::other)?;
        self.commit(opening.batch, written).await
    }

    /// Starts making the next segment when this one is half full.
    fn prepare_next(&mut self) {
        if self.next.is_some() || self.active.end < self.segment_bytes / 2 {
            return;
        }
        let (site, bytes) = (self.site.clone(), self.segment_bytes);
        let seq = self.active.header.seq + 1;
        let token = CancellationToken::new();
        let stop = token.clone();
        let make = async move { stop.run_until_cancelled(site.prepare(seq, bytes)).await };
        self.next = Some(spawn("raft-log-next", token, make));
    }

    /// Notes what is on disk now, then tells those who wait for it, in order.
    async fn report(&mut self, requests: Vec<Request>, places: Vec<(u64, Place)>) {
        let mut purged = false;
        {
            let mut view = self.shared.view();
            let mut places = places.into_iter();
            for request in &requests {
                match request {
                    Request::Append { entries, .. } => places
                        .by_ref()
                        .take(entries.len())
                        .for_each(|(index, place)| view.place(index, place)),
                    Request::Vote { vote, .. } => view.vote = Some(*vote),
                    Request::Truncate { after, .. } => {
                        view.truncate_places(after.map_or(0, |id| id.index + 1));
                    }
                    Request::Purge { upto } => {
                        view.purge_places(upto.index);
                        purged = true;
                    }
                    Request::Committed { .. } | Request::Close { .. } => {}
                }
            }
            view.flushed();
        }
        for request in requests {
            request.answer(Ok(()));
        }
        if purged && let Err(e) = self.unlink_purged().await {
            // Only space is lost; the next purge tries again.
            tracing::warn!(target: "raft", error = %e, "could not remove old log segments");
        }
    }

    async fn unlink_purged(&self) -> io::Result<()> {
        let Some(purged) = self.written.purged else {
            return Ok(());
        };
        let gone: Vec<(u64, PathBuf)> = {
            let view = self.shared.view();
            let old = view.segments.iter().take_while(|(seq, segment)| {
                **seq != self.active.header.seq && segment.highest <= purged.index
            });
            old.map(|(seq, segment)| (*seq, segment.path.clone()))
                .collect()
        };
        let disk = &*self.site.env.disk;
        for (seq, path) in &gone {
            disk.remove(path).await?;
            self.shared.view().segments.remove(seq);
        }
        if gone.is_empty() {
            return Ok(());
        }
        disk.sync_dir(&self.site.dir).await
    }
}

impl Encoded {
    fn add(&mut self, request: &Request, seq: u64) -> Result<(), WireError> {
        match request {
            Request::Append { entries, .. } => {
                let mut payload = Vec::new();
                for entry in entries {
                    payload.clear();
                    wire::encode_into(&WireEntry::from(entry), &mut payload)?;
                    let index = entry.log_id.index;
                    let offset = self.batch.push(Kind::Entry, index, &payload);
                    let end = self.batch.next_offset();
                    let len = u32::try_from(end - offset).expect("records are below 4 GiB");
                    self.places.push((index, Place { seq, offset, len }));
                    self.written.last = Some(entry.log_id);
                }
            }
            Request::Vote { vote, .. } => self.add_vote(*vote)?,
            Request::Truncate { after, .. } => {
                let from = after.map_or(0, |id| id.index + 1);
                let payload = wire::encode(&after.map(WireLogId::from))?;
                self.batch.push(Kind::Truncate, from, &payload);
                self.written.last = *after;
            }
            Request::Purge { upto } => self.add_purge(*upto)?,
            Request::Committed { .. } | Request::Close { .. } => {}
        }
        Ok(())
    }

    fn open(&mut self, written: &Written) -> Result<(), WireError> {
        let base = wire::encode(&written.last.map(WireLogId::from))?;
        self.batch
            .push(Kind::Base, written.last.map_or(0, |id| id.index), &base);
        if let Some(vote) = written.vote {
            self.add_vote(vote)?;
        }
        if let Some(upto) = written.purged {
            self.add_purge(upto)?;
        }
        if let Some(id) = written.committed {
            self.add_committed(id)?;
        }
        Ok(())
    }

    fn add_vote(&mut self, vote: Vote) -> Result<(), WireError> {
        self.batch
            .push(Kind::Vote, 0, &wire::encode(&WireVote::from(vote))?);
        self.written.vote = Some(vote);
        Ok(())
    }

    fn add_purge(&mut self, upto: LogId) -> Result<(), WireError> {
        self.batch.push(
            Kind::Purge,
            upto.index,
            &wire::encode(&WireLogId::from(upto))?,
        );
        self.written.purged = Some(upto);
        if self.written.last < Some(upto) {
            self.written.last = Some(upto);
        }
        Ok(())
    }

    fn add_committed(&mut self, id: LogId) -> Result<(), WireError> {
        self.batch.push(
            Kind::Committed,
            id.index,
            &wire::encode(&WireLogId::from(id))?,
        );
        self.written.committed = Some(id);
        Ok(())
    }
}

impl Request {
    fn answer(self, result: io::Result<()>) {
        match self {
            Self::Append { done, .. } => done.io_completed(result),
            Self::Vote { done, .. } | Self::Truncate { done, .. } | Self::Close { done } => {
                // Whoever asked may have been dropped; what was asked is done all the same.
                drop(done.send(result));
            }
            Self::Purge { .. } | Self::Committed { .. } => {}
        }
    }
}

fn refuse(requests: Vec<Request>, error: &io::Error) {
    for request in requests {
        request.answer(Err(io::Error::new(error.kind(), error.to_string())));
    }
}
