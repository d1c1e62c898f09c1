//! Type expressions of variables, and conversion to them.

use std::collections::BTreeMap;

use hcl_edit::expr::Expression;

use super::value::Value;

/// The type that a variable declares.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Any,
    String,
    Number,
    Bool,
    List(Box<Type>),
    /// A list whose values are sorted and different.
    Set(Box<Type>),
    Map(Box<Type>),
    Tuple(Vec<Type>),
    /// Attributes; the second part is the default of an optional one.
    Object(BTreeMap<String, (Type, Option<Value>)>),
}

impl Type {
    /// Reads a type expression; the error says what is wrong with it.
    pub(super) fn from_expr(expr: &Expression) -> Result<Self, String> {
        if let Some(name) = expr.as_variable() {
            return match name.as_str() {
                "any" => Ok(Self::Any),
                "string" => Ok(Self::String),
                "number" => Ok(Self::Number),
                "bool" => Ok(Self::Bool),
                "list" => Ok(Self::List(Box::new(Self::Any))),
                "set" => Ok(Self::Set(Box::new(Self::Any))),
                "map" => Ok(Self::Map(Box::new(Self::Any))),
                other => Err(format!(
                    "The keyword {other:?} is not a valid type specification."
                )),
            };
        }
        // The quoted form of the three plain types is an old habit that still works.
        if let Some(name) = expr.as_str() {
            return match name {
                "string" => Ok(Self::String),
                "list" => Ok(Self::List(Box::new(Self::Any))),
                "map" => Ok(Self::Map(Box::new(Self::Any))),
                other => Err(format!("{other:?} is not a valid type specification.")),
            };
        }
        let Some(call) = expr.as_func_call() else {
            return Err(
                "A type specification is a keyword such as string, or a constructor \
                        call such as list(string)."
                    .to_string(),
            );
        };
        let name = call.name.name.as_str();
        let [argument] = call.args.iter().collect::<Vec<_>>()[..] else {
            return Err(format!("The {name} type constructor takes one argument."));
        };
        match name {
            "list" => Ok(Self::List(Box::new(Self::from_expr(argument)?))),
            "set" => Ok(Self::Set(Box::new(Self::from_expr(argument)?))),
            "map" => Ok(Self::Map(Box::new(Self::from_expr(argument)?))),
            "tuple" => Self::tuple(argument),
            "object" => Self::object(argument),
            other => Err(format!(
                "Keyword {other:?} is not a valid type constructor."
            )),
        }
    }

    fn tuple(argument: &Expression) -> Result<Self, String> {
        let items = argument
            .as_array()
            .ok_or("The tuple type constructor takes a list of types.")?;
        items
            .iter()
            .map(Self::from_expr)
            .collect::<Result<_, _>>()
            .map(Self::Tuple)
    }

    fn object(argument: &Expression) -> Result<Self, String> {
        let entries = argument
            .as_object()
            .ok_or("The object type constructor takes a map of types.")?;
        let mut attributes = BTreeMap::new();
        for (key, value) in entries {
            let name = key
                .as_ident()
                .map(|i| i.as_str().to_string())
                .or_else(|| key.as_expr()?.as_str().map(str::to_string))
                .ok_or("Object attribute names must be plain names.")?;
            let optional = value
                .expr()
                .as_func_call()
                .filter(|call| call.name.name.as_str() == "optional");
            let entry = match optional {
                None => (Self::from_expr(value.expr())?, None),
                Some(call) => {
                    let inner = call
                        .args
                        .get(0)
                        .ok_or("optional(…) takes a type and perhaps a default.")?;
                    let default = call.args.get(1).and_then(literal).unwrap_or(Value::Null);
                    (Self::from_expr(inner)?, Some(default))
                }
            };
            attributes.insert(name, entry);
        }
        Ok(Self::Object(attributes))
    }

