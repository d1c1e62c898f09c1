//! `testnet …`: clusters of real processes on this machine.

use std::path::Path;
use std::time::Duration;

use crate::cli::cmd;
use crate::cli::context::Ctx;
use crate::cli::fail::{self, Failure, OK, Outcome};
use crate::cli::flags::{Args, Flag, switch, value};
use crate::cli::output::{self, table};
use crate::cli::registry::{Command, command};
use crate::testnet::api::chain;
use crate::testnet::down::{DownError, Ended, down, remove};
use crate::testnet::look::{LogLine, Logs, NodeLook, status as look};
use crate::testnet::registry::{NodeRecord, Phase, RegistryError};
use crate::testnet::signals::Signals;
use crate::testnet::topology::{Driver, Topology, TopologyError};
use crate::testnet::up::{UpError, no_node};
use crate::testnet::{Record, Registry, Starter};

/// The name of a testnet that was given none.
const DEFAULT: &str = "default";
/// The exit code of a command that a signal ended.
const INTERRUPTED: u8 = 130;
/// How often `logs -f` looks for new lines.
const FOLLOW: Duration = Duration::from_millis(100);

static WHERE: &[Flag] = &[value(
    "data-dir",
    "<path>",
    "Where testnets are kept; tumen/testnets in the user's state directory unless set.",
)];
static WHICH: &[Flag] = &[value(
    "name",
    "<testnet>",
    "The testnet; may be left out while there is one alone.",
)];
static UP: &[Flag] = &[
    value("servers", "<n>", "How many servers; 1 unless set."),
    value("clients", "<n>", "How many clients; 3 unless set."),
    value(
        "driver",
        "<name,…>",
        "The clients' drivers of docker, raw_exec and mock_driver; the first two unless set.",
    ),
    value("f", "<path>", "A file that describes the testnet."),
];
static LOGS: &[Flag] = &[
    switch("f", "Goes on as lines come."),
    value("n", "<lines>", "Only so many of the last lines."),
];

/// The commands of this family.
pub static COMMANDS: &[Command] = &[
    Command {
        flags: &[UP, WHERE],
        about: "Brings up a named cluster of real processes on this machine, and waits until its \
                clients are ready. It runs until `tumen testnet down`, whatever becomes of this \
                terminal.",
        ..local("testnet up", "[NAME] [options]", "Bring a testnet up", up)
    },
    Command {
        flags: &[WHERE],
        ..local(
            "testnet status",
            "[NAME]",
            "Show the nodes of a testnet",
            status,
        )
    },
    Command {
        flags: &[LOGS, WHICH, WHERE],
        ..local(
            "testnet logs",
            "[NODE] [options]",
            "Show the nodes' logs",
            logs,
        )
    },
    Command {
        flags: &[WHERE],
        about: "Prints the variables by which other commands find a testnet: \
                eval \"$(tumen testnet env)\".",
        ..local(
            "testnet env",
            "[NAME]",
            "Print a testnet's variables for a shell",
            env,
        )
    },
    Command {
        flags: &[WHERE],
        about: "Ends a testnet: its nodes, their tasks and containers, and its data.",
        ..local("testnet down", "[NAME]", "Take a testnet down", end)
    },
    Command {
        flags: &[WHERE],
        ..local("testnet ls", "", "List the testnets", list)
    },
    Command {
        flags: &[WHICH, WHERE],
        ..local("testnet add", "[options]", "Add a client to a testnet", add)
    },
    Command {
        flags: &[WHICH, WHERE],
        ..local(
            "testnet rm",
            "NODE [options]",
            "Take a client out of a testnet",
            rm,
        )
    },
    Command {
        flags: &[WHICH, WHERE],
        about: "Stops a node if it runs, and starts it with the data that it has.",
        ..local(
            "testnet restart",
            "NODE [options]",
            "Start a node again",
            restart,
        )
    },
];

