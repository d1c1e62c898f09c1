//! The names that an expression can see.

use std::collections::BTreeMap;

use super::value::Value;

/// Names with their values; an inner scope hides the outer one's.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope<'p> {
    names: BTreeMap<String, Value>,
    outer: Option<&'p Scope<'p>>,
}

impl<'p> Scope<'p> {
    /// An empty scope inside `self`.
    pub(super) fn inner(&'p self) -> Scope<'p> {
        Scope {
            names: BTreeMap::new(),
            outer: Some(self),
        }
    }

    /// Gives `name` a value.
    pub(super) fn set(&mut self, name: impl Into<String>, value: Value) {
        self.names.insert(name.into(), value);
    }

    /// Gives an attribute of the object called `name` a value.
    pub(super) fn set_in(&mut self, name: &str, attribute: &str, value: Value) {
        if let Some(Value::Object(entries)) = self.names.get_mut(name) {
            entries.insert(attribute.to_string(), value);
        }
    }

    /// The value of `name`, if it is one of ours; other names are resolved where the task runs.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.names
            .get(name)
            .or_else(|| self.outer.and_then(|outer| outer.get(name)))
    }
}
