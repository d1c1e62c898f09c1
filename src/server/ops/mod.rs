//! What the API can be asked, a file a noun.
//!
//! Reads are answered by any server, after a barrier unless they may be stale; a blocking read
//! waits on exactly the keys that it shows. Calls are the leader's: each becomes one command
//! that carries the caller's request id, so that a repeated call applies once and gets its first
//! answer.

mod alloc;
mod client;
mod deployment;
mod explain;
mod job;
mod node;
mod operator;
mod plan;
mod pool;
mod read;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{Ctx, Server};
use crate::env::timeout;
use crate::model::{EvalId, Evaluation, RequestId};
use crate::rpc::api::{Answer, Api, ApiError, Call, Op, Query, Reply};
use crate::state::{Applied, Change, Command, Outcome};

impl Api for Server {
    fn read(&self, query: Query) -> BoxFuture<'_, Result<Answer, ApiError>> {
        Box::pin(read::read(&self.ctx, query))
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<Reply, ApiError>> {
        Box::pin(async move {
            let limit = call.timeout;
            let work = perform(&self.ctx, call.request, call.op);
            match timeout(&*self.ctx.env.clock, limit, work).await {
                Ok(result) => result,
                Err(_) => Err(ApiError::Unknown(format!("no answer within {limit:?}"))),
            }
        })
    }
}

async fn perform(ctx: &Arc<Ctx>, request: RequestId, op: Op) -> Result<Reply, ApiError> {
    let duties = ctx.leading()?;
    let call = Caller { ctx, request };
    match op {
        Op::RegisterJob(registration) => job::register(&call, *registration).await,
        Op::PlanJob { job, diff } => plan::dry_run(&call, *job, diff).await,
        Op::DeregisterJob {
            key,
            purge,
            no_shutdown_delay,
            eval_priority,
        } => job::deregister(&call, key, purge, no_shutdown_delay, eval_priority).await,
        Op::EvaluateJob {
            key,
            force_reschedule,
        } => job::evaluate(&call, key, force_reschedule).await,
        Op::RevertJob {
            key,
            version,
            enforce_version,
        } => job::revert(&call, key, version, enforce_version).await,
        Op::StableJob {
            key,
            version,
            stable,
        } => job::stable(&call, key, version, stable).await,
        Op::ScaleJob {
            key,
            group,
            count,
            enforce_index,
        } => job::scale(&call, key, &group, count, enforce_index).await,
        Op::StopAlloc {
            id,
            no_shutdown_delay,
        } => alloc::stop(&call, id, no_shutdown_delay).await,
        Op::NodeEligibility { id, eligibility } => node::eligibility(&call, id, eligibility).await,
        Op::NodeDrain {
            id,
            spec,
            mark_eligible,
            meta,
        } => node::drain(&call, id, spec, mark_eligible, meta).await,
        Op::NodeEvaluate(id) => node::evaluate(&call, id).await,
        Op::NodePurge(id) => node::purge(&call, id).await,
        Op::FailDeployment(id) => deployment::fail(&call, id).await,
        Op::PauseDeployment { id, pause } => deployment::pause(&call, id, pause).await,
        Op::PromoteDeployment { id, groups } => deployment::promote(&call, id, groups).await,
        Op::DeploymentHealth {
            id,
            healthy,
            unhealthy,
        } => deployment::health(&call, id, healthy, unhealthy).await,
        Op::SetSchedulerConfig { config, cas } => operator::configure(&call, config, cas).await,
        Op::SystemGc => operator::collect(&call).await,
        Op::RegisterNode(node) => client::register(&call, *node).await,
        Op::UpdateAllocs {
            node,
            secret,
            updates,
        } => client::update(&call, &duties, node, secret, updates).await,
        Op::SetServices {
            node,
            secret,
            alloc,
            services,
        } => client::set_services(&call, node, secret, alloc, services).await,
        Op::NodeRestarting { node, secret } => client::restarting(&call, node, secret),
        Op::UpsertPool(new) => pool::upsert(&call, new).await,
        Op::DeletePool(name) => pool::delete(&call, name).await,
        Op::DeleteService { namespace, id } => {
            let applied = call
                .propose(Change::DeleteService { namespace, id })
                .await?;
            Ok(Reply::Done {
                index: applied.index,
            })
        }
    }
}

/// One call on its way.
struct Caller<'a> {
    ctx: &'a Arc<Ctx>,
    request: RequestId,
}

impl Caller<'_> {
    /// Commits the call's change; a refusal becomes an error.
    async fn propose(&self, change: Change) -> Result<Applied, ApiError> {
        let command = Command::once(self.request, self.ctx.now(), change);
        let applied = self.ctx.raft.propose(command).await?;
        match &applied.outcome {
            Outcome::Refused(refusal) => Err(ApiError::Refused(refusal.to_string())),
            Outcome::Done { .. } | Outcome::Registered { .. } | Outcome::Planned(_) => Ok(applied),
        }
    }
}

/// The evaluation that a command stored: the first answer's, if the call was repeated.
fn stored_eval(applied: &Applied) -> Option<(EvalId, crate::model::Index)> {
    let eval = match &applied.outcome {
        Outcome::Done { evals } => evals.first().copied(),
        Outcome::Registered { eval, .. } => *eval,
        Outcome::Planned(_) | Outcome::Refused(_) => None,
    };
    eval.map(|id| (id, applied.index))
}

fn stored_evals(applied: &Applied) -> Vec<EvalId> {
    match &applied.outcome {
        Outcome::Done { evals } => evals.clone(),
        Outcome::Registered { eval, .. } => eval.iter().copied().collect(),
        Outcome::Planned(_) | Outcome::Refused(_) => Vec::new(),
    }
}

/// Gives an evaluation the priority that the caller asked for; 0: the job's.
fn prioritized(mut eval: Evaluation, priority: u8) -> Evaluation {
    if priority != 0 {
        eval.priority = priority;
    }
    eval
}
