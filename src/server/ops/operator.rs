//! What operators set and start: the scheduler's settings, garbage collection.

use super::Caller;
use crate::model::Index;
use crate::model::view::SchedulerConfig;
use crate::rpc::api::{ApiError, Reply};
use crate::server::duties::gc::{self, Ages};
use crate::state::{Change, Command, Outcome, Refusal};

pub(super) async fn configure(
    call: &Caller<'_>,
    config: SchedulerConfig,
    cas: Option<Index>,
) -> Result<Reply, ApiError> {
    let change = Change::SchedulerConfig { config, cas };
    let command = Command::once(call.request, call.ctx.now(), change);
    let applied = call.ctx.raft.propose(command).await?;
    let updated = match &applied.outcome {
        Outcome::Refused(Refusal::ConfigIndex { .. }) => false,
        Outcome::Refused(other) => return Err(ApiError::Refused(other.to_string())),
        Outcome::Done { .. } | Outcome::Registered { .. } | Outcome::Planned(_) => true,
    };
    Ok(Reply::Updated {
        index: applied.index,
        updated,
    })
}

pub(super) async fn collect(call: &Caller<'_>) -> Result<Reply, ApiError> {
    let index = gc::collect(call.ctx, Ages::NONE).await?;
    Ok(Reply::Done { index })
}
