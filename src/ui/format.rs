//! Small pieces that pages are made of.

use std::fmt::Display;
use std::time::Duration;

use maud::{Markup, html};

use crate::model::Timestamp;

/// A status as a word in its colour, with a shape of its own before it.
pub(super) fn badge(status: &str) -> Markup {
    html! { span.badge.(tone(status)) { (status) } }
}

/// Which colour and shape a status has: `good`, `wait`, `bad` or `off`.
fn tone(status: &str) -> &'static str {
    match status {
        "running" | "ready" | "successful" | "eligible" | "alive" | "healthy" | "success"
        | "passing" | "leader" | "voter" => "good",
        "pending" | "initializing" | "blocked" | "paused" | "ineligible" | "draining"
        | "leaving" | "unknown" | "disconnected" | "starting" | "learner" => "wait",
        "failed" | "lost" | "down" | "unhealthy" | "failure" | "evict" => "bad",
        _ => "off",
    }
}

/// How long before `now` something was; exact on hover. The script keeps it current.
pub(super) fn ago(now: Timestamp, then: Timestamp) -> Markup {
    if !then.is_set() {
        return html! { "–" };
    }
    let exact = jiff::Timestamp::from_nanosecond(i128::from(then.0))
        .map(|t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default();
    html! { time datetime=(exact) title=(exact) { (span(now.since(then))) " ago" } }
}

/// `html` without what passing time alone changes in it.
pub(super) fn ageless(html: &str) -> String {
    let mut parts = html.split("</time>");
    let mut kept = String::with_capacity(html.len());
    for part in parts.by_ref() {
        // Text from outside is escaped, so every `<time` is one of ours.
        match part.rsplit_once("<time ") {
            Some((before, element)) => {
                kept.push_str(before);
                kept.push_str(element.split('>').next().unwrap_or_default());
            }
            None => kept.push_str(part),
        }
    }
    kept
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

/// A number of bytes.
pub(super) fn bytes(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes {
        0..MIB => format!("{} KiB", bytes >> 10),
        _ if bytes < 10 * MIB => format!("{:.1} MiB", bytes as f64 / MIB as f64),
        _ => mib(bytes >> 20),
    }
}

/// The beginning of an id as a link to its page.
pub(super) fn link(noun: &str, id: impl Display) -> Markup {
    let id = id.to_string();
    let short = id.get(..8).unwrap_or(&id);
    html! { a.id href={ "/ui/" (noun) "/" (encoded(&id)) } title=(id) { (short) } }
}

/// A link to an id's page, if there is an id.
pub(super) fn link_or_none(noun: &str, id: Option<impl Display>) -> Markup {
    match id {
        Some(id) => link(noun, id),
        None => html! { "–" },
    }
}

/// A client's name as a link to its page.
pub(super) fn client_link(id: impl Display, name: &str) -> Markup {
    html! { a href={ "/ui/clients/" (id) } { (name) } }
}

/// Text as part of an address.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Text, or a dash where there is none.
pub(super) fn or_dash(text: &str) -> Markup {
    html! { @if text.is_empty() { "–" } @else { (text) } }
}

/// Names with their values.
pub(super) fn facts(facts: &[(&str, Markup)]) -> Markup {
    html! {
        dl.facts { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } }
    }
}

/// Keys with their values, folded away.
pub(super) fn pairs<'a>(
    title: &str,
    entries: impl ExactSizeIterator<Item = (&'a String, &'a String)>,
) -> Markup {
    html! {
        details {
            summary { (title) " " span.count { (entries.len()) } }
            dl.pairs { @for (key, value) in entries { div { dt { (key) } dd { (value) } } } }
        }
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
    fn amounts_have_fitting_units() {
        assert_eq!(bytes(2048), "2 KiB");
        assert_eq!(bytes(3 << 19), "1.5 MiB");
        assert_eq!(bytes(64 << 20), "64 MiB");
        assert_eq!(mib(20_480), "20.0 GiB");
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

    #[test]
    fn only_passing_time_makes_no_difference() {
        let at = |now, then| {
            ageless(&html! { b { (ago(Timestamp(now), Timestamp(then))) } "x" }.into_string())
        };
        let second = 1_000_000_000;
        assert_eq!(at(9 * second, second), at(99 * second, second));
        assert_ne!(at(9 * second, second), at(9 * second, 2 * second));
        assert_eq!(ageless("<p>a</p>"), "<p>a</p>");
    }
}
