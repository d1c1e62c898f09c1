//! Who this server is: its id and its cluster's, in a file of the Raft directory and nowhere
//! else. A directory that was wiped has lost both, so a wiped server is a new server.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{types::ServerId, wire};
use crate::env::{
    Env,
    disk::{read_all, replace},
};

const FILE: &str = "identity";

/// The last byte is the format's version; the crc of the rest follows.
const MAGIC: [u8; 8] = *b"TUMNSRV\x01";

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) server: ServerId,
    /// Nil until a cluster was made or joined.
    pub(super) cluster: Uuid,
    /// Whether this server made the cluster, rather than joining it.
    pub(super) founder: bool,
    /// How often the cluster was recovered by hand from a lost quorum.
    pub(super) generation: u64,
}

#[derive(Serialize, Deserialize)]
struct WireIdentity {
    server: [u8; 16],
    cluster: [u8; 16],
    founder: bool,
    generation: u64,
}

/// Why the identity could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("could not {what} the server's identity")]
    Io {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the server's identity file is damaged: {0}")]
    Damaged(&'static str),
    #[error("the server's identity file is missing, but the Raft directory has a log")]
    Missing,
}

impl Identity {
    /// Reads the identity, or makes one in a directory that has nothing else.
    pub(super) async fn open(env: &Env, dir: &Path) -> Result<Self, IdentityError> {
        let error = |what| move |source| IdentityError::Io { what, source };
        match read_all(&*env.disk, &dir.join(FILE)).await {
            Ok(bytes) => Self::decode(&bytes).map_err(IdentityError::Damaged),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let names = env.disk.list(dir).await.map_err(error("read"))?;
                if names
                    .iter()
                    .any(|n| n.starts_with("log-") || n.starts_with("snap-"))
                {
                    return Err(IdentityError::Missing);
                }
                let server = ServerId(env.entropy.uuid());
                let fresh = Self {
                    server,
                    cluster: Uuid::nil(),
                    founder: false,
                    generation: 0,
                };
                fresh.save(env, dir).await?;
                Ok(fresh)
            }
            Err(e) => Err(error("read")(e)),
        }
    }

    pub(super) async fn save(&self, env: &Env, dir: &Path) -> Result<(), IdentityError> {
        let bytes = Bytes::from(self.encode());
        let saved = replace(&*env.disk, &dir.join(FILE), bytes).await;
        saved.map_err(|source| IdentityError::Io {
            what: "write",
            source,
        })
    }

    fn encode(&self) -> Vec<u8> {
        let wire = WireIdentity {
            server: self.server.0.into_bytes(),
            cluster: self.cluster.into_bytes(),
            founder: self.founder,
            generation: self.generation,
        };
        let content = wire::encode(&wire).expect("three plain fields always encode");
        let mut out = MAGIC.to_vec();
        out.extend(crc32c::crc32c(&content).to_le_bytes());
        out.extend(content);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let rest = bytes
            .strip_prefix(&MAGIC)
            .ok_or("it does not start like one")?;
        let (crc, content) = rest.split_at_checked(4).ok_or("it is too short")?;
        if crc != crc32c::crc32c(content).to_le_bytes() {
            return Err("its checksum does not match");
        }
        let wire: WireIdentity = wire::decode(content).map_err(|_| "its content is unknown")?;
        Ok(Self {
            server: ServerId(Uuid::from_bytes(wire.server)),
            cluster: Uuid::from_bytes(wire.cluster),
            founder: wire.founder,
            generation: wire.generation,
        })
    }
}

/// The identity, which changes once: when a new server joins its cluster.
#[derive(Clone)]
pub(super) struct SharedIdentity {
    now: Arc<Mutex<Identity>>,
    env: Env,
    dir: PathBuf,
}

impl SharedIdentity {
    pub(super) fn new(identity: Identity, env: Env, dir: PathBuf) -> Self {
        Self {
            now: Arc::new(Mutex::new(identity)),
            env,
            dir,
        }
    }

    pub(super) fn get(&self) -> Identity {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Becomes a server of `cluster`, durably.
    pub(super) async fn join(&self, cluster: Uuid, generation: u64) -> Result<(), IdentityError> {
        let joined = Identity {
            cluster,
            generation,
            ..self.get()
        };
        joined.save(&self.env, &self.dir).await?;
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = joined;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_identity_stays_and_its_damage_is_seen() {
        let env = Env::sim(5);
        let dir = Path::new("/raft");
        env.disk.create_dir_all(dir).await.unwrap();
        let first = Identity::open(&env, dir).await.unwrap();
        assert_eq!(Identity::open(&env, dir).await.unwrap(), first);

        let mut bytes = first.encode();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            Identity::decode(&bytes).unwrap_err();
            bytes[at] ^= 1;
        }
        env.disk.remove(&dir.join(FILE)).await.unwrap();
        replace(&*env.disk, &dir.join("log-0000000000000001"), Bytes::new())
            .await
            .unwrap();
        let missing = Identity::open(&env, dir).await.unwrap_err();
        assert!(matches!(missing, IdentityError::Missing));
    }
}
