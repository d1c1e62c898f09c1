//! The API's answers beside captured ones.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;
use tumen::env;
use tumen::model::ids::JobKey;
use tumen::rpc::{ApiError, Op};

use super::fake::{ALLOC, DEPLOYMENT, NODE, Server, State, cluster, job};
use super::wire::{captured, like};

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

/// Lists and objects have the headers and the keys of the captured ones.
#[tokio::test]
async fn reads_look_like_the_captured_ones() {
    let server = Server::start(cluster()).await;
    let cases = [
        ("jobs-list", "GET /v1/jobs?prefix=hw", "/v1/jobs?prefix=w"),
        ("job", "GET /v1/job/hweb", "/v1/job/web"),
        ("job", "GET /v1/job/hweb/summary", "/v1/job/web/summary"),
        ("job", "GET /v1/job/hweb/scale", "/v1/job/web/scale"),
        ("job", "GET /v1/job/hweb/actions", "/v1/job/web/actions"),
        ("nodes", "GET /v1/nodes", "/v1/nodes"),
        (
            "nodes",
            "GET /v1/nodes?resources=true",
            "/v1/nodes?resources=true",
        ),
        ("allocations", "GET /v1/allocations", "/v1/allocations"),
        (
            "allocations",
            "GET /v1/allocations?task_states=false&per_page=1",
            "/v1/allocations?task_states=false",
        ),
        ("deployments", "GET /v1/deployments", "/v1/deployments"),
        (
            "evaluations",
            "GET /v1/evaluations/count",
            "/v1/evaluations/count",
        ),
        ("agent", "GET /v1/agent/members", "/v1/agent/members"),
        ("agent", "GET /v1/agent/health", "/v1/agent/health"),
        ("agent", "GET /v1/status/leader", "/v1/status/leader"),
        ("agent", "GET /v1/status/peers", "/v1/status/peers"),
        ("agent", "GET /v1/regions", "/v1/regions"),
        ("client", "GET /v1/client/stats", "/v1/client/stats"),
        (
            "namespaces-vars-services",
            "GET /v1/namespaces",
            "/v1/namespaces",
        ),
        ("nodes", "GET /v1/node/pools", "/v1/node/pools"),
        (
            "operator",
            "GET /v1/operator/scheduler/configuration",
            "/v1/operator/scheduler/configuration",
        ),
    ];
    for (file, request, path) in cases {
        let (answer, wanted) = (server.get(path).await, captured(file, request));
        let mut headers = wanted;
        headers
            .headers
            .retain(|(name, _)| name != "X-Nomad-Nexttoken");
        like(&answer, &headers);
        let Ok(wanted) = serde_json::from_str::<Value>(&headers.body) else {
            continue;
        };
        let got = answer.json();
        let (wanted, got) = match (&wanted, &got) {
            (Value::Array(wanted), Value::Array(got)) if !wanted.is_empty() => {
                (wanted[0].clone(), got[0].clone())
            }
            _ => (wanted, got),
        };
        if wanted.is_object() {
            assert_eq!(keys(&wanted), keys(&got), "{path}");
        }
    }
}

/// The job inside other answers has every key that it has in the captured ones.
#[tokio::test]
async fn a_job_is_shown_whole() {
    let server = Server::start(cluster()).await;
    let wanted: Value = serde_json::from_str(&captured("job", "GET /v1/job/hweb").body).unwrap();
    let got = server.get("/v1/job/web").await.json();
    assert_eq!(keys(&wanted), keys(&got));
    for path in [
        "/TaskGroups/0",
        "/TaskGroups/0/Tasks/0",
        "/TaskGroups/0/Tasks/0/Resources",
    ] {
        assert_eq!(
            keys(wanted.pointer(path).unwrap()),
            keys(got.pointer(path).unwrap()),
            "{path}"
        );
    }
    let alloc = server.get(&format!("/v1/allocation/{ALLOC}")).await.json();
    assert_eq!(alloc["Job"]["ID"], "web");
    assert_eq!(alloc["Resources"]["MemoryMB"], 64);
    assert_eq!(alloc.get("PreviousAllocation"), None);
}

