//! Local testnets and the demo, with the built program and real processes on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that panics fails"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const LIMIT: Duration = Duration::from_secs(30);

/// A registry of its own, whose testnets end with it.
struct Testnets {
    dir: tempfile::TempDir,
}

/// What a command did.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    /// The standard output of a command that did its work.
    fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }
}

impl Testnets {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tumen"));
        command
            .args(line.split(' '))
            .env_remove("NOMAD_ADDR")
            .env("XDG_STATE_HOME", self.dir.path())
            .stdin(Stdio::null());
        if line.starts_with("testnet") || line.starts_with("demo") {
            // A directory that was named is a registry that begins at a network of its own.
            command.arg(format!("-data-dir={}", self.root().display()));
        }
        command
    }

    fn run(&self, line: &str) -> Ran {
        let output = self.command(line).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("nets")
    }

    /// The columns of a node's row in the status.
    fn row(&self, node: &str) -> Option<Vec<String>> {
        let status = self.run("testnet status").out;
        let split = |line: &str| line.split("  ").map(|c| c.trim().to_owned()).collect();
        let rows = status.lines().map(split);
        let mut rows = rows.map(|row: Vec<String>| row.into_iter().filter(|c| !c.is_empty()));
        rows.find_map(|mut row| (row.next()? == node).then(|| row.collect()))
    }

    /// Processes that have something of this registry in their command line.
    fn processes(&self) -> Vec<i32> {
        processes_with(&self.root().display().to_string())
    }
}

impl Drop for Testnets {
    fn drop(&mut self) {
        for pid in self.processes() {
            kill(pid); // a test failed before its end
        }
    }
}

fn processes_with(text: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line)
            .replace('\0', " ")
            .contains(text)
    })
    .collect()
}

fn kill(pid: i32) {
    let sent = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
    assert!(
        sent.is_ok() || sent == Err(rustix::io::Errno::SRCH),
        "{sent:?}"
    );
}

/// Waits until something is there.
fn awaited<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn get(url: &str) -> Option<String> {
    let (host, path) = url.strip_prefix("http://")?.split_once('/')?;
    let mut stream = TcpStream::connect(host.parse::<SocketAddr>().ok()?).ok()?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200").then_some(answer)
}

fn address(env: &str) -> String {
    let line = env.lines().next().unwrap();
    line.strip_prefix("export NOMAD_ADDR=").unwrap().to_owned()
}

