//! `eval …`

use crate::cli::cmd;
use crate::cli::cmd::job::failures;
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome, arguments};
use crate::cli::flags::{Args, Flag, switch, value};
use crate::cli::http_client::{Answer, Client};
use crate::cli::lookup::{self, Found};
use crate::cli::output::{Pairs, Table, section, table};
use crate::cli::registry::{Command, command};
use crate::cli::show::{allocs, metrics};
use crate::cli::{format, hint, json, monitor};
use crate::http::dto::alloc::AllocListStub;
use crate::http::dto::eval::Evaluation;
use crate::http::dto::jobs::PlanAnnotations;

static LIST: &[Flag] = &[
    value("job", "<id>", "Shows this job's evaluations alone."),
    value(
        "status",
        "<status>",
        "Shows evaluations with this status alone.",
    ),
    value("filter", "<expression>", "Shows those alone that fit."),
    value("per-page", "<n>", "How many to show."),
    value("page-token", "<token>", "Where the page starts."),
    switch("ui", "Prints the address of the page."),
    switch("verbose", "Shows whole ids."),
];
static STATUS: &[Flag] = &[
    switch("monitor", "Watches the evaluation until it has ended."),
    switch("ui", "Prints the address of its page."),
    switch("verbose", "Shows whole ids and more columns."),
];

/// The commands of this family.
pub static COMMANDS: &[Command] = &[
    Command {
        flags: &[json::FLAGS, LIST],
        ..command("eval list", "[options]", "List evaluations", list)
    },
    Command {
        flags: &[json::FLAGS, STATUS],
        ..command(
            "eval status",
            "[options] <evaluation>",
            "Show an evaluation",
            status,
        )
    },
];

fn list(ctx: &mut Ctx, args: &Args) -> Outcome {
    cmd::no_arguments(&args.rest)?;
    let client = ctx.client(args)?;
    let attempt = "Error querying evaluations";
    let call = client
        .get("/v1/evaluations")
        .maybe("job", args.value("job"))
        .maybe("status", args.value("status"))
        .maybe("filter", args.value("filter"))
        .maybe("per_page", args.number::<u64>("per-page")?)
        .maybe("next_token", args.value("page-token"));
    let answer = call
        .send()
        .and_then(Answer::newest_first)
        .attempt(attempt)?;
    let evals: Option<Vec<Evaluation>> = answer.json().attempt(attempt)?;
    let evals = evals.unwrap_or_default();
    if evals.is_empty() {
        ctx.say("No evals found");
        return Ok(OK);
    }
    if let Some(done) = ctx.raw(args, || answer.json().attempt(attempt)) {
        return done;
    }
    let verbose = args.on("verbose");
    let mut rows = table([
        "ID",
        "Priority",
        "Triggered By",
        "Job ID",
        "Namespace",
        "Node ID",
        "Status",
        "Placement Failures",
    ]);
    for e in &evals {
        rows.row([
            format::id(&e.id, verbose),
            e.priority.to_string(),
            e.triggered_by.clone(),
            e.job_id.clone(),
            e.namespace.clone(),
            format::id(&e.node_id, verbose),
            e.status.clone(),
            failures(e),
        ]);
    }
    ctx.say(rows.render());
    if let Some(token) = &answer.next_token {
        let verbose = if verbose { "-verbose " } else { "" };
        let page = args.value("per-page").unwrap_or_default();
        ctx.say(format!(
            "\nResults have been paginated. To get the next page run:\n\n\
             tumen eval list {verbose}-per-page {page} -page-token {token}"
        ));
    }
    hint::show(ctx, &client, "View evaluations", "/ui/evaluations");
    Ok(OK)
}

/// Shows an evaluation.
pub fn status(ctx: &mut Ctx, args: &Args) -> Outcome {
    let [id] = args.rest.as_slice() else {
        return Err(arguments("This command takes one argument"));
    };
    let client = ctx.client(args)?;
    let verbose = args.on("verbose");
    let full = match lookup::evals(&client, id)? {
        Found::One(eval) => eval.id,
        Found::Many(many) => {
            let mut rows = table([
                "ID",
                "Priority",
                "Triggered By",
                "Status",
                "Placement Failures",
            ]);
            for e in &many {
                let id = format::id(&e.id, verbose);
                rows.row([
                    id,
                    e.priority.to_string(),
                    e.triggered_by.clone(),
                    e.status.clone(),
                    failures(e),
                ]);
            }
            let text = format!("Prefix matched multiple evaluations\n\n{}", rows.render());
            return Err(Failure::new(text));
        }
    };
    if args.on("monitor") {
        return monitor::evaluation(ctx, &client, &full, verbose);
    }
    let attempt = "Error querying evaluation";
    let call = client
        .get(format!("/v1/evaluation/{full}"))
        .query("related", true);
    let answer = call.send().attempt(attempt)?;
    if let Some(done) = ctx.raw(args, || answer.json().attempt(attempt)) {
        return done;
    }
    let eval: Evaluation = answer.json().attempt(attempt)?;
    let text = block(ctx, &client, &eval, verbose)?;
    ctx.say(text);
    let page = format!("/ui/evaluations?currentEval={}", eval.id);
    hint::show(ctx, &client, "View evaluation details", &page);
    Ok(OK)
}

