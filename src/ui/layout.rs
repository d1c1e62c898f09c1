//! What every page has around its content, and the files that pages need.

use maud::{DOCTYPE, Markup, html};

use super::View;
use super::format::encoded;
use crate::http::dto::page::{Page, PageRequest};
use crate::rpc::AgentInfo;

const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/tumen.js");
const ICON: &str = include_str!("assets/icon.svg");

/// The files: name, media type, content.
const FILES: [(&str, &str, &str); 3] = [
    ("style.css", "text/css; charset=utf-8", STYLE),
    ("tumen.js", "text/javascript; charset=utf-8", SCRIPT),
    ("icon.svg", "image/svg+xml", ICON),
];

/// The entries of the navigation: section, address, name, the key after `g` that leads there.
const SECTIONS: [(&str, &str, &str, &str); 7] = [
    ("overview", "/ui/", "Overview", "o"),
    ("jobs", "/ui/jobs", "Jobs", "j"),
    ("allocations", "/ui/allocations", "Allocations", "a"),
    ("evaluations", "/ui/evaluations", "Evaluations", "e"),
    ("services", "/ui/services", "Services", "v"),
    ("clients", "/ui/clients", "Clients", "c"),
    ("servers", "/ui/servers", "Servers", "s"),
];

/// The other keys, as the help shows them.
const KEYS: [(&str, &str); 6] = [
    ("/", "search"),
    ("j, k", "next and previous row"),
    ("Enter", "open the row"),
    ("t", "theme: the system's, dark, light"),
    ("?", "this help"),
    ("Esc", "leave"),
];

/// The file that a request wants, if it wants one.
pub(super) fn file(request: &PageRequest) -> Option<Page> {
    let name = request.path.strip_prefix("/ui/")?;
    let (_, kind, content) = FILES.into_iter().find(|(n, _, _)| *n == name)?;
    Some(Page::Whole {
        status: 200,
        kind,
        body: content.to_string(),
        lasting: request.text("v") == mark(content),
    })
}

/// What tells one version of a file from another in addresses.
fn mark(content: &str) -> String {
    format!("{:08x}", crc32c::crc32c(content.as_bytes()))
}

fn address(name: &str, content: &str) -> String {
    format!("/ui/{name}?v={}", mark(content))
}

/// Which agent made the page.
pub(super) struct Layout {
    agent: String,
    version: String,
}

impl Layout {
    pub(super) fn of(info: &AgentInfo) -> Self {
        Self {
            agent: format!("{}.{}", info.name, info.region),
            version: info.version.clone(),
        }
    }

    pub(super) fn render(&self, view: View, request: &PageRequest) -> String {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (view.title) " · Tumen" }
                    link rel="icon" href=(address("icon.svg", ICON)) type="image/svg+xml";
                    link rel="stylesheet" href=(address("style.css", STYLE));
                    // Before the content, so that a chosen theme shows from the first moment.
                    script src=(address("tumen.js", SCRIPT)) {}
                }
                body {
                    a.skip href="#content" { "To the content" }
                    (head(view.section, request))
                    main #content data-live=(live_address(request)) {
                        @for (name, content) in &view.parts {
                            section id={ "part-" (name) } { (content) }
                        }
                    }
                    footer {
                        "agent " (self.agent) " · version " (self.version)
                        span #live role="status" {}
                    }
                    (help())
                }
            }
        }
        .into_string()
    }
}

/// Where the page's changes come from.
fn live_address(request: &PageRequest) -> String {
    let rest = request.path.strip_prefix("/ui/").unwrap_or_default();
    let pairs = request
        .query
        .iter()
        .map(|(key, value)| format!("{}={}", encoded(key), encoded(value)));
    let query = pairs.collect::<Vec<_>>().join("&");
    format!("/ui/live/{}?{query}", encoded(rest))
}

fn head(section: &str, request: &PageRequest) -> Markup {
    let searched = match section {
        "search" => request.text("q"),
        _ => "",
    };
    html! {
        header {
            a.brand href="/ui/" { "Tumen" }
            nav aria-label="Sections" {
                @for (name, address, title, key) in SECTIONS {
                    a href=(address) data-key=(key)
                        aria-current=[(name == section).then_some("page")] { (title) }
                }
            }
            form.search action="/ui/search" method="get" role="search" {
                input #search type="search" name="q" value=(searched) autocomplete="off"
                    spellcheck="false" placeholder="Name or id" aria-label="Search by name or id"
                    aria-keyshortcuts="/";
                button { "Go" }
            }
            button #theme type="button" hidden { "Theme" }
            button #keys type="button" hidden aria-label="Keys" { "?" }
        }
    }
}

fn help() -> Markup {
    html! {
        dialog #help aria-labelledby="help-title" {
            h2 #help-title { "Keys" }
            dl {
                @for (key, what) in KEYS { div { dt { kbd { (key) } } dd { (what) } } }
                @for (_, _, title, key) in SECTIONS {
                    div { dt { kbd { "g" } " " kbd { (key) } } dd { (title) } }
                }
            }
            form method="dialog" { button { "Close" } }
        }
    }
}
