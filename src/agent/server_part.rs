//! Makes the server role of an agent.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::consensus::{self, Consensus, Peer};
use crate::env::{Env, Task, spawn_essential};
use crate::model::Members;
use crate::rpc::{Api, Forwarding, Pool};
use crate::server::{Agreed, Server, Witness};
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

/// The log and its state: a server that has an id and does nothing yet.
pub(super) struct Replica {
    pub(super) consensus: Consensus,
    state: state::Store,
    pool: Pool,
}

impl Replica {
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
        Ok(Self {
            consensus: consensus.await?,
            state,
            pool: pool.clone(),
        })
    }

    /// Starts to answer and, where it leads, to act.
    pub(super) fn serve(
        self,
        env: &Env,
        members: watch::Receiver<Members>,
        process: &CancellationToken,
    ) -> ServerPart {
        let agreed = Agreed::new(self.consensus.clone(), self.state);
        let witness = Witness::new(members, self.pool.clone());
        let server = Server::with_witness(env.clone(), Arc::new(agreed), Some(witness));
        let stop = process.child_token();
        let run = server.clone().run(stop.clone());
        let task = spawn_essential("server", stop.clone(), process.clone(), run);
        let own: Arc<dyn Api> = Arc::new(server);
        let forwarding = Forwarding::new(env.clone(), self.pool, own.clone());
        ServerPart {
            consensus: self.consensus,
            own,
            forwarding: Arc::new(forwarding),
            running: (stop, task),
        }
    }
}
