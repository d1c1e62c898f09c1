//! What the client must remember over a restart: its allocations and the handles of their tasks.
//!
//! One record per allocation in the agent's [`Store`], under `client/alloc/<id>`, with a version
//! byte before the postcard. A record that cannot be read is set aside with a message and never
//! stops the others: the servers still know what should run, and the drivers find what runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::env::Store;
use crate::env::store::{Batch, StoreError};
use crate::model::{AllocId, Allocation, Index, Timestamp};

use super::driver::TaskHandle;
use super::machine::Saved;
use super::meta::DynamicMeta;

const PREFIX: &[u8] = b"client/alloc/";
const LAST_INDEX: &[u8] = b"client/last_index";
const META: &[u8] = b"client/meta";
/// The version of everything that is written.
const VERSION: u8 = 1;

/// Everything remembered of one allocation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub alloc: Arc<Allocation>,
    pub tasks: BTreeMap<String, TaskRecord>,
    /// The verdict of the health watch, once there is one.
    pub healthy: Option<(bool, Timestamp)>,
    /// Whether it was told to stop or ended by itself.
    pub stopping: bool,
}

/// Everything remembered of one task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    pub saved: Saved,
    /// While a process or container may exist.
    pub handle: Option<TaskHandle>,
}

/// Reads and writes [`Record`]s. Cloning shares it.
#[derive(Clone)]
pub struct Journal {
    store: Arc<dyn Store>,
}

impl Journal {
    /// The journal in `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Every readable record.
    pub async fn load(&self) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        for (key, value) in self.store.scan_prefix(PREFIX).await? {
            match decode(&value) {
                Ok(record) => records.push(record),
                Err(reason) => tracing::error!(
                    target: "client", key = %String::from_utf8_lossy(&key), %reason,
                    "left out an unreadable journal record"
                ),
            }
        }
        Ok(records)
    }

    /// Writes a record; returns once it is on disk.
    pub async fn save(&self, record: &Record) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.put(key(record.alloc.id), encode(record));
        self.store.commit(batch).await
    }

    /// Forgets an allocation.
    pub async fn forget(&self, id: AllocId) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.delete(key(id));
        self.store.commit(batch).await
    }

    /// The metadata that was set. What cannot be read is set aside with a message, as records
    /// are.
    pub async fn meta(&self) -> Result<DynamicMeta, StoreError> {
        let Some(stored) = self.store.get(META).await? else {
            return Ok(DynamicMeta::default());
        };
        Ok(decode(&stored).unwrap_or_else(|reason| {
            tracing::error!(
                target: "client", %reason, "left out the unreadable metadata that was set"
            );
            DynamicMeta::default()
        }))
    }

    /// Remembers the metadata that was set; returns once it is on disk.
    pub async fn set_meta(&self, meta: &DynamicMeta) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.put(META, encode(meta));
        self.store.commit(batch).await
    }

    /// The index of the newest answer that was acted on; 0: none.
    pub async fn last_index(&self) -> Result<Index, StoreError> {
        let stored = self.store.get(LAST_INDEX).await?;
        Ok(stored
            .and_then(|b| b.try_into().ok())
            .map_or(0, u64::from_be_bytes))
    }

    /// Remembers the index of an answer that is being acted on.
    pub async fn set_last_index(&self, index: Index) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.put(LAST_INDEX, index.to_be_bytes());
        self.store.commit(batch).await
    }
}

fn key(id: AllocId) -> Vec<u8> {
    [PREFIX, id.to_string().as_bytes()].concat()
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    let body = postcard::to_stdvec(value).expect("plain data always encodes");
    [&[VERSION], body.as_slice()].concat()
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match bytes.split_first() {
        Some((&VERSION, body)) => postcard::from_bytes(body).map_err(|e| e.to_string()),
        Some((version, _)) => Err(format!("version {version} is not known")),
        None => Err("it is empty".to_string()),
    }
}
