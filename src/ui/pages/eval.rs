//! Evaluations, and why they could not place what they should.

use std::sync::Arc;

use maud::{Markup, html};

use super::format::{ago, badge, facts, link, link_or_none, or_dash};
use super::job::job_link;
use super::{Column, Missing, PageRequest, Source, Table, View, body, number, text};
use super::{filter, id_of, paged, passes};
use crate::model::{AllocMetric, EvalId, EvalStatus, Evaluation, Timestamp};
use crate::rpc::Read;

const STATUSES: [&str; 5] = ["blocked", "pending", "complete", "failed", "canceled"];

const COLUMNS: [Column; 6] = [
    text("Id"),
    text("Job"),
    text("Status"),
    text("Triggered by"),
    number("Priority"),
    text("Created"),
];

/// A table of evaluations, newest first; where one is blocked, the reason.
pub(super) fn table(now: Timestamp, mut evals: Vec<Arc<Evaluation>>) -> Markup {
    sort(&mut evals);
    rows(now, &evals)
}

fn sort(evals: &mut [Arc<Evaluation>]) {
    evals.sort_by_key(|e| (std::cmp::Reverse(e.create_index), e.id));
}

fn rows(now: Timestamp, evals: &[Arc<Evaluation>]) -> Markup {
    let mut table = Table::new(&COLUMNS, "There are none.");
    for e in evals {
        let status = html! {
            (badge(e.status.as_str()))
            @if !e.status_description.is_empty() && e.status != EvalStatus::Complete {
                div.reason { (e.status_description) }
            }
            @for (group, metric) in &e.failed_groups {
                div.reason { b { (group) } ": " (reasons(metric).join("; ")) }
            }
        };
        let cells = vec![
            link("evaluations", e.id),
            job_link(&e.job_key()),
            status,
            html! { (e.trigger.as_str()) },
            html! { (e.priority) },
            ago(now, e.create_time),
        ];
        table.row(format!("eval-{}", e.id), "", cells);
    }
    table.render()
}

/// `/ui/evaluations`
pub(in crate::ui) async fn evals(from: &Source, request: &PageRequest) -> Result<View, Missing> {
    let answer = from.read(Read::Evals { namespace: None }).await?;
    let all = body!(answer, Evals);
    let head = html! {
        h1 { "Evaluations " span.count { (all.len()) } }
        (filter("/ui/evaluations", request, &STATUSES))
    };
    let fits = |e: &Arc<Evaluation>| {
        let id = e.id.to_string();
        passes(request, &[e.job_id.as_str(), &id], e.status.as_str())
    };
    let mut wanted: Vec<_> = all.into_iter().filter(fits).collect();
    sort(&mut wanted);
    let paged = paged(wanted, request);
    Ok(View::new("evaluations", "Evaluations")
        .part("head", head)
        .part(
            "evaluations",
            html! { (rows(from.now(), &paged.rows)) (paged.links) },
        ))
}

/// `/ui/evaluations/<id>`, `/ui/evaluations?currentEval=<id>`
pub(in crate::ui) async fn eval(
    from: &Source,
    id: &str,
    request: &PageRequest,
) -> Result<View, Missing> {
    let id: EvalId = id_of(id, "evaluation")?;
    let Some(eval) = body!(from.read(Read::Eval(id)).await?, Eval) else {
        return Err(Missing::Object(format!("There is no evaluation {id}.")));
    };
    let allocs = body!(from.read(Read::EvalAllocs(id)).await?, Allocs);
    let now = from.now();
    let head = html! {
        p.crumb { a href="/ui/evaluations" { "Evaluations" } }
        h1 { "Evaluation " (eval.id.short()) " " (badge(eval.status.as_str())) }
    };
    let facts = facts(&[
        ("Id", html! { code { (eval.id) } }),
        ("Job", job_link(&eval.job_key())),
        ("Triggered by", html! { (eval.trigger.as_str()) }),
        ("Client", link_or_none("clients", eval.node_id)),
        (
            "Deployment",
            link_or_none("deployments", eval.deployment_id),
        ),
        ("Priority", html! { (eval.priority) }),
        ("Says", or_dash(&eval.status_description)),
        ("Waits until", until(&eval, now)),
        ("Previous", link_or_none("evaluations", eval.previous)),
        ("Next", link_or_none("evaluations", eval.next)),
        ("Blocked", link_or_none("evaluations", eval.blocked)),
        ("Created", ago(now, eval.create_time)),
        ("Modified", ago(now, eval.modify_time)),
    ]);
    let allocations = html! {
        h2 { "Allocations that it placed or changed" }
        (super::alloc::pages(now, allocs, request))
    };
    Ok(
        View::new("evaluations", format!("Evaluation {}", eval.id.short()))
            .part("head", head)
            .part_if("failures", failures(&eval))
            .part("facts", facts)
            .part("allocations", allocations),
    )
}

