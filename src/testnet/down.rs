//! Takes a testnet down, or one node out of it, so that nothing is left.
//!
//! First the agents, then what outlives agents: processes of `raw_exec` and containers, found by
//! what the nodes' directories say, never by a name or a number alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;

use super::api::{Api, ApiError};
use super::process::{self, EndError, Identity};
use super::registry::{NodeRecord, Phase, Record, Registry, RegistryError, Role};
use super::up::{UpError, no_node};
use crate::client::driver::{docker, raw_exec};
use crate::client::known_identity;
use crate::env::{Clock, Env, real::RealClock};
use crate::model::NodeId;

/// Why something is left.
#[derive(Debug, thiserror::Error)]
pub enum DownError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Node(#[from] UpError),
    #[error("the only server cannot be taken out; `tumen testnet down {testnet}` ends it all")]
    Server { testnet: String },
    #[error("the node {node} could not be stopped")]
    End { node: String, source: EndError },
    #[error("tasks of the node {node} still run: {why}")]
    Tasks { node: String, why: String },
    #[error("containers of the testnet may be left: {0}")]
    Containers(String),
    #[error("the node {node} is gone, but its cluster keeps it as a node that is down")]
    Purge {
        node: String,
        #[source]
        source: ApiError,
    },
    #[error("could not remove `{}`", .dir.display())]
    Remove {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// What was there and is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    pub nodes: usize,
    pub processes: usize,
    pub containers: usize,
}

/// Ends a testnet; one that is half started or half ended too.
pub async fn down(registry: &Registry, name: &str) -> Result<Ended, DownError> {
    let own = Identity::own().map_err(|source| RegistryError::Io {
        what: "read",
        path: "/proc/self".into(),
        source,
    })?;
    let record = registry.change(name, |record| {
        let by = match &record.phase {
            Phase::Up => None,
            Phase::Starting(by) | Phase::Ending(by) => Some(by.clone()),
        };
        if let Some(by) = by.filter(|by| by.is_alive() && *by != own) {
            let name = record.name.clone();
            return Err(match record.phase {
                Phase::Ending(_) => RegistryError::Going { name, pid: by.pid },
                Phase::Starting(_) | Phase::Up => RegistryError::Busy { name, pid: by.pid },
            });
        }
        record.phase = Phase::Ending(own.clone());
        Ok(record.clone())
    })?;
    let nodes: Vec<&NodeRecord> = record.nodes.iter().collect();
    let ended = end(registry, &record, &nodes).await?;
    registry.forget(name)?;
    Ok(ended)
}

/// Takes a client out of a testnet, and out of its cluster.
pub async fn remove(registry: &Registry, name: &str, node: &str) -> Result<Ended, DownError> {
    let record = registry.read(name)?;
    let found = record.node(node).ok_or_else(|| no_node(&record, node))?;
    if found.role == Role::Server {
        return Err(DownError::Server {
            testnet: name.to_owned(),
        });
    }
    let dir = registry.node_dir(name, node);
    let identity = known_identity(&Env::real(), &dir.join("data/client")).await;
    let identity = identity.map_err(|e| DownError::Containers(e.to_string()))?;
    let ended = end(registry, &record, &[found]).await?;
    fs::remove_dir_all(&dir).map_err(|source| DownError::Remove { dir, source })?;
    registry.change(name, |record| {
        record.nodes.retain(|n| n.name != node);
        Ok::<_, RegistryError>(())
    })?;
    if let (Some(identity), Some(addr)) = (identity, record.http()) {
        purge(Api { addr }, identity.id)
            .await
            .map_err(|source| DownError::Purge {
                node: node.to_owned(),
                source,
            })?;
    }
    Ok(ended)
}

/// Makes a cluster forget a node, so that what ran there is placed anew at once.
async fn purge(api: Api, node: NodeId) -> Result<(), ApiError> {
    let path = format!("/v1/node/{node}/purge");
    match api.put::<serde_json::Value>(&path, &()).await {
        // It never got as far as to register.
        Err(ApiError::Refused { code: 404, .. }) | Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn end(
    registry: &Registry,
    record: &Record,
    nodes: &[&NodeRecord],
) -> Result<Ended, DownError> {
    let clock = RealClock;
    let dirs: Vec<(&str, PathBuf)> = nodes
        .iter()
        .map(|n| (n.name.as_str(), registry.node_dir(&record.name, &n.name)))
        .collect();
    let stopped = join_all(dirs.iter().map(|(node, dir)| stop(&clock, node, dir))).await;
    let mut ended = Ended::default();
    for result in stopped {
        ended.nodes += usize::from(result?);
    }
    let env = Env::real();
    let mut ids: Vec<NodeId> = Vec::new();
    for (node, dir) in &dirs {
        let left = raw_exec::end_all(&clock, &dir.join("data/alloc")).await;
        ended.processes += left.map_err(|why| DownError::Tasks {
            node: (*node).to_owned(),
            why,
        })?;
        match known_identity(&env, &dir.join("data/client")).await {
            Ok(Some(identity)) => ids.push(identity.id),
            Ok(None) => {}
            Err(error) => return Err(DownError::Containers(error.to_string())),
        }
    }
    if !ids.is_empty() && record.drivers.iter().any(|d| d == "docker") {
        match docker::outside::remove_containers(&ids).await {
            Ok(removed) => ended.containers = removed,
            Err(why) if record.engine => return Err(DownError::Containers(why)),
            // Where there was no engine, there are no containers.
            Err(_) => {}
        }
    }
    Ok(ended)
}

/// Stops a node's agent; whether it ran.
async fn stop(clock: &dyn Clock, node: &str, dir: &Path) -> Result<bool, DownError> {
    let Some(process) = process::of_node(dir) else {
        return Ok(false);
    };
    let ran = process.is_alive();
    let ended = process.end(clock).await;
    ended.map_err(|source| DownError::End {
        node: node.to_owned(),
        source,
    })?;
    Ok(ran)
}
