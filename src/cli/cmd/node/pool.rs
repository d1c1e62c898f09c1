//! `node pool …`

use std::io::{Read as _, Write as _};

use hcl_edit::expr::Expression;
use hcl_edit::structure::{Attribute, Body, Structure};

use super::status::{self, pairs};
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome, arguments};
use crate::cli::flags::Args;
use crate::cli::http_client::{Client, escape};
use crate::cli::output::{Pairs, section, table};
use crate::cli::{cmd, format};
use crate::http::dto::jobs::JobListStub;
use crate::http::dto::node::{NodeListStub, NodePool};

/// What `init` writes.
const EXAMPLE: &str = include_str!("pool.nomad.hcl");
const EXAMPLE_NAME: &str = "pool.nomad.hcl";

/// The pool that the only argument names.
fn named(args: &Args) -> Result<&str, Failure> {
    cmd::one(&args.rest, "This command takes one argument: <node-pool>")
}

/// The pool whose name is, or alone starts with, `prefix`.
fn find(client: &Client, prefix: &str) -> Result<NodePool, Failure> {
    let attempt = "Error retrieving node pool";
    let call = client.get("/v1/node/pools").query("prefix", prefix);
    let found: Vec<NodePool> = call.read().attempt(attempt)?;
    if let Some(exact) = found.iter().find(|p| p.name == prefix) {
        return Ok(exact.clone());
    }
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::new(format!(
            "{attempt}: No node pool with prefix \"{prefix}\" found"
        ))),
        many => Err(Failure::new(format!(
            "{attempt}: Prefix matched multiple node pools\n\n{}",
            rows(many)
        ))),
    }
}

fn rows(pools: &[NodePool]) -> String {
    let rows = pools.iter();
    let rows = rows.map(|p| vec![p.name.clone(), p.description.clone()]);
    table(["Name", "Description"]).rows(rows).render()
}

/// Lists the pools.
pub fn list(ctx: &mut Ctx, args: &Args) -> Outcome {
    cmd::no_arguments(&args.rest)?;
    let attempt = "Error querying node pools";
    let client = ctx.client(args)?;
    let answer = client.get("/v1/node/pools").send().attempt(attempt)?;
    if let Some(done) = ctx.raw(args, || answer.json().attempt(attempt)) {
        return done;
    }
    let pools: Vec<NodePool> = answer.json().attempt(attempt)?;
    ctx.say(rows(&pools));
    Ok(OK)
}

/// Shows one pool.
pub fn info(ctx: &mut Ctx, args: &Args) -> Outcome {
    let client = ctx.client(args)?;
    let pool = find(&client, named(args)?)?;
    if let Some(done) = ctx.raw(args, || {
        Ok(serde_json::to_value(&pool).expect("plain data always has a JSON form"))
    }) {
        return done;
    }
    let head = Pairs::new()
        .with("Name", &pool.name)
        .with("Description", &pool.description)
        .with(
            "Node Identity TTL",
            format::duration(pool.node_identity_ttl),
        );
    let meta = match pool.meta.is_empty() {
        true => "No metadata".to_owned(),
        false => pairs(&pool.meta),
    };
    ctx.say(head.render());
    ctx.say(section("Metadata", &meta));
    ctx.say(section(
        "Scheduler Configuration",
        "No scheduler configuration",
    ));
    Ok(OK)
}

/// Lists a pool's nodes.
pub fn nodes(ctx: &mut Ctx, args: &Args) -> Outcome {
    let attempt = "Error querying nodes";
    let client = ctx.client(args)?;
    let pool = find(&client, named(args)?)?;
    let answer = client
        .get(format!("/v1/node/pool/{}/nodes", escape(&pool.name)))
        .maybe("filter", args.value("filter"))
        .maybe("per_page", args.number::<u64>("per-page")?)
        .maybe("next_token", args.value("page-token"))
        .send()
        .attempt(attempt)?;
    if let Some(done) = ctx.raw(args, || answer.json().attempt(attempt)) {
        return done;
    }
    let nodes: Option<Vec<NodeListStub>> = answer.json().attempt(attempt)?;
    match nodes.filter(|n| !n.is_empty()) {
        None => ctx.say("No nodes"),
        Some(nodes) => ctx.say(status::rows_of_pool(&nodes, args.on("verbose"))),
    }
    Ok(OK)
}

/// Lists a pool's jobs.
pub fn jobs(ctx: &mut Ctx, args: &Args) -> Outcome {
    let attempt = "Error querying jobs";
    let client = ctx.client(args)?;
    let pool = find(&client, named(args)?)?;
    let path = format!("/v1/node/pool/{}/jobs", escape(&pool.name));
    let answer = client.get(path).send().attempt(attempt)?;
    if let Some(done) = ctx.raw(args, || answer.json().attempt(attempt)) {
        return done;
    }
    let jobs: Option<Vec<JobListStub>> = answer.json().attempt(attempt)?;
    match jobs.filter(|j| !j.is_empty()) {
        None => ctx.say("No jobs"),
        Some(jobs) => {
            let all = client.settings.all_namespaces();
            ctx.say(crate::cli::lookup::job_list(ctx, &jobs, all));
        }
    }
    Ok(OK)
}

