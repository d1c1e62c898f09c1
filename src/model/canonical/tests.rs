//! Against the captures, and on what differs from them on purpose.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::model::JobType;
use crate::model::resources::NetworkMode;
use crate::model::service::CheckKind;
use crate::model::violation;

fn fixture(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parse");
    let text = std::fs::read_to_string(PathBuf::from(folder).join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn draft(json: Value) -> JobDraft {
    serde_json::from_value(json).unwrap()
}

fn canonical(json: Value) -> Canonical {
    draft(json).canonical(&CanonicalDefaults::default())
}

/// A job of one task; `change` adds to it.
fn job(change: impl FnOnce(&mut Value)) -> Value {
    let mut job = json!({"ID": "j", "TaskGroups": [{"Name": "g", "Tasks": [
        {"Name": "t", "Driver": "docker", "Config": {"image": "redis:7"}}]}]});
    change(&mut job);
    job
}

fn messages(of: &Canonical) -> Vec<&str> {
    of.violations.iter().map(|v| v.message.as_str()).collect()
}

/// Filling in defaults gives what the real server answered, but for the provider of services.
#[test]
fn defaults_are_the_captured_ones() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parse");
    let mut seen = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_string();
        let Some(name) = file.strip_suffix(".canonical.json") else {
            continue;
        };
        seen += 1;
        let before = draft(fixture(&format!("{name}.json")));
        let got = serde_json::to_value(before.canonical_draft()).unwrap();
        let mut wanted = fixture(&file);
        let unset: BTreeSet<String> = unset_providers(&serde_json::to_value(&before).unwrap());
        for pointer in unset {
            *wanted.pointer_mut(&pointer).unwrap() = "nomad".into();
        }
        differences(name, &wanted, &got, &mut wrong);
        // Once filled in, nothing is left to fill in.
        let again = draft(got.clone()).canonical_draft();
        assert_eq!(serde_json::to_value(again).unwrap(), got, "{name}");
    }
    assert!(seen >= 47, "only {seen} captures");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where the services are that name no provider.
fn unset_providers(job: &Value) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut stack = vec![(String::new(), job)];
    while let Some((path, value)) = stack.pop() {
        match value {
            Value::Object(entries) => {
                let service = entries.contains_key("PortLabel") && entries.contains_key("Checks");
                if service && entries["Provider"] == "" {
                    out.insert(format!("{path}/Provider"));
                }
                stack.extend(entries.iter().map(|(k, v)| (format!("{path}/{k}"), v)));
            }
            Value::Array(items) => {
                let items = items.iter().enumerate();
                stack.extend(items.map(|(i, v)| (format!("{path}/{i}"), v)));
            }
            _ => {}
        }
    }
    out
}

fn differences(path: &str, wanted: &Value, got: &Value, out: &mut Vec<String>) {
    match (wanted, got) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                let null = Value::Null;
                let (a, b) = (a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null));
                differences(&format!("{path}.{key}"), a, b, out);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{i}]"), a, b, out);
            }
        }
        (a, b) if a == b => {}
        (a, b) => out.push(format!("{path}: wanted {a}, got {b}")),
    }
}

#[test]
fn a_small_job_becomes_a_whole_spec() {
    let Canonical {
        spec,
        violations,
        warnings,
    } = canonical(job(|_| {}));
    assert_eq!((violations, warnings), (vec![], Vec::<String>::new()));
    assert_eq!(
        (spec.name.as_str(), spec.kind, spec.priority),
        ("j", JobType::Service, 50)
    );
    assert_eq!(
        (spec.datacenters, spec.node_pool.as_str()),
        (vec!["*".to_string()], "default")
    );
    let group = &spec.groups[0];
    assert_eq!((group.count, group.ephemeral_disk_mb), (1, 300));
    assert_eq!(
        group.update.unwrap().healthy_deadline,
        Duration::from_secs(300)
    );
    assert_eq!(group.restart.attempts, 2);
    assert_eq!(group.tasks[0].resources.cpu_mhz, 100);
    assert_eq!(group.tasks[0].kill_timeout, Duration::from_secs(5));
    assert!(group.networks.is_empty());
}

