//! Jobs.

use std::sync::Arc;

use maud::{Markup, html};

use super::deployment::progress;
use super::format::{ago, badge, encoded, facts, link};
use super::{Column, Missing, PageRequest, Source, Table, View, bar, body, number, text};
use super::{filter, paged, passes};
use crate::model::{Deployment, Evaluation, Job, JobKey, Timestamp};
use crate::rpc::Read;
use crate::rpc::api::{GroupSummary, JobSummary};

const STATUSES: [&str; 3] = ["running", "pending", "dead"];

/// How many past evaluations a job's page shows.
const EVALS_SHOWN: usize = 20;

/// The address of a job's page.
pub(in crate::ui) fn address(key: &JobKey) -> String {
    let namespace = encoded(key.namespace.as_str());
    format!("/ui/jobs/{}@{namespace}", encoded(key.id.as_str()))
}

/// A job's id as a link to its page.
pub(super) fn job_link(key: &JobKey) -> Markup {
    html! { a href=(address(key)) { (key.id) } }
}

/// `/ui/jobs`
pub(in crate::ui) async fn jobs(from: &Source, request: &PageRequest) -> Result<View, Missing> {
    let answer = from.read(Read::Jobs { namespace: None }).await?;
    let all = body!(answer, Jobs);
    let head = html! {
        h1 { "Jobs " span.count { (all.len()) } }
        (filter("/ui/jobs", request, &STATUSES))
    };
    let filters = !request.text("q").is_empty() || !request.text("status").is_empty();
    let fits = |(job, _): &(Arc<Job>, JobSummary)| {
        let names = [job.spec.id.as_str(), &job.spec.name];
        passes(request, &names, job.status.as_str())
    };
    let paged = paged(all.into_iter().filter(fits).collect(), request);
    let list = html! { (list(&paged.rows, from.now(), filters)) (paged.links) };
    Ok(View::new("jobs", "Jobs")
        .part("head", head)
        .part("jobs", list))
}

fn list(jobs: &[(Arc<Job>, JobSummary)], now: Timestamp, filters: bool) -> Markup {
    const COLUMNS: [Column; 6] = [
        text("Job"),
        text("Status"),
        text("Instances"),
        text("Type"),
        number("Priority"),
        text("Submitted"),
    ];
    let nothing = match filters {
        true => html! { "No job is named so." },
        false => html! {
            "No job is registered yet. Try: "
            code { "tumen job init -short && tumen job run example.nomad.hcl" }
        },
    };
    let mut table = Table::new(&COLUMNS, nothing);
    for (job, summary) in jobs {
        let (running, wanted) = counts(job, summary);
        let groups: Vec<GroupSummary> = summary.groups.values().copied().collect();
        let namespace = job.spec.namespace.as_str();
        let cells = vec![
            html! {
                (job_link(&job.key()))
                @if namespace != "default" { " " span.soft { (namespace) } }
            },
            status(job),
            html! { (running) " of " (wanted) " " (bar::instances(&groups)) },
            html! { (job.spec.kind.as_str()) },
            html! { (job.spec.priority) },
            ago(now, job.submit_time),
        ];
        table.row(format!("job-{}", job.spec.id), "", cells);
    }
    table.render()
}

fn status(job: &Job) -> Markup {
    html! {
        (badge(job.status.as_str()))
        @if job.stop { " " (badge("stopped")) }
    }
}

/// How many instances run, and how many should.
fn counts(job: &Job, summary: &JobSummary) -> (u32, u32) {
    let wanted = match job.stop {
        true => 0,
        false => job.spec.groups.iter().map(|g| g.count).sum(),
    };
    (summary.groups.values().map(|g| g.running).sum(), wanted)
}

/// The job that an address names, `<id>@<namespace>` or `<id>`; a part of its page may follow.
async fn named(from: &Source, address: &str) -> Result<Arc<Job>, Missing> {
    let parts = ["/deployments", "/allocations", "/evaluations", "/versions"];
    let whole = parts.iter().find_map(|part| address.strip_suffix(part));
    let (mut id, mut namespace) = ("", "");
    for address in [Some(address), whole].into_iter().flatten() {
        (id, namespace) = address.rsplit_once('@').unwrap_or((address, "default"));
        let key = JobKey::new(namespace, id);
        if let Some(job) = body!(from.read(Read::Job(key)).await?, Job) {
            return Ok(job);
        }
    }
    Err(Missing::Object(format!(
        "No job `{id}` is registered in the namespace `{namespace}`."
    )))
}

