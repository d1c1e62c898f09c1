//! A small ordered key-value store for what an agent remembers on its own disk.

use std::path::PathBuf;

use futures_util::future::BoxFuture;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("could not open the local store at `{}`", .path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("could not {what} the local store")]
    Failed {
        what: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the local store is closed")]
    Closed,
}

/// Changes that become durable together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.changes.push((key.into(), Some(value.into())));
        self
    }

    pub fn delete(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        self.changes.push((key.into(), None));
        self
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Keys with their new values, `None` for a deletion, in the order they were added.
    pub fn into_changes(self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        self.changes
    }
}

/// A key with its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// The store. One per agent.
pub trait Store: Send + Sync {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>>;

    /// All pairs whose key starts with `prefix`, sorted by key.
    fn scan_prefix<'a>(&'a self, prefix: &'a [u8]) -> BoxFuture<'a, Result<Vec<Pair>, StoreError>>;

    /// Applies the batch and returns after it is on disk.
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// What every implementation must do.
#[cfg(test)]
pub(super) async fn suite(store: &dyn Store) {
    let mut batch = Batch::new();
    batch
        .put(*b"a/2", *b"two")
        .put(*b"a/1", *b"one")
        .put(*b"b/1", *b"other");
    store.commit(batch).await.unwrap();
    assert_eq!(store.get(b"a/1").await.unwrap(), Some(b"one".to_vec()));
    assert_eq!(store.get(b"a/3").await.unwrap(), None);
    let pairs = store.scan_prefix(b"a/").await.unwrap();
    let pair = |key: &[u8], value: &[u8]| (key.to_vec(), value.to_vec());
    assert_eq!(pairs, [pair(b"a/1", b"one"), pair(b"a/2", b"two")]);

    let mut batch = Batch::new();
    batch
        .put(*b"a/1", *b"uno")
        .delete(*b"a/2")
        .put(*b"a/3", *b"x")
        .delete(*b"a/3");
    store.commit(batch).await.unwrap();
    assert_eq!(
        store.scan_prefix(b"a/").await.unwrap(),
        [pair(b"a/1", b"uno")]
    );
    assert_eq!(store.scan_prefix(b"").await.unwrap().len(), 2);
}
