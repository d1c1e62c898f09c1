//! One server's copy of the state, shared between the log that changes it and its readers.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::key::Key;
use super::watch::{Hub, Watcher};
use super::{Applied, Command, Snapshot, State};
use crate::model::Index;

/// A shared state. Cloning shares it.
///
/// Readers take the last published snapshot and never wait for an apply in progress. After each
/// apply the snapshot is published first, then its watchers wake.
#[derive(Clone, Default)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    published: RwLock<Snapshot>,
    hub: Hub,
}

impl Store {
    /// A store of an empty state.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies one command, publishes the result and wakes who waits for it.
    pub fn apply(&self, index: Index, command: &Command) -> Applied {
        let mut state = self
            .inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let applied = state.apply(index, command);
        self.publish(state.snapshot());
        drop(state);
        self.inner.hub.wake(&applied.changed);
        applied
    }

    /// Replaces the state, as when a snapshot arrives from the leader, and wakes everybody.
    pub fn install(&self, state: State) {
        let mut current = self
            .inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *current = state;
        self.publish(current.snapshot());
        drop(current);
        self.inner.hub.wake_all();
    }

    /// The newest published state.
    pub fn snapshot(&self) -> Snapshot {
        let published = self.inner.published.read();
        published.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts watching `keys`. Watch first, read after.
    pub fn watch(&self, keys: impl IntoIterator<Item = Key>) -> Watcher {
        self.inner.hub.watch(keys)
    }

    fn publish(&self, snapshot: Snapshot) {
        let published = self.inner.published.write();
        *published.unwrap_or_else(PoisonError::into_inner) = snapshot;
    }
}
