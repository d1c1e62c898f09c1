//! Against a real engine. Without one these tests skip with a notice; with `CI=true` they fail.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use super::*;
use crate::client::driver::testing::{config, spec};
use crate::env::Env;
use crate::rpc::node::{ExecInput, ExecOutput};

/// A driver with a state directory and an allocation of its own. Its containers go with it.
struct Fixture {
    driver: DockerDriver,
    dir: tempfile::TempDir,
    node: NodeFacts,
    env: Env,
}

const LIMIT: Duration = Duration::from_secs(60);

impl Fixture {
    /// `None`: there is no engine.
    async fn new() -> Option<Self> {
        Self::with(DockerOptions::default()).await
    }

    async fn with(options: DockerOptions) -> Option<Self> {
        let env = Env::real();
        let dir = tempfile::tempdir().unwrap();
        let node = NodeFacts {
            id: crate::model::NodeId(uuid::Uuid::from_u128(rand::random())),
            ..crate::client::driver::testing::facts(dir.path())
        };
        let token = CancellationToken::new();
        let driver = DockerDriver::new(env.clock.clone(), options, node.clone(), token).unwrap();
        let found = driver.fingerprint().await;
        if !found.healthy {
            let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!ci, "there must be an engine here: {}", found.description);
            eprintln!("skipped: {}", found.description);
            return None;
        }
        make_images();
        Some(Self {
            driver,
            dir,
            node,
            env,
        })
    }

    /// The same node after a restart of its agent.
    fn again(&self) -> DockerDriver {
        let (clock, options) = (self.env.clock.clone(), self.driver.inner.options.clone());
        DockerDriver::new(clock, options, self.node.clone(), CancellationToken::new()).unwrap()
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("alloc1")
    }

    fn task(&self, json: &str) -> TaskSpec {
        let spec = spec(self.root(), config(NAME, json));
        for dir in [
            spec.dirs.logs(),
            spec.dirs.local.clone(),
            spec.dirs.secrets.clone(),
        ] {
            std::fs::create_dir_all(dir).unwrap();
        }
        spec
    }

    /// A task that runs a script in busybox.
    fn script(&self, script: &str) -> TaskSpec {
        let json = serde_json::json!({
            "image": "local/busybox:1", "command": "sh", "args": ["-c", script]
        });
        self.task(&json.to_string())
    }

    async fn start(&self, spec: TaskSpec) -> TaskHandle {
        let (events, _) = EventSink::new();
        self.driver.start(spec, events).await.unwrap()
    }

    async fn ended(&self, handle: &TaskHandle) -> ExitResult {
        let wait = self.driver.wait(handle);
        timeout(&*self.env.clock, LIMIT, wait).await.unwrap()
    }

    fn log(&self, output: &str) -> String {
        let path = self.root().join(format!("alloc/logs/web.{output}.0"));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// Waits until the log holds a text.
    async fn log_has(&self, text: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let log = self.log("stdout");
            if log.contains(text) {
                return log;
            }
            assert!(Instant::now() < deadline, "no {text:?} in {log:?}");
            tokio::task::yield_now().await;
            self.env.clock.sleep(Duration::from_millis(10)).await;
        }
    }

    /// Removes every container of this node.
    async fn clean(self) {
        self.driver.detach().await;
        self.again().sweep(&[]).await.unwrap();
    }
}

/// Makes the images that the tests run, once.
fn make_images() {
    static MADE: std::sync::Once = std::sync::Once::new();
    MADE.call_once(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images.sh");
        let made = std::process::Command::new("bash")
            .arg(script)
            .status()
            .unwrap();
        assert!(made.success(), "could not make the test images");
    });
}

macro_rules! fixture {
    () => {
        match Fixture::new().await {
            Some(fixture) => fixture,
            None => return,
        }
    };
}

async fn run(f: &Fixture, handle: &TaskHandle, command: &[&str], stdin: &str) -> (String, i32) {
    let request = ExecRequest {
        command: command.iter().map(|c| (*c).to_string()).collect(),
        tty: false,
    };
    let mut stream = f.driver.exec(handle, request).await.unwrap();
    let data = bytes::Bytes::copy_from_slice(stdin.as_bytes());
    stream.input.send(ExecInput::Stdin(data)).await.unwrap();
    stream.input.send(ExecInput::CloseStdin).await.unwrap();
    let mut text = String::new();
    loop {
        match stream.output.recv().await.unwrap() {
            ExecOutput::Stdout(data) | ExecOutput::Stderr(data) => {
                text.push_str(std::str::from_utf8(&data).unwrap());
            }
            ExecOutput::Exited(code) => return (text, code),
            ExecOutput::Failed(why) => panic!("{why}"),
        }
    }
}

