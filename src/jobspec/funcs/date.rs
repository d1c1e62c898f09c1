//! Functions on times.

use jiff::{SignedDuration, Timestamp, Zoned, fmt::temporal::DateTimeParser};

use super::{CallError, Function, Kind, Param, failed, text};
use crate::jobspec::value::Value;
use crate::model::duration;

const TIMESTAMP: Param = Param("timestamp", Kind::Text);

pub(super) static TABLE: &[Function] = &[
    Function {
        name: "timeadd",
        params: &[TIMESTAMP, Param("duration", Kind::Text)],
        rest: None,
        run: |a, _| {
            let time = parse(text(&a[0]))?;
            let by = match duration::parse(text(&a[1])) {
                Ok(nanos) => SignedDuration::from_nanos(nanos),
                Err(error) => return failed(error.to_string()),
            };
            match time.checked_add(by) {
                Ok(moved) => Ok(Value::text(rfc3339(&moved))),
                Err(error) => failed(error.to_string()),
            }
        },
    },
    Function {
        name: "formatdate",
        params: &[Param("format", Kind::Text), Param("time", Kind::Text)],
        rest: None,
        run: |a, _| {
            let time = parse(text(&a[1]))?;
            format_date(text(&a[0]), &time).map(Value::String)
        },
    },
];

/// An RFC 3339 time in its own offset.
fn parse(text: &str) -> Result<Zoned, CallError> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    let invalid = || CallError::Failed(format!("not a valid RFC3339 timestamp: {text:?}"));
    let timestamp: Timestamp = text.parse().map_err(|_| invalid())?;
    let pieces = PARSER.parse_pieces(text).map_err(|_| invalid())?;
    let offset = pieces.to_numeric_offset().unwrap_or(jiff::tz::Offset::UTC);
    Ok(timestamp.to_zoned(jiff::tz::TimeZone::fixed(offset)))
}

fn rfc3339(time: &Zoned) -> String {
    let base = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    format!("{base}{}", zone(time, true))
}

/// `Z` or `+01:00`; without the colon where `colon` is false.
fn zone(time: &Zoned, colon: bool) -> String {
    let seconds = time.offset().seconds();
    if seconds == 0 {
        return "Z".to_string();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() % 3600 / 60);
    let between = if colon { ":" } else { "" };
    format!("{sign}{hours:02}{between}{minutes:02}")
}

fn format_date(format: &str, time: &Zoned) -> Result<String, CallError> {
    let mut out = String::new();
    let mut rest = format;
    while let Some(c) = rest.chars().next() {
        if c == '\'' {
            rest = quoted(&rest[1..], &mut out)?;
            continue;
        }
        if !c.is_ascii_alphabetic() {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let length = rest.len() - rest.trim_start_matches(c).len();
        let (verb, after) = rest.split_at(length);
        out.push_str(&expand(verb, time)?);
        rest = after;
    }
    Ok(out)
}

/// Copies a quoted text (`''` is a quote in it) and returns what follows.
fn quoted<'t>(mut rest: &'t str, out: &mut String) -> Result<&'t str, CallError> {
    loop {
        let Some((text, after)) = rest.split_once('\'') else {
            return failed("unterminated literal '");
        };
        out.push_str(text);
        match after.strip_prefix('\'') {
            Some(more) => {
                out.push('\'');
                rest = more;
            }
            None => return Ok(after),
        }
    }
}

fn expand(verb: &str, time: &Zoned) -> Result<String, CallError> {
    let hour12 = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let utc = time.offset().seconds() == 0;
    Ok(match verb {
        "YYYY" => format!("{:04}", time.year()),
        "YY" => format!("{:02}", time.year().rem_euclid(100)),
        "MMMM" => time.strftime("%B").to_string(),
        "MMM" => time.strftime("%b").to_string(),
        "MM" => format!("{:02}", time.month()),
        "M" => time.month().to_string(),
        "DD" => format!("{:02}", time.day()),
        "D" => time.day().to_string(),
        "EEEE" => time.strftime("%A").to_string(),
        "EEE" => time.strftime("%a").to_string(),
        "hh" => format!("{:02}", time.hour()),
        "h" => time.hour().to_string(),
        "HH" => format!("{hour12:02}"),
        "H" => hour12.to_string(),
        "AA" => time.strftime("%p").to_string().to_uppercase(),
        "aa" => time.strftime("%p").to_string().to_lowercase(),
        "mm" => format!("{:02}", time.minute()),
        "m" => time.minute().to_string(),
        "ss" => format!("{:02}", time.second()),
        "s" => time.second().to_string(),
        "ZZZZZ" if utc => "+00:00".to_string(),
        "ZZZZ" if utc => "+0000".to_string(),
        "ZZZ" if utc => "UTC".to_string(),
        "ZZZZZ" | "Z" => zone(time, true),
        "ZZZZ" | "ZZZ" => zone(time, false),
        other => return failed(format!("invalid date format verb {other:?}")),
    })
}
