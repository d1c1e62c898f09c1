//! Constraints that follow from what a group uses: nodes that lack it are no candidates.

use crate::model::constraint::{Constraint, Operand};
use crate::model::job::{JobSpec, TaskGroup};

/// Adds them to the groups; a job that was read back has them already.
pub(super) fn constrain(spec: &mut JobSpec) {
    for group in &mut spec.groups {
        for rule in rules(group) {
            if !group.constraints.contains(&rule) {
                group.constraints.push(rule);
            }
        }
    }
}

fn rules(group: &TaskGroup) -> Vec<Constraint> {
    let rule = |left: &str, operand, right: &str| Constraint {
        left: left.to_string(),
        operand,
        right: right.to_string(),
    };
    let mut found = Vec::new();
    if group.all_services().next().is_some() {
        found.push(rule(
            "${attr.nomad.service_discovery}",
            Operand::Equal,
            "true",
        ));
    }
    if group.all_services().any(|s| !s.checks.is_empty()) {
        found.push(rule("${attr.nomad.version}", Operand::Semver, ">= 1.4.0"));
    }
    found
}
