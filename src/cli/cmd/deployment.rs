//! `deployment …`

use crate::cli::cmd::{self, job};
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, OK, Outcome};
use crate::cli::flags::{Args, Flag, list, switch, value};
use crate::cli::http_client::{Answer, Client};
use crate::cli::registry::{Command, command};
use crate::cli::{format, hint, json, lookup, monitor, show};
use crate::http::dto::deployment::{Deployment, DeploymentPauseRequest, DeploymentUpdateResponse};

const VERBOSE: Flag = switch("verbose", "Shows whole ids.");
const DETACH: Flag = switch("detach", "Returns at once, without watching what follows.");

static LIST: &[Flag] = &[
    value("filter", "<expression>", "Shows those alone that fit."),
    VERBOSE,
];
static STATUS: &[Flag] = &[
    switch("monitor", "Goes on showing it until it has ended."),
    value(
        "wait",
        "<duration>",
        "With -monitor: how long between two looks; 2s unless set.",
    ),
    switch("ui", "Prints the address of its page."),
    VERBOSE,
];
static CHANGE: &[Flag] = &[DETACH, VERBOSE];
static PROMOTE: &[Flag] = &[
    list(
        "group",
        "<name>",
        "Promotes this group alone. May be given several times.",
    ),
    DETACH,
    VERBOSE,
];

/// The commands of this family.
pub static COMMANDS: &[Command] = &[
    Command {
        flags: &[json::FLAGS, LIST],
        ..command(
            "deployment list",
            "[options]",
            "List deployments",
            show_list,
        )
    },
    Command {
        flags: &[json::FLAGS, STATUS],
        ..command(
            "deployment status",
            "[options] [<deployment>]",
            "Show a deployment",
            status,
        )
    },
    Command {
        flags: &[PROMOTE],
        ..command(
            "deployment promote",
            "[options] <deployment>",
            "Promote a deployment's canaries",
            promote,
        )
    },
    Command {
        flags: &[CHANGE],
        ..command(
            "deployment fail",
            "[options] <deployment>",
            "End a deployment as failed",
            fail,
        )
    },
    Command {
        flags: &[CHANGE],
        ..command(
            "deployment pause",
            "[options] <deployment>",
            "Hold a deployment",
            pause,
        )
    },
    Command {
        flags: &[CHANGE],
        ..command(
            "deployment resume",
            "[options] <deployment>",
            "Go on with a deployment",
            resume,
        )
    },
];

const ONE: &str = "This command takes one argument: <deployment id>";

fn show_list(ctx: &mut Ctx, args: &Args) -> Outcome {
    cmd::no_arguments(&args.rest)?;
    let client = ctx.client(args)?;
    all(ctx, args, &client)
}

fn all(ctx: &mut Ctx, args: &Args, client: &Client) -> Outcome {
    let attempt = "Error retrieving deployments";
    let call = client
        .get("/v1/deployments")
        .maybe("filter", args.value("filter"));
    let answer = call
        .send()
        .and_then(Answer::newest_first)
        .attempt(attempt)?;
    if let Some(done) = ctx.raw(args, || answer.json().attempt(attempt)) {
        return done;
    }
    let found: Option<Vec<Deployment>> = answer.json().attempt(attempt)?;
    ctx.say(show::deployment::list(
        &found.unwrap_or_default(),
        args.on("verbose"),
    ));
    Ok(OK)
}

/// Shows a deployment, or lists all.
pub fn status(ctx: &mut Ctx, args: &Args) -> Outcome {
    let client = ctx.client(args)?;
    let verbose = args.on("verbose");
    if args.rest.is_empty() {
        return all(ctx, args, &client);
    }
    let id = cmd::one(&args.rest, ONE)?;
    let found = lookup::deployment(&client, id)?;
    let attempt = "Error retrieving deployment";
    let answer = client
        .get(format!("/v1/deployment/{}", found.id))
        .send()
        .attempt(attempt)?;
    if let Some(done) = ctx.raw(args, || answer.json().attempt(attempt)) {
        return done;
    }
    let page = format!(
        "/ui/jobs/{}/deployments",
        crate::cli::http_client::escape(&found.job_id)
    );
    if args.on("monitor") {
        let wait = args.duration("wait")?.unwrap_or(2 * format::SECOND);
        let now = ctx.time(ctx.now());
        ctx.say(format!(
            "{now}: Monitoring deployment \"{}\"",
            format::id(&found.id, verbose)
        ));
        hint::show(ctx, &client, "View all deployments for this job", &page);
        ctx.err.line("");
        return watch(ctx, &client, &found.id, wait, verbose);
    }
    let deployment: Deployment = answer.json().attempt(attempt)?;
    ctx.say(show::deployment::block(
        &deployment,
        verbose,
        &ctx.zone.clone(),
    ));
    hint::show(ctx, &client, "View all deployments for this job", &page);
    Ok(OK)
}

