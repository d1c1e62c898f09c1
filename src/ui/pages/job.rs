//! Jobs.

use maud::{Markup, html};

use super::format::{ago, badge, facts, table};
use super::{Missing, Ui, View, body, now};
use crate::model::{Deployment, Job, JobKey, Timestamp};
use crate::rpc::Read;
use crate::rpc::api::JobSummary;

/// A job's id as a link to its page.
pub(super) fn job_link(key: &JobKey) -> Markup {
    html! { a href={ "/ui/jobs/" (encoded(key.id.as_str())) "@" (key.namespace) } { (key.id) } }
}

/// An id as part of an address.
fn encoded(id: &str) -> String {
    let mut out = String::new();
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `/ui/jobs`
pub(in crate::ui) async fn jobs(ui: &Ui) -> Result<View, Missing> {
    let answer = ui.read(Read::Jobs { namespace: None }).await?;
    let now = now(ui);
    let rows = body!(answer, Jobs)
        .iter()
        .map(|(job, summary)| {
            let (running, wanted) = counts(job, summary);
            html! {
                td { (job_link(&job.key())) }
                td { (status(job)) }
                td { (job.spec.kind.as_str()) }
                td { (job.spec.priority) }
                td { (running) " of " (wanted) }
                td { (ago(now, job.submit_time)) }
            }
        })
        .collect();
    let content = html! {
        h1 { "Jobs" }
        (table(
            &["Id", "Status", "Type", "Priority", "Running", "Submitted"],
            rows,
            "No job is registered yet. Try: tumen job init -short && tumen job run example.nomad.hcl",
        ))
    };
    Ok(View {
        title: "Jobs".to_string(),
        section: "jobs",
        content,
    })
}

fn status(job: &Job) -> Markup {
    html! {
        (badge(job.status.as_str()))
        @if job.stop { " " (badge("stopped")) }
    }
}

fn counts(job: &Job, summary: &JobSummary) -> (u32, u32) {
    let wanted = if job.stop {
        0
    } else {
        job.spec.groups.iter().map(|g| g.count).sum()
    };
    (summary.groups.values().map(|g| g.running).sum(), wanted)
}

/// `/ui/jobs/<id>@<namespace>`
pub(in crate::ui) async fn job(ui: &Ui, text: &str) -> Result<View, Missing> {
    let (id, namespace) = text.rsplit_once('@').unwrap_or((text, "default"));
    let key = JobKey::new(namespace, id);
    let Some(job) = body!(ui.read(Read::Job(key.clone())).await?, Job) else {
        return Err(Missing::Object(format!(
            "No job `{id}` is registered in the namespace `{namespace}`."
        )));
    };
    let summary = body!(ui.read(Read::JobSummary(key.clone())).await?, Summary).unwrap_or_default();
    let deployments = body!(
        ui.read(Read::JobDeployments(key.clone())).await?,
        Deployments
    );
    let allocs = body!(ui.read(Read::JobAllocs(key.clone())).await?, Allocs);
    let evals = body!(ui.read(Read::JobEvals(key)).await?, Evals);
    let now = now(ui);
    let blocked = evals
        .iter()
        .filter(|e| !e.failed_groups.is_empty())
        .max_by_key(|e| e.modify_index)
        .filter(|_| summary.groups.values().any(|g| g.queued > 0));
    let content = html! {
        p.crumb { a href="/ui/jobs" { "Jobs" } }
        h1 { (job.spec.name) " " (status(&job)) }
        @if let Some(ui) = &job.spec.ui {
            p { (ui.description) }
            p { @for (label, url) in &ui.links {
                @if url.starts_with("https://") || url.starts_with("http://") {
                    a href=(url) rel="noreferrer noopener" { (label) } " "
                }
            } }
        }
        (job_facts(&job, now))
        h2 { "Groups" }
        (groups(&job, &summary))
        @if let Some(eval) = blocked {
            h2 { "Placement failures" }
            (super::eval::failures(&eval.failed_groups))
        }
        h2 { "Latest deployment" }
        (latest(deployments.iter().max_by_key(|d| d.create_index).map(|d| &**d)))
        h2 { "Allocations" }
        (super::alloc::rows(now, &allocs))
        h2 { "Evaluations" }
        (super::eval::rows(now, &evals))
    };
    Ok(View {
        title: job.spec.id.to_string(),
        section: "jobs",
        content,
    })
}

fn job_facts(job: &Job, now: Timestamp) -> Markup {
    facts(&[
        ("Id", html! { (job.spec.id) }),
        ("Namespace", html! { (job.spec.namespace) }),
        ("Type", html! { (job.spec.kind.as_str()) }),
        ("Priority", html! { (job.spec.priority) }),
        (
            "Version",
            html! { (job.version) @if job.stable { " (stable)" } },
        ),
        ("Datacenters", html! { (job.spec.datacenters.join(", ")) }),
        ("Node pool", html! { (job.spec.node_pool) }),
        ("Submitted", ago(now, job.submit_time)),
    ])
}

fn groups(job: &Job, summary: &JobSummary) -> Markup {
    let rows = job
        .spec
        .groups
        .iter()
        .map(|group| {
            let s = summary.groups.get(&group.name).copied().unwrap_or_default();
            html! {
                td { (group.name) }
                td { (group.count) }
                td { (s.queued) }
                td { (s.starting) }
                td { (s.running) }
                td { (s.failed) }
                td { (s.complete) }
                td { (s.lost) }
                td { (s.unknown) }
            }
        })
        .collect();
    table(
        &[
            "Group", "Count", "Queued", "Starting", "Running", "Failed", "Complete", "Lost",
            "Unknown",
        ],
        rows,
        "The job has no groups.",
    )
}

fn latest(deployment: Option<&Deployment>) -> Markup {
    let Some(d) = deployment else {
        return html! { p.empty { "This job has had none." } };
    };
    html! {
        p {
            (super::format::link("deployments", d.id)) " "
            (badge(d.status.as_str())) " " (d.status_description)
        }
        (super::eval::deployment_groups(d))
    }
}
