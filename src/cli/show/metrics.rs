//! Why a placement failed or how nodes scored.

use std::collections::BTreeMap;

use crate::cli::format;
use crate::cli::output::table;
use crate::http::dto::alloc::AllocMetric;

/// The reasons, one line each, each after `prefix`.
pub fn reasons(metric: &AllocMetric, prefix: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if metric.nodes_evaluated == 0 {
        lines.push("No nodes were eligible for evaluation".to_owned());
    }
    for (dc, available) in &metric.nodes_available {
        if *available == 0 {
            lines.push(format!("No nodes are available in datacenter \"{dc}\""));
        }
    }
    for (class, count) in &metric.class_filtered {
        lines.push(format!(
            "Class \"{class}\": {count} nodes excluded by filter"
        ));
    }
    for (constraint, count) in &metric.constraint_filtered {
        lines.push(format!(
            "Constraint \"{constraint}\": {count} nodes excluded by filter"
        ));
    }
    if metric.nodes_exhausted > 0 {
        lines.push(format!(
            "Resources exhausted on {} nodes",
            metric.nodes_exhausted
        ));
    }
    for (class, count) in &metric.class_exhausted {
        lines.push(format!("Class \"{class}\" exhausted on {count} nodes"));
    }
    for (dimension, count) in &metric.dimension_exhausted {
        lines.push(format!(
            "Dimension \"{dimension}\" exhausted on {count} nodes"
        ));
    }
    for dimension in &metric.quota_exhausted {
        lines.push(format!("Quota limit hit \"{dimension}\""));
    }
    lines.into_iter().map(|l| format!("{prefix}{l}")).collect()
}

/// The table of scores; empty without any.
pub fn scores(metric: &AllocMetric) -> String {
    let Some(first) = metric.score_meta_data.first() else {
        return String::new();
    };
    let names: Vec<&String> = first.scores.keys().collect();
    let mut head = vec!["Node".to_owned()];
    head.extend(names.iter().map(|n| (*n).clone()));
    head.push("final score".to_owned());
    let mut rows = table(head);
    for node in &metric.score_meta_data {
        let mut cells = vec![node.node_id.clone()];
        let score = |name: &&String| node.scores.get(*name).copied().unwrap_or(0.0);
        cells.extend(names.iter().map(|n| format::significant(score(n))));
        cells.push(format::significant(node.norm_score));
        rows.row(cells);
    }
    rows.render()
}

/// `1 allocation`, `2 allocations`.
pub fn allocations(count: u32) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} allocation{plural}")
}

/// How many allocations of a group failed.
pub fn failed_count(metric: &AllocMetric) -> u32 {
    metric.coalesced_failures + 1
}

/// All groups' failures: a line a group, its reasons below.
pub fn failures(groups: &BTreeMap<String, AllocMetric>) -> String {
    let mut lines = Vec::new();
    for (group, metric) in groups {
        lines.push(format!("Task Group \"{group}\":"));
        lines.extend(reasons(metric, "  * "));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_come_in_order() {
        let map =
            |pairs: &[(&str, u32)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect();
        let metric = AllocMetric {
            nodes_evaluated: 3,
            nodes_available: map(&[("dc1", 3), ("dc2", 0)]),
            constraint_filtered: map(&[("${attr.kernel.name} = plan9", 1)]),
            nodes_exhausted: 2,
            dimension_exhausted: map(&[("memory", 2)]),
            ..AllocMetric::default()
        };
        insta::assert_snapshot!(reasons(&metric, "* ").join("\n"), @r#"
        * No nodes are available in datacenter "dc2"
        * Constraint "${attr.kernel.name} = plan9": 1 nodes excluded by filter
        * Resources exhausted on 2 nodes
        * Dimension "memory" exhausted on 2 nodes
        "#);
    }
}