/// Prints the deployment again and again until it has ended.
fn watch(ctx: &mut Ctx, client: &Client, id: &str, wait: i64, verbose: bool) -> Outcome {
    let attempt = "Error fetching deployment";
    let wait = std::time::Duration::from_nanos(u64::try_from(wait).unwrap_or(0));
    if ctx.terminal {
        return monitor::deployment::watch(ctx, client, id, verbose);
    }
    let mut index = 1;
    loop {
        let started = std::time::Instant::now();
        let call = client
            .get(format!("/v1/deployment/{id}"))
            .after(index, wait);
        let answer = call.send().attempt(attempt)?;
        let deployment: Deployment = answer.json().attempt(attempt)?;
        let text = monitor::deployment::text(ctx, client, &deployment, verbose)?;
        ctx.say(format!("\n{text}"));
        if monitor::deployment::is_over(&deployment.status) {
            return Ok(u8::from(deployment.status != "successful"));
        }
        if answer.index <= index && started.elapsed() < wait {
            client.pause(wait - started.elapsed());
        }
        index = answer.index;
    }
}

fn promote(ctx: &mut Ctx, args: &Args) -> Outcome {
    let id = cmd::one(&args.rest, ONE)?;
    let client = ctx.client(args)?;
    let found = lookup::deployment(&client, id)?;
    let answer = job::send_promotion(&client, &found.id, args.list("group"));
    let answer = answer.attempt("Error promoting deployment")?;
    job::follow(ctx, args, &client, &answer.eval_id)
}

fn fail(ctx: &mut Ctx, args: &Args) -> Outcome {
    let id = cmd::one(&args.rest, ONE)?;
    let client = ctx.client(args)?;
    let found = lookup::deployment(&client, id)?;
    let call = client.put(format!("/v1/deployment/fail/{}", found.id));
    let answer: DeploymentUpdateResponse = call.read().attempt("Error failing deployment")?;
    let reverted = answer.reverted_job_version;
    let reverted = reverted
        .map(|v| format!(". Auto-reverted to job version {v}."))
        .unwrap_or_default();
    ctx.say(format!("Deployment \"{}\" failed{reverted}", found.id));
    follow(ctx, args, &client, &answer.eval_id)
}

fn follow(ctx: &mut Ctx, args: &Args, client: &Client, eval: &str) -> Outcome {
    if !eval.is_empty() && !args.on("detach") {
        ctx.say("");
    }
    job::follow(ctx, args, client, eval)
}

fn pause(ctx: &mut Ctx, args: &Args) -> Outcome {
    hold(ctx, args, true)
}

fn resume(ctx: &mut Ctx, args: &Args) -> Outcome {
    hold(ctx, args, false)
}

fn hold(ctx: &mut Ctx, args: &Args, pause: bool) -> Outcome {
    let id = cmd::one(&args.rest, ONE)?;
    let client = ctx.client(args)?;
    let found = lookup::deployment(&client, id)?;
    let request = DeploymentPauseRequest {
        deployment_id: found.id.clone(),
        pause,
    };
    let (doing, done) = if pause {
        ("pausing", "paused")
    } else {
        ("resuming", "resumed")
    };
    let call = client.put_json(format!("/v1/deployment/pause/{}", found.id), &request);
    let answer: DeploymentUpdateResponse =
        call.read().attempt(&format!("Error {doing} deployment"))?;
    ctx.say(format!("Deployment \"{}\" {done}", found.id));
    follow(ctx, args, &client, &answer.eval_id)
}
