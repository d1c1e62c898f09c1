//! `tumen agent` and `tumen config validate`: from arguments to an exit code.

use std::net::IpAddr;

use tokio::signal::unix::{SignalKind, signal};

use crate::env::Env;
use crate::env::log::{Format, Level};

use super::build::Agent;
use super::config::settings::{self, Settings};
use super::config::{Config, Machine, flags};
use super::output::{Gate, complain, describe, say};

/// Runs an agent until it is told to stop. Exit code 0 after a clean stop, 1 otherwise.
pub fn run(args: &[String]) -> u8 {
    match start(args) {
        Ok(()) => 0,
        Err(lines) => {
            for line in lines {
                complain(&format!("==> {line}"));
            }
            1
        }
    }
}

/// Checks configuration files without starting anything.
pub fn validate(paths: &[String]) -> u8 {
    let mut settings = Settings::default();
    for path in paths {
        if let Err(error) = settings::load(path.as_ref(), &mut settings) {
            complain(&format!("1 error occurred:\n\t* {error}\n\n"));
            return 1;
        }
    }
    match Config::new(&settings, &this_machine()) {
        Ok(config) => {
            for warning in &config.warnings {
                complain(warning);
            }
            say("Configuration is valid!");
            0
        }
        Err(mistakes) => {
            complain(&mistakes.to_string());
            complain("Configuration is invalid");
            1
        }
    }
}

fn start(args: &[String]) -> Result<(), Vec<String>> {
    let given = flags::parse(args).map_err(|e| vec![e])?;
    let mut settings = Settings::default();
    let mut loaded = Vec::new();
    for path in &given.configs {
        let files = settings::load(path, &mut settings).map_err(|e| vec![e.to_string()])?;
        loaded.extend(files.iter().map(|f| f.display().to_string()));
    }
    for (key, setting) in given.settings.iter() {
        settings.set(key.clone(), setting.value.clone(), setting.at.clone());
    }
    let config = Config::new(&settings, &this_machine()).map_err(|m| m.0)?;
    for warning in &config.warnings {
        complain(&format!("==> {warning}"));
    }
    if loaded.is_empty() {
        say("==> No configuration files loaded");
    } else {
        say(&format!(
            "==> Loaded configuration from {}",
            loaded.join(", ")
        ));
    }
    say("==> Starting Tumen agent...");
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(4));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|e| vec![format!("Error starting agent: no runtime: {e}")])?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), Vec<String>> {
    let env = Env::real();
    let gate = Gate::closed();
    let format = if config.log_json {
        Format::Json
    } else {
        Format::Text
    };
    let level: Level = config.log_level.parse().unwrap_or(Level::Info);
    env.logs
        .install(level, format, Box::new(gate.clone()))
        .map_err(|e| vec![format!("Error starting agent: {e}")])?;
    let agent = match Agent::build(config.clone(), env).await {
        Ok(agent) => agent,
        Err(error) => {
            gate.open();
            return Err(vec![format!("Error starting agent: {}", error.chain())]);
        }
    };
    say("==> Tumen agent configuration:\n");
    say(&describe(&config, &agent));
    say("==> Tumen agent started! Log data will stream in below:\n");
    gate.open();
    let cause = until_told(&agent)
        .await
        .map_err(|e| vec![format!("Error starting agent: {e}")])?;
    let failed = agent.has_failed();
    if !failed {
        say(&format!("==> Caught signal: {cause}"));
    }
    agent.shutdown().await;
    match failed {
        true => Err(vec![
            "A part of the agent failed, so all of it stopped; its log says more".into(),
        ]),
        false => Ok(()),
    }
}

/// Waits for a signal or for the agent's own end; returns what it was.
async fn until_told(agent: &Agent) -> std::io::Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(tokio::select! {
        biased;
        () = agent.failed() => "failure",
        _ = interrupt.recv() => "interrupt",
        _ = terminate.recv() => "terminated",
    })
}

/// What of this machine the configuration depends on.
fn this_machine() -> Machine {
    let facts = crate::env::real::quick_facts();
    let interfaces: Vec<(String, IpAddr)> = facts
        .default_interface
        .iter()
        .filter_map(|(name, ip)| Some((name.clone(), ip.parse().ok()?)))
        .chain([("lo".to_string(), IpAddr::from([127, 0, 0, 1]))])
        .collect();
    let private_ip = interfaces
        .first()
        .map(|(_, ip)| *ip)
        .filter(|ip| !ip.is_loopback());
    Machine {
        hostname: facts.hostname,
        cores: facts.cpu_cores,
        interfaces,
        private_ip,
    }
}
