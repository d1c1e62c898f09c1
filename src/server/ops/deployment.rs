//! Deployments: failed, paused, promoted, judged by people.

use std::sync::Arc;

use super::{Caller, stored_eval};
use crate::model::deployment::description;
use crate::model::plan::DeploymentUpdate;
use crate::model::{AllocId, ClusterView, Deployment, DeploymentId, DeploymentStatus, Evaluation};
use crate::rpc::api::{ApiError, Reply};
use crate::server::duties::deployments::{self, stable_version, watcher_eval};
use crate::state::{Applied, Change, Snapshot};

/// The deployment, if it still changes things.
fn active(view: &Snapshot, id: DeploymentId, what: &str) -> Result<Arc<Deployment>, ApiError> {
    let found = view.deployment(id);
    let found = found.ok_or_else(|| ApiError::Refused("deployment not found".to_string()))?;
    match found.status.is_active() {
        true => Ok(found),
        false => Err(ApiError::Refused(format!(
            "can't {what} terminal deployment"
        ))),
    }
}

fn eval_of(call: &Caller<'_>, view: &Snapshot, d: &Deployment) -> Option<Box<Evaluation>> {
    let job = view.job(&d.job_key())?;
    Some(Box::new(watcher_eval(call.ctx, &job, d.id)))
}

fn reply(applied: &Applied, reverted_to: Option<u64>) -> Reply {
    Reply::Deployment {
        index: applied.index,
        eval: stored_eval(applied),
        reverted_to,
    }
}

pub(super) async fn fail(call: &Caller<'_>, id: DeploymentId) -> Result<Reply, ApiError> {
    let view = call.ctx.snapshot();
    let deployment = active(&view, id, "fail")?;
    let reverts = deployment.groups.values().any(|g| g.auto_revert);
    let reverted_to = match reverts {
        true => stable_version(&view, &deployment).map(|j| j.version),
        false => None,
    };
    let why = description::FAILED_BY_USER;
    let change = deployments::fail(call.ctx, &view, &deployment, why);
    Ok(reply(&call.propose(change).await?, reverted_to))
}

pub(super) async fn pause(
    call: &Caller<'_>,
    id: DeploymentId,
    pause: bool,
) -> Result<Reply, ApiError> {
    let view = call.ctx.snapshot();
    let what = if pause { "pause" } else { "resume" };
    let deployment = active(&view, id, what)?;
    let (status, text) = match pause {
        true => (DeploymentStatus::Paused, description::PAUSED),
        false if !deployment.needs_promotion() => (DeploymentStatus::Running, description::RUNNING),
        false
            if deployment
                .groups
                .values()
                .all(|g| g.desired_canaries == 0 || g.auto_promote) =>
        {
            (
                DeploymentStatus::Running,
                description::RUNNING_AUTO_PROMOTION,
            )
        }
        false => (
            DeploymentStatus::Running,
            description::RUNNING_NEEDS_PROMOTION,
        ),
    };
    let change = Change::DeploymentStatus {
        update: DeploymentUpdate {
            id,
            status,
            description: text.to_string(),
        },
        eval: match pause {
            true => None,
            false => eval_of(call, &view, &deployment),
        },
        revert: None,
    };
    Ok(reply(&call.propose(change).await?, None))
}

pub(super) async fn promote(
    call: &Caller<'_>,
    id: DeploymentId,
    groups: Vec<String>,
) -> Result<Reply, ApiError> {
    let view = call.ctx.snapshot();
    let deployment = active(&view, id, "promote")?;
    let eval = eval_of(call, &view, &deployment);
    let change = Change::PromoteDeployment { id, groups, eval };
    Ok(reply(&call.propose(change).await?, None))
}

pub(super) async fn health(
    call: &Caller<'_>,
    id: DeploymentId,
    healthy: Vec<AllocId>,
    unhealthy: Vec<AllocId>,
) -> Result<Reply, ApiError> {
    if healthy.is_empty() && unhealthy.is_empty() {
        let text = "must specify at least one healthy/unhealthy allocation ID";
        return Err(ApiError::Refused(text.to_string()));
    }
    let view = call.ctx.snapshot();
    let deployment = active(&view, id, "set health of allocations for a")?;
    for alloc in healthy.iter().chain(&unhealthy) {
        let known = view.alloc(*alloc);
        if known.is_none_or(|a| a.deployment_id != Some(id)) {
            let text = format!("allocation {alloc} is not part of deployment {id}");
            return Err(ApiError::Refused(text));
        }
    }
    let change = Change::DeploymentHealth {
        id,
        healthy,
        unhealthy,
        update: None,
        eval: eval_of(call, &view, &deployment),
        revert: None,
    };
    Ok(reply(&call.propose(change).await?, None))
}
