//! Agents of the built program on free loopback ports, and what tests ask of them.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest that anything may take.
const LIMIT: Duration = Duration::from_secs(60);

/// An agent with a data directory of its own. When it goes, so do its process and containers.
pub struct Agent {
    dir: tempfile::TempDir,
    address: String,
    process: Option<Child>,
    node: String,
}

/// Whether there is an engine to test with; without one, CI fails and others hear of it.
pub fn engine() -> bool {
    let found = Command::new("docker").arg("info").output();
    let found = found.is_ok_and(|o| o.status.success());
    assert!(
        found || std::env::var_os("CI").is_none(),
        "CI needs a Docker engine"
    );
    if !found {
        eprintln!("skipped: there is no Docker engine");
    }
    found
}

/// A port that nobody has at the moment.
pub fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// Repeats `look` until it finds something. What it looks at has no way to wake us.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn docker(args: &[&str]) -> String {
    let ran = Command::new("docker").args(args).output().unwrap();
    let err = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "docker {args:?}: {err}");
    String::from_utf8(ran.stdout).unwrap().trim().to_string()
}

/// What the engine says of a container or an image.
pub fn inspect(name: &str) -> Value {
    let text = docker(&["inspect", name]);
    serde_json::from_str::<Value>(&text).unwrap()[0].take()
}

impl Agent {
    pub fn start() -> Self {
        Self::with_plugin("")
    }

    /// `docker` goes into the driver's configuration.
    pub fn with_plugin(docker: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let http = free_port();
        let config = format!(
            "data_dir = \"{}\"\nbind_addr = \"127.0.0.1\"\nserver {{\n  enabled = true\n  \
             bootstrap_expect = 1\n}}\nclient {{\n  enabled = true\n}}\nports {{\n  http = {http}\n  \
             rpc  = {}\n  serf = {}\n}}\nplugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  \
             }}\n}}\nplugin \"docker\" {{\n  config {{\n    {docker}\n  }}\n}}\n",
            dir.path().join("data").display(),
            free_port(),
            free_port(),
        );
        std::fs::write(dir.path().join("agent.hcl"), config).unwrap();
        let mut agent = Self {
            dir,
            address: format!("http://127.0.0.1:{http}"),
            process: None,
            node: String::new(),
        };
        agent.boot();
        agent
    }

    /// Starts the process and waits until its node is ready.
    pub fn boot(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("agent.log"))
            .unwrap();
        let started = Command::new(env!("CARGO_BIN_EXE_tumen"))
            .args(["agent", "-config"])
            .arg(self.dir.path().join("agent.hcl"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.process = Some(started.unwrap());
        self.node = eventually("the node is ready", || {
            let ran = self.run(&["operator", "api", "/v1/nodes"]);
            let nodes: Value = serde_json::from_slice(&ran.stdout).ok()?;
            let ready =
                nodes[0]["Status"] == "ready" && nodes[0]["Drivers"]["docker"]["Healthy"] == true;
            ready.then(|| nodes[0]["ID"].as_str().unwrap().to_string())
        });
    }

    /// SIGKILL: the agent has no time for a word.
    pub fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program with these arguments, against this agent.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tumen"));
        command.args(args).env("NOMAD_ADDR", &self.address);
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What a command that must succeed prints.
    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        let out = String::from_utf8(ran.stdout).unwrap();
        let err = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{args:?}: {out}{err}{}", self.log());
        out
    }

    pub fn api(&self, path: &str) -> Value {
        serde_json::from_str(&self.ok(&["operator", "api", path])).unwrap()
    }

    /// Runs a job and waits for its deployment.
    pub fn job(&self, text: &str) {
        std::fs::write(self.path("job.hcl"), text).unwrap();
        self.ok(&["job", "run", "job.hcl"]);
    }

    /// Runs a job and does not wait.
    pub fn submit(&self, text: &str) {
        std::fs::write(self.path("job.hcl"), text).unwrap();
        self.ok(&["job", "run", "-detach", "job.hcl"]);
    }

    /// The newest allocation of a job that is as `wanted`.
    pub fn alloc(&self, job: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        let (mut index, mut last) = (0, Value::Null);
        while Instant::now() < deadline {
            let path = format!("/v1/job/{job}/allocations?index={index}&wait=5s");
            let mut allocs = self.api(&path);
            let allocs = allocs.as_array_mut().unwrap();
            allocs.sort_by_key(|a| std::cmp::Reverse(a["CreateIndex"].as_u64()));
            let newest = allocs
                .iter()
                .filter_map(|a| a["ModifyIndex"].as_u64())
                .max();
            index = newest.unwrap_or(0).max(index);
            if let Some(found) = allocs.iter().find(|a| wanted(a)) {
                return found.clone();
            }
            last = Value::Array(std::mem::take(allocs));
        }
        panic!("never: {what}; {last:#}{}", self.log());
    }

    pub fn running(&self, job: &str) -> String {
        let found = self.alloc(job, "it runs", |a| a["ClientStatus"] == "running");
        found["ID"].as_str().unwrap().to_string()
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.path("agent.log")).unwrap_or_default();
        let from = log.len().saturating_sub(4000);
        format!("\n--- the agent's log\n{}", log.get(from..).unwrap_or(&log))
    }

    /// Containers of this node, ended ones too.
    pub fn containers(&self) -> Vec<String> {
        let filter = format!("label=tumen.node_id={}", self.node);
        let ids = docker(&["ps", "-aq", "--no-trunc", "--filter", &filter]);
        ids.lines().map(str::to_string).collect()
    }

    /// The logs of an allocation's directory, whole.
    pub fn stdout_files(&self, alloc: &str, task: &str) -> String {
        let dir = self
            .path("data")
            .join("alloc")
            .join(alloc)
            .join("alloc/logs");
        let mut text = String::new();
        for n in 0.. {
            match std::fs::read_to_string(dir.join(format!("{task}.stdout.{n}"))) {
                Ok(more) => text.push_str(&more),
                Err(_) => return text,
            }
        }
        unreachable!("files are counted until one is missing")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().ok();
            process.wait().ok();
        }
        for id in self.containers() {
            Command::new("docker").args(["rm", "-f", &id]).output().ok();
        }
    }
}

/// The first line of a child's output that has `text`; the child keeps running.
pub fn line_with(child: &mut Child, text: &str) -> String {
    let out = child.stdout.take().unwrap();
    for line in BufReader::new(out).lines() {
        let line = line.unwrap();
        if line.contains(text) {
            return line;
        }
    }
    panic!("the output ended without {text:?}");
}

/// Where the examples are.
pub fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}
