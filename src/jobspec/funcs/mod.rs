//! The functions of the language, one table per subject.
//!
//! A function sees its arguments already converted to its parameters' types. What needs files or
//! randomness asks [`Outside`].

mod collection;
mod date;
mod encoding;
mod file;
mod format;
mod hash;
mod net;
mod numeric;
mod text;
mod yaml;

use super::Outside;
use super::value::{Number, Value};

/// One function of the language.
pub(super) struct Function {
    name: &'static str,
    params: &'static [Param],
    /// What may follow `params`, any number of times.
    rest: Option<Param>,
    run: Run,
}

type Run = fn(&[Value], &dyn Outside) -> Result<Value, CallError>;

/// A parameter's name in messages and its type.
#[derive(Clone, Copy)]
struct Param(&'static str, Kind);

/// What a parameter takes.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Anything, even null.
    Any,
    Text,
    Number,
    /// A whole number.
    Whole,
    List,
    /// A list whose elements are texts.
    Texts,
    Object,
}

/// Why a call has no result.
#[derive(Debug, PartialEq)]
pub(super) enum CallError {
    TooFew {
        wanted: usize,
    },
    TooMany {
        wanted: usize,
    },
    Argument {
        index: usize,
        parameter: &'static str,
        why: String,
    },
    /// The function itself says why.
    Failed(String),
}

/// A failure of the function itself.
fn failed<T>(why: impl Into<String>) -> Result<T, CallError> {
    Err(CallError::Failed(why.into()))
}

/// The longest text that a function makes.
const TEXT_MAX: usize = 16 << 20;

/// Refuses a result of `length` characters that nobody wants.
fn fits(length: usize) -> Result<(), CallError> {
    if length > TEXT_MAX {
        return failed("the result would be longer than 16 MiB");
    }
    Ok(())
}

fn tables() -> impl Iterator<Item = &'static Function> {
    [
        collection::TABLE,
        date::TABLE,
        encoding::TABLE,
        file::TABLE,
        format::TABLE,
        hash::TABLE,
        net::TABLE,
        numeric::TABLE,
        text::TABLE,
        yaml::TABLE,
    ]
    .into_iter()
    .flatten()
}

/// The function called `name`.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    tables().find(|f| f.name == name)
}

/// The names of all functions, with those that the evaluator itself provides.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    tables().map(|f| f.name).chain(["can", "convert", "try"])
}

/// Checks and converts the arguments, then runs the function.
pub(super) fn call(
    function: &Function,
    arguments: Vec<Value>,
    outside: &dyn Outside,
) -> Result<Value, CallError> {
    let wanted = function.params.len();
    if arguments.len() < wanted {
        return Err(CallError::TooFew { wanted });
    }
    if arguments.len() > wanted && function.rest.is_none() {
        return Err(CallError::TooMany { wanted });
    }
    let mut converted = Vec::with_capacity(arguments.len());
    for (index, argument) in arguments.into_iter().enumerate() {
        let Some(Param(parameter, kind)) = function.params.get(index).copied().or(function.rest)
        else {
            return Err(CallError::TooMany { wanted });
        };
        let value = convert(kind, argument).map_err(|why| CallError::Argument {
            index,
            parameter,
            why,
        })?;
        converted.push(value);
    }
    (function.run)(&converted, outside)
}

/// `value` as `kind`; the error says what was required.
fn convert(kind: Kind, value: Value) -> Result<Value, String> {
    if value == Value::Null && kind != Kind::Any {
        return Err("argument must not be null".to_string());
    }
    let have = value.type_name();
    match kind {
        Kind::Any => Ok(value),
        Kind::Text => value
            .to_text()
            .map(Value::String)
            .ok_or_else(|| format!("string required, but have {have}")),
        Kind::Number => number_of(&value, have).map(Value::Number),
        Kind::Whole => match number_of(&value, have)? {
            whole @ Number::Int(_) => Ok(Value::Number(whole)),
            Number::Float(_) => Err("a whole number is required".to_string()),
        },
        Kind::List => match value {
            Value::List(_) => Ok(value),
            _ => Err(format!("list required, but have {have}")),
        },
        Kind::Texts => match value {
            Value::List(items) => items
                .into_iter()
                .map(|item| {
                    let text = item.to_text().map(Value::String);
                    text.ok_or("incorrect list element type: string required".to_string())
                })
                .collect::<Result<_, _>>()
                .map(Value::List),
            _ => Err(format!("list of string required, but have {have}")),
        },
        Kind::Object => match value {
            Value::Object(_) => Ok(value),
            _ => Err(format!("map required, but have {have}")),
        },
    }
}

