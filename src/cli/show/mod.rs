//! API objects as text: pure functions from the API's types to lines.

pub mod allocs;
pub mod deployment;
pub mod diff;
pub mod metrics;
