//! An ordered map as a store, which a crash can cut short.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};

use crate::env::store::{Batch, Pair, Store, StoreError};

type Image = BTreeMap<Vec<u8>, Vec<u8>>;

/// See the module. Clones share the content, as programs on one machine after each other do.
#[derive(Clone)]
pub struct SimStore {
    images: Arc<Mutex<Images>>,
    sync_takes: Duration,
}

#[derive(Default)]
struct Images {
    /// What reads see.
    now: Image,
    /// What a crash leaves.
    synced: Image,
}

impl SimStore {
    pub fn new(sync_takes: Duration) -> Self {
        Self {
            images: Arc::default(),
            sync_takes,
        }
    }

    /// The machine loses power: what was not synced is gone.
    pub fn crash(&self) {
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        images.now = images.synced.clone();
    }

    fn with<T>(&self, act: impl FnOnce(&mut Images) -> T) -> T {
        act(&mut self.images.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for SimStore {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        std::future::ready(Ok(self.with(|images| images.now.get(key).cloned()))).boxed()
    }

    fn scan_prefix<'a>(&'a self, prefix: &'a [u8]) -> BoxFuture<'a, Result<Vec<Pair>, StoreError>> {
        let found = self.with(|images| {
            let from = images.now.range(prefix.to_vec()..);
            let within = from.take_while(|(key, _)| key.starts_with(prefix));
            within
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        });
        std::future::ready(Ok(found)).boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        let changes = batch.into_changes();
        self.with(|images| apply(&mut images.now, &changes));
        async move {
            tokio::time::sleep(self.sync_takes).await;
            self.with(|images| apply(&mut images.synced, &changes));
            Ok(())
        }
        .boxed()
    }
}

fn apply(image: &mut Image, changes: &[(Vec<u8>, Option<Vec<u8>>)]) {
    for (key, value) in changes {
        match value {
            Some(value) => image.insert(key.clone(), value.clone()),
            None => image.remove(key),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::store::suite;

    #[tokio::test(start_paused = true)]
    async fn behaves_like_a_store() {
        suite(&SimStore::new(Duration::from_millis(2))).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_crash_keeps_what_was_synced() {
        let store = SimStore::new(Duration::from_millis(2));
        let put = |key: &[u8]| {
            let mut batch = Batch::new();
            batch.put(key, *b"v");
            store.commit(batch)
        };
        put(b"kept").await.unwrap();
        drop(put(b"lost"));
        assert!(store.get(b"lost").await.unwrap().is_some());
        store.crash();
        assert_eq!(store.get(b"lost").await.unwrap(), None);
        assert!(store.get(b"kept").await.unwrap().is_some());
    }
}
