//! `job run`

use serde_json::json;

use crate::cli::cmd;
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome};
use crate::cli::flags::Args;
use crate::cli::http_client::{ApiError, Client, escape};
use crate::cli::jobfile::{self, JobFile};
use crate::cli::{format, hint, json, monitor, output};
use crate::http::dto::jobs::{
    JobPlanRequest, JobPlanResponse, JobRegisterRequest, JobRegisterResponse,
};

/// Registers a job and watches it.
pub fn run(ctx: &mut Ctx, args: &Args) -> Outcome {
    let path = cmd::one(&args.rest, "This command takes one argument: <path>")?;
    let file = jobfile::load(ctx, args, path)?;
    if args.on("output") {
        let text = json::pretty(&json!({ "Job": file.job }));
        ctx.say(text);
        return Ok(OK);
    }
    let client = ctx.client(args)?;
    let answer = register(args, &client, &file)?;
    warnings(ctx, &answer.warnings);
    let namespace = namespace(&client, &file);
    let page = hint::job_path(file.id(), &namespace);
    let detached = args.on("detach") || file.starts_later() || answer.eval_id.is_empty();
    if !detached {
        hint::show(ctx, &client, "View this job", &page);
        ctx.err.line("");
        return monitor::evaluation(ctx, &client, &answer.eval_id, args.on("verbose"));
    }
    ctx.say("Job registration successful");
    if file.periodic() {
        next_launch(ctx, &client, &file);
    } else if !answer.eval_id.is_empty() {
        ctx.say(format!("Evaluation ID: {}", answer.eval_id));
    }
    hint::show(ctx, &client, "View this job", &page);
    Ok(OK)
}

fn namespace(client: &Client, file: &JobFile) -> String {
    match file.namespace() {
        "" => client.settings.namespace_or_default().to_owned(),
        named => named.to_owned(),
    }
}

fn register(args: &Args, client: &Client, file: &JobFile) -> Result<JobRegisterResponse, Failure> {
    let index: Option<u64> = args.number("check-index")?;
    let request = JobRegisterRequest {
        job: Some(file.draft.clone()),
        enforce_index: index.is_some(),
        job_modify_index: index.unwrap_or(0),
        eval_priority: args.number("eval-priority")?.unwrap_or(0),
        policy_override: args.on("policy-override"),
        preserve_counts: args.on("preserve-counts"),
        preserve_resources: args.on("preserve-resources"),
        submission: Some(file.submission.clone()),
        ..JobRegisterRequest::default()
    };
    let call = client.put_json("/v1/jobs", &request);
    match call.namespace(file.namespace()).read() {
        Err(error) if index.is_some() && is_stale(&error) => {
            let text = error.text().unwrap_or_default();
            Err(Failure::new(format!("{text}\nJob not updated")))
        }
        result => result.attempt("Error submitting job"),
    }
}

fn is_stale(error: &ApiError) -> bool {
    error
        .text()
        .is_some_and(|t| t.starts_with("Enforcing job modify index"))
}

/// Prints what the server warns about.
pub fn warnings(ctx: &mut Ctx, text: &str) {
    if !text.is_empty() {
        ctx.say(format!(
            "{}\n",
            output::warning(&format!("Job Warnings:\n{text}"))
        ));
    }
}

/// Prints when the clock starts the job next, as a dry run of it says.
fn next_launch(ctx: &mut Ctx, client: &Client, file: &JobFile) {
    let request = JobPlanRequest {
        job: Some(file.draft.clone()),
        ..JobPlanRequest::default()
    };
    let path = format!("/v1/job/{}/plan", escape(file.id()));
    let planned = client.put_json(path, &request).namespace(file.namespace());
    match planned.read::<JobPlanResponse>() {
        Ok(plan) => {
            if let Some(time) = plan.next_periodic_launch.filter(|t| t.0.is_set()) {
                let nanos = time.0.0;
                let wait = format::duration_s(nanos - ctx.now());
                let text = format!(
                    "Approximate next launch time: {} ({wait} from now)",
                    ctx.time(nanos)
                );
                ctx.say(text);
            }
        }
        Err(error) => ctx
            .err
            .line(format!("The next launch time is not known: {error}")),
    }
}
