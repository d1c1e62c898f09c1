//! Walks a parsed body along the tables of [`schema`](super::schema) and makes the API's JSON.

use std::collections::BTreeMap;
use std::ops::Range;

use hcl_edit::Span as _;
use hcl_edit::expr::Expression;
use hcl_edit::structure::{Attribute, Block, Body, Structure};
use serde_json::{Map, Value as Json};

use super::diag::{Place, did_you_mean};
use super::eval::Eval;
use super::schema::{Field, Kind, Object, Schema};
use super::scope::Scope;
use super::types::Type;
use super::value::Value;
use crate::model::duration;

/// A block as written or as a `dynamic` block makes it.
pub(super) struct Written<'b> {
    pub(super) name: &'b str,
    pub(super) labels: Vec<String>,
    pub(super) body: &'b Body,
    /// Of the word and its labels.
    pub(super) def_span: Option<Range<usize>>,
    pub(super) name_span: Option<Range<usize>>,
    pub(super) label_spans: Vec<Option<Range<usize>>>,
}

impl<'b> Written<'b> {
    fn new(block: &'b Block) -> Self {
        Self {
            name: block.ident.as_str(),
            labels: block
                .labels
                .iter()
                .map(|l| l.as_str().to_string())
                .collect(),
            body: &block.body,
            def_span: def_span(block),
            name_span: block.ident.span(),
            label_spans: block.labels.iter().map(|l| l.span()).collect(),
        }
    }
}

/// A block's word with its labels.
pub(super) fn def_span(block: &Block) -> Option<Range<usize>> {
    let word = block.ident.span()?;
    let last = block.labels.last().and_then(|l| l.span());
    Some(word.start..last.map_or(word.end, |l| l.end))
}

