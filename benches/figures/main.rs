//! Measures the figures that Tumen aims at, and prints each beside its aim.
//!
//! It drives the built binary as a user would: child processes, HTTP on loopback, Docker's own
//! command. All ports are free ones, all files are in a temporary directory, and every agent
//! and container that it starts is gone when it ends.
//!
//! ```text
//! cargo bench --bench figures -- [-seconds N] [-rounds N] [-tasks N] [-image NAME] [-binary PATH]
//! ```

#![allow(
    clippy::disallowed_methods,
    reason = "it measures the real world from outside, so it has no env"
)]

mod agent;
mod docker;
mod http;
mod report;
mod tasks;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agent::Agent;
use docker::Docker;
use report::{Report, Unit, median};

/// Whatever goes wrong ends the bench with its chain of causes.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// An agent that has just started still fingerprints and elects; idle begins later.
const SETTLE: Duration = Duration::from_secs(10);

pub(crate) struct Options {
    /// How long to watch an idle agent's use of the processor.
    seconds: u64,
    /// How often a latency is measured; the median counts.
    rounds: usize,
    /// How many Docker tasks run beside each other for the cost of one.
    tasks: u64,
    image: String,
    binary: PathBuf,
}

impl Options {
    fn parse(args: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            seconds: 30,
            rounds: 9,
            tasks: 20,
            image: "local/busybox:1".into(),
            binary: env!("CARGO_BIN_EXE_tumen").into(),
        };
        let mut args = args.filter(|arg| arg != "--bench"); // cargo's own
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.trim_start_matches('-') {
                "seconds" => options.seconds = value()?.parse::<u64>()?.max(1),
                "rounds" => options.rounds = value()?.parse::<usize>()?.max(1),
                "tasks" => options.tasks = value()?.parse::<u64>()?.max(1),
                "image" => options.image = value()?,
                "binary" => options.binary = value()?.into(),
                _ => return Err(format!("unknown argument `{arg}`").into()),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    let mut report = Report::default();
    let result =
        Options::parse(std::env::args().skip(1)).and_then(|options| measure(&options, &mut report));
    print!("{report}");
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("figures: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let size = std::fs::metadata(&options.binary)?.len();
    report.add("size of the binary", Unit::Mb, size as f64 / 1e6, 30.0);

    eprintln!("start to ready node: {} rounds", options.rounds);
    let mut starts = Vec::new();
    for _ in 0..options.rounds {
        let (agent, took) = Agent::start(&options.binary)?;
        starts.push(took.as_secs_f64() * 1e3);
        agent.stop()?;
    }
    report.add("start to ready node", Unit::Ms, median(starts), 300.0);

    let (agent, _) = Agent::start(&options.binary)?;
    eprintln!("idle: {} s", (SETTLE.as_secs() + options.seconds));
    std::thread::sleep(SETTLE);
    let before = agent.cpu()?;
    let window = Duration::from_secs(options.seconds);
    std::thread::sleep(window);
    let used = agent.cpu()?.saturating_sub(before);
    let share = used.as_secs_f64() / window.as_secs_f64() * 100.0;
    let resident = agent.resident_kb()? as f64 / 1e3;
    report.add("idle agent, resident", Unit::Mb, resident, 25.0);
    report.add("idle agent, of one core", Unit::Percent, share, 0.2);

    match Docker::ready(&options.image) {
        Ok(docker) => tasks::measure(options, &agent, &docker, report)?,
        Err(reason) => report.skip("everything about Docker tasks", &reason),
    }
    report.skip(
        "clean release build",
        "time `cargo build --release` with an empty target directory; the aim is 6 minutes",
    );
    agent.stop()
}