/// Failures have the captured status, headers and text.
#[tokio::test]
async fn failures_look_like_the_captured_ones() {
    let server = Server::start(cluster()).await;
    let nil = "00000000-0000-0000-0000-000000000000";
    let same = |file: &'static str, request: &'static str| (file, request, None::<String>);
    let other = |file, request, path: String| (file, request, Some(path));
    let cases = [
        same("query-behaviour", "GET /v1/jobs?index=-1"),
        same("query-behaviour", "GET /v1/jobs?index=5&wait=10"),
        same("query-behaviour", "GET /v1/jobs?wait=abc"),
        same(
            "query-behaviour",
            "GET /v1/nodes?index=1&wait=1s&prefix=zzzz",
        ),
        same("jobs-list", "GET /v1/jobs?per_page=x"),
        same("jobs-list", "GET /v1/jobs?filter=Nope%20%3D%3D%201"),
        same("jobs-register", "DELETE /v1/jobs"),
        same("jobs-register", "PATCH /v1/jobs"),
        same("job", "GET /v1/job/nope"),
        same("job", "GET /v1/job/hweb?namespace=other"),
        same("job", "GET /v1/job/hweb?namespace=*"),
        same("job", "GET /v1/job/nope/summary"),
        same("job", "GET /v1/job/hweb/nope"),
        same("job", "GET /v1/job/hweb/submission"),
        same("job", "GET /v1/job/hweb/submission?version=77"),
        same("job", "GET /v1/job/nope/actions"),
        same("job-update", "GET /v1/job/nope/versions"),
        same("job-update", "GET /v1/job/hweb/versions?diffs=x"),
        same("job-stop", "DELETE /v1/job/scaled?purge=maybe"),
        same("job-stop", "DELETE /v1/job/scaled?eval_priority=x"),
        same("job-plan", "GET /v1/job/hweb/plan"),
        same("nodes", "GET /v1/node/23faf289"),
        same("nodes", "GET /v1/node/"),
        other(
            "nodes",
            "GET /v1/node/00000000-0000-0000-0000-000000000000",
            format!("/v1/node/{nil}"),
        ),
        same(
            "nodes",
            "GET /v1/node/23faf289-fe58-1ed4-d7f2-c3f4aa572282/evaluate",
        ),
        same("nodes", "GET /v1/node/pool/nope"),
        same("allocations", "GET /v1/allocation/a1420baf"),
        same(
            "allocations",
            "GET /v1/allocation/00000000-0000-0000-0000-000000000000",
        ),
        same(
            "evaluations",
            "GET /v1/evaluation/00000000-0000-0000-0000-000000000000",
        ),
        same(
            "evaluations",
            "GET /v1/evaluations?job=web&filter=Status%20%3D%3D%20%22complete%22",
        ),
        same(
            "deployments",
            "GET /v1/deployment/00000000-0000-0000-0000-000000000000",
        ),
        same(
            "deployments",
            "GET /v1/deployment/fail/cade39b8-3cc5-445a-e352-cce0d51682a8",
        ),
        same("namespaces-vars-services", "GET /v1/service/web?choose=x"),
        same(
            "client",
            "GET /v1/client/stats?node_id=00000000-0000-0000-0000-000000000000",
        ),
        same(
            "client",
            "GET /v1/client/allocation/00000000-0000-0000-0000-000000000000/stats",
        ),
        same(
            "client",
            "GET /v1/client/allocation/a12400f3-e776-ba7b-652a-64b012d95fa7/nope",
        ),
        same("client-fs-logs", "GET /v1/client/fs/ls/"),
        same(
            "client-fs-logs",
            "GET /v1/client/fs/ls/00000000-0000-0000-0000-000000000000",
        ),
        same("agent", "GET /v1/agent/nope"),
        same("agent", "GET /v1/status/nope"),
        same("agent", "GET /v1/status/leader?region=mars"),
        same("agent", "GET /v1/agent/monitor?log_level=loud"),
        same("agent", "PUT /v1/agent/join"),
        same("agent", "PUT /v1/agent/force-leave"),
        same("agent", "PUT /v1/status/leader"),
        same("operator", "POST /v1/system/gc"),
        same("operator", "GET /v1/operator/nope"),
        same("search", "POST /v1/search"),
        same("volumes-scaling-misc", "GET /v1"),
        same("volumes-scaling-misc", "GET /v1/nope"),
        same("volumes-scaling-misc", "GET /nope"),
        same("volumes-scaling-misc", "OPTIONS /v1/jobs"),
        same("volumes-scaling-misc", "GET /v1/acl/policies"),
    ];
    for (file, request, path) in cases {
        let (method, own) = request.split_once(' ').unwrap();
        let path = path.unwrap_or_else(|| own.to_string());
        let wanted = captured(file, request);
        if wanted.status < 400 {
            continue;
        }
        let answer = server.send(method, &path, &[], "").await;
        println!("{request}");
        like(&answer, &wanted);
    }
}

#[tokio::test]
async fn redirects_keep_the_query() {
    let server = Server::start(cluster()).await;
    for (path, location) in [
        ("/", "/ui/"),
        ("/?x=1", "/ui/?x=1"),
        ("/ui", "/ui/"),
        ("/v1/job", "/v1/job/"),
        ("//v1/jobs", "/v1/jobs"),
    ] {
        let answer = server.get(path).await;
        like(
            &answer,
            &captured("volumes-scaling-misc", &format!("GET {path}")),
        );
        assert_eq!(answer.header("Location"), Some(location));
    }
}

