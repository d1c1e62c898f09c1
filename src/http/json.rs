//! Reading JSON the way Nomad's clients expect.
//!
//! Keys match whatever their case, `null` means "not given", unknown keys are passed over, and
//! a value of the wrong type is reported with the path of its field.

use std::fmt;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

/// Reads `bytes` as `T`.
pub(crate) fn read<'de, T: Deserialize<'de>>(bytes: &[u8]) -> Result<T, ReadError> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| ReadError {
        path: String::new(),
        message: format!("invalid JSON: {e}"),
    })?;
    T::deserialize(Loose {
        value,
        path: Path::Root,
    })
}

/// Why a body is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReadError {
    /// `Job.TaskGroups[0].Count`; empty: the body as a whole.
    path: String,
    message: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

impl std::error::Error for ReadError {}

impl serde::de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            path: String::new(),
            message: message.to_string(),
        }
    }
}

/// Where in the body a value stands.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Item(parent, n) => write!(f, "{parent}[{n}]"),
        }
    }
}

/// A value with its place.
struct Loose<'a> {
    value: Value,
    path: Path<'a>,
}

impl Loose<'_> {
    /// Runs `visit` and gives an error without a path this value's.
    fn located<T>(
        path: Path<'_>,
        visit: impl FnOnce() -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        visit().map_err(|mut error| {
            if error.path.is_empty() {
                error.path = path.to_string();
            }
            error
        })
    }
}

impl<'de> Deserializer<'de> for Loose<'_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let path = self.path;
        Self::located(path, || match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => visitor.visit_u64(value),
                (None, Some(value)) => visitor.visit_i64(value),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(value) => visitor.visit_string(value),
            Value::Array(items) => visitor.visit_seq(LooseSeq {
                items: items.into_iter(),
                path,
                next: 0,
            }),
            Value::Object(entries) => visitor.visit_map(LooseMap::new(entries, path)),
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.value.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let path = self.path;
        match self.value {
            Value::Null => visitor.visit_map(LooseMap::new(Map::new(), path)),
            Value::Object(entries) => Self::located(path, || {
                visitor.visit_map(LooseMap::new(rename(entries, fields), path))
            }),
            Value::Array(_) => Self::located(path, || {
                Err(serde::de::Error::invalid_type(Unexpected::Seq, &visitor))
            }),
            value => Loose { value, path }.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        Self::located(self.path, || {
            self.value
                .deserialize_enum(name, variants, visitor)
                .map_err(serde::de::Error::custom)
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// Gives each key the spelling of the field that it means; drops what is `null`.
fn rename(entries: Map<String, Value>, fields: &[&'static str]) -> Map<String, Value> {
    let mut renamed = Map::new();
    for (key, value) in entries {
        if value.is_null() {
            continue;
        }
        let exact = fields.contains(&key.as_str());
        let field = (!exact)
            .then(|| fields.iter().find(|f| f.eq_ignore_ascii_case(&key)))
            .flatten();
        match field {
            Some(field) => {
                renamed.entry(*field).or_insert(value);
            }
            None => {
                renamed.insert(key, value);
            }
        }
    }
    renamed
}

struct LooseSeq<'a> {
    items: std::vec::IntoIter<Value>,
    path: Path<'a>,
    next: usize,
}

impl<'de> SeqAccess<'de> for LooseSeq<'_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        let Some(value) = self.items.next() else {
            return Ok(None);
        };
        let path = Path::Item(&self.path, self.next);
        self.next += 1;
        Loose::located(path, || seed.deserialize(Loose { value, path })).map(Some)
    }
}

struct LooseMap<'a> {
    entries: serde_json::map::IntoIter,
    path: Path<'a>,
    value: Option<(String, Value)>,
}

impl<'a> LooseMap<'a> {
    fn new(entries: Map<String, Value>, path: Path<'a>) -> Self {
        Self {
            entries: entries.into_iter(),
            path,
            value: None,
        }
    }
}

impl<'de> MapAccess<'de> for LooseMap<'_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        let spelled: StrDeserializer<'_, ReadError> = key.as_str().into_deserializer();
        let read = seed.deserialize(spelled)?;
        self.value = Some((key, value));
        Ok(Some(read))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let (key, value) = self.value.take().unwrap_or_default();
        let path = Path::Key(&self.path, &key);
        Loose::located(path, || seed.deserialize(Loose { value, path }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::dto::jobs::{JobRegisterRequest, JobScaleRequest, JobsParseRequest};
    use crate::http::dto::node::NodeDrainRequest;

    fn fails<T: for<'de> Deserialize<'de> + fmt::Debug>(body: &str) -> String {
        read::<T>(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn keys_match_in_any_case_and_null_is_nothing() {
        let read: JobsParseRequest =
            read(br#"{"jobhcl": "x", "CANONICALIZE": true, "Variables": null, "More": 1}"#)
                .unwrap();
        assert_eq!((read.job_hcl.as_str(), read.canonicalize), ("x", true));
        let drain: NodeDrainRequest =
            super::read(br#"{"drainspec": {"deadline": -1}, "Meta": {"Key": "v"}}"#).unwrap();
        assert_eq!(drain.drain_spec.unwrap().deadline, -1);
        assert_eq!(drain.meta["Key"], "v");
    }

    #[test]
    fn a_wrong_type_is_reported_with_its_path() {
        assert_eq!(
            fails::<JobScaleRequest>(r#"{"Count": "high"}"#),
            "Count: invalid type: string \"high\", expected i64"
        );
        assert_eq!(
            fails::<JobRegisterRequest>(r#"{"Submission": {"Version": []}}"#),
            "Submission.Version: invalid type: sequence, expected u64"
        );
        assert_eq!(
            fails::<NodeDrainRequest>(r#"{"DrainSpec": {"Deadline": 1.5}}"#),
            "DrainSpec.Deadline: invalid type: floating point `1.5`, expected i64"
        );
    }

    #[test]
    fn what_is_no_json_is_reported_with_its_position() {
        assert_eq!(
            fails::<JobsParseRequest>("{bad"),
            "invalid JSON: key must be a string at line 1 column 2"
        );
        assert!(fails::<JobsParseRequest>("[]").starts_with("invalid type: sequence"));
    }
}