#[tokio::test]
async fn a_task_runs_writes_and_ends() {
    let f = fixture!();
    let mut spec = f.script("echo out $A; echo err >&2; echo kept > /local/file; exit 3");
    spec.env = BTreeMap::from([("A".to_string(), "b c".to_string())]);
    let handle = f.start(spec).await;
    let exit = f.ended(&handle).await;
    assert_eq!(
        (exit.exit_code, exit.signal, exit.oom_killed),
        (3, 0, false)
    );
    f.driver.destroy(&handle).await.unwrap();
    assert_eq!(
        (f.log("stdout"), f.log("stderr")),
        ("out b c\n".into(), "err\n".into())
    );
    let kept = std::fs::read_to_string(f.root().join("web/local/file")).unwrap();
    assert_eq!(kept, "kept\n");
    let gone = Inspect::of(&f.driver.inner.engine, container_of(&handle).unwrap().0).await;
    assert!(gone.unwrap_err().is_status(404));
    f.clean().await;
}

/// The agent goes and comes while the task writes: each line is in the log once.
#[tokio::test]
async fn a_restart_of_the_agent_leaves_no_hole_in_the_log() {
    let f = fixture!();
    let script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); \
                  [ $((i % 100)) = 0 ] && sleep 0.05; done; echo end";
    let handle = f.start(f.script(script)).await;
    let engine = f.driver.inner.engine.clone();
    let started = |engine: Engine, handle: TaskHandle| async move {
        let (container, ..) = container_of(&handle).unwrap();
        Inspect::of(&engine, container)
            .await
            .unwrap()
            .state
            .started_at
    };
    f.log_has("line 200\n").await;
    let mut driver = f.again();
    let before = started(driver.inner.engine.clone(), handle.clone()).await;
    f.driver.detach().await;
    drop(engine);
    for mark in ["line 800\n", "line 1900\n"] {
        driver.recover(&handle).await.unwrap();
        f.log_has(mark).await;
        driver.detach().await;
        driver = f.again();
    }
    driver.recover(&handle).await.unwrap();
    let exit = timeout(&*f.env.clock, LIMIT, driver.wait(&handle))
        .await
        .unwrap();
    assert!(exit.is_success());
    assert_eq!(
        started(driver.inner.engine.clone(), handle.clone()).await,
        before
    );
    driver.destroy(&handle).await.unwrap();
    let expected: String = (0..3000).map(|i| format!("line {i}\n")).collect();
    assert!(
        f.log("stdout") == expected + "end\n",
        "the log has a hole or a repetition"
    );
    f.clean().await;
}

#[tokio::test]
async fn a_task_beyond_its_memory_is_killed_and_that_is_said() {
    let f = fixture!();
    let mut spec = f.script("x=a; while true; do x=$x$x; done");
    spec.resources.memory_mb = 16;
    let handle = f.start(spec).await;
    let exit = f.ended(&handle).await;
    assert!(exit.oom_killed, "{exit:?}");
    assert_eq!(exit.err.as_deref(), Some("OOM Killed"));
    f.clean().await;
}

#[tokio::test]
async fn a_stop_signals_waits_and_kills() {
    let f = fixture!();
    let script = "trap 'echo got it; exit 7' USR1; echo ready; while true; do sleep 0.1; done";
    let handle = f.start(f.script(script)).await;
    f.log_has("ready").await;
    f.driver.stop(&handle, "SIGUSR1", LIMIT).await.unwrap();
    assert_eq!(f.ended(&handle).await.exit_code, 7);
    f.driver.destroy(&handle).await.unwrap();
    assert!(f.log("stdout").ends_with("got it\n"));

    let script = "trap '' TERM; echo deaf; while true; do sleep 0.1; done";
    let handle = f.start(f.script(script)).await;
    f.log_has("deaf").await;
    f.driver
        .stop(&handle, "", Duration::from_secs(1))
        .await
        .unwrap();
    assert_eq!(f.ended(&handle).await.exit_code, 137);
    f.driver
        .stop(&handle, "", Duration::from_secs(1))
        .await
        .unwrap();
    f.clean().await;
}

#[tokio::test]
async fn a_kill_from_outside_is_noticed_at_once() {
    let f = fixture!();
    let handle = f.start(f.script("sleep 1000")).await;
    let (container, ..) = container_of(&handle).unwrap();
    f.driver.inner.kill(container, "SIGKILL").await.unwrap();
    let soon = timeout(
        &*f.env.clock,
        Duration::from_secs(5),
        f.driver.wait(&handle),
    )
    .await;
    assert_eq!(
        soon.unwrap().err.unwrap(),
        "Docker container exited with non-zero exit code: 137"
    );
    f.clean().await;
}

