//! Objects by id or by the start of it.

use serde::de::DeserializeOwned;

use super::context::Ctx;
use super::fail::{Attempt, Failure};
use super::http_client::{Client, escape};
use super::output::table;
use super::{format, show};
use crate::http::dto::alloc::{AllocListStub, Allocation};
use crate::http::dto::deployment::Deployment;
use crate::http::dto::eval::Evaluation;
use crate::http::dto::jobs::JobListStub;
use crate::http::dto::node::{Node, NodeListStub};
use serde_json::Value;

/// The length of a whole id.
const ID_LENGTH: usize = 36;

/// A job as the list shows it; an exact id wins over prefixes.
pub fn job(ctx: &Ctx, client: &Client, prefix: &str) -> Result<JobListStub, Failure> {
    let found = jobs(client, prefix)?;
    if let Some(exact) = found.iter().find(|j| j.id == prefix) {
        return Ok(exact.clone());
    }
    match found.as_slice() {
        [] => Err(Failure::new(format!(
            "No job(s) with prefix or ID \"{prefix}\" found"
        ))),
        [one] => Ok(one.clone()),
        many => {
            let list = job_list(ctx, many, client.settings.all_namespaces());
            let text = format!("Prefix \"{prefix}\" matched multiple jobs\n\n{list}");
            Err(Failure::new(text))
        }
    }
}

fn jobs(client: &Client, prefix: &str) -> Result<Vec<JobListStub>, Failure> {
    let found: Option<Vec<JobListStub>> = client
        .get("/v1/jobs")
        .query("prefix", prefix)
        .read()
        .attempt("Error querying jobs")?;
    Ok(found.unwrap_or_default())
}

/// The table of jobs.
pub fn job_list(ctx: &Ctx, jobs: &[JobListStub], namespaces: bool) -> String {
    let mut head = vec!["ID"];
    head.extend(namespaces.then_some("Namespace"));
    head.extend(["Type", "Priority", "Status", "Submit Date"]);
    let mut rows = table(head);
    for job in jobs {
        let mut cells = vec![job.id.clone()];
        cells.extend(namespaces.then(|| namespace_of(job).to_owned()));
        cells.extend([
            job_type(&job.kind, job.periodic, job.parameterized_job),
            job.priority.to_string(),
            job_status(&job.status, job.stop),
            ctx.time(job.submit_time),
        ]);
        rows.row(cells);
    }
    rows.render()
}

/// The namespace of a listed job.
pub fn namespace_of(job: &JobListStub) -> &str {
    if job.job_summary.namespace.is_empty() {
        &job.namespace
    } else {
        &job.job_summary.namespace
    }
}

fn job_type(kind: &str, periodic: bool, parameterized: bool) -> String {
    match (periodic, parameterized) {
        (true, _) => format!("{kind}/periodic"),
        (_, true) => format!("{kind}/parameterized"),
        _ => kind.to_owned(),
    }
}

/// A job's status with what a stop adds to it.
pub fn job_status(status: &str, stopped: bool) -> String {
    if stopped {
        format!("{status} (stopped)")
    } else {
        status.to_owned()
    }
}

/// A job whole, as the API has it, and its id and namespace.
pub fn job_value(
    ctx: &Ctx,
    client: &Client,
    prefix: &str,
) -> Result<(JobListStub, Value), Failure> {
    let stub = job(ctx, client, prefix)?;
    let path = format!("/v1/job/{}", escape(&stub.id));
    let call = client.get(path).namespace(namespace_of(&stub));
    let value = call.read().attempt("Error querying job")?;
    Ok((stub, value))
}

/// An id that can be asked for: two characters at least, an even number of digits.
pub fn clean_prefix(id: &str) -> Result<String, Failure> {
    if id.chars().count() < 2 {
        return Err(Failure::new(
            "Identifier must contain at least two characters.",
        ));
    }
    let digits = id.chars().filter(|c| *c != '-').count();
    let mut prefix = id.to_owned();
    if digits % 2 == 1 {
        prefix.pop();
    }
    Ok(prefix)
}

/// What a prefix stands for.
pub enum Found<T> {
    One(T),
    Many(Vec<T>),
}

/// Finds objects whose list has a `prefix` parameter.
fn find<T: DeserializeOwned>(
    client: &Client,
    list: &str,
    id: &str,
    attempt: &str,
    none: &str,
) -> Result<Found<T>, Failure> {
    let prefix = clean_prefix(id)?;
    let call = client.get(list).query("prefix", &prefix);
    let answer = call.send().attempt(attempt)?;
    let found: Option<Vec<Value>> = answer.json().attempt(attempt)?;
    let mut found = found.unwrap_or_default();
    // The query asks for an even number of digits; the user may have given one more.
    found.retain(|v| {
        v.get("ID")
            .and_then(Value::as_str)
            .is_some_and(|i| i.starts_with(id))
    });
    let found: Result<Vec<T>, _> = found.into_iter().map(serde_json::from_value).collect();
    let mut found = found.map_err(|e| Failure::new(format!("{attempt}: {e}")))?;
    match found.len() {
        0 => Err(Failure::new(none)),
        1 => Ok(Found::One(found.remove(0))),
        _ => Ok(Found::Many(found)),
    }
}

