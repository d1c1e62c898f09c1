//! The pages that hints name: whole without scripts, safe whatever names hold, found by search,
//! and live.

use std::sync::Arc;

use tumen::model::ids::EvalId;
use tumen::model::{
    AllocClientStatus, AllocMetric, DeploymentStatus, EvalStatus, NodeStatus, Timestamp,
};

use super::fake::{ALLOC, DEPLOYMENT, EVAL, NODE, Server, State, cluster, job};

/// A name as bad as names get.
const HOSTILE: &str = "<b>x&\"y";

/// Every page, with a text that it has when there is something to show.
fn pages() -> Vec<(String, &'static str)> {
    vec![
        ("/ui/".to_string(), "jobs running"),
        ("/ui/jobs".into(), "web"),
        ("/ui/jobs/web@default".into(), "web.app[0]"),
        ("/ui/jobs/web".into(), "Latest deployment"),
        ("/ui/jobs/web/deployments".into(), "Latest deployment"),
        ("/ui/allocations".into(), "web.app[0]"),
        (format!("/ui/allocations/{ALLOC}"), "Task started by client"),
        (
            format!("/ui/allocations/{ALLOC}/server?log=stderr"),
            "hello from 1",
        ),
        ("/ui/clients".into(), "dev1"),
        (format!("/ui/clients/{NODE}"), "mock_driver"),
        ("/ui/servers".into(), "dev1.global"),
        ("/ui/services".into(), "Services"),
        ("/ui/evaluations".into(), "job-register"),
        (
            format!("/ui/evaluations?currentEval={EVAL}"),
            "job-register",
        ),
        (format!("/ui/evaluations/{EVAL}"), "job-register"),
        ("/ui/deployments".into(), "completed successfully"),
        (
            format!("/ui/deployments/{DEPLOYMENT}"),
            "completed successfully",
        ),
        ("/ui/search?q=e".into(), "found for"),
    ]
}

