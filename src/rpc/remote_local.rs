//! An agent's facts about itself over the wire, calling side.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;

use super::{
    codec,
    hello::ConnKind,
    local::{KeyringOp, LocalError},
    pool::{CallError, Pool},
    wire::{LocalRequest, LocalResponse},
};
use crate::model::Member;

/// The members that the agent behind an rpc address knows.
pub async fn members_at(
    pool: &Pool,
    addr: SocketAddr,
    limit: Duration,
) -> Result<Vec<Member>, CallError> {
    match ask(pool, addr, &LocalRequest::Members, limit).await? {
        LocalResponse::Members(members) => Ok(members),
        LocalResponse::Keys(_) => Err(crossed(addr)),
    }
}

/// Does something with the keys of the agent behind an rpc address.
pub async fn keyring_at(
    pool: &Pool,
    addr: SocketAddr,
    op: KeyringOp,
    limit: Duration,
) -> Result<Result<Vec<String>, LocalError>, CallError> {
    match ask(pool, addr, &LocalRequest::Keyring(op), limit).await? {
        LocalResponse::Keys(result) => Ok(result),
        LocalResponse::Members(_) => Err(crossed(addr)),
    }
}

async fn ask(
    pool: &Pool,
    addr: SocketAddr,
    request: &LocalRequest,
    limit: Duration,
) -> Result<LocalResponse, CallError> {
    let malformed = |source| CallError::Codec { addr, source };
    let request = codec::encode("local request", request).map_err(malformed)?;
    let answer = pool
        .call(addr, ConnKind::Local, Bytes::from(request), limit)
        .await?;
    codec::decode("local response", &answer).map_err(malformed)
}

fn crossed(addr: SocketAddr) -> CallError {
    CallError::Rejected {
        addr,
        reason: "it answered another question".to_owned(),
    }
}
