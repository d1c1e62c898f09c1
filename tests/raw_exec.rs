//! `raw_exec` with the real program as its supervisor.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that panics fails"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tumen::client::driver::raw_exec::RawExecDriver;
use tumen::client::driver::{
    Driver, DriverError, EventSink, ExecRequest, TaskDirs, TaskHandle, TaskResources, TaskSpec,
};
use tumen::env::Env;
use tumen::model::driver_config::DriverConfig;
use tumen::model::job::LogConfig;
use tumen::model::{AllocId, ConfigValue};
use tumen::rpc::node::{ExecInput, ExecOutput};

const LIMIT: Duration = Duration::from_secs(30);

struct Fixture {
    driver: RawExecDriver,
    dir: tempfile::TempDir,
    env: Env,
}

impl Fixture {
    fn new() -> Self {
        let env = Env::real();
        Self {
            driver: driver(&env),
            dir: tempfile::tempdir().unwrap(),
            env,
        }
    }

    fn script(&self, script: &str) -> TaskSpec {
        let text = |t: &str| ConfigValue::String(t.to_string());
        let args = ConfigValue::List(vec![text("-c"), text(script)]);
        let options = [("command", text("/bin/sh")), ("args", args)];
        let options = options.map(|(k, v)| (k.to_string(), v));
        let config = ConfigValue::Map(options.to_vec());
        let dirs = TaskDirs::under(self.dir.path(), "web");
        for dir in [&dirs.logs(), &dirs.local, &dirs.secrets] {
            std::fs::create_dir_all(dir).unwrap();
        }
        TaskSpec {
            alloc: AllocId(uuid::Uuid::from_u128(7)),
            alloc_name: "example.cache[0]".to_string(),
            namespace: "default".to_string(),
            job_id: "example".to_string(),
            job_name: "example".to_string(),
            parent_job_id: String::new(),
            group: "cache".to_string(),
            task: "web".to_string(),
            config: DriverConfig::decode("raw_exec", &config).unwrap(),
            env: BTreeMap::from([("A".to_string(), "b c".to_string())]),
            resources: TaskResources::default(),
            ports: Vec::new(),
            dns: None,
            no_network: false,
            dirs,
            user: String::new(),
            kill_signal: String::new(),
            logs: LogConfig {
                max_files: 2,
                max_file_size_mb: 1,
                disabled: false,
            },
        }
    }

    async fn start(&self, script: &str) -> TaskHandle {
        let (events, _) = EventSink::new();
        let started = self.driver.start(self.script(script), events).await;
        started.unwrap()
    }

    fn log(&self, output: &str) -> String {
        let path: PathBuf = self.dir.path().join(format!("alloc/logs/web.{output}.0"));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    async fn log_has(&self, text: &str) {
        let deadline = Instant::now() + LIMIT;
        while !self.log("stdout").contains(text) {
            assert!(Instant::now() < deadline, "no {text:?} in the log");
            self.env.clock.sleep(Duration::from_millis(5)).await;
        }
    }
}

fn driver(env: &Env) -> RawExecDriver {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_tumen"));
    let token = CancellationToken::new();
    RawExecDriver::with_program(env.clock.clone(), 2000.0, token, program)
}

#[tokio::test]
async fn a_command_runs_writes_and_ends() {
    let f = Fixture::new();
    let handle = f.start("echo out $A; echo err >&2; pwd; exit 3").await;
    let exit = f.driver.wait(&handle).await;
    assert_eq!((exit.exit_code, exit.signal), (3, 0));
    let dir = f.dir.path().join("web").canonicalize().unwrap();
    assert_eq!(f.log("stdout"), format!("out b c\n{}\n", dir.display()));
    assert_eq!(f.log("stderr"), "err\n");
    f.driver.destroy(&handle).await.unwrap();
}

#[tokio::test]
async fn output_and_exit_code_outlive_the_agent() {
    let f = Fixture::new();
    let script = "echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; exit 9";
    let handle = f.start(script).await;
    f.log_has("one").await;
    f.driver.detach().await;

    let later = driver(&f.env);
    let handle = TaskHandle::decode(&handle.encode()).unwrap();
    later.recover(&handle).await.unwrap();
    std::fs::write(f.dir.path().join("web/go"), "").unwrap();
    assert_eq!(later.wait(&handle).await.exit_code, 9);
    assert_eq!(f.log("stdout"), "one\ntwo\n");

    let last = driver(&f.env);
    last.recover(&handle).await.unwrap();
    assert_eq!(last.wait(&handle).await.exit_code, 9);
}

#[tokio::test]
async fn a_stop_takes_the_whole_group() {
    let f = Fixture::new();
    let handle = f
        .start("trap 'echo got; exit 4' INT; sleep 1000 & echo $!; wait")
        .await;
    f.log_has("\n").await;
    f.driver.stop(&handle, "", LIMIT).await.unwrap();
    assert_eq!(f.driver.wait(&handle).await.exit_code, 4);
    let log = f.log("stdout");
    let (pid, rest) = log.split_once('\n').unwrap();
    assert_eq!(rest, "got\n");
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");

    let handle = f
        .start("trap '' INT; echo deaf; while :; do sleep 0.1; done")
        .await;
    f.log_has("deaf").await;
    let short = Duration::from_millis(200);
    f.driver.stop(&handle, "", short).await.unwrap();
    assert_eq!(f.driver.wait(&handle).await.signal, 9);
}

#[tokio::test]
async fn a_command_that_is_not_there_is_named() {
    let f = Fixture::new();
    let mut spec = f.script("");
    if let DriverConfig::RawExec(config) = &mut spec.config {
        config.command = "/no/such".to_string();
    }
    let (events, _) = EventSink::new();
    let error = f.driver.start(spec, events).await.unwrap_err();
    assert!(
        error
            .message
            .contains("failed to launch command \"/no/such\""),
        "{error}"
    );
}

#[tokio::test]
async fn a_second_start_ends_what_the_first_left() {
    let f = Fixture::new();
    let first = f.start("echo first; sleep 1000").await;
    f.log_has("first").await;
    let later = driver(&f.env);
    let (events, _) = EventSink::new();
    let spec = f.script("echo second; sleep 1000");
    let second = later.start(spec, events).await.unwrap();
    f.log_has("second").await;
    f.driver.wait(&first).await;
    assert!(later.stats(&second).await.unwrap().memory_rss.unwrap() > 0);
    later.destroy(&second).await.unwrap();
    let error = later.stats(&second).await.unwrap_err();
    assert!(matches!(error, DriverError::NotFound(_)));
}

#[tokio::test]
async fn commands_run_beside_it() {
    let f = Fixture::new();
    let handle = f.start("sleep 1000").await;
    let command = ["/bin/sh", "-c", "cat; echo $A; exit 6"].map(str::to_string);
    let request = ExecRequest {
        command: command.to_vec(),
        tty: false,
    };
    let mut stream = f.driver.exec(&handle, request).await.unwrap();
    stream
        .input
        .send(ExecInput::Stdin("in ".into()))
        .await
        .unwrap();
    stream.input.send(ExecInput::CloseStdin).await.unwrap();
    let mut text = String::new();
    let code = loop {
        match stream.output.recv().await.unwrap() {
            ExecOutput::Stdout(data) | ExecOutput::Stderr(data) => {
                text.push_str(std::str::from_utf8(&data).unwrap());
            }
            ExecOutput::Exited(code) => break code,
            ExecOutput::Failed(why) => panic!("{why}"),
        }
    };
    assert_eq!((text.as_str(), code), ("in b c\n", 6));
    f.driver.destroy(&handle).await.unwrap();
}
