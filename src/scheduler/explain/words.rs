//! Small words that sentences are put together from.

use crate::model::Timestamp;
use crate::model::why::Step;

/// `1 node`, `3 nodes`.
pub(super) fn count(n: impl Into<u64>, noun: &str) -> String {
    let n = n.into();
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", number(n))
}

/// `is` or `are`.
pub(super) fn is(n: u32) -> &'static str {
    if n == 1 { "is" } else { "are" }
}

/// `has` or `have`.
pub(super) fn has(n: u32) -> &'static str {
    if n == 1 { "has" } else { "have" }
}

/// A number with its thousands apart: `12,345`.
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A length of time in its two largest units: `45s`, `3m12s`, `2h5m`, `3d4h`.
pub(super) fn span(later: Timestamp, earlier: Timestamp) -> String {
    let seconds = later.since(earlier).as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let first = units.iter().position(|(size, _)| seconds >= *size);
    let Some(first) = first else {
        return "0s".to_string();
    };
    let (mut rest, mut text) = (seconds, String::new());
    for (size, name) in units.iter().skip(first).take(2) {
        let n = rest / size;
        rest %= size;
        if n > 0 {
            text.push_str(&format!("{n}{name}"));
        }
    }
    text
}

/// `3m12s ago`; nothing where the time is not known.
pub(super) fn ago(now: Timestamp, then: Timestamp) -> String {
    match then.is_set() {
        true => format!("{} ago", span(now, then)),
        false => "at a time that is not known".to_string(),
    }
}

/// The texts as one: `a, b and c`.
pub(super) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// With a capital first letter and a full stop.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.trim_end_matches('.').chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => String::new(),
    }
}

/// A text of somebody else on one line and without its full stop, to stand inside a sentence.
pub(super) fn quoted(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    line.join(" ").trim_end_matches('.').to_string()
}

/// A command and what it is good for.
pub(super) fn step(command: impl Into<String>, purpose: impl Into<String>) -> Step {
    Step {
        command: command.into(),
        purpose: purpose.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_short() {
        assert_eq!(number(7), "7");
        assert_eq!(number(2048), "2,048");
        assert_eq!(number(1_234_567), "1,234,567");
        let at = |s: i64| Timestamp(s * 1_000_000_000);
        let long = |s: i64| span(at(s + 1), at(1));
        assert_eq!(
            [long(0), long(45), long(192), long(7_500), long(273_600)],
            ["0s", "45s", "3m12s", "2h5m", "3d4h"]
        );
        assert_eq!(ago(at(5), Timestamp::UNSET), "at a time that is not known");
    }

    #[test]
    fn sentences_begin_large_and_end_once() {
        assert_eq!(sentence("it ended."), "It ended.");
        assert_eq!(quoted("cannot\n open it."), "cannot open it");
        let items = ["a", "b", "c"].map(str::to_string);
        assert_eq!(list(&items), "a, b and c");
        assert_eq!(count(1u32, "node"), "1 node");
    }
}
