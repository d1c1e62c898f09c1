//! Reads, at once or when what they show has changed.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::explain;
use crate::env::timeout_at;
use crate::model::{
    AllocClientStatus, ClusterView, Index, Job, JobKey, Namespace, NodeId, NodeStatus,
};
use crate::rpc::api::{
    Answer, ApiError, Body, ClientAllocs, GroupSummary, JobSummary, Query, Read,
};
use crate::server::Ctx;
use crate::state::tables::job::JobRow;
use crate::state::{Key, Snapshot, Table};

/// Answers a query; waits for a change after its index first, but not longer than it says.
pub(super) async fn read(ctx: &Arc<Ctx>, query: Query) -> Result<Answer, ApiError> {
    let poll = match &query.read {
        Read::ClientAllocs { node, secret } => Some((*node, *secret)),
        _ => None,
    };
    if !query.stale {
        ctx.raft.read_barrier().await?;
    }
    // Held while the poll waits: an open poll is a node that lives.
    let _open = match poll {
        Some((node, secret)) => open_poll(ctx, node, secret)?,
        None => None,
    };
    let keys = keys(&query.read);
    let watcher = ctx.raft.store().watch(keys.iter().cloned());
    let clock = &*ctx.env.clock;
    let deadline = clock.now() + query.wait.min(Duration::from_secs(3600));
    loop {
        let view = ctx.snapshot();
        let index = keys.iter().map(|key| view.index_of(key)).max();
        let index = index.unwrap_or_else(|| view.index().max(1));
        let fresh = query.min_index == 0 || index > query.min_index;
        let answered = fresh || poll.is_some_and(|(node, _)| !serves(&view, node));
        if answered
            || timeout_at(clock, deadline, watcher.changed())
                .await
                .is_err()
        {
            return Ok(answer(ctx, &view, index, &query));
        }
    }
}

fn open_poll(
    ctx: &Ctx,
    node: NodeId,
    secret: Uuid,
) -> Result<Option<crate::server::duties::liveness::OpenPoll>, ApiError> {
    match ctx.snapshot().node(node) {
        Some(known) if known.secret != secret => Err(ApiError::Denied),
        Some(known) if known.status == NodeStatus::Down => Ok(None),
        Some(_) => Ok(Some(ctx.seen.poll(node))),
        None => Ok(None),
    }
}

/// Whether the state has a node and counts on it; if not, the client must register again.
fn serves(view: &Snapshot, node: NodeId) -> bool {
    view.node(node)
        .is_some_and(|n| n.status != NodeStatus::Down)
}

fn answer(ctx: &Ctx, view: &Snapshot, index: Index, query: &Query) -> Answer {
    let leadership = ctx.raft.leadership();
    Answer {
        index,
        known_leader: leadership.here || leadership.leader.is_some(),
        last_contact: ctx.raft.last_contact(),
        body: body(ctx, view, query),
    }
}

/// What a read shows: it waits for a change of one of these.
fn keys(read: &Read) -> Vec<Key> {
    match read {
        Read::Jobs { .. } => vec![Key::Table(Table::Jobs), Key::Table(Table::Allocs)],
        Read::Job(key) | Read::JobVersions(key) => vec![Key::Job(key.clone())],
        Read::JobSubmission { key, .. } => vec![Key::Job(key.clone())],
        Read::JobSummary(key) => vec![Key::Job(key.clone()), Key::JobAllocs(key.clone())],
        Read::JobAllocs(key) => vec![Key::JobAllocs(key.clone())],
        Read::JobEvals(key) => vec![Key::JobEvals(key.clone())],
        Read::JobDeployments(key) => vec![Key::JobDeployments(key.clone())],
        Read::JobServices(key) => vec![Key::JobServices(key.clone())],
        Read::Nodes => vec![Key::Table(Table::Nodes)],
        Read::Node(id) => vec![Key::Node(*id)],
        Read::NodeAllocs(id) => vec![Key::NodeAllocs(*id)],
        Read::Allocs { .. } => vec![Key::Table(Table::Allocs)],
        Read::Alloc(id) => vec![Key::Alloc(*id)],
        Read::AllocServices(id) => vec![Key::AllocServices(*id)],
        Read::Evals { .. } => vec![Key::Table(Table::Evals)],
        Read::Eval(id) => vec![Key::Eval(*id)],
        Read::EvalAllocs(id) => vec![Key::EvalAllocs(*id)],
        Read::Deployments { .. } => vec![Key::Table(Table::Deployments)],
        Read::Deployment(id) => vec![Key::Deployment(*id)],
        Read::DeploymentAllocs(id) => vec![Key::DeploymentAllocs(*id)],
        Read::Services { .. } => vec![Key::Table(Table::Services)],
        Read::Service { namespace, name } => vec![Key::Service(namespace.clone(), name.clone())],
        Read::SchedulerConfig => vec![Key::Table(Table::Config)],
        Read::Pools => vec![Key::Table(Table::Pools)],
        Read::Raft => Vec::new(),
        Read::ClientAllocs { node, .. } => vec![Key::NodeWanted(*node), Key::Node(*node)],
        Read::Explain(_) => explain::keys(),
    }
}

