//! Jobs as trees of named blocks with text fields, and what differs between two such trees.

use std::collections::{BTreeMap, BTreeSet};

use super::{DiffKind, FieldDiff, ObjectDiff};

/// A block of a job: its fields as text, and the blocks in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Block {
    pub(super) name: &'static str,
    /// Tells apart blocks of one name; blocks with equal keys are one that changed.
    pub(super) key: String,
    /// An empty value is one that is not set.
    pub(super) fields: BTreeMap<String, String>,
    /// The values of a list whose order says nothing; each shows as a field named like the block.
    pub(super) set: BTreeSet<String>,
    pub(super) blocks: Vec<Block>,
}

impl Block {
    /// An empty block of which there is only one.
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    /// One of several blocks of a name, told apart by `key`.
    pub(super) fn keyed(name: &'static str, key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            ..Self::new(name)
        }
    }

    /// A list of texts without an order; `None` if it is empty.
    pub(super) fn of_set(name: &'static str, values: &[String]) -> Option<Self> {
        (!values.is_empty()).then(|| Self {
            set: values.iter().cloned().collect(),
            ..Self::new(name)
        })
    }

    /// Adds a field.
    pub(super) fn field(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.fields.insert(name.into(), value.to_string());
        self
    }

    /// Adds a map's entries as `Name[key]`.
    pub(super) fn map(mut self, name: &str, entries: &BTreeMap<String, String>) -> Self {
        for (key, value) in entries {
            self.fields.insert(format!("{name}[{key}]"), value.clone());
        }
        self
    }

    /// Adds blocks.
    pub(super) fn with(mut self, blocks: impl IntoIterator<Item = Block>) -> Self {
        self.blocks.extend(blocks);
        self
    }

    /// Makes all that it says its key: blocks that differ at all are different blocks.
    pub(super) fn by_content(mut self) -> Self {
        self.key = format!("{:?}{:?}{:?}", self.fields, self.set, self.blocks);
        self
    }
}

/// The fields that differ; with `context`, those that do not as well.
pub(super) fn fields(old: Option<&Block>, new: Option<&Block>, context: bool) -> Vec<FieldDiff> {
    let values = |b: Option<&Block>| b.map(|b| b.fields.clone()).unwrap_or_default();
    let (old, new) = (values(old), values(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .map(|name| {
            let text =
                |side: &BTreeMap<String, String>| side.get(name).cloned().unwrap_or_default();
            field(name.clone(), text(&old), text(&new))
        })
        .filter(|f| context || f.kind != DiffKind::None)
        .collect()
}

fn field(name: String, old: String, new: String) -> FieldDiff {
    let kind = match (old.as_str(), new.as_str()) {
        (o, n) if o == n => DiffKind::None,
        ("", _) => DiffKind::Added,
        (_, "") => DiffKind::Deleted,
        (_, _) => DiffKind::Edited,
    };
    FieldDiff {
        kind,
        name,
        old,
        new,
        annotations: Vec::new(),
    }
}

/// The blocks in `old` and `new` that differ: in the order of their names' first appearance,
/// under one name first what is gone.
pub(super) fn blocks(old: Option<&Block>, new: Option<&Block>) -> Vec<ObjectDiff> {
    let old = old.map_or(&[][..], |b| &b.blocks[..]);
    let new = new.map_or(&[][..], |b| &b.blocks[..]);
    let same = |a: &Block, b: &Block| a.name == b.name && a.key == b.key;
    let gone = old
        .iter()
        .filter(|o| !new.iter().any(|n| same(o, n)))
        .map(|o| (Some(o), None));
    let kept = new
        .iter()
        .map(|n| (old.iter().find(|o| same(o, n)), Some(n)));
    let mut diffs: Vec<(usize, ObjectDiff)> = gone
        .chain(kept)
        .filter_map(|(o, n)| {
            let name = o.or(n).map_or("", |b| b.name);
            Some((rank(name), block(o, n)?))
        })
        .collect();
    diffs.sort_by_key(|(rank, _)| *rank);
    diffs.into_iter().map(|(_, diff)| diff).collect()
}

/// How one block differs; `None` if it does not.
fn block(old: Option<&Block>, new: Option<&Block>) -> Option<ObjectDiff> {
    if old == new {
        return None;
    }
    let name = old.or(new)?.name;
    let mut fields = fields(old, new, true);
    fields.extend(set(name, old, new));
    Some(ObjectDiff {
        kind: kind(old.is_some(), new.is_some(), true),
        name: name.to_string(),
        fields,
        objects: blocks(old, new),
    })
}

fn set(name: &str, old: Option<&Block>, new: Option<&Block>) -> Vec<FieldDiff> {
    let values = |b: Option<&Block>| b.map(|b| b.set.clone()).unwrap_or_default();
    let (old, new) = (values(old), values(new));
    let text = |side: &BTreeSet<String>, v: &String| match side.contains(v) {
        true => v.clone(),
        false => String::new(),
    };
    old.union(&new)
        .map(|v| field(name.to_string(), text(&old, v), text(&new, v)))
        .collect()
}

/// What became of something that was there or not.
pub(super) fn kind(was: bool, is: bool, differs: bool) -> DiffKind {
    match (was, is) {
        (false, true) => DiffKind::Added,
        (true, false) => DiffKind::Deleted,
        (_, _) if differs => DiffKind::Edited,
        (_, _) => DiffKind::None,
    }
}

/// The order in which blocks are shown.
const ORDER: [&str; 30] = [
    "Datacenters",
    "Config",
    "Constraint",
    "Affinity",
    "RestartPolicy",
    "Disconnect",
    "Migrate",
    "ReschedulePolicy",
    "EphemeralDisk",
    "Update",
    "Network",
    "Resources",
    "LogConfig",
    "Lifecycle",
    "Service",
    "Tags",
    "CanaryTags",
    "Check",
    "CheckRestart",
    "Header",
    "DNS",
    "Servers",
    "Searches",
    "Options",
    "Static Port",
    "Dynamic Port",
    "Spread",
    "SpreadTarget",
    "UI",
    "Link",
];

fn rank(name: &str) -> usize {
    ORDER.iter().position(|n| *n == name).unwrap_or(ORDER.len())
}
