//! The bytes of a segment.
//!
//! ```text
//! segment: header | batch | batch | … | zeros
//! header:  magic 8 | cluster 16 | server 16 | seq 8 | salt 8 | reserved 4 | crc 4
//! batch:   record | record | … | commit record
//! record:  len 4 | crc 4 | kind 1 | index 8 | payload (len bytes)
//! ```
//!
//! Numbers are little-endian; a crc is CRC-32C. A record's crc covers the segment's salt and
//! sequence number, the record's own offset, and everything of it but the crc, so that bytes
//! left from another segment or another place never pass. Kind 0 ends the log. A commit
//! record's index is the batch's number, which counts over all segments; its payload is how
//! many records and how many bytes the batch has before it.

use uuid::Uuid;

/// The last byte is the format's version.
const MAGIC: [u8; 8] = *b"TUMNLOG\x01";

/// Where the first batch starts.
pub(super) const HEADER_BYTES: usize = 64;

/// What a record has before its payload. This much room always stays behind the last batch.
pub(super) const RECORD_HEADER_BYTES: usize = 17;

/// More than any record may hold; a length above this is damage.
pub(super) const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// What a record says. Numbers are for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A log entry; the index is its own.
    Entry = 1,
    /// The newest vote.
    Vote = 2,
    /// What was known to be committed.
    Committed = 3,
    /// Entries from this index on are gone.
    Truncate = 4,
    /// Entries up to this index are gone.
    Purge = 5,
    /// The end of a batch.
    Commit = 6,
    /// Opens a segment: entries up to this index are in earlier ones.
    Base = 7,
}

impl Kind {
    fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Entry,
            2 => Self::Vote,
            3 => Self::Committed,
            4 => Self::Truncate,
            5 => Self::Purge,
            6 => Self::Commit,
            7 => Self::Base,
            _ => return None,
        })
    }
}

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Nil where the cluster was not known yet.
    pub(super) cluster: Uuid,
    pub(super) server: Uuid,
    pub(super) seq: u64,
    pub(super) salt: u64,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..8].copy_from_slice(&MAGIC);
        out[8..24].copy_from_slice(self.cluster.as_bytes());
        out[24..40].copy_from_slice(self.server.as_bytes());
        out[40..48].copy_from_slice(&self.seq.to_le_bytes());
        out[48..56].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&out[..60]);
        out[60..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Says in words what is wrong with a header.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes = bytes
            .get(..HEADER_BYTES)
            .ok_or("the file is too short for its header")?;
        if bytes[..7] != MAGIC[..7] {
            return Err("this is no log segment");
        }
        if bytes[7] != MAGIC[7] {
            return Err("the segment was written by another version of the program");
        }
        if u32_at(bytes, 60) != crc32c::crc32c(&bytes[..60]) {
            return Err("the header's checksum does not match");
        }
        Ok(Self {
            cluster: uuid_at(bytes, 8),
            server: uuid_at(bytes, 24),
            seq: u64_at(bytes, 40),
            salt: u64_at(bytes, 48),
        })
    }

    /// What every record's crc in this segment starts from.
    fn seed(&self) -> u32 {
        crc32c::crc32c_append(
            crc32c::crc32c(&self.salt.to_le_bytes()),
            &self.seq.to_le_bytes(),
        )
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(
        bytes[at..at + 8]
            .try_into()
            .expect("a slice of eight bytes"),
    )
}

fn uuid_at(bytes: &[u8], at: usize) -> Uuid {
    Uuid::from_bytes(
        bytes[at..at + 16]
            .try_into()
            .expect("a slice of sixteen bytes"),
    )
}

fn record_crc(seed: u32, offset: u64, record: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(seed, &offset.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &record[..4]);
    crc32c::crc32c_append(crc, &record[8..])
}

