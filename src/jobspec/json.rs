//! The JSON syntax of job files: the same structure, with the tables deciding what is a block.

use hcl_edit::Ident;
use hcl_edit::expr::{Array, Expression, Object, ObjectKey, ObjectValue};
use hcl_edit::structure::{Attribute, Block, Body};
use hcl_edit::template::{Element, StringTemplate};
use serde_json::{Map, Value as Json};

use super::diag::{Diagnostic, Source};
use super::schema::{JOB, Kind, Schema};

/// Parses a text in HCL's JSON syntax.
pub(super) fn parse(source: &Source) -> Result<Body, Vec<Diagnostic>> {
    let one = |detail: String| vec![Diagnostic::error(source.whole(), "Invalid JSON", detail)];
    let json: Json = serde_json::from_str(&source.text).map_err(|error| {
        let line = source.text.split_inclusive('\n');
        let before: usize = line
            .take(error.line().saturating_sub(1))
            .map(str::len)
            .sum();
        let at = (before + error.column().saturating_sub(1)).min(source.text.len());
        let place = source.place(at..at);
        vec![Diagnostic::error(place, "Invalid JSON", error.to_string())]
    })?;
    let Json::Object(root) = json else {
        return Err(one("A job file in JSON is an object.".to_string()));
    };
    root_body(&root).map_err(one)
}

/// Parses the values of a variables file in JSON.
pub(super) fn parse_values(source: &Source) -> Result<Body, Vec<Diagnostic>> {
    let one = |detail: String| vec![Diagnostic::error(source.whole(), "Invalid JSON", detail)];
    let json: Map<String, Json> =
        serde_json::from_str(&source.text).map_err(|error| one(error.to_string()))?;
    attributes(&json).map_err(one)
}

/// Reads the body of one kind of block.
type Inner<'a> = dyn Fn(&Map<String, Json>) -> Result<Body, String> + 'a;

fn root_body(root: &Map<String, Json>) -> Result<Body, String> {
    let mut body = Body::new();
    for (key, value) in root {
        match key.as_str() {
            "//" => {}
            "job" => push_blocks(&mut body, "job", value, 1, &|inner| {
                schema_body(inner, &JOB)
            })?,
            "variable" => push_blocks(&mut body, "variable", value, 1, &variable)?,
            "variables" | "locals" => push_blocks(&mut body, key, value, 0, &attributes)?,
            _ => body.push(attribute(key, value)?),
        }
    }
    Ok(body)
}

/// The arguments and blocks of `json`, as `schema` tells them apart.
fn schema_body(json: &Map<String, Json>, schema: &'static Schema) -> Result<Body, String> {
    let mut body = Body::new();
    for (key, value) in json {
        if key == "//" {
            continue;
        }
        if key == "dynamic" {
            push_blocks(&mut body, "dynamic", value, 1, &|inner| {
                dynamic(inner, schema, value)
            })?;
            continue;
        }
        match schema.field(key).map(|f| f.kind) {
            Some(kind) if !kind.is_argument() => push_kind(&mut body, key, value, kind)?,
            _ => body.push(attribute(key, value)?),
        }
    }
    Ok(body)
}

fn push_kind(body: &mut Body, key: &str, value: &Json, kind: Kind) -> Result<(), String> {
    match kind.schema() {
        Some(inner) => {
            let labels = usize::from(inner.label.is_some());
            push_blocks(body, key, value, labels, &|json| schema_body(json, inner))
        }
        None => push_blocks(body, key, value, 0, &attributes),
    }
}

/// A `dynamic` block: the content is a block of the type that the label names.
fn dynamic(
    json: &Map<String, Json>,
    schema: &'static Schema,
    labelled: &Json,
) -> Result<Body, String> {
    let label = labelled
        .as_object()
        .and_then(|types| types.iter().find(|(_, v)| v.as_object() == Some(json)))
        .map_or("", |(label, _)| label.as_str());
    let inner = schema.field(label).and_then(|f| f.kind.schema());
    let mut body = Body::new();
    for (key, value) in json {
        match (key.as_str(), value) {
            ("content", Json::Object(content)) => {
                let mut block = Block::new(ident("content")?);
                block.body = match inner {
                    Some(inner) => schema_body(content, inner)?,
                    None => attributes(content)?,
                };
                body.push(block);
            }
            ("iterator", Json::String(name)) => {
                body.push(Attribute::new(ident(key)?, Expression::from(ident(name)?)));
            }
            _ => body.push(attribute(key, value)?),
        }
    }
    Ok(body)
}

