//! Nomad's JSON: one struct for every request and answer of the API, written and read alike.
//!
//! **Owns** the spelling of keys, what is `null`, what is left out, and how times look. Nothing
//! else in the program knows these quirks; domain types are turned into these.
//!
//! Conventions: fields stand in the order of the wire (by key); an id that is not set is the
//! empty string; a list or map marked [`nullable`] is `null` when empty; a field marked
//! [`is_zero`] is left out when zero. Every struct fills missing fields with their zero.

use serde::{Deserialize, Serialize};

/// Declares structs with the derives and the key spelling that all of them share.
macro_rules! wire {
    ($($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, rename_all = "PascalCase")]
        pub struct $name { $($body)* }
    )*};
}

pub mod agent;
pub mod alloc;
pub mod client;
pub mod convert;
pub mod deployment;
pub mod diff;
pub mod eval;
pub mod job;
pub mod jobs;
pub mod misc;
pub mod node;
pub mod operator;
pub mod page;
pub mod service;
pub mod time;

pub(crate) use super::json::read;
pub use time::Moment;

/// The job inside answers: what [`job::job`] writes; a `JobDraft` reads it.
pub type JobJson = serde_json::Value;

/// Serde for a list or map that is `null` when empty.
pub mod nullable {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes `null` for the zero value.
    pub fn serialize<T, S>(value: &T, to: S) -> Result<S::Ok, S::Error>
    where
        T: Serialize + Default + PartialEq,
        S: Serializer,
    {
        if *value == T::default() {
            to.serialize_none()
        } else {
            value.serialize(to)
        }
    }

    /// Reads `null` as the zero value.
    pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: Deserialize<'de> + Default,
        D: Deserializer<'de>,
    {
        Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
    }
}

/// Whether a field has its zero value.
pub fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The query facts that some answers carry in their body, inlined.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct QueryMeta {
    pub index: u64,
    pub known_leader: bool,
    /// Nanoseconds.
    pub last_contact: i64,
    pub next_token: String,
}
