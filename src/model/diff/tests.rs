//! Against captured answers, and what they do not show.

use serde_json::{Value, json};

use super::*;
use crate::model::canonical::CanonicalDefaults;
use crate::model::draft::JobDraft;
use crate::model::{Job, Timestamp};

/// The job that the captures plan, with `change` made to it.
fn job(id: &str, change: impl FnOnce(&mut Value)) -> Job {
    let mut job = json!({
        "ID": id, "Name": id, "Datacenters": ["dc1"],
        "Update": {"MaxParallel": 2, "MinHealthyTime": 2_000_000_000},
        "TaskGroups": [{
            "Name": "app", "Count": 1,
            "Networks": [{"DynamicPorts": [{"Label": "http"}]}],
            "Tasks": [{
                "Name": "server", "Driver": "docker",
                "Config": {
                    "image": "local/busybox:1", "command": "httpd",
                    "args": ["-f", "-p", "${NOMAD_PORT_http}", "-h", "/local"],
                    "network_mode": "host", "ports": ["http"]
                },
                "Env": {"COLOR": "one"},
                "Services": [{
                    "Name": "hweb", "PortLabel": "http", "Provider": "nomad",
                    "Tags": ["v1", "http"],
                    "Checks": [{
                        "Name": "up", "Type": "http", "Path": "/index.html",
                        "Interval": 2_000_000_000, "Timeout": 1_000_000_000
                    }]
                }],
                "Resources": {"CPU": 50, "MemoryMB": 64}
            }]
        }]
    });
    change(&mut job);
    let draft: JobDraft = serde_json::from_value(job).unwrap();
    let canonical = draft.canonical(&CanonicalDefaults::default());
    assert!(
        canonical.violations.is_empty(),
        "{:?}",
        canonical.violations
    );
    Job::new(canonical.spec, Timestamp(1))
}

fn task(job: &mut Value) -> &mut Value {
    &mut job["TaskGroups"][0]["Tasks"][0]
}

