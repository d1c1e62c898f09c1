//! Constraints, affinities and spreads.

use std::collections::BTreeSet;

use crate::model::constraint::{Affinity, Constraint, Operand, Spread};
use crate::model::violation;

/// What is wrong with the rules of one job, group or task.
pub(super) fn rules(
    constraints: &[Constraint],
    affinities: &[Affinity],
    spreads: &[Spread],
) -> Vec<String> {
    let mut out = Vec::new();
    for (i, c) in constraints.iter().enumerate() {
        let found = comparison(&c.left, c.operand, &c.right);
        numbered("Constraint", i, found, &mut out);
    }
    for (i, a) in affinities.iter().enumerate() {
        let mut found = comparison(&a.left, a.operand, &a.right);
        if matches!(
            a.operand,
            Operand::DistinctHosts | Operand::DistinctProperty
        ) {
            found.push(format!("Affinities do not support {}", a.operand.as_str()));
        }
        match a.weight {
            0 => found.push("Affinity weight cannot be zero".to_string()),
            -100..=100 => {}
            _ => found.push("Affinity weight must be within the range [-100,100]".to_string()),
        }
        numbered("Affinity", i, found, &mut out);
    }
    let mut attributes = BTreeSet::new();
    for (i, s) in spreads.iter().enumerate() {
        let mut found = spread(s);
        if !attributes.insert(&s.attribute) {
            found.push(format!(
                "Spread attribute {:?} already defined",
                s.attribute
            ));
        }
        numbered("Spread", i, found, &mut out);
    }
    out
}

/// Adds the messages of the `i`-th rule under a headline that counts from 1.
fn numbered(kind: &str, i: usize, found: Vec<String>, out: &mut Vec<String>) {
    if !found.is_empty() {
        let list = violation::list(&found);
        out.push(format!("{kind} {} validation failed: {list}", i + 1));
    }
}

fn comparison(left: &str, operand: Operand, right: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut needs_left = true;
    match operand {
        Operand::Regexp => {
            if let Err(error) = regex::Regex::new(right) {
                out.push(format!("Regular expression failed to compile: {error}"));
            }
        }
        Operand::Version
        | Operand::Semver
        | Operand::SetContains
        | Operand::SetContainsAll
        | Operand::SetContainsAny => {
            if right.is_empty() {
                out.push(format!(
                    "Operator {:?} requires an RTarget",
                    operand.as_str()
                ));
            }
        }
        Operand::IsSet | Operand::IsNotSet => {
            if !right.is_empty() {
                let operand = operand.as_str();
                out.push(format!("Operator {operand:?} does not support an RTarget"));
            }
        }
        Operand::DistinctHosts => {
            needs_left = false;
            if !matches!(right, "" | "true" | "false") {
                out.push(format!("Failed to convert RTarget {right:?} to a bool"));
            }
        }
        Operand::DistinctProperty => match right.parse::<u64>() {
            Ok(0) => out.push(
                "Distinct Property must have an allowed count of 1 or greater: 0 < 1".to_string(),
            ),
            Err(_) if !right.is_empty() => {
                out.push(format!("Failed to convert RTarget {right:?} to uint64"));
            }
            Ok(_) | Err(_) => {}
        },
        Operand::Equal
        | Operand::NotEqual
        | Operand::Less
        | Operand::LessOrEqual
        | Operand::Greater
        | Operand::GreaterOrEqual => {
            if right.is_empty() {
                out.push(format!(
                    "Operator {:?} requires an RTarget",
                    operand.as_str()
                ));
            }
        }
    }
    if needs_left && left.is_empty() {
        out.push("No LTarget provided but is required by constraint".to_string());
    }
    out
}

fn spread(spread: &Spread) -> Vec<String> {
    let mut out = Vec::new();
    if spread.attribute.is_empty() {
        out.push("Missing spread attribute".to_string());
    }
    if !(1..=100).contains(&spread.weight) {
        out.push("Spread block must have a positive weight from 0 to 100".to_string());
    }
    let mut values = BTreeSet::new();
    for target in &spread.targets {
        if !values.insert(&target.value) {
            out.push(format!(
                "Spread target value {:?} already defined",
                target.value
            ));
        }
        if target.percent > 100 {
            out.push(format!(
                "Spread target percentage for value {:?} must be between 0 and 100",
                target.value
            ));
        }
    }
    let sum: u32 = spread.targets.iter().map(|t| u32::from(t.percent)).sum();
    if sum > 100 {
        out.push(format!(
            "Sum of spread target percentages must not be greater than 100%; got {sum}%"
        ));
    }
    out
}
