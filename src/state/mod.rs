//! The replicated state: what the servers agree on, in memory.
//!
//! **Owns** the [`Command`]s of the log, their application, the [`Snapshot`]s that readers and
//! planners work on, and the [`watch`] that wakes them. **Does not** read a clock, draw a random
//! number or do I/O: the same log gives the same state on every server.
//!
//! The maps share structure, so a snapshot costs nothing and readers never block [`State::apply`].
//! Each apply says which [`Key`]s it changed; each key has an index of its own, which is what a
//! blocking read compares. Start reading at [`State::apply`].

mod apply;
pub mod command;
mod dump;
pub mod key;
pub mod pack;
mod snapshot;
mod store;
pub mod tables;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use command::{Change, Command, Garbage, Outcome, Refusal};
pub use dump::RestoreError;
pub use key::{Key, Table};
pub use pack::StoredPlan;
pub use snapshot::Snapshot;
pub use store::Store;
pub use watch::{Hub, Watcher};

use crate::model::Index;
use tables::Tables;
use tables::request::Answered;

/// The state and how commands change it.
#[derive(Default)]
pub struct State {
    tables: Arc<Tables>,
}

/// What applying a command did.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// Where it was applied; for a repeated request, where it was the first time.
    pub index: Index,
    pub outcome: Outcome,
    /// What changed; empty for a repeated request and for a refusal.
    pub changed: BTreeSet<Key>,
}

impl State {
    /// The state of a cluster in which nothing happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The last applied index.
    pub fn index(&self) -> Index {
        self.tables.index
    }

    /// The state as it is now, for ever.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            tables: self.tables.clone(),
        }
    }

    /// Applies one command. Total: whatever the command says, the state stays whole.
    ///
    /// Indexes must grow from call to call; positions of the log without a command may be left
    /// out.
    pub fn apply(&mut self, index: Index, command: &Command) -> Applied {
        let tables = Arc::make_mut(&mut self.tables);
        tables.index = tables.index.max(index);
        tables.clock = tables.clock.max(command.time);
        if let Some(before) = command.request.and_then(|id| tables.requests.get(id)) {
            return Applied {
                index: before.index,
                outcome: before.outcome.clone(),
                changed: BTreeSet::new(),
            };
        }
        let (outcome, changed) = apply::apply(tables, index, command);
        if let Some(id) = command.request {
            let answered = Answered {
                id,
                index,
                time: tables.clock,
                outcome: outcome.clone(),
            };
            tables.requests.put(answered, tables.clock);
        }
        Applied {
            index,
            outcome,
            changed,
        }
    }

    /// The whole state as bytes, with a version and a checksum.
    pub fn dump(&self) -> Vec<u8> {
        dump::dump(&self.tables)
    }

    /// The state that [`State::dump`] wrote.
    pub fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        Ok(Self {
            tables: Arc::new(dump::restore(bytes)?),
        })
    }
}
