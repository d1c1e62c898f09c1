//! `yamlencode` and `yamldecode`.
//!
//! Decoding covers what configuration needs: block and flow maps and lists, quoted and plain
//! texts, `|` and `>` blocks, comments. Anchors, tags and several documents are refused.

use std::collections::BTreeMap;

use super::{CallError, Function, Kind, Param, failed, text};
use crate::jobspec::value::{Number, Value};

/// How deep lists and maps may nest.
const DEPTH_MAX: usize = 64;

pub(super) static TABLE: &[Function] = &[
    Function {
        name: "yamlencode",
        params: &[Param("value", Kind::Any)],
        rest: None,
        run: |a, _| {
            let mut out = String::new();
            encode(&a[0], 0, &mut out);
            Ok(Value::String(out))
        },
    },
    Function {
        name: "yamldecode",
        params: &[Param("src", Kind::Text)],
        rest: None,
        run: |a, _| decode(text(&a[0])),
    },
];

/// Writes `value` as lines indented by `indent`.
fn encode(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                out.push_str(&format!("{pad}{}:", quoted(key)));
                match value {
                    Value::Object(inner) if !inner.is_empty() => {
                        out.push('\n');
                        encode(value, indent + 2, out);
                    }
                    Value::List(inner) if !inner.is_empty() => {
                        out.push('\n');
                        encode(value, indent, out);
                    }
                    other => out.push_str(&format!(" {}\n", scalar(other))),
                }
            }
        }
        Value::List(items) if !items.is_empty() => {
            for item in items {
                let mut inner = String::new();
                encode(item, indent + 2, &mut inner);
                // The first line of a nested value follows the dash.
                out.push_str(&format!("{pad}- {}", inner.trim_start_matches(' ')));
            }
        }
        other => out.push_str(&format!("{pad}{}\n", scalar(other))),
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Object(_) => "{}".to_string(),
        Value::List(_) => "[]".to_string(),
        Value::String(text) => quoted(text),
        other => other.to_json().to_string(),
    }
}

/// JSON's quoting is also YAML's.
fn quoted(text: &str) -> String {
    Value::text(text).to_json().to_string()
}

/// A line that holds something: its indentation and the rest.
#[derive(Clone)]
struct Line {
    indent: usize,
    text: String,
}

fn decode(source: &str) -> Result<Value, CallError> {
    let mut raw = source.lines().peekable();
    let mut lines = Vec::new();
    while let Some(line) = raw.next() {
        let body = without_comment(line).trim_end();
        let text = body.trim_start_matches(' ');
        if text.is_empty() || (text == "---" && lines.is_empty()) {
            continue;
        }
        if text == "---" || text == "..." {
            return failed("only one YAML document is supported");
        }
        if text.starts_with('\t') {
            return failed("YAML must not be indented with tabs");
        }
        let indent = body.len() - text.len();
        let mut text = text.to_string();
        if let Some(folded) = block_scalar(&text) {
            let mut block = Vec::new();
            let is_inside = |l: &&str| l.trim().is_empty() || leading(l) > indent;
            while let Some(line) = raw.next_if(is_inside) {
                block.push(line);
            }
            let header = text.trim_end_matches(['|', '>', '-', '+']).to_string();
            text = format!("{header}{}", quoted(&join_block(&block, folded)));
        }
        lines.push(Line { indent, text });
    }
    let mut parser = Block { lines, at: 0 };
    let Some(first) = parser.lines.first() else {
        return Ok(Value::Null);
    };
    let indent = first.indent;
    let value = parser.value(indent, 0)?;
    match parser.lines.get(parser.at) {
        None => Ok(value),
        Some(line) => failed(format!("unexpected YAML at {:?}", line.text)),
    }
}

fn leading(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// The line without a comment; `#` counts after a blank and outside of quotes.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before == ' ' => return &line[..at],
            (None, '"' | '\'') if " :-[{,".contains(before) => quote = Some(c),
            (Some(open), _) if c == open && before != '\\' => quote = None,
            _ => {}
        }
        before = c;
    }
    line
}

