//! The web UI: read-only pages, made whole on the server from the same reads as the API.
//!
//! **Owns** what people see: one layout, one style sheet, one script, a page per noun. **Does
//! not** change anything in the cluster, and needs no script: links and GET forms do everything.
//!
//! A page is a [`View`]: parts with names, made by a function of [`pages`] that reads through a
//! [`Source`]. The address `/ui/<page>` shows the parts at once; `/ui/live/<page>` is the same
//! function again and again, an event stream of the parts whose content has changed ([`live`]).
//! The script puts them in place and is otherwise a convenience.
//!
//! [`pages()`] makes the function that `http` calls with a request; start reading at
//! [`Ui::answer`].

mod bar;
mod format;
mod layout;
mod live;
mod logs;
mod pages;
mod search;
mod source;
mod table;

use std::sync::Arc;

use maud::{Markup, html};
use tokio::sync::Semaphore;

use crate::env::Env;
use crate::http::dto::page::{Page, PageRequest, Pages};
use crate::rpc::{Api, ApiError, Body, Local, Nodes};

use layout::Layout;
use live::Live;
use source::Source;

/// How many live streams one agent serves; what is beyond stays as it was loaded, and says so.
const STREAMS_MAX: usize = 128;

/// What pages are made from.
#[derive(Clone)]
pub struct Ui {
    pub api: Arc<dyn Api>,
    pub local: Arc<dyn Local>,
    pub nodes: Arc<dyn Nodes>,
    pub env: Env,
}

/// The function that makes pages.
pub fn pages(ui: Ui) -> Pages {
    let streams = Arc::new(Semaphore::new(STREAMS_MAX));
    Arc::new(move |request| {
        let (ui, streams) = (ui.clone(), streams.clone());
        Box::pin(async move { ui.answer(request, streams).await })
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

impl Missing {
    /// What is shown instead, with its HTTP status.
    fn page(&self) -> (u16, View) {
        let (status, title, text) = match self {
            Self::Object(what) => (404, "Not found", what.clone()),
            Self::Cluster(error) => (503, "The cluster does not answer", error.to_string()),
        };
        let content = html! {
            h1 { (title) }
            p { (text) }
            p { a href="/ui/" { "Overview" } }
        };
        (status, View::new("", title).part("note", content))
    }
}

/// A page: its title and its parts.
struct View {
    title: String,
    /// Which entry of the navigation is marked.
    section: &'static str,
    /// In their order, by names that are unique on the page.
    parts: Vec<(&'static str, Markup)>,
    /// The log that the part [`logs::PART`] shows.
    log: Option<logs::Log>,
}

impl View {
    fn new(section: &'static str, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            section,
            parts: Vec::new(),
            log: None,
        }
    }

    /// Adds a part.
    fn part(mut self, name: &'static str, content: Markup) -> Self {
        self.parts.push((name, content));
        self
    }

    /// Says first that what is shown may be old, if it may.
    fn warned(mut self, from: &Source) -> Self {
        if from.leaderless() {
            let text = html! {
                p.warning { "No leader is known: what you see may be out of date, and nothing can be changed now." }
            };
            self.parts.insert(0, ("leaderless", text));
        }
        self
    }

    /// Adds a part if it has any content.
    fn part_if(self, name: &'static str, content: Option<Markup>) -> Self {
        match content {
            Some(content) => self.part(name, content),
            None => self,
        }
    }
}

/// What an address asks for.
enum Answered {
    View(View),
    /// The page is at this address.
    Moved(String),
}

impl From<View> for Answered {
    fn from(view: View) -> Self {
        Self::View(view)
    }
}

impl Ui {
    async fn answer(self, request: PageRequest, streams: Arc<Semaphore>) -> Page {
        if let Some(file) = layout::file(&request) {
            return file;
        }
        if let Some(rest) = request.path.strip_prefix("/ui/live/") {
            let Ok(seat) = streams.try_acquire_owned() else {
                return Page::Whole {
                    status: 503,
                    kind: "text/plain; charset=utf-8",
                    body: format!("this agent already serves {STREAMS_MAX} live pages\n"),
                    lasting: false,
                };
            };
            let page = PageRequest {
                path: format!("/ui/{rest}"),
                query: request.query,
            };
            return Page::Stream {
                kind: "text/event-stream; charset=utf-8",
                chunks: Live::new(self, page, seat).chunks(),
            };
        }
        let source = Source::new(self);
        let (status, mut view) = match view(&source, &request).await {
            Ok(Answered::View(view)) => (200, view.warned(&source)),
            Ok(Answered::Moved(to)) => return Page::Moved(to),
            Err(missing) => missing.page(),
        };
        logs::fill(&source, &mut view).await;
        Page::Whole {
            status,
            kind: "text/html; charset=utf-8",
            body: Layout::of(&source.info()).render(view, &request),
            lasting: false,
        }
    }
}

/// The page at an address.
async fn view(from: &Source, request: &PageRequest) -> Result<Answered, Missing> {
    let rest = request.path.trim_start_matches("/ui/").trim_matches('/');
    let (noun, id) = match rest.split_once('/') {
        Some((noun, id)) => (noun, Some(id)),
        None => (rest, None),
    };
    let view = match (noun, id) {
        ("" | "overview" | "topology", None) => pages::overview(from).await?,
        ("jobs", None) => pages::jobs(from, request).await?,
        ("jobs", Some(id)) => pages::job(from, id, request).await?,
        ("allocations", None) => pages::allocs(from, request).await?,
        ("allocations", Some(id)) => pages::alloc(from, id, request).await?,
        ("clients", None) => pages::clients(from, request).await?,
        ("clients", Some(id)) => pages::client(from, id, request).await?,
        ("servers", _) => pages::servers(from).await?,
        ("evaluations", None) => match request.text("currentEval") {
            "" => pages::evals(from, request).await?,
            id => pages::eval(from, id, request).await?,
        },
        ("evaluations", Some(id)) => pages::eval(from, id, request).await?,
        ("deployments", None) => pages::deployments(from, request).await?,
        ("deployments", Some(id)) => pages::deployment(from, id, request).await?,
        ("services", None) => pages::services(from, request).await?,
        ("search", None) => return search::search(from, request.text("q")).await,
        _ => {
            let path = &request.path;
            return Err(Missing::Object(format!("There is no page at {path}.")));
        }
    };
    Ok(view.into())
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