#[test]
fn a_testnet_lives_through_what_happens_to_its_nodes_and_leaves_nothing() {
    let nets = Testnets::new();
    let up = nets
        .run("testnet up t -clients=2 -driver=raw_exec,mock")
        .ok();
    for part in [
        "Testnet t: 1 server, 2 clients",
        "leader",
        "export NOMAD_ADDR=http://127.0.",
    ] {
        assert!(up.contains(part), "{part} in {up}");
    }
    let http = address(&nets.run("testnet env").ok());
    let nodes = get(&format!("{http}/v1/nodes")).unwrap();
    assert_eq!(nodes.matches("\"Status\":\"ready\"").count(), 2, "{nodes}");

    let twice = nets.run("testnet up t");
    assert_eq!(twice.code, 1);
    assert!(
        twice.err.contains("There is a testnet `t` already"),
        "{twice:?}"
    );
    assert!(nets.run("testnet ls").ok().contains(&http));
    let log = nets.run("testnet logs c1").ok();
    assert!(log.contains("node registration complete"), "{log}");

    // A task that would outlive its agent.
    let mark = format!("97531.{}", std::process::id());
    let job = nets.dir.path().join("sleeper.nomad.hcl");
    let text = format!(
        "job \"sleeper\" {{\n type = \"batch\"\n group \"g\" {{\n count = 2\n task \"t\" {{\n \
         driver = \"raw_exec\"\n config {{\n command = \"/bin/sleep\"\n args = [\"{mark}\"]\n }}\n \
         resources {{\n cpu = 20\n memory = 20\n }}\n }}\n }}\n}}\n"
    );
    fs::write(&job, text).unwrap();
    let run = format!("job run -address={http} -detach {}", job.display());
    nets.run(&run).ok();
    let sleepers = || processes_with(&format!("sleep {mark}"));
    awaited("two tasks run", || (sleepers().len() == 2).then_some(()));

    assert!(nets.run("testnet add").ok().contains("Node c3 is ready"));
    assert_eq!(nets.row("c3").unwrap()[1], "ready");
    let gone = nets.run("testnet rm c3").ok();
    assert!(gone.contains("Node c3 is gone"), "{gone}");
    assert!(!nets.root().join("t/c3").exists());
    let nodes = get(&format!("{http}/v1/nodes")).unwrap();
    assert!(!nodes.contains("\"Name\":\"c3\""), "{nodes}");
    let server = nets.run("testnet rm s1");
    assert!(
        server.err.contains("The only server cannot be taken out"),
        "{server:?}"
    );

    let pid: i32 = nets.row("c2").unwrap().pop().unwrap().parse().unwrap();
    kill(pid);
    let dead = awaited("the status tells of the death", || {
        nets.row("c2").filter(|row| row[1].starts_with("dead"))
    });
    assert_eq!(dead[1], format!("dead: process {pid} is gone"));
    assert_eq!(nets.run("testnet status").code, 1);
    // Somebody takes the dead node's port: that is told, with who it was.
    let port: SocketAddr = dead[2].parse().unwrap();
    let taker = TcpListener::bind(port).unwrap();
    let refused = nets.run("testnet restart c2");
    let taken = format!("C2 {port} is taken by process {}", std::process::id());
    assert!(refused.err.contains(&taken), "{refused:?}");
    drop(taker);
    assert!(
        nets.run("testnet restart c2")
            .ok()
            .contains("Node c2 runs again")
    );
    let again = nets.row("c2").unwrap();
    assert_eq!(again[1], "ready");
    assert_ne!(again.last(), dead.last());

    let down = nets.run("testnet down").ok();
    assert!(
        down.contains("3 nodes, ") && down.contains("task"),
        "{down}"
    );
    assert!(!nets.root().join("t").exists());
    assert_eq!((nets.processes(), sleepers()), (Vec::new(), Vec::new()));
    assert_eq!(nets.run("testnet status").code, 1);
}

