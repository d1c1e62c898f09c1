//! The Raft log on disk: segments, one writer, group commit.
//!
//! **Owns** the files `log-<seq>` of the Raft directory. **Does not** know snapshots or what
//! commands mean.
//!
//! Entries, votes, what is committed, truncation and purging are records of one ordered log, so
//! none can be durable without what came before it. The writer drains its queue, writes it
//! as one batch, syncs, and only then reports; batch n+1 is written after batch n's sync has
//! returned. So a bad batch with a later good one is damage, and the log refuses to open; a bad
//! last batch was never acknowledged, and is cut ([`recover`]).
//!
//! Everything that is written lies in space that was zeroed and synced before, with room for
//! one more record header behind it. So a file that ends inside a batch was cut by someone
//! else, and the log refuses to open.

mod format;
mod recover;
mod segment;
mod shared;
mod store;
mod writer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub(super) use store::{LogStore, LogWriter};

/// Sizes; tests and `-dev` make them small.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// A segment is closed when the next batch would not fit in this.
    pub segment_bytes: u64,
    /// The zeroed room of the first segment, which grows in steps of the same size.
    pub step_bytes: u64,
    /// Entries kept in memory, at most, besides those that are not on disk yet.
    pub cache_entries: usize,
    pub cache_bytes: usize,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            step_bytes: 256 << 10,
            cache_entries: 64 << 10,
            cache_bytes: 64 << 20,
        }
    }
}

/// Why the log did not open.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("could not {what} `{}`", .path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "the Raft log is damaged: {what} (`{}`, offset {offset}); this server must not vote: \
         move its Raft directory away and it joins again as a new server",
        .path.display()
    )]
    Damaged {
        path: PathBuf,
        offset: u64,
        what: String,
    },
}
