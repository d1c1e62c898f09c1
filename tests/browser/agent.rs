//! An agent with a few jobs: the real program, as a user starts it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::driver::{LIMIT, http};

/// A name without a place to break it.
pub const LONG: &str =
    "a-job-with-a-name-that-is-much-longer-than-any-telephone-is-wide-and-goes-on";

pub struct Agent {
    process: Child,
    dir: tempfile::TempDir,
    pub addr: SocketAddr,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Agent {
    /// An agent with jobs that run, that wait and that fail.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let held: Vec<TcpListener> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let ports: Vec<u16> = held
            .iter()
            .map(|l| l.local_addr().unwrap().port())
            .collect();
        let [http, rpc, serf] = ports[..] else {
            unreachable!("three ports were asked for")
        };
        let config = format!(
            "name = \"dev1\"\nports {{\n  http = {http}\n  rpc = {rpc}\n  serf = {serf}\n}}\n\
             plugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n"
        );
        std::fs::write(dir.path().join("agent.hcl"), config).unwrap();
        drop(held);
        let agent = Self {
            process: launch(&dir),
            dir,
            addr: SocketAddr::from(([127, 0, 0, 1], http)),
        };
        agent.ready();
        let talk = "i=0; while true; do i=$((i+1)); echo line $i of the log; sleep 0.2; done";
        agent.run("web", 2, 32, talk);
        agent.run("big-model", 2, 900_000, "sleep 600");
        agent.run("crasher", 1, 16, "echo cannot bind to port 80 >&2; exit 3");
        agent.run(LONG, 1, 16, "sleep 600");
        agent.wait(|a| a.count("web", "running") == 2, "web runs");
        agent.wait(|a| a.count("crasher", "failed") >= 1, "crasher fails");
        agent
    }

    fn ready(&self) {
        let deadline = Instant::now() + LIMIT;
        while TcpStream::connect(self.addr).is_err() {
            assert!(Instant::now() < deadline, "the agent does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        let ready = |a: &Self| {
            let nodes = a.get("/v1/nodes");
            nodes[0]["Status"] == "ready" && nodes[0]["Drivers"]["raw_exec"]["Healthy"] == true
        };
        self.wait(ready, "the client is ready");
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub fn get(&self, path: &str) -> Value {
        let (status, body) = http(self.addr, "GET", path, "");
        match status {
            200 => serde_json::from_str(&body).unwrap(),
            _ => Value::Null,
        }
    }

    /// Registers a job of one group that runs a shell script.
    pub fn run(&self, id: &str, count: u32, memory: u32, script: &str) {
        let job = json!({ "Job": { "ID": id, "Name": id, "Datacenters": ["*"], "TaskGroups": [{
            "Name": "app",
            "Count": count,
            "RestartPolicy": { "Attempts": 0, "Mode": "fail", "Interval": 5_000_000_000_u64 },
            "ReschedulePolicy": { "Attempts": 0, "Unlimited": false },
            "Tasks": [{
                "Name": "server",
                "Driver": "raw_exec",
                "Config": { "command": "/bin/sh", "args": ["-c", script] },
                "Resources": { "CPU": 20, "MemoryMB": memory },
            }],
        }]}});
        let (status, body) = http(self.addr, "PUT", "/v1/jobs", &job.to_string());
        assert_eq!(status, 200, "{body}");
    }

    /// A job's allocations in a state.
    fn count(&self, job: &str, status: &str) -> usize {
        let allocs = self.get(&format!("/v1/job/{job}/allocations"));
        let allocs = allocs.as_array().map(Vec::as_slice).unwrap_or_default();
        allocs
            .iter()
            .filter(|a| a["ClientStatus"] == status)
            .count()
    }

    /// The id of one of a job's allocations.
    pub fn alloc_of(&self, job: &str) -> String {
        let allocs = self.get(&format!("/v1/job/{job}/allocations"));
        allocs[0]["ID"].as_str().unwrap().to_string()
    }

    pub fn wait(&self, state: impl Fn(&Self) -> bool, what: &str) {
        let deadline = Instant::now() + LIMIT;
        while !state(self) {
            assert!(Instant::now() < deadline, "never: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the agent as Ctrl-C does, so that what it started ends too.
    pub fn stop(&mut self) {
        let pid = self.process.id().to_string();
        Command::new("kill").args(["-INT", &pid]).status().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts a new agent at the same address.
    pub fn again(&mut self) {
        self.process = launch(&self.dir);
        self.ready();
    }
}

fn launch(dir: &tempfile::TempDir) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tumen"))
        .args(["agent", "-dev", "-config=agent.hcl"])
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
