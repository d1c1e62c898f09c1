//! The composition root: configuration in, a running agent out.

pub mod config;
