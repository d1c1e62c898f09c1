//! What the agent prints: first its configuration, then its log.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::VERSION;
use super::build::Agent;
use super::config::Config;

/// Standard output that holds log lines back until the start-up text is out.
#[derive(Clone, Default)]
pub struct Gate {
    held: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Gate {
    /// A gate that holds everything back.
    pub fn closed() -> Self {
        Self {
            held: Arc::new(Mutex::new(Some(Vec::new()))),
        }
    }

    /// Lets everything through, first what was held.
    pub fn open(&self) {
        if let Some(held) = self.lock().take() {
            say_bytes(&held);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.lock().as_mut() {
            Some(held) => held.extend_from_slice(bytes),
            None => io::stdout().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

/// Writes a line to standard output. Nobody may be reading any more: that is no reason to stop.
pub fn say(line: &str) {
    say_bytes(format!("{line}\n").as_bytes());
}

fn say_bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    drop(out.write_all(bytes).and_then(|()| out.flush()));
}

/// Writes a line to standard error.
pub fn complain(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// The configuration block that start-up prints.
pub fn describe(config: &Config, agent: &Agent) -> String {
    let (bound, told) = (agent.bound(), config.advertise_with(agent.bound()));
    let yes = |on: bool| if on { "true" } else { "false" };
    let mut rows = vec![
        (
            "Advertise Addrs",
            format!(
                "HTTP: {}; RPC: {}; Serf: {}",
                told.http, told.rpc, told.serf
            ),
        ),
        (
            "Bind Addrs",
            format!(
                "HTTP: [{}]; RPC: {}; Serf: {}",
                bound.http, bound.rpc, bound.serf
            ),
        ),
        ("Client", yes(config.client.is_some()).to_string()),
        ("Log Level", config.log_level.clone()),
    ];
    if let Some(id) = agent.node_id() {
        rows.push(("Node Id", id.to_string()));
    }
    rows.extend([
        (
            "Region",
            format!("{} (DC: {})", config.region, config.datacenter),
        ),
        ("Server", yes(config.server.is_some()).to_string()),
        ("Version", VERSION.to_string()),
    ]);
    rows.iter()
        .map(|(name, value)| format!("{name:>22}: {value}\n"))
        .collect()
}