/// Checks what holds for every page, whatever is on it.
fn is_sound(path: &str, page: &super::wire::Answer) {
    let text = page.text();
    let kind = page.header("Content-Type");
    assert_eq!(kind, Some("text/html; charset=utf-8"), "{path}");
    assert_eq!(page.header("Cache-Control"), Some("no-store"));
    let policy = page.header("Content-Security-Policy").unwrap();
    assert!(policy.starts_with("default-src 'self'"), "{policy}");
    assert!(text.ends_with("</html>"), "{path}");
    assert_eq!(text.matches("<h1>").count(), 1, "{path}: one first heading");
    for inline in [" style=", "<style", "javascript:", " onclick=", " onload="] {
        assert!(!text.contains(inline), "{path} has `{inline}`");
    }
    for script in text.split("<script").skip(1) {
        assert!(script.starts_with(" src=\"/ui/tumen.js?v="), "{path}");
        assert!(script.contains("\"></script>"), "{path}");
    }
    let ids: Vec<&str> = text
        .split(" id=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(ids.len(), unique.len(), "{path} names something twice");
}

#[tokio::test]
async fn every_page_is_whole() {
    let server = Server::start(cluster()).await;
    for (path, text) in pages() {
        let page = server.get(&path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        assert!(
            page.text().contains(text),
            "{path} lacks `{text}`: {}",
            page.text()
        );
        is_sound(&path, &page);
    }
}

#[tokio::test]
async fn an_empty_cluster_has_pages_too() {
    let server = Server::start(State::default()).await;
    for (path, text) in [
        ("/ui/", "No leader"),
        ("/ui/jobs", "tumen job init -short"),
        ("/ui/jobs?q=x", "No job is named so."),
        ("/ui/allocations", "There are none."),
        ("/ui/clients", "No client has registered."),
        ("/ui/servers", "Nobody belongs to it yet."),
        ("/ui/services", "No running allocation"),
        ("/ui/evaluations", "There are none."),
        ("/ui/deployments", "There are none."),
        ("/ui/search", "paste the beginning of an id"),
        ("/ui/search?q=nothing", "Nothing is named so"),
    ] {
        let page = server.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.text().contains(text), "{path}: {}", page.text());
        is_sound(path, &page);
    }
}

#[tokio::test]
async fn files_that_pages_name_are_kept_by_browsers() {
    let server = Server::start(cluster()).await;
    let page = server.get("/ui/").await;
    for (name, kind, text) in [
        (
            "style.css",
            "text/css; charset=utf-8",
            "prefers-color-scheme",
        ),
        ("tumen.js", "text/javascript; charset=utf-8", "EventSource"),
        ("icon.svg", "image/svg+xml", "<svg"),
    ] {
        let at = page.text().find(&format!("/ui/{name}?v=")).unwrap();
        let address = page.text()[at..].split('"').next().unwrap();
        let file = server.get(address).await;
        assert_eq!(file.header("Content-Type"), Some(kind));
        assert!(file.header("Cache-Control").unwrap().contains("immutable"));
        assert!(file.text().contains(text));
        let bare = server.get(&format!("/ui/{name}")).await;
        assert_eq!(bare.header("Cache-Control"), Some("no-store"));
    }
}

#[tokio::test]
async fn missing_things_have_a_page_too() {
    let server = Server::start(cluster()).await;
    for path in [
        "/ui/jobs/nope@default",
        "/ui/jobs/nope/deployments",
        "/ui/allocations/nope",
        "/ui/nope",
    ] {
        let page = server.get(path).await;
        assert_eq!(page.status, 404, "{path}");
        assert!(page.text().contains("Not found"));
        is_sound(path, &page);
    }
    assert_eq!(server.put("/ui/jobs", "x").await.status, 405);
}

#[tokio::test]
async fn names_from_outside_are_escaped() {
    let mut state = cluster();
    state.jobs = vec![Arc::new(job(HOSTILE, 3))];
    let alloc = Arc::make_mut(&mut state.allocs[0]);
    (alloc.name, alloc.node_name) = (HOSTILE.into(), HOSTILE.into());
    alloc.client_status = AllocClientStatus::Failed;
    alloc.client_description = HOSTILE.into();
    alloc.job_id = HOSTILE.into();
    let task = alloc.task_states.get_mut("server").unwrap();
    task.failed = true;
    task.events[0].message = HOSTILE.into();
    let node = Arc::make_mut(&mut state.nodes[0]);
    node.name = HOSTILE.into();
    node.status = NodeStatus::Down;
    node.status_description = HOSTILE.into();
    node.meta.insert(HOSTILE.into(), HOSTILE.into());
    let eval = Arc::make_mut(&mut state.evals[0]);
    eval.job_id = HOSTILE.into();
    let mut metric = AllocMetric::default();
    metric.constraint_filtered.insert(HOSTILE.into(), 1);
    eval.failed_groups.insert(HOSTILE.into(), metric);
    let server = Server::start(state).await;
    let hostile = "/ui/jobs/%3Cb%3Ex%26%22y@default";
    for path in [
        "/ui/",
        "/ui/jobs",
        "/ui/jobs?q=%3Cb%3Ex%26%22y&page=1",
        hostile,
        "/ui/allocations",
        &format!("/ui/allocations/{ALLOC}"),
        "/ui/clients",
        &format!("/ui/clients/{NODE}"),
        "/ui/evaluations",
        &format!("/ui/evaluations/{EVAL}"),
        "/ui/search?q=%3Cb%3Ex%26%22",
    ] {
        let page = server.get(path).await;
        // A search with one match leads to it.
        if page.status == 307 {
            assert_eq!(page.header("Location"), Some(hostile));
            continue;
        }
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.text().contains("<b>x"), "{path}: {}", page.text());
        assert!(page.text().contains("&lt;b&gt;x&amp;"), "{path}");
        is_sound(path, &page);
    }
}

