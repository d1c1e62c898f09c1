//! Jobs of one mock task.

use serde_json::{Value, json};
use tumen::model::canonical::CanonicalDefaults;
use tumen::model::draft::JobDraft;
use tumen::model::job::JobSpec;

/// A service of `count` instances with a dynamic port, whose task has these options.
pub fn service(id: &str, count: u32, options: Value) -> JobSpec {
    spec(json!({
        "ID": id, "Name": id, "Type": "service",
        "Update": {"MaxParallel": 1, "MinHealthyTime": 2 * SECOND, "HealthCheck": "task_states"},
        "TaskGroups": [{
            "Name": "g", "Count": count,
            "Networks": [{"DynamicPorts": [{"Label": "http"}]}],
            "RestartPolicy": {
                "Attempts": 1, "Interval": 600 * SECOND, "Delay": SECOND, "Mode": "fail",
            },
            "ReschedulePolicy": {
                "Unlimited": true, "Delay": 5 * SECOND, "MaxDelay": 60 * SECOND,
                "DelayFunction": "exponential",
            },
            "Tasks": [{
                "Name": "t", "Driver": "mock_driver", "Config": options,
                "Resources": {"CPU": 100, "MemoryMB": 64},
            }],
        }],
    }))
}

/// The service with a fixed port instead: one instance a node.
pub fn on_port(mut job: JobSpec, port: u16) -> JobSpec {
    for ask in job.groups[0].networks.iter_mut().flat_map(|n| &mut n.ports) {
        ask.fixed = Some(port);
    }
    job
}

/// A batch job of `count` instances that each work for a while and succeed.
pub fn batch(id: &str, count: u32, run_for: &str) -> JobSpec {
    spec(json!({
        "ID": id, "Name": id, "Type": "batch",
        "TaskGroups": [{
            "Name": "g", "Count": count,
            "Tasks": [{
                "Name": "t", "Driver": "mock_driver", "Config": {"run_for": run_for},
                "Resources": {"CPU": 100, "MemoryMB": 64},
            }],
        }],
    }))
}

/// The job as it would be in its `n`th version.
pub fn version(mut job: JobSpec, n: u32) -> JobSpec {
    for task in job.groups.iter_mut().flat_map(|g| &mut g.tasks) {
        task.env.insert("VERSION".to_owned(), n.to_string());
    }
    job
}

const SECOND: i64 = 1_000_000_000;

fn spec(draft: Value) -> JobSpec {
    let draft: JobDraft = serde_json::from_value(draft).unwrap();
    let canonical = draft.canonical(&CanonicalDefaults::default());
    assert_eq!(canonical.violations, []);
    canonical.spec
}
