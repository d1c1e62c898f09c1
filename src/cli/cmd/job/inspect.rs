//! `job inspect` and `job history`

use serde_json::{Value, json};

use crate::cli::cmd;
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome};
use crate::cli::flags::Args;
use crate::cli::http_client::{Client, escape};
use crate::cli::output::Pairs;
use crate::cli::{json, lookup, show};
use crate::http::dto::jobs::{JobListStub, JobSubmission, JobVersionsResponse};

const ATTEMPT: &str = "Error retrieving job versions";

/// Prints a job as it is stored.
pub fn inspect(ctx: &mut Ctx, args: &Args) -> Outcome {
    let prefix = cmd::one(&args.rest, "This command takes one argument: <job>")?;
    let client = ctx.client(args)?;
    let (stub, newest) = lookup::job_value(ctx, &client, prefix)?;
    let job = match args.number::<u64>("version")? {
        None => newest,
        Some(version) => {
            let all = versions(&client, &stub, &[])?;
            let found = all
                .versions
                .into_iter()
                .find(|j| number(j, "Version") == version);
            found.ok_or_else(|| {
                Failure::new(format!(
                    "Version {version} of job \"{}\" not found",
                    stub.id
                ))
            })?
        }
    };
    if args.on("hcl") {
        let call = client
            .get(format!("/v1/job/{}/submission", escape(&stub.id)))
            .namespace(lookup::namespace_of(&stub))
            .query("version", number(&job, "Version"));
        let submission: JobSubmission = call.read().attempt("Error retrieving the job's source")?;
        ctx.say(submission.source.trim_end());
        return Ok(OK);
    }
    if let Some(template) = args
        .value("t")
        .filter(|t| !t.is_empty() && !args.on("json"))
    {
        let text = crate::cli::template::render(template, &job)
            .map_err(|e| Failure::new(format!("Error formatting the data: {e}")))?;
        ctx.say(text);
        return Ok(OK);
    }
    if args.on("json") && args.value("t").is_some() {
        return Err(Failure::new(
            "Both json and template formatting are not allowed",
        ));
    }
    let text = json::pretty(&json!({ "Job": job }));
    ctx.say(text);
    Ok(OK)
}

fn number(job: &Value, key: &str) -> u64 {
    job.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn versions(
    client: &Client,
    job: &JobListStub,
    query: &[(&str, String)],
) -> Result<JobVersionsResponse, Failure> {
    let call = client
        .get(format!("/v1/job/{}/versions", escape(&job.id)))
        .namespace(lookup::namespace_of(job));
    let call = query
        .iter()
        .fold(call, |call, (key, value)| call.query(key, value));
    call.read().attempt(ATTEMPT)
}

/// Shows a job's versions.
pub fn history(ctx: &mut Ctx, args: &Args) -> Outcome {
    let prefix = cmd::one(&args.rest, "This command takes one argument: <job>")?;
    let client = ctx.client(args)?;
    let job = lookup::job(ctx, &client, prefix)?;
    let mut query = Vec::new();
    if args.on("p") {
        query.push(("diffs", "true".to_owned()));
    }
    for (flag, parameter) in [("diff-version", "diff_version"), ("diff-tag", "diff_tag")] {
        if let Some(value) = args.value(flag) {
            query.push((parameter, value.to_owned()));
        }
    }
    let all = versions(&client, &job, &query)?;
    let wanted: Option<u64> = args.number("version")?;
    if let Some(done) = ctx.raw(args, || Ok(Value::from(all.versions.clone()))) {
        return done;
    }
    let mut blocks = Vec::new();
    for (at, version) in all.versions.iter().enumerate() {
        if wanted.is_none_or(|w| w == number(version, "Version")) {
            let diff = all.diffs.get(at).filter(|_| args.on("p"));
            blocks.push(block(ctx, version, diff, args.on("full")));
        }
    }
    if blocks.is_empty() {
        return Err(Failure::new(match wanted {
            Some(version) => format!("Version {version} of job \"{}\" not found", job.id),
            None => format!("Job \"{}\" has no versions", job.id),
        }));
    }
    ctx.say(blocks.join("\n\n"));
    Ok(OK)
}

fn block(
    ctx: &Ctx,
    job: &Value,
    diff: Option<&crate::http::dto::diff::JobDiff>,
    full: bool,
) -> String {
    let text = |path: &str| {
        job.pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let mut pairs = Pairs::new();
    pairs.add("Version", number(job, "Version").to_string());
    let stable = job.get("Stable").and_then(Value::as_bool) == Some(true);
    pairs.add("Stable", stable.to_string());
    let submitted = job.get("SubmitTime").and_then(Value::as_i64).unwrap_or(0);
    pairs.add("Submit Date", ctx.time(submitted));
    if job.get("VersionTag").is_some_and(|t| !t.is_null()) {
        pairs.add("Tag Name", text("/VersionTag/Name"));
        pairs.add("Tag Description", text("/VersionTag/Description"));
    }
    if full {
        pairs.add("Full", format!("JSON Job:\n{}", json::pretty(job)));
    }
    let changed = diff.filter(|d| d.kind != "None" && !d.kind.is_empty());
    if let Some(diff) = changed {
        pairs.add("Diff", format!("\n{}", show::diff::render(diff, false)));
    }
    pairs.render()
}