#[tokio::test]
async fn the_overview_tells_what_is_wrong() {
    let mut state = cluster();
    let calm = Server::start(cluster()).await;
    calm.fake.change(|state| state.no_leader = false);
    let alloc = Arc::make_mut(&mut state.allocs[0]);
    alloc.client_status = AllocClientStatus::Lost;
    let node = Arc::make_mut(&mut state.nodes[0]);
    node.status = NodeStatus::Down;
    node.status_description = "the machine is silent".into();
    let eval = Arc::make_mut(&mut state.evals[0]);
    eval.status = EvalStatus::Blocked;
    let mut metric = AllocMetric {
        nodes_evaluated: 1,
        ..AllocMetric::default()
    };
    metric.dimension_exhausted.insert("memory".into(), 1);
    eval.failed_groups.insert("app".into(), metric);
    state.queued = 2;
    let deployment = Arc::make_mut(&mut state.deployments[0]);
    deployment.status = DeploymentStatus::Failed;
    deployment.status_description = "Failed due to progress deadline".into();
    let server = Server::start(state).await;
    let page = server.get("/ui/").await;
    for text in [
        "the machine is silent",
        "2 of app without a place",
        "1 client without enough memory",
        "Failed due to progress deadline",
        "<span class=\"badge bad\">lost</span>",
    ] {
        assert!(
            page.text().contains(text),
            "lacks `{text}`: {}",
            page.text()
        );
        assert!(!calm.get("/ui/").await.text().contains(text), "{text}");
    }
    // The reason is on the job's and the evaluation's pages too.
    for path in [
        "/ui/jobs/web@default".to_string(),
        format!("/ui/evaluations/{EVAL}"),
    ] {
        let page = server.get(&path).await;
        let reason = "<li>1 client without enough memory</li>";
        assert!(page.text().contains(reason), "{path}: {}", page.text());
    }
}

#[tokio::test]
async fn search_leads_to_what_was_pasted() {
    let server = Server::start(cluster()).await;
    let leads = async |words: &str| {
        let answer = server.get(&format!("/ui/search?q={words}")).await;
        let to = answer.header("Location").map(str::to_string);
        (answer.status, to.unwrap_or_default())
    };
    let to = |path: String| (307, path);
    assert_eq!(leads("web").await, to("/ui/jobs/web@default".into()));
    assert_eq!(leads("WE").await, to("/ui/jobs/web@default".into()));
    assert_eq!(leads("dev1").await, to(format!("/ui/clients/{NODE}")));
    assert_eq!(leads(ALLOC).await, to(format!("/ui/allocations/{ALLOC}")));
    assert_eq!(
        leads("%22a1420baf%22+").await,
        to(format!("/ui/allocations/{ALLOC}"))
    );
    assert_eq!(
        leads(&EVAL[..8]).await,
        to(format!("/ui/evaluations/{EVAL}"))
    );
    assert_eq!(
        leads(&DEPLOYMENT[..9]).await,
        to(format!("/ui/deployments/{DEPLOYMENT}"))
    );
    let upper = NODE[..6].to_uppercase();
    assert_eq!(leads(&upper).await, to(format!("/ui/clients/{NODE}")));
    // Several are listed.
    server
        .fake
        .change(|state| state.jobs.push(Arc::new(job("web-2", 30))));
    assert_eq!(leads("web").await, to("/ui/jobs/web@default".into()));
    let listed = server.get("/ui/search?q=we").await;
    assert_eq!(listed.status, 200);
    assert!(listed.text().contains("/ui/jobs/web-2@default"));
}

#[tokio::test]
async fn lists_are_narrowed_by_forms_and_come_in_pages() {
    let mut state = cluster();
    state.jobs = (0..130)
        .map(|n| Arc::new(job(&format!("job-{n:03}"), n)))
        .collect();
    let server = Server::start(state).await;
    let shown = async |query: &str| {
        let page = server.get(&format!("/ui/jobs?{query}")).await;
        page.text().matches("<tr id=\"job-").count()
    };
    assert_eq!(shown("").await, 100);
    assert_eq!(shown("page=2").await, 30);
    assert_eq!(shown("q=job-01&status=running").await, 10);
    assert_eq!(shown("status=dead").await, 0);
}

