//! Functions on lists and maps.

use std::collections::BTreeMap;

use super::{CallError, Function, Kind, Param, failed, fits, list, text, whole};
use crate::jobspec::types::sort_and_dedup;
use crate::jobspec::value::Value;

const LIST: Param = Param("list", Kind::List);
const MAP: Param = Param("map", Kind::Object);

/// The most elements that a function may make of its arguments.
const ELEMENTS_MAX: usize = 100_000;

type Run = fn(&[Value], &dyn crate::jobspec::Outside) -> Result<Value, CallError>;

const fn of(name: &'static str, params: &'static [Param], run: Run) -> Function {
    Function {
        name,
        params,
        rest: None,
        run,
    }
}

const fn many(name: &'static str, rest: Param, run: Run) -> Function {
    Function {
        name,
        params: &[],
        rest: Some(rest),
        run,
    }
}

pub(super) static TABLE: &[Function] = &[
    of("length", &[Param("value", Kind::Any)], |a, _| length(&a[0])),
    of("keys", &[MAP], |a, _| {
        let keys = object(&a[0]).keys().map(|k| Value::text(k.as_str()));
        Ok(Value::List(keys.collect()))
    }),
    of("values", &[MAP], |a, _| {
        Ok(Value::List(object(&a[0]).values().cloned().collect()))
    }),
    of(
        "lookup",
        &[MAP, Param("key", Kind::Text), Param("default", Kind::Any)],
        |a, _| {
            let found = object(&a[0]).get(text(&a[1]));
            Ok(found.unwrap_or(&a[2]).clone())
        },
    ),
    of("element", &[LIST, Param("index", Kind::Whole)], |a, _| {
        let items = list(&a[0]);
        let Ok(index) = usize::try_from(whole(&a[1])) else {
            return failed("cannot use element function with a negative index");
        };
        match items.len() {
            0 => failed("cannot use element function with an empty list"),
            len => Ok(items[index % len].clone()),
        }
    }),
    of(
        "index",
        &[Param("collection", Kind::Any), Param("key", Kind::Any)],
        |a, _| index(a),
    ),
    of("contains", &[LIST, Param("value", Kind::Any)], |a, _| {
        Ok(Value::Bool(list(&a[0]).contains(&a[1])))
    }),
    of("distinct", &[LIST], |a, _| {
        let mut out: Vec<Value> = Vec::new();
        for item in list(&a[0]) {
            if !out.contains(item) {
                out.push(item.clone());
            }
        }
        Ok(Value::List(out))
    }),
    of("sort", &[Param("list", Kind::Texts)], |a, _| {
        let mut texts: Vec<&str> = list(&a[0]).iter().map(text).collect();
        texts.sort_unstable();
        Ok(Value::List(texts.into_iter().map(Value::text).collect()))
    }),
    of("compact", &[Param("list", Kind::Texts)], |a, _| {
        let kept = list(&a[0]).iter().filter(|item| !text(item).is_empty());
        Ok(Value::List(kept.cloned().collect()))
    }),
    of("flatten", &[LIST], |a, _| {
        let mut out = Vec::new();
        flatten(&a[0], &mut out);
        Ok(Value::List(out))
    }),
    of("chunklist", &[LIST, Param("size", Kind::Whole)], |a, _| {
        let items = list(&a[0]);
        match usize::try_from(whole(&a[1])) {
            Err(_) => failed("the size argument must be positive"),
            Ok(0) => Ok(Value::List(vec![a[0].clone()])),
            Ok(size) => {
                let chunks = items.chunks(size).map(|c| Value::List(c.to_vec()));
                Ok(Value::List(chunks.collect()))
            }
        }
    }),
    of(
        "slice",
        &[
            LIST,
            Param("start_index", Kind::Whole),
            Param("end_index", Kind::Whole),
        ],
        |a, _| {
            let items = list(&a[0]);
            let bounds = (usize::try_from(whole(&a[1])), usize::try_from(whole(&a[2])));
            match bounds {
                (Ok(start), Ok(end)) if start <= end && end <= items.len() => {
                    Ok(Value::List(items[start..end].to_vec()))
                }
                _ => failed("start and end must lie in the list, start not after end"),
            }
        },
    ),
    of(
        "zipmap",
        &[Param("keys", Kind::Texts), Param("values", Kind::List)],
        |a, _| {
            let (keys, values) = (list(&a[0]), list(&a[1]));
            if keys.len() != values.len() {
                return failed(format!(
                    "number of keys ({}) does not match number of values ({})",
                    keys.len(),
                    values.len()
                ));
            }
            let pairs = keys.iter().zip(values);
            Ok(Value::Object(
                pairs
                    .map(|(k, v)| (text(k).to_string(), v.clone()))
                    .collect(),
            ))
        },
    ),
    many("concat", Param("seqs", Kind::List), |a, _| {
        Ok(Value::List(a.iter().flat_map(list).cloned().collect()))
    }),
    many("merge", Param("maps", Kind::Any), |a, _| merge(a)),
    many("coalesce", Param("vals", Kind::Any), |a, _| {
        a.iter()
            .find(|v| **v != Value::Null)
            .cloned()
            .map_or_else(|| failed("no non-null arguments"), Ok)
    }),
    many("coalescelist", Param("vals", Kind::List), |a, _| {
        a.iter()
            .find(|v| !list(v).is_empty())
            .cloned()
            .map_or_else(|| failed("no non-empty arguments"), Ok)
    }),
    many("setunion", Param("sets", Kind::List), |a, _| {
        Ok(set(a.iter().flat_map(list).cloned().collect()))
    }),
    many("setintersection", Param("sets", Kind::List), |a, _| {
        let Some((first, rest)) = a.split_first() else {
            return failed("at least one set is required");
        };
        let common = list(first)
            .iter()
            .filter(|item| rest.iter().all(|other| list(other).contains(item)));
        Ok(set(common.cloned().collect()))
    }),
    many("setproduct", Param("sets", Kind::List), |a, _| product(a)),
];

