//! `dynamic` blocks: one block for every element of a collection.

use std::collections::BTreeMap;

use hcl_edit::Span as _;
use hcl_edit::structure::{Block, Body, Structure};

use super::decode::Written;
use super::eval::Eval;
use super::scope::Scope;
use super::types::Type;
use super::value::Value;

impl Eval<'_> {
    /// The blocks that a `dynamic` block stands for, each with the scope of its iterator.
    pub(super) fn expand<'b, 's>(
        &mut self,
        block: &'b Block,
        scope: &'s Scope<'s>,
    ) -> Vec<(Written<'b>, Scope<'s>)> {
        let name_span = block.ident.span();
        let [label] = &block.labels[..] else {
            let detail = "A dynamic block needs one label: the type of the blocks to make.";
            self.mistake(name_span, "Invalid dynamic block", detail);
            return Vec::new();
        };
        self.check_dynamic(&block.body);
        let content = block.body.get_blocks("content").next();
        let (Some(for_each), Some(content)) = (block.body.get_attribute("for_each"), content)
        else {
            let detail = "A dynamic block needs a for_each argument and a content block.";
            self.mistake(name_span, "Missing required argument", detail);
            return Vec::new();
        };
        let Some(iterator) = self.iterator(block, label.as_str()) else {
            return Vec::new();
        };
        let labels = block.body.get_attribute("labels");
        let collection = self.value(&for_each.value, scope);
        let Some(pairs) = self.pairs(collection, &for_each.value) else {
            return Vec::new();
        };
        let mut made = Vec::new();
        for (key, value) in pairs {
            let mut inner = scope.inner();
            let element = BTreeMap::from([("key".to_string(), key), ("value".to_string(), value)]);
            inner.set(iterator, Value::Object(element));
            let labels = match labels {
                None => Vec::new(),
                Some(labels) => {
                    let wanted = Type::List(Box::new(Type::String));
                    match self.converted(&labels.value, &wanted, &inner) {
                        Some(Value::List(labels)) => {
                            labels.iter().filter_map(Value::to_text).collect()
                        }
                        _ => continue,
                    }
                }
            };
            let written = Written {
                name: label.as_str(),
                labels,
                body: &content.body,
                def_span: label.span(),
                name_span: label.span(),
                label_spans: Vec::new(),
            };
            made.push((written, inner));
        }
        made
    }

    /// Reports what does not belong into a `dynamic` block.
    fn check_dynamic(&mut self, body: &Body) {
        for structure in body {
            let (name, known) = match structure {
                Structure::Attribute(a) => (
                    &a.key,
                    matches!(a.key.as_str(), "for_each" | "iterator" | "labels"),
                ),
                Structure::Block(b) => (&b.ident, b.ident.as_str() == "content"),
            };
            if !known {
                let detail = format!("{:?} is not expected in a dynamic block.", name.as_str());
                self.mistake(name.span(), "Unsupported argument", detail);
            }
        }
    }

    /// The name that the content sees each element under, or `None` after a mistake.
    fn iterator<'b>(&mut self, block: &'b Block, label: &'b str) -> Option<&'b str> {
        let Some(attribute) = block.body.get_attribute("iterator") else {
            return Some(label);
        };
        let name = attribute.value.as_variable();
        if name.is_none() {
            let detail = "The iterator must be a single variable name.";
            let span = attribute.value.span();
            self.mistake(span, "Invalid expression for iterator", detail);
        }
        name.map(|name| name.as_str())
    }
}
