//! An agent's facts about itself over the wire, calling side.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;

use super::{
    codec,
    hello::ConnKind,
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
    let malformed = |source| CallError::Codec { addr, source };
    let request = codec::encode("local request", &LocalRequest::Members).map_err(malformed)?;
    let answer = pool
        .call(addr, ConnKind::Local, Bytes::from(request), limit)
        .await?;
    let LocalResponse::Members(members) =
        codec::decode("local response", &answer).map_err(malformed)?;
    Ok(members)
}
