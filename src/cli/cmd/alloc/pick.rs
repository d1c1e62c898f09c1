//! Which allocation and which task a command means.

use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure};
use crate::cli::flags::Args;
use crate::cli::http_client::{Client, escape};
use crate::cli::{format, lookup};
use crate::http::dto::alloc::{AllocListStub, Allocation};
use serde_json::Value;

/// The allocation that the argument names, or with `-job` one of that job's.
pub fn alloc(ctx: &Ctx, args: &Args, client: &Client, name: &str) -> Result<Allocation, Failure> {
    if !args.on("job") {
        return lookup::alloc(ctx, client, name);
    }
    let job = lookup::job(ctx, client, name)?;
    let call = client.get(format!("/v1/job/{}/allocations", escape(&job.id)));
    let all: Option<Vec<AllocListStub>> = (call.namespace(lookup::namespace_of(&job)).read())
        .attempt("Error retrieving allocations")?;
    let all = all.unwrap_or_default();
    let group = args.value("group");
    let fits = |a: &&AllocListStub| group.is_none_or(|g| a.task_group == g);
    let running = all
        .iter()
        .filter(fits)
        .find(|a| a.client_status == "running");
    let chosen = running.or_else(|| all.iter().find(fits));
    let Some(chosen) = chosen else {
        let of = group
            .map(|g| format!(" in group \"{g}\""))
            .unwrap_or_default();
        return Err(Failure::new(format!(
            "No allocations for job \"{}\"{of} exist",
            job.id
        )));
    };
    lookup::read_alloc(client, &chosen.id, name)
}

/// The names of the allocation's tasks, in the order of the job.
pub fn tasks(alloc: &Allocation) -> Vec<String> {
    let groups = alloc
        .job
        .as_ref()
        .and_then(|j| j.get("TaskGroups")?.as_array().cloned());
    let group = groups
        .into_iter()
        .flatten()
        .find(|g| g.get("Name").and_then(Value::as_str) == Some(alloc.task_group.as_str()));
    let tasks = group.and_then(|g| g.get("Tasks")?.as_array().cloned());
    let name = |t: &Value| Some(t.get("Name")?.as_str()?.to_owned());
    tasks
        .into_iter()
        .flatten()
        .filter_map(|t| name(&t))
        .collect()
}

/// The task that is named, or the only one there is.
pub fn task(alloc: &Allocation, named: Option<&str>) -> Result<String, Failure> {
    let tasks = tasks(alloc);
    match (named, tasks.as_slice()) {
        (Some(name), all) if all.iter().any(|t| t == name) => Ok(name.to_owned()),
        (Some(name), all) => Err(Failure::new(format!(
            "Could not find task named: {name}, found:\n{}",
            all.join("\n")
        ))),
        (None, [one]) => Ok(one.clone()),
        (None, all) => {
            let list: Vec<String> = all.iter().map(|t| format!("  * {t}")).collect();
            let id = format::id(&alloc.id, false);
            Err(Failure::new(format!(
                "Allocation \"{id}\" is running the following tasks:\n{}\n\nPlease specify the task.",
                list.join("\n")
            )))
        }
    }
}