fn body(ctx: &Ctx, view: &Snapshot, query: &Query) -> Body {
    let within = |wanted: &Option<Namespace>, found: &Namespace| {
        wanted.as_ref().is_none_or(|wanted| wanted == found)
    };
    match &query.read {
        Read::Jobs { namespace } => Body::Jobs(
            view.job_rows()
                .filter(|(key, _)| within(namespace, &key.namespace))
                .filter_map(|(key, row)| Some((row.versions.first()?.clone(), summary(view, key)?)))
                .collect(),
        ),
        Read::Job(key) => Body::Job(view.job(key)),
        Read::JobVersions(key) => {
            let row = view.job_row(key);
            Body::JobVersions(row.map(|r| r.versions.clone()).unwrap_or_default())
        }
        Read::JobSummary(key) => Body::Summary(summary(view, key)),
        Read::JobSubmission { key, version } => {
            Body::Submission(view.submission(key, *version).map(|s| (*s).clone()))
        }
        Read::JobAllocs(key) => Body::Allocs(view.allocs_of_job(key)),
        Read::JobEvals(key) => Body::Evals(view.evals_of_job(key)),
        Read::JobDeployments(key) => Body::Deployments(view.deployments_of_job(key)),
        Read::JobServices(key) => Body::Services(view.services_of_job(key)),
        Read::Nodes => Body::Nodes(view.nodes()),
        Read::Node(id) => Body::Node(view.node(*id)),
        Read::NodeAllocs(id) => Body::Allocs(view.allocs_of_node(*id)),
        Read::Allocs { namespace } => {
            let all = view.allocs().filter(|a| within(namespace, &a.namespace));
            Body::Allocs(all.cloned().collect())
        }
        Read::Alloc(id) => Body::Alloc(view.alloc(*id)),
        Read::AllocServices(id) => Body::Services(view.services_of_alloc(*id)),
        Read::Evals { namespace } => {
            let all = view.evals().filter(|e| within(namespace, &e.namespace));
            Body::Evals(all.cloned().collect())
        }
        Read::Eval(id) => Body::Eval(view.eval(*id)),
        Read::EvalAllocs(id) => Body::Allocs(view.allocs_of_eval(*id)),
        Read::Deployments { namespace } => {
            let all = view
                .deployments()
                .filter(|d| within(namespace, &d.namespace));
            Body::Deployments(all.cloned().collect())
        }
        Read::Deployment(id) => Body::Deployment(view.deployment(*id)),
        Read::DeploymentAllocs(id) => Body::Allocs(view.allocs_of_deployment(*id)),
        Read::Services { namespace } => {
            let all = view.services().filter(|s| within(namespace, &s.namespace));
            Body::Services(all.cloned().collect())
        }
        Read::Service { namespace, name } => Body::Services(view.service(namespace, name)),
        Read::SchedulerConfig => Body::SchedulerConfig(view.scheduler_config()),
        Read::Pools => Body::Pools(view.pools()),
        Read::Raft => Body::Raft(ctx.raft.view()),
        Read::ClientAllocs { node, .. } => Body::ClientAllocs(ClientAllocs {
            known: serves(view, *node),
            linearizable: !query.stale,
            allocs: view.allocs_of_node(*node),
        }),
        Read::Explain(subject) => Body::Why(explain::why(ctx, view, subject)),
    }
}

/// Counts a job's allocations by group and state.
fn summary(view: &Snapshot, key: &JobKey) -> Option<JobSummary> {
    let row = view.job_row(key)?;
    let job = row.versions.first()?;
    let mut summary = JobSummary {
        groups: groups(&row, job),
        create_index: job.create_index,
        modify_index: view
            .index_of(&Key::JobAllocs(key.clone()))
            .max(job.modify_index),
    };
    for alloc in view.allocs_of_job(key) {
        let group = summary.groups.entry(alloc.group.clone()).or_default();
        match alloc.client_status {
            AllocClientStatus::Pending => group.starting += 1,
            AllocClientStatus::Running => group.running += 1,
            AllocClientStatus::Complete => group.complete += 1,
            AllocClientStatus::Failed => group.failed += 1,
            AllocClientStatus::Lost => group.lost += 1,
            AllocClientStatus::Unknown => group.unknown += 1,
        }
    }
    Some(summary)
}

fn groups(row: &JobRow, job: &Job) -> std::collections::BTreeMap<String, GroupSummary> {
    let groups = job.spec.groups.iter().map(|g| {
        let summary = GroupSummary {
            queued: row.queued.get(&g.name).copied().unwrap_or(0),
            ..GroupSummary::default()
        };
        (g.name.clone(), summary)
    });
    groups.collect()
}
