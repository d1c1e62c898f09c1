//! `job validate`

use crate::cli::cmd;
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome};
use crate::cli::flags::Args;
use crate::cli::jobfile;
use crate::http::dto::jobs::{JobValidateRequest, JobValidateResponse};

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
            let where_ = &client.settings.address;
            ctx.say(format!(
                "No agent answers at {where_}: the file's syntax was checked, not the job's rules nor its driver configuration.\n"
            ));
            ctx.say("Job validation successful");
            return Ok(OK);
        }
        result => result.attempt("Error validating job")?,
    };
    if !answer.driver_config_validated {
        ctx.say("The driver configuration was not validated.\n");
    }
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
