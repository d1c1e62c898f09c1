//! Values as text: times, durations, sizes, ids. Pure.

use jiff::tz::TimeZone;

/// Nanoseconds of a second.
pub const SECOND: i64 = 1_000_000_000;
/// How many characters of an id are shown.
const SHORT_ID: usize = 8;

/// The start of an id, or all of it.
pub fn id(id: &str, verbose: bool) -> String {
    if verbose {
        id.to_owned()
    } else {
        id.chars().take(SHORT_ID).collect()
    }
}

/// A point in time to the second, in the given zone; empty when unset.
pub fn time(nanos: i64, zone: &TimeZone) -> String {
    if nanos == 0 {
        return String::new();
    }
    let Ok(time) = jiff::Timestamp::from_nanosecond(i128::from(nanos)) else {
        return String::new();
    };
    let zoned = time.to_zoned(zone.clone());
    if zoned.offset().seconds() == 0 {
        zoned.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    } else {
        zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}

/// The distance from `then` to `now` in its two largest units.
pub fn since(then: i64, now: i64) -> String {
    let seconds = now / SECOND - then / SECOND;
    let (seconds, suffix) = if seconds < 0 {
        (-seconds, "from now")
    } else {
        (seconds, "ago")
    };
    format!("{} {suffix}", two_units(seconds))
}

fn two_units(mut seconds: i64) -> String {
    const UNITS: [(i64, &str); 6] = [
        (365 * 86_400, "y"),
        (30 * 86_400, "mo"),
        (86_400, "d"),
        (3_600, "h"),
        (60, "m"),
        (1, "s"),
    ];
    let Some(first) = UNITS.iter().position(|(size, _)| seconds >= *size) else {
        return "0s".to_owned();
    };
    let mut text = String::new();
    for (size, name) in UNITS.iter().skip(first).take(2) {
        let count = seconds / size;
        seconds %= size;
        if count > 0 {
            text.push_str(&format!("{count}{name}"));
        }
    }
    text
}

/// A length of time as Go writes it: `1h5m0s`, `15.4s`, `22.234µs`.
pub fn duration(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".to_owned();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let small = |unit: u64, name: &str| format!("{sign}{}{name}", fraction(nanos, unit));
    if nanos < 1_000 {
        return format!("{sign}{nanos}ns");
    }
    if nanos < 1_000_000 {
        return small(1_000, "µs");
    }
    if nanos < 1_000_000_000 {
        return small(1_000_000, "ms");
    }
    let second = 1_000_000_000;
    let (hours, minutes) = (nanos / (3_600 * second), nanos / (60 * second) % 60);
    let seconds = fraction(nanos % (60 * second), second);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// A length of time rounded to the second.
pub fn duration_s(nanos: i64) -> String {
    duration((nanos + nanos.signum() * SECOND / 2) / SECOND * SECOND)
}

fn fraction(value: u64, unit: u64) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    let rest = format!("{rest:0digits$}");
    format!("{whole}.{}", rest.trim_end_matches('0'))
}

/// A number of bytes with a binary unit.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1_024 {
        return format!("{count} B");
    }
    let power = (count.ilog2() / 10) as usize;
    let value = (count as f64 / 1_024f64.powi(power as i32) * 10.0 + 0.5).floor() / 10.0;
    if value < 10.0 {
        format!("{value:.1} {}", UNITS[power])
    } else {
        format!("{value:.0} {}", UNITS[power])
    }
}

/// A number of mebibytes as bytes with a binary unit.
pub fn mebibytes(count: i64) -> String {
    bytes(u64::try_from(count).unwrap_or(0) << 20)
}

/// Three significant digits, without trailing zeros.
pub fn significant(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-5..3).contains(&magnitude) {
        return format!("{value:.2e}");
    }
    let digits = usize::try_from(2 - magnitude).unwrap_or(0);
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

/// A string in double quotes, escaped as Go does.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_have_two_units() {
        let at = |s: i64| since(0, s * SECOND);
        for (seconds, text) in [
            (0, "0s ago"),
            (59, "59s ago"),
            (60, "1m ago"),
            (66, "1m6s ago"),
            (3_900, "1h5m ago"),
            (3_601, "1h ago"),
            (90_000, "1d1h ago"),
            (40 * 86_400, "1mo10d ago"),
            (800 * 86_400, "2y2mo ago"),
            (-22, "22s from now"),
        ] {
            assert_eq!(at(seconds), text);
        }
    }

    #[test]
    fn durations_look_like_go() {
        for (nanos, text) in [
            (0, "0s"),
            (22_234, "22.234µs"),
            (15_437_593_101, "15.437593101s"),
            (300 * SECOND, "5m0s"),
            (29_881 * SECOND, "8h18m1s"),
            (1_500_000, "1.5ms"),
        ] {
            assert_eq!(duration(nanos), text);
        }
        assert_eq!(duration_s(2_092 * SECOND + 499_999_999), "34m52s");
    }

    #[test]
    fn sizes_have_binary_units() {
        for (count, text) in [
            (0, "0 B"),
            (13, "13 B"),
            (4_096, "4.0 KiB"),
            (53_248, "52 KiB"),
            (314_572_800, "300 MiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn scores_have_three_digits() {
        for (value, text) in [
            (0.17638206080455396, "0.176"),
            (-1.0, "-1"),
            (0.0, "0"),
            (-0.411808969597723, "-0.412"),
            (12.345, "12.3"),
        ] {
            assert_eq!(significant(value), text);
        }
    }

    #[test]
    fn times_follow_the_zone() {
        let nanos = 1_795_372_849_660_611_317;
        assert_eq!(time(nanos, &TimeZone::UTC), "2026-11-22T18:40:49Z");
        let zone = TimeZone::fixed(jiff::tz::offset(5));
        assert_eq!(time(nanos, &zone), "2026-11-22T23:40:49+05:00");
        assert_eq!(time(0, &TimeZone::UTC), "");
    }

    #[test]
    fn quotes_escape() {
        assert_eq!(quoted("a \"b\"\n\t\\ é"), r#""a \"b\"\n\t\\ é""#);
    }
}
