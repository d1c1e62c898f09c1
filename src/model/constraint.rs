//! Where a group may run (constraints), would rather run (affinities) and how it spreads.

use serde::{Deserialize, Serialize};

/// How a constraint or affinity compares its two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Operand {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Regexp,
    Version,
    Semver,
    SetContains,
    SetContainsAll,
    SetContainsAny,
    IsSet,
    IsNotSet,
    DistinctHosts,
    DistinctProperty,
}

impl Operand {
    /// The spelling used in job files and in the API; [`Operand::Equal`] is `=`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Regexp => "regexp",
            Self::Version => "version",
            Self::Semver => "semver",
            Self::SetContains => "set_contains",
            Self::SetContainsAll => "set_contains_all",
            Self::SetContainsAny => "set_contains_any",
            Self::IsSet => "is_set",
            Self::IsNotSet => "is_not_set",
            Self::DistinctHosts => "distinct_hosts",
            Self::DistinctProperty => "distinct_property",
        }
    }

    /// Reads any accepted spelling (`==` and `is` mean `=`, `not` means `!=`).
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "" | "=" | "==" | "is" => Self::Equal,
            "!=" | "not" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            "regexp" => Self::Regexp,
            "version" => Self::Version,
            "semver" => Self::Semver,
            "set_contains" => Self::SetContains,
            "set_contains_all" => Self::SetContainsAll,
            "set_contains_any" => Self::SetContainsAny,
            "is_set" => Self::IsSet,
            "is_not_set" => Self::IsNotSet,
            "distinct_hosts" => Self::DistinctHosts,
            "distinct_property" => Self::DistinctProperty,
            _ => return None,
        })
    }
}

/// A rule that a node must meet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Constraint {
    /// Usually `${attr.…}`, `${meta.…}` or `${node.…}`.
    pub left: String,
    pub operand: Operand,
    pub right: String,
}

/// A preference for nodes, or against them when `weight` is negative.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Affinity {
    pub left: String,
    pub operand: Operand,
    pub right: String,
    /// −100 to 100, never 0.
    pub weight: i8,
}

/// How instances should distribute over the values of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Spread {
    pub attribute: String,
    /// 1 to 100.
    pub weight: i8,
    pub targets: Vec<SpreadTarget>,
}

/// The wanted share of one attribute value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SpreadTarget {
    pub value: String,
    /// 0 to 100.
    pub percent: u8,
}
