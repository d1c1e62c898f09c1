//! The commands.
//!
//! **Owns** flags, words on the screen and exit codes; everything else is asked of an agent's
//! `/v1` API. [`run`] is the entry: it finds the command in [`registry`], reads its [`flags`], and
//! runs it with a [`Ctx`](context::Ctx). A command asks through
//! [`http_client`], and prints what the pure functions in [`show`], [`output`] and [`format`] make
//! of the answers. Data goes to standard output, errors and hints to standard error.

#![allow(
    clippy::disallowed_methods,
    reason = "a command is a program of its own: it reads the clock and opens connections"
)]

mod cmd;
mod context;
mod fail;
mod flags;
mod format;
mod hint;
mod http_client;
mod jobfile;
mod json;
mod lookup;
mod monitor;
mod output;
mod registry;
mod settings;
mod show;
mod template;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::process::ExitCode;

use anstream::ColorChoice;

use context::Ctx;
use registry::{Group, Registry};

/// Other names of commands.
const ALIASES: &[(&str, &str)] = &[
    ("run", "job run"),
    ("plan", "job plan"),
    ("stop", "job stop"),
    ("start", "job start"),
    ("init", "job init"),
    ("inspect", "job inspect"),
    ("validate", "job validate"),
    ("logs", "alloc logs"),
    ("exec", "alloc exec"),
    ("fs", "alloc fs"),
    ("alloc-status", "alloc status"),
    ("node-status", "node status"),
    ("node-drain", "node drain"),
    ("eval-status", "eval status"),
    ("server-members", "server members"),
    ("server-join", "server join"),
    ("server-force-leave", "server force-leave"),
];

const GROUPS: &[Group] = &[
    group("config", "Check the configuration of agents"),
    group("job", "Run, change and look at jobs"),
    group("alloc", "Look at allocations and act on them"),
    group("node", "Look at nodes and act on them"),
    group("eval", "Look at evaluations"),
    group("deployment", "Look at deployments and act on them"),
    group("server", "Look at servers and act on them"),
    group("operator", "Tools for who runs the cluster"),
    group("operator raft", "Look at the Raft cluster"),
    group("operator scheduler", "Look at the scheduler's settings"),
    group("service", "Look at services"),
    group("namespace", "Look at namespaces"),
    group("system", "Tend the cluster"),
    group("testnet", "Run clusters of real processes on this machine"),
];

const fn group(name: &'static str, summary: &'static str) -> Group {
    Group { name, summary }
}

/// Nomad's commands that are not built yet.
const MISSING: &[&str] = &[
    "acl",
    "action",
    "check",
    "license",
    "login",
    "plugin",
    "quota",
    "recommendation",
    "scaling",
    "sentinel",
    "setup",
    "tls",
    "var",
    "volume",
    "job action",
    "job dispatch",
    "job periodic",
    "job tag",
    "alloc pause",
    "node config",
    "node identity",
    "node intro",
    "node meta",
    "node pool",
    "eval delete",
    "deployment unblock",
    "namespace apply",
    "namespace delete",
    "namespace inspect",
    "service delete",
    "operator autopilot",
    "operator client-state",
    "operator debug",
    "operator root",
    "operator snapshot",
    "operator utilization",
    "operator raft info",
    "operator raft logs",
    "operator raft state",
    "operator raft remove-peer",
    "operator raft transfer-leadership",
    "operator raft migrate-backend",
    "operator scheduler set-config",
    "system reconcile",
    "client-config",
];

const COMMON: &[&str] = &[
    "demo", "run", "stop", "status", "why", "alloc", "job", "node", "agent", "testnet",
];

fn registry() -> Registry {
    Registry {
        commands: cmd::all(),
        groups: GROUPS,
        aliases: ALIASES,
        missing: MISSING,
        common: COMMON,
    }
}

/// Runs the command that the arguments name; the program's own name is not among them.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let words: Result<Vec<String>, OsString> =
        args.into_iter().map(OsString::into_string).collect();
    let words = match words {
        Ok(words) => words,
        Err(odd) => {
            let text = odd.to_string_lossy();
            anstream::eprintln!("The argument `{text}` is not UTF-8.");
            return ExitCode::FAILURE;
        }
    };
    let mut ctx = match Ctx::real(colour(&words)) {
        Ok(ctx) => ctx,
        Err(error) => {
            anstream::eprintln!("The program cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = registry().run(&mut ctx, &words);
    let code = finish(&mut ctx, code);
    // A read of standard input may still be waiting for a key; nobody waits for it.
    if let Some(runtime) = std::rc::Rc::into_inner(ctx.runtime) {
        runtime.shutdown_background();
    }
    code
}

/// Whether to use colours, decided before anything is printed.
fn colour(words: &[String]) -> ColorChoice {
    let given = |name: &str| {
        words
            .iter()
            .any(|w| w.trim_start_matches('-') == name && w.starts_with('-'))
    };
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    if given("no-color") || set("NOMAD_CLI_NO_COLOR") {
        ColorChoice::Never
    } else if given("force-color") || set("NOMAD_CLI_FORCE_COLOR") {
        ColorChoice::AlwaysAnsi
    } else {
        ColorChoice::Auto
    }
}

/// The exit code, unless output was lost. A reader that has seen enough is no error.
fn finish(ctx: &mut Ctx, code: u8) -> ExitCode {
    match ctx
        .out
        .failed
        .take()
        .filter(|e| e.kind() != ErrorKind::BrokenPipe)
    {
        Some(error) => {
            ctx.err
                .line(format!("The output could not be written: {error}"));
            ExitCode::FAILURE
        }
        None => ExitCode::from(code),
    }
}

#[cfg(test)]
mod registry_tests {
    use super::registry;

    #[test]
    fn every_command_is_found_by_its_name() {
        let registry = registry();
        for command in &registry.commands {
            let words: Vec<_> = command.name.split(' ').map(str::to_owned).collect();
            let found = registry
                .find(&words)
                .map(|(found, used)| (found.name, used));
            assert_eq!(found, Some((command.name, words.len())));
        }
    }
}
