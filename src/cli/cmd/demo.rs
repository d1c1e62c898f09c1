//! `demo` and the web service that it runs, `demo-app`.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;

use crate::cli::cmd;
use crate::cli::cmd::testnet::{down_failure, up_failure};
use crate::cli::context::Ctx;
use crate::cli::fail::{Failure, OK, Outcome};
use crate::cli::flags::{Args, Flag, value};
use crate::cli::output;
use crate::cli::registry::{Command, command};
use crate::testnet::Registry;
use crate::testnet::api::chain;
use crate::testnet::demo::app::{self, About};
use crate::testnet::demo::{self, COUNT, Demo, DemoError, Instance, Options, Remains, Step};
use crate::testnet::down::Ended;
use crate::testnet::signals::Signals;

/// How long the service may take to be healthy.
const HEALTHY: Duration = Duration::from_secs(60);
/// The exit code of a demo that a signal ended before it was up.
const INTERRUPTED: u8 = 130;

static DEMO: &[Flag] = &[
    value(
        "driver",
        "<name>",
        "docker or raw_exec; Docker where there is an engine, unless set.",
    ),
    value(
        "data-dir",
        "<path>",
        "Where testnets are kept; tumen/testnets in the user's state directory unless set.",
    ),
];
static APP: &[Flag] = &[value(
    "bind",
    "<ip>",
    "The address to listen on; the task's own unless set.",
)];

/// The commands of this family.
pub static COMMANDS: &[Command] = &[
    Command {
        remote: false,
        flags: &[DEMO],
        about: "Brings up a cluster of one server and three clients on this machine, makes an \
                image from this very program, runs a web service of three instances from it, and \
                takes everything down in the end. It needs no registry and no internet; without \
                Docker it runs plain processes.",
        ..command("demo", "[options]", "See a cluster run a web service", show)
    },
    Command {
        remote: false,
        flags: &[APP],
        about: "Serves a page that shows which instance answers. It runs as a task with a port \
                labelled http.",
        ..command(
            "demo-app",
            "[options]",
            "The web service of the demo",
            serve,
        )
    },
];

fn serve(ctx: &mut Ctx, args: &Args) -> Outcome {
    cmd::no_arguments(&args.rest)?;
    let bind: Option<IpAddr> = match args.value("bind").map(str::parse) {
        None => None,
        Some(Ok(ip)) => Some(ip),
        Some(Err(_)) => return Err(Failure::new("-bind must be an IP address").usage()),
    };
    let about = About::read(&ctx.env, bind).map_err(Failure::new)?;
    let listen = about.listen;
    let served = ctx
        .runtime
        .block_on(app::serve(about, |line| anstream::println!("{line}")));
    served.map_err(|e| Failure::new(format!("Cannot serve at {listen}: {e}")))?;
    Ok(OK)
}

fn show(ctx: &mut Ctx, args: &Args) -> Outcome {
    cmd::no_arguments(&args.rest)?;
    let driver = args.value("driver").map(str::parse).transpose();
    let driver = driver.map_err(|why| Failure::new(format!("-driver: {why}")).usage())?;
    let registry = Registry::open(args.value("data-dir"), &ctx.env);
    let registry = registry.map_err(|e| Failure::new(chain(&e)))?;
    let program = std::env::current_exe()
        .map_err(|e| Failure::new(format!("This program's own file is not known: {e}")))?;
    let options = Options {
        name: demo::NAME.to_owned(),
        driver,
        program,
    };
    let runtime = ctx.runtime.clone();
    runtime.block_on(run(ctx, &registry, &options))
}