/// `/ui/jobs/<id>@<namespace>`
pub(in crate::ui) async fn job(
    from: &Source,
    address: &str,
    request: &PageRequest,
) -> Result<View, Missing> {
    let job = named(from, address).await?;
    let key = job.key();
    let summary = from.read(Read::JobSummary(key.clone())).await?;
    let summary = body!(summary, Summary).unwrap_or_default();
    let deployments = from.read(Read::JobDeployments(key.clone())).await?;
    let mut deployments = body!(deployments, Deployments);
    super::deployment::sort(&mut deployments);
    let allocs = body!(from.read(Read::JobAllocs(key.clone())).await?, Allocs);
    let mut evals = body!(from.read(Read::JobEvals(key)).await?, Evals);
    evals.sort_by_key(|e| std::cmp::Reverse(e.create_index));
    let blocked = waiting(&evals, &summary).and_then(super::eval::failures);
    let older = evals.len().saturating_sub(EVALS_SHOWN);
    evals.truncate(EVALS_SHOWN);
    let now = from.now();
    let evaluations = html! {
        h2 { "Evaluations" }
        (super::eval::table(now, evals))
        @if older > 0 { p.empty { (older) " older ones are not shown." } }
    };
    let allocations = html! {
        h2 { "Allocations " span.count { (allocs.len()) } }
        (super::alloc::pages(now, allocs, request))
    };
    Ok(View::new("jobs", job.spec.id.to_string())
        .part("head", head(&job))
        .part_if("blocked", blocked)
        .part("facts", job_facts(&job, now))
        .part("groups", groups(&job, &summary))
        .part_if("deployment", latest(&deployments, now))
        .part("allocations", allocations)
        .part("evaluations", evaluations)
        .part_if("deployments", past(&deployments, now)))
}

/// The newest evaluation that tells why instances wait for a place, if any wait.
pub(super) fn waiting<'a>(
    evals: &'a [Arc<Evaluation>],
    summary: &JobSummary,
) -> Option<&'a Evaluation> {
    let any = summary.groups.values().any(|g| g.queued > 0);
    let telling = evals.iter().filter(|e| !e.failed_groups.is_empty());
    let newest = telling.max_by_key(|e| e.modify_index);
    newest.filter(|_| any).map(|e| &**e)
}

fn head(job: &Job) -> Markup {
    html! {
        p.crumb { a href="/ui/jobs" { "Jobs" } }
        h1 { (job.spec.name) " " (status(job)) }
        @if let Some(ui) = &job.spec.ui {
            p { (ui.description) }
            p { @for (label, url) in &ui.links {
                @if url.starts_with("https://") || url.starts_with("http://") {
                    a href=(url) rel="noreferrer noopener" { (label) } " "
                }
            } }
        }
    }
}

fn job_facts(job: &Job, now: Timestamp) -> Markup {
    facts(&[
        ("Id", html! { (job.spec.id) }),
        ("Namespace", html! { (job.spec.namespace) }),
        ("Type", html! { (job.spec.kind.as_str()) }),
        ("Priority", html! { (job.spec.priority) }),
        (
            "Version",
            html! { (job.version) @if job.stable { ", stable" } },
        ),
        ("Datacenters", html! { (job.spec.datacenters.join(", ")) }),
        ("Node pool", html! { (job.spec.node_pool) }),
        ("Submitted", ago(now, job.submit_time)),
    ])
}

fn groups(job: &Job, summary: &JobSummary) -> Markup {
    const COLUMNS: [Column; 9] = [
        text("Group"),
        text("Instances"),
        number("Count"),
        number("Waiting"),
        number("Starting"),
        number("Running"),
        number("Failed"),
        number("Lost"),
        number("Complete"),
    ];
    let mut table = Table::new(&COLUMNS, "The job has no groups.");
    for group in &job.spec.groups {
        let s = summary.groups.get(&group.name).copied().unwrap_or_default();
        let shown = |n: u32| html! { @if n > 0 { (n) } @else { span.soft { "0" } } };
        let cells = vec![
            html! { (group.name) },
            bar::instances(&[s]),
            html! { (group.count) },
            shown(s.queued),
            shown(s.starting),
            shown(s.running + s.unknown),
            shown(s.failed),
            shown(s.lost),
            shown(s.complete),
        ];
        table.row(format!("group-{}", group.name), "", cells);
    }
    html! { h2 { "Groups" } (table.render()) }
}

/// The newest deployment, with how far it is.
fn latest(deployments: &[Arc<Deployment>], now: Timestamp) -> Option<Markup> {
    let d = deployments.first()?;
    Some(html! {
        h2 { "Latest deployment" }
        p {
            (link("deployments", d.id)) " " (badge(d.status.as_str())) " "
            (d.status_description) " " span.soft { "version " (d.job_version) ", " (ago(now, d.create_time)) }
        }
        (progress(d, now))
    })
}

fn past(deployments: &[Arc<Deployment>], now: Timestamp) -> Option<Markup> {
    let past = deployments.get(1..).filter(|past| !past.is_empty())?;
    Some(html! {
        h2 { "Earlier deployments" }
        (super::deployment::table(now, past))
    })
}
