//! Nomad's `/v1` API over HTTP.

pub mod dto;