async fn run(ctx: &mut Ctx, registry: &Registry, options: &Options) -> Outcome {
    let mut signals = Signals::install()
        .map_err(|e| Failure::new(format!("The signals cannot be caught: {e}")))?;
    let begun = Instant::now();
    let up = async {
        let mut demo = {
            let mut told = |step: Step| tell(ctx, &step);
            Demo::begin(registry, options, &mut told).await?
        };
        let instances = healthy(&mut demo).await?;
        Ok::<_, Failure>((demo, instances))
    };
    let up = tokio::select! {
        biased;
        () = signals.next() => Err(Failure::new("Interrupted").code(INTERRUPTED)),
        up = up => up,
    };
    let (demo, instances) = match up {
        Ok(up) => up,
        Err(failure) => {
            take_down(ctx, registry, options).await?;
            return Err(failure);
        }
    };
    let took = begun.elapsed().as_secs_f64();
    ctx.say(format!(
        "  service   {COUNT} instances answer after {took:.1} s"
    ));
    ctx.say(addresses(&demo, &instances));
    let watched = watch(ctx, demo, instances, &mut signals).await;
    take_down(ctx, registry, options).await?;
    watched.map(|()| OK)
}

/// Waits until all instances are healthy.
async fn healthy(demo: &mut Demo) -> Result<Vec<Instance>, Failure> {
    let mut last = Vec::new();
    let all = async {
        loop {
            last = demo.next().await?;
            if last.iter().filter(|i| i.runs && i.healthy).count() == COUNT {
                return Ok::<_, DemoError>(());
            }
        }
    };
    match tokio::time::timeout(HEALTHY, all).await {
        Ok(done) => done?,
        Err(_) => {
            let states: Vec<String> = last
                .iter()
                .map(|i| format!("    {} on {}: {}", i.name, i.node, i.event))
                .collect();
            return Err(Failure::new(format!(
                "The service is not healthy after {HEALTHY:?}:\n{}",
                states.join("\n")
            )));
        }
    }
    Ok(last)
}

fn tell(ctx: &mut Ctx, step: &Step) {
    let line = match step {
        Step::Cleaned(ended) => format!(
            "A demo before this one was killed; what it left is removed ({}).",
            ended_words(ended)
        ),
        Step::Driver { name, why: None } => format!(
            "{}: a server, three clients, and a service with the driver {name}",
            output::bold("Tumen's demo")
        ),
        Step::Driver {
            name,
            why: Some(why),
        } => format!(
            "{}: a server, three clients, and a service with the driver {name},\n\
             since there is no Docker here: {why}",
            output::bold("Tumen's demo")
        ),
        Step::Up { nodes, took } => {
            format!(
                "  testnet   {nodes} nodes up in {:.1} s",
                took.as_secs_f64()
            )
        }
        Step::Image { bytes, took } => format!(
            "  image     {:.1} MB of this program, in Docker after {:.1} s",
            *bytes as f64 / 1e6,
            took.as_secs_f64()
        ),
    };
    ctx.say(line);
}

fn addresses(demo: &Demo, instances: &[Instance]) -> String {
    let server = demo.record().http();
    let server = server.map_or_else(String::new, |addr| format!("http://{addr}"));
    let mut text = String::new();
    for (number, instance) in instances.iter().enumerate() {
        let label = if number == 0 { "open" } else { "" };
        let Instance {
            name, node, url, ..
        } = instance;
        text.push_str(&format!(
            "\n  {label:<9} \x1b[1m{url}\x1b[0m  {name} on {node}"
        ));
    }
    text.push_str(&format!("\n  cluster   {server}/ui/"));
    text.push_str(&format!("\n  commands  export NOMAD_ADDR={server}\n"));
    text
}

/// What comes next while the demo runs.
enum Event {
    End,
    Kill,
    Ignored,
    /// The terminal's keys are at an end.
    NoKeys,
    News(Result<Vec<Instance>, DemoError>),
}