#[tokio::test]
async fn a_live_page_gets_what_changes() {
    let server = Server::start(cluster()).await;
    let first = server.watch("/ui/live/jobs", "event: patch").await;
    assert!(first.contains("Content-Type: text/event-stream; charset=utf-8"));
    assert!(!first.contains("Content-Encoding"), "{first}");
    let (fake, watched) = (server.fake.clone(), server.open("/ui/live/jobs").await);
    let mut watched = watched.until("\"order\":[\"head\",\"jobs\"]").await;
    watched = watched.until("\n\n").await;
    let seen = watched.seen.len();
    fake.change(|state| state.jobs.push(Arc::new(job("later", 23))));
    watched = watched.until("\"title\"").await.until("later").await;
    watched = watched.until("\n\n").await;
    let patch = &watched.seen[seen..];
    assert!(patch.contains("<tr id=\\\"job-later\\\""), "{patch}");
    // A change that does not show is not sent: the next event is about the one that does.
    let seen = watched.seen.len();
    fake.change(|state| {
        let eval = Arc::make_mut(&mut state.evals[0]);
        eval.id = EvalId(uuid::Uuid::from_u128(9));
    });
    fake.change(|state| state.jobs.truncate(1));
    watched = watched
        .until("Jobs <span class=\\\"count\\\">1</span>")
        .await;
    let events = watched.seen[seen..].matches("event: ").count();
    assert_eq!(events, 1, "{}", &watched.seen[seen..]);
}

#[tokio::test]
async fn a_live_page_says_that_the_cluster_is_silent_and_that_it_is_back() {
    let server = Server::start(cluster()).await;
    let watched = server.open("/ui/live/clients").await;
    let watched = watched.until("event: patch").await.until("dev1").await;
    server.fake.change(|state| state.silent = true);
    let watched = watched
        .until("event: stale")
        .await
        .until("down for a test")
        .await;
    server.fake.change(|state| state.silent = false);
    watched.until("event: fresh").await;
}

#[tokio::test]
async fn a_live_page_of_something_gone_says_so() {
    let server = Server::start(cluster()).await;
    let path = format!("/ui/live/allocations/{ALLOC}");
    let watched = server.open(&path).await.until("\"placement\"").await;
    server.fake.change(|state| state.allocs.clear());
    watched
        .until("\"order\":[\"note\"]")
        .await
        .until("Not found")
        .await;
}

#[tokio::test]
async fn logs_come_over_the_same_stream() {
    let server = Server::start(cluster()).await;
    let path = format!("/ui/live/allocations/{ALLOC}");
    let watched = server.open(&path).await.until("\"reset\":true").await;
    watched.until("\"text\":\"hello from 1\\n\"").await;
}

#[tokio::test]
async fn live_streams_end_with_the_agent_and_are_bounded() {
    let server = Server::with_limit(cluster(), 0).await;
    let mut open = Vec::new();
    for _ in 0..128 {
        open.push(
            server
                .open("/ui/live/jobs")
                .await
                .until("event: patch")
                .await,
        );
    }
    let refused = server.get("/ui/live/jobs").await;
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("128 live pages"));
    server.token.cancel();
    for watched in open {
        watched.ended().await;
    }
    server.task.join().await.unwrap();
}

#[tokio::test]
async fn pages_stay_up_without_a_leader_and_say_so() {
    let server = Server::start(cluster()).await;
    let warning = "No leader is known";
    assert!(!server.get("/ui/jobs").await.text().contains(warning));
    let watched = server
        .open("/ui/live/jobs")
        .await
        .until("event: patch")
        .await;
    server.fake.change(|state| state.no_leader = true);
    watched.until(warning).await;
    let page = server.get("/ui/jobs").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains(warning));
}

/// What is long past stays what it was: ages alone make no difference to a stream.
#[tokio::test]
async fn ages_are_exact_in_their_title() {
    let server = Server::start(cluster()).await;
    let page = server.get(&format!("/ui/allocations/{ALLOC}")).await;
    let exact =
        jiff::Timestamp::from_nanosecond(i128::from(Timestamp(1_795_373_509_552_044_555).0))
            .unwrap();
    let exact = exact.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let title = format!("<time datetime=\"{exact}\" title=\"{exact}\">");
    assert!(page.text().contains(&title), "{}", page.text());
}
