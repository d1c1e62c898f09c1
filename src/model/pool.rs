//! Node pools: named sets of nodes that jobs choose from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Index;

/// The pool that every node is in.
pub const ALL: &str = "all";
/// The pool of nodes and jobs that name none.
pub const DEFAULT: &str = "default";
/// The longest description, in bytes.
const DESCRIPTION_MAX: usize = 256;

/// A named set of nodes. A node is in one pool, and in [`ALL`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePool {
    pub name: String,
    pub description: String,
    pub meta: BTreeMap<String, String>,
    pub create_index: Index,
    pub modify_index: Index,
}

impl NodePool {
    /// The pools that every cluster has from its first index on.
    pub fn built_in() -> [Self; 2] {
        let pool = |name: &str, description: &str| Self {
            name: name.to_string(),
            description: description.to_string(),
            meta: BTreeMap::new(),
            create_index: 1,
            modify_index: 1,
        };
        [
            pool(ALL, "Node pool with all nodes in the cluster."),
            pool(DEFAULT, "Default node pool."),
        ]
    }

    /// What is wrong with it, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        if !is_name(&self.name) {
            found.push(format!(
                "invalid name {:?}, must match regex {NAME_PATTERN}",
                self.name
            ));
        }
        if self.description.len() > DESCRIPTION_MAX {
            found.push(format!("description longer than {DESCRIPTION_MAX}"));
        }
        found
    }
}

/// Whether every cluster has the pool, so that nobody can change it.
pub fn is_built_in(name: &str) -> bool {
    name == ALL || name == DEFAULT
}

/// What a name looks like, as clients print it.
pub const NAME_PATTERN: &str = "^[a-zA-Z0-9-_]{1,128}$";

/// Whether `name` can be a pool's.
pub fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=128).contains(&name.len()) && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_letters_digits_and_dashes() {
        for good in ["gpu", "a-b_C9", &"x".repeat(128)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "bad name", "ä", &"x".repeat(129)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