const fn local(
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    run: fn(&mut Ctx, &Args) -> Outcome,
) -> Command {
    Command {
        remote: false,
        ..command(name, usage, summary, run)
    }
}

/// The flags and words, wherever the flags stand.
fn read(args: &Args, flags: &[&'static [Flag]]) -> Result<Args, Failure> {
    let read = args.clone().anywhere(flags);
    read.map_err(|e| Failure::new(e.to_string()).usage())
}

fn one_at_most<'a>(args: &'a Args, what: &str) -> Result<Option<&'a str>, Failure> {
    match args.rest.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => Err(fail::arguments(&format!(
            "This command takes one argument at most: {what}"
        ))),
    }
}

fn registry(ctx: &Ctx, args: &Args) -> Result<Registry, Failure> {
    let opened = Registry::open(args.value("data-dir"), &ctx.env);
    opened.map_err(|e| refused(&e))
}

/// The testnet meant: the one named, or the only one.
fn pick(registry: &Registry, name: Option<&str>) -> Result<Record, Failure> {
    if let Some(name) = name {
        return registry.read(name).map_err(|e| refused(&e));
    }
    let mut all = registry.list().map_err(|e| refused(&e))?;
    match all.len() {
        0 => Err(Failure {
            advice: vec!["`tumen testnet up` brings one up.".to_owned()],
            ..Failure::new("There is no testnet")
        }),
        1 => all.remove(0).1.map_err(|e| refused(&e)),
        _ => {
            let names: Vec<_> = all.into_iter().map(|(name, _)| name).collect();
            Err(Failure::new(format!(
                "There are several testnets; name one of: {}",
                names.join(", ")
            )))
        }
    }
}

fn up(ctx: &mut Ctx, args: &Args) -> Outcome {
    let args = &read(args, &[UP, WHERE])?;
    let topology = topology(args)?;
    let named = one_at_most(args, "[NAME]")?.map(str::to_owned);
    let name = named
        .or_else(|| topology.name.clone())
        .unwrap_or_else(|| DEFAULT.to_owned());
    let registry = registry(ctx, args)?;
    let started = std::time::Instant::now();
    let runtime = ctx.runtime.clone();
    let record = runtime.block_on(bring_up(ctx, &registry, &name, &topology))?;
    let nodes = runtime.block_on(look(&registry, &record));
    let (servers, clients) = (topology.servers.len(), topology.clients.len());
    ctx.say(output::bold(&format!(
        "Testnet {name}: {}, {}, up in {:.1} s",
        counted(servers, "server"),
        counted(clients, "client"),
        started.elapsed().as_secs_f64()
    )));
    ctx.say(node_table(&nodes));
    let http = address(&record);
    let flag = match args.value("data-dir") {
        Some(dir) => format!(" -data-dir={dir}"),
        None => String::new(),
    };
    ctx.say(format!("\nexport NOMAD_ADDR={http}\n"));
    ctx.say(format!(
        "tumen node status\ntumen testnet logs{flag} -name={name} -f\n\
         tumen testnet down{flag} {name}\n\nPages: {http}/ui/"
    ));
    Ok(OK)
}

async fn bring_up(
    ctx: &mut Ctx,
    registry: &Registry,
    name: &str,
    topology: &Topology,
) -> Result<Record, Failure> {
    let mut signals = Signals::install()
        .map_err(|e| Failure::new(format!("The signals cannot be caught: {e}")))?;
    let starter = Starter::new(registry.clone());
    let record = match starter.prepare(name, topology, false).await {
        Ok(record) => record,
        Err(error) => return Err(up_failure(&error)),
    };
    let failed = tokio::select! {
        biased;
        () = signals.next() => {
            ctx.err.line("Interrupted: taking down what is up.");
            Failure::new(format!("The testnet {name} was not brought up")).code(INTERRUPTED)
        }
        done = starter.start(&record) => match done {
            Ok(()) => return Ok(record),
            Err(error) => up_failure(&error),
        }
    };
    match down(registry, name).await {
        Ok(_) => Err(failed),
        Err(error) => {
            ctx.err.line(&failed.message);
            Err(down_failure(&error))
        }
    }
}

