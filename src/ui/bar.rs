//! Bars as inline SVG: shares of a whole by colour, the same in words for those who cannot see
//! them.

use maud::{Markup, html};

use crate::model::{AllocClientStatus, Allocation};
use crate::rpc::api::GroupSummary;

/// How wide a bar is drawn; the style sheet scales it.
const WIDTH: f64 = 100.0;

/// Shares (class, how many, word) side by side.
pub(super) fn shares(parts: &[(&str, u64, &str)]) -> Markup {
    let total: u64 = parts.iter().map(|(_, n, _)| n).sum();
    let words: Vec<String> = parts
        .iter()
        .filter(|(_, n, _)| *n > 0)
        .map(|(_, n, word)| format!("{n} {word}"))
        .collect();
    let words = match words.is_empty() {
        true => "none".to_string(),
        false => words.join(", "),
    };
    let mut drawn = Vec::new();
    let mut x = 0.0;
    for (class, n, _) in parts.iter().filter(|(_, n, _)| *n > 0) {
        let width = *n as f64 / total as f64 * WIDTH;
        drawn.push((class, format!("{x:.2}"), format!("{width:.2}")));
        x += width;
    }
    html! {
        svg.bar viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label=(words) {
            title { (words) }
            rect.rest x="0" y="0" width="100" height="8" {}
            @for (class, x, width) in &drawn {
                rect class=(class) x=(x) y="0" width=(width) height="8" {}
            }
        }
    }
}

/// `used` of `all`; past nine tenths it is worth a look.
pub(super) fn level(used: f64, all: f64, words: &str) -> Markup {
    let part = match all > 0.0 {
        true => (used / all).clamp(0.0, 1.0),
        false => 0.0,
    };
    let class = match part {
        p if p > 0.9 => "wait",
        _ => "used",
    };
    html! {
        svg.bar viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label=(words) {
            title { (words) }
            rect.rest x="0" y="0" width="100" height="8" {}
            rect class=(class) x="0" y="0" width=(format!("{:.2}", part * WIDTH)) height="8" {}
        }
    }
}

/// A job's or a group's instances by state. Those that ended as they should are not counted
/// against what a service wants.
pub(super) fn instances(summaries: &[GroupSummary]) -> Markup {
    let sum = |of: fn(&GroupSummary) -> u32| summaries.iter().map(|s| u64::from(of(s))).sum();
    shares(&[
        ("good", sum(|s| s.running), "running"),
        ("wait", sum(|s| s.starting), "starting"),
        ("queue", sum(|s| s.queued), "waiting for a place"),
        ("odd", sum(|s| s.unknown), "unknown"),
        ("bad", sum(|s| s.failed), "failed"),
        ("lost", sum(|s| s.lost), "lost"),
        ("off", sum(|s| s.complete), "complete"),
    ])
}

/// Allocations by state.
pub(super) fn allocations<'a>(allocs: impl Iterator<Item = &'a Allocation>) -> Markup {
    let mut group = GroupSummary::default();
    for alloc in allocs {
        match alloc.client_status {
            AllocClientStatus::Pending => group.starting += 1,
            AllocClientStatus::Running => group.running += 1,
            AllocClientStatus::Complete => group.complete += 1,
            AllocClientStatus::Failed => group.failed += 1,
            AllocClientStatus::Lost => group.lost += 1,
            AllocClientStatus::Unknown => group.unknown += 1,
        }
    }
    instances(&[group])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_fill_the_bar_and_say_so() {
        let bar = shares(&[
            ("good", 3, "running"),
            ("bad", 1, "failed"),
            ("off", 0, "x"),
        ]);
        let bar = bar.into_string();
        assert!(bar.contains("aria-label=\"3 running, 1 failed\""), "{bar}");
        assert!(bar.contains("x=\"0.00\" y=\"0\" width=\"75.00\""), "{bar}");
        assert!(bar.contains("x=\"75.00\" y=\"0\" width=\"25.00\""), "{bar}");
        assert!(!bar.contains("off"), "{bar}");
    }

    #[test]
    fn a_level_stays_inside_its_bar() {
        let width = |used, all| {
            let bar = level(used, all, "x").into_string();
            let at = bar.rfind("width=\"").unwrap() + 7;
            bar[at..].split('"').next().unwrap().to_string()
        };
        assert_eq!(width(1.0, 4.0), "25.00");
        assert_eq!(width(9.0, 4.0), "100.00");
        assert_eq!(width(9.0, 0.0), "0.00");
    }
}
