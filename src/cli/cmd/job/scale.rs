//! `job scale` and `job scaling-events`

use crate::cli::cmd;
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome};
use crate::cli::flags::Args;
use crate::cli::http_client::escape;
use crate::cli::output::table;
use crate::cli::{lookup, monitor};
use crate::http::dto::jobs::{JobRegisterResponse, JobScaleRequest, JobScaleStatus};
use serde_json::Value;

/// Changes a group's count.
pub fn scale(ctx: &mut Ctx, args: &Args) -> Outcome {
    let (prefix, group, count) = match args.rest.as_slice() {
        [job, count] => (job, None, count),
        [job, group, count] => (job, Some(group.clone()), count),
        _ => {
            return Err(Failure::new(
                "Command requires at least two arguments and no more than three",
            ));
        }
    };
    let count: i64 = count.parse().map_err(|_| {
        Failure::new(format!(
            "Failed to convert count string to int: \"{count}\" is no whole number"
        ))
    })?;
    let client = ctx.client(args)?;
    let (stub, job) = lookup::job_value(ctx, &client, prefix)?;
    let groups: Vec<&str> = (job
        .get("TaskGroups")
        .and_then(Value::as_array)
        .into_iter()
        .flatten())
    .filter_map(|g| g.get("Name")?.as_str())
    .collect();
    let group = match (group, groups.as_slice()) {
        (Some(name), all) if all.contains(&name.as_str()) => name,
        (Some(name), _) => return Err(Failure::new(format!("Group {name} not found within job"))),
        (None, [one]) => (*one).to_owned(),
        (None, _) => return Err(Failure::new("Group name required")),
    };
    let request = JobScaleRequest {
        count: Some(count),
        target: [
            ("Job".to_owned(), stub.id.clone()),
            ("Group".to_owned(), group),
        ]
        .into(),
        message: "submitted using the Tumen CLI".to_owned(),
        job_modify_index: args.number("check-index")?.unwrap_or(0),
        ..JobScaleRequest::default()
    };
    let call = client.put_json(format!("/v1/job/{}/scale", escape(&stub.id)), &request);
    let answer: JobRegisterResponse = (call.namespace(lookup::namespace_of(&stub)).read())
        .attempt("Error submitting scaling request")?;
    super::run::warnings(ctx, &answer.warnings);
    if args.on("detach") || answer.eval_id.is_empty() {
        ctx.say("Job scale successful");
        ctx.say(format!("Evaluation ID: {}", answer.eval_id));
        return Ok(OK);
    }
    monitor::evaluation(ctx, &client, &answer.eval_id, args.on("verbose"))
}

/// Lists when counts were changed.
pub fn events(ctx: &mut Ctx, args: &Args) -> Outcome {
    let prefix = cmd::one(&args.rest, "This command takes one argument: <job>")?;
    let client = ctx.client(args)?;
    let job = lookup::job(ctx, &client, prefix)?;
    let call = client.get(format!("/v1/job/{}/scale", escape(&job.id)));
    let status: JobScaleStatus = (call.namespace(lookup::namespace_of(&job)).read())
        .attempt("Error listing scaling events")?;
    let verbose = args.on("verbose");
    let mut head = vec!["Task Group", "Count", "PrevCount"];
    if verbose {
        head.extend(["Error", "Message", "Eval ID"]);
    }
    head.push("Date");
    let mut rows = table(head);
    for (group, state) in &status.task_groups {
        for event in &state.events {
            let mut cells = vec![
                group.clone(),
                event.count.map(|n| n.to_string()).unwrap_or_default(),
                event.previous_count.to_string(),
            ];
            if verbose {
                let eval = event.eval_id.clone().unwrap_or_default();
                cells.extend([event.error.to_string(), event.message.clone(), eval]);
            }
            cells.push(ctx.time(event.time));
            rows.row(cells);
        }
    }
    let text = if rows.is_empty() {
        "No events found".to_owned()
    } else {
        rows.render()
    };
    ctx.say(text);
    Ok(OK)
}
