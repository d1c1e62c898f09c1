//! The API over a real socket, with a cluster made of fakes behind it.

#![allow(clippy::unwrap_used)]

mod api;
mod fake;
mod pages;
mod wire;
