//! The commands, a file a family.

pub mod agent;
pub mod alloc;
pub mod cluster;
pub mod demo;
pub mod deployment;
pub mod eval;
pub mod fmt;
pub mod gossip;
pub mod job;
pub mod misc;
pub mod namespace;
pub mod node;
pub mod operator;
pub mod service;
pub mod status;
pub mod testnet;
pub mod why;

use super::fail::Failure;
use super::registry::Command;

/// Every command there is.
pub fn all() -> Vec<&'static Command> {
    let families: &[&'static [Command]] = &[
        agent::COMMANDS,
        job::COMMANDS,
        alloc::COMMANDS,
        node::COMMANDS,
        eval::COMMANDS,
        deployment::COMMANDS,
        cluster::COMMANDS,
        operator::COMMANDS,
        gossip::COMMANDS,
        service::COMMANDS,
        namespace::COMMANDS,
        status::COMMANDS,
        fmt::COMMANDS,
        why::COMMANDS,
        misc::COMMANDS,
        testnet::COMMANDS,
        demo::COMMANDS,
    ];
    families.iter().copied().flatten().collect()
}

/// The one argument that a command takes.
pub fn one<'a>(rest: &'a [String], sentence: &str) -> Result<&'a str, Failure> {
    match rest {
        [one] => Ok(one),
        _ => Err(super::fail::arguments(sentence)),
    }
}

/// Refuses arguments.
pub fn no_arguments(rest: &[String]) -> Result<(), Failure> {
    if rest.is_empty() {
        return Ok(());
    }
    Err(super::fail::arguments("This command takes no arguments"))
}