/// Builds the bytes of one batch.
pub(super) struct BatchWriter {
    seed: u32,
    /// Where in the segment the batch starts.
    start: u64,
    out: Vec<u8>,
    records: u32,
}

impl BatchWriter {
    pub(super) fn new(header: &Header, start: u64) -> Self {
        Self {
            seed: header.seed(),
            start,
            out: Vec::new(),
            records: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// How many bytes the finished batch will have.
    pub(super) fn finished_len(&self) -> usize {
        self.out.len() + RECORD_HEADER_BYTES + 8
    }

    /// Where in the segment the next record goes.
    pub(super) fn next_offset(&self) -> u64 {
        self.start + self.out.len() as u64
    }

    /// Adds a record; returns its offset in the segment.
    pub(super) fn push(&mut self, kind: Kind, index: u64, payload: &[u8]) -> u64 {
        let at = self.out.len();
        let offset = self.start + at as u64;
        let len = u32::try_from(payload.len()).expect("payloads are far below 4 GiB");
        self.out.extend_from_slice(&len.to_le_bytes());
        self.out.extend_from_slice(&[0; 4]);
        self.out.push(kind as u8);
        self.out.extend_from_slice(&index.to_le_bytes());
        self.out.extend_from_slice(payload);
        let crc = record_crc(self.seed, offset, &self.out[at..]);
        self.out[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        self.records += 1;
        offset
    }

    /// Ends the batch with its commit record.
    pub(super) fn finish(mut self, number: u64) -> Vec<u8> {
        let bytes = u32::try_from(self.out.len()).expect("batches are far below 4 GiB");
        let mut payload = [0; 8];
        payload[..4].copy_from_slice(&self.records.to_le_bytes());
        payload[4..].copy_from_slice(&bytes.to_le_bytes());
        self.push(Kind::Commit, number, &payload);
        self.out
    }
}

/// A record as it was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) kind: Kind,
    pub(super) index: u64,
    pub(super) payload: &'a [u8],
    /// Where it starts in its segment, and its whole length.
    pub(super) offset: u64,
    pub(super) len: u32,
}

/// Why no record is to be found at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRecord {
    /// Zeros: nothing was written here.
    End,
    /// The file ends before the record does.
    Short,
    Bad(&'static str),
}

/// Reads the record at `offset`. `bytes` starts with the record and goes on to the file's end.
pub(super) fn record_at<'a>(
    header: &Header,
    bytes: &'a [u8],
    offset: u64,
) -> Result<Record<'a>, NoRecord> {
    let head = bytes.get(..RECORD_HEADER_BYTES).ok_or(NoRecord::Short)?;
    if head[8] == 0 {
        let zeros = head.iter().all(|b| *b == 0);
        return Err(if zeros {
            NoRecord::End
        } else {
            NoRecord::Bad("a record has no kind")
        });
    }
    let kind = Kind::from_u8(head[8]).ok_or(NoRecord::Bad("a record's kind is unknown"))?;
    let len = u32_at(head, 0) as usize;
    if len > PAYLOAD_BYTES_MAX {
        return Err(NoRecord::Bad("a record's length is impossible"));
    }
    let record = bytes
        .get(..RECORD_HEADER_BYTES + len)
        .ok_or(NoRecord::Short)?;
    if u32_at(head, 4) != record_crc(header.seed(), offset, record) {
        return Err(NoRecord::Bad("a record's checksum does not match"));
    }
    Ok(Record {
        kind,
        index: u64_at(head, 9),
        payload: &record[RECORD_HEADER_BYTES..],
        offset,
        len: record.len() as u32,
    })
}

/// A batch as it was found, without its commit record.
pub(super) struct Batch<'a> {
    pub(super) number: u64,
    pub(super) records: Vec<Record<'a>>,
    /// The offset behind it.
    pub(super) end: usize,
}

