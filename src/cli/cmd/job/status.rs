//! `job status`

use serde_json::{Value, json};

use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome, arguments};
use crate::cli::flags::{Args, Flag, switch};
use crate::cli::http_client::{Call, Client, escape};
use crate::cli::output::{Pairs, Table, section, table};
use crate::cli::{format, hint, lookup, show};
use crate::http::dto::alloc::AllocListStub;
use crate::http::dto::deployment::Deployment;
use crate::http::dto::eval::Evaluation;
use crate::http::dto::jobs::{JobListStub, JobSummary};

/// The flags beside `-json` and `-t`.
pub static FLAGS: &[Flag] = &[
    switch(
        "all-allocs",
        "Includes the allocations of an earlier job with the same id.",
    ),
    switch("evals", "Shows the job's evaluations."),
    switch("short", "Shows the head alone."),
    switch("ui", "Prints the address of the job's page."),
    super::VERBOSE,
];

/// Shows one job or lists all.
pub fn status(ctx: &mut Ctx, args: &Args) -> Outcome {
    let client = ctx.client(args)?;
    match args.rest.as_slice() {
        [] => list(ctx, args, &client),
        [prefix] => one(ctx, args, &client, prefix),
        _ => Err(arguments(
            "This command takes either no arguments or one: <job>",
        )),
    }
}

fn list(ctx: &mut Ctx, args: &Args, client: &Client) -> Outcome {
    let all: Option<Vec<JobListStub>> = client
        .get("/v1/jobs")
        .read()
        .attempt("Error querying jobs")?;
    let all = all.unwrap_or_default();
    if all.is_empty() {
        ctx.say("No running jobs");
    } else {
        let whole = || {
            let facts: Result<Vec<Value>, Failure> = all
                .iter()
                .map(|job| Facts::read(client, args, job).map(|f| f.json()))
                .collect();
            facts.map(Value::from)
        };
        if let Some(done) = ctx.raw(args, whole) {
            return done;
        }
        let text = lookup::job_list(ctx, &all, client.settings.all_namespaces());
        ctx.say(text);
    }
    hint::show(ctx, client, "View and manage jobs", "/ui/jobs");
    Ok(OK)
}

fn one(ctx: &mut Ctx, args: &Args, client: &Client, prefix: &str) -> Outcome {
    let (stub, job) = lookup::job_value(ctx, client, prefix)?;
    let whole = || Ok(Value::from(vec![Facts::read(client, args, &stub)?.json()]));
    if let Some(done) = ctx.raw(args, whole) {
        return done;
    }
    let text = head(ctx, &job, &stub);
    ctx.say(text);
    if !args.on("short") {
        if stub.periodic || stub.parameterized_job {
            let text = parent(client, &job, &stub)?;
            ctx.say(text);
        } else {
            let facts = Facts::read(client, args, &stub)?;
            let text = body(ctx, args, &job, &facts)?;
            ctx.say(text);
        }
    }
    let page = hint::job_path(&stub.id, lookup::namespace_of(&stub));
    hint::show(ctx, client, "View job details and metrics", &page);
    Ok(OK)
}

/// What belongs to a job beside itself, as the API has it.
struct Facts {
    summary: Value,
    allocs: Value,
    evals: Value,
    deployment: Value,
}

impl Facts {
    fn read(client: &Client, args: &Args, stub: &JobListStub) -> Result<Self, Failure> {
        let get = |below: &str| -> Call<'_> {
            let path = format!("/v1/job/{}/{below}", escape(&stub.id));
            client.get(path).namespace(lookup::namespace_of(stub))
        };
        let allocs = get("allocations").query("all", args.on("all-allocs"));
        Ok(Self {
            summary: get("summary")
                .read()
                .attempt("Error querying job summary")?,
            allocs: allocs
                .read_newest()
                .attempt("Error querying job allocations")?,
            evals: get("evaluations")
                .read_newest()
                .attempt("Error querying job evaluations")?,
            deployment: get("deployment")
                .read()
                .attempt("Error querying latest job deployment")?,
        })
    }

    fn json(&self) -> Value {
        json!({
            "Allocations": self.allocs,
            "Evaluations": self.evals,
            "LatestDeployment": self.deployment,
            "Summary": self.summary,
        })
    }
}

