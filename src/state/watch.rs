//! Wakes the readers of what changed, and nobody else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::key::Key;

/// Who waits for what. Cloning shares it.
#[derive(Clone, Default)]
pub struct Hub {
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    next_id: u64,
    by_key: BTreeMap<Key, BTreeMap<u64, Arc<Notify>>>,
}

impl Hub {
    /// Starts watching `keys`. Watch first, read after: then no change is missed.
    pub fn watch(&self, keys: impl IntoIterator<Item = Key>) -> Watcher {
        let notify = Arc::new(Notify::new());
        let keys: Vec<Key> = keys.into_iter().collect();
        let mut waiting = self.lock();
        let id = waiting.next_id;
        waiting.next_id += 1;
        for key in &keys {
            waiting
                .by_key
                .entry(key.clone())
                .or_default()
                .insert(id, notify.clone());
        }
        drop(waiting);
        Watcher {
            hub: self.clone(),
            id,
            keys,
            notify,
        }
    }

    /// Wakes whoever watches one of `keys`.
    pub fn wake<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) {
        let waiting = self.lock();
        for key in keys {
            for notify in waiting.by_key.get(key).into_iter().flat_map(|w| w.values()) {
                notify.notify_one();
            }
        }
    }

    /// Wakes everybody: the state was replaced.
    pub fn wake_all(&self) {
        let waiting = self.lock();
        for notify in waiting.by_key.values().flat_map(|w| w.values()) {
            notify.notify_one();
        }
    }

    /// How many keys are watched.
    pub fn len(&self) -> usize {
        self.lock().by_key.len()
    }

    /// Whether nobody watches anything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader's interest; ends when dropped.
pub struct Watcher {
    hub: Hub,
    id: u64,
    keys: Vec<Key>,
    notify: Arc<Notify>,
}

impl Watcher {
    /// Waits for a change since the watcher was made or last woke. Cancel-safe.
    pub async fn changed(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut waiting = self.hub.lock();
        for key in &self.keys {
            if let Some(watchers) = waiting.by_key.get_mut(key) {
                watchers.remove(&self.id);
                if watchers.is_empty() {
                    waiting.by_key.remove(key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NodeId;
    use crate::state::key::Table;
    use futures_util::FutureExt;

    #[test]
    fn only_readers_of_touched_keys_wake() {
        let hub = Hub::default();
        let node = |n| Key::NodeWanted(NodeId(uuid::Uuid::from_u128(n)));
        let first = hub.watch([node(1), Key::Table(Table::Jobs)]);
        let second = hub.watch([node(2)]);
        hub.wake(&[node(1)]);
        assert!(first.changed().now_or_never().is_some());
        assert!(first.changed().now_or_never().is_none());
        assert!(second.changed().now_or_never().is_none());
        hub.wake_all();
        assert!(second.changed().now_or_never().is_some());
        drop((first, second));
        assert!(hub.is_empty());
    }
}