#[test]
fn the_agents_region_replaces_global() {
    let defaults = CanonicalDefaults {
        region: "eu".to_string(),
        namespace: "team".to_string(),
        ..CanonicalDefaults::default()
    };
    let spec = draft(job(|_| {})).canonical(&defaults).spec;
    assert_eq!(
        (spec.region.as_str(), spec.namespace.as_str()),
        ("eu", "team")
    );
    let named = draft(job(|j| j["Region"] = "us".into()))
        .canonical(&defaults)
        .spec;
    assert_eq!(named.region, "us");
}

/// The syntax of 0.11 runs: the task's port leads to what `port_map` says, the service is native.
/// As captured: `captures` of jobs with native services have these constraints.
#[test]
fn native_services_need_nodes_that_register_them() {
    let service = |checks: Value| {
        let mut made = job(|j| {
            j["TaskGroups"][0]["Services"] =
                json!([{"Name": "s", "Provider": "nomad", "Checks": checks}]);
        });
        made["TaskGroups"][0]["Constraints"] = json!([
            {"LTarget": "${attr.nomad.service_discovery}", "Operand": "=", "RTarget": "true"}]);
        let group = canonical(made).spec.groups.remove(0);
        let rules = group.constraints.into_iter();
        rules
            .map(|c| format!("{} {} {}", c.left, c.operand.as_str(), c.right))
            .collect::<Vec<_>>()
    };
    let registers = "${attr.nomad.service_discovery} = true";
    assert_eq!(
        service(json!([])),
        [registers],
        "what is there is not added"
    );
    let check = json!([{"Name": "c", "Type": "tcp", "Interval": 1, "Timeout": 1}]);
    assert_eq!(
        service(check),
        [registers, "${attr.nomad.version} semver >= 1.4.0"]
    );
    assert!(canonical(job(|_| {})).spec.groups[0].constraints.is_empty());
}

#[test]
fn the_old_syntax_is_converted() {
    let made = canonical(fixture("002-old-syntax.json"));
    assert_eq!(messages(&made), Vec::<&str>::new());
    let task = &made.spec.groups[0].tasks[0];
    let network = &task.resources.networks[0];
    assert_eq!((network.mode, network.mbits), (NetworkMode::Host, 10));
    assert_eq!(
        (network.ports[0].label.as_str(), network.ports[0].to),
        ("db", 6379)
    );
    let service = &task.services[0];
    assert_eq!(
        (service.task.as_deref(), service.port.as_str()),
        (Some("redis"), "db")
    );
    assert_eq!(service.checks[0].kind, CheckKind::Tcp);
    assert_eq!(
        validate(&made.spec).warnings,
        [
            "Group \"cache\" has warnings: 1 error occurred:\n\t* Task \"redis\" has warnings: 1 \
             error occurred:\n\t* task network resources have been deprecated as of Nomad \
             0.12.0. Please configure networking via group network block.",
            "task \"redis\" in group \"cache\" defines services, but has no shutdown_delay set",
        ]
    );
}

