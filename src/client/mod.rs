//! Runs the allocations that the servers want on this machine.

pub mod driver;
mod health;
mod lifecycle;
mod machine;
pub mod logs;
mod restart;
mod services;
mod taskenv;
