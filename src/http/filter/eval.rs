//! Judging one object.

use serde_json::Value;

use super::{Expr, FilterError, Test};
use crate::http::params::parse_bool;

/// Whether `object` passes `expr`.
pub(super) fn eval(expr: &Expr, object: &Value, fields: &[&str]) -> Result<bool, FilterError> {
    match expr {
        Expr::And(left, right) => Ok(eval(left, object, fields)? && eval(right, object, fields)?),
        Expr::Or(left, right) => Ok(eval(left, object, fields)? || eval(right, object, fields)?),
        Expr::Not(inner) => Ok(!eval(inner, object, fields)?),
        Expr::Match(path, test) => match find(object, path, fields)? {
            Some(value) => judge(value, test, path),
            None => Ok(matches!(
                test,
                Test::NotEqual(_) | Test::NotContains(_) | Test::NotMatches(_) | Test::Empty
            )),
        },
    }
}

/// The value at `path`; `None` if a key below the first level is not there.
fn find<'a>(
    object: &'a Value,
    path: &[String],
    fields: &[&str],
) -> Result<Option<&'a Value>, FilterError> {
    const LEFT_OUT: &Value = &Value::Null;
    let Some((first, rest)) = path.split_first() else {
        return Ok(None);
    };
    let mut value = match object.get(first) {
        Some(value) => value,
        None if fields.contains(&first.as_str()) => LEFT_OUT,
        None => {
            return Err(FilterError(format!(
                "error finding value in datum: /{} at part 0: couldn't find key: \
                 struct field with name \"{first}\"",
                path.join("/")
            )));
        }
    };
    for part in rest {
        match value.get(part) {
            Some(inner) => value = inner,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

fn judge(value: &Value, test: &Test, path: &[String]) -> Result<bool, FilterError> {
    match test {
        Test::Equal(wanted) => equal(value, wanted, path),
        Test::NotEqual(wanted) => equal(value, wanted, path).map(|same| !same),
        Test::Contains(wanted) => contains(value, wanted, path),
        Test::NotContains(wanted) => contains(value, wanted, path).map(|has| !has),
        Test::Matches(pattern) => text_of(value, path).map(|t| pattern.is_match(t)),
        Test::NotMatches(pattern) => text_of(value, path).map(|t| !pattern.is_match(t)),
        Test::Empty => is_empty(value, path),
        Test::NotEmpty => is_empty(value, path).map(|empty| !empty),
    }
}

fn equal(value: &Value, wanted: &str, path: &[String]) -> Result<bool, FilterError> {
    let mismatch = |kind: &str| {
        FilterError(format!(
            "cannot compare {} with \"{wanted}\": it is {kind}",
            path.join(".")
        ))
    };
    match value {
        Value::String(text) => Ok(text == wanted),
        Value::Bool(flag) => parse_bool(wanted)
            .map(|wanted| wanted == *flag)
            .ok_or_else(|| mismatch("a boolean")),
        Value::Number(number) => wanted
            .parse::<f64>()
            .map(|wanted| number.as_f64() == Some(wanted))
            .map_err(|_| mismatch("a number")),
        Value::Null => Ok(matches!(wanted, "" | "0" | "false")),
        Value::Array(_) => Err(mismatch("a list")),
        Value::Object(_) => Err(mismatch("an object")),
    }
}

fn contains(value: &Value, wanted: &str, path: &[String]) -> Result<bool, FilterError> {
    match value {
        Value::String(text) => Ok(text.contains(wanted)),
        Value::Object(entries) => Ok(entries.contains_key(wanted)),
        Value::Null => Ok(false),
        Value::Array(items) => {
            for item in items {
                if equal(item, wanted, path)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Bool(_) | Value::Number(_) => Err(FilterError(format!(
            "{} is no text, list or map: it contains nothing",
            path.join(".")
        ))),
    }
}

fn text_of<'a>(value: &'a Value, path: &[String]) -> Result<&'a str, FilterError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null => Ok(""),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Err(FilterError(
            format!("{} is no text: it matches no pattern", path.join(".")),
        )),
    }
}

fn is_empty(value: &Value, path: &[String]) -> Result<bool, FilterError> {
    match value {
        Value::Null => Ok(true),
        Value::String(text) => Ok(text.is_empty()),
        Value::Array(items) => Ok(items.is_empty()),
        Value::Object(entries) => Ok(entries.is_empty()),
        Value::Bool(_) | Value::Number(_) => Err(FilterError(format!(
            "{} is no text, list or map: it is never empty",
            path.join(".")
        ))),
    }
}
