//! `version`, `ui`, `monitor` and `system gc`

use http_body_util::BodyExt as _;

use crate::cli::cmd;
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome, arguments};
use crate::cli::flags::{Args, Flag, switch, value};
use crate::cli::http_client::{ApiError, escape};
use crate::cli::registry::{Command, command};

static UI: &[Flag] = &[
    switch("show-url", "Prints the address alone."),
    switch(
        "authenticate",
        "Not part of Tumen yet: there are no tokens.",
    ),
];
static MONITOR: &[Flag] = &[
    value(
        "log-level",
        "<level>",
        "The least level to show: trace, debug, info, warn or error; info unless set.",
    ),
    value("node-id", "<id>", "Shows the log of this node's agent."),
    value("server-id", "<id>", "Shows the log of this server's agent."),
    switch("json", "Prints a JSON object a line."),
    switch("log-include-location", "Taken for scripts' sake."),
];

/// The commands of this family.
pub static COMMANDS: &[Command] = &[
    Command {
        remote: false,
        ..command("version", "", "Print the version", version)
    },
    Command {
        about: "Prints the address of the web UI, or of a job's page there.",
        flags: &[UI],
        ..command(
            "ui",
            "[options] [<job>]",
            "Print the address of the web UI",
            ui,
        )
    },
    Command {
        about: "Shows an agent's log as it is written, until Ctrl-C.",
        flags: &[MONITOR],
        ..command("monitor", "[options]", "Show an agent's log", monitor)
    },
    command("system gc", "[options]", "Remove what has ended", gc),
];

/// What `-version` prints.
pub fn version_text() -> String {
    format!(
        "Tumen v{}\nRevision {}",
        env!("CARGO_PKG_VERSION"),
        env!("TUMEN_REVISION")
    )
}

fn version(ctx: &mut Ctx, args: &Args) -> Outcome {
    cmd::no_arguments(&args.rest)?;
    ctx.say(version_text());
    Ok(OK)
}

fn ui(ctx: &mut Ctx, args: &Args) -> Outcome {
    if args.on("authenticate") {
        return Err(Failure::new(
            "The option -authenticate is not part of Tumen yet: there are no tokens.",
        ));
    }
    let client = ctx.client(args)?;
    let web = client.settings.web();
    let url = match args.rest.as_slice() {
        [] => web,
        [job] => format!("{web}/ui/jobs/{}", escape(job)),
        _ => {
            return Err(arguments(
                "This command takes no or one optional argument, [<identifier>]",
            ));
        }
    };
    ctx.say(format!("URL for web UI: {url}"));
    Ok(OK)
}

fn gc(ctx: &mut Ctx, args: &Args) -> Outcome {
    cmd::no_arguments(&args.rest)?;
    let client = ctx.client(args)?;
    client
        .put("/v1/system/gc")
        .send()
        .attempt("Error running system garbage-collection")?;
    Ok(OK)
}

fn monitor(ctx: &mut Ctx, args: &Args) -> Outcome {
    cmd::no_arguments(&args.rest)?;
    let client = ctx.client(args)?;
    let call = client
        .get("/v1/agent/monitor")
        .query("log_level", args.value("log-level").unwrap_or("info"))
        .query("log_json", args.on("json"))
        .query("plain", true)
        .maybe("node_id", args.value("node-id"))
        .maybe("server_id", args.value("server-id"));
    let url = call.url();
    let out = &mut ctx.out;
    let work = async {
        let mut body = call.stream().await?.into_body();
        while let Some(piece) = body.frame().await {
            let piece = piece.map_err(|e| ApiError::Broken {
                call: format!("Get \"{url}\""),
                what: e.to_string(),
            })?;
            if let Ok(data) = piece.into_data() {
                out.write(&data);
            }
        }
        Ok(OK)
    };
    client.block_on(work).map_err(|error: ApiError| {
        Failure::new(format!(
            "==> Error starting monitor: {error}\n==> For additional help try 'tumen monitor -help'"
        ))
    })
}