/// Shows what happens until somebody has seen enough.
async fn watch(
    ctx: &mut Ctx,
    mut demo: Demo,
    mut instances: Vec<Instance>,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let terminal = Keys::take(ctx.keyboard && ctx.terminal);
    let mut keys = terminal.is_some();
    ctx.say(if keys {
        "k kills an instance; q or Ctrl-C takes everything down."
    } else {
        "Ctrl-C or SIGTERM takes everything down."
    });
    let mut stdin = tokio::io::stdin();
    let mut killed: Option<(Instance, Instant)> = None;
    let mut turn = 0;
    loop {
        let event = tokio::select! {
            biased;
            () = signals.next() => Event::End,
            event = key(&mut stdin), if keys => event,
            news = demo.next() => Event::News(news),
        };
        match event {
            Event::End => return Ok(()),
            Event::NoKeys => keys = false,
            Event::Ignored => {}
            Event::Kill => {
                let running: Vec<&Instance> = instances.iter().filter(|i| i.runs).collect();
                let Some(victim) = running.get(turn % running.len().max(1)) else {
                    ctx.say("  no instance runs just now");
                    continue;
                };
                turn += 1;
                ctx.say(format!("  killing {} on {}", victim.name, victim.node));
                killed = Some(((*victim).clone(), Instant::now()));
                demo.kill(victim).await?;
            }
            Event::News(news) => {
                let now = news?;
                for line in demo::news(&instances, &now) {
                    ctx.say(format!("  {line}"));
                }
                if let Some((victim, at)) = &killed
                    && now.iter().any(|i| {
                        let newer = i.restarts > victim.restarts || i.alloc != victim.alloc;
                        i.name == victim.name && i.runs && newer
                    })
                {
                    let took = at.elapsed().as_secs_f64();
                    ctx.say(format!(
                        "  {} is back {took:.1} s after its death",
                        victim.name
                    ));
                    killed = None;
                }
                instances = now;
            }
        }
    }
}

async fn key(stdin: &mut tokio::io::Stdin) -> Event {
    let mut key = [0];
    match stdin.read(&mut key).await {
        Ok(1..) => match key[0] {
            b'k' => Event::Kill,
            b'q' => Event::End,
            _ => Event::Ignored,
        },
        Ok(0) | Err(_) => Event::NoKeys,
    }
}

/// A terminal that gives single keys and does not show them; restored when dropped.
struct Keys(rustix::termios::Termios);

impl Keys {
    /// `None` where there is no keyboard to read, or it belongs to somebody else.
    fn take(wanted: bool) -> Option<Self> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcgetpgrp, tcsetattr};
        let stdin = std::io::stdin();
        let ours = wanted && tcgetpgrp(&stdin).ok() == Some(rustix::process::getpgrp());
        if !ours {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let mut single = before.clone();
        single.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        tcsetattr(&stdin, OptionalActions::Now, &single).ok()?;
        Some(Self(before))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let now = rustix::termios::OptionalActions::Now;
        if let Err(error) = rustix::termios::tcsetattr(std::io::stdin(), now, &self.0) {
            tracing::debug!(target: "cli", %error, "the terminal could not be restored");
        }
    }
}

async fn take_down(ctx: &mut Ctx, registry: &Registry, options: &Options) -> Result<(), Failure> {
    let ended = Remains::of(registry, &options.name).end().await?;
    if ended != Ended::default() {
        ctx.say(format!("Everything is down: {}.", ended_words(&ended)));
    }
    Ok(())
}

fn ended_words(ended: &Ended) -> String {
    format!(
        "{} nodes, {} processes, {} containers",
        ended.nodes, ended.processes, ended.containers
    )
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        match &error {
            DemoError::Up(error) => up_failure(error),
            DemoError::Down(error) => down_failure(error),
            DemoError::Topology(_)
            | DemoError::Runs { .. }
            | DemoError::Image(_)
            | DemoError::Panicked(_)
            | DemoError::Job(_)
            | DemoError::Register(_)
            | DemoError::Watch(_)
            | DemoError::Kill(_) => crate::cli::cmd::testnet::sentence(&error),
        }
    }
}
