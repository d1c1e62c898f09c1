//! Each rule broken once.

use serde_json::{Value, json};

use super::*;
use crate::model::canonical::CanonicalDefaults;
use crate::model::draft::JobDraft;

/// The spec of a job of one task, changed by `change`.
fn spec(change: impl FnOnce(&mut Value)) -> JobSpec {
    let mut job = json!({"ID": "j", "TaskGroups": [{"Name": "g", "Tasks": [
        {"Name": "t", "Driver": "docker", "Config": {"image": "redis:7"}}]}]});
    change(&mut job);
    let draft: JobDraft = serde_json::from_value(job).unwrap();
    draft.canonical(&CanonicalDefaults::default()).spec
}

/// The job that `change` makes breaks the rule with these words, and no other.
fn breaks(change: impl FnOnce(&mut Value), wanted: &str) {
    let problems = validate(&spec(change));
    let text = problems.error().unwrap_or_default();
    assert!(text.contains(wanted), "no {wanted:?} in\n{text}");
    assert_eq!(problems.violations.len(), 1, "{text}");
}

fn group(change: impl FnOnce(&mut Value)) -> impl FnOnce(&mut Value) {
    |job| change(&mut job["TaskGroups"][0])
}

fn task(change: impl FnOnce(&mut Value)) -> impl FnOnce(&mut Value) {
    |job| change(&mut job["TaskGroups"][0]["Tasks"][0])
}

#[test]
fn a_good_job_has_no_problems() {
    assert_eq!(validate(&spec(|_| {})), Problems::default());
}

#[test]
fn rules_of_the_job() {
    breaks(|j| j["ID"] = "a b".into(), "Job ID contains a space");
    breaks(
        |j| j["Datacenters"] = json!([""]),
        "Job datacenter must be non-empty string",
    );
    breaks(|j| j["TaskGroups"] = json!([]), "Missing job task groups");
    breaks(
        |j| j["NodePool"] = "a b".into(),
        "invalid node pool \"a b\"",
    );
    breaks(
        |j| {
            let group = j["TaskGroups"][0].clone();
            j["TaskGroups"] = json!([group, group]);
        },
        "Job task group 2 redefines 'g' from group 1",
    );
    breaks(
        group(|g| g["Count"] = 50_001.into()),
        "job_max_count: 50001 > 50000",
    );
    breaks(
        |j| j["UI"] = json!({"Description": "x".repeat(1001)}),
        "UI description must be under 1000 characters",
    );
    breaks(
        |j| j["Constraints"] = json!([{"LTarget": "a", "Operand": "regexp", "RTarget": "("}]),
        "Constraint 1 validation failed: 1 error occurred:\n\t* Regular expression failed",
    );
    breaks(
        |j| j["Affinities"] = json!([{"LTarget": "a", "RTarget": "b", "Weight": 0}]),
        "Affinity weight cannot be zero",
    );
    breaks(
        |j| {
            j["Spreads"] = json!([{"Attribute": "a", "SpreadTarget": [
                {"Value": "x", "Percent": 60}, {"Value": "y", "Percent": 60}]}]);
        },
        "must not be greater than 100%; got 120%",
    );
}

#[test]
fn rules_of_groups() {
    breaks(
        group(|g| g["Tasks"] = json!([])),
        "Missing tasks for task group",
    );
    breaks(
        group(|g| {
            let task = g["Tasks"][0].clone();
            g["Tasks"] = json!([task, task]);
        }),
        "Task 2 redefines 't' from task 1",
    );
    breaks(
        task(|t| t["Lifecycle"] = json!({"Hook": "prestart"})),
        "Task group g must have at least one main task",
    );
    breaks(
        group(|g| g["MaxRunDuration"] = 5.into()),
        "Job type \"service\" does not allow max_run_duration",
    );
    let ports = |a: Value, b: Value| json!([{"ReservedPorts": [a, b]}]);
    breaks(
        group(|g| {
            g["Networks"] = ports(
                json!({"Label": "p", "Value": 80}),
                json!({"Label": "p", "Value": 81}),
            );
        }),
        "Port label p already in use",
    );
    breaks(
        group(|g| {
            g["Networks"] = ports(
                json!({"Label": "p", "Value": 80}),
                json!({"Label": "q", "Value": 80}),
            );
        }),
        "Static port 80 already reserved by p",
    );
}

