//! An `agent -dev` of the built binary on ports of its own, and what the kernel says about it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Result, http};

/// How long an agent may take to be ready, and to stop with everything that it started.
const LIMIT: Duration = Duration::from_secs(60);

/// How often its API is asked whether the node is ready: the resolution of that figure.
const LOOK: Duration = Duration::from_millis(1);

pub(crate) struct Agent {
    child: Child,
    pub(crate) http: SocketAddr,
    dir: TempDir,
}

impl Agent {
    /// Starts one and waits until its node is ready. Returns how long that took.
    pub(crate) fn start(binary: &Path) -> Result<(Self, Duration)> {
        let dir = tempfile::tempdir()?;
        let [http, rpc, serf] = free_ports()?;
        let config = dir.path().join("ports.hcl");
        fs::write(
            &config,
            format!("ports {{\n  http = {http}\n  rpc  = {rpc}\n  serf = {serf}\n}}\n"),
        )?;
        let output = fs::File::create(dir.path().join("output"))?;
        let began = Instant::now();
        let child = Command::new(binary)
            .args(["agent", "-dev", "-config"])
            .arg(&config)
            .env("TMPDIR", dir.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let mut agent = Self {
            child,
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, http)),
            dir,
        };
        while !agent.is_ready() {
            if let Some(status) = agent.child.try_wait()? {
                return Err(format!("the agent ended ({status}):\n{}", agent.output()).into());
            }
            if began.elapsed() > LIMIT {
                let output = agent.output();
                return Err(format!("no ready node within {LIMIT:?}:\n{output}").into());
            }
            std::thread::sleep(LOOK);
        }
        let took = began.elapsed();
        Ok((agent, took))
    }

    /// Nobody listens yet, or no node is registered: both are just not ready.
    fn is_ready(&self) -> bool {
        let nodes = http::get(self.http, "/v1/nodes");
        nodes.is_ok_and(|nodes| nodes.body[0]["Status"] == "ready")
    }

    fn output(&self) -> String {
        fs::read_to_string(self.dir.path().join("output")).unwrap_or_else(|e| e.to_string())
    }

    /// Ends it as Ctrl-C does: it removes what it started.
    pub(crate) fn stop(mut self) -> Result<()> {
        let status = self.interrupt()?;
        if !status.success() {
            return Err(format!("the agent ended with {status}:\n{}", self.output()).into());
        }
        Ok(())
    }

    fn interrupt(&mut self) -> Result<std::process::ExitStatus> {
        kill_process(self.pid()?, Signal::INT)?;
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if began.elapsed() > LIMIT {
                self.child.kill()?;
                self.child.wait()?;
                return Err(format!("the agent did not stop within {LIMIT:?}").into());
            }
            std::thread::sleep(LOOK);
        }
    }

    fn pid(&self) -> Result<Pid> {
        let pid = i32::try_from(self.child.id())?;
        Ok(Pid::from_raw(pid).ok_or("a child has no process id")?)
    }

    /// All memory that it has in use, in thousands of bytes.
    pub(crate) fn resident_kb(&self) -> Result<u64> {
        self.memory_kb("VmRSS:")
    }

    /// A line of what the kernel says about its memory, in thousands of bytes.
    pub(crate) fn memory_kb(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.ok_or_else(|| format!("no {field}"))?;
        let kib: u64 = kib.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024 / 1000)
    }

    /// The time that its threads have run.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut total = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let times = fs::read_to_string(thread?.path().join("schedstat"))?;
            let ran = times.split(' ').next().ok_or("an empty schedstat")?;
            total += Duration::from_nanos(ran.parse()?);
        }
        Ok(total)
    }

    /// How many processes it has started that still run.
    pub(crate) fn children(&self) -> Result<usize> {
        let mut count = 0;
        for process in fs::read_dir("/proc")? {
            // A process may end while we look.
            let Ok(stat) = fs::read_to_string(process?.path().join("stat")) else {
                continue;
            };
            let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' '));
            let parent = fields.and_then(|mut fields| fields.nth(1)?.parse().ok());
            count += usize::from(parent == Some(self.child.id()));
        }
        Ok(count)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait()
            && let Err(error) = self.interrupt()
        {
            eprintln!("figures: {error}");
        }
    }
}

/// Three ports that were free a moment ago, for TCP.
fn free_ports() -> Result<[u16; 3]> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let held = [bind()?, bind()?, bind()?];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
