//! Makes the server role of an agent.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::consensus::{self, Consensus, Peer};
use crate::env::{Env, Task, spawn_essential};
use crate::rpc::{Api, Forwarding, Pool};
use crate::server::{Agreed, Server};
use crate::state;

use super::VERSION;
use super::build::BuildError;
use super::config::{Addrs, Config};
use super::dirs::Dirs;

/// A running server.
pub(super) struct ServerPart {
    pub(super) consensus: Consensus,
    /// Answers by itself or names the leader.
    pub(super) own: Arc<dyn Api>,
    /// Asks the leader where it must.
    pub(super) forwarding: Arc<dyn Api>,
    pub(super) running: (CancellationToken, Task<()>),
}

impl ServerPart {
    pub(super) async fn start(
        config: &Config,
        env: &Env,
        dirs: &Dirs,
        addrs: Addrs,
        pool: &Pool,
        process: &CancellationToken,
    ) -> Result<Self, BuildError> {
        let state = state::Store::new();
        let consensus = Consensus::start(consensus::Config {
            env: env.clone(),
            dir: dirs.raft.clone(),
            me: Peer {
                name: config.name.clone(),
                rpc: addrs.rpc.to_string(),
                build: VERSION.to_string(),
            },
            store: state.clone(),
            pool: pool.clone(),
            addresses: Arc::new(|_| None),
            bootstrap: true,
            log: consensus::LogConfig::default(),
            timers: None,
            snapshots: consensus::SnapshotRule::default(),
            process: process.clone(),
        });
        let consensus = consensus.await?;
        let agreed = Agreed::new(consensus.clone(), state);
        let server = Server::new(env.clone(), Arc::new(agreed));
        let stop = process.child_token();
        let run = server.clone().run(stop.clone());
        let task = spawn_essential("server", stop.clone(), process.clone(), run);
        let own: Arc<dyn Api> = Arc::new(server);
        let forwarding = Forwarding::new(env.clone(), pool.clone(), own.clone());
        Ok(Self {
            consensus,
            own,
            forwarding: Arc::new(forwarding),
            running: (stop, task),
        })
    }
}