#[tokio::test]
async fn pretty_and_gzip_change_only_the_form() {
    let server = Server::start(cluster()).await;
    let plain = server.get("/v1/job/web").await;
    assert!(!plain.text().ends_with('\n') && !plain.text().contains('\n'));
    let pretty = server.get("/v1/job/web?pretty").await;
    assert!(pretty.text().starts_with("{\n    \"Affinities\": null,\n"));
    assert!(pretty.text().ends_with("}\n"));
    assert_eq!(plain.json(), pretty.json());
    let packed = server
        .send("GET", "/v1/job/web", &[("Accept-Encoding", "gzip")], "")
        .await;
    assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
    assert_eq!(packed.header("Vary"), Some("Accept-Encoding"));
    assert_eq!(packed.body[..2], [0x1f, 0x8b]);
    assert!(packed.body.len() < plain.body.len() / 2);
    assert_eq!(plain.header("X-Own"), Some("yes"));
}

#[tokio::test]
async fn lists_come_in_pages() {
    let mut state = State::default();
    for (n, id) in ["c", "a", "b"].into_iter().enumerate() {
        state.jobs.push(Arc::new(job(id, n as u64 + 5)));
    }
    let server = Server::start(state).await;
    let page = async |query: &str| {
        let answer = server.get(&format!("/v1/jobs?{query}")).await;
        let ids: Vec<String> = answer
            .json()
            .as_array()
            .unwrap()
            .iter()
            .map(|job| job["ID"].as_str().unwrap().to_string())
            .collect();
        let next = answer.header("X-Nomad-Nexttoken").map(str::to_string);
        (ids.join(","), next)
    };
    assert_eq!(
        page("per_page=2").await,
        ("a,b".into(), Some("default.c".into()))
    );
    assert_eq!(
        page("per_page=2&next_token=default.c").await,
        ("c".into(), None)
    );
    assert_eq!(
        page("reverse=true&per_page=1").await,
        ("c".into(), Some("default.b".into()))
    );
    assert_eq!(page("filter=ID+!%3D+%22a%22").await, ("b,c".into(), None));
    assert_eq!(
        page("filter=Meta.team+%3D%3D+x").await,
        ("a,b,c".into(), None)
    );
    assert_eq!(page("namespace=*&prefix=b").await, ("b".into(), None));
    assert_eq!(page("namespace=other").await, (String::new(), None));
}

/// A waiting read returns as soon as something changes, and with the data at the end of its wait.
#[tokio::test]
async fn a_waiting_read_wakes_on_a_change() {
    let server = Arc::new(Server::start(cluster()).await);
    let index = server
        .get("/v1/jobs")
        .await
        .header("X-Nomad-Index")
        .unwrap()
        .to_string();
    let clock = server.env.clock.clone();
    let started = clock.now();
    let (path, waiting) = (format!("/v1/jobs?index={index}&wait=19s"), server.clone());
    let waiting = env::spawn("waiting", server.token.child_token(), async move {
        waiting.get(&path).await
    });
    // The reader has subscribed once there are two receivers of the index.
    while server.fake.index.receiver_count() == 0 {
        tokio::task::yield_now().await;
    }
    let changed = server
        .fake
        .change(|state| state.jobs.push(Arc::new(job("blk", 23))));
    let answer = waiting.join().await.unwrap();
    assert_eq!(answer.json().as_array().unwrap().len(), 2);
    assert_eq!(
        answer.header("X-Nomad-Index"),
        Some(changed.to_string().as_str())
    );
    assert!(clock.now() - started < Duration::from_secs(10));

    let started = clock.now();
    let answer = server
        .get(&format!("/v1/jobs?index={changed}&wait=300ms"))
        .await;
    assert_eq!(
        (answer.status, answer.json().as_array().unwrap().len()),
        (200, 2)
    );
    assert!(clock.now() - started >= Duration::from_millis(300));
}

#[tokio::test]
async fn job_ids_may_hold_slashes() {
    let mut state = cluster();
    state.jobs.push(Arc::new(job("a/b", 30)));
    let server = Server::start(state).await;
    for path in ["/v1/job/a%2Fb", "/v1/job/a/b"] {
        assert_eq!(server.get(path).await.json()["ID"], "a/b");
        let summary = server.get(&format!("{path}/summary")).await;
        assert_eq!(summary.json()["JobID"], "a/b");
        let answer = server.send("DELETE", path, &[], "").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let calls = &server.fake.state.lock().unwrap().calls;
    let key = JobKey::new("default", "a/b");
    assert_eq!(calls.len(), 2);
    assert!(
        calls
            .iter()
            .all(|op| matches!(op, Op::DeregisterJob { key: k, .. } if *k == key))
    );
}

const SMALLEST: &str = r#"{"Job": {"ID": "hmin", "TaskGroups": [{"Name": "g", "Tasks": [
    {"Name": "t", "Driver": "mock_driver", "Config": {"run_for": "600s"}}]}]}}"#;

