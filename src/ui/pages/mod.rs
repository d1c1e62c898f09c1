//! The pages, by noun.

mod alloc;
mod deployment;
mod eval;
mod job;
mod node;
mod overview;
mod problems;
mod servers;
mod service;
mod task;

pub(super) use alloc::{alloc, allocs};
pub(super) use deployment::{deployment, deployments};
pub(super) use eval::{eval, evals};
pub(super) use job::{address as job_address, job, jobs};
pub(super) use node::{client, clients};
pub(super) use overview::overview;
pub(super) use servers::servers;
pub(super) use service::services;

use maud::{Markup, html};

use super::source::Source;
use super::table::{Column, Table, number, paged, text};
use super::{Missing, View, bar, body, format, logs};
use crate::http::dto::page::PageRequest;

/// An id from an address, whole.
fn id_of<T: std::str::FromStr>(text: &str, noun: &str) -> Result<T, Missing> {
    text.parse()
        .map_err(|_| Missing::Object(format!("`{text}` is no {noun}'s id.")))
}

/// A form that narrows a list: words, and one status of these.
fn filter(address: &str, request: &PageRequest, statuses: &[&str]) -> Markup {
    let chosen = request.text("status");
    html! {
        form.filter action=(address) method="get" {
            input type="search" name="q" value=(request.text("q")) placeholder="Filter"
                aria-label="Filter by name" autocomplete="off" spellcheck="false";
            @if !statuses.is_empty() {
                select name="status" aria-label="Status" {
                    option value="" { "any status" }
                    @for status in statuses {
                        option value=(status) selected[*status == chosen] { (status) }
                    }
                }
            }
            button { "Show" }
        }
    }
}

/// Whether a list's filter lets these names and this status through.
fn passes(request: &PageRequest, names: &[&str], status: &str) -> bool {
    let words = request.text("q").to_lowercase();
    let chosen = request.text("status");
    (chosen.is_empty() || chosen == status)
        && names
            .iter()
            .any(|name| name.to_lowercase().contains(&words))
}
