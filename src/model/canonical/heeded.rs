//! No field of a job is ignored: each one matters to the spec, or is refused or warned about.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{CanonicalDefaults, JobDraft};

/// Fields without effect, each with the reason.
const IDLE: [(&str, &str); 7] = [
    ("Dispatched", "the server says so"),
    ("TaskGroups.Networks.DynamicPorts.Value", CHOSEN),
    ("TaskGroups.Networks.IP", CHOSEN),
    ("TaskGroups.Services.Checks.TaskName", SCRIPTS),
    (
        "TaskGroups.Tasks.Resources.Networks.DynamicPorts.Value",
        CHOSEN,
    ),
    ("TaskGroups.Tasks.Resources.Networks.IP", CHOSEN),
    ("TaskGroups.Tasks.Services.Checks.TaskName", SCRIPTS),
];
const CHOSEN: &str = "the scheduler chooses it";
const SCRIPTS: &str = "it says where a script runs, and checks by scripts are refused";

/// What the captures show only in services that are refused.
fn native() -> Value {
    let second = 1_000_000_000;
    json!({"ID": "j", "TaskGroups": [{
        "Name": "g",
        "Services": [{
            "Name": "s",
            "Provider": "nomad",
            "CheckRestart": {"Limit": 2, "Grace": second, "IgnoreWarnings": false},
            "Checks": [{"Name": "c", "Type": "tcp", "Interval": second, "Timeout": second}],
        }],
        "Tasks": [{
            "Name": "t",
            "Driver": "docker",
            "Config": {"image": "redis:7"},
            "Services": [{
                "Name": "web",
                "Provider": "nomad",
                "Checks": [{
                    "Name": "c", "Type": "http", "Interval": second, "Timeout": second,
                    "Path": "/", "Method": "POST", "Body": "b", "Protocol": "https",
                    "TLSSkipVerify": true,
                }],
            }],
        }],
    }]})
}

/// Parts of a job that hold others and are neither refused nor heeded as such.
const FRAMES: [&str; 8] = [
    "TaskGroups",
    "Tasks",
    "Services",
    "Checks",
    "Networks",
    "Resources",
    "DynamicPorts",
    "ReservedPorts",
];

/// What a job comes to, and how much is said against it.
#[derive(PartialEq)]
struct Outcome {
    made: String,
    complaints: usize,
}

fn outcome(job: &Value) -> Option<Outcome> {
    let draft: JobDraft = serde_json::from_value(job.clone()).ok()?;
    let made = draft.canonical(&CanonicalDefaults::default());
    Some(Outcome {
        complaints: made.violations.len() + made.warnings.len(),
        made: format!("{made:?}"),
    })
}

/// Whether the value, or a part of the job that it belongs to, is refused or warned about.
fn refused(job: &Value, pointer: &str, before: &Outcome) -> bool {
    let ends = pointer.match_indices('/').map(|(at, _)| at).skip(1);
    let parts = ends.chain([pointer.len()]).map(|end| &pointer[..end]);
    parts
        .filter(|part| !FRAMES.contains(&name(part).rsplit('.').next().unwrap()))
        .any(|part| {
            let mut without = job.clone();
            *without.pointer_mut(part).unwrap() = Value::Null;
            outcome(&without).is_some_and(|o| o.complaints < before.complaints)
        })
}

/// The pointers of all values below `value`, the value's own excepted.
fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(k, v)| (k.replace('~', "~0").replace('/', "~1"), v))
            .collect(),
        Value::Array(items) => (items.iter().enumerate())
            .map(|(n, v)| (n.to_string(), v))
            .collect(),
        _ => return,
    };
    for (key, inner) in below.into_iter().filter(|(_, v)| !v.is_null()) {
        let path = format!("{at}/{key}");
        pointers(inner, &path, out);
        out.push(path);
    }
}

/// Other values of the same kind.
fn others(value: &Value) -> Vec<Value> {
    let mut found = vec![Value::Null];
    match value {
        Value::Bool(on) => found.push(json!(!on)),
        Value::Number(n) => found.extend(n.as_i64().map(|n| json!(n.saturating_add(1)))),
        Value::String(text) => found.push(json!(format!("{text}x"))),
        _ => {}
    }
    found
}

fn matters(job: &Value, pointer: &str, before: &Outcome) -> bool {
    let value = job.pointer(pointer).unwrap();
    others(value).into_iter().any(|other| {
        let mut changed = job.clone();
        *changed.pointer_mut(pointer).unwrap() = other;
        outcome(&changed).is_none_or(|after| after != *before)
    })
}

/// A pointer without the places in lists.
fn name(pointer: &str) -> String {
    let parts = pointer.split('/').skip(1);
    let named: Vec<&str> = parts.filter(|p| p.parse::<usize>().is_err()).collect();
    named.join(".")
}

#[test]
fn every_field_of_every_capture_is_heeded_or_refused() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parse");
    let mut seen: BTreeMap<String, bool> = BTreeMap::new();
    let mut jobs = vec![("native".to_string(), native())];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_string();
        if !file.ends_with(".json") || file.ends_with(".canonical.json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        jobs.push((file, serde_json::from_str(&text).unwrap()));
    }
    for (file, job) in jobs {
        let before = outcome(&job).unwrap_or_else(|| panic!("{file} is a job"));
        let mut all = Vec::new();
        pointers(&job, "", &mut all);
        for pointer in all {
            let heeded = seen.entry(name(&pointer)).or_default();
            *heeded =
                *heeded || matters(&job, &pointer, &before) || refused(&job, &pointer, &before);
        }
    }
    assert!(
        seen.len() > 300,
        "only {} fields in the captures",
        seen.len()
    );
    let idle: Vec<&String> = seen.iter().filter(|(_, m)| !**m).map(|(n, _)| n).collect();
    let known: Vec<&str> = IDLE.iter().map(|(name, _)| *name).collect();
    assert_eq!(idle, known, "fields that are silently ignored");
}
