//! What became of recent requests, so that a repeated one gets its first answer.

use std::time::Duration;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::model::{Index, RequestId, Timestamp};
use crate::state::command::Outcome;

/// How long an answer is kept, in command time.
pub const KEEP: Duration = Duration::from_secs(600);
/// How many answers are kept.
pub const KEEP_MAX: usize = 65_536;

/// One answered request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    pub id: RequestId,
    pub index: Index,
    pub time: Timestamp,
    pub outcome: Outcome,
}

/// Recent requests.
#[derive(Clone, Default)]
pub(in crate::state) struct Requests {
    by_id: OrdMap<RequestId, Index>,
    by_index: OrdMap<Index, Answered>,
}

impl Requests {
    pub fn get(&self, id: RequestId) -> Option<&Answered> {
        self.by_index.get(self.by_id.get(&id)?)
    }

    pub fn rows(&self) -> impl Iterator<Item = &Answered> {
        self.by_index.values()
    }

    /// Keeps one answer and drops those that are too old or too many at `now`.
    pub fn put(&mut self, answered: Answered, now: Timestamp) {
        self.by_id.insert(answered.id, answered.index);
        self.by_index.insert(answered.index, answered);
        while let Some((&index, oldest)) = self.by_index.get_min().map(|(k, v)| (k, v)) {
            if self.by_index.len() <= KEEP_MAX && now.since(oldest.time) <= KEEP {
                break;
            }
            let id = oldest.id;
            self.by_id.remove(&id);
            self.by_index.remove(&index);
        }
    }
}
