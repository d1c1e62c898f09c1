//! Evaluates references: names with attributes, indices and splats behind them.

use std::ops::Range;

use hcl_edit::Span as _;
use hcl_edit::expr::{Expression, Traversal, TraversalOperator};

use super::diag::Diagnostic;
use super::eval::{Eval, runtime_reference};
use super::scope::Scope;
use super::value::{Number, Value};

impl Eval<'_> {
    /// The value of a reference; `whole` is the same reference as expression.
    pub(super) fn traversal(
        &mut self,
        traversal: &Traversal,
        whole: &Expression,
        scope: &Scope<'_>,
    ) -> Value {
        if let Expression::Variable(name) = &traversal.expr
            && name.as_str() == "var"
            && let Some(operator) = traversal.operators.first()
            && let TraversalOperator::GetAttr(variable) = operator.value()
            && self.unset.remove(variable.as_str())
        {
            let summary = format!("Unset variable {:?}", variable.as_str());
            let detail = "A used variable must be set or have a default value; set it with -var, \
                          -var-file or the environment.";
            // The value stays unknown without a second message at the argument.
            let place = self.place(whole.span());
            self.unset_used
                .push(Diagnostic::error(place, summary, detail));
            return Value::Unknown;
        }
        let Expression::Variable(name) = &traversal.expr else {
            let root = self.value(&traversal.expr, scope);
            return self.steps(root, &traversal.operators, scope);
        };
        let Some(mut found) = scope.get(name.as_str()) else {
            return runtime_reference(whole);
        };
        // Only what is referred to is copied, not the object around it.
        let mut rest = &traversal.operators[..];
        while let Some((operator, behind)) = rest.split_first()
            && let TraversalOperator::GetAttr(name) = operator.value()
            && let Value::Object(entries) = found
            && let Some(inner) = entries.get(name.as_str())
        {
            (found, rest) = (inner, behind);
        }
        let found = self.paid(found.clone());
        self.steps(found, rest, scope)
    }

    /// Applies the operators of a traversal one after the other.
    fn steps(
        &mut self,
        mut value: Value,
        operators: &[hcl_edit::Decorated<TraversalOperator>],
        scope: &Scope<'_>,
    ) -> Value {
        for (i, operator) in operators.iter().enumerate() {
            if value == Value::Unknown {
                return Value::Unknown;
            }
            let span = operator.span();
            value = match operator.value() {
                TraversalOperator::GetAttr(name) => self.attribute(value, name.as_str(), span),
                TraversalOperator::Index(expr) => {
                    let key = self.value(expr, scope);
                    self.index(value, &key, span)
                }
                TraversalOperator::LegacyIndex(n) => {
                    let index = i64::try_from(*n.value()).unwrap_or(i64::MAX);
                    self.index(value, &Value::int(index), span)
                }
                TraversalOperator::AttrSplat(_) => {
                    let attributes = operators[i + 1..]
                        .iter()
                        .take_while(|o| matches!(o.value(), TraversalOperator::GetAttr(_)))
                        .count();
                    let (each, rest) = operators[i + 1..].split_at(attributes);
                    let items = self.splat(value, each, scope);
                    return self.steps(items, rest, scope);
                }
                TraversalOperator::FullSplat(_) => {
                    return self.splat(value, &operators[i + 1..], scope);
                }
            };
        }
        value
    }

    /// The operators applied to every element.
    fn splat(
        &mut self,
        value: Value,
        each: &[hcl_edit::Decorated<TraversalOperator>],
        scope: &Scope<'_>,
    ) -> Value {
        let items = match value {
            Value::List(items) => items,
            Value::Null => Vec::new(),
            single => vec![single],
        };
        let items = items
            .into_iter()
            .map(|item| self.steps(item, each, scope))
            .collect();
        Value::List(items)
    }

    fn attribute(&mut self, value: Value, name: &str, span: Option<Range<usize>>) -> Value {
        match value {
            Value::Object(mut entries) => entries.remove(name).unwrap_or_else(|| {
                let detail = format!("This object does not have an attribute named {name:?}.");
                self.fail(span, "Unsupported attribute", detail)
            }),
            Value::Null => {
                let detail = "This value is null, so it does not have any attributes.";
                self.fail(span, "Attempt to get attribute from null value", detail)
            }
            Value::Unknown => Value::Unknown,
            Value::List(_) => {
                let detail = format!(
                    "This value is a list; to take {name:?} of each of its elements, use a splat \
                     expression such as [*].{name}."
                );
                self.fail(span, "Unsupported attribute", detail)
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                let detail = "This value does not have any attributes.";
                self.fail(span, "Unsupported attribute", detail)
            }
        }
    }

    fn index(&mut self, value: Value, key: &Value, span: Option<Range<usize>>) -> Value {
        if *key == Value::Unknown {
            return Value::Unknown;
        }
        let found = match value {
            Value::List(mut items) => key
                .to_number()
                .and_then(Number::as_i64)
                .and_then(|i| usize::try_from(i).ok())
                .filter(|i| *i < items.len())
                .map(|i| items.swap_remove(i)),
            Value::Object(mut entries) => key.to_text().and_then(|key| entries.remove(&key)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                let detail = "This value does not have any indices.";
                return self.fail(span, "Invalid index", detail);
            }
            Value::Unknown => return Value::Unknown,
        };
        found.unwrap_or_else(|| {
            let detail = "The given key does not identify an element in this collection value.";
            self.fail(span, "Invalid index", detail)
        })
    }
}
