//! The API's types against real answers: read, written again, they must say the same.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that panics fails"
)]

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tumen::http::dto::{
    agent, alloc, client, deployment, eval, jobs, misc, node, operator, service,
};

/// One captured exchange with status 200 and a whole JSON body.
struct Exchange {
    request: String,
    body: Value,
}

/// The exchanges of one capture file.
fn captured(file: &str) -> Vec<Exchange> {
    let path = format!(
        "{}/tests/fixtures/http/{file}.http",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).unwrap();
    let mut found = Vec::new();
    for part in text.split("\n### ").map(|p| p.trim_start_matches("### ")) {
        let request = part.lines().next().unwrap_or_default().to_string();
        let Some((_, answer)) = part.split_once("HTTP/1.1 200") else {
            continue;
        };
        let Some((_, body)) = answer.split_once("\n\n") else {
            continue;
        };
        let body: String = body
            .lines()
            .filter(|l| !(l.starts_with("# ") && l.contains("more elements")))
            .filter(|l| !l.starts_with("# "))
            .collect::<Vec<_>>()
            .join("\n");
        if let Ok(body) = serde_json::from_str(&body) {
            found.push(Exchange { request, body });
        }
    }
    found
}

/// Reads each answer to a request that starts with `request` as `T`, writes it and compares.
fn round_trip<T: Serialize + DeserializeOwned>(file: &str, request: impl Fn(&str) -> bool) {
    let mut seen = 0;
    for exchange in captured(file).iter().filter(|e| request(&e.request)) {
        let read: T = serde_json::from_value(exchange.body.clone())
            .unwrap_or_else(|e| panic!("{file}: {}: {e}", exchange.request));
        let written = serde_json::to_value(&read).unwrap();
        let mut differences = Vec::new();
        compare("", &exchange.body, &written, &mut differences);
        assert!(
            differences.is_empty(),
            "{file}: {}:\n{}",
            exchange.request,
            differences.join("\n")
        );
        seen += 1;
    }
    assert!(seen > 0, "{file}: no such exchange");
}

/// Collects the paths at which `got` is not what `want` is.
fn compare(path: &str, want: &Value, got: &Value, differences: &mut Vec<String>) {
    match (want, got) {
        (Value::Object(want), Value::Object(got)) => {
            for (key, value) in want {
                match got.get(key) {
                    Some(other) => compare(&format!("{path}.{key}"), value, other, differences),
                    None => differences.push(format!("{path}.{key} is missing")),
                }
            }
            for key in got.keys().filter(|k| !want.contains_key(*k)) {
                differences.push(format!("{path}.{key} is too much"));
            }
        }
        (Value::Array(want), Value::Array(got)) if want.len() == got.len() => {
            for (n, (want, got)) in want.iter().zip(got).enumerate() {
                compare(&format!("{path}[{n}]"), want, got, differences);
            }
        }
        _ if want == got => {}
        _ => differences.push(format!("{path}: {want} became {got}")),
    }
}

fn starts(prefix: &'static str) -> impl Fn(&str) -> bool {
    move |request| request.starts_with(prefix)
}

#[test]
fn lists_keep_every_field() {
    round_trip::<Vec<jobs::JobListStub>>("jobs-list", |r| {
        r.starts_with("GET /v1/jobs") && !r.contains("statuses")
    });
    round_trip::<Vec<alloc::AllocListStub>>("allocations", starts("GET /v1/allocations"));
    round_trip::<Vec<alloc::AllocListStub>>("job", |r| r.contains("/allocations"));
    round_trip::<Vec<eval::Evaluation>>("evaluations", |r| {
        r.starts_with("GET /v1/evaluations") && !r.contains("/count")
    });
    round_trip::<Vec<deployment::Deployment>>("deployments", starts("GET /v1/deployments"));
    round_trip::<Vec<node::NodeListStub>>("nodes", starts("GET /v1/nodes"));
    round_trip::<Vec<node::NodePool>>("nodes", |r| r == "GET /v1/node/pools");
    round_trip::<Vec<service::ServiceNamespaceStub>>(
        "namespaces-vars-services",
        starts("GET /v1/services"),
    );
    round_trip::<Vec<service::ServiceRegistration>>(
        "namespaces-vars-services",
        starts("GET /v1/service/"),
    );
    round_trip::<Vec<misc::Namespace>>("namespaces-vars-services", |r| r == "GET /v1/namespaces");
}

