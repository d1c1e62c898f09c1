//! The processes of a testnet's nodes: started in a session of their own, and found again.
//!
//! `tumen __detach DIR ARGS…` leaves the terminal's session, writes down who it is and becomes
//! `tumen ARGS…`. So a node is never without its file, whatever happens to who started it, and
//! a pid is never believed alone: its start and the machine's boot must be the same.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::driver::process::{Process, gone};
use crate::env::{Clock, timeout};

/// The hidden subcommand.
pub const DETACH: &str = "__detach";

const FILE: &str = "process.json";
const TERM: i32 = 15;
const KILL: i32 = 9;
/// How long a node may take to stop when it is asked to.
const STOP_MAX: Duration = Duration::from_secs(10);
/// How long a killed node may take to be gone.
const KILL_MAX: Duration = Duration::from_secs(10);

/// A process that cannot be mistaken for another, over a restart of the machine too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: i32,
    birth: u64,
    boot: String,
}

/// Why a node's process still runs.
#[derive(Debug, thiserror::Error)]
pub enum EndError {
    #[error("process {pid} could not be signalled")]
    Signal { pid: i32, source: io::Error },
    #[error("process {pid} still runs {KILL_MAX:?} after its kill")]
    Stays { pid: i32 },
}

impl Identity {
    /// This very process.
    pub fn own() -> io::Result<Self> {
        let pid = i32::try_from(std::process::id()).map_err(io::Error::other)?;
        Self::of(pid).ok_or_else(|| io::Error::other("/proc shows nothing of this process"))
    }

    /// The process that has this pid now.
    fn of(pid: i32) -> Option<Self> {
        let birth = Process::of(pid)?.birth;
        let boot = boot();
        Some(Self { pid, birth, boot })
    }

    fn write(&self, dir: &Path) -> io::Result<()> {
        write_whole(&dir.join(FILE), &serde_json::to_vec(self)?)
    }

    /// Whether it runs.
    pub fn is_alive(&self) -> bool {
        self.boot == boot() && self.process().is_alive()
    }

    fn process(&self) -> Process {
        Process {
            pid: self.pid,
            birth: self.birth,
        }
    }

    /// Asks it to stop, makes it stop if it does not, and waits until it is gone.
    pub async fn end(&self, clock: &dyn Clock) -> Result<(), EndError> {
        for (signal, limit) in [(TERM, STOP_MAX), (KILL, KILL_MAX)] {
            if !self.is_alive() {
                return Ok(());
            }
            let sent = self.process().signal(signal);
            sent.map_err(|source| EndError::Signal {
                pid: self.pid,
                source: source.into(),
            })?;
            if timeout(clock, limit, gone(self.process())).await.is_ok() {
                return Ok(());
            }
        }
        Err(EndError::Stays { pid: self.pid })
    }
}

/// This boot of the machine; empty where the system does not say.
fn boot() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// The process that was started last for the node in `dir`, dead or alive.
pub fn of_node(dir: &Path) -> Option<Identity> {
    serde_json::from_slice(&fs::read(dir.join(FILE)).ok()?).ok()
}

/// This program's file; itself where that file was replaced.
fn program() -> PathBuf {
    let own = std::env::current_exe().ok().filter(|path| path.exists());
    own.unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}

/// Starts this program with `args` for the node in `dir`; its output goes to `log`. It tells
/// that it is ready to `notify`.
pub fn start(
    dir: &Path,
    log: &Path,
    notify: &Path,
    args: &[OsString],
) -> io::Result<tokio::process::Child> {
    let out = fs::OpenOptions::new().create(true).append(true).open(log)?;
    let child = tokio::process::Command::new(program())
        .arg(DETACH)
        .arg(dir)
        .args(args)
        .env(crate::agent::notify::SOCKET, notify)
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .spawn()?;
    // The node writes the same, but may not have come to it when we give up.
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(identity) = pid.and_then(Identity::of) {
        identity.write(dir)?;
    }
    Ok(child)
}

/// Runs `__detach`; `args` are those after it. Returns only if it fails.
pub fn detach_main(args: &[OsString]) -> ExitCode {
    let Some((dir, rest)) = args.split_first() else {
        return ExitCode::from(2);
    };
    let Err(error) = detach(Path::new(dir), rest);
    // Standard error is the node's log.
    let text = format!("==> Error starting the node: {error}\n");
    match io::Write::write_all(&mut io::stderr(), text.as_bytes()) {
        Ok(()) => ExitCode::FAILURE,
        Err(_) => ExitCode::from(2),
    }
}

fn detach(dir: &Path, args: &[OsString]) -> Result<std::convert::Infallible, io::Error> {
    rustix::process::setsid()?;
    Identity::own()?.write(dir)?;
    Err(Command::new(program()).arg0("tumen").args(args).exec())
}

/// Replaces a file: whoever reads it sees the old or the new content.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = fs::File::create(&aside)?;
    io::Write::write_all(&mut file, bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;

    #[test]
    fn a_recycled_pid_and_another_boot_are_not_the_process() {
        let me = Identity::own().unwrap();
        assert!(me.is_alive());
        let younger = Identity {
            birth: me.birth + 1,
            ..me.clone()
        };
        assert!(!younger.is_alive());
        let before = Identity {
            boot: "another".into(),
            ..me
        };
        assert!(!before.is_alive());
    }

    #[tokio::test]
    async fn what_ignores_the_request_is_killed_and_a_recycled_pid_is_left_alone() {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "sleep 60"])
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let birth = Process::of(pid).unwrap().birth;
        let clock = Env::real().clock;
        let other = Identity {
            pid,
            birth: birth + 1,
            boot: boot(),
        };
        other.end(&*clock).await.unwrap();
        assert!(child.try_wait().unwrap().is_none());
        let real = Identity { birth, ..other };
        real.end(&*clock).await.unwrap();
        assert!(!real.is_alive());
        child.wait().unwrap();
    }
}