fn topology(args: &Args) -> Result<Topology, Failure> {
    if let Some(path) = args.value("f") {
        for flag in ["servers", "clients", "driver"] {
            if args.value(flag).is_some() {
                let text = format!("-f and -{flag} exclude each other: the file says it");
                return Err(Failure::new(text).usage());
            }
        }
        return Topology::load(Path::new(path)).map_err(|e| match e {
            // Each line begins with the file's name as it is.
            TopologyError::Mistakes(lines) => Failure::new(lines.join("\n")),
            error => sentence(&error),
        });
    }
    let drivers = match args.value("driver") {
        None => Driver::USUAL.to_vec(),
        Some(names) => {
            let parsed: Result<Vec<Driver>, String> = names.split(',').map(str::parse).collect();
            parsed.map_err(|why| Failure::new(format!("-driver: {why}")).usage())?
        }
    };
    let servers = args.number("servers")?.unwrap_or(1);
    let clients = args.number("clients")?.unwrap_or(3);
    Topology::simple(servers, clients, drivers).map_err(|e| sentence(&e))
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn address(record: &Record) -> String {
    let http = record.http();
    http.map_or_else(String::new, |addr| format!("http://{addr}"))
}

fn node_table(nodes: &[NodeLook]) -> String {
    let mut rows = table(["Name", "Role", "Status", "HTTP", "RPC", "Serf", "PID"]);
    for look in nodes {
        let NodeRecord { name, role, addrs } = &look.node;
        let mut row = vec![name.clone(), role.name().to_owned(), look.status.clone()];
        row.extend(addrs.all().map(|addr| addr.to_string()));
        row.push(look.pid.map_or("-".to_owned(), |pid| pid.to_string()));
        rows.row(row);
    }
    rows.render()
}

fn status(ctx: &mut Ctx, args: &Args) -> Outcome {
    let args = &read(args, &[WHERE])?;
    let registry = registry(ctx, args)?;
    let record = pick(&registry, one_at_most(args, "[NAME]")?)?;
    let nodes = ctx.runtime.block_on(look(&registry, &record));
    ctx.say(output::bold(&format!(
        "Testnet {}: {}, {}",
        record.name,
        phase(&record.phase),
        address(&record)
    )));
    ctx.say(node_table(&nodes));
    let ill: Vec<_> = nodes.iter().filter(|n| n.pid.is_none()).collect();
    for look in &ill {
        ctx.err.line(format!(
            "`tumen testnet restart -name={} {}` starts it again.",
            record.name, look.node.name
        ));
    }
    Ok(u8::from(nodes.iter().any(|n| !n.well)))
}

fn phase(phase: &Phase) -> String {
    match phase {
        Phase::Up => "up".to_owned(),
        Phase::Starting(by) if by.is_alive() => format!("being started by process {}", by.pid),
        Phase::Ending(by) if by.is_alive() => format!("being taken down by process {}", by.pid),
        Phase::Starting(_) => "half started; `down` removes what is left".to_owned(),
        Phase::Ending(_) => "half taken down; `down` removes what is left".to_owned(),
    }
}

fn logs(ctx: &mut Ctx, args: &Args) -> Outcome {
    let args = &read(args, &[LOGS, WHICH, WHERE])?;
    let registry = registry(ctx, args)?;
    let record = pick(&registry, args.value("name"))?;
    let nodes: Vec<&NodeRecord> = match one_at_most(args, "[NODE]")? {
        None => record.nodes.iter().collect(),
        Some(name) => match record.node(name) {
            Some(node) => vec![node],
            None => return Err(up_failure(&no_node(&record, name))),
        },
    };
    let width = nodes.iter().map(|n| n.name.len()).max().unwrap_or(0);
    let several = nodes.len() > 1;
    let shown = |line: &LogLine| match several {
        true => format!("\x1b[2m{:width$} |\x1b[0m {}", line.node, line.text),
        false => line.text.clone(),
    };
    let mut logs = Logs::of(&registry, &record.name, &nodes);
    let unreadable = |e: std::io::Error| Failure::new(format!("A log cannot be read: {e}"));
    let mut lines = logs.read().map_err(unreadable)?;
    if let Some(last) = args.number::<usize>("n")? {
        lines.drain(..lines.len().saturating_sub(last));
    }
    loop {
        for line in &lines {
            ctx.say(shown(line));
        }
        // Nobody reads any more, or the testnet is gone.
        if !args.on("f") || ctx.out.failed.is_some() || registry.read(&record.name).is_err() {
            return Ok(OK);
        }
        ctx.runtime.block_on(tokio::time::sleep(FOLLOW));
        lines = logs.read().map_err(unreadable)?;
    }
}

fn env(ctx: &mut Ctx, args: &Args) -> Outcome {
    let args = &read(args, &[WHERE])?;
    let registry = registry(ctx, args)?;
    let record = pick(&registry, one_at_most(args, "[NAME]")?)?;
    ctx.say(format!("export NOMAD_ADDR={}", address(&record)));
    if record.region != "global" {
        ctx.say(format!("export NOMAD_REGION={}", record.region));
    }
    Ok(OK)
}

fn end(ctx: &mut Ctx, args: &Args) -> Outcome {
    let args = &read(args, &[WHERE])?;
    let registry = registry(ctx, args)?;
    let record = pick(&registry, one_at_most(args, "[NAME]")?)?;
    let ended = ctx.runtime.block_on(down(&registry, &record.name));
    let ended = ended.map_err(|e| down_failure(&e))?;
    ctx.say(format!(
        "Testnet {} is down: {} ended, its data removed",
        record.name,
        what_ended(&ended)
    ));
    Ok(OK)
}

fn what_ended(ended: &Ended) -> String {
    let mut parts = vec![counted(ended.nodes, "node")];
    let more = [(ended.processes, "task"), (ended.containers, "container")];
    parts.extend(
        more.iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| counted(*n, what)),
    );
    parts.join(", ")
}

