//! Versions and the rules on them: `>= 1.6, < 2.0`, `~> 1.2`.

use std::cmp::Ordering;

/// A parsed version: up to three or more numbers, and what follows a dash.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    numbers: Vec<u64>,
    pre: String,
}

/// One rule of a constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    operator: String,
    version: Version,
}

/// Why a version rule makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Malformed constraint: {0}")]
pub struct RuleError(String);

/// Checks that `rules` can be read.
pub fn check_rules(rules: &str) -> Result<(), RuleError> {
    parse_rules(rules).map(|_| ())
}

/// Whether `version` meets all of `rules`. A strict comparison is that of semantic versions;
/// otherwise a release and a pre-release are only compared when the rule names a pre-release.
pub fn satisfies(version: &str, rules: &str, strict: bool) -> bool {
    let (Some(version), Ok(rules)) = (parse(version), parse_rules(rules)) else {
        return false;
    };
    rules.iter().all(|r| meets(&version, r, strict))
}

fn parse_rules(rules: &str) -> Result<Vec<Rule>, RuleError> {
    rules
        .split(',')
        .map(|rule| {
            let rule = rule.trim();
            let at = rule
                .find(|c: char| !"=!<>~".contains(c))
                .unwrap_or(rule.len());
            let (operator, version) = rule.split_at(at);
            let known = ["", "=", "!=", ">", "<", ">=", "<=", "~>"].contains(&operator);
            let version = parse(version.trim()).filter(|_| known);
            version
                .map(|version| Rule {
                    operator: operator.to_string(),
                    version,
                })
                .ok_or_else(|| RuleError(rule.to_string()))
        })
        .collect()
}

fn parse(text: &str) -> Option<Version> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let text = text.split('+').next().unwrap_or_default();
    let (numbers, pre) = text.split_once('-').unwrap_or((text, ""));
    let numbers: Option<Vec<u64>> = numbers.split('.').map(|n| n.parse().ok()).collect();
    Some(Version {
        numbers: numbers?,
        pre: pre.to_string(),
    })
}

fn meets(version: &Version, rule: &Rule, strict: bool) -> bool {
    let order = compare(version, &rule.version);
    let comparable = strict || version.pre.is_empty() || !rule.version.pre.is_empty();
    match rule.operator.as_str() {
        "" | "=" => order == Ordering::Equal,
        "!=" => order != Ordering::Equal,
        ">" => comparable && order == Ordering::Greater,
        "<" => comparable && order == Ordering::Less,
        ">=" => comparable && order.is_ge(),
        "<=" => comparable && order.is_le(),
        _ => comparable && order.is_ge() && shares_prefix(version, &rule.version),
    }
}

/// `~> 1.2.3` allows 1.2.x from 1.2.3 on, `~> 1.2` allows 1.x from 1.2 on.
fn shares_prefix(version: &Version, rule: &Version) -> bool {
    let fixed = rule.numbers.len().saturating_sub(1).max(1);
    (0..fixed).all(|i| number(version, i) == number(rule, i))
}

fn number(version: &Version, at: usize) -> u64 {
    version.numbers.get(at).copied().unwrap_or(0)
}

fn compare(left: &Version, right: &Version) -> Ordering {
    let longest = left.numbers.len().max(right.numbers.len());
    (0..longest)
        .map(|i| number(left, i).cmp(&number(right, i)))
        .find(|o| o.is_ne())
        .unwrap_or_else(|| compare_pre(&left.pre, &right.pre))
}

/// A release is above its pre-releases; their parts compare as numbers where they are.
fn compare_pre(left: &str, right: &str) -> Ordering {
    match (left.is_empty(), right.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let part = |l: &str, r: &str| match (l.parse::<u64>(), r.parse::<u64>()) {
        (Ok(l), Ok(r)) => l.cmp(&r),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => l.cmp(r),
    };
    let (lefts, rights) = (left.split('.'), right.split('.'));
    lefts
        .clone()
        .zip(rights.clone())
        .map(|(l, r)| part(l, r))
        .find(|o| o.is_ne())
        .unwrap_or_else(|| lefts.count().cmp(&rights.count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_hold_as_written() {
        for (version, rules, expected) in [
            ("1.2.3", ">= 1.2, < 1.3", true),
            ("1.2.3", "~> 1.2", true),
            ("1.9", "~> 1.2", true),
            ("2.0", "~> 1.2", false),
            ("1.2.9", "~> 1.2.3", true),
            ("1.3.0", "~> 1.2.3", false),
            ("1.2", "= 1.2.0", true),
            ("v1.2", "1.2.0", true),
            ("1.2", "!= 1.2.0", false),
            ("nonsense", ">= 0", false),
        ] {
            assert_eq!(
                satisfies(version, rules, false),
                expected,
                "{version} {rules}"
            );
        }
        assert!(check_rules(">= x").is_err());
        assert!(check_rules("=> 1").is_err());
    }

    #[test]
    fn a_prerelease_is_below_its_release() {
        assert!(!satisfies("2.0.6-dev", ">= 2.0.6", true));
        assert!(satisfies("2.0.6-dev", ">= 1.4.0", true));
        assert!(satisfies("2.0.6-rc.10", "> 2.0.6-rc.9", true));
        // A rule on releases says nothing of pre-releases, unless the comparison is strict.
        assert!(!satisfies("2.0.6-dev", ">= 1.4.0", false));
    }
}