/// Whether the line ends in the header of a block text, and whether that is folded.
fn block_scalar(text: &str) -> Option<(bool, char)> {
    let value = text.rsplit(' ').next()?;
    if value.len() == text.len() && !value.starts_with(['|', '>']) {
        return None;
    }
    match value {
        "|" => Some((false, ' ')),
        "|-" => Some((false, '-')),
        "|+" => Some((false, '+')),
        ">" => Some((true, ' ')),
        ">-" => Some((true, '-')),
        ">+" => Some((true, '+')),
        _ => None,
    }
}

fn join_block(lines: &[&str], (folded, chomp): (bool, char)) -> String {
    let indent = lines
        .iter()
        .filter(|l| !l.trim().is_empty())
        .map(|l| leading(l))
        .min()
        .unwrap_or(0);
    let cut: Vec<&str> = lines
        .iter()
        .map(|l| l.get(indent..).unwrap_or(""))
        .collect();
    let mut text = String::new();
    for (i, line) in cut.iter().enumerate() {
        text.push_str(line);
        let next_is_text = cut.get(i + 1).is_some_and(|l| !l.is_empty());
        text.push(if folded && !line.is_empty() && next_is_text {
            ' '
        } else {
            '\n'
        });
    }
    match chomp {
        '+' => text,
        '-' => text.trim_end_matches('\n').to_string(),
        _ => format!("{}\n", text.trim_end_matches('\n')),
    }
}

/// Reads indented lines.
struct Block {
    lines: Vec<Line>,
    at: usize,
}

impl Block {
    /// The value whose first line is at `indent`.
    fn value(&mut self, indent: usize, depth: usize) -> Result<Value, CallError> {
        if depth > DEPTH_MAX {
            return failed("YAML is nested too deeply");
        }
        let line = self.lines[self.at].clone();
        if line.text == "-" || line.text.starts_with("- ") {
            return self.list(indent, depth);
        }
        if split_key(&line.text)?.is_some() {
            return self.map(indent, depth);
        }
        self.at += 1;
        flow(&line.text)
    }

    fn list(&mut self, indent: usize, depth: usize) -> Result<Value, CallError> {
        let mut items = Vec::new();
        while let Some(line) = self.lines.get(self.at).filter(|l| l.indent == indent) {
            let Some(rest) = line.text.strip_prefix('-') else {
                break;
            };
            let inner = rest.trim_start_matches(' ').to_string();
            let inner_indent = indent + line.text.len() - inner.len();
            if inner.is_empty() {
                self.at += 1;
                items.push(self.nested(indent, false, depth)?);
            } else {
                // What follows the dash is the first line of a nested block.
                self.lines[self.at] = Line {
                    indent: inner_indent,
                    text: inner,
                };
                items.push(self.value(inner_indent, depth + 1)?);
            }
        }
        Ok(Value::List(items))
    }

    fn map(&mut self, indent: usize, depth: usize) -> Result<Value, CallError> {
        let mut entries = BTreeMap::new();
        while let Some(line) = self.lines.get(self.at).filter(|l| l.indent == indent) {
            let Some((key, value)) = split_key(&line.text)? else {
                break;
            };
            self.at += 1;
            let value = if value.is_empty() {
                self.nested(indent, true, depth)?
            } else {
                flow(&value)?
            };
            if entries.insert(key.clone(), value).is_some() {
                return failed(format!("duplicate YAML key {key:?}"));
            }
        }
        Ok(Value::Object(entries))
    }

    /// The value on the lines below, or null if there is none.
    fn nested(&mut self, indent: usize, in_map: bool, depth: usize) -> Result<Value, CallError> {
        match self.lines.get(self.at) {
            Some(next) if next.indent > indent => {
                let inner = next.indent;
                self.value(inner, depth + 1)
            }
            Some(next) if in_map && next.indent == indent && next.text.starts_with('-') => {
                self.list(indent, depth + 1)
            }
            _ => Ok(Value::Null),
        }
    }
}

