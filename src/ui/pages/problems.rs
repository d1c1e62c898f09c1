//! What is wrong now, worst first, each with where to look.

use std::collections::BTreeMap;
use std::sync::Arc;

use maud::{Markup, html};

use super::format::{ago, badge, client_link, link};
use super::job::job_link;
use crate::model::{
    AllocClientStatus, AllocDesiredStatus, Allocation, Deployment, DeploymentStatus, Evaluation,
    Job, JobKey, MemberStatus, Members, Node, NodeStatus, Timestamp,
};
use crate::rpc::api::JobSummary;
use crate::rpc::node::CheckResult;

/// How many problems of one kind are listed.
const LISTED_MAX: usize = 10;

/// What problems are found in.
pub(super) struct Facts<'a> {
    pub jobs: &'a [(Arc<Job>, JobSummary)],
    pub nodes: &'a [Arc<Node>],
    pub allocs: &'a [Arc<Allocation>],
    pub evals: &'a [Arc<Evaluation>],
    pub deployments: &'a [Arc<Deployment>],
    pub checks: &'a [(Arc<Allocation>, CheckResult)],
    pub members: &'a Members,
    pub leader: bool,
}

/// Something that is not as it should be.
pub(super) struct Problem {
    status: &'static str,
    what: Markup,
    reason: String,
    since: Timestamp,
}

/// Everything that is wrong, by kind.
pub(super) fn find(facts: &Facts<'_>) -> Vec<Vec<Problem>> {
    let mut kinds = vec![
        leader(facts),
        nodes(facts),
        members(facts),
        blocked(facts),
        deployments(facts),
        allocs(facts),
        checks(facts),
        drivers(facts),
    ];
    for kind in &mut kinds {
        kind.sort_by_key(|p| std::cmp::Reverse(p.since));
    }
    kinds.retain(|kind| !kind.is_empty());
    kinds
}

/// The list of problems, or that there is none.
pub(super) fn show(kinds: &[Vec<Problem>], now: Timestamp) -> Markup {
    let count: usize = kinds.iter().map(Vec::len).sum();
    html! {
        @match count {
            0 => {
                h1 { "Nothing is wrong" }
                p.calm {
                    "Every declared instance has its place, every client and server is there, "
                    "no deployment has failed."
                }
            },
            1 => h1 { "1 thing is wrong" },
            n => h1 { (n) " things are wrong" },
        }
        ul.problems {
            @for kind in kinds {
                @for p in kind.iter().take(LISTED_MAX) {
                    li {
                        (badge(p.status)) " "
                        span.what { (p.what) }
                        @if p.since.is_set() { " " span.soft { (ago(now, p.since)) } }
                        @if !p.reason.is_empty() { div.reason { (p.reason) } }
                    }
                }
                @if kind.len() > LISTED_MAX {
                    li { span.soft { (kind.len() - LISTED_MAX) " more like these" } }
                }
            }
        }
    }
}

fn leader(facts: &Facts<'_>) -> Vec<Problem> {
    let none = Problem {
        status: "failed",
        what: html! { a href="/ui/servers" { "No leader" } },
        reason: "Nothing can be changed or placed until the servers elect one.".to_string(),
        since: Timestamp::UNSET,
    };
    (!facts.leader).then_some(none).into_iter().collect()
}

fn nodes(facts: &Facts<'_>) -> Vec<Problem> {
    let gone = |n: &&Arc<Node>| matches!(n.status, NodeStatus::Down | NodeStatus::Disconnected);
    let gone = facts.nodes.iter().filter(gone);
    gone.map(|n| Problem {
        status: n.status.as_str(),
        what: html! { "client " (client_link(n.id, &n.name)) },
        reason: n.status_description.clone(),
        since: n.status_updated_at,
    })
    .collect()
}

/// Servers that the gossip lost; lost clients are nodes that are down.
fn members(facts: &Facts<'_>) -> Vec<Problem> {
    let servers = facts.members.values().filter(|m| m.record.server.is_some());
    let failed = servers.filter(|m| m.status == MemberStatus::Failed);
    failed
        .map(|m| Problem {
            status: "failed",
            what: html! { "server " a href="/ui/servers" { (m.record.name) } },
            reason: format!("{} does not answer the gossip", m.record.serf_addr),
            since: Timestamp::UNSET,
        })
        .collect()
}

