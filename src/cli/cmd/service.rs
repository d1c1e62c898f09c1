//! `service …`

use crate::cli::cmd;
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome};
use crate::cli::flags::{Args, Flag, switch, value};
use crate::cli::http_client::{Client, escape};
use crate::cli::output::{Pairs, table};
use crate::cli::registry::{Command, command};
use crate::cli::{format, json};
use crate::http::dto::service::{ServiceNamespaceStub, ServiceRegistration};

static INFO: &[Flag] = &[
    switch("verbose", "Shows everything of each instance."),
    value("filter", "<expression>", "Shows those alone that fit."),
    value("per-page", "<n>", "How many to show."),
    value("page-token", "<token>", "Where the page starts."),
];

/// The commands of this family.
pub static COMMANDS: &[Command] = &[
    Command {
        flags: &[json::FLAGS],
        ..command("service list", "[options]", "List services", list)
    },
    Command {
        flags: &[json::FLAGS, INFO],
        ..command(
            "service info",
            "[options] <service>",
            "Show a service's instances",
            info,
        )
    },
];

const LISTING: &str = "Error listing service registrations";

fn stubs(client: &Client) -> Result<Vec<ServiceNamespaceStub>, Failure> {
    let found: Option<Vec<ServiceNamespaceStub>> =
        client.get("/v1/services").read().attempt(LISTING)?;
    Ok(found.unwrap_or_default())
}

fn list(ctx: &mut Ctx, args: &Args) -> Outcome {
    cmd::no_arguments(&args.rest)?;
    let client = ctx.client(args)?;
    let answer = client.get("/v1/services").send().attempt(LISTING)?;
    let found: Option<Vec<ServiceNamespaceStub>> = answer.json().attempt(LISTING)?;
    let found = found.unwrap_or_default();
    if found.iter().all(|n| n.services.is_empty()) {
        ctx.say("No services found");
        return Ok(OK);
    }
    if let Some(done) = ctx.raw(args, || answer.json().attempt(LISTING)) {
        return done;
    }
    ctx.say(rows(&found, client.settings.all_namespaces(), |_| true));
    Ok(OK)
}

fn rows(found: &[ServiceNamespaceStub], namespaces: bool, wanted: impl Fn(&str) -> bool) -> String {
    let mut lines = Vec::new();
    for namespace in found {
        for service in namespace
            .services
            .iter()
            .filter(|s| wanted(&s.service_name))
        {
            let mut cells = vec![service.service_name.clone()];
            cells.extend(namespaces.then(|| namespace.namespace.clone()));
            cells.push(tags(&service.tags));
            lines.push(cells);
        }
    }
    lines.sort();
    let mut head = vec!["Service Name"];
    head.extend(namespaces.then_some("Namespace"));
    head.push("Tags");
    table(head).rows(lines).render()
}

fn tags(tags: &[String]) -> String {
    let mut sorted = tags.to_vec();
    sorted.sort();
    format!("[{}]", sorted.join(","))
}

fn info(ctx: &mut Ctx, args: &Args) -> Outcome {
    let name = cmd::one(
        &args.rest,
        "This command takes one argument: <service_name>",
    )?;
    let client = ctx.client(args)?;
    let name = resolve(&client, name)?;
    let call = client
        .get(format!("/v1/service/{}", escape(&name)))
        .maybe("filter", args.value("filter"))
        .maybe("per_page", args.number::<u64>("per-page")?)
        .maybe("next_token", args.value("page-token"));
    let answer = call.send().attempt("Error listing service registrations")?;
    if let Some(done) = ctx.raw(args, || answer.json().attempt(LISTING)) {
        return done;
    }
    let found: Option<Vec<ServiceRegistration>> = answer.json().attempt(LISTING)?;
    let found = found.unwrap_or_default();
    if found.is_empty() {
        ctx.say("No service registrations found");
        return Ok(OK);
    }
    let text = if args.on("verbose") {
        found.iter().map(block).collect::<Vec<_>>().join("\n\n")
    } else {
        let mut rows = table(["Job ID", "Address", "Tags", "Node ID", "Alloc ID"]);
        for s in &found {
            rows.row([
                s.job_id.clone(),
                address(s),
                tags_as_given(&s.tags),
                format::id(&s.node_id, false),
                format::id(&s.alloc_id, false),
            ]);
        }
        rows.render()
    };
    ctx.say(text);
    Ok(OK)
}

/// The service of this name, or the only one whose name begins so.
fn resolve(client: &Client, name: &str) -> Result<String, Failure> {
    let found = stubs(client)?;
    let names = found
        .iter()
        .flat_map(|n| &n.services)
        .map(|s| &s.service_name);
    let fits: Vec<&String> = names.filter(|n| n.starts_with(name)).collect();
    if fits.iter().any(|n| *n == name) {
        return Ok(name.to_owned());
    }
    match fits.as_slice() {
        [] => Err(Failure::new(format!(
            "No service(s) with prefix or name \"{name}\" found"
        ))),
        [one] => Ok((*one).clone()),
        _ => {
            let rows = rows(&found, client.settings.all_namespaces(), |n| {
                n.starts_with(name)
            });
            Err(Failure::new(format!(
                "Prefix matched multiple services\n\n{rows}"
            )))
        }
    }
}

fn address(service: &ServiceRegistration) -> String {
    if service.port == 0 {
        return service.address.clone();
    }
    format!("{}:{}", service.address, service.port)
}

fn tags_as_given(tags: &[String]) -> String {
    format!("[{}]", tags.join(","))
}

fn block(service: &ServiceRegistration) -> String {
    Pairs::new()
        .with("ID", &service.id)
        .with("Service Name", &service.service_name)
        .with("Namespace", &service.namespace)
        .with("Job ID", &service.job_id)
        .with("Alloc ID", &service.alloc_id)
        .with("Node ID", &service.node_id)
        .with("Datacenter", &service.datacenter)
        .with("Address", address(service))
        .with("Tags", tags_as_given(&service.tags))
        .render()
}