/// What does not run is named, never dropped.
#[test]
fn what_does_not_run_is_refused_by_name() {
    for (capture, wanted) in [
        ("004-types.json", "the job type \"system\""),
        ("008-periodic.json", "a periodic job"),
        ("010-parameterized.json", "a parameterized job"),
        ("010-parameterized.json", "a dispatch_payload block"),
        ("017-network.json", "network mode \"bridge\""),
        (
            "017-network.json",
            "host_network \"public\" of port \"web\"",
        ),
        ("018-volumes.json", "a volume block"),
        ("018-volumes.json", "a volume_mount block"),
        ("019-scaling.json", "a scaling block"),
        ("020-task-attributes.json", "an action block"),
        ("021-resources.json", "a device block"),
        ("021-resources.json", "resources.cores"),
        (
            "023-services.json",
            "the provider \"consul\" of service \"api\"",
        ),
        (
            "024-checks.json",
            "the type \"grpc\" of check \"grpc\" in service \"full\"",
        ),
        ("025-connect.json", "the connect block of service \"front\""),
        ("027-templates.json", "a template block"),
        ("028-artifacts.json", "an artifact block"),
        ("029-vault-identity-secret.json", "a vault block"),
        ("029-vault-identity-secret.json", "an identity block"),
        ("029-vault-identity-secret.json", "a secret block"),
        ("038-csi-plugin.json", "a csi_plugin block"),
        (
            "039-multiregion-schedule.json",
            "a job over several regions (multiregion)",
        ),
        ("039-multiregion-schedule.json", "a schedule block"),
    ] {
        let made = canonical(fixture(capture));
        let text = violation::text(&made.violations);
        let sentence = format!("{wanted} is not supported by this version of Tumen");
        assert!(
            text.contains(&sentence),
            "{capture}: no {wanted:?} in\n{text}"
        );
    }
}

#[test]
fn values_out_of_range_are_violations() {
    let made = canonical(job(|j| {
        j["Type"] = "sevice".into();
        j["Priority"] = 900.into();
        j["TaskGroups"][0]["Count"] = (-1).into();
        j["TaskGroups"][0]["RestartPolicy"] = json!({"Mode": "never"});
        j["TaskGroups"][0]["Networks"] =
            json!([{"ReservedPorts": [{"Label": "p", "Value": 70000}]}]);
        j["TaskGroups"][0]["Tasks"][0]["KillTimeout"] = (-5).into();
        j["Constraints"] = json!([{"Operand": "~"}]);
    }));
    let text = violation::text(&made.violations);
    for wanted in [
        "Invalid job type: \"sevice\"",
        "job priority must be between [1, 100]",
        "Task group count can't be negative",
        "Unsupported restart mode: \"never\"",
        "Port p (70000) cannot be greater than 65535",
        "KillTimeout must be a positive value",
        "Unknown constraint type \"~\"",
    ] {
        assert!(text.contains(wanted), "no {wanted:?} in\n{text}");
    }
}

#[test]
fn batch_jobs_have_no_updates() {
    let made = canonical(job(|j| {
        j["Type"] = "batch".into();
        j["TaskGroups"][0]["Update"] = json!({"MaxParallel": 2});
    }));
    assert_eq!(
        messages(&made),
        ["Job type \"batch\" does not allow update block"]
    );
    let plain = canonical(job(|j| j["Type"] = "batch".into()));
    assert_eq!(messages(&plain), Vec::<&str>::new());
    let group = &plain.spec.groups[0];
    assert_eq!((group.update, group.migrate), (None, None));
    assert_eq!((group.restart.attempts, group.reschedule.attempts), (3, 1));
}

#[test]
fn older_disconnect_arguments_still_mean_something() {
    let made = canonical(fixture("016-disconnect.json"));
    assert_eq!(messages(&made), Vec::<&str>::new());
    let of = |i: usize| made.spec.groups[i].disconnect.unwrap();
    assert_eq!(
        (of(0).lost_after, of(0).replace),
        (Duration::from_secs(6 * 3600), false)
    );
    assert_eq!(of(1).stop_on_client_after, Some(Duration::from_secs(300)));
    assert_eq!(
        (of(2).lost_after, of(2).replace),
        (Duration::from_secs(3600), false)
    );
    assert_eq!(of(3).stop_on_client_after, Some(Duration::from_secs(120)));
}

/// Whatever a capture holds, it is converted or refused, and never panics.
#[test]
fn every_capture_is_converted_or_refused() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parse");
    let mut clean = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if file.ends_with(".json") && canonical(fixture(&file)).violations.is_empty() {
            clean.insert(file[..3].to_string());
        }
    }
    for name in [
        "001", "003", "006", "012", "013", "016", "022", "030", "031", "032",
    ] {
        assert!(clean.contains(name), "{name} is refused");
    }
}
