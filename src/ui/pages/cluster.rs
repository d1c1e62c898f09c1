//! The cluster at a glance, its servers, its services.

use maud::{Markup, html};

use super::format::{badge, facts, link, table};
use super::{Missing, Ui, View, body};
use crate::model::{AllocClientStatus, JobStatus, NodeStatus};
use crate::rpc::api::RaftView;
use crate::rpc::{ApiError, Read};

/// `/ui/`
pub(in crate::ui) async fn overview(ui: &Ui) -> Result<View, Missing> {
    let jobs = body!(ui.read(Read::Jobs { namespace: None }).await?, Jobs);
    let nodes = body!(ui.read(Read::Nodes).await?, Nodes);
    let allocs = body!(ui.read(Read::Allocs { namespace: None }).await?, Allocs);
    let running = jobs
        .iter()
        .filter(|(job, _)| job.status == JobStatus::Running)
        .count();
    let ready = nodes
        .iter()
        .filter(|n| n.status == NodeStatus::Ready)
        .count();
    let count = |status| allocs.iter().filter(|a| a.client_status == status).count();
    let raft = match ui.read(Read::Raft).await {
        Ok(answer) => body!(answer, Raft),
        Err(_) => RaftView::default(), // without a leader, as the page says then
    };
    let waiting: Vec<_> = jobs
        .iter()
        .filter(|(_, summary)| summary.groups.values().any(|g| g.queued > 0))
        .collect();
    let card = |address: &str, number: usize, text: &str| {
        html! { a.card href=(address) { b { (number) } span { (text) } } }
    };
    let content = html! {
        h1 { "Overview" }
        @if raft.leader.is_none() {
            p.warning { "No leader is known: what you see may be out of date." }
        }
        div.cards {
            (card("/ui/jobs", running, "jobs running"))
            (card("/ui/allocations", count(AllocClientStatus::Running), "allocations running"))
            (card("/ui/allocations", count(AllocClientStatus::Pending), "allocations pending"))
            (card("/ui/allocations", count(AllocClientStatus::Failed), "allocations failed"))
            (card("/ui/clients", ready, &format!("of {} clients ready", nodes.len())))
            (card("/ui/servers", raft.servers.len(), "servers"))
        }
        h2 { "Jobs that wait for a place" }
        (table(
            &["Job", "Group", "Waiting"],
            waiting
                .iter()
                .flat_map(|(job, summary)| {
                    summary
                        .groups
                        .iter()
                        .filter(|(_, g)| g.queued > 0)
                        .map(|(group, g)| html! {
                            td { (super::job::job_link(&job.key())) }
                            td { (group) }
                            td { (g.queued) }
                        })
                })
                .collect(),
            "Every declared instance has a place.",
        ))
    };
    Ok(View {
        title: "Overview".to_string(),
        section: "overview",
        content,
    })
}

/// `/ui/servers`
pub(in crate::ui) async fn servers(ui: &Ui) -> Result<View, Missing> {
    let raft = match ui.read(Read::Raft).await {
        Ok(answer) => Ok(body!(answer, Raft)),
        Err(error) => Err(error),
    };
    let members = ui.local.members();
    let rows: Vec<Markup> = members
        .values()
        .filter(|m| m.record.server.is_some())
        .map(|m| {
            html! {
                td { (m.record.name) "." (m.record.region) }
                td { (m.record.rpc_addr) }
                td { (badge(m.status.as_str())) }
                td { (m.record.build) }
                td { (m.record.datacenter) }
            }
        })
        .collect();
    let content = html! {
        h1 { "Servers" }
        (facts(&[
            ("Leader", html! {
                @match raft.as_ref().ok().and_then(|raft| raft.leader) {
                    Some(leader) => (leader),
                    None => span.badge.bad { "none known" },
                }
            }),
            ("Members in the gossip", html! { (members.len()) }),
        ]))
        h2 { "Members" }
        (table(&["Name", "Address", "Status", "Build", "Datacenter"], rows, "No server is known."))
        h2 { "Raft" }
        (raft_table(raft))
    };
    Ok(View {
        title: "Servers".to_string(),
        section: "servers",
        content,
    })
}

fn raft_table(raft: Result<RaftView, ApiError>) -> Markup {
    match raft {
        Err(error) => html! { p.warning { "The Raft group does not answer: " (error) } },
        Ok(raft) => table(
            &["Name", "Id", "Address", "Role"],
            raft.servers
                .iter()
                .map(|s| {
                    html! {
                        td { (s.name) }
                        td { code { (s.id) } }
                        td { (s.addr) }
                        td {
                            @if s.leader { (badge("leader")) " " }
                            @if s.voter { (badge("voter")) } @else { (badge("learner")) }
                        }
                    }
                })
                .collect(),
            "Nobody belongs to it yet.",
        ),
    }
}

/// `/ui/services`
pub(in crate::ui) async fn services(ui: &Ui) -> Result<View, Missing> {
    let answer = ui.read(Read::Services { namespace: None }).await?;
    let rows = body!(answer, Services)
        .iter()
        .map(|s| {
            html! {
                td { (s.name) }
                td { (s.address) ":" (s.port) }
                td { (s.tags.join(", ")) }
                td { (super::job::job_link(&crate::model::JobKey {
                    namespace: s.namespace.clone(),
                    id: s.job_id.clone(),
                })) }
                td { (link("allocations", s.alloc_id)) }
                td { (link("clients", s.node_id)) }
            }
        })
        .collect();
    let content = html! {
        h1 { "Services" }
        (table(
            &["Name", "Address", "Tags", "Job", "Allocation", "Client"],
            rows,
            "No running allocation registers a service.",
        ))
    };
    Ok(View {
        title: "Services".to_string(),
        section: "services",
        content,
    })
}
