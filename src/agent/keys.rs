//! The agent's keyring: on disk, in the gossip, and as the rpc port's tokens.

use std::path::{Path, PathBuf};

use sha2::Sha256;
use tokio::sync::watch;

use crate::env::Env;
use crate::env::small_file::{self, Magic, SmallFileError};
use crate::gossip::{Key, KeyError, Keyring};
use crate::rpc::{ClusterToken, KeyringOp, LocalError, Tokens};

const MAGIC: Magic = *b"TKey";

/// What a token is derived for; another use of the keys would get another text.
const TOKEN_INFO: &[u8] = b"tumen rpc cluster token 1";

/// The keys, shared with the gossip. Cloning shares them.
#[derive(Clone)]
pub(super) struct AgentKeys {
    env: Env,
    path: PathBuf,
    ring: Keyring,
    tokens: watch::Sender<Vec<ClusterToken>>,
    /// One change at a time, each on disk before the next.
    changing: std::sync::Arc<tokio::sync::Mutex<()>>,
}

impl AgentKeys {
    /// The keys of the last run, else the configured one.
    pub(super) async fn load(
        env: &Env,
        dir: &Path,
        configured: Option<Key>,
    ) -> Result<Self, SmallFileError> {
        let path = dir.join("keyring");
        let stored = small_file::load(&*env.disk, &path, MAGIC).await?;
        let stored = stored.map(|bytes| decode(&bytes).ok_or("its keys are unreadable"));
        let keys = match stored.transpose() {
            Ok(Some(keys)) if configured.is_some() => {
                if configured.is_some_and(|key| !keys.contains(&key)) {
                    tracing::warn!(
                        target: "agent", keyring = %path.display(),
                        "`encrypt` is not in the keyring of the last run, which is used instead"
                    );
                }
                keys
            }
            // Without `encrypt` the configuration says that nothing is sealed any more.
            Ok(_) => configured.into_iter().collect(),
            Err(why) => return Err(SmallFileError::Damaged { path, why }),
        };
        let it = Self {
            env: env.clone(),
            path,
            tokens: watch::Sender::new(tokens(&keys)),
            ring: Keyring::new(keys, env.entropy.clone()),
            changing: std::sync::Arc::default(),
        };
        if it.ring.seals() {
            it.save().await?;
        }
        Ok(it)
    }

    pub(super) fn ring(&self) -> Keyring {
        self.ring.clone()
    }

    pub(super) fn tokens(&self) -> Tokens {
        Tokens::new(self.tokens.subscribe())
    }

    /// Changes the ring; returns its keys, the one in use first.
    pub(super) async fn apply(&self, op: KeyringOp) -> Result<Vec<String>, LocalError> {
        let failed = |error: KeyError| LocalError::Failed(error.to_string());
        let key = |text: &str| Key::parse(text).map_err(failed);
        let _one = self.changing.lock().await;
        let changed = match &op {
            KeyringOp::List => match self.ring.seals() {
                true => Ok(()),
                false => Err(KeyError::NotEncrypted),
            },
            KeyringOp::Install(text) => self.ring.install(key(text)?),
            KeyringOp::Use(text) => self.ring.use_key(&key(text)?),
            KeyringOp::Remove(text) => self.ring.remove(&key(text)?),
        };
        changed.map_err(failed)?;
        if op != KeyringOp::List {
            self.tokens.send_replace(tokens(&self.ring.keys()));
            let saved = self.save().await;
            saved
                .map_err(|error| LocalError::Failed(format!("the keyring is not kept: {error}")))?;
        }
        Ok(self.ring.keys().iter().map(Key::text).collect())
    }

    async fn save(&self) -> Result<(), SmallFileError> {
        let keys = self.ring.keys();
        let bytes: Vec<_> = keys.iter().map(Key::bytes).collect();
        let plain = postcard::to_stdvec(&bytes).expect("a list of bytes always encodes");
        small_file::save(&*self.env.disk, &self.path, MAGIC, &plain).await
    }
}

fn decode(bytes: &[u8]) -> Option<Vec<Key>> {
    let keys: Vec<Vec<u8>> = postcard::from_bytes(bytes).ok()?;
    keys.into_iter().map(|key| Key::new(key).ok()).collect()
}

fn tokens(keys: &[Key]) -> Vec<ClusterToken> {
    let derived = keys.iter().map(|key| {
        let mut token = vec![0; 32];
        hkdf::Hkdf::<Sha256>::new(None, key.bytes())
            .expand(TOKEN_INFO, &mut token)
            .expect("32 bytes are less than the most that can be derived");
        ClusterToken(token)
    });
    derived.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fill: u8) -> Key {
        Key::new(vec![fill; 16]).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_keys_of_the_last_run_are_kept_while_encryption_is_on() {
        let env = Env::sim(1);
        let dir = Path::new("/state");
        env.disk.create_dir_all(dir).await.unwrap();
        let load =
            async |configured: Option<Key>| AgentKeys::load(&env, dir, configured).await.unwrap();
        let open = load(None).await;
        assert!(!open.ring().seals());
        assert_eq!(open.tokens().shown(), ClusterToken::default());
        let listed = open.apply(KeyringOp::List).await;
        assert!(matches!(listed, Err(LocalError::Failed(_))), "{listed:?}");

        let keys = load(Some(key(1))).await;
        let first = keys.tokens().shown();
        assert_eq!(first.0.len(), 32);
        assert_ne!(first.0[..16], *key(1).bytes());
        keys.apply(KeyringOp::Install(key(2).text())).await.unwrap();
        assert_eq!(keys.tokens().shown(), first);
        keys.apply(KeyringOp::Use(key(2).text())).await.unwrap();
        assert_ne!(keys.tokens().shown(), first);

        let again = load(Some(key(1))).await;
        assert_eq!(again.ring().keys(), [key(2), key(1)]);
        assert!(!load(None).await.ring().seals());
    }
}