fn block(ctx: &Ctx, client: &Client, eval: &Evaluation, verbose: bool) -> Result<String, Failure> {
    let mut parts = vec![head(ctx, eval, verbose)];
    if !eval.related_evals.is_empty() {
        parts.push(section(
            "Related Evaluations",
            &related(eval, verbose).render(),
        ));
    }
    let plan = eval.plan_annotations.as_ref();
    if let Some(plan) = plan.filter(|p| !p.desired_tg_updates.is_empty()) {
        parts.push(section(
            "Plan Annotations",
            &annotations(plan, verbose).render(),
        ));
    }
    let preempted = plan
        .map(|p| p.preempted_allocs.as_slice())
        .unwrap_or_default();
    if !preempted.is_empty() {
        parts.push(section(
            "Preempted Allocations",
            &allocs::brief(ctx, preempted, verbose),
        ));
    }
    let path = format!("/v1/evaluation/{}/allocations", eval.id);
    let placed: Option<Vec<AllocListStub>> = client
        .get(path)
        .read_newest()
        .attempt("Error querying allocations")?;
    let placed = placed.unwrap_or_default();
    if !placed.is_empty() {
        parts.push(section(
            "Placed Allocations",
            &allocs::brief(ctx, &placed, verbose),
        ));
    }
    if !eval.failed_tg_allocs.is_empty() {
        let mut lines = Vec::new();
        for (group, metric) in &eval.failed_tg_allocs {
            let count = metrics::allocations(metrics::failed_count(metric));
            lines.push(format!("Task Group \"{group}\" (failed to place {count}):"));
            lines.extend(metrics::reasons(metric, "  * "));
        }
        parts.push(section("Failed Placements", &lines.join("\n")));
        if !eval.blocked_eval.is_empty() {
            let id = format::id(&eval.blocked_eval, verbose);
            parts.push(format!(
                "\nEvaluation \"{id}\" waiting for additional capacity to place remainder"
            ));
        }
    }
    Ok(parts.join("\n"))
}

fn head(ctx: &Ctx, eval: &Evaluation, verbose: bool) -> String {
    let description = match eval.status_description.as_str() {
        "" => &eval.status,
        text => text,
    };
    let mut pairs = Pairs::new()
        .with("ID", format::id(&eval.id, verbose))
        .with("Create Time", ctx.when(eval.create_time, verbose))
        .with("Modify Time", ctx.when(eval.modify_time, verbose))
        .with("Status", &eval.status)
        .with("Status Description", description)
        .with("Type", &eval.kind)
        .with("TriggeredBy", &eval.triggered_by)
        .with("Job ID", &eval.job_id)
        .with("Namespace", &eval.namespace);
    if !eval.node_id.is_empty() {
        pairs.add("Node ID", format::id(&eval.node_id, verbose));
    }
    pairs.add("Priority", eval.priority.to_string());
    pairs.add("Placement Failures", failures(eval));
    if let Some(until) = eval.wait_until.filter(|t| t.0.is_set()) {
        pairs.add("Wait Until", ctx.time(until.0.0));
    }
    pairs.add("Previous Eval", format::id(&eval.previous_eval, verbose));
    pairs.add("Next Eval", format::id(&eval.next_eval, verbose));
    pairs.add("Blocked Eval", format::id(&eval.blocked_eval, verbose));
    pairs.render()
}

fn related(eval: &Evaluation, verbose: bool) -> Table {
    let mut rows = table([
        "ID",
        "Priority",
        "Triggered By",
        "Node ID",
        "Status",
        "Description",
    ]);
    for e in &eval.related_evals {
        rows.row([
            format::id(&e.id, verbose),
            e.priority.to_string(),
            e.triggered_by.clone(),
            format::id(&e.node_id, verbose),
            e.status.clone(),
            e.status_description.clone(),
        ]);
    }
    rows
}

fn annotations(plan: &PlanAnnotations, verbose: bool) -> Table {
    let mut head = vec![
        "Task Group",
        "Ignore",
        "Place",
        "Stop",
        "InPlace",
        "Destructive",
    ];
    if verbose {
        head.extend([
            "Migrate",
            "Canary",
            "Preemptions",
            "Reschedule Now",
            "Reschedule Later",
            "Disconnect",
            "Reconnect",
        ]);
    }
    let mut rows = table(head);
    for (group, u) in &plan.desired_tg_updates {
        let mut counts = vec![
            u.ignore,
            u.place,
            u.stop,
            u.in_place_update,
            u.destructive_update,
        ];
        if verbose {
            counts.extend([
                u.migrate,
                u.canary,
                u.preemptions,
                u.reschedule_now,
                u.reschedule_later,
                u.disconnect,
                u.reconnect,
            ]);
        }
        rows.row(std::iter::once(group.clone()).chain(counts.iter().map(u64::to_string)));
    }
    rows
}
