//! Functions that encode and decode.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{CallError, Function, Kind, Param, failed, text};
use crate::jobspec::value::Value;

const STR: Param = Param("str", Kind::Text);

pub(super) static TABLE: &[Function] = &[
    Function {
        name: "base64encode",
        params: &[STR],
        rest: None,
        run: |a, _| Ok(Value::text(BASE64_STANDARD.encode(text(&a[0])))),
    },
    Function {
        name: "base64decode",
        params: &[STR],
        rest: None,
        run: |a, _| match BASE64_STANDARD.decode(text(&a[0])) {
            Err(_) => failed(format!("failed to decode base64 data {:?}", text(&a[0]))),
            Ok(bytes) => String::from_utf8(bytes).map_or_else(
                |_| failed("the result of decoding the provided string is not valid UTF-8"),
                |text| Ok(Value::String(text)),
            ),
        },
    },
    Function {
        name: "urlencode",
        params: &[STR],
        rest: None,
        run: |a, _| Ok(Value::text(url_encode(text(&a[0])))),
    },
    Function {
        name: "jsonencode",
        params: &[Param("val", Kind::Any)],
        rest: None,
        run: |a, _| Ok(Value::text(json(&a[0]))),
    },
    Function {
        name: "jsondecode",
        params: &[STR],
        rest: None,
        run: |a, _| match serde_json::from_str(text(&a[0])) {
            Ok(json) => Ok(Value::from_json(&json)),
            Err(error) => failed(format!("invalid JSON: {error}")),
        },
    },
    Function {
        name: "csvdecode",
        params: &[STR],
        rest: None,
        run: |a, _| csv_decode(text(&a[0])),
    },
];

/// JSON with the characters escaped that are special in HTML, as the language defines it.
fn json(value: &Value) -> String {
    let mut out = String::new();
    for c in value.to_json().to_string().chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            other => out.push(other),
        }
    }
    out
}

/// The form encoding of query strings: a blank becomes `+`.
fn url_encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// Rows as maps from the names in the first row.
fn csv_decode(text: &str) -> Result<Value, CallError> {
    let mut rows = csv_rows(text)?.into_iter();
    let Some(header) = rows.next() else {
        return failed("missing header line");
    };
    let mut out = Vec::new();
    for row in rows {
        if row.len() != header.len() {
            return failed(format!("record {}: wrong number of fields", out.len() + 2));
        }
        let cells = row.into_iter().map(Value::String);
        let entries: BTreeMap<String, Value> = header.iter().cloned().zip(cells).collect();
        out.push(Value::Object(entries));
    }
    Ok(Value::List(out))
}

fn csv_rows(text: &str) -> Result<Vec<Vec<String>>, CallError> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut cell = String::new();
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if cell.is_empty() => quoted = true,
            '"' => return failed("bare \" in non-quoted field"),
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                if !(row.is_empty() && cell.is_empty()) {
                    row.push(std::mem::take(&mut cell));
                    rows.push(std::mem::take(&mut row));
                }
            }
            other => cell.push(other),
        }
    }
    if quoted {
        return failed("extraneous or missing \" in quoted field");
    }
    if !(row.is_empty() && cell.is_empty()) {
        row.push(cell);
        rows.push(row);
    }
    Ok(rows)
}
