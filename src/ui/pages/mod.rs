//! The pages, by noun.

mod alloc;
mod cluster;
mod eval;
mod job;
mod node;

pub(super) use alloc::{alloc, allocs};
pub(super) use cluster::{overview, servers, services};
pub(super) use eval::{deployment, evals};
pub(super) use job::{job, jobs};
pub(super) use node::{client, clients};

use super::{Missing, Ui, View, body, format};

/// The time on pages.
fn now(ui: &Ui) -> crate::model::Timestamp {
    crate::model::Timestamp(ui.env.clock.wall())
}

/// An id from an address, whole.
fn id_of<T: std::str::FromStr>(text: &str, noun: &str) -> Result<T, Missing> {
    text.parse()
        .map_err(|_| Missing::Object(format!("`{text}` is no {noun}'s id.")))
}
