//! `tumen agent` and `tumen config validate`: from arguments to an exit code.

use std::net::IpAddr;

use tokio::signal::unix::{SignalKind, signal};

use crate::env::log::{Format, Level};
use crate::env::{Env, LogRing};

use super::build::Agent;
use super::config::settings::{self, Settings};
use super::config::{Config, Machine, flags};
use super::notify;
use super::output::{Gate, complain, describe, say};

/// Threads for blocking work, all of it short: file operations of logs and allocations. A burst
/// of starts would otherwise take one for each, and each leaves memory behind.
const BLOCKING_MAX: usize = 8;

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

/// What the arguments and the files that they name say, and which files those are.
fn load(args: &[String]) -> Result<(Settings, Vec<String>), Vec<String>> {
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
    Ok((settings, loaded))
}

fn start(args: &[String]) -> Result<(), Vec<String>> {
    let (settings, loaded) = load(args)?;
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
        .max_blocking_threads(BLOCKING_MAX)
        .enable_all()
        .build()
        .map_err(|e| vec![format!("Error starting agent: no runtime: {e}")])?;
    runtime.block_on(serve(args, settings, config))
}

async fn serve(args: &[String], settings: Settings, config: Config) -> Result<(), Vec<String>> {
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
    let logs = env.logs.clone();
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
    let mut reload = Reload {
        args,
        settings,
        logs,
    };
    let cause = until_told(&agent, &mut reload)
        .await
        .map_err(|e| vec![format!("Error starting agent: {e}")])?;
    notify::stopping();
    let failed = agent.has_failed();
    if !failed {
        say(&format!("==> Caught signal: {cause}"));
    }
    let leave = match cause {
        "interrupt" => config.leave_on_interrupt,
        "terminated" => config.leave_on_terminate,
        _ => false,
    };
    agent.shutdown(leave).await;
    match failed {
        true => Err(vec![
            "A part of the agent failed, so all of it stopped; its log says more".into(),
        ]),
        false => Ok(()),
    }
}

/// Waits for a signal to stop or for the agent's own end; returns what it was.
async fn until_told(agent: &Agent, reload: &mut Reload<'_>) -> std::io::Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    notify::ready();
    loop {
        tokio::select! {
            biased;
            () = agent.failed() => return Ok("failure"),
            _ = interrupt.recv() => return Ok("interrupt"),
            _ = terminate.recv() => return Ok("terminated"),
            _ = hangup.recv() => {
                say("==> Caught signal: hangup");
                say("==> Reloading configuration...");
                for line in reload.again() {
                    say(&format!("==> {line}"));
                }
            }
        }
    }
}

/// Reads the configuration again. The log's level changes at once; everything else needs a
/// restart, and that is said.
struct Reload<'a> {
    args: &'a [String],
    /// What is in force.
    settings: Settings,
    logs: LogRing,
}

impl Reload<'_> {
    fn again(&mut self) -> Vec<String> {
        let fresh = load(self.args).and_then(|(settings, _)| {
            let config = Config::new(&settings, &this_machine()).map_err(|m| m.0)?;
            Ok((settings, config))
        });
        let (settings, config) = match fresh {
            Ok(fresh) => fresh,
            Err(mut mistakes) => {
                mistakes.insert(0, "Nothing was reloaded:".to_string());
                return mistakes;
            }
        };
        let mut said = Vec::new();
        let mut waiting = Vec::new();
        for key in self.settings.differences(&settings) {
            if key == "log_level" {
                self.logs
                    .set_level(config.log_level.parse().unwrap_or(Level::Info));
                said.push(format!("log_level is now {}", config.log_level));
                let setting = settings.get(&key).cloned();
                self.settings.replace(&key, setting);
            } else {
                waiting.push(key);
            }
        }
        if !waiting.is_empty() {
            said.push(format!("Needs a restart: {}", waiting.join(", ")));
        }
        if said.is_empty() {
            said.push("Nothing has changed".to_string());
        }
        said
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a file to reload")]

    use super::*;

    #[test]
    fn a_reload_does_what_it_can_and_names_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.hcl");
        let write = |level: &str, name: &str, more: &str| {
            let text = format!(
                "data_dir = \"/d\"\nbind_addr = \"127.0.0.1\"\nlog_level = \"{level}\"\n\
                 name = \"{name}\"\nserver {{\n enabled = true\n}}\n{more}"
            );
            std::fs::write(&file, text).unwrap();
        };
        write("INFO", "a", "");
        let args = [format!("-config={}", file.display())];
        let (settings, _) = load(&args).unwrap();
        let logs = Env::sim(1).logs;
        let mut reload = Reload {
            args: &args,
            settings,
            logs: logs.clone(),
        };
        assert_eq!(reload.again(), ["Nothing has changed"]);

        write("DEBUG", "b", "datacenter = \"dc2\"\n");
        let said = reload.again();
        let rest = "Needs a restart: datacenter, name";
        assert_eq!(said, ["log_level is now DEBUG", rest]);
        assert_eq!(logs.level(), Level::Debug);
        assert_eq!(reload.again(), [rest]);

        write("TRACE", "a", "bananas = 1\n");
        let said = reload.again();
        assert_eq!(said[0], "Nothing was reloaded:");
        assert!(said[1].ends_with("unexpected keys bananas"), "{said:?}");
        assert_eq!(logs.level(), Level::Debug);
    }
}