fn list(ctx: &mut Ctx, args: &Args) -> Outcome {
    let args = &read(args, &[WHERE])?;
    cmd::no_arguments(&args.rest)?;
    let registry = registry(ctx, args)?;
    let all = registry.list().map_err(|e| refused(&e))?;
    if all.is_empty() {
        ctx.say("There is no testnet; `tumen testnet up` brings one up");
        return Ok(OK);
    }
    let mut rows = table(["Name", "Status", "Nodes", "HTTP"]);
    for (name, record) in all {
        match record {
            Ok(record) => rows.row([
                name,
                phase(&record.phase),
                record.nodes.len().to_string(),
                address(&record),
            ]),
            Err(error) => rows.row([name, error.to_string(), "-".to_owned(), "-".to_owned()]),
        }
    }
    ctx.say(rows.render());
    Ok(OK)
}

fn add(ctx: &mut Ctx, args: &Args) -> Outcome {
    let args = &read(args, &[WHICH, WHERE])?;
    cmd::no_arguments(&args.rest)?;
    let registry = registry(ctx, args)?;
    let record = pick(&registry, args.value("name"))?;
    let starter = Starter::new(registry);
    let added = ctx.runtime.block_on(starter.add(&record.name));
    let node = added.map_err(|error| {
        let mut failure = up_failure(&error);
        if let UpError::Node { node, .. } | UpError::Taken { node, .. } = &error {
            failure.advice = vec![format!(
                "`tumen testnet restart {node}` tries again, `tumen testnet rm {node}` gives up."
            )];
        }
        failure
    })?;
    let at = node.addrs.http;
    ctx.say(format!("Node {} is ready at http://{at}", node.name));
    Ok(OK)
}

