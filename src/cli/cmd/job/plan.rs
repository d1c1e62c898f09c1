//! `job plan`

use crate::cli::cmd;
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome};
use crate::cli::flags::Args;
use crate::cli::http_client::escape;
use crate::cli::jobfile;
use crate::cli::output::bold;
use crate::cli::show::{diff, metrics};
use crate::cli::{format, json};
use crate::http::dto::jobs::{JobPlanRequest, JobPlanResponse};

/// The exit code of an error.
const ERROR: u8 = 255;
/// The exit code when allocations would change.
const CHANGES: u8 = 1;

/// Shows what a job file would change.
pub fn plan(ctx: &mut Ctx, args: &Args) -> Outcome {
    planned(ctx, args).map_err(|failure| failure.code(ERROR))
}

fn planned(ctx: &mut Ctx, args: &Args) -> Outcome {
    let path = cmd::one(&args.rest, "This command takes one argument: <path>")?;
    let file = jobfile::load(ctx, args, path)?;
    let client = ctx.client(args)?;
    let request = JobPlanRequest {
        job: Some(file.draft.clone()),
        diff: args.switch_or("diff", true),
        policy_override: args.on("policy-override"),
    };
    let target = format!("/v1/job/{}/plan", escape(file.id()));
    let answer = client
        .put_json(target, &request)
        .namespace(file.namespace())
        .send();
    let answer = answer.attempt("Error during plan")?;
    let plan: JobPlanResponse = answer.json().attempt("Error during plan")?;
    let code = exit_code(&plan);
    let template = args.value("t").filter(|t| !t.is_empty());
    if args.on("json-output") || template.is_some() {
        let data: serde_json::Value = answer.json().attempt("Error during plan")?;
        let text = match template {
            Some(_) if args.on("json-output") => {
                return Err(Failure::new(
                    "Both json and template formatting are not allowed",
                ));
            }
            Some(template) => crate::cli::template::render(template, &data)
                .map_err(|e| Failure::new(format!("Error formatting the data: {e}")))?,
            None => json::pretty(&data),
        };
        ctx.say(text);
        return Ok(code);
    }
    if let Some(diff) = plan.diff.as_ref().filter(|_| request.diff) {
        ctx.say(format!("{}\n", diff::render(diff, args.on("verbose"))));
    }
    let system = matches!(file.job["Type"].as_str(), Some("system" | "sysbatch"));
    let text = dry_run(ctx, &plan, system);
    ctx.say(text);
    ctx.say("");
    super::run::warnings(ctx, &plan.warnings);
    let text = check_index(&plan, args, path);
    ctx.say(text);
    Ok(code)
}

/// 1 when allocations would be created or destroyed.
fn exit_code(plan: &JobPlanResponse) -> u8 {
    let Some(annotations) = &plan.annotations else {
        return OK;
    };
    let changes = |u: &crate::http::dto::jobs::DesiredUpdates| {
        u.place + u.stop + u.destructive_update + u.migrate + u.canary > 0
    };
    if annotations.desired_tg_updates.values().any(changes) {
        CHANGES
    } else {
        OK
    }
}

fn dry_run(ctx: &Ctx, plan: &JobPlanResponse, system: bool) -> String {
    let mut lines = vec![bold("Scheduler dry-run:")];
    if plan.failed_tg_allocs.is_empty() {
        lines.push("\x1b[1m\x1b[32m- All tasks successfully allocated.\x1b[0m".to_owned());
    } else {
        let everywhere = if system { " on all nodes" } else { "" };
        lines.push(format!(
            "\x1b[1m\x1b[33m- WARNING: Failed to place all allocations{everywhere}.\x1b[0m"
        ));
        for (group, metric) in &plan.failed_tg_allocs {
            let count = metrics::allocations(metrics::failed_count(metric));
            lines.push(format!(
                "  Task Group \"{group}\" (failed to place {count}):"
            ));
            lines.extend(metrics::reasons(metric, "    * "));
        }
    }
    if let Some(rolling) = plan.created_evals.iter().find(|e| e.wait > 0) {
        let wait = format::duration(rolling.wait);
        lines.push(format!(
            "- Rolling update, next evaluation will be in {wait}."
        ));
    }
    if let Some(time) = plan.next_periodic_launch.filter(|t| t.0.is_set()) {
        let nanos = time.0.0;
        let wait = format::duration_s(nanos - ctx.now());
        lines.push(format!(
            "- If submitted now, next periodic launch would be at {} ({wait} from now).",
            ctx.time(nanos)
        ));
    }
    lines.join("\n")
}

fn check_index(plan: &JobPlanResponse, args: &Args, path: &str) -> String {
    let index = plan.job_modify_index;
    let mut options = String::new();
    for pair in args.list("var") {
        options.push_str(&format!("-var={} ", shell(pair)));
    }
    for file in args.list("var-file") {
        options.push_str(&format!("-var-file={} ", shell(file)));
    }
    if let Some(namespace) = args.value("namespace") {
        options.push_str(&format!("-namespace={namespace} "));
    }
    format!(
        "{}\nTo submit the job with version verification run:\n\n\
         tumen job run -check-index {index} {options}{path}\n\n\
         With the flag -check-index the job is registered only if nobody has changed it\n\
         since this plan was made. If the index no longer fits, plan again: another\n\
         version was registered meanwhile.",
        bold(&format!("Job Modify Index: {index}"))
    )
}

fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+".contains(c);
    if word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