fn typed<T: serde::de::DeserializeOwned + Default>(
    value: &Value,
    what: &str,
) -> Result<T, Failure> {
    let read = serde_json::from_value::<Option<T>>(value.clone());
    read.map(Option::unwrap_or_default)
        .map_err(|e| Failure::new(format!("Error reading {what}: {e}")))
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn names(value: &Value, path: &str) -> String {
    let list = value.pointer(path).and_then(Value::as_array);
    let names = list.into_iter().flatten().filter_map(Value::as_str);
    names.collect::<Vec<_>>().join(",")
}

fn head(ctx: &Ctx, job: &Value, stub: &JobListStub) -> String {
    let stopped = job.get("Stop").and_then(Value::as_bool) == Some(true);
    let mut pairs = Pairs::new();
    if !text(job, "/UI/Description").is_empty() {
        pairs.add("UI Description", text(job, "/UI/Description"));
    }
    pairs.add("ID", text(job, "/ID"));
    pairs.add("Name", text(job, "/Name"));
    let submitted = job.get("SubmitTime").and_then(Value::as_i64).unwrap_or(0);
    pairs.add("Submit Date", ctx.time(submitted));
    pairs.add("Type", text(job, "/Type"));
    let priority = job.get("Priority").and_then(Value::as_i64).unwrap_or(0);
    pairs.add("Priority", priority.to_string());
    pairs.add("Datacenters", names(job, "/Datacenters"));
    pairs.add("Namespace", text(job, "/Namespace"));
    pairs.add("Node Pool", text(job, "/NodePool"));
    pairs.add("Status", lookup::job_status(text(job, "/Status"), stopped));
    pairs.add("Periodic", stub.periodic.to_string());
    pairs.add("Parameterized", stub.parameterized_job.to_string());
    if stub.periodic && stopped {
        pairs.add("Next Periodic Launch", "none (job stopped)");
    }
    pairs.render()
}

/// What a periodic or parameterized job shows: its children.
fn parent(client: &Client, job: &Value, stub: &JobListStub) -> Result<String, Failure> {
    let mut parts = Vec::new();
    if stub.parameterized_job {
        let pairs = Pairs::new()
            .with("Payload", text(job, "/ParameterizedJob/Payload"))
            .with(
                "Required Metadata",
                names(job, "/ParameterizedJob/MetaRequired"),
            )
            .with(
                "Optional Metadata",
                names(job, "/ParameterizedJob/MetaOptional"),
            );
        parts.push(section("Parameterized Job", &pairs.render()));
    }
    let children = stub.job_summary.children.clone().unwrap_or_default();
    let mut counts = table(["Pending", "Running", "Dead"]);
    counts.row([children.pending, children.running, children.dead].map(|n| n.to_string()));
    let (title, mark, launched, none) = if stub.parameterized_job {
        (
            "Parameterized Job Summary",
            "dispatch",
            "Dispatched Jobs",
            "No dispatched instances of parameterized job found",
        )
    } else {
        (
            "Children Job Summary",
            "periodic",
            "Previously Launched Jobs",
            "No instances of periodic job found",
        )
    };
    parts.push(section(title, &counts.render()));
    let call = client
        .get("/v1/jobs")
        .query("prefix", format!("{}/{mark}-", stub.id));
    let found: Option<Vec<JobListStub>> =
        (call.namespace(lookup::namespace_of(stub)).read()).attempt("Error querying jobs")?;
    let mut rows = table(["ID", "Status"]);
    for child in found
        .unwrap_or_default()
        .iter()
        .filter(|j| j.parent_id == stub.id)
    {
        rows.row([
            child.id.clone(),
            lookup::job_status(&child.status, child.stop),
        ]);
    }
    if rows.is_empty() {
        parts.push(format!("\n{none}"));
    } else {
        parts.push(section(launched, &rows.render()));
    }
    Ok(parts.join("\n"))
}

fn body(ctx: &Ctx, args: &Args, job: &Value, facts: &Facts) -> Result<String, Failure> {
    let verbose = args.on("verbose");
    let summary: JobSummary = typed(&facts.summary, "the job's summary")?;
    let evals: Vec<Evaluation> = typed(&facts.evals, "the job's evaluations")?;
    let allocs: Vec<AllocListStub> = typed(&facts.allocs, "the job's allocations")?;
    let deployment: Option<Deployment> = typed(&facts.deployment, "the job's deployment")?;
    let mut parts = vec![section("Summary", &groups(&summary).render())];
    if args.on("evals") || verbose {
        parts.push(section(
            "Evaluations",
            &evaluations(&evals, verbose).render(),
        ));
    }
    if let Some(failed) = placement_failure(&evals) {
        parts.push(section(
            "Placement Failure",
            &format!(
                "{}\nWhat is lacking: tumen why {}",
                show::metrics::failures(&failed.failed_tg_allocs).trim_end(),
                failed.job_id
            ),
        ));
    }
    let coming = rescheduling(ctx, &allocs, &evals, verbose);
    if !coming.is_empty() {
        parts.push(section("Future Rescheduling Attempts", &coming.render()));
    }
    if let Some(deployment) = deployment.filter(|d| !d.id.is_empty()) {
        let block = show::deployment::latest(&deployment, verbose, &ctx.zone);
        parts.push(section("Latest Deployment", &block));
    }
    let actions = actions(job);
    if !actions.is_empty() {
        parts.push(section("Actions", &actions.render()));
    }
    parts.push(section(
        "Allocations",
        &show::allocs::list(ctx, &allocs, verbose),
    ));
    Ok(parts.join("\n"))
}

fn groups(summary: &JobSummary) -> Table {
    let mut rows = table([
        "Task Group",
        "Queued",
        "Starting",
        "Running",
        "Failed",
        "Complete",
        "Lost",
        "Unknown",
    ]);
    for (name, g) in &summary.summary {
        let counts = [
            g.queued, g.starting, g.running, g.failed, g.complete, g.lost, g.unknown,
        ];
        let cells = std::iter::once(name.clone()).chain(counts.iter().map(u32::to_string));
        rows.row(cells);
    }
    rows
}

fn evaluations(evals: &[Evaluation], verbose: bool) -> Table {
    let mut rows = table([
        "ID",
        "Priority",
        "Triggered By",
        "Status",
        "Placement Failures",
    ]);
    for e in evals {
        rows.row([
            format::id(&e.id, verbose),
            e.priority.to_string(),
            e.triggered_by.clone(),
            e.status.clone(),
            failures(e),
        ]);
    }
    rows
}

/// Whether placements failed, as tables show it.
pub fn failures(eval: &Evaluation) -> String {
    if eval.status == "blocked" {
        return "N/A - In Progress".to_owned();
    }
    (!eval.failed_tg_allocs.is_empty()).to_string()
}

/// The newest evaluation that failed to place, while one is blocked.
fn placement_failure(evals: &[Evaluation]) -> Option<&Evaluation> {
    if !evals.iter().any(|e| e.status == "blocked") {
        return None;
    }
    let failed = evals.iter().filter(|e| !e.failed_tg_allocs.is_empty());
    failed.max_by_key(|e| e.create_index)
}

fn rescheduling(ctx: &Ctx, allocs: &[AllocListStub], evals: &[Evaluation], verbose: bool) -> Table {
    let mut rows = table(["Task Group", "Eval ID", "Eval Time"]);
    let mut soonest = std::collections::BTreeMap::new();
    for alloc in allocs {
        let eval = evals.iter().find(|e| e.id == alloc.followup_eval_id);
        let at = eval.and_then(|e| e.wait_until).map_or(0, |t| t.0.0);
        if at > ctx.now() {
            let known = soonest
                .entry(&alloc.task_group)
                .or_insert((at, &alloc.followup_eval_id));
            *known = (*known).min((at, &alloc.followup_eval_id));
        }
    }
    for (group, (at, eval)) in soonest {
        rows.row([
            group.clone(),
            format::id(eval, verbose),
            format::since(at, ctx.now()),
        ]);
    }
    rows
}

fn actions(job: &Value) -> Table {
    let mut rows = table(["Action Name", "Task Group", "Task"]);
    let list = |value: &Value, key: &str| {
        value
            .get(key)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    for group in list(job, "TaskGroups") {
        for task in list(&group, "Tasks") {
            for action in list(&task, "Actions") {
                rows.row([
                    text(&action, "/Name"),
                    text(&group, "/Name"),
                    text(&task, "/Name"),
                ]);
            }
        }
    }
    rows
}
