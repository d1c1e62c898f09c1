//! `operator gossip keyring …`

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::cli::cmd;
use crate::cli::context::Ctx;
use crate::cli::fail::{Failure, OK, Outcome};
use crate::cli::flags::{Args, switch};
use crate::cli::output::table;
use crate::cli::registry::{Command, command};
use crate::env::Env;
use crate::http::dto::agent::{KeyringRequest, KeyringResponse};

/// The commands of this family.
pub static COMMANDS: &[Command] = &[
    Command {
        about: "Prints a fresh key for `encrypt` in the server block of every agent's file.",
        remote: false,
        ..command(
            "operator gossip keyring generate",
            "",
            "Make a gossip key",
            generate,
        )
    },
    Command {
        flags: &[&[switch("verbose", "Shows how many members have each key.")]],
        ..command(
            "operator gossip keyring list",
            "[options]",
            "List the gossip keys of all members",
            list,
        )
    },
    Command {
        about: "Every member takes the key; none uses it before `operator gossip keyring use`.",
        ..command(
            "operator gossip keyring install",
            "[options] <key>",
            "Give every member a gossip key",
            install,
        )
    },
    Command {
        about: "Every member seals with the key from now on. It must be installed everywhere.",
        ..command(
            "operator gossip keyring use",
            "[options] <key>",
            "Change the gossip key in use",
            use_key,
        )
    },
    Command {
        about: "Every member forgets the key. The one in use cannot be removed.",
        ..command(
            "operator gossip keyring remove",
            "[options] <key>",
            "Take a gossip key from every member",
            remove,
        )
    },
];

fn generate(ctx: &mut Ctx, args: &Args) -> Outcome {
    cmd::no_arguments(&args.rest)?;
    let mut key = [0; 32];
    Env::real().entropy.fill(&mut key);
    ctx.say(BASE64_STANDARD.encode(key));
    Ok(OK)
}

fn list(ctx: &mut Ctx, args: &Args) -> Outcome {
    cmd::no_arguments(&args.rest)?;
    ctx.say("Gathering installed encryption keys...");
    let client = ctx.client(args)?;
    let answer = client.get("/v1/agent/keyring/list");
    let found: KeyringResponse = answer.read().map_err(failed)?;
    let verbose = args.on("verbose");
    let mut head = vec!["Key"];
    head.extend(verbose.then_some("Members"));
    head.extend(verbose.then_some("In Use"));
    let mut rows = table(head);
    for (key, count) in &found.keys {
        let used = found.primary_keys.get(key).copied().unwrap_or_default();
        let mut cells = vec![key.clone()];
        cells.extend(verbose.then(|| format!("{count}/{}", found.num_nodes)));
        cells.extend(verbose.then(|| format!("{used}/{}", found.num_nodes)));
        rows.row(cells);
    }
    ctx.say(rows.render());
    Ok(OK)
}

fn install(ctx: &mut Ctx, args: &Args) -> Outcome {
    let done = "Installing new gossip encryption key...";
    change(ctx, args, "install", done)
}

fn use_key(ctx: &mut Ctx, args: &Args) -> Outcome {
    change(
        ctx,
        args,
        "use",
        "Changing primary gossip encryption key...",
    )
}

fn remove(ctx: &mut Ctx, args: &Args) -> Outcome {
    change(ctx, args, "remove", "Removing gossip encryption key...")
}

fn change(ctx: &mut Ctx, args: &Args, what: &str, doing: &str) -> Outcome {
    let key = cmd::one(&args.rest, "This command takes one argument: <key>")?;
    ctx.say(doing);
    let client = ctx.client(args)?;
    let request = KeyringRequest {
        key: key.to_string(),
    };
    let call = client.put_json(format!("/v1/agent/keyring/{what}"), &request);
    call.send().map_err(failed)?;
    Ok(OK)
}

fn failed(error: crate::cli::http_client::ApiError) -> Failure {
    Failure::new(format!("error: {error}"))
}
