//! Runs the allocations that the servers want on this machine.

mod health;
mod restart;
mod services;
mod taskenv;