/// A line's key and the text behind the colon, if it is an entry of a map.
fn split_key(line: &str) -> Result<Option<(String, String)>, CallError> {
    if line.starts_with(['[', '{']) {
        return Ok(None);
    }
    let mut flow = Flow::new(line);
    if line.starts_with(['"', '\'']) {
        let key = flow.quoted()?;
        let rest = flow.rest().trim_start();
        return Ok(rest
            .strip_prefix(':')
            .map(|value| (key, value.trim().to_string())));
    }
    if let Some((key, value)) = line.split_once(": ") {
        return Ok(Some((key.trim().to_string(), value.trim().to_string())));
    }
    Ok(line
        .strip_suffix(':')
        .map(|key| (key.trim().to_string(), String::new())))
}

fn flow(text: &str) -> Result<Value, CallError> {
    let mut flow = Flow::new(text);
    let value = flow.value(0, false)?;
    match flow.rest().trim() {
        "" => Ok(value),
        rest => failed(format!("unexpected YAML at {rest:?}")),
    }
}

/// Reads values within one line.
struct Flow<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Flow<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, c: char) -> bool {
        self.skip_blanks();
        let found = self.rest().starts_with(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn value(&mut self, depth: usize, inside: bool) -> Result<Value, CallError> {
        if depth > DEPTH_MAX {
            return failed("YAML is nested too deeply");
        }
        if self.eat('[') {
            return self.list(depth);
        }
        if self.eat('{') {
            return self.map(depth);
        }
        if self.rest().starts_with(['"', '\'']) {
            return self.quoted().map(Value::String);
        }
        if self.rest().starts_with(['&', '*', '!']) {
            return failed("YAML anchors, aliases and tags are not supported");
        }
        let end = if inside {
            self.rest().find([',', ']', '}', ':'])
        } else {
            None
        };
        let plain = &self.rest()[..end.unwrap_or(self.rest().len())];
        self.at += plain.len();
        Ok(plain_scalar(plain.trim()))
    }

    fn list(&mut self, depth: usize) -> Result<Value, CallError> {
        let mut items = Vec::new();
        while !self.eat(']') {
            items.push(self.value(depth + 1, true)?);
            if !self.eat(',') && !self.rest().starts_with(']') {
                return failed("unterminated YAML list");
            }
        }
        Ok(Value::List(items))
    }

    fn map(&mut self, depth: usize) -> Result<Value, CallError> {
        let mut entries = BTreeMap::new();
        while !self.eat('}') {
            let key = self.value(depth + 1, true)?.to_text().unwrap_or_default();
            let value = if self.eat(':') {
                self.value(depth + 1, true)?
            } else {
                Value::Null
            };
            entries.insert(key, value);
            if !self.eat(',') && !self.rest().starts_with('}') {
                return failed("unterminated YAML map");
            }
        }
        Ok(Value::Object(entries))
    }

    /// A text in either kind of quotes.
    fn quoted(&mut self) -> Result<String, CallError> {
        let unterminated = || CallError::Failed("unterminated YAML text".to_string());
        let rest = self.rest();
        if let Some(body) = rest.strip_prefix('\'') {
            let mut out = String::new();
            let mut inner = body;
            loop {
                let (text, after) = inner.split_once('\'').ok_or_else(unterminated)?;
                out.push_str(text);
                match after.strip_prefix('\'') {
                    Some(more) => {
                        out.push('\'');
                        inner = more;
                    }
                    None => {
                        self.at = self.text.len() - after.len();
                        return Ok(out);
                    }
                }
            }
        }
        // Double quotes are JSON's.
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let text = stream
            .next()
            .and_then(Result::ok)
            .ok_or_else(unterminated)?;
        self.at += stream.byte_offset();
        Ok(text)
    }
}

fn plain_scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        other => Number::parse(other).map_or_else(|| Value::text(other), Value::Number),
    }
}
