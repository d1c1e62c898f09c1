//! The local store on fjall, with a thread of its own.
//!
//! Commits that wait together are synced together. What cannot be opened is set aside by
//! [`RealStore::open_or_set_aside`]: everything in it can be rebuilt.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
    thread::JoinHandle,
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::{mpsc, oneshot};

use crate::env::store::{Batch, Pair, Store, StoreError};

/// Requests that wait for the thread.
const QUEUE: usize = 256;

const CACHE_BYTES: u64 = 2 << 20;
const MEMTABLE_BYTES: u64 = 1 << 20;

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

enum Order {
    Get(Vec<u8>, Answer<Option<Vec<u8>>>),
    Scan(Vec<u8>, Answer<Vec<Pair>>),
    Commit(Batch, Answer<()>),
}

/// See the module. Dropping it closes the store after what was asked before.
pub struct RealStore {
    orders: Option<mpsc::Sender<Order>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl RealStore {
    /// Opens or creates the store in `path`.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let (orders, inbox) = mpsc::channel(QUEUE);
        let (opened, result) = oneshot::channel();
        let owned = path.to_owned();
        let body = move || match open(&owned) {
            Ok((database, keyspace)) => {
                // If the opener is gone, the inbox is closed and the loop ends at once.
                drop(opened.send(Ok(())));
                work(&database, &keyspace, inbox);
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(body);
        let thread = thread.map_err(|source| StoreError::Open {
            path: path.to_owned(),
            source: source.into(),
        })?;
        result.await.map_err(|_| StoreError::Closed)??;
        Ok(Self {
            orders: Some(orders),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Opens the store; one that will not open is renamed and a new one made. Returns where
    /// the old one went.
    pub async fn open_or_set_aside(path: &Path) -> Result<(Self, Option<PathBuf>), StoreError> {
        let first = match Self::open(path).await {
            Ok(store) => return Ok((store, None)),
            Err(error) => error,
        };
        let Some(aside) = (1..100)
            .map(|n| path.with_extension(format!("damaged-{n}")))
            .find(|aside| !aside.exists())
        else {
            return Err(first);
        };
        tracing::error!(
            target: "agent", error = &first as &dyn std::error::Error,
            kept = %aside.display(), "the local store does not open: starting with an empty one"
        );
        std::fs::rename(path, &aside).map_err(|source| StoreError::Open {
            path: path.to_owned(),
            source: source.into(),
        })?;
        Ok((Self::open(path).await?, Some(aside)))
    }

    async fn ask<T>(&self, order: impl FnOnce(Answer<T>) -> Order) -> Result<T, StoreError> {
        let orders = self.orders.as_ref().ok_or(StoreError::Closed)?;
        let (answer, result) = oneshot::channel();
        orders
            .send(order(answer))
            .await
            .map_err(|_| StoreError::Closed)?;
        result.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for RealStore {
    fn drop(&mut self) {
        self.orders = None;
        let thread = self.thread.get_mut().map(Option::take);
        // The thread ends after the orders that it has; a panic in it was seen by who waited.
        if let Ok(Some(thread)) = thread {
            drop(thread.join());
        }
    }
}

impl Store for RealStore {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        self.ask(|answer| Order::Get(key.to_vec(), answer)).boxed()
    }

    fn scan_prefix<'a>(&'a self, prefix: &'a [u8]) -> BoxFuture<'a, Result<Vec<Pair>, StoreError>> {
        self.ask(|answer| Order::Scan(prefix.to_vec(), answer))
            .boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        self.ask(|answer| Order::Commit(batch, answer)).boxed()
    }
}

fn open(path: &Path) -> Result<(Database, Keyspace), StoreError> {
    let opening = || {
        let database = Database::builder(path)
            .cache_size(CACHE_BYTES)
            .worker_threads(1)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let keyspace = database.keyspace("agent", options)?;
        Ok((database, keyspace))
    };
    opening().map_err(|source: fjall::Error| StoreError::Open {
        path: path.to_owned(),
        source: source.into(),
    })
}

fn work(database: &Database, keyspace: &Keyspace, mut inbox: mpsc::Receiver<Order>) {
    let mut committed = Vec::new();
    while let Some(first) = inbox.blocking_recv() {
        let mut next = Some(first);
        while let Some(order) = next {
            // A dropped receiver means that nobody waits for the answer any more.
            match order {
                Order::Get(key, answer) => drop(answer.send(get(keyspace, &key))),
                Order::Scan(prefix, answer) => drop(answer.send(scan(keyspace, &prefix))),
                Order::Commit(batch, answer) => match write(database, keyspace, batch) {
                    Ok(()) => committed.push(answer),
                    Err(error) => drop(answer.send(Err(error))),
                },
            }
            next = inbox.try_recv().ok();
        }
        if !committed.is_empty() {
            sync(database, &mut committed);
        }
    }
}

fn failed(what: &'static str) -> impl FnOnce(fjall::Error) -> StoreError {
    move |source| StoreError::Failed {
        what,
        source: source.into(),
    }
}

fn get(keyspace: &Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let value = keyspace.get(key).map_err(failed("read from"))?;
    Ok(value.map(|value| value.to_vec()))
}

fn scan(keyspace: &Keyspace, prefix: &[u8]) -> Result<Vec<Pair>, StoreError> {
    let pair = |guard: fjall::Guard| {
        let (key, value) = guard.into_inner().map_err(failed("read from"))?;
        Ok((key.to_vec(), value.to_vec()))
    };
    keyspace.prefix(prefix).map(pair).collect()
}

fn write(database: &Database, keyspace: &Keyspace, batch: Batch) -> Result<(), StoreError> {
    let mut writes = database.batch();
    for (key, value) in batch.into_changes() {
        match value {
            Some(value) => writes.insert(keyspace, key, value),
            None => writes.remove(keyspace, key),
        }
    }
    writes.commit().map_err(failed("write to"))
}

fn sync(database: &Database, committed: &mut Vec<Answer<()>>) {
    let synced = database.persist(PersistMode::SyncAll);
    let message = synced.err().map(|error| error.to_string());
    for answer in committed.drain(..) {
        let result = message.clone().map_or(Ok(()), |text| {
            Err(StoreError::Failed {
                what: "sync",
                source: text.into(),
            })
        });
        drop(answer.send(result));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::store::suite;

    #[tokio::test]
    async fn behaves_like_a_store() {
        let dir = tempfile::tempdir().unwrap();
        suite(&RealStore::open(dir.path()).await.unwrap()).await;
    }

    #[tokio::test]
    async fn what_was_committed_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let store = RealStore::open(dir.path()).await.unwrap();
        let mut batch = Batch::new();
        batch.put(*b"k", *b"v");
        store.commit(batch).await.unwrap();
        drop(store);
        let store = RealStore::open(dir.path()).await.unwrap();
        assert_eq!(store.get(b"k").await.unwrap(), Some(b"v".to_vec()));
    }

    #[tokio::test]
    async fn a_store_that_does_not_open_is_kept_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        std::fs::write(&path, "not a directory").unwrap();
        RealStore::open(&path).await.err().unwrap();
        let (store, aside) = RealStore::open_or_set_aside(&path).await.unwrap();
        assert_eq!(store.scan_prefix(b"").await.unwrap(), Vec::new());
        assert_eq!(
            std::fs::read_to_string(aside.unwrap()).unwrap(),
            "not a directory"
        );
    }
}