#[test]
fn two_who_bring_one_name_up_do_not_meet_and_a_half_one_is_removed() {
    let nets = Testnets::new();
    let mut tries: Vec<Child> = (0..2)
        .map(|_| {
            let mut command = nets.command("testnet up same -clients=1 -driver=mock");
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        })
        .collect();
    let codes: Vec<_> = tries.iter_mut().map(|t| t.wait().unwrap().code()).collect();
    assert!(
        codes.contains(&Some(0)) && codes.contains(&Some(1)),
        "{codes:?}"
    );
    assert_eq!(nets.row("c1").unwrap()[1], "ready");
    nets.run("testnet down same").ok();

    // Interrupted on its way up: it takes down what it began.
    let mut command = nets.command("testnet up early -clients=1 -driver=mock");
    let mut early = command.stdout(Stdio::null()).spawn().unwrap();
    let record = nets.root().join("early/testnet.json");
    awaited("the testnet is claimed", || record.exists().then_some(()));
    let pid = Pid::from_raw(i32::try_from(early.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(early.wait().unwrap().code(), Some(130));
    assert!(!nets.root().join("early").exists());

    // Killed on its way up: what is left is told, and `down` removes it.
    let mut command = nets.command("testnet up half -clients=1 -driver=mock");
    let mut killed = command.stdout(Stdio::null()).spawn().unwrap();
    let record = nets.root().join("half/testnet.json");
    awaited("the testnet is claimed", || record.exists().then_some(()));
    killed.kill().unwrap();
    assert_eq!(killed.wait().unwrap().signal(), Some(9));
    let text = fs::read_to_string(&record).unwrap();
    assert!(
        text.contains("\"starting\""),
        "it was quicker than the kill: {text}"
    );
    let again = nets.run("testnet up half");
    assert!(again.err.contains("was left half started"), "{again:?}");
    assert!(
        again.err.contains("`tumen testnet down half` removes"),
        "{again:?}"
    );
    nets.run("testnet down half").ok();
    assert!(!nets.root().join("half").exists());
    assert_eq!(nets.processes(), Vec::<i32>::new());
}

/// A demo whose output is read line by line.
struct Demo {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    said: Vec<String>,
}

impl Demo {
    fn start(nets: &Testnets, driver: &str) -> Self {
        let mut command = nets.command(&format!("demo -driver={driver}"));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        Self {
            child,
            lines: BufReader::new(out).lines(),
            said: Vec::new(),
        }
    }

    fn until(&mut self, text: &str) {
        for line in self.lines.by_ref() {
            self.said.push(line.unwrap());
            if self.said.last().unwrap().contains(text) {
                return;
            }
        }
        panic!("no `{text}` in {:#?}", self.said);
    }

    fn pages(&self) -> Vec<String> {
        let lines = self.said.iter().filter(|l| l.contains(" on c"));
        lines
            .filter_map(|l| l.split_whitespace().find(|w| w.starts_with("http://")))
            .map(str::to_owned)
            .collect()
    }
}

/// Runs the demo, visits its pages, ends it, and looks for what is left.
fn play(driver: &str) {
    let nets = Testnets::new();
    let mut demo = Demo::start(&nets, driver);
    demo.until("takes everything down");
    let pages = demo.pages();
    assert_eq!(pages.len(), 3, "{:#?}", demo.said);
    for (node, page) in pages.iter().enumerate() {
        let text = get(page).unwrap_or_else(|| panic!("no page at {page}"));
        assert!(text.contains("<b>1</b>"), "page {node}: {text}");
        assert!(text.contains("demo.web["), "{text}");
        assert!(get(&format!("{page}health")).is_some());
    }
    let status = nets.run("testnet status demo").ok();
    assert_eq!(status.matches("ready").count(), 3, "{status}");

    let beside = nets.run("demo");
    assert_eq!(beside.code, 1);
    let runs = format!("The demo runs already: process {}", demo.child.id());
    assert!(beside.err.contains(&runs), "{beside:?}");
    assert!(get(&pages[0]).unwrap().contains("<b>2</b>"));

    let pid = Pid::from_raw(i32::try_from(demo.child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    demo.until("Everything is down");
    assert_eq!(demo.child.wait().unwrap().code(), Some(0));
    assert!(get(&pages[0]).is_none());
    assert!(!nets.root().join("demo").exists());
    assert_eq!(nets.processes(), Vec::<i32>::new());
}

#[test]
fn the_demo_shows_its_pages_and_ends_wholly() {
    play("raw_exec");
}

#[test]
fn the_demo_runs_in_containers_of_this_very_program() {
    if !Path::new("/var/run/docker.sock").exists() {
        eprintln!("skipped: no Docker engine");
        return;
    }
    play("docker");
}

#[test]
fn a_demo_that_was_killed_is_cleared_away_by_the_next() {
    let nets = Testnets::new();
    let mut first = Demo::start(&nets, "raw_exec");
    first.until("takes everything down");
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    assert!(!nets.processes().is_empty());
    let mut second = Demo::start(&nets, "raw_exec");
    second.until("A demo before this one was killed");
    second.until("takes everything down");
    let pid = Pid::from_raw(i32::try_from(second.child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(second.child.wait().unwrap().code(), Some(0));
    assert_eq!(nets.processes(), Vec::<i32>::new());
}
