//! Servers: who leads, what the Raft group is, and how the gossip sees every member.

use maud::{Markup, html};

use super::format::{badge, client_link, facts};
use super::{Column, Missing, Source, Table, View, body, text};
use crate::model::{Member, MemberStatus, Members, NodeId};
use crate::rpc::api::RaftView;
use crate::rpc::{ApiError, Read};

/// `/ui/servers`
pub(in crate::ui) async fn servers(from: &Source) -> Result<View, Missing> {
    let raft = match from.read(Read::Raft).await {
        Ok(answer) => Ok(body!(answer, Raft)),
        Err(error) => Err(error),
    };
    let members = from.members();
    Ok(View::new("servers", "Servers")
        .part("head", head(raft.as_ref().ok(), &members))
        .part("raft", group(raft, &members))
        .part("members", gossip(&members)))
}

fn head(raft: Option<&RaftView>, members: &Members) -> Markup {
    let leader = raft.and_then(|raft| {
        let leader = raft.leader?;
        let server = raft.servers.iter().find(|s| s.leader);
        Some((server.map_or(String::new(), |s| s.name.clone()), leader))
    });
    let count = |status| members.values().filter(|m| m.status == status).count();
    html! {
        h1 { "Servers" }
        (facts(&[
            ("Leader", html! {
                @match leader {
                    Some((name, addr)) => { (name) " " code { (addr) } },
                    None => { (badge("none known")) },
                }
            }),
            ("Term", html! { @if let Some(raft) = raft { (raft.term) } @else { "–" } }),
            ("Members alive", html! { (count(MemberStatus::Alive)) " of " (members.len()) }),
            ("Members failed", html! { (count(MemberStatus::Failed)) }),
        ]))
    }
}

fn group(raft: Result<RaftView, ApiError>, members: &Members) -> Markup {
    const COLUMNS: [Column; 5] = [
        text("Name"),
        text("Role"),
        text("Gossip"),
        text("Address"),
        text("Id"),
    ];
    let raft = match raft {
        Ok(raft) => raft,
        Err(error) => {
            return html! {
                h2 { "Raft" }
                p.warning { "The Raft group does not answer: " (error) }
            };
        }
    };
    let mut table = Table::new(&COLUMNS, "Nobody belongs to it yet.");
    for s in &raft.servers {
        let seen = members.get(&s.id).map_or("not seen", |m| m.status.as_str());
        let role = html! {
            @if s.leader { (badge("leader")) " " }
            @if s.voter { (badge("voter")) } @else { (badge("learner")) }
        };
        let cells = vec![
            html! { (s.name) },
            role,
            badge(seen),
            html! { code { (s.addr) } },
            html! { code { (s.id) } },
        ];
        table.row(format!("raft-{}", s.id), "", cells);
    }
    html! { h2 { "Raft" } (table.render()) }
}

/// Every member, what is not alive first, servers before clients.
fn gossip(members: &Members) -> Markup {
    const COLUMNS: [Column; 6] = [
        text("Name"),
        text("Status"),
        text("Role"),
        text("Gossip address"),
        text("Datacenter"),
        text("Version"),
    ];
    let mut sorted: Vec<&Member> = members.values().collect();
    sorted.sort_by_key(|m| {
        let alive = m.status == MemberStatus::Alive;
        (alive, m.record.server.is_none(), &m.record.name)
    });
    let mut table = Table::new(&COLUMNS, "No member is known.");
    for m in sorted {
        let record = &m.record;
        let roles = html! {
            @if record.server.is_some() { "server" }
            @if record.server.is_some() && record.client { ", " }
            @if record.client { "client" }
        };
        let name = match record.server {
            // A member that is a client alone has its node's id.
            None => client_link(NodeId(record.id), &record.name),
            Some(_) => html! { (record.name) "." (record.region) },
        };
        let cells = vec![
            name,
            badge(m.status.as_str()),
            roles,
            html! { code { (record.serf_addr) } },
            html! { (record.datacenter) },
            html! { (record.build) },
        ];
        table.row(format!("member-{}", record.id), "", cells);
    }
    html! { h2 { "Gossip" } (table.render()) }
}
