//! Functions on paths and files.

use super::{CallError, Function, Kind, Param, failed, text};
use crate::jobspec::value::Value;

const PATH: Param = Param("path", Kind::Text);

const fn plain(
    name: &'static str,
    run: fn(&[Value], &dyn crate::jobspec::Outside) -> Result<Value, CallError>,
) -> Function {
    Function {
        name,
        params: &[PATH],
        rest: None,
        run,
    }
}

pub(super) static TABLE: &[Function] = &[
    plain("file", |a, outside| {
        let bytes = outside.read(text(&a[0])).map_err(CallError::Failed)?;
        String::from_utf8(bytes).map_or_else(
            |_| failed("contents of the file are not valid UTF-8; use filebase64 instead"),
            |text| Ok(Value::String(text)),
        )
    }),
    plain("filebase64", |a, outside| {
        use base64::Engine as _;
        let bytes = outside.read(text(&a[0])).map_err(CallError::Failed)?;
        Ok(Value::text(base64::prelude::BASE64_STANDARD.encode(bytes)))
    }),
    plain("fileexists", |a, outside| {
        let exists = outside.exists(text(&a[0])).map_err(CallError::Failed)?;
        Ok(Value::Bool(exists))
    }),
    plain("abspath", |a, outside| {
        let path = outside.absolute(text(&a[0])).map_err(CallError::Failed)?;
        Ok(Value::String(path))
    }),
    plain("pathexpand", |a, outside| {
        let path = outside
            .expand_home(text(&a[0]))
            .map_err(CallError::Failed)?;
        Ok(Value::String(path))
    }),
    Function {
        name: "fileset",
        params: &[PATH, Param("pattern", Kind::Text)],
        rest: None,
        run: |a, outside| {
            let files = outside.list(text(&a[0])).map_err(CallError::Failed)?;
            let pattern = glob(text(&a[1])).map_err(CallError::Failed)?;
            let mut found: Vec<String> =
                files.into_iter().filter(|f| pattern.is_match(f)).collect();
            found.sort();
            Ok(Value::List(found.into_iter().map(Value::String).collect()))
        },
    },
    plain("basename", |a, _| {
        let path = text(&a[0]).trim_end_matches('/');
        Ok(Value::text(match path.rsplit('/').next() {
            None | Some("") if text(&a[0]).starts_with('/') => "/",
            None | Some("") => ".",
            Some(name) => name,
        }))
    }),
    plain("dirname", |a, _| {
        Ok(Value::text(match text(&a[0]).rsplit_once('/') {
            None => ".",
            Some(("", _)) => "/",
            Some((folder, _)) => folder,
        }))
    }),
];

/// A glob (`*`, `**`, `?`, `[…]`, `{a,b}`) as a regular expression over relative paths.
fn glob(pattern: &str) -> Result<regex::Regex, String> {
    let mut out = String::from("^");
    let mut chars = pattern.chars().peekable();
    let mut braces = 0;
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.peek() == Some(&'*') => {
                chars.next();
                if chars.peek() == Some(&'/') {
                    chars.next();
                    out.push_str("(?:.*/)?");
                } else {
                    out.push_str(".*");
                }
            }
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '{' => {
                braces += 1;
                out.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                out.push(')');
            }
            ',' if braces > 0 => out.push('|'),
            '[' | ']' | '-' => out.push(c),
            other => out.push_str(&regex::escape(&other.to_string())),
        }
    }
    out.push('$');
    regex::Regex::new(&out).map_err(|_| format!("failed to glob pattern: {pattern:?}"))
}
