//! `agent` and `config validate`: this program as a daemon.

use crate::agent::command as daemon;
use crate::cli::context::Ctx;
use crate::cli::fail::Outcome;
use crate::cli::flags::{Args, Flag, list, switch, value};
use crate::cli::registry::{Command, command};

static AGENT: &[Flag] = &[
    switch(
        "dev",
        "Server and client in one, with nothing kept: what it starts ends with it.",
    ),
    list(
        "config",
        "<path>",
        "A file, or a directory of *.hcl and *.json files; later ones win.",
    ),
    value("bind", "<ip>", "The address of all listeners."),
    value("node", "<name>", "The agent's name; the host's unless set."),
    value("dc", "<name>", "The datacenter."),
    value("region", "<name>", "The region."),
    value(
        "data-dir",
        "<path>",
        "Where everything is kept that must survive a restart.",
    ),
    value("log-level", "<level>", "TRACE, DEBUG, INFO, WARN or ERROR."),
    switch("log-json", "Prints a JSON object a log line."),
    switch("server", "Takes the server role."),
    switch("client", "Takes the client role."),
    value(
        "bootstrap-expect",
        "<n>",
        "How many servers make the cluster.",
    ),
    value("node-class", "<name>", "The node's class, for constraints."),
    value("node-pool", "<name>", "The node's pool."),
    list("meta", "<key=value>", "Metadata of the node."),
];

/// The commands of this family.
pub static COMMANDS: &[Command] = &[
    Command {
        remote: false,
        about: "Runs an agent until it is interrupted.",
        flags: &[AGENT],
        // The agent merges its flags with its files and reports mistakes of both alike.
        raw: Some(daemon::run),
        ..command("agent", "[options]", "Run an agent", never)
    },
    Command {
        remote: false,
        about: "Checks configuration files and directories, merged in the order given.",
        ..command(
            "config validate",
            "<path>...",
            "Check configuration files",
            validate,
        )
    },
];

/// Stands where a raw command's handler would be; it is not reached.
fn never(_: &mut Ctx, _: &Args) -> Outcome {
    Err(crate::cli::fail::Failure::new(
        "This command takes its words as they are",
    ))
}

fn validate(_: &mut Ctx, args: &Args) -> Outcome {
    if args.rest.is_empty() {
        let text = "Must specify at least one config file or directory";
        return Err(crate::cli::fail::Failure::new(text));
    }
    Ok(daemon::validate(&args.rest))
}