impl Eval<'_> {
    /// The job in `block`, as JSON.
    pub(super) fn job(&mut self, block: &Block, schema: &Schema, scope: &Scope<'_>) -> Object {
        let written = Written::new(block);
        self.labelled(&written, schema, scope).1
    }

    /// A block's label and its JSON.
    fn labelled(
        &mut self,
        block: &Written<'_>,
        schema: &Schema,
        scope: &Scope<'_>,
    ) -> (String, Object) {
        self.check_labels(block, schema);
        let label = block.labels.first().cloned().unwrap_or_default();
        let mut out = Object::new();
        if let Some(key) = schema.label {
            out.insert(key.to_string(), label.clone().into());
        }
        let mut seen = BTreeMap::new();
        for structure in block.body {
            match structure {
                Structure::Attribute(attribute) => {
                    self.argument(attribute, schema, &mut out, scope);
                }
                Structure::Block(inner) if inner.ident.as_str() == "dynamic" => {
                    self.dynamic(inner, schema, &mut out, &mut seen, scope);
                }
                Structure::Block(inner) => {
                    self.block(&Written::new(inner), schema, &mut out, &mut seen, scope);
                }
            }
        }
        if let Some(finish) = schema.finish {
            finish(&mut out);
        }
        (label, out)
    }

    fn check_labels(&mut self, block: &Written<'_>, schema: &Schema) {
        let name = schema.name;
        let wanted = usize::from(schema.label.is_some());
        if block.labels.len() < wanted {
            let after = block.name_span.as_ref().map_or(0, |span| span.end);
            let brace = self.source.text.get(after..).and_then(|t| t.find('{'));
            let span = brace
                .filter(|_| after > 0)
                .map(|at| after + at..after + at + 1);
            self.mistake(
                span,
                &format!("Missing name for {name}"),
                format!("All {name} blocks must have 1 labels (name)."),
            );
        } else if block.labels.len() > wanted {
            let detail = if wanted == 0 {
                format!("No labels are expected for {name} blocks.")
            } else {
                format!("Only 1 labels (name) are expected for {name} blocks.")
            };
            let span = block.label_spans.get(wanted).cloned().flatten();
            self.mistake(span, &format!("Extraneous label for {name}"), detail);
        }
    }

    fn argument(
        &mut self,
        attribute: &Attribute,
        schema: &Schema,
        out: &mut Object,
        scope: &Scope<'_>,
    ) {
        let name = attribute.key.as_str();
        let field = schema.field(name);
        let Some(field) = field.filter(|f| f.kind.is_argument()) else {
            let hint = match field {
                Some(_) => format!(" Did you mean to define a block of type {name:?}?"),
                None => did_you_mean(name, schema.arguments()),
            };
            let detail = format!("An argument named {name:?} is not expected here.{hint}");
            self.mistake(attribute.key.span(), "Unsupported argument", detail);
            return;
        };
        if let Some(json) = self.typed(&attribute.value, field.kind, scope) {
            out.insert(field.json.to_string(), json);
        }
    }

    fn block(
        &mut self,
        block: &Written<'_>,
        schema: &Schema,
        out: &mut Object,
        seen: &mut BTreeMap<&'static str, Place>,
        scope: &Scope<'_>,
    ) {
        let field = schema.field(block.name);
        let Some(field) = field.filter(|f| f.kind.is_block()) else {
            self.unknown_block(block, field, schema);
            return;
        };
        let name = field.name;
        match field.kind {
            Kind::Many(inner) => {
                let (_, object) = self.labelled(block, inner, scope);
                let list = out
                    .entry(field.json)
                    .or_insert_with(|| Json::Array(Vec::new()));
                if let Json::Array(list) = list {
                    list.push(Json::Object(object));
                }
                return;
            }
            Kind::Named(inner) => {
                let (label, object) = self.labelled(block, inner, scope);
                let map = out
                    .entry(field.json)
                    .or_insert_with(|| Json::Object(Map::new()));
                if let Json::Object(map) = map {
                    map.insert(label, Json::Object(object));
                }
                return;
            }
            _ => {}
        }
        let place = self.place(block.def_span.clone());
        if let Some(before) = seen.insert(name, place) {
            let at = match before.range {
                Some(_) => format!(" Another was defined at {before}."),
                None => String::new(),
            };
            let detail = format!("Only one {name} block is allowed.{at}");
            self.mistake(
                block.def_span.clone(),
                &format!("Duplicate {name} block"),
                detail,
            );
            return;
        }
        let json = match field.kind {
            Kind::One(inner) => Json::Object(self.labelled(block, inner, scope).1),
            Kind::Free => Json::Object(self.free(block.body, scope)),
            kind => self.map_block(block.body, kind, scope),
        };
        out.insert(field.json.to_string(), json);
    }

    fn unknown_block(&mut self, block: &Written<'_>, field: Option<&Field>, schema: &Schema) {
        let name = block.name;
        let hint = match field {
            Some(_) => format!(
                " Did you mean to define argument {name:?}? If so, use the equals sign to assign \
                 it a value."
            ),
            None => did_you_mean(name, schema.blocks()),
        };
        let detail = format!("Blocks of type {name:?} are not expected here.{hint}");
        self.mistake(block.name_span.clone(), "Unsupported block type", detail);
    }

    /// Repeats the content of a `dynamic` block for every element.
    fn dynamic(
        &mut self,
        block: &Block,
        schema: &Schema,
        out: &mut Object,
        seen: &mut BTreeMap<&'static str, Place>,
        scope: &Scope<'_>,
    ) {
        for (content, inner) in self.expand(block, scope) {
            self.block(&content, schema, out, seen, &inner);
        }
    }

    /// The value of `expr` as `wanted`, or `None` after a mistake.
    pub(super) fn converted(
        &mut self,
        expr: &Expression,
        wanted: &Type,
        scope: &Scope<'_>,
    ) -> Option<Value> {
        let reported = self.diags.len();
        let value = self.value(expr, scope);
        if value.has_unknown() {
            // Said once where it is used, so that tools see which argument lacks its value.
            if self.diags.len() > reported {
                self.unsuitable(expr, "Unsuitable value: value must be known");
            }
            return None;
        }
        match wanted.convert(value) {
            Ok(value) => Some(value),
            Err(why) => {
                self.unsuitable(expr, format!("Unsuitable value: {why}"));
                None
            }
        }
    }

    fn unsuitable(&mut self, expr: &Expression, detail: impl Into<String>) {
        self.mistake(self.start_of(expr), "Unsuitable value type", detail);
    }

    /// The JSON of an argument; `None` for null and after a mistake.
    fn typed(&mut self, expr: &Expression, kind: Kind, scope: &Scope<'_>) -> Option<Json> {
        let text_list = || Type::List(Box::new(Type::String));
        let wanted = match kind {
            Kind::Text => Type::String,
            Kind::Bool => Type::Bool,
            Kind::Int => Type::Number,
            Kind::Texts => text_list(),
            Kind::Ints => Type::List(Box::new(Type::Number)),
            Kind::TextMap => Type::Map(Box::new(Type::String)),
            Kind::TextsMap => Type::Map(Box::new(text_list())),
            Kind::Duration | Kind::Free | Kind::One(_) | Kind::Many(_) | Kind::Named(_) => {
                Type::Any
            }
        };
        let value = self.converted(expr, &wanted, scope)?;
        match (kind, value) {
            (_, Value::Null) => None,
            (Kind::Int, Value::Number(n)) if n.as_i64().is_none() => {
                let detail = format!(
                    "Unsuitable value: value must be a whole number, between {} and {}",
                    i64::MIN,
                    i64::MAX
                );
                self.unsuitable(expr, detail);
                None
            }
            (Kind::Duration, value) => self.duration(expr, &value),
            (Kind::TextMap | Kind::TextsMap, Value::Object(entries)) => {
                let kept = entries.into_iter().filter(|(_, v)| *v != Value::Null);
                Some(Value::Object(kept.collect()).to_json())
            }
            (_, value) => Some(value.to_json()),
        }
    }

    fn duration(&mut self, expr: &Expression, value: &Value) -> Option<Json> {
        let result = match value {
            Value::Number(n) => n
                .as_i64()
                .ok_or_else(|| "a whole number of nanoseconds is required".to_string()),
            Value::String(text) => duration::parse(text).map_err(|error| error.to_string()),
            other => Err(format!(
                "string or number required, but have {}",
                other.type_name()
            )),
        };
        match result {
            Ok(nanos) => Some(nanos.into()),
            Err(why) => {
                self.unsuitable(expr, format!("Unsuitable duration value: {why}"));
                None
            }
        }
    }

    /// A map written as a block.
    fn map_block(&mut self, body: &Body, kind: Kind, scope: &Scope<'_>) -> Json {
        let value_kind = match kind {
            Kind::TextsMap => Kind::Texts,
            _ => Kind::Text,
        };
        let mut out = Object::new();
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => {
                    if let Some(json) = self.typed(&attribute.value, value_kind, scope) {
                        out.insert(attribute.key.to_string(), json);
                    }
                }
                Structure::Block(block) => {
                    let name = block.ident.as_str();
                    let detail = format!("Blocks of type {name:?} are not expected here.");
                    self.mistake(block.ident.span(), "Unsupported block type", detail);
                }
            }
        }
        Json::Object(out)
    }

    /// A block of any shape: nested blocks and maps become lists of maps, null disappears.
    fn free(&mut self, body: &Body, scope: &Scope<'_>) -> Object {
        let mut out = Object::new();
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => {
                    match self.converted(&attribute.value, &Type::Any, scope) {
                        None | Some(Value::Null) => {}
                        Some(map @ Value::Object(_)) => {
                            let list = Json::Array(vec![without_nulls(map.to_json())]);
                            out.insert(attribute.key.to_string(), list);
                        }
                        Some(value) => {
                            let json = without_nulls(value.to_json());
                            out.insert(attribute.key.to_string(), json);
                        }
                    }
                }
                Structure::Block(block) if block.ident.as_str() == "dynamic" => {
                    for (made, inner) in self.expand(block, scope) {
                        let object = self.free(made.body, &inner);
                        push_free(&mut out, made.name, &made.labels, object);
                    }
                }
                Structure::Block(block) => {
                    let written = Written::new(block);
                    let object = self.free(&block.body, scope);
                    push_free(&mut out, written.name, &written.labels, object);
                }
            }
        }
        out
    }
}

/// Adds a nested block to the list at its name; each label is one more level.
fn push_free(out: &mut Object, name: &str, labels: &[String], object: Object) {
    let mut value = object;
    for label in labels.iter().rev() {
        let list = Json::Array(vec![Json::Object(value)]);
        value = Object::from_iter([(label.clone(), list)]);
    }
    let list = out.entry(name).or_insert_with(|| Json::Array(Vec::new()));
    if let Json::Array(list) = list {
        list.push(Json::Object(value));
    }
}

/// Maps without their null entries, at every level.
fn without_nulls(json: Json) -> Json {
    match json {
        Json::Object(entries) => Json::Object(
            entries
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, without_nulls(value)))
                .collect(),
        ),
        Json::Array(items) => Json::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}