fn number_of(value: &Value, have: &str) -> Result<Number, String> {
    value.to_number().ok_or_else(|| match value {
        Value::String(_) => "a number is required".to_string(),
        _ => format!("number required, but have {have}"),
    })
}

/// The text of an argument whose parameter is a [`Kind::Text`].
fn text(value: &Value) -> &str {
    match value {
        Value::String(s) => s,
        _ => "",
    }
}

/// The number of an argument whose parameter is a number.
fn number(value: &Value) -> Number {
    match value {
        Value::Number(n) => *n,
        _ => Number::Int(0),
    }
}

/// The whole number of an argument whose parameter is a [`Kind::Whole`].
fn whole(value: &Value) -> i64 {
    number(value).as_i64().unwrap_or(0)
}

/// The elements of an argument whose parameter is a list.
fn list(value: &Value) -> &[Value] {
    match value {
        Value::List(items) => items,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobspec::Sealed;

    /// What the captures do not show of the functions' edges.
    #[test]
    fn edges_of_functions() {
        for (call_text, wanted) in [
            (
                "format(\"%5.1f|%+d|%x|%v\", 2.25, 3, 255, [1, \"a\"])",
                "\"  2.2|+3|ff|[1,\\\"a\\\"]\"",
            ),
            ("cidrhost(\"10.0.0.0/8\", -1)", "\"10.255.255.255\""),
            (
                "cidrsubnets(\"10.0.0.0/8\", 8, 8)",
                "[\"10.0.0.0/16\",\"10.1.0.0/16\"]",
            ),
            ("cidrnetmask(\"10.0.0.0/12\")", "\"255.240.0.0\""),
            (
                "csvdecode(\"a,b\\n1,\\\"x,\\\"\\\"y\\\"\\n\")",
                "[{\"a\":\"1\",\"b\":\"x,\\\"y\"}]",
            ),
            (
                "formatdate(\"EEE, DD MMM YYYY hh:mm:ss ZZZ 'at'\", \"2018-01-02T23:12:01Z\")",
                "\"Tue, 02 Jan 2018 23:12:01 UTC at\"",
            ),
            (
                "jsonencode(\"<&>\")",
                "\"\\\"\\\\u003c\\\\u0026\\\\u003e\\\"\"",
            ),
            ("md5(\"\")", "\"d41d8cd98f00b204e9800998ecf8427e\""),
            (
                "sha1(\"x\")",
                "\"11f6ad8ec52a2984abaafd7c3b516503785c2072\"",
            ),
            ("range(5, 0, -2)", "[5,3,1]"),
            ("slice([1, 2, 3], 1, 2)", "[2]"),
            ("sort([\"b\", \"a\"])", "[\"a\",\"b\"]"),
            ("setintersection([1, 2], [2, 3])", "[2]"),
            ("substr(\"héllo\", -3, -1)", "\"llo\""),
            (
                "yamldecode(\"a:\\n  - 1\\n  - x: [true, null]\\nb: 'q'\\n\")",
                "{\"a\":[1,{\"x\":[true,null]}],\"b\":\"q\"}",
            ),
            ("convert(\"5\", number)", "5"),
            ("log(8, 2)", "3"),
            ("max([1, 5]...)", "5"),
            ("element([\"a\", \"b\"], 3)", "\"b\""),
            ("trim(\"--x-\", \"-\")", "\"x\""),
            ("title(\"a b\")", "\"A B\""),
            ("signum(-3)", "-1"),
        ] {
            assert_eq!(
                evaluate(call_text).map(|v| v.to_json().to_string()),
                Ok(wanted.to_string()),
                "{call_text}"
            );
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (call_text, wanted) in [
            ("upper()", "Not enough function arguments"),
            ("upper(1, 2)", "Too many function arguments"),
            (
                "file(\"x\")",
                "Call to function \"file\" failed: filesystem function disabled.",
            ),
            ("cidrhost(\"x\", 1)", "invalid CIDR"),
            ("jsondecode(\"{\")", "Error in function call"),
            ("chunklist([1], -1)", "Error in function call"),
            ("bcrypt(\"x\")", "Error in function call"),
        ] {
            let shown = evaluate(call_text).unwrap_err();
            assert!(shown.contains(wanted), "{call_text}: {shown}");
        }
    }

    fn evaluate(text: &str) -> Result<Value, String> {
        use crate::jobspec::{diag::Source, eval::Eval, scope::Scope};
        let source = Source::new("t", text);
        let expr = hcl_edit::parser::parse_expr(text).unwrap();
        let mut eval = Eval::new(&source, &Sealed);
        let value = eval.value(&expr, &Scope::default());
        match eval.diags.first() {
            None => Ok(value),
            Some(diag) => Err(diag.to_string()),
        }
    }
}
