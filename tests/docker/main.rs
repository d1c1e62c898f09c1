//! The program, whole, with real containers.
//!
//! Needs a Docker engine with the images of `tests/images.sh`; without an engine the tests say
//! so and pass, but not in CI.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that panics fails"
)]

mod jobs;
mod registry;
mod restarts;
mod support;
