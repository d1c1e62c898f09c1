//! Runs a template's tree over a JSON value.

use std::cmp::Ordering;

use serde_json::Value;

use super::TemplateError;
use super::lex::{Node, Pipe, Term};
use crate::cli::format::quoted;

/// The functions that there are.
pub const FUNCTIONS: &[&str] = &[
    "and", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lt", "ne", "not", "or",
    "print", "printf", "println", "toJSON",
];

/// The dot and the variables.
#[derive(Clone)]
pub struct Scope {
    root: Value,
    dot: Value,
    variables: Vec<(String, Value)>,
}

impl Scope {
    /// The scope in which a template starts.
    pub fn new(data: &Value) -> Self {
        Self {
            root: data.clone(),
            dot: data.clone(),
            variables: Vec::new(),
        }
    }

    fn inner(&self, dot: Value) -> Self {
        Self {
            dot,
            ..self.clone()
        }
    }

    /// Appends what the nodes print.
    pub fn run(&mut self, nodes: &[Node], out: &mut String) -> Result<(), TemplateError> {
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Print(pipe) => out.push_str(&shown(&self.pipe(pipe)?)),
                Node::Set(name, pipe) => {
                    let value = self.pipe(pipe)?;
                    self.variables.push((name.clone(), value));
                }
                Node::If(pipe, yes, no) => {
                    let branch = if truth(&self.pipe(pipe)?) { yes } else { no };
                    self.clone().run(branch, out)?;
                }
                Node::With(pipe, yes, no) => {
                    let value = self.pipe(pipe)?;
                    if truth(&value) {
                        self.inner(value).run(yes, out)?;
                    } else {
                        self.clone().run(no, out)?;
                    }
                }
                Node::Range(names, pipe, body, empty) => {
                    self.range(names, pipe, body, empty, out)?
                }
            }
        }
        Ok(())
    }

    fn range(
        &mut self,
        names: &[String],
        pipe: &Pipe,
        body: &[Node],
        empty: &[Node],
        out: &mut String,
    ) -> Result<(), TemplateError> {
        let items: Vec<(Value, Value)> = match self.pipe(pipe)? {
            Value::Array(list) => {
                let keyed = list.into_iter().enumerate();
                keyed.map(|(i, v)| (Value::from(i), v)).collect()
            }
            Value::Object(map) => {
                let mut pairs: Vec<_> = map.into_iter().collect();
                pairs.sort_by(|a, b| a.0.cmp(&b.0));
                pairs
                    .into_iter()
                    .map(|(k, v)| (Value::from(k), v))
                    .collect()
            }
            Value::Null => Vec::new(),
            other => {
                let what = format!("range can't iterate over {}", kind(&other));
                return Err(TemplateError::Value(what));
            }
        };
        if items.is_empty() {
            return self.clone().run(empty, out);
        }
        for (key, value) in items {
            let mut scope = self.inner(value.clone());
            match names {
                [] => {}
                [one] => scope.variables.push((one.clone(), value)),
                [first, second, ..] => {
                    scope.variables.push((first.clone(), key));
                    scope.variables.push((second.clone(), value));
                }
            }
            scope.run(body, out)?;
        }
        Ok(())
    }

    fn pipe(&self, pipe: &Pipe) -> Result<Value, TemplateError> {
        let mut last = None;
        for command in pipe {
            last = Some(self.command(command, last)?);
        }
        last.ok_or_else(|| TemplateError::Syntax(String::new()))
    }

    fn command(&self, terms: &[Term], piped: Option<Value>) -> Result<Value, TemplateError> {
        let (first, rest) = terms
            .split_first()
            .ok_or_else(|| TemplateError::Syntax("|".to_owned()))?;
        if let Term::Word(name) = first {
            let mut values = Vec::new();
            for term in rest {
                values.push(self.term(term)?);
            }
            values.extend(piped);
            return call(name, &values);
        }
        if !rest.is_empty() || piped.is_some() {
            return Err(TemplateError::Value(
                "can't give arguments to a non-function".into(),
            ));
        }
        self.term(first)
    }

    fn term(&self, term: &Term) -> Result<Value, TemplateError> {
        Ok(match term {
            Term::Path(path) => follow(&self.dot, path)?,
            Term::Variable(name, path) if name.is_empty() => follow(&self.root, path)?,
            Term::Variable(name, path) => {
                let found = self.variables.iter().rev().find(|(n, _)| n == name);
                let (_, value) = found.ok_or_else(|| TemplateError::Variable(name.clone()))?;
                follow(value, path)?
            }
            Term::Word(name) => call(name, &[])?,
            Term::Text(text) => Value::from(text.as_str()),
            Term::Number(n) if n.fract() == 0.0 => Value::from(*n as i64),
            Term::Number(n) => Value::from(*n),
            Term::Flag(flag) => Value::from(*flag),
            Term::Nothing => Value::Null,
            Term::Group(pipe, path) => follow(&self.pipe(pipe)?, path)?,
        })
    }
}

