//! What every page has around its content.

use maud::{DOCTYPE, html};

use super::View;
use crate::rpc::AgentInfo;

/// The one style sheet.
pub(super) const STYLE: &str = include_str!("style.css");

/// The entries of the navigation: section, address, name.
const SECTIONS: [(&str, &str, &str); 7] = [
    ("overview", "/ui/", "Overview"),
    ("jobs", "/ui/jobs", "Jobs"),
    ("allocations", "/ui/allocations", "Allocations"),
    ("services", "/ui/services", "Services"),
    ("evaluations", "/ui/evaluations", "Evaluations"),
    ("clients", "/ui/clients", "Clients"),
    ("servers", "/ui/servers", "Servers"),
];

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

    pub(super) fn render(&self, view: View) -> String {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (view.title) " · Tumen" }
                    link rel="stylesheet" href="/ui/style.css";
                }
                body {
                    header {
                        a.brand href="/ui/" { "Tumen" }
                        nav aria-label="Sections" {
                            @for (section, address, name) in SECTIONS {
                                @if section == view.section {
                                    a href=(address) aria-current="page" { (name) }
                                } @else {
                                    a href=(address) { (name) }
                                }
                            }
                        }
                    }
                    main { (view.content) }
                    footer { "agent " (self.agent) " · version " (self.version) }
                }
            }
        }
        .into_string()
    }
}