fn rm(ctx: &mut Ctx, args: &Args) -> Outcome {
    let args = &read(args, &[WHICH, WHERE])?;
    let node = cmd::one(&args.rest, "This command takes one argument: NODE")?;
    let registry = registry(ctx, args)?;
    let record = pick(&registry, args.value("name"))?;
    let removed = ctx.runtime.block_on(remove(&registry, &record.name, node));
    removed.map_err(|e| down_failure(&e))?;
    ctx.say(format!("Node {node} is gone, its data removed"));
    Ok(OK)
}

fn restart(ctx: &mut Ctx, args: &Args) -> Outcome {
    let args = &read(args, &[WHICH, WHERE])?;
    let node = cmd::one(&args.rest, "This command takes one argument: NODE")?;
    let registry = registry(ctx, args)?;
    let record = pick(&registry, args.value("name"))?;
    let starter = Starter::new(registry);
    let started = ctx.runtime.block_on(starter.restart(&record.name, node));
    let node = started.map_err(|e| up_failure(&e))?;
    let at = node.addrs.http;
    ctx.say(format!("Node {} runs again at http://{at}", node.name));
    Ok(OK)
}

/// What a failed start says, and what can be done about it.
pub fn up_failure(error: &UpError) -> Failure {
    let advice = match error {
        UpError::Registry(error) => return refused(error),
        UpError::Taken { .. } => {
            vec!["End what listens there, or take the testnet down.".to_owned()]
        }
        UpError::Address(_)
        | UpError::NoNode { .. }
        | UpError::Write { .. }
        | UpError::Start { .. }
        | UpError::Listen(_)
        | UpError::Node { .. }
        | UpError::Late { .. }
        | UpError::End { .. }
        | UpError::Ask(_) => Vec::new(),
    };
    Failure {
        advice,
        ..sentence(error)
    }
}

/// What a failed end says.
pub fn down_failure(error: &DownError) -> Failure {
    match error {
        DownError::Registry(error) => refused(error),
        DownError::Node(error) => up_failure(error),
        DownError::Server { .. }
        | DownError::End { .. }
        | DownError::Tasks { .. }
        | DownError::Containers(_)
        | DownError::Purge { .. }
        | DownError::Remove { .. } => sentence(error),
    }
}

fn refused(error: &RegistryError) -> Failure {
    let advice = match error {
        RegistryError::Exists { name } => vec![
            format!("`tumen testnet status {name}` shows it, `tumen testnet down {name}` ends it;"),
            "or give another name: `tumen testnet up NAME`.".to_owned(),
        ],
        RegistryError::Busy { name, .. } => {
            vec![format!(
                "`tumen testnet status {name}` shows how far it is."
            )]
        }
        RegistryError::Half { name } => {
            vec![format!("`tumen testnet down {name}` removes what is left.")]
        }
        RegistryError::Unknown(_) => vec!["`tumen testnet ls` lists those there are.".to_owned()],
        RegistryError::NoHome => vec!["Name a directory with -data-dir.".to_owned()],
        RegistryError::Damaged { path, .. } => {
            let dir = path.parent().unwrap_or(path).display();
            vec![format!("End its processes by hand, then remove {dir}.")]
        }
        RegistryError::Going { .. } | RegistryError::Name(_) | RegistryError::Io { .. } => {
            Vec::new()
        }
    };
    Failure {
        advice,
        ..sentence(error)
    }
}

/// An error with its causes, beginning like a sentence.
pub fn sentence(error: &dyn std::error::Error) -> Failure {
    let text = chain(error);
    let mut chars = text.chars();
    let first = chars.next().map(char::to_uppercase);
    Failure::new(first.into_iter().flatten().chain(chars).collect::<String>())
}
