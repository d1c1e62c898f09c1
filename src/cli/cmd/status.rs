//! `status`: finds out what an id names and shows that.

use crate::cli::cmd::{alloc, deployment, eval, job, namespace, node};
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, Outcome, arguments};
use crate::cli::flags::{Args, Flag};
use crate::cli::http_client::Client;
use crate::cli::json;
use crate::cli::registry::{Command, command};
use crate::http::dto::misc::{SearchRequest, SearchResponse};

static FLAGS: &[&[Flag]] = &[json::FLAGS, job::STATUS_FLAGS];

/// The commands of this family.
pub static COMMANDS: &[Command] = &[Command {
    about: "Shows whatever the id or the start of it names: a job, an allocation, a node, an \
            evaluation, a deployment or a namespace. Without one, lists the jobs.",
    flags: FLAGS,
    ..command(
        "status",
        "[options] [<id>]",
        "Show what an id names, or list jobs",
        status,
    )
}];

/// What the search calls each kind, in the order in which they are listed.
const KINDS: [(&str, &str); 6] = [
    ("jobs", "Jobs"),
    ("allocs", "Allocations"),
    ("nodes", "Nodes"),
    ("evals", "Evaluations"),
    ("deployment", "Deployments"),
    ("namespaces", "Namespaces"),
];

fn status(ctx: &mut Ctx, args: &Args) -> Outcome {
    let id = match args.rest.as_slice() {
        [] => return job::status(ctx, args),
        [id] => id.clone(),
        _ => {
            return Err(arguments(
                "This command takes either no arguments or one: <id>",
            ));
        }
    };
    let client = ctx.client(args)?;
    let (kind, id) = choose(&search(&client, &id)?, &id)?;
    let mut args = args.clone();
    args.rest = vec![id];
    match kind {
        "jobs" => job::status(ctx, &args),
        "allocs" => alloc::status(ctx, &args),
        "nodes" => node::status(ctx, &args),
        "evals" => eval::status(ctx, &args),
        "deployment" => deployment::status(ctx, &args),
        _ => namespace::status(ctx, &args),
    }
}

/// Everything whose id begins so.
pub fn search(client: &Client, id: &str) -> Result<SearchResponse, Failure> {
    let request = SearchRequest {
        prefix: id.to_owned(),
        context: "all".to_owned(),
    };
    client
        .put_json("/v1/search", &request)
        .read()
        .attempt(&format!("Error querying search with id \"{id}\""))
}

/// The one kind with matches, and what to show of it.
pub fn choose(found: &SearchResponse, id: &str) -> Result<(&'static str, String), Failure> {
    let matches = |kind: &str| {
        found
            .matches
            .get(kind)
            .cloned()
            .flatten()
            .unwrap_or_default()
    };
    let hits: Vec<(&str, &str, Vec<String>)> = (KINDS.iter())
        .map(|(kind, title)| (*kind, *title, matches(kind)))
        .filter(|(_, _, ids)| !ids.is_empty())
        .collect();
    let exact = |(kind, _, ids): &(&'static str, &str, Vec<String>)| {
        ids.iter().any(|i| i == id).then_some(*kind)
    };
    if let Some(kind) = hits.iter().find_map(exact) {
        return Ok((kind, id.to_owned()));
    }
    match hits.as_slice() {
        [] => Err(Failure::new(format!("Unable to resolve ID: \"{id}\""))),
        [(kind, _, ids)] if ids.len() == 1 => Ok((kind, ids[0].clone())),
        many => {
            let lists: Vec<String> = many
                .iter()
                .map(|(_, title, ids)| format!("{title}:\n{}", ids.join(", ")))
                .collect();
            Err(Failure::new(format!(
                "Multiple matches found for id \"{id}\"\n\n{}",
                lists.join("\n\n")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(pairs: &[(&str, &[&str])]) -> SearchResponse {
        let list = |ids: &[&str]| Some(ids.iter().map(|i| (*i).to_owned()).collect());
        SearchResponse {
            matches: pairs
                .iter()
                .map(|(k, ids)| ((*k).to_owned(), list(ids)))
                .collect(),
            ..SearchResponse::default()
        }
    }

    #[test]
    fn one_match_is_shown_and_many_are_listed() {
        let one = answer(&[("allocs", &["04c05858-0e37"]), ("jobs", &[])]);
        assert_eq!(
            choose(&one, "04").unwrap(),
            ("allocs", "04c05858-0e37".to_owned())
        );
        let exact = answer(&[("jobs", &["red", "redis"])]);
        assert_eq!(choose(&exact, "red").unwrap().1, "red");
        let many = answer(&[("jobs", &["redis", "redis-two"])]);
        assert_eq!(
            choose(&many, "red").unwrap_err().message,
            "Multiple matches found for id \"red\"\n\nJobs:\nredis, redis-two"
        );
        let none = answer(&[]);
        assert_eq!(
            choose(&none, "zzzz").unwrap_err().message,
            "Unable to resolve ID: \"zzzz\""
        );
    }
}
