//! The small process beside each `raw_exec` task: `tumen __supervise DIR`.
//!
//! It starts the command, writes its output into the log files and its end into a file, so that
//! both outlive an agent that is restarted or killed. It is our own program, run again; it
//! starts no runtime, opens no connection and reads nothing but its order.
//!
//! In `DIR`: `order.json` (read and removed), `process.json` (what runs), `exit.json` (how it
//! ended; written last). The first line on its standard output tells the agent how the start
//! went.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::handle::LogTarget;
use super::process::Process;
use crate::client::logs::{LogWriter, Output, Position};

/// The hidden subcommand.
pub const SUPERVISE: &str = "__supervise";

pub(super) const ORDER: &str = "order.json";
pub(super) const PROCESS: &str = "process.json";
pub(super) const EXIT: &str = "exit.json";

/// How much output is carried at once.
const CHUNK_BYTES: usize = 32 << 10;
/// The threads do little.
const STACK_BYTES: usize = 128 << 10;
/// How long output is waited for that processes hold open which left the command's group.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// What to run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) command: String,
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) dir: PathBuf,
    /// User and group, if not the agent's own.
    pub(super) user: Option<(u32, u32)>,
    pub(super) oom_score_adj: Option<i64>,
    pub(super) logs: LogTarget,
}

/// How the start went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Started {
    Runs {
        supervisor: i32,
        supervisor_birth: u64,
        pid: i32,
        birth: u64,
    },
    Failed(String),
}

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Exit {
    pub(super) code: i32,
    pub(super) signal: i32,
}

/// Runs the supervisor; `args` are those after [`SUPERVISE`].
pub fn supervise_main(args: &[String]) -> ExitCode {
    let [dir] = args else {
        return ExitCode::from(2);
    };
    match run(Path::new(dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&Started::Failed(error.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// Tells the agent; one that died meanwhile finds the same in the directory.
fn tell(started: &Started) {
    let line = serde_json::to_string(started).expect("plain data always has a JSON form");
    let mut out = io::stdout();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        tracing::debug!(target: "raw_exec", "nobody reads how the start went");
    }
}

fn run(dir: &Path) -> io::Result<()> {
    // Out of the agent's session: what ends the agent must not end the task.
    rustix::process::setsid()?;
    let path = dir.join(ORDER);
    let order: Order = serde_json::from_slice(&fs::read(&path)?)?;
    fs::remove_file(&path)?;
    let source = format!("supervisor-{}", std::process::id());
    let open = |output| LogWriter::open(&order.logs, output, &source).map(|(writer, _)| writer);
    let writers = if order.logs.disabled {
        None
    } else {
        Some((open(Output::Stdout)?, open(Output::Stderr)?))
    };
    let mut child = match start(&order) {
        Ok(child) => child,
        Err(error) => {
            tell(&Started::Failed(format!(
                "failed to launch command {:?}: {error}",
                order.command
            )));
            return Ok(());
        }
    };
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let leader = Process::of(pid).unwrap_or(Process { pid, birth: 0 });
    adjust_oom(&order, pid);
    let (done, pumps) = mpsc::channel();
    if let Some((stdout, stderr)) = writers {
        pump(child.stdout.take(), stdout, source.clone(), done.clone())?;
        pump(child.stderr.take(), stderr, source, done)?;
    } else {
        drop(done);
    }
    announce(dir, leader)?;
    let status = child.wait()?;
    // What the command left behind would go on without a master.
    leader.kill_group();
    while pumps.recv_timeout(DRAIN_MAX).is_ok() {}
    write_aside(&dir.join(EXIT), &serde_json::to_vec(&exit_of(status))?)
}

fn start(order: &Order) -> io::Result<Child> {
    let output = || {
        if order.logs.disabled {
            Stdio::null()
        } else {
            Stdio::piped()
        }
    };
    let mut command = Command::new(&order.command);
    command
        .args(&order.args)
        .env_clear()
        .envs(&order.env)
        .current_dir(&order.dir)
        .stdin(Stdio::null())
        .stdout(output())
        .stderr(output())
        .process_group(0);
    if let Some((user, group)) = order.user {
        command.uid(user).gid(group);
    }
    command.spawn()
}

fn adjust_oom(order: &Order, pid: i32) {
    if let Some(adjust) = order.oom_score_adj
        && let Err(error) = fs::write(format!("/proc/{pid}/oom_score_adj"), adjust.to_string())
    {
        tracing::warn!(target: "raw_exec", %error, "could not set oom_score_adj");
    }
}

fn announce(dir: &Path, child: Process) -> io::Result<()> {
    let supervisor = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    let started = Started::Runs {
        supervisor,
        supervisor_birth: Process::of(supervisor).map_or(0, |p| p.birth),
        pid: child.pid,
        birth: child.birth,
    };
    write_aside(&dir.join(PROCESS), &serde_json::to_vec(&started)?)?;
    tell(&started);
    // The agent reads until here; nothing more must block on it.
    let null = fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

/// Carries one output into its log, in a thread that ends with the output.
fn pump(
    from: Option<impl Read + Send + 'static>,
    mut log: LogWriter,
    source: String,
    done: mpsc::Sender<()>,
) -> io::Result<()> {
    let Some(mut from) = from else {
        return Ok(());
    };
    let carry = move || {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match from.read(&mut chunk) {
                Ok(0) => break,
                // A full disk must not stop the task: its output is lost, it runs on.
                Ok(n) => {
                    let written = log.write(&chunk[..n]);
                    let position = Position::default();
                    if written
                        .and_then(|()| log.commit(&source, position))
                        .is_err()
                    {
                        continue;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        drop(done);
    };
    thread::Builder::new()
        .name("output".to_string())
        .stack_size(STACK_BYTES)
        .spawn(carry)
        .map(drop)
}

fn exit_of(status: ExitStatus) -> Exit {
    let signal = status.signal().unwrap_or(0);
    Exit {
        code: status.code().unwrap_or(128 + signal),
        signal,
    }
}

fn write_aside(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    fs::write(&aside, bytes)?;
    fs::rename(&aside, path)
}
