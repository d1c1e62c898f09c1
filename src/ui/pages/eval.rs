//! Evaluations and deployments.

use std::collections::BTreeMap;
use std::sync::Arc;

use maud::{Markup, html};

use super::format::{ago, badge, facts, link, table};
use super::{Missing, Ui, View, body, id_of, now};
use crate::model::{AllocMetric, Deployment, DeploymentId, EvalId, Evaluation, Timestamp};
use crate::rpc::Read;

/// A table of evaluations, newest first.
pub(super) fn rows(now: Timestamp, evals: &[Arc<Evaluation>]) -> Markup {
    let mut newest: Vec<&Arc<Evaluation>> = evals.iter().collect();
    newest.sort_by_key(|e| (std::cmp::Reverse(e.create_index), e.id));
    let rows = newest
        .iter()
        .map(|e| {
            html! {
                td { (link("evaluations", e.id)) }
                td { (super::job::job_link(&e.job_key())) }
                td { (badge(e.status.as_str())) }
                td { (e.trigger.as_str()) }
                td { (e.priority) }
                td { @if e.failed_groups.is_empty() { "no" } @else { "yes" } }
                td { (ago(now, e.create_time)) }
            }
        })
        .collect();
    table(
        &[
            "Id",
            "Job",
            "Status",
            "Triggered by",
            "Priority",
            "Placement failures",
            "Created",
        ],
        rows,
        "There are none.",
    )
}

/// `/ui/evaluations`, `/ui/evaluations/<id>`, `/ui/evaluations?currentEval=<id>`
pub(in crate::ui) async fn evals(ui: &Ui, id: Option<&str>) -> Result<View, Missing> {
    let Some(id) = id else {
        let answer = ui.read(Read::Evals { namespace: None }).await?;
        let evals = body!(answer, Evals);
        return Ok(View {
            title: "Evaluations".to_string(),
            section: "evaluations",
            content: html! { h1 { "Evaluations" } (rows(now(ui), &evals)) },
        });
    };
    let id: EvalId = id_of(id, "evaluation")?;
    let Some(eval) = body!(ui.read(Read::Eval(id)).await?, Eval) else {
        return Err(Missing::Object(format!("There is no evaluation {id}.")));
    };
    let allocs = body!(ui.read(Read::EvalAllocs(id)).await?, Allocs);
    let now = now(ui);
    let linked = |id: Option<EvalId>| {
        html! { @match id { Some(id) => (link("evaluations", id)), None => "–" } }
    };
    let content = html! {
        p.crumb { a href="/ui/evaluations" { "Evaluations" } }
        h1 { "Evaluation " (eval.id.short()) " " (badge(eval.status.as_str())) }
        (facts(&[
            ("Id", html! { code { (eval.id) } }),
            ("Job", super::job::job_link(&eval.job_key())),
            ("Triggered by", html! { (eval.trigger.as_str()) }),
            ("Priority", html! { (eval.priority) }),
            ("Says", html! { (eval.status_description) }),
            ("Previous", linked(eval.previous)),
            ("Next", linked(eval.next)),
            ("Blocked", linked(eval.blocked)),
            ("Created", ago(now, eval.create_time)),
        ]))
        @if !eval.failed_groups.is_empty() {
            h2 { "Placement failures" }
            (failures(&eval.failed_groups))
        }
        h2 { "Allocations" }
        (super::alloc::rows(now, &allocs))
    };
    Ok(View {
        title: format!("Evaluation {}", eval.id.short()),
        section: "evaluations",
        content,
    })
}

/// Why groups found no place, in words.
pub(super) fn failures(groups: &BTreeMap<String, AllocMetric>) -> Markup {
    html! {
        @for (group, metric) in groups {
            p { b { (group) } ": " (metric.coalesced_failures + 1) " not placed" }
            ul {
                @if metric.nodes_evaluated == 0 {
                    li { "No node was eligible for evaluation." }
                }
                @for (dc, count) in &metric.nodes_available {
                    @if *count == 0 { li { "No node is ready in the datacenter " (dc) "." } }
                }
                @for (class, count) in &metric.class_filtered {
                    li { "Class " (class) ": " (count) " nodes excluded by filter" }
                }
                @for (constraint, count) in &metric.constraint_filtered {
                    li { "Constraint " (constraint) ": " (count) " nodes excluded by filter" }
                }
                @if metric.nodes_exhausted > 0 {
                    li { "Resources exhausted on " (metric.nodes_exhausted) " nodes" }
                }
                @for (dimension, count) in &metric.dimension_exhausted {
                    li { "Dimension " (dimension) " exhausted on " (count) " nodes" }
                }
            }
        }
    }
}

/// `/ui/deployments/<id>`
pub(in crate::ui) async fn deployment(ui: &Ui, text: &str) -> Result<View, Missing> {
    let id: DeploymentId = id_of(text, "deployment")?;
    let Some(deployment) = body!(ui.read(Read::Deployment(id)).await?, Deployment) else {
        return Err(Missing::Object(format!("There is no deployment {id}.")));
    };
    let allocs = body!(ui.read(Read::DeploymentAllocs(id)).await?, Allocs);
    let now = now(ui);
    let content = html! {
        p.crumb { (super::job::job_link(&deployment.job_key())) }
        h1 { "Deployment " (id.short()) " " (badge(deployment.status.as_str())) }
        (facts(&[
            ("Id", html! { code { (id) } }),
            ("Job version", html! { (deployment.job_version) }),
            ("Says", html! { (deployment.status_description) }),
            ("Created", ago(now, deployment.create_time)),
            ("Modified", ago(now, deployment.modify_time)),
        ]))
        h2 { "Groups" }
        (deployment_groups(&deployment))
        h2 { "Allocations" }
        (super::alloc::rows(now, &allocs))
    };
    Ok(View {
        title: format!("Deployment {}", id.short()),
        section: "jobs",
        content,
    })
}

/// How far each group is.
pub(super) fn deployment_groups(deployment: &Deployment) -> Markup {
    let rows = deployment
        .groups
        .iter()
        .map(|(name, g)| {
            html! {
                td { (name) }
                td { (g.desired_total) }
                td { (g.placed) }
                td { (g.healthy) }
                td { (g.unhealthy) }
                td { @if g.desired_canaries > 0 {
                    (g.placed_canaries.len()) " of " (g.desired_canaries)
                    @if g.promoted { " (promoted)" }
                } @else { "–" } }
            }
        })
        .collect();
    table(
        &[
            "Group",
            "Desired",
            "Placed",
            "Healthy",
            "Unhealthy",
            "Canaries",
        ],
        rows,
        "It has no groups.",
    )
}