/// Makes or changes a pool from a file.
pub fn apply(ctx: &mut Ctx, args: &Args) -> Outcome {
    let path = cmd::one(&args.rest, "This command takes one argument: <path>")?;
    let failed = |error: std::io::Error| {
        Failure::new(format!("Error loading node pool file {path}: {error}"))
    };
    let mut text = String::new();
    match path {
        "-" => ctx.input.read_to_string(&mut text).map_err(failed)?,
        path => std::fs::File::open(path)
            .and_then(|mut f| f.read_to_string(&mut text))
            .map_err(failed)?,
    };
    let parsed = match args.on("json") {
        true => serde_json::from_str(&text).map_err(|e| e.to_string()),
        false => from_hcl(&text),
    };
    let pool: NodePool =
        parsed.map_err(|e| Failure::new(format!("Failed to parse node pool file {path}: {e}")))?;
    let client = ctx.client(args)?;
    client
        .put_json("/v1/node/pools", &pool)
        .send()
        .attempt("Error applying node pool")?;
    ctx.say(format!("Successfully applied node pool \"{}\"!", pool.name));
    Ok(OK)
}

/// Removes a pool.
pub fn delete(ctx: &mut Ctx, args: &Args) -> Outcome {
    let name = named(args)?;
    let client = ctx.client(args)?;
    client
        .delete(format!("/v1/node/pool/{}", escape(name)))
        .send()
        .attempt("Error deleting node pool")?;
    ctx.say(format!("Successfully deleted node pool \"{name}\"!"));
    Ok(OK)
}

/// Writes an example; never overwrites.
pub fn init(ctx: &mut Ctx, args: &Args) -> Outcome {
    let name = match args.rest.as_slice() {
        [] => EXAMPLE_NAME,
        [name] => name.as_str(),
        _ => {
            return Err(arguments(
                "This command takes no arguments or one: <filename>",
            ));
        }
    };
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(name);
    match file.and_then(|mut file| file.write_all(EXAMPLE.as_bytes())) {
        Ok(()) => {
            ctx.say(format!("Example node pool specification written to {name}"));
            Ok(OK)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Failure::new(format!("File '{name}' already exists")))
        }
        Err(error) => Err(Failure::new(format!("Failed to write '{name}': {error}"))),
    }
}

/// A file with one block `node_pool "name"`.
fn from_hcl(text: &str) -> Result<NodePool, String> {
    let body: Body = text.parse().map_err(|e: hcl_edit::parser::Error| {
        let at = e.location();
        format!(
            "line {}, column {}: {}",
            at.line(),
            at.column(),
            e.message()
        )
    })?;
    let mut blocks = body.iter().map(|found| match found {
        Structure::Block(block) if block.ident.as_str() == "node_pool" => Ok(block),
        Structure::Block(block) => Err(unknown(block.ident.as_str(), "node_pool")),
        Structure::Attribute(attribute) => Err(unknown(attribute.key.as_str(), "node_pool")),
    });
    let block = blocks.next().ok_or("there is no node_pool block in it")??;
    if blocks.next().transpose()?.is_some() {
        return Err("there is more than one node_pool block in it".to_owned());
    }
    let [name] = block.labels.as_slice() else {
        return Err("a node_pool block has one label, its name".to_owned());
    };
    let mut pool = NodePool {
        name: name.as_str().to_owned(),
        ..NodePool::default()
    };
    for part in block.body.iter() {
        match part {
            Structure::Attribute(a) if a.key.as_str() == "description" => {
                pool.description = string(a)?;
            }
            Structure::Block(meta) if meta.ident.as_str() == "meta" => {
                for pair in meta.body.iter() {
                    let pair = pair.as_attribute();
                    let pair = pair.ok_or("meta has keys and values alone")?;
                    pool.meta
                        .insert(pair.key.as_str().to_owned(), string(pair)?);
                }
            }
            Structure::Attribute(a) => return Err(key(a.key.as_str())),
            Structure::Block(b) => return Err(key(b.ident.as_str())),
        }
    }
    Ok(pool)
}

/// Why a key of a pool is refused.
fn key(name: &str) -> String {
    match name {
        "scheduler_config" | "node_identity_ttl" => {
            format!("{name} of a node pool is not supported yet")
        }
        name => unknown(name, "description or meta"),
    }
}

fn unknown(name: &str, expected: &str) -> String {
    format!("{name:?} is not known here: expected {expected}")
}

fn string(attribute: &Attribute) -> Result<String, String> {
    match &attribute.value {
        Expression::String(text) => Ok(text.value().clone()),
        _ => Err(format!("{} must be a string", attribute.key.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_pool() {
        let pool = from_hcl(EXAMPLE).unwrap();
        assert_eq!(pool.name, "example");
        assert!(!pool.description.is_empty() && !pool.meta.is_empty());
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |text: &str| from_hcl(text).unwrap_err();
        assert_eq!(refused(""), "there is no node_pool block in it");
        assert!(refused("node_pool \"a\" {").starts_with("line 1, column"));
        assert_eq!(
            refused("nodepool \"a\" {}"),
            "\"nodepool\" is not known here: expected node_pool"
        );
        assert_eq!(
            refused("node_pool \"a\" {}\nnode_pool \"b\" {}"),
            "there is more than one node_pool block in it"
        );
        assert_eq!(
            refused("node_pool \"a\" { descripton = \"x\" }"),
            "\"descripton\" is not known here: expected description or meta"
        );
        assert_eq!(
            refused("node_pool \"a\" {\n  description = 3\n}"),
            "description must be a string"
        );
        assert_eq!(
            refused("node_pool \"a\" {\n  scheduler_config {}\n}"),
            "scheduler_config of a node pool is not supported yet"
        );
    }
}