/// Reads the batch that starts at `start` of the whole segment `bytes`.
pub(super) fn batch_at<'a>(
    header: &Header,
    bytes: &'a [u8],
    start: usize,
) -> Result<Batch<'a>, NoRecord> {
    let mut records = Vec::new();
    let mut at = start;
    loop {
        let record = match record_at(header, &bytes[at..], at as u64) {
            Ok(record) => record,
            Err(NoRecord::End) if !records.is_empty() => {
                return Err(NoRecord::Bad("a batch has no end"));
            }
            Err(e) => return Err(e),
        };
        let end = at + record.len as usize;
        if record.kind != Kind::Commit {
            records.push(record);
            at = end;
            continue;
        }
        let whole = record.payload.len() == 8
            && u32_at(record.payload, 0) as usize == records.len()
            && u32_at(record.payload, 4) as usize == at - start;
        if !whole {
            return Err(NoRecord::Bad("a batch does not match its end"));
        }
        return Ok(Batch {
            number: record.index,
            records,
            end,
        });
    }
}

/// Looks for the end of a batch with a number above `number`, anywhere from `from` on.
pub(super) fn later_batch(header: &Header, bytes: &[u8], from: usize, number: u64) -> Option<u64> {
    let last = bytes.len().checked_sub(RECORD_HEADER_BYTES)?;
    (from..=last).find_map(|at| {
        let here = &bytes[at..];
        if here[8] != Kind::Commit as u8 || u32_at(here, 0) != 8 || u64_at(here, 9) <= number {
            return None;
        }
        let record = record_at(header, here, at as u64).ok()?;
        Some(record.index)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            cluster: Uuid::from_u128(1),
            server: Uuid::from_u128(2),
            seq: 3,
            salt: 4,
        }
    }

    /// The bytes of format 1. If this fails, the format has changed: old logs must still open,
    /// so give the format a new version instead of new bytes.
    #[test]
    fn golden_segment() {
        let mut bytes = header().encode().to_vec();
        let mut batch = BatchWriter::new(&header(), HEADER_BYTES as u64);
        batch.push(Kind::Vote, 0, b"vote");
        batch.push(Kind::Entry, 1, b"entry");
        bytes.extend(batch.finish(9));
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let golden = include_str!("../../../tests/golden/raft_segment_v1.hex");
        assert_eq!(hex, golden.trim());
    }

    #[test]
    fn a_batch_is_read_back() {
        let mut bytes = header().encode().to_vec();
        let mut batch = BatchWriter::new(&header(), HEADER_BYTES as u64);
        batch.push(Kind::Entry, 7, b"seven");
        let expected = batch.finished_len();
        bytes.extend(batch.finish(2));
        assert_eq!(bytes.len(), HEADER_BYTES + expected);
        let end = bytes.len();
        bytes.extend([0; RECORD_HEADER_BYTES]);

        assert_eq!(Header::decode(&bytes), Ok(header()));
        let batch = batch_at(&header(), &bytes, HEADER_BYTES).ok().unwrap();
        assert_eq!((batch.number, batch.end), (2, end));
        assert_eq!(
            (batch.records[0].index, batch.records[0].payload),
            (7, &b"seven"[..])
        );
        assert_eq!(batch_at(&header(), &bytes, end).err(), Some(NoRecord::End));
        assert_eq!(later_batch(&header(), &bytes, HEADER_BYTES, 1), Some(2));
        assert_eq!(later_batch(&header(), &bytes, HEADER_BYTES, 2), None);
    }

    #[test]
    fn a_record_of_another_place_or_segment_does_not_pass() {
        let mut batch = BatchWriter::new(&header(), 100);
        batch.push(Kind::Entry, 7, b"seven");
        let bytes = batch.finish(2);
        assert!(record_at(&header(), &bytes, 100).is_ok());
        assert!(record_at(&header(), &bytes, 101).is_err());
        let other = Header {
            salt: 5,
            ..header()
        };
        assert!(record_at(&other, &bytes, 100).is_err());
    }
}