fn variable(json: &Map<String, Json>) -> Result<Body, String> {
    let mut body = Body::new();
    for (key, value) in json {
        match (key.as_str(), value) {
            ("type", Json::String(text)) => {
                let kind = hcl_edit::parser::parse_expr(text)
                    .map_err(|_| format!("{text:?} is not a type expression."))?;
                body.push(Attribute::new(ident(key)?, kind));
            }
            ("validation", value) => {
                push_blocks(&mut body, "validation", value, 0, &attributes)?;
            }
            _ => body.push(attribute(key, value)?),
        }
    }
    Ok(body)
}

/// Adds the blocks that `value` describes: objects, lists of them, behind `labels` levels of keys.
fn push_blocks(
    body: &mut Body,
    name: &str,
    value: &Json,
    labels: usize,
    inner: &Inner<'_>,
) -> Result<(), String> {
    match value {
        Json::Null => Ok(()),
        Json::Array(items) => items
            .iter()
            .try_for_each(|item| push_blocks(body, name, item, labels, inner)),
        Json::Object(entries) if labels == 1 => {
            for (label, value) in entries.iter().filter(|(label, _)| *label != "//") {
                let mut made = Body::new();
                push_blocks(&mut made, name, value, 0, inner)?;
                for mut block in made.into_blocks() {
                    block.labels.push(label.as_str().into());
                    body.push(block);
                }
            }
            Ok(())
        }
        Json::Object(entries) => {
            let mut block = Block::new(ident(name)?);
            block.body = inner(entries)?;
            body.push(block);
            Ok(())
        }
        _ => Err(format!("{name:?} must be an object or a list of objects.")),
    }
}

fn attributes(json: &Map<String, Json>) -> Result<Body, String> {
    let mut body = Body::new();
    for (key, value) in json.iter().filter(|(key, _)| *key != "//") {
        body.push(attribute(key, value)?);
    }
    Ok(body)
}

fn attribute(key: &str, value: &Json) -> Result<Attribute, String> {
    Ok(Attribute::new(ident(key)?, expression(value)?))
}

fn ident(name: &str) -> Result<Ident, String> {
    Ident::try_new(name).map_err(|_| format!("{name:?} is not a valid name."))
}

/// A JSON value as an expression; texts are templates.
fn expression(json: &Json) -> Result<Expression, String> {
    Ok(match json {
        Json::Null => Expression::null(),
        Json::Bool(b) => Expression::from(*b),
        Json::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => Expression::from(i),
            (None, Some(f)) => Expression::from(f),
            (None, None) => return Err(format!("{n} is not a usable number.")),
        },
        Json::String(text) => template(text)?,
        Json::Array(items) => {
            let items: Result<Array, String> = items.iter().map(expression).collect();
            Expression::from(items?)
        }
        Json::Object(entries) => {
            let mut object = Object::new();
            for (key, value) in entries {
                let value = ObjectValue::new(expression(value)?);
                object.insert(ObjectKey::Expression(template(key)?), value);
            }
            Expression::from(object)
        }
    })
}

fn template(text: &str) -> Result<Expression, String> {
    if !text.contains("${") && !text.contains("%{") {
        return Ok(Expression::from(text));
    }
    let template = hcl_edit::parser::parse_template(text)
        .map_err(|error| format!("The template {text:?} has {}.", error.message()))?;
    let elements: Vec<Element> = template.iter().cloned().collect();
    Ok(match &elements[..] {
        [Element::Literal(only)] => Expression::from(only.as_str()),
        _ => Expression::from(StringTemplate::from(elements)),
    })
}
