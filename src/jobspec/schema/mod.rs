//! What may be written in each block of a job file, as tables.
//!
//! A table row names an argument or block, the field of the API's job that it fills, and how it
//! is read. What does not map one to one is put right by the table's `finish`, which works on the
//! finished JSON object of the block; keys that start with `_` are notes for it.

mod connect;
mod job;
mod policy;
mod service;
mod task;

pub(super) use job::JOB;

use serde_json::{Map, Value as Json};

/// The JSON of one block.
pub(super) type Object = Map<String, Json>;

/// One kind of block.
pub(super) struct Schema {
    /// The word that opens it.
    pub(super) name: &'static str,
    /// The field that its label fills; `None`: it has no label.
    pub(super) label: Option<&'static str>,
    pub(super) fields: &'static [Field],
    pub(super) finish: Option<fn(&mut Object)>,
}

/// One argument or nested block.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) json: &'static str,
    pub(super) kind: Kind,
}

/// How a field is read.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Bool,
    Int,
    Duration,
    Texts,
    Ints,
    /// A map of texts, as block or as argument.
    TextMap,
    /// A map of lists of texts, as block or as argument.
    TextsMap,
    /// A block of any shape.
    Free,
    /// A block that may be written once.
    One(&'static Schema),
    /// A block that may be written several times.
    Many(&'static Schema),
    /// A labelled block that may be written several times, kept by its label.
    Named(&'static Schema),
}

impl Kind {
    /// Whether it may be written as `name = …`.
    pub(super) fn is_argument(self) -> bool {
        !matches!(
            self,
            Self::Free | Self::One(_) | Self::Many(_) | Self::Named(_)
        )
    }

    /// Whether it may be written as `name { … }`.
    pub(super) fn is_block(self) -> bool {
        !self.is_argument() || matches!(self, Self::TextMap | Self::TextsMap)
    }

    /// The table of its blocks, where they have one.
    pub(super) fn schema(self) -> Option<&'static Schema> {
        match self {
            Self::One(schema) | Self::Many(schema) | Self::Named(schema) => Some(schema),
            _ => None,
        }
    }
}

impl Schema {
    /// The row for `name`.
    pub(super) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// The names that may be written as arguments.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &'static str> {
        let fields = self.fields.iter();
        fields.filter(|f| f.kind.is_argument()).map(|f| f.name)
    }

    /// The names that may be written as blocks.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &'static str> {
        let fields = self.fields.iter();
        fields.filter(|f| f.kind.is_block()).map(|f| f.name)
    }
}

const fn field(name: &'static str, json: &'static str, kind: Kind) -> Field {
    Field { name, json, kind }
}

/// A block without label and without anything to put right.
const fn block(name: &'static str, fields: &'static [Field]) -> Schema {
    Schema {
        name,
        label: None,
        fields,
        finish: None,
    }
}

/// Sets `key` unless it is set.
fn default(object: &mut Object, key: &str, value: impl Into<Json>) {
    if !object.contains_key(key) {
        object.insert(key.to_string(), value.into());
    }
}

/// The objects in the list at `key`.
fn objects<'o>(object: &'o mut Object, key: &str) -> impl Iterator<Item = &'o mut Object> {
    object
        .get_mut(key)
        .and_then(Json::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Json::as_object_mut)
}