    /// The name in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Any => "any".to_string(),
            Self::String => "string".to_string(),
            Self::Number => "number".to_string(),
            Self::Bool => "bool".to_string(),
            Self::List(inner) => format!("list of {}", inner.name()),
            Self::Set(inner) => format!("set of {}", inner.name()),
            Self::Map(inner) => format!("map of {}", inner.name()),
            Self::Tuple(_) => "tuple".to_string(),
            Self::Object(_) => "object".to_string(),
        }
    }

    /// Whether a value given as text on the command line is that text, not an expression.
    pub(super) fn takes_text(&self) -> bool {
        matches!(self, Self::Any | Self::String | Self::Number)
    }

    /// `value` as this type; the error says what was required.
    pub(super) fn convert(&self, value: Value) -> Result<Value, String> {
        match (self, value) {
            (Self::Any, value) => Ok(value),
            (_, value @ (Value::Null | Value::Unknown)) => Ok(value),
            (Self::String, value) => value
                .to_text()
                .map(Value::String)
                .ok_or_else(|| self.mismatch(&value)),
            (Self::Number, value) => value
                .to_number()
                .map(Value::Number)
                .ok_or_else(|| self.mismatch(&value)),
            (Self::Bool, value) => value
                .to_bool()
                .map(Value::Bool)
                .ok_or_else(|| self.mismatch(&value)),
            (Self::List(inner), Value::List(items)) => all(inner, items).map(Value::List),
            (Self::Set(inner), Value::List(items)) => {
                let mut items = all(inner, items)?;
                sort_and_dedup(&mut items);
                Ok(Value::List(items))
            }
            (Self::Map(inner), Value::Object(entries)) => entries
                .into_iter()
                .map(|(key, value)| Ok((key, inner.convert(value)?)))
                .collect::<Result<_, String>>()
                .map(Value::Object),
            (Self::Tuple(types), Value::List(items)) => {
                if types.len() != items.len() {
                    return Err(format!("a tuple of {} elements is required", types.len()));
                }
                types
                    .iter()
                    .zip(items)
                    .map(|(kind, item)| kind.convert(item))
                    .collect::<Result<_, _>>()
                    .map(Value::List)
            }
            (Self::Object(attributes), Value::Object(entries)) => object(attributes, entries),
            (_, value) => Err(self.mismatch(&value)),
        }
    }

    /// Why `value` is not of this type.
    fn mismatch(&self, value: &Value) -> String {
        match (self, value) {
            (Self::Number | Self::Bool, Value::String(_)) => {
                format!("a {} is required", self.name())
            }
            (Self::List(_) | Self::Set(_), Value::Object(_)) => {
                format!("{} required", self.name())
            }
            _ => format!("{} required, but have {}", self.name(), value.type_name()),
        }
    }
}

/// Every item converted; the error names the first that is not convertible.
fn all(inner: &Type, items: Vec<Value>) -> Result<Vec<Value>, String> {
    items
        .into_iter()
        .enumerate()
        .map(|(i, item)| {
            inner
                .convert(item)
                .map_err(|why| format!("incorrect list element type: element {i}: {why}"))
        })
        .collect()
}

fn object(
    attributes: &BTreeMap<String, (Type, Option<Value>)>,
    mut entries: BTreeMap<String, Value>,
) -> Result<Value, String> {
    let mut out = BTreeMap::new();
    for (name, (kind, default)) in attributes {
        let value = match (entries.remove(name), default) {
            (Some(Value::Null) | None, Some(default)) => default.clone(),
            (Some(value), _) => kind
                .convert(value)
                .map_err(|why| format!("attribute {name:?}: {why}"))?,
            (None, None) => return Err(format!("attribute {name:?} is required")),
        };
        out.insert(name.clone(), value);
    }
    Ok(Value::Object(out))
}

/// Orders values by their text and drops repetitions: the language's sets.
pub(super) fn sort_and_dedup(items: &mut Vec<Value>) {
    items.sort_by_cached_key(|item| item.to_json().to_string());
    items.dedup();
}

/// The value of an expression that needs no evaluation.
fn literal(expr: &Expression) -> Option<Value> {
    match expr {
        Expression::Bool(b) => Some(Value::Bool(*b.value())),
        Expression::Number(n) => {
            super::value::Number::parse(&n.value().to_string()).map(Value::Number)
        }
        Expression::String(s) => Some(Value::text(s.as_str())),
        Expression::Array(items) => items
            .iter()
            .map(literal)
            .collect::<Option<_>>()
            .map(Value::List),
        Expression::Object(entries) if entries.is_empty() => Some(Value::Object(BTreeMap::new())),
        _ => None,
    }
}
