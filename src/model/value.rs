//! Free-form values: what a job's author wrote in a driver's `config` block.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value of any shape, with map keys in the order written.
///
/// Its stored form is that of a plain enum; [`natural`] reads and writes it as ordinary JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum ConfigValue {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(String),
    List(Vec<ConfigValue>),
    Map(Vec<(String, ConfigValue)>),
}

impl ConfigValue {
    /// The value under `key`, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&ConfigValue> {
        match self {
            Self::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) => None,
            Self::String(_) | Self::List(_) => None,
        }
    }
}

/// Serde as ordinary JSON: `#[serde(with = "model::value::natural")]`. Not for stored types.
pub mod natural {
    use super::*;

    /// Writes the value as what it is.
    pub fn serialize<S: Serializer>(value: &ConfigValue, to: S) -> Result<S::Ok, S::Error> {
        Natural(value).serialize(to)
    }

    /// Reads any JSON value.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ConfigValue, D::Error> {
        OwnedNatural::deserialize(from).map(|v| v.0)
    }

    /// The same for an optional value; `null` is `None`.
    pub mod option {
        use super::*;

        /// Writes the value or `null`.
        pub fn serialize<S: Serializer>(
            value: &Option<ConfigValue>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            value.as_ref().map(Natural).serialize(to)
        }

        /// Reads any JSON value; `null` is `None`.
        pub fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<ConfigValue>, D::Error> {
            Ok(Option::<OwnedNatural>::deserialize(from)?.map(|v| v.0))
        }
    }
}

/// Borrows a value to write it naturally.
struct Natural<'a>(&'a ConfigValue);

impl Serialize for Natural<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ConfigValue::Null => to.serialize_unit(),
            ConfigValue::Bool(b) => to.serialize_bool(*b),
            ConfigValue::Int(i) => to.serialize_i64(*i),
            ConfigValue::Float(f) => to.serialize_f64(*f),
            ConfigValue::String(s) => to.serialize_str(s),
            ConfigValue::List(items) => {
                let mut seq = to.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(&Natural(item))?;
                }
                seq.end()
            }
            ConfigValue::Map(entries) => {
                let mut map = to.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, &Natural(value))?;
                }
                map.end()
            }
        }
    }
}

/// Owns a value that was read naturally.
struct OwnedNatural(ConfigValue);

impl<'de> Deserialize<'de> for OwnedNatural {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NaturalVisitor).map(Self)
    }
}

struct NaturalVisitor;

impl<'de> Visitor<'de> for NaturalVisitor {
    type Value = ConfigValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<ConfigValue, E> {
        Ok(ConfigValue::Null)
    }

    fn visit_none<E>(self) -> Result<ConfigValue, E> {
        Ok(ConfigValue::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<ConfigValue, E> {
        Ok(ConfigValue::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<ConfigValue, E> {
        Ok(ConfigValue::Int(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<ConfigValue, E> {
        Ok(i64::try_from(v).map_or(ConfigValue::Float(v as f64), ConfigValue::Int))
    }

    fn visit_f64<E>(self, v: f64) -> Result<ConfigValue, E> {
        Ok(ConfigValue::Float(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<ConfigValue, E> {
        Ok(ConfigValue::String(v.to_string()))
    }

    fn visit_string<E>(self, v: String) -> Result<ConfigValue, E> {
        Ok(ConfigValue::String(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ConfigValue, A::Error> {
        let mut items = Vec::new();
        while let Some(OwnedNatural(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(ConfigValue::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ConfigValue, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, OwnedNatural(value))) = map.next_entry()? {
            entries.push((key, value));
        }
        Ok(ConfigValue::Map(entries))
    }
}
