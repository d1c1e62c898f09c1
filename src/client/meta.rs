//! The node's metadata: what its configuration says, and what was set while it runs.
//!
//! What is set wins over the configuration and is kept in the journal. Setting a key to nothing
//! takes away what was set; of a configured key it hides the value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};

use super::journal::Journal;
use crate::env::store::StoreError;

/// Metadata by key.
pub type Meta = BTreeMap<String, String>;

/// What was set while the agent runs; `None` hides a configured key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynamicMeta(BTreeMap<String, Option<String>>);

/// Why metadata cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    #[error("{0:?} cannot be a key of metadata: it may not be empty or contain spaces or quotes")]
    Key(String),
    #[error("could not remember the metadata: {0}")]
    Journal(#[from] StoreError),
}

/// Keeps the metadata of this node.
pub struct NodeMeta {
    fixed: Meta,
    set: watch::Sender<DynamicMeta>,
    /// One change at a time, so that none is lost.
    journal: Mutex<Journal>,
}

impl NodeMeta {
    /// The configured metadata, and what the journal says was set.
    pub async fn load(fixed: Meta, journal: Journal) -> Result<Self, StoreError> {
        Ok(Self {
            fixed,
            set: watch::Sender::new(journal.meta().await?),
            journal: Mutex::new(journal),
        })
    }

    /// Sees each change.
    pub fn changes(&self) -> watch::Receiver<DynamicMeta> {
        self.set.subscribe()
    }

    /// What holds, what was set, and what is configured.
    pub fn all(&self) -> (Meta, Meta, Meta) {
        let set = self.set.borrow();
        (set.over(&self.fixed), set.set(), self.fixed.clone())
    }

    /// Sets and unsets keys; what was changed is on disk when this returns.
    pub async fn change(
        &self,
        changes: &BTreeMap<String, Option<String>>,
    ) -> Result<(), MetaError> {
        let journal = self.journal.lock().await;
        let next = self.set.borrow().changed(changes, &self.fixed)?;
        journal.set_meta(&next).await?;
        self.set.send_replace(next);
        Ok(())
    }
}

impl DynamicMeta {
    /// With `changes` applied; `fixed` is what the configuration says.
    pub fn changed(
        &self,
        changes: &BTreeMap<String, Option<String>>,
        fixed: &Meta,
    ) -> Result<Self, MetaError> {
        let mut next = self.0.clone();
        for (key, value) in changes {
            if key.is_empty() || key.contains(|c: char| c.is_whitespace() || c == '"') {
                return Err(MetaError::Key(key.clone()));
            }
            if value.is_some() || fixed.contains_key(key) {
                next.insert(key.clone(), value.clone());
            } else {
                next.remove(key);
            }
        }
        Ok(Self(next))
    }

    /// What holds, over what the configuration says.
    pub fn over(&self, fixed: &Meta) -> Meta {
        let mut meta = fixed.clone();
        for (key, value) in &self.0 {
            match value {
                Some(value) => meta.insert(key.clone(), value.clone()),
                None => meta.remove(key),
            };
        }
        meta
    }

    /// What was set.
    pub fn set(&self) -> Meta {
        let set = self.0.iter();
        set.filter_map(|(k, v)| Some((k.clone(), v.clone()?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map<V: Clone>(pairs: &[(&str, V)]) -> BTreeMap<String, V> {
        let pairs = pairs.iter();
        pairs.map(|(k, v)| (k.to_string(), v.clone())).collect()
    }

    fn some(value: &str) -> Option<String> {
        Some(value.to_string())
    }

    #[test]
    fn what_is_set_wins_and_what_is_unset_comes_back_or_hides() {
        let fixed = map(&[("rack", "r1".to_string()), ("zone", "a".to_string())]);
        let set = DynamicMeta::default()
            .changed(
                &map(&[("rack", some("r2")), ("gpu", some("1")), ("zone", None)]),
                &fixed,
            )
            .unwrap();
        assert_eq!(
            set.over(&fixed),
            map(&[("gpu", "1".to_string()), ("rack", "r2".to_string())])
        );
        assert_eq!(set.set().len(), 2);
        let less = set.changed(&map(&[("gpu", None)]), &fixed).unwrap();
        assert_eq!(less.over(&fixed), map(&[("rack", "r2".to_string())]));
        let back = less.changed(&map(&[("zone", some("a"))]), &fixed).unwrap();
        assert_eq!(back.over(&fixed)["zone"], "a");
    }

    #[test]
    fn a_key_that_no_constraint_could_name_is_refused() {
        for key in ["", "a b", "a\"b"] {
            let changes = map(&[("fine", some("1")), (key, some("1"))]);
            let refused = DynamicMeta::default().changed(&changes, &Meta::new());
            assert!(matches!(refused, Err(MetaError::Key(named)) if named == key));
        }
    }
}
