//! Where an agent keeps things.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::env::disk::DiskLock;
use crate::env::real::RealStore;
use crate::env::store::StoreError;
use crate::env::{Env, Store};

use super::build::BuildError;
use super::config::Config;

/// An agent's directories; nobody else uses them while this lives.
pub(super) struct Dirs {
    pub(super) root: PathBuf,
    pub(super) raft: PathBuf,
    /// The client's, or else the server's.
    pub(super) state: PathBuf,
    pub(super) allocs: PathBuf,
    /// Whether they go away with the agent.
    pub(super) temporary: bool,
    pub(super) lock: DiskLock,
}

/// Makes what is missing.
pub(super) async fn make(env: &Env, config: &Config) -> Result<Dirs, BuildError> {
    let temporary = config.data_dir.is_none();
    let root = config.data_dir.clone().unwrap_or_else(|| {
        let id = env.entropy.uuid().simple().to_string();
        std::env::temp_dir().join(format!("tumen-dev-{}", &id[..12]))
    });
    let failed = |dir: &PathBuf| {
        let dir = dir.clone();
        move |source| BuildError::DataDir { dir, source }
    };
    let client = config.client.as_ref();
    let state = client
        .and_then(|c| c.state_dir.clone())
        .unwrap_or_else(|| root.join(if client.is_some() { "client" } else { "server" }));
    let allocs = client
        .and_then(|c| c.alloc_dir.clone())
        .unwrap_or_else(|| root.join("alloc"));
    let mut wanted = vec![&root, &state];
    wanted.extend(client.map(|_| &allocs));
    for dir in wanted {
        let made = env.disk.create_dir_all(dir).await;
        made.map_err(failed(dir))?;
    }
    let lock = env.disk.lock(&root.join("lock")).await;
    let lock = lock.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => BuildError::InUse { dir: root.clone() },
        _ => failed(&root)(error),
    })?;
    Ok(Dirs {
        raft: root.join("server").join("raft"),
        root,
        state,
        allocs,
        temporary,
        lock,
    })
}

/// What the agent remembers on its own disk.
pub(super) async fn open_store(dirs: &Dirs) -> Result<Arc<dyn Store>, StoreError> {
    let (store, aside) = RealStore::open_or_set_aside(&dirs.state.join("store")).await?;
    if let Some(aside) = aside {
        tracing::error!(
            target: "agent", aside = %aside.display(),
            "the local store would not open and was set aside; rebuilding from the cluster"
        );
    }
    Ok(Arc::new(store))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::config::{Machine, flags};

    #[tokio::test(start_paused = true)]
    async fn two_agents_never_share_a_data_directory() {
        let env = Env::sim(1);
        let args = ["-client", "-bind=127.0.0.1", "-data-dir=/data"].map(str::to_string);
        let settings = flags::parse(&args).unwrap().settings;
        let config = Config::new(&settings, &Machine::default()).unwrap();
        let dirs = make(&env, &config).await.unwrap();
        let second = make(&env, &config).await.err().unwrap();
        assert_eq!(
            second.to_string(),
            "the data directory `/data` is in use by another agent"
        );
        drop(dirs);
        make(&env, &config).await.unwrap();
    }
}
