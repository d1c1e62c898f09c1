//! Who this node is: an id that stays with the data directory, and a secret that proves it.

use std::path::Path;

use uuid::Uuid;

use crate::env::Env;
use crate::env::small_file::{self, Magic, SmallFileError};
use crate::model::NodeId;

const MAGIC: Magic = *b"TNod";

/// A node's id and secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub id: NodeId,
    pub secret: Uuid,
}

/// Reads the identity in `dir`; `None` where no client ever was.
pub async fn load(env: &Env, dir: &Path) -> Result<Option<Identity>, SmallFileError> {
    let path = dir.join("node");
    let Some(bytes) = small_file::load(&*env.disk, &path, MAGIC).await? else {
        return Ok(None);
    };
    let uuid = |range| bytes.get(range).and_then(|b| Uuid::from_slice(b).ok());
    match (uuid(0..16), uuid(16..32)) {
        (Some(id), Some(secret)) => Ok(Some(Identity {
            id: NodeId(id),
            secret,
        })),
        (None | Some(_), None | Some(_)) => Err(SmallFileError::Damaged {
            path,
            why: "it is too short",
        }),
    }
}

/// Reads the identity in `dir`, or makes one and writes it before anybody hears of it. Damage is
/// an error: a new identity would leave the old node's allocations running unowned.
pub async fn load_or_create(env: &Env, dir: &Path) -> Result<Identity, SmallFileError> {
    if let Some(identity) = load(env, dir).await? {
        return Ok(identity);
    }
    let identity = Identity {
        id: NodeId(env.entropy.uuid()),
        secret: env.entropy.uuid(),
    };
    let bytes = [
        identity.id.0.as_bytes().as_slice(),
        identity.secret.as_bytes(),
    ]
    .concat();
    small_file::save(&*env.disk, &dir.join("node"), MAGIC, &bytes).await?;
    Ok(identity)
}
