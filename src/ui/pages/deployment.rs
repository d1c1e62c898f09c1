//! Deployments.

use std::sync::Arc;

use maud::{Markup, html};

use super::format::{ago, badge, facts, link, or_dash, span};
use super::job::job_link;
use super::{Column, Missing, PageRequest, Source, Table, View, bar, body, number, text};
use super::{filter, id_of, paged, passes};
use crate::model::{Deployment, DeploymentId, Timestamp};
use crate::rpc::Read;

const STATUSES: [&str; 5] = ["running", "paused", "failed", "successful", "cancelled"];

/// `/ui/deployments`
pub(in crate::ui) async fn deployments(
    from: &Source,
    request: &PageRequest,
) -> Result<View, Missing> {
    let answer = from.read(Read::Deployments { namespace: None }).await?;
    let all = body!(answer, Deployments);
    let head = html! {
        h1 { "Deployments " span.count { (all.len()) } }
        (filter("/ui/deployments", request, &STATUSES))
    };
    let fits = |d: &Arc<Deployment>| {
        let id = d.id.to_string();
        passes(request, &[d.job_id.as_str(), &id], d.status.as_str())
    };
    let mut wanted: Vec<_> = all.into_iter().filter(fits).collect();
    sort(&mut wanted);
    let paged = paged(wanted, request);
    Ok(View::new("jobs", "Deployments").part("head", head).part(
        "deployments",
        html! { (table(from.now(), &paged.rows)) (paged.links) },
    ))
}

/// Newest first.
pub(super) fn sort(deployments: &mut [Arc<Deployment>]) {
    deployments.sort_by_key(|d| (std::cmp::Reverse(d.create_index), d.id));
}

/// A table of deployments.
pub(super) fn table(now: Timestamp, deployments: &[Arc<Deployment>]) -> Markup {
    const COLUMNS: [Column; 6] = [
        text("Id"),
        text("Job"),
        text("Status"),
        number("Version"),
        text("Says"),
        text("Created"),
    ];
    let mut table = Table::new(&COLUMNS, "There are none.");
    for d in deployments {
        let cells = vec![
            link("deployments", d.id),
            job_link(&d.job_key()),
            badge(d.status.as_str()),
            html! { (d.job_version) },
            html! { (d.status_description) },
            ago(now, d.create_time),
        ];
        table.row(format!("deployment-{}", d.id), "", cells);
    }
    table.render()
}

/// `/ui/deployments/<id>`
pub(in crate::ui) async fn deployment(
    from: &Source,
    id: &str,
    request: &PageRequest,
) -> Result<View, Missing> {
    let id: DeploymentId = id_of(id, "deployment")?;
    let Some(deployment) = body!(from.read(Read::Deployment(id)).await?, Deployment) else {
        return Err(Missing::Object(format!("There is no deployment {id}.")));
    };
    let allocs = body!(from.read(Read::DeploymentAllocs(id)).await?, Allocs);
    let now = from.now();
    let head = html! {
        p.crumb { a href="/ui/jobs" { "Jobs" } " / " (job_link(&deployment.job_key())) }
        h1 { "Deployment " (id.short()) " " (badge(deployment.status.as_str())) }
    };
    let facts = facts(&[
        ("Id", html! { code { (id) } }),
        ("Job version", html! { (deployment.job_version) }),
        ("Says", or_dash(&deployment.status_description)),
        ("Created", ago(now, deployment.create_time)),
        ("Modified", ago(now, deployment.modify_time)),
    ]);
    let allocations = html! {
        h2 { "Allocations" }
        (super::alloc::pages(now, allocs, request))
    };
    Ok(View::new("jobs", format!("Deployment {}", id.short()))
        .part("head", head)
        .part("facts", facts)
        .part(
            "groups",
            html! { h2 { "Progress" } (progress(&deployment, now)) },
        )
        .part("allocations", allocations))
}

/// How far each group is.
pub(super) fn progress(deployment: &Deployment, now: Timestamp) -> Markup {
    const COLUMNS: [Column; 7] = [
        text("Group"),
        text("Healthy"),
        number("Desired"),
        number("Placed"),
        number("Unhealthy"),
        text("Canaries"),
        text("Time left"),
    ];
    let active = deployment.status.is_active();
    let mut table = Table::new(&COLUMNS, "It has no groups.");
    for (name, g) in &deployment.groups {
        let open = g.desired_total.saturating_sub(g.healthy + g.unhealthy);
        let parts = [
            ("good", u64::from(g.healthy), "healthy"),
            ("bad", u64::from(g.unhealthy), "unhealthy"),
            ("rest", u64::from(open), "not yet"),
        ];
        let left = html! {
            @if active && g.require_progress_by > now {
                (span(g.require_progress_by.since(now)))
            } @else { "–" }
        };
        let canaries = html! {
            @if g.desired_canaries > 0 {
                (g.placed_canaries.len()) " of " (g.desired_canaries)
                @if g.promoted { ", promoted" } @else if active { ", to be promoted" }
            } @else { "–" }
        };
        let cells = vec![
            html! { (name) },
            html! { (g.healthy) " of " (g.desired_total) (bar::shares(&parts)) },
            html! { (g.desired_total) },
            html! { (g.placed) },
            html! { (g.unhealthy) },
            canaries,
            left,
        ];
        table.row(format!("progress-{name}"), "", cells);
    }
    table.render()
}