fn object(value: &Value) -> &BTreeMap<String, Value> {
    static EMPTY: BTreeMap<String, Value> = BTreeMap::new();
    match value {
        Value::Object(entries) => entries,
        _ => &EMPTY,
    }
}

fn set(mut items: Vec<Value>) -> Value {
    sort_and_dedup(&mut items);
    Value::List(items)
}

fn length(value: &Value) -> Result<Value, CallError> {
    match value {
        Value::List(items) => Ok(Value::count(items.len())),
        Value::Object(entries) => Ok(Value::count(entries.len())),
        Value::String(text) => Ok(Value::count(text.chars().count())),
        other => failed(format!(
            "collection must be a list, a map or a string, not {}",
            other.type_name()
        )),
    }
}

fn index(arguments: &[Value]) -> Result<Value, CallError> {
    match (&arguments[0], &arguments[1]) {
        (Value::List(items), Value::Number(n)) => n
            .as_i64()
            .and_then(|i| items.get(usize::try_from(i).ok()?))
            .cloned()
            .map_or_else(|| failed("key out of range"), Ok),
        (Value::List(_), _) => failed("key for tuple must be number"),
        (Value::Object(entries), Value::String(key)) => entries
            .get(key)
            .cloned()
            .map_or_else(|| failed(format!("no attribute named {key:?}")), Ok),
        (Value::Object(_), _) => failed("key for object must be string"),
        (other, _) => failed(format!("{} is not a collection", other.type_name())),
    }
}

fn merge(maps: &[Value]) -> Result<Value, CallError> {
    let mut out = BTreeMap::new();
    for map in maps {
        match map {
            Value::Object(entries) => out.extend(entries.clone()),
            Value::Null => {}
            other => {
                return failed(format!(
                    "arguments must be maps or objects, got {}",
                    other.type_name()
                ));
            }
        }
    }
    Ok(Value::Object(out))
}

fn flatten(value: &Value, out: &mut Vec<Value>) {
    for item in list(value) {
        match item {
            Value::List(_) => flatten(item, out),
            other => out.push(other.clone()),
        }
    }
}

fn product(sets: &[Value]) -> Result<Value, CallError> {
    if sets.len() < 2 {
        return failed("at least two arguments are required");
    }
    let size = sets
        .iter()
        .try_fold(1_usize, |n, set| n.checked_mul(list(set).len()))
        .filter(|n| *n <= ELEMENTS_MAX);
    if size.is_none() {
        return failed(format!("the product has more than {ELEMENTS_MAX} elements"));
    }
    let largest = sets.iter().flat_map(list).map(Value::size).max();
    let row = sets.len().saturating_mul(largest.unwrap_or(0));
    fits(size.unwrap_or(0).saturating_mul(row))?;
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for set in sets {
        rows = rows
            .into_iter()
            .flat_map(|row| {
                list(set).iter().map(move |item| {
                    let mut row = row.clone();
                    row.push(item.clone());
                    row
                })
            })
            .collect();
    }
    Ok(Value::List(rows.into_iter().map(Value::List).collect()))
}
