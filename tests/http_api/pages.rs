//! The pages that hints name.

use std::sync::Arc;

use super::fake::{ALLOC, DEPLOYMENT, EVAL, NODE, Server, cluster, job};

#[tokio::test]
async fn every_page_is_whole() {
    let server = Server::start(cluster()).await;
    let pages = [
        ("/ui/".to_string(), "jobs running"),
        ("/ui/jobs".into(), "web"),
        ("/ui/jobs/web@default".into(), "web.app[0]"),
        ("/ui/jobs/web".into(), "Latest deployment"),
        ("/ui/allocations".into(), "web.app[0]"),
        (format!("/ui/allocations/{ALLOC}"), "Task started by client"),
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
        (
            format!("/ui/deployments/{DEPLOYMENT}"),
            "completed successfully",
        ),
    ];
    for (path, text) in pages {
        let page = server.get(&path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        assert_eq!(
            page.header("Content-Type"),
            Some("text/html; charset=utf-8")
        );
        let policy = page.header("Content-Security-Policy").unwrap();
        assert!(policy.starts_with("default-src 'self'"), "{policy}");
        assert!(
            page.text().contains(text),
            "{path} lacks `{text}`: {}",
            page.text()
        );
        assert!(!page.text().contains("<script") && !page.text().contains(" style="));
        assert!(page.text().ends_with("</html>"));
    }
    let style = server.get("/ui/style.css").await;
    assert_eq!(
        style.header("Content-Type"),
        Some("text/css; charset=utf-8")
    );
    assert!(style.text().contains("prefers-color-scheme"));
}

#[tokio::test]
async fn missing_things_have_a_page_too() {
    let server = Server::start(cluster()).await;
    for path in ["/ui/jobs/nope@default", "/ui/allocations/nope", "/ui/nope"] {
        let page = server.get(path).await;
        assert_eq!(page.status, 404, "{path}");
        assert!(page.text().contains("Not found"));
    }
    assert_eq!(server.put("/ui/jobs", "x").await.status, 405);
}

#[tokio::test]
async fn names_from_outside_are_escaped() {
    let mut state = cluster();
    state.jobs = vec![Arc::new(job("<b>x&\"y", 3))];
    let server = Server::start(state).await;
    let page = server.get("/ui/jobs").await;
    assert!(!page.text().contains("<b>x"), "{}", page.text());
    assert!(page.text().contains("&lt;b&gt;x&amp;"), "{}", page.text());
    assert!(
        page.text().contains("/ui/jobs/%3Cb%3Ex%26%22y@default"),
        "{}",
        page.text()
    );
    let page = server.get("/ui/jobs/%3Cb%3Ex%26%22y@default").await;
    assert_eq!(page.status, 200);
}
