//! `job validate`

use crate::cli::cmd;
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome};
use crate::cli::flags::Args;
use crate::cli::jobfile;
use crate::http::dto::convert;
use crate::http::dto::jobs::{JobValidateRequest, JobValidateResponse};
use crate::model::canonical::CanonicalDefaults;
use crate::model::violation;

/// Checks a job file here and, where an agent answers, there.
pub fn validate(ctx: &mut Ctx, args: &Args) -> Outcome {
    let path = cmd::one(&args.rest, "This command takes one argument: <path>")?;
    let file = jobfile::load(ctx, args, path)?;
    let client = ctx.client(args)?;
    let request = JobValidateRequest {
        job: Some(file.draft.clone()),
    };
    let call = client.put_json("/v1/validate/job", &request);
    let answer: JobValidateResponse = match call.namespace(file.namespace()).read() {
        Err(error) if error.unreachable() => {
            let address = &client.settings.address;
            ctx.say(format!(
                "No agent answers at {address}: what the drivers say was not asked.\n"
            ));
            judged_here(&file)
        }
        result => result.attempt("Error validating job")?,
    };
    if !answer.error.is_empty() {
        return Err(Failure::new(format!(
            "Job validation errors:\n{}",
            answer.error.trim_end()
        )));
    }
    super::run::warnings(ctx, &answer.warnings);
    ctx.say("Job validation successful");
    Ok(OK)
}

/// What an agent with the usual defaults would answer.
fn judged_here(file: &jobfile::JobFile) -> JobValidateResponse {
    let made = file.draft.canonical(&CanonicalDefaults::default());
    let error = match made.violations.as_slice() {
        [] => String::new(),
        violations => violation::text(violations),
    };
    JobValidateResponse {
        error,
        warnings: convert::warnings(&made.warnings),
        ..JobValidateResponse::default()
    }
}
