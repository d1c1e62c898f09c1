//! The cluster at a glance: what is wrong now, and how much there is of everything.

use std::sync::Arc;

use maud::{Markup, html};

use super::format::mib;
use super::problems::{self, Facts};
use super::{Missing, Source, View, bar, body};
use crate::model::resources::Amounts;
use crate::model::{AllocClientStatus, Allocation, Job, JobStatus, MemberStatus, Node, NodeStatus};
use crate::rpc::Read;
use crate::rpc::api::{JobSummary, RaftView};

/// `/ui/`
pub(in crate::ui) async fn overview(from: &Source) -> Result<View, Missing> {
    let jobs = body!(from.read(Read::Jobs { namespace: None }).await?, Jobs);
    let nodes = body!(from.read(Read::Nodes).await?, Nodes);
    let allocs = body!(from.read(Read::Allocs { namespace: None }).await?, Allocs);
    let evals = body!(from.read(Read::Evals { namespace: None }).await?, Evals);
    let deployments = from.read(Read::Deployments { namespace: None }).await?;
    let deployments = body!(deployments, Deployments);
    let raft = match from.read(Read::Raft).await {
        Ok(answer) => body!(answer, Raft),
        Err(_) => RaftView::default(), // without a leader, as the page says then
    };
    let checks = super::task::failing_checks(from, &allocs, &nodes).await;
    let members = from.members();
    let facts = Facts {
        jobs: &jobs,
        nodes: &nodes,
        allocs: &allocs,
        evals: &evals,
        deployments: &deployments,
        checks: &checks,
        members: &members,
        leader: raft.leader.is_some(),
    };
    let alive = members
        .values()
        .filter(|m| m.status == MemberStatus::Alive && m.record.server.is_some());
    let servers = raft.servers.len().max(1);
    Ok(View::new("overview", "Overview")
        .part(
            "problems",
            problems::show(&problems::find(&facts), from.now()),
        )
        .part(
            "counts",
            cards(&jobs, &nodes, &allocs, (alive.count(), servers)),
        )
        .part("room", room(&nodes, &allocs)))
}

fn cards(
    jobs: &[(Arc<Job>, JobSummary)],
    nodes: &[Arc<Node>],
    allocs: &[Arc<Allocation>],
    (alive, servers): (usize, usize),
) -> Markup {
    let jobs_in = |status| jobs.iter().filter(|(job, _)| job.status == status).count();
    let jobs_running = jobs_in(JobStatus::Running);
    let job_bar = bar::shares(&[
        ("good", jobs_running as u64, "running"),
        ("wait", jobs_in(JobStatus::Pending) as u64, "pending"),
        ("off", jobs_in(JobStatus::Dead) as u64, "dead"),
    ]);
    let ready = nodes.iter().filter(|n| n.is_ready()).count();
    let live = allocs.iter().filter(|a| !a.is_terminal());
    let status = |wanted| move |a: &&Arc<Allocation>| a.client_status == wanted;
    let allocs_running = allocs.iter().filter(status(AllocClientStatus::Running));
    let card = |address: &str, number: usize, all: usize, text: &str, bar: Markup| {
        html! {
            a.card href=(address) {
                b { (number) span.soft { " of " (all) } }
                span { (text) }
                (bar)
            }
        }
    };
    let bar_of = |good: usize, all: usize| {
        let rest = all.saturating_sub(good) as u64;
        bar::shares(&[("good", good as u64, "well"), ("bad", rest, "not")])
    };
    html! {
        h2.first { "The cluster" }
        div.cards {
            (card("/ui/jobs", jobs_running, jobs.len(), "jobs running", job_bar))
            (card("/ui/allocations", allocs_running.count(), allocs.len(), "allocations running",
                bar::allocations(live.map(|a| &**a))))
            (card("/ui/clients", ready, nodes.len(), "clients ready", bar_of(ready, nodes.len())))
            (card("/ui/servers", alive, servers, "servers alive", bar_of(alive, servers)))
        }
    }
}

/// What all ready clients have, and how much of it is allotted.
fn room(nodes: &[Arc<Node>], allocs: &[Arc<Allocation>]) -> Markup {
    let (mut has, mut held) = (Amounts::default(), Amounts::default());
    for node in nodes.iter().filter(|n| n.status == NodeStatus::Ready) {
        has.add(node.available());
    }
    for alloc in allocs.iter().filter(|a| a.holds_resources()) {
        held.add(alloc.resources.usage());
    }
    let row = |name: &str, used: u64, all: u64, words: String| {
        html! { div { dt { (name) } dd { (words) (bar::level(used as f64, all as f64, &words)) } } }
    };
    let cpu = format!("{} of {} MHz", held.cpu_mhz, has.cpu_mhz);
    let memory = format!("{} of {}", mib(held.memory_mb), mib(has.memory_mb));
    let disk = format!("{} of {}", mib(held.disk_mb), mib(has.disk_mb));
    html! {
        h2 { "Allotted on ready clients" }
        dl.facts {
            (row("CPU", held.cpu_mhz, has.cpu_mhz, cpu))
            (row("Memory", held.memory_mb, has.memory_mb, memory))
            (row("Disk", held.disk_mb, has.disk_mb, disk))
        }
    }
}
