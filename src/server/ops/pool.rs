//! Node pools.

use super::Caller;
use crate::model::pool::{self, NodePool};
use crate::model::violation;
use crate::rpc::api::{ApiError, Reply};
use crate::state::Change;

pub(super) async fn upsert(call: &Caller<'_>, new: NodePool) -> Result<Reply, ApiError> {
    let mistakes = new.mistakes();
    if !mistakes.is_empty() {
        return Err(ApiError::BadRequest(format!(
            "invalid node pool {:?}: {}",
            new.name,
            violation::list(&mistakes)
        )));
    }
    if pool::is_built_in(&new.name) {
        let text = format!("modifying node pool {:?} is not allowed", new.name);
        return Err(ApiError::BadRequest(text));
    }
    write(call, Change::UpsertPool(new)).await
}

pub(super) async fn delete(call: &Caller<'_>, name: String) -> Result<Reply, ApiError> {
    write(call, Change::DeletePool(name)).await
}

async fn write(call: &Caller<'_>, change: Change) -> Result<Reply, ApiError> {
    let index = call.propose(change).await?.index;
    Ok(Reply::Done { index })
}
