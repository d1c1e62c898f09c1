//! The tables: persistent maps with the indexes that reads and planning need. A clone shares
//! everything. Rows go in and out only through `put` and `remove`, which keep the indexes.

pub mod alloc;
pub mod deployment;
pub mod eval;
pub mod job;
pub mod node;
pub mod pool;
pub mod request;
pub mod service;

use imbl::{OrdMap, OrdSet};

use super::key::Key;
use crate::model::view::SchedulerConfig;
use crate::model::{Index, Timestamp};

/// The whole state.
#[derive(Clone, Default)]
pub(super) struct Tables {
    pub index: Index,
    /// The newest time that a command carried.
    pub clock: Timestamp,
    pub jobs: job::Jobs,
    pub allocs: alloc::Allocs,
    pub nodes: node::Nodes,
    pub evals: eval::Evals,
    pub deployments: deployment::Deployments,
    pub services: service::Services,
    pub pools: pool::Pools,
    pub requests: request::Requests,
    pub config: SchedulerConfig,
    /// When each key last changed.
    pub changed_at: OrdMap<Key, Index>,
    /// By computed node class: when room may last have appeared.
    pub capacity: OrdMap<String, Index>,
}

/// Adds `item` to the set under `key`.
fn link<K: Ord + Clone, V: Ord + Clone>(index: &mut OrdMap<K, OrdSet<V>>, key: K, item: V) {
    index.entry(key).or_default().insert(item);
}

/// Takes `item` out of the set under `key`, and the set away when it is empty.
fn unlink<K: Ord + Clone, V: Ord + Clone>(index: &mut OrdMap<K, OrdSet<V>>, key: &K, item: &V) {
    if let Some(set) = index.get_mut(key) {
        set.remove(item);
        if set.is_empty() {
            index.remove(key);
        }
    }
}

/// Moves a counter by `by`; at zero it is not kept.
fn count<K: Ord + Clone>(counts: &mut OrdMap<K, u32>, key: &K, by: i32) {
    let now = counts
        .get(key)
        .copied()
        .unwrap_or(0)
        .saturating_add_signed(by);
    if now == 0 {
        counts.remove(key);
    } else {
        counts.insert(key.clone(), now);
    }
}