#[test]
fn objects_keep_every_field() {
    round_trip::<jobs::JobSummary>("query-behaviour", |r| r.contains("/summary"));
    round_trip::<alloc::Allocation>("allocations", |r| {
        r.starts_with("GET /v1/allocation/") && r.split('/').count() == 4
    });
    round_trip::<eval::Evaluation>("evaluations", |r| {
        r.starts_with("GET /v1/evaluation/") && !r.contains("/allocations")
    });
    round_trip::<deployment::Deployment>("deployments", |r| {
        r.starts_with("GET /v1/deployment/") && !r.contains("/allocations")
    });
    round_trip::<node::Node>("nodes", |r| {
        r.starts_with("GET /v1/node/23faf289-") && !r.contains("/allocations")
    });
    round_trip::<jobs::JobScaleStatus>("job", |r| r.contains("/scale"));
    round_trip::<jobs::JobSubmission>("job", |r| r.contains("/submission"));
    round_trip::<client::HostStats>("client", starts("GET /v1/client/stats"));
    round_trip::<client::AllocResourceUsage>("client", |r| {
        r.starts_with("GET /v1/client/allocation/a124") && r.contains("/stats")
    });
    round_trip::<BTreeMap<String, client::CheckQueryResult>>("client", |r| r.ends_with("/checks"));
    round_trip::<client::NodeMetadata>("client", |r| r.contains("/v1/client/metadata"));
    round_trip::<Vec<client::AllocFileInfo>>("client-fs-logs", starts("GET /v1/client/fs/ls"));
    round_trip::<client::AllocFileInfo>("client-fs-logs", starts("GET /v1/client/fs/stat"));
    round_trip::<agent::AgentSelf>("agent", starts("GET /v1/agent/self"));
    round_trip::<agent::AgentMembers>("agent", starts("GET /v1/agent/members"));
    round_trip::<agent::AgentHealth>("agent", starts("GET /v1/agent/health"));
    round_trip::<agent::JoinResponse>("agent", starts("PUT /v1/agent/join"));
    round_trip::<operator::RaftConfiguration>("operator", |r| {
        r.starts_with("GET /v1/operator/raft/configuration")
    });
    round_trip::<operator::SchedulerConfigurationResponse>("operator", |r| {
        r == "GET /v1/operator/scheduler/configuration"
    });
    round_trip::<operator::AutopilotHealth>("operator", |r| r.ends_with("autopilot/health"));
}

#[test]
fn writes_answer_every_field() {
    round_trip::<jobs::JobRegisterResponse>("jobs-register", starts("PUT /v1/jobs"));
    round_trip::<jobs::JobDeregisterResponse>("job-stop", starts("DELETE /v1/job/"));
    round_trip::<jobs::JobPlanResponse>("job-plan", |r| r.contains("/plan"));
    round_trip::<jobs::JobValidateResponse>("validate", |r| r.contains("/validate/job"));
    round_trip::<deployment::DeploymentUpdateResponse>(
        "deployments",
        starts("PUT /v1/deployment/"),
    );
    round_trip::<node::NodeUpdateResponse>("nodes", |r| r.ends_with("/eligibility"));
    round_trip::<misc::SearchResponse>("search", |r| r == "POST /v1/search");
    round_trip::<operator::SchedulerSetResponse>("operator", |r| {
        r.starts_with("PUT /v1/operator/scheduler/configuration")
    });
    round_trip::<alloc::AllocStopResponse>("client", |r| r.ends_with("/stop"));
}
