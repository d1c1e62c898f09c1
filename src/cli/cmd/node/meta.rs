//! `node meta …`: a node's metadata.

use std::collections::BTreeMap;

use super::status::pairs;
use crate::cli::cmd;
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome};
use crate::cli::flags::Args;
use crate::cli::http_client::Client;
use crate::cli::lookup;
use crate::cli::output::bold;
use crate::http::dto::client::{NodeMetadata, NodeMetadataRequest};

/// The whole id of the node that `-node-id` names; empty: the node of the agent that is asked.
fn target(args: &Args, client: &Client) -> Result<String, Failure> {
    match args.value("node-id").filter(|id| !id.is_empty()) {
        None => Ok(String::new()),
        Some(id) => {
            let none = format!("No node(s) with prefix or id \"{id}\" found");
            Ok(lookup::node(client, id, &none)?.id)
        }
    }
}

/// Shows what holds, what was set, and what is configured.
pub fn read(ctx: &mut Ctx, args: &Args) -> Outcome {
    cmd::no_arguments(&args.rest)?;
    let attempt = "Error reading dynamic node metadata";
    let client = ctx.client(args)?;
    let id = target(args, &client)?;
    let call = client.get("/v1/client/metadata");
    let answer = call
        .maybe("node_id", Some(id).filter(|id| !id.is_empty()))
        .send()
        .attempt(attempt)?;
    if let Some(done) = ctx.raw(args, || answer.json().attempt(attempt)) {
        return done;
    }
    let found: NodeMetadata = answer.json().attempt(attempt)?;
    let section = |title: &str, meta| format!("{}\n{}", bold(title), pairs(meta));
    let sections = [
        section("All Meta", &found.meta),
        section("Dynamic Meta", &found.dynamic),
        section("Static Meta", &found.fixed),
    ];
    ctx.say(sections.join("\n\n"));
    Ok(OK)
}

/// Sets and unsets keys.
pub fn apply(ctx: &mut Ctx, args: &Args) -> Outcome {
    let unset = args.value("unset").unwrap_or_default().split(',');
    let unset = unset.filter(|key| !key.is_empty());
    let mut meta: BTreeMap<String, Option<String>> =
        unset.map(|key| (key.to_owned(), None)).collect();
    for pair in &args.rest {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            let text = format!("`{pair}` is not of the form key=value");
            Failure::new(format!("Error parsing metadata: {text}"))
        })?;
        if meta.insert(key.to_owned(), Some(value.to_owned())) == Some(None) {
            let text = format!("the key `{key}` is to be both set and unset");
            return Err(Failure::new(format!("Error parsing metadata: {text}")));
        }
    }
    if meta.is_empty() {
        return Err(Failure::new(
            "Must specify -unset or at least 1 key=value pair",
        ));
    }
    let client = ctx.client(args)?;
    let request = NodeMetadataRequest {
        node_id: target(args, &client)?,
        meta,
    };
    client
        .put_json("/v1/client/metadata", &request)
        .send()
        .attempt("Error applying dynamic node metadata")?;
    Ok(OK)
}
