//! `namespace …`

use crate::cli::cmd;
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome};
use crate::cli::flags::Args;
use crate::cli::json;
use crate::cli::output::{Pairs, section, table};
use crate::cli::registry::{Command, command};
use crate::http::dto::misc::Namespace;
use serde_json::Value;

/// The commands of this family.
pub static COMMANDS: &[Command] = &[
    Command {
        flags: &[json::FLAGS],
        ..command("namespace list", "[options]", "List namespaces", list)
    },
    Command {
        flags: &[json::FLAGS],
        ..command(
            "namespace status",
            "[options] <namespace>",
            "Show a namespace",
            status,
        )
    },
];

const ATTEMPT: &str = "Error retrieving namespaces";

fn list(ctx: &mut Ctx, args: &Args) -> Outcome {
    cmd::no_arguments(&args.rest)?;
    let client = ctx.client(args)?;
    let answer = client.get("/v1/namespaces").send().attempt(ATTEMPT)?;
    if let Some(done) = ctx.raw(args, || answer.json().attempt(ATTEMPT)) {
        return done;
    }
    let found: Option<Vec<Namespace>> = answer.json().attempt(ATTEMPT)?;
    let found = found.unwrap_or_default();
    if found.is_empty() {
        ctx.say("No namespaces found");
        return Ok(OK);
    }
    let mut rows = table(["Name", "Description"]);
    for namespace in found {
        rows.row([namespace.name, namespace.description]);
    }
    ctx.say(rows.render());
    Ok(OK)
}

/// Shows a namespace.
pub fn status(ctx: &mut Ctx, args: &Args) -> Outcome {
    let name = cmd::one(&args.rest, "This command takes one argument: <namespace>")?;
    let client = ctx.client(args)?;
    let answer = client
        .get("/v1/namespaces")
        .query("prefix", name)
        .send()
        .attempt(ATTEMPT)?;
    let found: Option<Vec<Value>> = answer.json().attempt(ATTEMPT)?;
    let found = found.unwrap_or_default();
    let named = |v: &&Value| v.get("Name").and_then(Value::as_str) == Some(name);
    let chosen = match (found.iter().find(named), found.as_slice()) {
        (Some(exact), _) => exact,
        (None, [one]) => one,
        (None, []) => {
            return Err(Failure::new(format!(
                "{ATTEMPT}: Namespace \"{name}\" matched no namespaces"
            )));
        }
        (None, many) => {
            let names: Vec<&str> = many
                .iter()
                .filter_map(|v| v.get("Name")?.as_str())
                .collect();
            return Err(Failure::new(format!(
                "Prefix matched multiple namespaces\n\n{}",
                names.join(", ")
            )));
        }
    };
    if let Some(done) = ctx.raw(args, || Ok(chosen.clone())) {
        return done;
    }
    let text = block(chosen).map_err(|e| Failure::new(format!("{ATTEMPT}: {e}")))?;
    ctx.say(text);
    Ok(OK)
}

fn block(value: &Value) -> Result<String, serde_json::Error> {
    let namespace: Namespace = serde_json::from_value(value.clone())?;
    let names = |key: &str, unset: &str| {
        let list = namespace
            .capabilities
            .as_ref()
            .and_then(|c| c.get(key)?.as_array());
        let names: Vec<&str> = list
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if names.is_empty() {
            unset.to_owned()
        } else {
            names.join(",")
        }
    };
    let pairs = Pairs::new()
        .with("Name", &namespace.name)
        .with("Description", &namespace.description)
        .with("Quota", &namespace.quota)
        .with("Enabled Drivers", names("EnabledTaskDrivers", "*"))
        .with("Disabled Drivers", names("DisabledTaskDrivers", ""))
        .with("Enabled Network Modes", names("EnabledNetworkModes", "*"))
        .with("Disabled Network Modes", names("DisabledNetworkModes", ""));
    if namespace.meta.is_empty() {
        return Ok(pairs.render());
    }
    let mut meta = Pairs::new();
    for (key, value) in &namespace.meta {
        meta.add(key, value);
    }
    Ok(format!(
        "{}\n{}",
        pairs.render(),
        section("Metadata", &meta.render())
    ))
}
