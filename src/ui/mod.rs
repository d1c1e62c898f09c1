//! The web UI: read-only pages, made whole on the server from the same reads as the API.
//!
//! **Owns** what people see: one layout, one style sheet, a page per noun. **Does not** change
//! anything in the cluster, and needs no script.
//!
//! [`pages`] makes the function that `http` calls with a path; start reading at [`Ui::page`].

mod format;
mod layout;
mod pages;

use std::sync::Arc;

use maud::{Markup, html};

use crate::env::Env;
use crate::http::dto::page::{Page, Pages};
use crate::rpc::{Answer, Api, ApiError, Body, Local, Nodes, Query, Read};

use layout::Layout;

/// What pages are made from.
#[derive(Clone)]
pub struct Ui {
    pub api: Arc<dyn Api>,
    pub local: Arc<dyn Local>,
    pub nodes: Arc<dyn Nodes>,
    pub env: Env,
}

/// The function that makes a page for a path and a query string.
pub fn pages(ui: Ui) -> Pages {
    Arc::new(move |path, query| {
        let ui = ui.clone();
        Box::pin(async move { ui.page(&path, &query).await })
    })
}

/// Why there is no page.
#[derive(Debug)]
enum Missing {
    /// No object of that name.
    Object(String),
    /// The cluster did not answer.
    Cluster(ApiError),
}

impl From<ApiError> for Missing {
    fn from(error: ApiError) -> Self {
        Self::Cluster(error)
    }
}

/// A page's title and content.
struct View {
    title: String,
    /// Which entry of the navigation is marked.
    section: &'static str,
    content: Markup,
}

impl Ui {
    async fn page(&self, path: &str, query: &str) -> Page {
        if path == "/ui/style.css" {
            return Page {
                status: 200,
                kind: "text/css; charset=utf-8",
                body: layout::STYLE.to_string(),
            };
        }
        let (status, view) = match self.view(path, query).await {
            Ok(view) => (200, view),
            Err(Missing::Object(what)) => (404, note("Not found", &what)),
            Err(Missing::Cluster(error)) => {
                (503, note("The cluster does not answer", &error.to_string()))
            }
        };
        let layout = Layout::of(&self.local.info());
        Page {
            status,
            kind: "text/html; charset=utf-8",
            body: layout.render(view),
        }
    }

    async fn view(&self, path: &str, query: &str) -> Result<View, Missing> {
        let rest = path.trim_start_matches("/ui/").trim_end_matches('/');
        let (noun, id) = match rest.split_once('/') {
            Some((noun, id)) => (noun, Some(id)),
            None => (rest, None),
        };
        match (noun, id) {
            ("" | "overview" | "topology", None) => pages::overview(self).await,
            ("jobs", None) => pages::jobs(self).await,
            ("jobs", Some(id)) => pages::job(self, id).await,
            ("allocations", None) => pages::allocs(self).await,
            ("allocations", Some(id)) => pages::alloc(self, id).await,
            ("clients", None) => pages::clients(self).await,
            ("clients", Some(id)) => pages::client(self, id).await,
            ("servers", _) => pages::servers(self).await,
            ("evaluations", id) => pages::evals(self, id.or(current_eval(query))).await,
            ("deployments", Some(id)) => pages::deployment(self, id).await,
            ("services", None) => pages::services(self).await,
            _ => Err(Missing::Object(format!("There is no page at {path}."))),
        }
    }

    /// Asks the cluster; any server may answer from its own state, so that pages stay up while
    /// there is no leader.
    async fn read(&self, read: Read) -> Result<Answer, ApiError> {
        let query = Query {
            stale: true,
            ..Query::now(read)
        };
        self.api.read(query).await
    }
}

/// The evaluation that a hint's address names.
fn current_eval(query: &str) -> Option<&str> {
    query
        .split('&')
        .filter_map(|part| part.split_once('='))
        .find(|(key, value)| *key == "currentEval" && !value.is_empty())
        .map(|(_, value)| value)
}

fn note(title: &str, text: &str) -> View {
    View {
        title: title.to_string(),
        section: "",
        content: html! {
            h1 { (title) }
            p { (text) }
            p { a href="/ui/" { "Overview" } }
        },
    }
}

/// The cluster answered something that was not asked for.
fn unexpected(body: &Body) -> ApiError {
    tracing::error!(target: "ui", ?body, "an answer does not fit its question");
    ApiError::Unavailable("the server answered another question than was asked".to_string())
}

/// Takes the wanted body out of an answer.
macro_rules! body {
    ($answer:expr, $variant:ident) => {
        match $answer.body {
            $crate::rpc::Body::$variant(value) => value,
            other => return Err($crate::ui::unexpected(&other).into()),
        }
    };
}
pub(crate) use body;
