//! Who is there: one SWIM cluster of all agents, and a record of each.
//!
//! **Owns** the serf port (UDP and TCP), the member records and the `watch` of [`Members`].
//! **Does not** decide what a death means: that is for `server`.
//!
//! `core` is the member without I/O; `run` is the one task that owns it; `exchange` repairs
//! over TCP what packets missed. Nothing of foca leaves this folder.

mod core;
mod exchange;
mod identity;
pub mod keyring;
mod meet;
mod records;
mod run;
mod swim;
#[cfg(test)]
mod tests;
mod view;

use std::{io, net::SocketAddr};

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::{
    core::Core,
    run::{Handle, Loop, Parts},
};
pub use self::{
    exchange::ExchangeError,
    keyring::{Key, KeyError, Keyring},
    meet::{Refusal, Side},
    records::RecordError,
};
use crate::{
    env::{Datagram, Env, Listener, Task, spawn},
    model::{MemberRecord, Members},
};

/// Tries for a port that is free for both TCP and UDP, when any will do.
const BIND_TRIES: usize = 16;

/// Why the gossip did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum GossipError {
    #[error("no member is named `{0}`")]
    NoSuchMember(String),
    #[error("this agent has left the cluster")]
    Stopped,
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// The serf port, bound but silent.
pub struct Bound {
    env: Env,
    socket: Box<dyn Datagram>,
    listener: Box<dyn Listener>,
    addr: SocketAddr,
}

/// Binds UDP and TCP on one port; port 0 takes a free one.
pub async fn bind(env: Env, addr: SocketAddr) -> io::Result<Bound> {
    let mut tries = 0;
    loop {
        let listener = env.net.listen(addr).await?;
        let bound = listener.local_addr()?;
        match env.net.bind_udp(bound).await {
            Ok(socket) => {
                return Ok(Bound {
                    env,
                    socket,
                    listener,
                    addr: bound,
                });
            }
            Err(error) => {
                tries += 1;
                let any = addr.port() == 0 && error.kind() == io::ErrorKind::AddrInUse;
                if !any || tries == BIND_TRIES {
                    return Err(error);
                }
            }
        }
    }
}

impl Bound {
    /// The address with its real port.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Becomes a member with this record. Its version is set here, above that of earlier lives.
    /// The task ends when `stop` is cancelled or the agent has left.
    pub fn start(
        self,
        mut record: MemberRecord,
        keys: Keyring,
        stop: CancellationToken,
    ) -> Result<(Gossip, Task<()>), RecordError> {
        let env = self.env;
        let seconds = env.clock.wall() / 1_000_000_000;
        // A start a second later is a later life; changes within a life count in the low bits.
        record.version = u64::try_from(seconds).unwrap_or(0) << 16;
        let generation = u32::try_from(seconds).unwrap_or(u32::MAX / 2);
        let now = env.clock.now();
        let (core, first) = Core::new(record, generation, keys.clone(), env.entropy.clone(), now)?;
        let members = watch::Sender::new(first.members.clone().unwrap_or_default());
        let watched = members.subscribe();
        let parts = Parts {
            env: env.clone(),
            core,
            keys,
            socket: self.socket,
            listener: self.listener,
            members,
            stop: stop.clone(),
        };
        let (it, handle) = Loop::new(parts);
        let task = spawn("gossip", stop, it.run(first));
        Ok((
            Gossip {
                env,
                handle,
                members: watched,
            },
            task,
        ))
    }
}

/// The gossip as the rest of the agent knows it. Cloning shares it.
#[derive(Clone)]
pub struct Gossip {
    env: Env,
    handle: Handle,
    members: watch::Receiver<Members>,
}

impl Gossip {
    /// What its traffic is sealed with.
    pub fn keys(&self) -> &Keyring {
        self.handle.keys()
    }

    /// Every member known, this agent included, as it changes.
    pub fn members(&self) -> watch::Receiver<Members> {
        self.members.clone()
    }

    /// Exchanges with every address at once; returns those that answered.
    pub async fn join(&self, addrs: &[SocketAddr]) -> Vec<SocketAddr> {
        let tries = addrs
            .iter()
            .map(|addr| async { self.meet(*addr).await.ok().map(|()| *addr) });
        join_all(tries).await.into_iter().flatten().collect()
    }

    /// Exchanges with the member at this address, whatever we know of each other already.
    pub async fn meet(&self, addr: SocketAddr) -> Result<(), ExchangeError> {
        let result = run::with(&self.env, &self.handle, addr, true).await;
        run::note(&self.env, addr, &result);
        result
    }

    /// Changes this agent's record and spreads it.
    pub async fn update(
        &self,
        change: impl FnOnce(&mut MemberRecord) + Send + 'static,
    ) -> Result<(), GossipError> {
        let updated = self.handle.update(Box::new(change)).await;
        Ok(updated.map_err(|_| GossipError::Stopped)??)
    }

    /// Declares a member gone; one that lives objects. `prune` also removes it from the lists.
    pub async fn force_leave(&self, name: &str, prune: bool) -> Result<(), GossipError> {
        let found = self.handle.force_leave(name.to_owned(), prune).await;
        if found.map_err(|_| GossipError::Stopped)? {
            Ok(())
        } else {
            Err(GossipError::NoSuchMember(name.to_owned()))
        }
    }

    /// Leaves for good; takes a good second. The task ends by itself then.
    pub async fn leave(&self) -> Result<(), GossipError> {
        self.handle.leave().await.map_err(|_| GossipError::Stopped)
    }
}