fn captured(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/diff");
    let text = std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn list(items: Vec<Value>) -> Value {
    match items.is_empty() {
        true => Value::Null,
        false => Value::Array(items),
    }
}

fn fields(of: &[FieldDiff]) -> Value {
    let one = |f: &FieldDiff| {
        json!({
            "Annotations": list(f.annotations.iter().map(|a| json!(a)).collect()),
            "Name": f.name, "New": f.new, "Old": f.old, "Type": f.kind.as_str()
        })
    };
    list(of.iter().map(one).collect())
}

fn objects(of: &[ObjectDiff]) -> Value {
    let one = |o: &ObjectDiff| {
        json!({
            "Fields": fields(&o.fields), "Name": o.name,
            "Objects": objects(&o.objects), "Type": o.kind.as_str()
        })
    };
    list(of.iter().map(one).collect())
}

fn tasks(of: &[TaskDiff]) -> Value {
    let one = |t: &TaskDiff| {
        json!({
            "Annotations": list(t.annotations.iter().map(|a| json!(a)).collect()),
            "Fields": fields(&t.fields), "Name": t.name,
            "Objects": objects(&t.objects), "Type": t.kind.as_str()
        })
    };
    list(of.iter().map(one).collect())
}

fn shown(diff: &JobDiff) -> Value {
    let group = |g: &GroupDiff| {
        let mut shown = json!({
            "Fields": fields(&g.fields), "Name": g.name, "Objects": objects(&g.objects),
            "Tasks": tasks(&g.tasks), "Type": g.kind.as_str()
        });
        if !g.updates.is_empty() {
            shown["Updates"] = json!(g.updates);
        }
        shown
    };
    json!({
        "Fields": fields(&diff.fields), "ID": diff.id, "Objects": objects(&diff.objects),
        "TaskGroups": list(diff.groups.iter().map(group).collect()), "Type": diff.kind.as_str()
    })
}

fn updates(captured: &Value) -> BTreeMap<String, DesiredUpdates> {
    let app = &captured["Updates"]["app"];
    let count = |name: &str| app[name].as_u64().unwrap();
    let updates = DesiredUpdates {
        ignore: count("Ignore"),
        place: count("Place"),
        in_place_update: count("InPlaceUpdate"),
        destructive_update: count("DestructiveUpdate"),
        ..DesiredUpdates::default()
    };
    [("app".to_string(), updates)].into()
}

/// The rules that registration adds for services come in any order; a stable one is as good.
fn order_rules(diff: &mut Value) {
    for group in diff["TaskGroups"].as_array_mut().unwrap() {
        if let Some(objects) = group["Objects"].as_array_mut() {
            objects.sort_by_key(|o| match o["Name"] == "Constraint" {
                true => o.to_string(),
                false => String::new(),
            });
        }
    }
}

/// Takes out what the captured job has and ours has not: a template and an identity.
fn without_foreign(diff: &mut Value) {
    let foreign = ["Template", "Identity"];
    for group in diff["TaskGroups"].as_array_mut().unwrap() {
        if group["Updates"].is_null() {
            group["Updates"] = json!({"create": 1});
        }
        let tasks = group["Tasks"].as_array_mut().unwrap();
        let objects = tasks.iter_mut().map(|t| &mut t["Objects"]);
        for objects in objects.filter_map(Value::as_array_mut) {
            objects.retain(|o| !foreign.contains(&o["Name"].as_str().unwrap()));
        }
        if let Some(objects) = group["Objects"].as_array_mut() {
            objects.retain(|o| !foreign.contains(&o["Name"].as_str().unwrap()));
        }
    }
}

fn check(name: &str, old: Option<&Job>, new: &Job) {
    let mut expected = captured(name);
    let mut diff = between(old, Some(new));
    annotate(&mut diff, &updates(&expected));
    without_foreign(&mut expected["Diff"]);
    let mut shown = shown(&diff);
    order_rules(&mut shown);
    order_rules(&mut expected["Diff"]);
    assert_eq!(
        serde_json::to_string_pretty(&shown).unwrap(),
        serde_json::to_string_pretty(&expected["Diff"]).unwrap(),
        "{name}"
    );
}

#[test]
fn a_new_job_is_shown_whole() {
    check("new", None, &job("hplan", |_| {}));
}

#[test]
fn no_change_shows_what_is_ignored() {
    let known = job("hweb", |_| {});
    check("same", Some(&known), &known);
}

#[test]
fn a_count_forces_create() {
    let more = job("hweb", |j| j["TaskGroups"][0]["Count"] = json!(3));
    check("count", Some(&job("hweb", |_| {})), &more);
}

#[test]
fn changed_blocks_are_shown_with_their_context() {
    let changed = job("hweb", |j| {
        task(j)["Config"]["image"] = json!("redis:7");
        task(j)["Env"] = json!({"COLOR": "two", "SIZE": "5"});
        task(j)["Resources"]["MemoryMB"] = json!(80);
    });
    check("changed", Some(&job("hweb", |_| {})), &changed);
}

#[test]
fn what_a_task_takes_as_it_runs_is_in_place() {
    let annotation = |change: fn(&mut Value)| {
        let mut diff = between(Some(&job("a", |_| {})), Some(&job("a", change)));
        annotate(&mut diff, &BTreeMap::new());
        diff.groups[0].tasks[0].annotations.join(" ")
    };
    let in_place = "forces in-place update";
    let replace = "forces create/destroy update";
    assert_eq!(
        annotation(|j| task(j)["KillTimeout"] = json!(9_000_000_000u64)),
        in_place
    );
    assert_eq!(
        annotation(|j| task(j)["Services"][0]["Tags"] = json!(["x"])),
        in_place
    );
    assert_eq!(
        annotation(|j| task(j)["LogConfig"] = json!({"MaxFiles": 3})),
        in_place
    );
    assert_eq!(
        annotation(|j| task(j)["LogConfig"] = json!({"Disabled": true})),
        replace
    );
    assert_eq!(annotation(|j| task(j)["User"] = json!("redis")), replace);
    assert_eq!(annotation(|_| {}), "");
}

/// A change of any part of a job is seen, and undone shows as the reverse.
#[test]
fn every_part_that_changes_is_seen() {
    let old = job("a", |_| {});
    let changes: [fn(&mut Value); 16] = [
        |j| j["Priority"] = json!(60),
        |j| j["Meta"] = json!({"k": "v"}),
        |j| j["Datacenters"] = json!(["dc2"]),
        |j| j["Constraints"] = json!([{"LTarget": "${attr.os}", "Operand": "=", "RTarget": "x"}]),
        |j| j["Affinities"] = json!([{"LTarget": "${attr.os}", "RTarget": "x", "Weight": 20}]),
        |j| j["Spreads"] = json!([{"Attribute": "${node.datacenter}", "Weight": 50}]),
        |j| j["TaskGroups"][0]["EphemeralDisk"] = json!({"SizeMB": 301}),
        |j| j["TaskGroups"][0]["RestartPolicy"] = json!({"Attempts": 9}),
        |j| j["TaskGroups"][0]["ReschedulePolicy"] = json!({"Delay": 60_000_000_000u64}),
        |j| j["TaskGroups"][0]["Migrate"] = json!({"MaxParallel": 4}),
        |j| j["TaskGroups"][0]["Networks"][0]["DynamicPorts"][0]["To"] = json!(80),
        |j| j["TaskGroups"][0]["ShutdownDelay"] = json!(1_000_000_000),
        |j| task(j)["Services"][0]["Checks"][0]["Path"] = json!("/other"),
        |j| task(j)["Services"][0]["Meta"] = json!({"k": "v"}),
        |j| task(j)["Lifecycle"] = json!({"Hook": "poststart", "Sidecar": true}),
        |j| task(j)["KillSignal"] = json!("SIGINT"),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        // A group needs a main task beside one with a lifecycle.
        let with_main = |j: &mut Value| {
            let mut main = task(j).clone();
            main["Name"] = json!("main");
            main["Services"] = json!([]);
            j["TaskGroups"][0]["Tasks"]
                .as_array_mut()
                .unwrap()
                .push(main);
        };
        let old = job("a", with_main);
        let new = job("a", |j| {
            with_main(j);
            change(j);
        });
        let there = between(Some(&old), Some(&new));
        assert_eq!(there.kind, DiffKind::Edited, "change {at}");
        assert_ne!(there, between(Some(&new), Some(&old)), "change {at}");
    }
    assert_eq!(between(Some(&old), None).kind, DiffKind::Deleted);
}
