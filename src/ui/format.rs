//! Small pieces that pages are made of.

use std::fmt::Display;
use std::time::Duration;

use maud::{Markup, html};

use crate::model::Timestamp;

/// A status in its colour.
pub(super) fn badge(status: &str) -> Markup {
    let class = match status {
        "running" | "ready" | "complete" | "successful" | "eligible" | "alive" | "healthy"
        | "success" | "passing" | "leader" | "voter" => "badge good",
        "pending" | "initializing" | "blocked" | "paused" | "ineligible" | "draining"
        | "leaving" | "unknown" | "disconnected" | "starting" => "badge wait",
        "failed" | "lost" | "down" | "unhealthy" | "failure" | "evict" => "badge bad",
        _ => "badge",
    };
    html! { span class=(class) { (status) } }
}

/// How long before `now` something was; exact on hover.
pub(super) fn ago(now: Timestamp, then: Timestamp) -> Markup {
    if !then.is_set() {
        return html! { "–" };
    }
    let exact = jiff::Timestamp::from_nanosecond(i128::from(then.0))
        .map(|t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default();
    html! { time datetime=(exact) title=(exact) { (span(now.since(then))) " ago" } }
}

/// A duration in its two largest units.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) => format!("{minutes}m{rest}s"),
        (0, _, _) => format!("{hours}h{minutes}m"),
        (_, _, _) => format!("{days}d{hours}h"),
    }
}

/// A number of MiB or GiB.
pub(super) fn mib(megabytes: u64) -> String {
    if megabytes >= 10_240 {
        format!("{:.1} GiB", megabytes as f64 / 1024.0)
    } else {
        format!("{megabytes} MiB")
    }
}

/// The beginning of an id as a link to its page.
pub(super) fn link(noun: &str, id: impl Display) -> Markup {
    let id = id.to_string();
    let short = id.get(..8).unwrap_or(&id);
    html! { a.id href={ "/ui/" (noun) "/" (id) } title=(id) { (short) } }
}

/// A table; `rows` is its body. Without rows, `nothing` in words.
pub(super) fn table(heads: &[&str], rows: Vec<Markup>, nothing: &str) -> Markup {
    if rows.is_empty() {
        return html! { p.empty { (nothing) } };
    }
    html! {
        div.scroll {
            table {
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody { @for row in &rows { tr { (row) } } }
            }
        }
    }
}

/// Names with their values.
pub(super) fn facts(facts: &[(&str, Markup)]) -> Markup {
    html! {
        dl { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_two_units() {
        let check = |seconds, text| assert_eq!(span(Duration::from_secs(seconds)), text);
        check(5, "5s");
        check(65, "1m5s");
        check(3_700, "1h1m");
        check(90_000, "1d1h");
    }

    #[test]
    fn text_from_outside_is_escaped() {
        let shown = link("jobs", "<script>").into_string();
        assert!(!shown.contains("<script>"), "{shown}");
        assert_eq!(
            badge("down").into_string(),
            "<span class=\"badge bad\">down</span>"
        );
    }
}