#[tokio::test]
async fn commands_run_inside_with_their_codes() {
    let f = fixture!();
    let handle = f.start(f.script("sleep 1000")).await;
    let echo = run(&f, &handle, &["sh", "-c", "cat; echo e >&2; exit 5"], "in").await;
    assert_eq!(echo.1, 5);
    assert!(echo.0.contains("in") && echo.0.contains("e\n"), "{echo:?}");
    let missing = run(&f, &handle, &["nosuch"], "").await;
    assert_eq!(missing.1, 126);
    assert!(missing.0.contains("executable file not found"));

    let request = ExecRequest {
        command: vec!["sh".to_string()],
        tty: true,
    };
    let mut stream = f.driver.exec(&handle, request).await.unwrap();
    let resize = ExecInput::Resize {
        width: 111,
        height: 33,
    };
    stream.input.send(resize).await.unwrap();
    let typed = ExecInput::Stdin("stty size; exit 4\n".into());
    stream.input.send(typed).await.unwrap();
    let mut screen = String::new();
    let code = loop {
        match stream.output.recv().await.unwrap() {
            ExecOutput::Stdout(data) | ExecOutput::Stderr(data) => {
                screen.push_str(&String::from_utf8_lossy(&data));
            }
            ExecOutput::Exited(code) => break code,
            ExecOutput::Failed(why) => panic!("{why}"),
        }
    };
    assert_eq!(code, 4);
    assert!(screen.contains("33 111"), "{screen:?}");
    f.clean().await;
}

#[tokio::test]
async fn figures_come_with_the_task() {
    let f = fixture!();
    let handle = f.start(f.script("while true; do :; done")).await;
    let stats = f.driver.stats(&handle).await.unwrap();
    assert!(stats.memory_usage.unwrap() > 0);
    assert!(stats.cpu_percent.unwrap() > 1.0, "{stats:?}");
    f.clean().await;
}

#[tokio::test]
async fn a_missing_image_is_told_in_words() {
    let f = fixture!();
    // Port 1 refuses every connection, so no registry is needed.
    let spec = f.task(r#"{"image": "127.0.0.1:1/missing:1"}"#);
    let (events, mut told) = EventSink::new();
    let error = f.driver.start(spec, events).await.unwrap_err();
    assert!(error.recoverable);
    let start = "Failed to pull `127.0.0.1:1/missing:1`: Error response from daemon: ";
    assert!(error.message.starts_with(start), "{error}");
    assert!(
        error
            .message
            .contains("registry 127.0.0.1:1 cannot be reached"),
        "{error}"
    );
    assert_eq!(told.recv().await.unwrap().message, "Downloading image");
    f.clean().await;
}

#[tokio::test]
async fn a_command_that_is_not_there_leaves_no_container() {
    let f = fixture!();
    let (events, _) = EventSink::new();
    let spec = f.task(r#"{"image": "local/busybox:1", "command": "/nosuch"}"#);
    let error = f.driver.start(spec, events).await.unwrap_err();
    assert!(
        error.message.contains("no such file or directory"),
        "{error}"
    );
    let id = f.node.id.to_string();
    let left = inspect::labelled(&f.driver.inner.engine, labels::NODE, &id).await;
    assert!(left.unwrap().is_empty());
    f.clean().await;
}

#[tokio::test]
async fn a_taken_name_is_adopted_freed_or_refused() {
    let f = fixture!();
    let spec = f.script("sleep 1000");
    let first = f.start(spec.clone()).await;
    // An agent that died before its journal knew: its successor starts the same task.
    let later = f.again();
    let (events, _) = EventSink::new();
    let same = later.start(spec.clone(), events).await.unwrap();
    assert_eq!(same.state, first.state);

    // One that ended gives its name back.
    let (container, ..) = container_of(&same).unwrap();
    later.inner.kill(container, "SIGKILL").await.unwrap();
    later.wait(&same).await;
    let (events, _) = EventSink::new();
    let next = later.start(spec.clone(), events).await.unwrap();
    assert_ne!(next.state, first.state);

    // Another node's stays.
    let stranger = Fixture::new().await.unwrap();
    let (events, _) = EventSink::new();
    let error = stranger.driver.start(spec, events).await.unwrap_err();
    assert!(
        !error.recoverable && error.message.contains("is taken by a container"),
        "{error}"
    );
    assert_eq!(stranger.driver.sweep(&[]).await.unwrap(), 0);
    let (container, ..) = container_of(&next).unwrap();
    assert!(
        Inspect::of(&later.inner.engine, container)
            .await
            .unwrap()
            .state
            .running
    );
    later.detach().await;
    stranger.clean().await;
    f.clean().await;
}

#[tokio::test]
async fn a_sweep_spares_what_lives() {
    let f = fixture!();
    let live = f.start(f.script("sleep 1000")).await;
    let lost = f.start(f.script("sleep 1000")).await;
    let later = f.again();
    assert_eq!(later.sweep(std::slice::from_ref(&live)).await.unwrap(), 1);
    later.recover(&live).await.unwrap();
    let error = later.recover(&lost).await.unwrap_err();
    assert!(matches!(error, DriverError::NotFound(_)), "{error}");
    later.detach().await;
    f.clean().await;
}