/// Jobs whose instances wait for a place, with what the last attempt found.
fn blocked(facts: &Facts<'_>) -> Vec<Problem> {
    let mut by_job: BTreeMap<JobKey, &Evaluation> = BTreeMap::new();
    for eval in facts.evals.iter().filter(|e| !e.failed_groups.is_empty()) {
        let newest = by_job.entry(eval.job_key()).or_insert(eval);
        if eval.modify_index > newest.modify_index {
            *newest = eval;
        }
    }
    let mut problems = Vec::new();
    for (job, summary) in facts.jobs {
        let eval = by_job.get(&job.key());
        for (group, s) in summary.groups.iter().filter(|(_, s)| s.queued > 0) {
            let metric = eval.and_then(|e| e.failed_groups.get(group));
            let reasons = metric.map(super::eval::reasons).unwrap_or_default();
            problems.push(Problem {
                status: "blocked",
                what: html! {
                    "job " (job_link(&job.key())) ": " (s.queued) " of " (group)
                    " without a place"
                },
                reason: reasons.join("; "),
                since: eval.map_or(job.submit_time, |e| e.create_time),
            });
        }
    }
    problems
}

/// Jobs whose newest deployment failed.
fn deployments(facts: &Facts<'_>) -> Vec<Problem> {
    let mut newest: BTreeMap<JobKey, &Deployment> = BTreeMap::new();
    for d in facts.deployments {
        let kept = newest.entry(d.job_key()).or_insert(d);
        if d.create_index > kept.create_index {
            *kept = d;
        }
    }
    let lives = |key: &JobKey| facts.jobs.iter().any(|(j, _)| j.key() == *key && !j.stop);
    let failed = newest
        .into_iter()
        .filter(|(key, d)| d.status == DeploymentStatus::Failed && lives(key));
    failed
        .map(|(key, d)| Problem {
            status: "failed",
            what: html! {
                "deployment " (link("deployments", d.id)) " of " (job_link(&key))
                " version " (d.job_version)
            },
            reason: d.status_description.clone(),
            since: d.modify_time,
        })
        .collect()
}

/// Allocations that ended badly and have no successor, or that run without being healthy.
fn allocs(facts: &Facts<'_>) -> Vec<Problem> {
    let stopped = facts.jobs.iter().filter(|(job, _)| job.stop);
    let stopped: Vec<JobKey> = stopped.map(|(job, _)| job.key()).collect();
    let status = |a: &Allocation| {
        let unhealthy = a.deployment_health.and_then(|h| h.healthy) == Some(false);
        match a.client_status {
            AllocClientStatus::Failed => Some("failed"),
            AllocClientStatus::Lost => Some("lost"),
            AllocClientStatus::Unknown => Some("unknown"),
            AllocClientStatus::Pending | AllocClientStatus::Running if unhealthy => {
                Some("unhealthy")
            }
            AllocClientStatus::Pending
            | AllocClientStatus::Running
            | AllocClientStatus::Complete => None,
        }
    };
    let wanted = |a: &&Arc<Allocation>| {
        a.desired == AllocDesiredStatus::Run && a.next.is_none() && !stopped.contains(&a.job_key())
    };
    let bad = facts.allocs.iter().filter(wanted);
    bad.filter_map(|a| {
        let failures = super::task::last_failures(a).into_iter();
        let failures: Vec<String> = failures.map(|(t, text)| format!("{t}: {text}")).collect();
        Some(Problem {
            status: status(a)?,
            what: html! {
                "allocation " (link("allocations", a.id)) " " (a.name) " on "
                (client_link(a.node_id, &a.node_name))
            },
            reason: match failures.is_empty() {
                true => a.client_description.clone(),
                false => failures.join("; "),
            },
            since: a.modify_time,
        })
    })
    .collect()
}

fn checks(facts: &Facts<'_>) -> Vec<Problem> {
    let problem = |(alloc, check): &(Arc<Allocation>, CheckResult)| Problem {
        status: "failure",
        what: html! {
            "check " (check.check) " of " (check.service) " in "
            (link("allocations", alloc.id)) " " (alloc.name)
        },
        reason: check.output.clone(),
        since: check.time,
    };
    facts.checks.iter().map(problem).collect()
}

/// Drivers that are there and do not work.
fn drivers(facts: &Facts<'_>) -> Vec<Problem> {
    let ready = facts.nodes.iter().filter(|n| n.status == NodeStatus::Ready);
    ready
        .flat_map(|n| n.drivers.iter().map(move |(name, d)| (n, name, d)))
        .filter(|(_, _, d)| d.detected && !d.healthy)
        .map(|(n, name, d)| Problem {
            status: "unhealthy",
            what: html! { "driver " (name) " on " (client_link(n.id, &n.name)) },
            reason: d.description.clone(),
            since: d.update_time,
        })
        .collect()
}