#[test]
fn rules_of_policies() {
    let second = 1_000_000_000_i64;
    breaks(
        group(|g| g["RestartPolicy"] = json!({"Attempts": 0, "Interval": second})),
        "Interval can not be less than 5s (got 1s)",
    );
    breaks(
        group(|g| g["RestartPolicy"] = json!({"Attempts": 200})),
        "Nomad can't restart the TaskGroup 200 times in an interval of 30m0s with a delay of 15s",
    );
    breaks(
        group(|g| g["RestartPolicy"] = json!({"Attempts": 0, "Mode": "delay"})),
        "is ambiguous",
    );
    breaks(
        group(|g| g["ReschedulePolicy"] = json!({"Delay": second})),
        "Delay cannot be less than 5s (got 1s)",
    );
    breaks(
        group(|g| g["ReschedulePolicy"] = json!({"MaxDelay": second})),
        "Max Delay cannot be less than Delay 30s (got 1s)",
    );
    breaks(
        group(|g| g["Update"] = json!({"AutoPromote": true})),
        "Auto Promote requires a Canary count greater than zero",
    );
    breaks(
        group(|g| g["Update"] = json!({"MinHealthyTime": 400 * second})),
        "Minimum healthy time must be less than healthy deadline: 6m40s > 5m0s",
    );
    breaks(
        group(|g| g["Update"] = json!({"ProgressDeadline": second})),
        "Healthy deadline must be less than progress deadline: 5m0s > 1s",
    );
    breaks(
        group(|g| g["Disconnect"] = json!({"LostAfter": 1, "StopOnClientAfter": 1})),
        "both lost_after and stop_on_client_after",
    );
}

#[test]
fn rules_of_tasks() {
    breaks(
        task(|t| t["Name"] = "a/b".into()),
        "Task name cannot include slashes",
    );
    breaks(task(|t| t["Driver"] = "".into()), "Missing task driver");
    breaks(
        task(|t| t["Driver"] = "dokcer".into()),
        "there is no driver \"dokcer\"",
    );
    breaks(
        task(|t| t["Config"] = json!({"imagee": "x", "image": "y"})),
        "imagee",
    );
    breaks(
        task(|t| t["Resources"] = json!({"CPU": 0, "MemoryMB": 5})),
        "Task t validation failed: 1 error occurred:\n\t* 1 error occurred:\n\t* 2 errors \
         occurred:\n\t* minimum CPU value is 1; got 0\n\t* minimum MemoryMB value is 10; got 5",
    );
    breaks(
        task(|t| t["Resources"] = json!({"MemoryMaxMB": 20})),
        "MemoryMaxMB value (20) should be larger than MemoryMB value (300)",
    );
    breaks(
        group(|g| g["EphemeralDisk"] = json!({"SizeMB": 50})),
        "log storage (100 MB) must be less than requested disk capacity (50 MB)",
    );
    breaks(
        task(|t| t["Constraints"] = json!([{"Operand": "distinct_hosts", "RTarget": "true"}])),
        "Constraint has disallowed Operand at task level: distinct_hosts",
    );
}

#[test]
fn rules_of_services() {
    let with = |service: Value| {
        move |job: &mut Value| {
            job["TaskGroups"][0]["Networks"] = json!([{"DynamicPorts": [{"Label": "http"}]}]);
            job["TaskGroups"][0]["Services"] = json!([service]);
        }
    };
    let second = 1_000_000_000_i64;
    let check = |extra: Value| {
        let mut check = json!({"Type": "tcp", "Interval": 10 * second, "Timeout": second});
        for (key, value) in extra.as_object().unwrap() {
            check[key] = value.clone();
        }
        with(json!({"Name": "web", "PortLabel": "http", "Checks": [check]}))
    };
    assert_eq!(validate(&spec(check(json!({})))).violations, []);
    breaks(
        with(json!({"Name": "a_b", "PortLabel": "http"})),
        "RFC 1123",
    );
    breaks(
        with(json!({"Name": "web", "PortLabel": "nope"})),
        "port label \"nope\"",
    );
    breaks(
        check(json!({"Type": "http"})),
        "http type must have http path",
    );
    breaks(
        check(json!({"Interval": 5})),
        "interval (5ns) cannot be lower than 1s",
    );
    breaks(
        check(json!({"Timeout": 0})),
        "missing required value timeout. Timeout cannot be less than 1s",
    );
    breaks(
        check(json!({"PortLabel": "nope"})),
        "port label \"nope\" referenced by check",
    );
    breaks(
        with(json!({"Name": "web", "Checks": [
            {"Name": "c", "Type": "tcp", "Interval": second, "Timeout": second}]})),
        "check \"c\" is missing a port",
    );
}

#[test]
fn warnings_are_those_that_users_know() {
    let with_service = spec(task(|t| t["Services"] = json!([{"Name": "web"}])));
    assert_eq!(
        validate(&with_service).warnings,
        ["task \"t\" in group \"g\" defines services, but has no shutdown_delay set"]
    );
    let alone = spec(group(|g| g["Update"] = json!({"MaxParallel": 4})));
    assert!(validate(&alone).warnings.is_empty(), "one cannot be split");
    let parallel = spec(group(|g| {
        g["Count"] = json!(2);
        g["Update"] = json!({"MaxParallel": 4});
    }));
    assert!(validate(&parallel).warnings[0].starts_with(
        "Group \"g\" has warnings: 1 error occurred:\n\t* Update max parallel count is greater"
    ));
    let old = spec(task(|t| {
        t["Resources"] = json!({"Networks": [{"MBits": 10, "DynamicPorts": [{"Label": "p"}]}]});
    }));
    assert_eq!(
        validate(&old).warnings,
        [
            "Group \"g\" has warnings: 1 error occurred:\n\t* Task \"t\" has warnings: 1 error \
          occurred:\n\t* task network resources have been deprecated as of Nomad 0.12.0. Please \
          configure networking via group network block."
        ]
    );
}