#[tokio::test]
async fn jobs_are_registered() {
    let server = Server::start(cluster()).await;
    let answer = server.put("/v1/jobs", SMALLEST).await;
    like(&answer, &captured("jobs-register", "PUT /v1/jobs"));
    let body = answer.json();
    let wanted: Value =
        serde_json::from_str(&captured("jobs-register", "PUT /v1/jobs").body).unwrap();
    assert_eq!(keys(&body), keys(&wanted));
    assert_eq!(body["KnownLeader"], false);

    let enforced = SMALLEST.replacen('{', r#"{"EnforceIndex": true, "JobModifyIndex": 7, "#, 1);
    server
        .send("POST", "/v1/job/hmin?namespace=team", &[], &enforced)
        .await;
    let calls = server.fake.state.lock().unwrap().calls.clone();
    let [Op::RegisterJob(first), Op::RegisterJob(second)] = calls.as_slice() else {
        panic!("{calls:?}");
    };
    assert_eq!(first.job.spec_id(), ("hmin", "default", "global"));
    assert_eq!((first.enforce_index, second.enforce_index), (None, Some(7)));
    assert_eq!(second.job.spec_id(), ("hmin", "team", "global"));
}

/// Id, namespace and region of a job.
trait SpecId {
    fn spec_id(&self) -> (&str, &str, &str);
}

impl SpecId for tumen::model::job::JobSpec {
    fn spec_id(&self) -> (&str, &str, &str) {
        (self.id.as_str(), self.namespace.as_str(), &self.region)
    }
}

#[tokio::test]
async fn bad_bodies_are_refused_with_the_reason() {
    let server = Server::start(cluster()).await;
    let check = async |path: &str, body: &str, status: u16, text: &str| {
        let answer = server.put(path, body).await;
        assert_eq!(
            (answer.status, answer.text()),
            (status, text),
            "{path} {body}"
        );
    };
    check("/v1/jobs", "", 400, "Request body is empty").await;
    check("/v1/jobs", "{}", 400, "Job must be specified").await;
    check(
        "/v1/jobs",
        r#"{"Job": {}}"#,
        400,
        "Job ID hasn't been provided",
    )
    .await;
    check("/v1/job/other", SMALLEST, 400, "Job ID does not match name").await;
    check("/v1/job/x/plan", "{}", 400, "Job must be specified").await;
    check("/v1/job/x/plan", SMALLEST, 400, "Job ID does not match").await;
    check("/v1/validate/job", "{}", 400, "Job must be specified").await;
    check(
        "/v1/jobs",
        "{nojson",
        400,
        "invalid JSON: key must be a string at line 1 column 2",
    )
    .await;
    check(
        "/v1/jobs",
        r#"{"Job": {"ID": "x", "Priority": "high"}}"#,
        400,
        "Job.Priority: invalid type: string \"high\", expected i64",
    )
    .await;
    check(
        "/v1/jobs",
        r#"{"Job": {"ID": "x", "TaskGroups": [{"Tasks": [{"Name": 5}]}]}}"#,
        400,
        "Job.TaskGroups[0].Tasks[0].Name: invalid type: integer `5`, expected a string",
    )
    .await;
    check(
        &format!("/v1/deployment/pause/{DEPLOYMENT}"),
        r#"{"Pause": false}"#,
        400,
        "DeploymentID must be specified",
    )
    .await;
    check(
        &format!("/v1/node/{NODE}/eligibility"),
        r#"{"Eligibility": "maybe"}"#,
        500,
        "invalid scheduling eligibility \"maybe\"",
    )
    .await;
    assert!(server.fake.state.lock().unwrap().calls.is_empty());
}

#[tokio::test]
async fn a_huge_body_is_refused() {
    let server = Server::start(cluster()).await;
    let answer = server
        .send("PUT", "/v1/jobs", &[("Content-Length", "99999999")], "")
        .await;
    assert_eq!(answer.status, 413, "{}", answer.text());

    // The same without a declared length.
    let mut conn = server
        .env
        .net
        .connect(server.addr, Duration::from_secs(5))
        .await
        .unwrap();
    conn.write_all(b"PUT /v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(0x10_0000));
    let mut answer = Vec::new();
    let (mut reader, mut writer) = tokio::io::split(conn);
    let sending = async {
        for _ in 0..9 {
            // The server may have closed its side already.
            if writer.write_all(chunk.as_bytes()).await.is_err() {
                break;
            }
        }
    };
    let reading = async {
        let mut bytes = [0; 1024];
        while !answer.windows(4).any(|w| w == b"\r\n\r\n") {
            let n = tokio::io::AsyncReadExt::read(&mut reader, &mut bytes)
                .await
                .unwrap();
            assert!(n > 0, "closed without an answer");
            answer.extend_from_slice(&bytes[..n]);
        }
    };
    tokio::join!(sending, reading);
    assert!(
        answer.starts_with(b"HTTP/1.1 413 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test]
async fn the_keyring_is_changed_everywhere_or_the_failures_are_told() {
    let server = Server::start(cluster()).await;
    let check = async |method: &str, what: &str, status: u16, text: &str| {
        let path = format!("/v1/agent/keyring/{what}");
        let body = match method {
            "PUT" => r#"{"Key": "a2V5"}"#,
            _ => "",
        };
        let answer = server.send(method, &path, &[], body).await;
        assert_eq!(
            (answer.status, answer.text()),
            (status, text),
            "{method} {what}"
        );
    };
    let all = r#"{"Messages":{},"Keys":{"a2V5":2},"PrimaryKeys":{"a2V5":2},"NumNodes":2}"#;
    check("GET", "list", 200, all).await;
    check("PUT", "install", 200, all).await;
    check("PUT", "use", 200, all).await;
    let failed = "1/2 nodes reported failure: dev1: the key is in use: use another one first";
    check("PUT", "remove", 500, failed).await;
    check("GET", "install", 405, "Invalid method").await;
}

#[tokio::test]
async fn writes_report_what_the_cluster_says() {
    let server = Server::start(cluster()).await;
    let refuse = |error| server.fake.state.lock().unwrap().refusal = Some(error);
    let check = async |method: &str, path: &str, body: &str, status: u16, text: &str| {
        let answer = server.send(method, path, &[], body).await;
        assert_eq!(
            (answer.status, answer.text()),
            (status, text),
            "{method} {path}"
        );
    };
    let text = "Enforcing job modify index 0: job already exists";
    refuse(ApiError::Refused(text.into()));
    check("PUT", "/v1/jobs", SMALLEST, 500, text).await;
    refuse(ApiError::NoLeader);
    check("PUT", "/v1/jobs", SMALLEST, 500, "No cluster leader").await;
    refuse(ApiError::NotFound("job not found".into()));
    check("PUT", "/v1/job/nope/evaluate", "", 500, "job not found").await;
    refuse(ApiError::NotFound("allocation not found".into()));
    let path = format!("/v1/allocation/{ALLOC}/stop");
    check("PUT", &path, "", 404, "allocation not found").await;
    refuse(ApiError::NotFound("job not found".into()));
    let answer = server.send("DELETE", "/v1/job/nope", &[], "").await;
    like(&answer, &captured("job-stop", "DELETE /v1/job/nope"));
    assert_eq!(answer.json()["EvalID"], "");
    refuse(ApiError::Denied);
    check("PUT", "/v1/system/gc", "", 403, "Permission denied").await;
    check("PUT", "/v1/system/gc", "", 200, "").await;
}

#[tokio::test]
async fn without_a_leader_only_stale_reads_work() {
    let server = Server::start(cluster()).await;
    server.fake.state.lock().unwrap().no_leader = true;
    for path in ["/v1/jobs", "/v1/status/leader", "/v1/agent/health"] {
        like(
            &server.get(path).await,
            &captured("no-leader", &format!("GET {path}")).without_client(),
        );
    }
    assert_eq!(server.get("/v1/jobs?stale").await.status, 200);
    // Files stay readable.
    let cat = format!("/v1/client/fs/cat/{ALLOC}?path=server/local/index.html");
    assert_eq!(server.get(&cat).await.text(), "hello from 1\n");
}

impl super::wire::Captured {
    /// The captured agent was no client; ours is.
    fn without_client(mut self) -> Self {
        if self.body.starts_with("{\"server\"") {
            self.body = r#"{"client":{"message":"ok","ok":true},"server":{"message":"No cluster leader","ok":false}}"#.into();
        }
        self
    }
}

#[tokio::test]
async fn parsing_and_validating() {
    let server = Server::start(cluster()).await;
    let hcl = r#"job "redis" { group "cache" { task "redis" {
        driver = "docker"
        config { image = "redis:7" } } } }"#
        .replace("{ group", "{\n group")
        .replace("{ task", "{\n task")
        .replace("} } }", "}\n}\n}\n");
    let body = json!({"jobhcl": hcl, "Canonicalize": true}).to_string();
    let answer = server.send("POST", "/v1/jobs/parse", &[], &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["ID"], "redis");
    assert_eq!(answer.json()["Priority"], 50);
    let answer = server
        .put("/v1/jobs/parse", r#"{"JobHCL": "job \"x\" {"}"#)
        .await;
    assert_eq!(answer.status, 400);
    assert!(
        answer
            .text()
            .starts_with("Failed to parse job: input.hcl:1,"),
        "{}",
        answer.text()
    );
    let answer = server.put("/v1/validate/job", SMALLEST).await;
    assert_eq!(
        answer.json(),
        json!({"DriverConfigValidated": true, "Error": "", "ValidationErrors": null, "Warnings": ""})
    );
}

#[tokio::test]
async fn versions_are_compared() {
    let mut state = State::default();
    let versions = [(2, 70), (1, 60), (0, 50)];
    for (version, priority) in versions {
        let mut job = job("web", 5);
        (job.version, job.spec.priority) = (version, priority);
        state.jobs.push(Arc::new(job));
    }
    let server = Server::start(state).await;
    let answer = server.get("/v1/job/web/versions").await.json();
    assert_eq!(
        (
            answer["Versions"].as_array().unwrap().len(),
            &answer["Diffs"]
        ),
        (3, &json!(null))
    );
    let changes = async |query: &str| {
        let answer = server
            .get(&format!("/v1/job/web/versions?diffs=true{query}"))
            .await;
        let diffs = answer.json()["Diffs"].clone();
        let field = |diff: &Value| {
            let fields = diff["Fields"].as_array().unwrap();
            let field = fields.iter().find(|f| f["Name"] == "Priority").unwrap();
            format!(
                "{}-{}",
                field["Old"].as_str().unwrap(),
                field["New"].as_str().unwrap()
            )
        };
        diffs
            .as_array()
            .unwrap()
            .iter()
            .map(field)
            .collect::<Vec<_>>()
    };
    assert_eq!(changes("").await, ["60-70", "50-60"]);
    assert_eq!(changes("&diff_version=0").await, ["50-70", "50-60"]);
    assert_eq!(
        server
            .get("/v1/job/web/versions?diffs=true&diff_version=9")
            .await
            .status,
        500
    );
}

/// Every broken rule is listed, nested by group and task as clients have seen it.
#[tokio::test]
async fn broken_rules_are_listed() {
    let server = Server::start(cluster()).await;
    for (n, body) in [(0, r#"{"Job": {}}"#), (1, r#"{"Job": {"ID": "x"}}"#)] {
        let answer = server.put("/v1/validate/job", body).await.json();
        let wanted: &[&str] = if n == 0 {
            &[
                "Missing job ID",
                "Missing job name",
                "Missing job task groups",
            ]
        } else {
            &["Missing job task groups"]
        };
        assert_eq!(answer["ValidationErrors"], json!(wanted));
        assert!(
            answer["Error"]
                .as_str()
                .unwrap()
                .contains("occurred:\n\t* Missing")
        );
    }
    let answer = server.put("/v1/jobs", r#"{"Job": {"ID": "x"}}"#).await;
    assert_eq!(answer.status, 500);
    assert_eq!(
        answer.text(),
        "1 error occurred:\n\t* Missing job task groups\n\n"
    );
    let answer = server
        .put("/v1/jobs", &SMALLEST.replace("hmin", "x y"))
        .await;
    assert!(
        answer.text().contains("Job ID contains a space"),
        "{}",
        answer.text()
    );
    assert!(server.fake.state.lock().unwrap().calls.is_empty());
}

#[tokio::test]
async fn files_and_logs() {
    let server = Server::start(cluster()).await;
    let file = "path=server/local/index.html";
    let fs = |verb: &str, query: &str| format!("/v1/client/fs/{verb}/{ALLOC}?{query}");
    let captured_fs = |verb: &str, query: &str| {
        let id = "a12400f3-e776-ba7b-652a-64b012d95fa7";
        let query = if query.is_empty() {
            String::new()
        } else {
            format!("?{query}")
        };
        captured(
            "client-fs-logs",
            &format!("GET /v1/client/fs/{verb}/{id}{query}"),
        )
    };
    for (verb, query) in [
        ("stat", file),
        ("stat", ""),
        ("cat", file),
        ("cat", "path=alloc"),
        ("cat", ""),
        ("cat", "path=../../../etc/hostname"),
        ("readat", "path=server/local/index.html&offset=6&limit=4"),
        ("readat", "path=server/local/index.html&offset=6"),
        ("readat", file),
        ("readat", "path=server/local/index.html&offset=x"),
        ("readat", "path=server/local/index.html&offset=9999&limit=3"),
        ("stream", "path=server/local/index.html&origin=middle"),
        (
            "stream",
            "path=server/local/index.html&offset=0&origin=start&follow=false",
        ),
    ] {
        let (answer, wanted) = (server.get(&fs(verb, query)).await, captured_fs(verb, query));
        println!("{verb} {query}");
        like(&answer, &wanted);
        if verb != "stat" && wanted.body != "# (empty body)" {
            assert_eq!(answer.text().trim_end(), wanted.body.trim_end());
        }
    }
    for query in [
        "task=server",
        "type=stdout",
        "task=server&type=both",
        "task=nope&type=stdout",
    ] {
        let answer = server.get(&fs("logs", query)).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
    }
    let plain = server
        .get(&fs("logs", "task=server&type=stdout&plain=true"))
        .await;
    assert_eq!((plain.status, plain.text()), (200, "hello from 1\n"));
    assert_eq!(plain.header("Content-Type"), Some("text/plain"));
    // A stream is never held back for compression, and lives by heartbeats.
    let seen = server
        .watch(&fs("logs", "task=server&type=stdout&follow=true"), "{}")
        .await;
    assert!(seen.contains(
        r#"{"Data":"aGVsbG8gZnJvbSAxCg==","File":"alloc/logs/server.stdout.0","Offset":13}"#
    ));
}

#[tokio::test]
async fn a_pool_has_the_name_of_its_path() {
    let server = Server::start(cluster()).await;
    let answer = server
        .put("/v1/node/pool/other", r#"{"Name": "gpu"}"#)
        .await;
    like(&answer, &captured("nodes", "PUT /v1/node/pool/other"));
    let asks = r#"{"Name": "gpu", "SchedulerConfiguration": {"SchedulerAlgorithm": "spread"}}"#;
    let answer = server.put("/v1/node/pools", asks).await;
    assert_eq!(answer.status, 501);
}

#[tokio::test]
async fn metadata_is_changed() {
    let server = Server::start(cluster()).await;
    let set = r#"{"Meta":{"rack":"r1","x":null}}"#;
    let answer = server.put("/v1/client/metadata", set).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["Dynamic"], json!({"rack": "r1"}));
    let nothing = server.put("/v1/client/metadata", r#"{"Meta":{}}"#).await;
    let refused = (nothing.status, nothing.text());
    assert_eq!(refused, (400, "missing required Meta object"));
}

#[tokio::test]
async fn client_requests() {
    let server = Server::start(cluster()).await;
    let path = |verb: &str| format!("/v1/client/allocation/{ALLOC}/{verb}");
    let answer = server.put(&path("restart"), "").await;
    assert_eq!((answer.status, answer.json()), (200, json!({"Index": 0})));
    let answer = server
        .put(&path("restart"), r#"{"TaskName": "nope"}"#)
        .await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.text(), "Could not find task runner for task: nope");
    assert_eq!(server.get(&path("signal")).await.status, 405);
    let stats = server.get(&path("stats")).await.json();
    assert_eq!(stats["ResourceUsage"]["MemoryStats"]["RSS"], 53_248);
    assert_eq!(
        stats["Tasks"]["server"]["ResourceUsage"]["CpuStats"]["Measured"],
        json!(["Percent"])
    );
    let checks = server.get(&path("checks")).await.json();
    assert_eq!(
        (&checks["c1"]["Status"], &checks["c1"]["Group"]),
        (&json!("success"), &json!("web.app[0]"))
    );
    let answer = server
        .get(&path("exec?task=server&command=%5B%22ls%22%5D"))
        .await;
    assert_eq!(answer.text(), "websocket connection not found in context");
    let answer = server
        .send(
            "OPTIONS",
            "/v1/client/stats",
            &[("Origin", "http://x.test")],
            "",
        )
        .await;
    assert_eq!(
        (answer.status, answer.header("Access-Control-Allow-Origin")),
        (204, Some("*"))
    );
}

/// Opens an exec session and returns what the server sends after these messages.
async fn exec(server: &Server, query: &str, messages: &[&str]) -> Vec<String> {
    let conn = server
        .env
        .net
        .connect(server.addr, Duration::from_secs(5))
        .await
        .unwrap();
    let url = format!("ws://x/v1/client/allocation/{ALLOC}/exec?{query}");
    let (mut socket, answer) = tokio_tungstenite::client_async(url, conn).await.unwrap();
    assert_eq!(answer.status(), 101);
    for message in messages {
        socket.send(Message::text(*message)).await.unwrap();
    }
    let mut seen = Vec::new();
    let reading = async {
        while let Some(message) = socket.next().await {
            match message.unwrap() {
                Message::Text(text) => seen.push(text.to_string()),
                Message::Close(Some(frame)) => {
                    seen.push(format!("close {} {}", u16::from(frame.code), frame.reason));
                }
                other => seen.push(format!("{other:?}")),
            }
        }
    };
    env::timeout(&*server.env.clock, Duration::from_secs(20), reading)
        .await
        .unwrap();
    seen
}

#[tokio::test]
async fn a_command_runs_over_a_websocket() {
    let server = Server::start(cluster()).await;
    let seen = exec(
        &server,
        "task=server&tty=false&ws_handshake=true&command=%5B%22cat%22%5D",
        &[
            r#"{"version":1,"auth_token":""}"#,
            r#"{"tty_size":{"height":24,"width":80}}"#,
            "{}",
            r#"{"stdin":{"data":"aGVsbG8K"}}"#,
            r#"{"stdin":{"close":true}}"#,
        ],
    )
    .await;
    assert_eq!(
        seen,
        [
            r#"{"stderr":{"data":"ODB4MjQ="}}"#,
            r#"{"stdout":{"data":"aGVsbG8K"}}"#,
            r#"{"stdout":{"close":true}}"#,
            r#"{"stderr":{"close":true}}"#,
            r#"{"exited":true,"result":{"exit_code":3}}"#,
            "close 1000 ",
        ]
    );
    let query = "task=nope&command=%5B%22ls%22%5D";
    assert_eq!(
        exec(&server, query, &[]).await,
        ["close 1011 task not found"]
    );
    let query = "task=server&command=%5B%22refuse%22%5D";
    assert_eq!(
        exec(&server, query, &[]).await,
        ["close 1011 no terminal here"]
    );
    let seen = exec(&server, "task=server&command=ls", &[]).await;
    assert!(
        seen[0].starts_with("close 1011 the command is no JSON list"),
        "{seen:?}"
    );
}

#[tokio::test]
async fn absent_parts_say_so() {
    let server = Server::start(cluster()).await;
    for path in [
        "/v1/event/stream",
        "/v1/vars",
        "/v1/volumes",
        "/v1/operator/snapshot",
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 501, "{path}");
        assert!(
            answer.text().contains(path) && answer.text().contains("not available"),
            "{}",
            answer.text()
        );
    }
    assert_eq!(
        server.get("/v1/quotas").await.text(),
        "Nomad Enterprise only endpoint"
    );
}

#[tokio::test]
async fn metrics_in_both_forms() {
    let server = Server::start(cluster()).await;
    server.env.metrics.gauge("tumen.test", &[("a", "b")], 4.0);
    let json = server.get("/v1/metrics").await.json();
    let gauges = json["Gauges"].as_array().unwrap();
    assert!(
        gauges
            .iter()
            .any(|g| g["Name"] == "tumen.test" && g["Value"] == 4.0)
    );
    let text = server.get("/v1/metrics?format=prometheus").await;
    assert!(
        text.text().contains("tumen_test{a=\"b\"} 4\n"),
        "{}",
        text.text()
    );
}

#[tokio::test]
async fn one_address_has_so_many_connections() {
    let server = Server::with_limit(cluster(), 1).await;
    let held = server
        .env
        .net
        .connect(server.addr, Duration::from_secs(5))
        .await
        .unwrap();
    let answer = loop {
        // Until the held connection has been accepted, this one may come first.
        let answer = server.get("/v1/regions").await;
        if answer.status == 429 {
            break answer;
        }
    };
    assert!(answer.text().starts_with("too many connections"));
    drop(held);
    while server.get("/v1/regions").await.status != 200 {}
}

/// The server ends with its token, although somebody follows a log and somebody waits.
#[tokio::test]
async fn stopping_ends_streams_and_waits() {
    let server = Server::start(cluster()).await;
    let path = format!("/v1/client/fs/logs/{ALLOC}?task=server&type=stdout&follow=true");
    server.watch(&path, "Offset").await;
    let mut waiting = server
        .env
        .net
        .connect(server.addr, Duration::from_secs(5))
        .await
        .unwrap();
    waiting
        .write_all(b"GET /v1/jobs?index=22&wait=60s HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    while server.fake.index.receiver_count() == 0 {
        tokio::task::yield_now().await;
    }
    let Server {
        env, task, token, ..
    } = server;
    token.cancel();
    env::timeout(&*env.clock, Duration::from_secs(4), task.join())
        .await
        .expect("the server ends at once")
        .unwrap();
}

/// An explanation is JSON below the thing explained; what does not exist has none.
#[tokio::test]
async fn why_is_told_of_what_exists() {
    let server = Server::start(cluster()).await;
    let answer = server.get("/v1/job/web/why").await;
    assert_eq!((answer.status, &answer.json()["ID"]), (200, &json!("web")));
    assert!(answer.header("X-Nomad-Index").is_some());
    for (path, text) in [
        ("/v1/job/nope/why", "job not found"),
        (&*format!("/v1/node/{NODE}/why"), "node not found"),
        (&*format!("/v1/allocation/{ALLOC}/why"), "alloc not found"),
        (&*format!("/v1/evaluation/{ALLOC}/why"), "eval not found"),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.text()), (404, text), "{path}");
    }
    let answer = server.send("PUT", "/v1/job/web/why", &[], "").await;
    assert_eq!(answer.status, 405);
}
