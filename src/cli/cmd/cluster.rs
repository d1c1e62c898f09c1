//! `server …` and `agent-info`

use crate::cli::cmd;
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome, arguments};
use crate::cli::flags::{Args, Flag, switch};
use crate::cli::output::table;
use crate::cli::registry::{Command, command};
use crate::cli::{hint, json};
use crate::http::dto::agent::{AgentMember, AgentMembers, AgentSelf, JoinResponse};

static MEMBERS: &[Flag] = &[
    switch("verbose", "Shows more columns."),
    switch("detailed", "Same as -verbose."),
    switch("ui", "Prints the address of the page."),
];

/// The commands of this family.
pub static COMMANDS: &[Command] = &[
    Command {
        flags: &[json::FLAGS, MEMBERS],
        ..command(
            "server members",
            "[options]",
            "List the servers that are known",
            members,
        )
    },
    Command {
        about: "Tells the agent to join the members at the given addresses.",
        ..command(
            "server join",
            "[options] <address>...",
            "Join other members",
            join,
        )
    },
    Command {
        flags: &[&[switch("prune", "Removes the member from the list as well.")]],
        ..command(
            "server force-leave",
            "[options] <node>",
            "Remove a member that is gone",
            force_leave,
        )
    },
    Command {
        flags: &[json::FLAGS],
        ..command(
            "agent-info",
            "[options]",
            "Show what the agent tells about itself",
            agent_info,
        )
    },
];

fn members(ctx: &mut Ctx, args: &Args) -> Outcome {
    cmd::no_arguments(&args.rest)?;
    let client = ctx.client(args)?;
    let attempt = "Error querying servers";
    let answer = client.get("/v1/agent/members").send().attempt(attempt)?;
    let found: AgentMembers = answer.json().attempt(attempt)?;
    let mut list = found.members;
    list.sort_by(|a, b| a.name.cmp(&b.name));
    let (leaders, trouble) = leaders(&client, &list);
    let data = || {
        let mut list = list.clone();
        for member in list.iter_mut().filter(|m| leads(m, &leaders)) {
            member.tags.insert("Leader".to_owned(), "true".to_owned());
        }
        serde_json::to_value(&list).map_err(|e| Failure::new(e.to_string()))
    };
    if let Some(done) = ctx.raw(args, data) {
        return done;
    }
    let detailed = args.on("verbose") || args.on("detailed");
    ctx.say(rows(&list, &leaders, detailed));
    hint::show(ctx, &client, "View and manage servers", "/ui/servers");
    if !trouble.is_empty() {
        return Err(Failure::new(trouble.join("\n")));
    }
    Ok(OK)
}

/// The rpc addresses of the regions' leaders, and which regions could not be asked.
fn leaders(
    client: &crate::cli::http_client::Client,
    members: &[AgentMember],
) -> (Vec<(String, String)>, Vec<String>) {
    let mut regions: Vec<&String> = members
        .iter()
        .filter_map(|m| m.tags.get("region"))
        .collect();
    regions.sort();
    regions.dedup();
    let (mut found, mut trouble) = (Vec::new(), Vec::new());
    for region in regions {
        match client
            .get("/v1/status/leader")
            .query("region", region)
            .read::<String>()
        {
            Ok(address) if !address.is_empty() => found.push((region.clone(), address)),
            Ok(_) => trouble.push(format!(
                "Error determining leaders: Region {region} has no leader"
            )),
            Err(error) => trouble.push(format!(
                "Error determining leaders: Region {region}: {error}"
            )),
        }
    }
    (found, trouble)
}

/// Whether its region's leader has its rpc address.
fn leads(member: &AgentMember, leaders: &[(String, String)]) -> bool {
    let tag = |name: &str| member.tags.get(name).map_or("", String::as_str);
    let rpc = format!("{}:{}", member.addr, tag("port"));
    (leaders.iter()).any(|(region, at)| *region == tag("region") && *at == rpc)
}

fn rows(members: &[AgentMember], leaders: &[(String, String)], detailed: bool) -> String {
    let mut head = vec!["Name", "Address", "Port", "Status", "Leader"];
    head.extend(detailed.then_some("Protocol"));
    head.extend(["Raft Version", "Build", "Datacenter", "Region"]);
    head.extend(detailed.then_some("Tags"));
    let mut rows = table(head);
    for member in members {
        let tag = |name: &str| member.tags.get(name).cloned().unwrap_or_default();
        let mut cells = vec![
            member.name.clone(),
            member.addr.clone(),
            member.port.to_string(),
            member.status.clone(),
            leads(member, leaders).to_string(),
        ];
        cells.extend(detailed.then(|| member.protocol_cur.to_string()));
        cells.extend([tag("raft_vsn"), tag("build"), tag("dc"), tag("region")]);
        cells.extend(detailed.then(|| {
            let tags = member.tags.iter().map(|(k, v)| format!("{k}={v}"));
            tags.collect::<Vec<_>>().join(",")
        }));
        rows.row(cells);
    }
    rows.render()
}

fn join(ctx: &mut Ctx, args: &Args) -> Outcome {
    if args.rest.is_empty() {
        return Err(arguments(
            "One or more node addresses must be given as arguments",
        ));
    }
    let client = ctx.client(args)?;
    let call = client.put("/v1/agent/join");
    let call = args
        .rest
        .iter()
        .fold(call, |call, address| call.query("address", address));
    let answer: JoinResponse = call.read().attempt("Error joining")?;
    if !answer.error.is_empty() {
        return Err(Failure::new(format!(
            "Error joining: failed joining: {}",
            answer.error
        )));
    }
    ctx.say(format!("Joined {} servers successfully", answer.num_joined));
    Ok(OK)
}

fn force_leave(ctx: &mut Ctx, args: &Args) -> Outcome {
    let node = cmd::one(&args.rest, "This command takes one argument: <node>")?;
    let client = ctx.client(args)?;
    let call = client.put("/v1/agent/force-leave").query("node", node);
    let call = if args.on("prune") {
        call.query("prune", true)
    } else {
        call
    };
    call.send().attempt("Error force-leaving server")?;
    Ok(OK)
}

fn agent_info(ctx: &mut Ctx, args: &Args) -> Outcome {
    cmd::no_arguments(&args.rest)?;
    let client = ctx.client(args)?;
    let attempt = "Error querying agent info: failed querying self endpoint";
    let answer = client.get("/v1/agent/self").send().attempt(attempt)?;
    if let Some(done) = ctx.raw(args, || answer.json().attempt(attempt)) {
        return done;
    }
    let about: AgentSelf = answer.json().attempt(attempt)?;
    for (section, facts) in &about.stats {
        ctx.say(section);
        for (key, value) in facts {
            ctx.say(format!("  {key} = {value}"));
        }
    }
    Ok(OK)
}
