//! Runs the allocations that the servers want on this machine.

pub mod driver;
mod health;
mod lifecycle;
pub mod logs;
mod machine;
mod restart;
mod services;
mod taskenv;