fn until(eval: &Evaluation, now: Timestamp) -> Markup {
    match eval.wait_until > now {
        true => html! { "in " (super::format::span(eval.wait_until.since(now))) },
        false => html! { "–" },
    }
}

/// Why groups of an evaluation found no place; `None` if all did.
pub(super) fn failures(eval: &Evaluation) -> Option<Markup> {
    (!eval.failed_groups.is_empty()).then(|| {
        html! {
            div.warning {
                @for (group, metric) in &eval.failed_groups {
                    p { b { (group) } ": " (missing(eval, group, metric)) " without a place" }
                    ul { @for reason in reasons(metric) { li { (reason) } } }
                }
            }
        }
    })
}

/// How many instances of a group found no place.
fn missing(eval: &Evaluation, group: &str, metric: &AllocMetric) -> u32 {
    let failed = metric.coalesced_failures + 1;
    eval.queued.get(group).copied().unwrap_or(0).max(failed)
}

/// Why there was no place, one sentence a reason.
pub(super) fn reasons(metric: &AllocMetric) -> Vec<String> {
    let clients = |n: u32| match n {
        1 => "1 client".to_string(),
        n => format!("{n} clients"),
    };
    let mut reasons = Vec::new();
    for (dc, count) in &metric.nodes_available {
        if *count == 0 {
            reasons.push(format!("no client is ready in the datacenter {dc}"));
        }
    }
    if metric.nodes_evaluated == 0 && reasons.is_empty() {
        reasons.push(match metric.node_pool.as_str() {
            "" | "default" => "no client is ready".to_string(),
            pool => format!("no client is ready in the pool {pool}"),
        });
    }
    for (constraint, count) in &metric.constraint_filtered {
        reasons.push(format!("{}: {constraint}", clients(*count)));
    }
    for (class, count) in &metric.class_filtered {
        reasons.push(format!("{} of class {class} ruled out", clients(*count)));
    }
    for (dimension, count) in &metric.dimension_exhausted {
        reasons.push(format!("{} without enough {dimension}", clients(*count)));
    }
    if metric.nodes_exhausted > 0 && metric.dimension_exhausted.is_empty() {
        reasons.push(format!("{} without room", clients(metric.nodes_exhausted)));
    }
    if reasons.is_empty() {
        reasons.push("no reason was kept".to_string());
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_count_clients_in_words() {
        let mut metric = AllocMetric {
            nodes_evaluated: 3,
            nodes_exhausted: 1,
            ..AllocMetric::default()
        };
        let check = |metric: &AllocMetric, text: &[&str]| assert_eq!(reasons(metric), text);
        check(&metric, &["1 client without room"]);
        metric.dimension_exhausted.insert("memory".into(), 1);
        metric
            .constraint_filtered
            .insert("missing drivers".into(), 2);
        let both = [
            "2 clients: missing drivers",
            "1 client without enough memory",
        ];
        check(&metric, &both);
        let mut none = AllocMetric::default();
        check(&none, &["no client is ready"]);
        none.node_pool = "gpu".into();
        check(&none, &["no client is ready in the pool gpu"]);
        none.nodes_available.insert("dc9".into(), 0);
        check(&none, &["no client is ready in the datacenter dc9"]);
    }
}
