//! Job files and drafts: reading them, filling in defaults, judging them.

use axum::response::Response;

use crate::http::context::Ctx;
use crate::http::dto::convert;
use crate::http::dto::jobs::{JobValidateRequest, JobValidateResponse, JobsParseRequest};
use crate::http::error::HttpError;
use crate::jobspec::{self, Diagnostic, Sealed, Source, Variables};
use crate::model::canonical::{Canonical, CanonicalDefaults};
use crate::model::draft::JobDraft;
use crate::model::job::JobSpec;
use crate::model::violation;

/// What job files that come over the API are called in messages.
const SOURCE_NAME: &str = "input.hcl";
const VARIABLES_NAME: &str = "input.vars";

/// `PUT /v1/jobs/parse`
pub(super) async fn parse(ctx: &Ctx) -> Result<Response, HttpError> {
    ctx.put()?;
    let request: JobsParseRequest = ctx.decode()?;
    if request.job_hcl.is_empty() {
        return Err(HttpError::bad_request("Job spec is empty"));
    }
    let mut variables = Variables::default();
    let mut mistakes = Vec::new();
    if !request.variables.is_empty() {
        mistakes = variables.file(&Source::new(VARIABLES_NAME, request.variables), &Sealed);
    }
    let source = Source::new(SOURCE_NAME, request.job_hcl);
    let (draft, found) = jobspec::parse(&source, &variables, &Sealed);
    mistakes.extend(found);
    let errors: Vec<String> = mistakes
        .iter()
        .filter(|d| d.is_error())
        .map(Diagnostic::to_string)
        .collect();
    let draft = match draft {
        Some(draft) if errors.is_empty() => draft,
        _ => {
            return Err(HttpError::bad_request(format!(
                "Failed to parse job: {}",
                errors.join("\n")
            )));
        }
    };
    if request.canonicalize {
        return ctx.plain_json(&draft.canonical_draft());
    }
    ctx.plain_json(&draft)
}

/// The job that a draft means, with what is worth a warning.
pub(super) fn canonical(ctx: &Ctx, draft: JobDraft) -> Result<(JobSpec, Vec<String>), HttpError> {
    let made = filled(ctx, &draft);
    if made.violations.is_empty() {
        Ok((made.spec, made.warnings))
    } else {
        Err(HttpError::failed(violation::text(&made.violations)))
    }
}

/// The draft with this agent's defaults, and all that is wrong with it.
fn filled(ctx: &Ctx, draft: &JobDraft) -> Canonical {
    draft.canonical(&CanonicalDefaults {
        region: ctx.app.local.info().region,
        ..CanonicalDefaults::default()
    })
}

/// `PUT /v1/validate/job`
pub(super) async fn judge(ctx: &Ctx) -> Result<Response, HttpError> {
    ctx.put()?;
    let request: JobValidateRequest = ctx.decode()?;
    let draft = request
        .job
        .ok_or_else(|| HttpError::bad_request("Job must be specified"))?;
    let mut response = JobValidateResponse {
        driver_config_validated: true,
        ..JobValidateResponse::default()
    };
    let made = filled(ctx, &draft);
    response.warnings = convert::warnings(&made.warnings);
    if !made.violations.is_empty() {
        response.error = violation::text(&made.violations);
        response.validation_errors = violation::entries(&made.violations);
    }
    ctx.plain_json(&response)
}
