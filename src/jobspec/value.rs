//! What expressions evaluate to.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

/// The value of an expression. Maps and objects are one, so are lists, sets and tuples: the
/// language converts between them where a type asks for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// The result of a mistake that is already reported.
    Unknown,
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

/// A number; whole numbers stay exact.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    /// `x`, as a whole number if it is one.
    pub(super) fn from_f64(x: f64) -> Self {
        if x.fract() == 0.0 && x.abs() < 9.0e18 {
            Self::Int(x as i64)
        } else {
            Self::Float(x)
        }
    }

    /// The nearest floating-point number.
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Int(i) => i as f64,
            Self::Float(f) => f,
        }
    }

    /// The exact whole number, if it is one.
    pub(super) fn as_i64(self) -> Option<i64> {
        match self {
            Self::Int(i) => Some(i),
            Self::Float(_) => None,
        }
    }

    /// Reads a decimal number as job files write it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return None;
        }
        if let Ok(int) = text.parse::<i64>() {
            return Some(Self::Int(int));
        }
        text.parse::<f64>()
            .ok()
            .filter(|f| f.is_finite())
            .map(Self::from_f64)
    }

    /// Exact while both are whole and the result fits, else in floating point.
    pub(super) fn combine(
        self,
        other: Self,
        exact: impl Fn(i64, i64) -> Option<i64>,
        float: impl Fn(f64, f64) -> f64,
    ) -> Self {
        if let (Self::Int(a), Self::Int(b)) = (self, other)
            && let Some(result) = exact(a, b)
        {
            return Self::Int(result);
        }
        Self::from_f64(float(self.as_f64(), other.as_f64()))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (a, b) => a.as_f64().partial_cmp(&b.as_f64()),
        }
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(i) => write!(f, "{i}"),
            Self::Float(x) => write!(f, "{x}"),
        }
    }
}

impl Value {
    /// A text.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// A whole number.
    pub(super) fn int(i: i64) -> Self {
        Self::Number(Number::Int(i))
    }

    /// A count, which always fits.
    pub(super) fn count(n: usize) -> Self {
        Self::Number(Number::from_f64(n as f64))
    }

    /// The type's name in messages.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Unknown | Self::Null => "dynamic",
            Self::Bool(_) => "bool",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::List(_) => "tuple",
            Self::Object(_) => "object",
        }
    }

    /// The value as text, for what has one.
    pub(super) fn to_text(&self) -> Option<String> {
        match self {
            Self::Bool(b) => Some(b.to_string()),
            Self::Number(n) => Some(n.to_string()),
            Self::String(s) => Some(s.clone()),
            Self::Unknown | Self::Null | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// The value as a number, for what has one.
    pub(super) fn to_number(&self) -> Option<Number> {
        match self {
            Self::Number(n) => Some(*n),
            Self::String(s) => Number::parse(s),
            Self::Unknown | Self::Null | Self::Bool(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// The value as a truth value, for what has one.
    pub(super) fn to_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            Self::String(s) if s == "true" => Some(true),
            Self::String(s) if s == "false" => Some(false),
            Self::String(_) | Self::Unknown | Self::Null => None,
            Self::Number(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// Whether the value, or anything in it, comes from a mistake.
    pub(super) fn has_unknown(&self) -> bool {
        match self {
            Self::Unknown => true,
            Self::List(items) => items.iter().any(Self::has_unknown),
            Self::Object(entries) => entries.values().any(Self::has_unknown),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) => false,
        }
    }

    /// Roughly the memory that it takes: what copying it costs.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Unknown | Self::Null | Self::Bool(_) | Self::Number(_) => 1,
            Self::String(text) => 1 + text.len(),
            Self::List(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Self::Object(entries) => entries
                .iter()
                .map(|(key, value)| 1 + key.len() + value.size())
                .sum::<usize>(),
        }
    }

    /// The value as JSON.
    pub(super) fn to_json(&self) -> Json {
        match self {
            Self::Unknown | Self::Null => Json::Null,
            Self::Bool(b) => Json::Bool(*b),
            Self::Number(Number::Int(i)) => Json::from(*i),
            Self::Number(Number::Float(f)) => Json::from(*f),
            Self::String(s) => Json::from(s.as_str()),
            Self::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Self::Object(entries) => Json::Object(
                entries
                    .iter()
                    .map(|(key, value)| (key.clone(), value.to_json()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// The value of a JSON document.
    pub(super) fn from_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(n) => Self::Number(
                n.as_i64()
                    .map_or_else(|| Number::from_f64(n.as_f64().unwrap_or(0.0)), Number::Int),
            ),
            Json::String(s) => Self::String(s.clone()),
            Json::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            Json::Object(entries) => Self::Object(
                entries
                    .iter()
                    .map(|(key, value)| (key.clone(), Self::from_json(value)))
                    .collect(),
            ),
        }
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<Number> for Value {
    fn from(n: Number) -> Self {
        Self::Number(n)
    }
}

impl From<String> for Value {
    fn from(s: String) -> Self {
        Self::String(s)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::List(items)
    }
}
