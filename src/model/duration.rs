//! Durations as job files and the API write them: `1h30m`, `1.5s`, `-5ms`, `0`.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit { unit: String, text: String },
}

/// Reads a duration in nanoseconds: numbers with units ns, us, ms, s, m and h, added up.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_string());
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number_len = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_len);
        let unit_len = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_len);
        if !number.bytes().any(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        let scale = unit_nanos(unit, text)?;
        total += scaled(number, scale).ok_or_else(invalid)?;
        if total > i128::from(i64::MAX) {
            return Err(invalid());
        }
        rest = next;
    }
    let signed = if negative { -total } else { total };
    i64::try_from(signed).map_err(|_| invalid())
}

/// The nanoseconds in one `unit`.
fn unit_nanos(unit: &str, text: &str) -> Result<i128, DurationError> {
    match unit {
        "ns" => Ok(1),
        "us" | "µs" | "μs" => Ok(1_000),
        "ms" => Ok(1_000_000),
        "s" => Ok(1_000_000_000),
        "m" => Ok(60_000_000_000),
        "h" => Ok(3_600_000_000_000),
        "" => Err(DurationError::MissingUnit(text.to_string())),
        other => Err(DurationError::UnknownUnit {
            unit: other.to_string(),
            text: text.to_string(),
        }),
    }
}

/// `number` (digits with at most one point) times `scale`, without rounding errors.
fn scaled(number: &str, scale: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || whole.len() > 19 {
        return None;
    }
    let whole: i128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let digits = &fraction[..fraction.len().min(18)];
    let part: i128 = if digits.is_empty() {
        0
    } else {
        digits.parse().ok()?
    };
    let denominator = 10_i128.pow(digits.len() as u32);
    Some(whole * scale + part * scale / denominator)
}

/// A duration as Go prints it: `30m0s`, `1h0m0s`, `1.5s`, `250ms`.
pub fn format(d: Duration) -> String {
    let nanos = d.as_nanos();
    let decimal = |unit: u128, suffix: &str| {
        let text = format!(
            "{}.{:0width$}",
            nanos / unit,
            nanos % unit,
            width = digits(unit)
        );
        format!(
            "{}{suffix}",
            text.trim_end_matches('0').trim_end_matches('.')
        )
    };
    match nanos {
        0 => "0s".to_string(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => decimal(1_000, "µs"),
        1_000_000..1_000_000_000 => decimal(1_000_000, "ms"),
        _ => {
            let (minutes, hours) = (d.as_secs() / 60 % 60, d.as_secs() / 3600);
            let under = Duration::new(d.as_secs() % 60, d.subsec_nanos());
            let seconds = format!("{}.{:09}", under.as_secs(), under.subsec_nanos());
            let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
            match (hours, minutes) {
                (0, 0) => format!("{seconds}s"),
                (0, m) => format!("{m}m{seconds}s"),
                (h, m) => format!("{h}h{m}m{seconds}s"),
            }
        }
    }
}

fn digits(unit: u128) -> usize {
    unit.ilog10() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_job_files_write() {
        for (text, nanos) in [
            ("0", 0),
            ("30s", 30_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1500ms", 1_500_000_000),
            ("2.5s", 2_500_000_000),
            (".5s", 500_000_000),
            ("-1m", -60_000_000_000),
            ("1us", 1_000),
        ] {
            assert_eq!(parse(text), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "-", "5", "s", "1.2.3s", "99999999999h", ".s"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(
            parse("5 days").unwrap_err().to_string(),
            "time: unknown unit \" days\" in duration \"5 days\""
        );
    }

    #[test]
    fn durations_print_as_go_prints_them() {
        let check = |d, want: &str| assert_eq!(format(d), want);
        check(Duration::ZERO, "0s");
        check(Duration::from_secs(5), "5s");
        check(Duration::from_secs(1800), "30m0s");
        check(Duration::from_secs(86_400), "24h0m0s");
        check(Duration::from_millis(250), "250ms");
        check(Duration::from_micros(1500), "1.5ms");
        check(Duration::from_nanos(15_437_593_101), "15.437593101s");
        check(Duration::from_nanos(1500), "1.5µs");
    }
}
