//! What constraints, affinities and spreads see of a node, and how they compare it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use regex::Regex;

use crate::model::{Node, Operand};

/// The node's value for `${…}`, or the text itself where it names nothing.
pub(super) fn resolve<'a>(node: &'a Node, target: &'a str) -> Option<std::borrow::Cow<'a, str>> {
    use std::borrow::Cow;
    let Some(name) = target.strip_prefix("${").and_then(|t| t.strip_suffix('}')) else {
        return Some(Cow::Borrowed(target));
    };
    match name {
        "node.unique.id" => Some(Cow::Owned(node.id.to_string())),
        "node.unique.name" => Some(Cow::Borrowed(&node.name)),
        "node.datacenter" => Some(Cow::Borrowed(&node.datacenter)),
        "node.class" => Some(Cow::Borrowed(&node.node_class)),
        "node.pool" => Some(Cow::Borrowed(&node.node_pool)),
        _ => {
            let attribute = name.strip_prefix("attr.").map(|k| node.attributes.get(k));
            let meta = || name.strip_prefix("meta.").map(|k| node.meta.get(k));
            let found = attribute.or_else(meta)??;
            Some(Cow::Borrowed(found))
        }
    }
}

/// Whether a target differs between nodes of one class.
pub(super) fn is_unique(target: &str) -> bool {
    ["${node.unique.", "${attr.unique.", "${meta.unique."]
        .iter()
        .any(|p| target.starts_with(p))
}

/// Regular expressions and version rules, read once for all nodes.
#[derive(Default)]
pub(super) struct Patterns {
    regexes: BTreeMap<String, Option<Regex>>,
}

impl Patterns {
    /// Whether `left operand right` holds; `None` is an absent value.
    pub(super) fn holds(
        &mut self,
        left: Option<&str>,
        operand: Operand,
        right: Option<&str>,
    ) -> bool {
        match operand {
            Operand::IsSet => left.is_some(),
            Operand::IsNotSet => left.is_none(),
            Operand::NotEqual => left != right,
            // These look at other allocations and are judged elsewhere.
            Operand::DistinctHosts | Operand::DistinctProperty => true,
            _ => match (left, right) {
                (Some(left), Some(right)) => self.compare(left, operand, right),
                (_, _) => false,
            },
        }
    }

    fn compare(&mut self, left: &str, operand: Operand, right: &str) -> bool {
        match operand {
            Operand::Equal => left == right,
            Operand::Less => order(left, right) == Some(Ordering::Less),
            Operand::LessOrEqual => order(left, right).is_some_and(Ordering::is_le),
            Operand::Greater => order(left, right) == Some(Ordering::Greater),
            Operand::GreaterOrEqual => order(left, right).is_some_and(Ordering::is_ge),
            Operand::Regexp => self.matches(left, right),
            Operand::Version => crate::model::version::satisfies(left, right, false),
            Operand::Semver => crate::model::version::satisfies(left, right, true),
            Operand::SetContains | Operand::SetContainsAll => {
                items(right).all(|wanted| items(left).any(|has| has == wanted))
            }
            Operand::SetContainsAny => {
                items(right).any(|wanted| items(left).any(|has| has == wanted))
            }
            Operand::NotEqual
            | Operand::IsSet
            | Operand::IsNotSet
            | Operand::DistinctHosts
            | Operand::DistinctProperty => true,
        }
    }

    fn matches(&mut self, text: &str, pattern: &str) -> bool {
        let compiled = self
            .regexes
            .entry(pattern.to_string())
            .or_insert_with(|| Regex::new(pattern).ok());
        compiled.as_ref().is_some_and(|r| r.is_match(text))
    }
}

/// Integers compare as such, then numbers, then texts.
fn order(left: &str, right: &str) -> Option<Ordering> {
    if let (Ok(l), Ok(r)) = (left.parse::<i64>(), right.parse::<i64>()) {
        return Some(l.cmp(&r));
    }
    if let (Ok(l), Ok(r)) = (left.parse::<f64>(), right.parse::<f64>()) {
        return l.partial_cmp(&r);
    }
    Some(left.cmp(right))
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

/// Whether `name` matches `pattern`, in which `*` stands for anything.
pub(super) fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(left: Option<&str>, operand: &str, right: &str, expected: bool) {
        let parsed = Operand::parse(operand).unwrap();
        let holds = Patterns::default().holds(left, parsed, Some(right));
        assert_eq!(holds, expected, "{left:?} {operand} {right}");
    }

    #[test]
    fn operands_compare_as_they_say() {
        check(Some("linux"), "=", "linux", true);
        check(Some("linux"), "!=", "linux", false);
        check(None, "!=", "linux", true);
        check(None, "=", "linux", false);
        check(Some("9"), "<", "10", true);
        check(Some("9.5"), "<", "10", true);
        check(Some("b"), ">", "a", true);
        check(Some("abc"), "regexp", "^a.c$", true);
        check(Some("abc"), "regexp", "^b", false);
        check(Some("1.8.2"), "version", ">= 1.6, < 2.0", true);
        check(Some("0.1"), "version", "~> 0.1.2", false);
        check(Some("2.0.6"), "semver", ">= 1.4.0", true);
        check(Some("2.0.6-beta1"), "semver", ">= 2.0.6", false);
        check(Some("a, b,c"), "set_contains", "a,c", true);
        check(Some("a,b"), "set_contains", "a,c", false);
        check(Some("a,b"), "set_contains_any", "c,b", true);
        check(Some(""), "is_set", "", true);
        check(None, "is_set", "", false);
        check(None, "is_not_set", "", true);
    }

    #[test]
    fn globs_match_whole_names() {
        for (pattern, name, expected) in [
            ("*", "dc1", true),
            ("dc*", "dc1", true),
            ("dc1", "dc1", true),
            ("dc1", "dc11", false),
            ("*1", "dc1", true),
            ("d*1", "dc1", true),
            ("eu-*-prod", "eu-west-prod", true),
            ("eu-*-prod", "eu-west-test", false),
        ] {
            assert_eq!(glob(pattern, name), expected, "{pattern} {name}");
        }
    }
}
