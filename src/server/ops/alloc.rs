//! Allocations: stopped and replaced on request.

use super::{Caller, stored_eval};
use crate::model::{AllocId, ClusterView, DesiredTransition, EvalTrigger, Evaluation};
use crate::rpc::api::{ApiError, Reply};
use crate::state::Change;

pub(super) async fn stop(
    call: &Caller<'_>,
    id: AllocId,
    no_shutdown_delay: bool,
) -> Result<Reply, ApiError> {
    let ctx = call.ctx;
    let view = ctx.snapshot();
    let alloc = view.alloc(id);
    let alloc = alloc.ok_or_else(|| ApiError::NotFound("allocation not found".to_string()))?;
    let job = view
        .job(&alloc.job_key())
        .unwrap_or_else(|| alloc.job.clone());
    let eval = Evaluation::pending(ctx.eval_id(), &job, EvalTrigger::AllocStop, ctx.now());
    let change = Change::Transition {
        allocs: vec![id],
        transition: DesiredTransition {
            migrate: Some(true),
            no_shutdown_delay: no_shutdown_delay.then_some(true),
            ..DesiredTransition::default()
        },
        evals: vec![eval],
    };
    let applied = call.propose(change).await?;
    let (eval, _) = stored_eval(&applied)
        .ok_or_else(|| ApiError::Unavailable("no evaluation was stored".to_string()))?;
    Ok(Reply::Evaluated {
        index: applied.index,
        eval,
    })
}
