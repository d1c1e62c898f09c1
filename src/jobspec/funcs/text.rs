//! Functions on texts.

use regex::Regex;

use super::{CallError, Function, Kind, Param, failed, fits, list, text, whole};
use crate::jobspec::value::Value;

const STR: Param = Param("str", Kind::Text);

/// A function from one text to another.
const fn plain(
    name: &'static str,
    run: fn(&[Value], &dyn crate::jobspec::Outside) -> Result<Value, CallError>,
) -> Function {
    Function {
        name,
        params: &[STR],
        rest: None,
        run,
    }
}

pub(super) static TABLE: &[Function] = &[
    plain("upper", |a, _| Ok(Value::text(text(&a[0]).to_uppercase()))),
    plain("lower", |a, _| Ok(Value::text(text(&a[0]).to_lowercase()))),
    plain("title", |a, _| Ok(Value::text(title(text(&a[0]))))),
    plain("trimspace", |a, _| Ok(Value::text(text(&a[0]).trim()))),
    plain("chomp", |a, _| {
        Ok(Value::text(text(&a[0]).trim_end_matches(['\n', '\r'])))
    }),
    plain("reverse", |a, _| Ok(reversed(&a[0]))),
    plain("strrev", |a, _| Ok(reversed(&a[0]))),
    plain("strlen", |a, _| {
        Ok(Value::count(text(&a[0]).chars().count()))
    }),
    Function {
        name: "trim",
        params: &[STR, Param("cutset", Kind::Text)],
        rest: None,
        run: |a, _| {
            let cut: Vec<char> = text(&a[1]).chars().collect();
            Ok(Value::text(text(&a[0]).trim_matches(cut.as_slice())))
        },
    },
    Function {
        name: "trimprefix",
        params: &[STR, Param("prefix", Kind::Text)],
        rest: None,
        run: |a, _| {
            let whole = text(&a[0]);
            Ok(Value::text(
                whole.strip_prefix(text(&a[1])).unwrap_or(whole),
            ))
        },
    },
    Function {
        name: "trimsuffix",
        params: &[STR, Param("suffix", Kind::Text)],
        rest: None,
        run: |a, _| {
            let whole = text(&a[0]);
            Ok(Value::text(
                whole.strip_suffix(text(&a[1])).unwrap_or(whole),
            ))
        },
    },
    Function {
        name: "replace",
        params: &[
            STR,
            Param("substr", Kind::Text),
            Param("replace", Kind::Text),
        ],
        rest: None,
        run: |a, _| {
            let (whole, part, by) = (text(&a[0]), text(&a[1]), text(&a[2]));
            let count = whole.matches(part).count();
            fits(whole.len().saturating_add(count.saturating_mul(by.len())))?;
            Ok(Value::text(whole.replace(part, by)))
        },
    },
    Function {
        name: "regex_replace",
        params: &[
            STR,
            Param("pattern", Kind::Text),
            Param("replace", Kind::Text),
        ],
        rest: None,
        run: |a, _| match Regex::new(text(&a[1])) {
            Ok(pattern) => {
                let (whole, by) = (text(&a[0]), text(&a[2]));
                // Each reference in the replacement may stand for the whole match.
                let most = by.len() + by.matches('$').count().saturating_mul(whole.len());
                let count = pattern.find_iter(whole).count();
                fits(whole.len().saturating_add(count.saturating_mul(most)))?;
                Ok(Value::text(pattern.replace_all(whole, by).into_owned()))
            }
            Err(error) => failed(format!("invalid regular expression: {error}")),
        },
    },
    Function {
        name: "split",
        params: &[Param("separator", Kind::Text), STR],
        rest: None,
        run: |a, _| Ok(Value::List(split(text(&a[0]), text(&a[1])))),
    },
    Function {
        name: "join",
        params: &[Param("separator", Kind::Text)],
        rest: Some(Param("lists", Kind::Texts)),
        run: |a, _| {
            let parts: Vec<&str> = a[1..].iter().flat_map(list).map(text).collect();
            fits(parts.len().saturating_mul(text(&a[0]).len()))?;
            Ok(Value::text(parts.join(text(&a[0]))))
        },
    },
    Function {
        name: "substr",
        params: &[
            STR,
            Param("offset", Kind::Whole),
            Param("length", Kind::Whole),
        ],
        rest: None,
        run: |a, _| substr(text(&a[0]), whole(&a[1]), whole(&a[2])),
    },
    Function {
        name: "indent",
        params: &[Param("spaces", Kind::Whole), STR],
        rest: None,
        run: |a, _| {
            let Ok(spaces @ 0..=4096) = usize::try_from(whole(&a[0])) else {
                return failed("the number of spaces must be between 0 and 4096");
            };
            let lines = text(&a[1]).matches('\n').count();
            fits(text(&a[1]).len() + lines * spaces)?;
            let line = format!("\n{}", " ".repeat(spaces));
            Ok(Value::text(text(&a[1]).replace('\n', &line)))
        },
    },
];

fn reversed(value: &Value) -> Value {
    Value::text(text(value).chars().rev().collect::<String>())
}

/// The first letter of every word in upper case.
fn title(text: &str) -> String {
    let mut at_start = true;
    text.chars()
        .map(|c| {
            let out = if at_start { c.to_ascii_uppercase() } else { c };
            at_start = !(c.is_alphanumeric() || c == '_' || c == '\'');
            out
        })
        .collect()
}

fn split(separator: &str, text: &str) -> Vec<Value> {
    if separator.is_empty() {
        return text.chars().map(|c| Value::text(c.to_string())).collect();
    }
    text.split(separator).map(Value::text).collect()
}

/// The characters from `offset` (from the end if negative), `length` of them (−1: all).
fn substr(text: &str, offset: i64, length: i64) -> Result<Value, CallError> {
    let chars: Vec<char> = text.chars().collect();
    let count = i64::try_from(chars.len()).unwrap_or(i64::MAX);
    let start = if offset < 0 {
        count.saturating_add(offset)
    } else {
        offset
    };
    if length < -1 {
        return failed("length should be a non-negative integer or -1");
    }
    let start = usize::try_from(start.clamp(0, count)).unwrap_or(0);
    let rest = &chars[start..];
    let taken = match usize::try_from(length) {
        Ok(length) => &rest[..length.min(rest.len())],
        Err(_) => rest,
    };
    Ok(Value::text(taken.iter().collect::<String>()))
}