fn follow(value: &Value, path: &[String]) -> Result<Value, TemplateError> {
    let mut value = value;
    for name in path {
        value = match value {
            Value::Object(map) => map.get(name),
            _ => None,
        }
        .ok_or_else(|| TemplateError::Field(name.clone(), kind(value)))?;
    }
    Ok(value.clone())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// A value as Go prints it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(shown).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let mut items: Vec<String> = map
                .iter()
                .map(|(k, v)| format!("{k}:{}", shown(v)))
                .collect();
            items.sort();
            format!("map[{}]", items.join(" "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn call(name: &str, args: &[Value]) -> Result<Value, TemplateError> {
    let need = |n: usize| {
        args.get(n).ok_or_else(|| {
            TemplateError::Value(format!("the function `{name}` needs {} arguments", n + 1))
        })
    };
    Ok(match name {
        "len" => Value::from(length(need(0)?)?),
        "index" => {
            let keys = args.get(1..).unwrap_or_default();
            keys.iter()
                .try_fold(need(0)?.clone(), |value, key| index(&value, key))?
        }
        "not" => Value::from(!truth(need(0)?)),
        "and" => args
            .iter()
            .find(|v| !truth(v))
            .or(args.last())
            .cloned()
            .unwrap_or_default(),
        "or" => args
            .iter()
            .find(|v| truth(v))
            .or(args.last())
            .cloned()
            .unwrap_or_default(),
        "eq" => {
            let first = need(0)?;
            need(1)?;
            Value::from(
                args[1..]
                    .iter()
                    .any(|other| order(first, other) == Some(Ordering::Equal)),
            )
        }
        "ne" => Value::from(order(need(0)?, need(1)?) != Some(Ordering::Equal)),
        "lt" => Value::from(order(need(0)?, need(1)?) == Some(Ordering::Less)),
        "gt" => Value::from(order(need(0)?, need(1)?) == Some(Ordering::Greater)),
        "le" => Value::from(order(need(0)?, need(1)?).is_some_and(Ordering::is_le)),
        "ge" => Value::from(order(need(0)?, need(1)?).is_some_and(Ordering::is_ge)),
        "print" => Value::from(args.iter().map(shown).collect::<String>()),
        "println" => {
            let words: Vec<String> = args.iter().map(shown).collect();
            Value::from(format!("{}\n", words.join(" ")))
        }
        "json" | "toJSON" => Value::from(need(0)?.to_string()),
        "join" => match need(0)? {
            Value::Array(list) => {
                let items: Vec<String> = list.iter().map(shown).collect();
                Value::from(items.join(&shown(need(1)?)))
            }
            other => {
                return Err(TemplateError::Value(format!(
                    "join needs a list, not {}",
                    kind(other)
                )));
            }
        },
        "printf" => Value::from(printf(&shown(need(0)?), &args[1..])),
        _ => return Err(TemplateError::Function(name.to_owned())),
    })
}

fn length(value: &Value) -> Result<usize, TemplateError> {
    match value {
        Value::String(text) => Ok(text.len()),
        Value::Array(list) => Ok(list.len()),
        Value::Object(map) => Ok(map.len()),
        Value::Null => Ok(0),
        Value::Bool(_) | Value::Number(_) => {
            Err(TemplateError::Value(format!("len of {}", kind(value))))
        }
    }
}

fn index(value: &Value, key: &Value) -> Result<Value, TemplateError> {
    let found = match (value, key) {
        (Value::Object(map), Value::String(key)) => {
            return Ok(map.get(key).cloned().unwrap_or_default());
        }
        (Value::Array(list), Value::Number(at)) => {
            at.as_u64().and_then(|at| list.get(at as usize)).cloned()
        }
        _ => None,
    };
    found.ok_or_else(|| {
        TemplateError::Value(format!(
            "there is no index {} in {}",
            shown(key),
            kind(value)
        ))
    })
}

fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => (a == b).then_some(Ordering::Equal),
    }
}

fn printf(format: &str, args: &[Value]) -> String {
    let mut args = args.iter();
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut flags = String::new();
        let verb = loop {
            match chars.next() {
                Some(c) if c.is_ascii_digit() || "-+. #".contains(c) => flags.push(c),
                other => break other,
            }
        };
        match verb {
            None | Some('%') => out.push('%'),
            Some(verb) => match args.next() {
                None => out.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => out.push_str(&padded(&verb_text(verb, &flags, value), &flags)),
            },
        }
    }
    out
}

fn verb_text(verb: char, flags: &str, value: &Value) -> String {
    let digits = flags
        .split_once('.')
        .and_then(|(_, d)| d.parse::<usize>().ok());
    match verb {
        'q' => quoted(&shown(value)),
        'f' => format!("{:.*}", digits.unwrap_or(6), value.as_f64().unwrap_or(0.0)),
        'x' => value
            .as_i64()
            .map_or_else(|| shown(value), |n| format!("{n:x}")),
        _ => shown(value),
    }
}

fn padded(text: &str, flags: &str) -> String {
    let whole = flags.split('.').next().unwrap_or_default();
    let width: usize = whole
        .trim_start_matches(['-', '+', '#', ' '])
        .parse()
        .unwrap_or(0);
    if whole.contains('-') {
        format!("{text:<width$}")
    } else if whole.starts_with('0') {
        format!("{text:0>width$}")
    } else {
        format!("{text:>width$}")
    }
}
