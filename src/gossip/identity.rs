//! Who a gossip packet is from: an address, and which start of the agent behind it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A member as SWIM knows it. Everything else about it is in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) addr: SocketAddr,
    /// Rises with every start of the agent, and when the cluster took it for dead.
    pub(super) generation: u32,
}

impl foca::Identity for Identity {
    type Addr = SocketAddr;

    fn renew(&self) -> Option<Self> {
        let generation = self.generation.checked_add(1)?;
        Some(Self {
            generation,
            ..*self
        })
    }

    fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.generation > adversary.generation
    }
}
