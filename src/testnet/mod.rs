//! Local testnets: named clusters of real processes on this machine, and the demo on one.
//!
//! **Owns** the [`registry`] of testnets, the choice of [`address`]es, the nodes' [`files`] and
//! [`process`]es, and the order in which they start and end. **Does not** print, and knows no
//! command: [`cli`](crate::cli) is above it. Every node is this very program, run again as
//! `agent -config=FILE`; nothing that a node does is different in a testnet.
//!
//! [`Starter`] brings up, [`down`] takes away, [`look`] shows. A testnet belongs to no process:
//! its nodes run in sessions of their own, and whoever comes later finds them by what is written.

#![allow(
    clippy::disallowed_methods,
    reason = "testnets and the demo are programs of their own: they open sockets and read clocks"
)]

pub mod address;
pub mod api;
pub mod demo;
pub mod down;
mod files;
pub mod look;
pub mod process;
mod ready;
pub mod registry;
pub mod signals;
pub mod taken;
pub mod topology;
pub mod up;

pub use process::{DETACH, detach_main};
pub use registry::{Record, Registry};
pub use up::Starter;