/// Allocations by prefix.
pub fn allocs(client: &Client, id: &str) -> Result<Found<AllocListStub>, Failure> {
    let none = format!("No allocation(s) with prefix or id \"{id}\" found");
    find(
        client,
        "/v1/allocations",
        id,
        "Error querying allocation",
        &none,
    )
}

/// The id of the one allocation with this prefix.
pub fn alloc_id(ctx: &Ctx, client: &Client, id: &str) -> Result<String, Failure> {
    if id.len() == ID_LENGTH {
        return Ok(id.to_owned());
    }
    match allocs(client, id)? {
        Found::One(alloc) => Ok(alloc.id),
        Found::Many(all) => Err(Failure::new(format!(
            "Prefix matched multiple allocations\n\n{}",
            show::allocs::brief(ctx, &all, false)
        ))),
    }
}

/// An allocation, whole.
pub fn alloc(ctx: &Ctx, client: &Client, id: &str) -> Result<Allocation, Failure> {
    let full = alloc_id(ctx, client, id)?;
    read_alloc(client, &full, id)
}

/// An allocation by its whole id; `asked` is what the user wrote.
pub fn read_alloc(client: &Client, full: &str, asked: &str) -> Result<Allocation, Failure> {
    match client.get(format!("/v1/allocation/{full}")).read() {
        Err(error) if error.not_found() => Err(Failure::new(format!(
            "No allocation(s) with prefix or id \"{asked}\" found"
        ))),
        result => result.attempt("Error querying allocation"),
    }
}

/// Nodes by prefix.
pub fn nodes(client: &Client, id: &str, none: &str) -> Result<Found<NodeListStub>, Failure> {
    find(client, "/v1/nodes", id, "Error querying node", none)
}

/// The one node with this prefix, whole.
pub fn node(client: &Client, id: &str, none: &str) -> Result<Node, Failure> {
    match nodes(client, id, none)? {
        Found::One(stub) => read_node(client, &stub.id),
        Found::Many(all) => {
            let mut rows = table([
                "ID",
                "Datacenter",
                "Name",
                "Class",
                "Drain",
                "Eligibility",
                "Status",
            ]);
            for n in all {
                rows.row([
                    format::id(&n.id, false),
                    n.datacenter,
                    n.name,
                    n.node_class,
                    n.drain.to_string(),
                    n.scheduling_eligibility,
                    n.status,
                ]);
            }
            Err(Failure::new(format!(
                "Prefix matched multiple nodes\n\n{}",
                rows.render()
            )))
        }
    }
}

/// A node by its whole id.
pub fn read_node(client: &Client, full: &str) -> Result<Node, Failure> {
    client
        .get(format!("/v1/node/{full}"))
        .read()
        .attempt("Error querying node info")
}

/// Deployments by prefix.
pub fn deployment(client: &Client, id: &str) -> Result<Deployment, Failure> {
    let attempt = "Error retrieving deployment";
    let none = format!("{attempt}: Deployment ID \"{id}\" matched no deployments");
    let found = find(client, "/v1/deployments", id, attempt, &none).map_err(|mut failure| {
        if failure.message.starts_with("Identifier") {
            failure.message = format!("{attempt}: {}", failure.message);
        }
        failure
    })?;
    match found {
        Found::One(deployment) => Ok(deployment),
        Found::Many(all) => Err(Failure::new(format!(
            "{attempt}: Prefix matched multiple deployments\n\n{}",
            show::deployment::list(&all, false)
        ))),
    }
}

/// Evaluations by prefix.
pub fn evals(client: &Client, id: &str) -> Result<Found<Evaluation>, Failure> {
    let none = format!("No evaluation(s) with prefix or id \"{id}\" found");
    find(
        client,
        "/v1/evaluations",
        id,
        "Error querying evaluation",
        &none,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_have_an_even_number_of_digits() {
        assert_eq!(clean_prefix("3fcf8b6").unwrap(), "3fcf8b");
        assert_eq!(clean_prefix("3fcf8b6f-5").unwrap(), "3fcf8b6f-");
        assert_eq!(clean_prefix("04").unwrap(), "04");
        assert_eq!(
            clean_prefix("a").unwrap_err().message,
            "Identifier must contain at least two characters."
        );
    }
}
