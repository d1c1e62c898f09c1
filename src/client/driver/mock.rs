//! `mock_driver`: tasks that run nothing and behave as their options say.
//!
//! For tests, simulations and benches: it touches nothing but the clock and the allocation's
//! files, both through [`env`](crate::env), so it works on a paused clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::handle::MockRun;
use super::{
    Driver, DriverError, DriverFingerprint, DriverState, EventSink, ExecRequest, ExitResult,
    StartError, TaskDirs, TaskHandle, TaskSpec, signal,
};
use crate::client::logs::{Output, file_name};
use crate::client::taskenv::TaskPaths;
use crate::env::alloc_fs::Inside;
use crate::env::{AllocFs, Clock, TaskGroup};
use crate::model::driver_config::{DriverConfig, MockConfig};
use crate::rpc::node::{ExecOutput, ExecStream, TaskStats};

const NAME: &str = "mock_driver";
/// The most output waits for an exec's reader, of which there is one piece.
const EXEC_WAITING_MAX: usize = 4;

/// The driver of `mock_driver`.
pub struct MockDriver {
    clock: Arc<dyn Clock>,
    fs: Arc<dyn AllocFs>,
    writers: TaskGroup,
    tasks: Mutex<BTreeMap<Key, Arc<Running>>>,
}

/// Allocation, task and start: what tells one run from another.
type Key = (crate::model::AllocId, String, i64);

struct Running {
    run: MockRun,
    exit: watch::Sender<Option<ExitResult>>,
}

impl MockDriver {
    /// A driver whose tasks write through `fs`; `token` ends their writing.
    pub fn new(clock: Arc<dyn Clock>, fs: Arc<dyn AllocFs>, token: CancellationToken) -> Self {
        Self {
            clock,
            fs,
            writers: TaskGroup::new(token),
            tasks: Mutex::default(),
        }
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Arc<Running>>> {
        self.tasks
            .lock()
            .expect("no panic happens while the map is locked")
    }

    fn find(&self, handle: &TaskHandle) -> Result<Arc<Running>, DriverError> {
        let found = self.tasks().get(&key(handle)).cloned();
        found.ok_or_else(|| {
            DriverError::NotFound(format!("task {:?} does not run here", handle.task))
        })
    }

    fn insert(&self, handle: &TaskHandle, run: MockRun) {
        let running = Running {
            run,
            exit: watch::Sender::new(None),
        };
        self.tasks().insert(key(handle), Arc::new(running));
    }

    async fn begin(&self, spec: TaskSpec) -> Result<TaskHandle, StartError> {
        let DriverConfig::Mock(config) = &spec.config else {
            return Err(StartError::fatal(
                "these are not the options of a mock task",
            ));
        };
        if !config.start_block_for.is_zero() {
            self.clock.sleep(config.start_block_for).await;
        }
        if !config.start_error.is_empty() {
            return Err(StartError {
                recoverable: config.start_error_recoverable,
                message: config.start_error.clone(),
            });
        }
        let started_at = self.clock.wall();
        let run = plan(config, started_at);
        self.write_output(&spec, config).await?;
        let handle = TaskHandle {
            alloc: spec.alloc,
            task: spec.task.clone(),
            started_at,
            logs: spec.log_target(),
            state: DriverState::Mock {
                config: run.clone(),
            },
        };
        self.insert(&handle, run);
        Ok(handle)
    }

    /// Writes both outputs, repetitions in the background.
    async fn write_output(&self, spec: &TaskSpec, config: &MockConfig) -> Result<(), StartError> {
        let outputs = [
            (
                Output::Stdout,
                &config.stdout_string,
                config.stdout_repeat,
                config.stdout_repeat_duration,
            ),
            (
                Output::Stderr,
                &config.stderr_string,
                config.stderr_repeat,
                config.stderr_repeat_duration,
            ),
        ];
        for (output, text, repeat, every) in outputs {
            let path = format!("alloc/logs/{}", file_name(&spec.task, output, 0));
            let failed = |e| StartError::recoverable(format!("could not write {path}: {e}"));
            let file = Inside::new(spec.dirs.root.clone(), &path).map_err(failed)?;
            let written = self.fs.append(&file, text.as_bytes()).await;
            written.map_err(failed)?;
            if repeat > 0 && !text.is_empty() {
                self.repeat(file, text.clone(), repeat, every);
            }
        }
        Ok(())
    }

    fn repeat(&self, file: Inside, text: String, times: u32, every: Duration) {
        let (fs, clock) = (self.fs.clone(), self.clock.clone());
        let token = self.writers.token().clone();
        let write = async move {
            for _ in 0..times {
                tokio::select! {
                    biased;
                    () = token.cancelled() => return,
                    () = clock.sleep(every) => {}
                }
                if let Err(error) = fs.append(&file, text.as_bytes()).await {
                    tracing::warn!(target: "driver", %error, "a mock task could not write");
                    return;
                }
            }
        };
        if !self.writers.spawn("mock output", write) {
            tracing::debug!(target: "driver", "the agent ends: a mock task writes no more");
        }
    }

    async fn wait_for(&self, handle: &TaskHandle) -> ExitResult {
        let Ok(running) = self.find(handle) else {
            return ExitResult::unknown("the mock task is not known");
        };
        let mut exit = running.exit.subscribe();
        let ends_at = running.run.ends_at;
        loop {
            if let Some(exit) = exit.borrow_and_update().clone() {
                return exit;
            }
            let left = u64::try_from(ends_at.saturating_sub(self.clock.wall())).unwrap_or(0);
            if ends_at != 0 && left == 0 {
                running.end(natural_exit(&running.run));
                continue;
            }
            tokio::select! {
                biased;
                changed = exit.changed() => {
                    if changed.is_err() {
                        return ExitResult::unknown("the mock task was removed");
                    }
                }
                () = self.clock.sleep(Duration::from_nanos(left)), if ends_at != 0 => {}
            }
        }
    }

    async fn end(&self, handle: &TaskHandle, kill_timeout: Duration) -> Result<(), DriverError> {
        let running = self.find(handle)?;
        let needs = Duration::from_nanos(running.run.kill_after);
        let exit = if needs > kill_timeout {
            ExitResult {
                exit_code: 137,
                signal: 9,
                ..ExitResult::default()
            }
        } else {
            ExitResult::default()
        };
        tokio::select! {
            biased;
            _ = self.wait_for(handle) => {}
            () = self.clock.sleep(needs.min(kill_timeout)) => running.end(exit),
        }
        Ok(())
    }
}

impl Running {
    /// Sets the end unless there was one.
    fn end(&self, exit: ExitResult) {
        self.exit.send_if_modified(|now| {
            let first = now.is_none();
            if first {
                *now = Some(exit);
            }
            first
        });
    }
}

fn key(handle: &TaskHandle) -> Key {
    (handle.alloc, handle.task.clone(), handle.started_at)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn plan(config: &MockConfig, started_at: i64) -> MockRun {
    let run_for = config
        .run_for
        .map(|d| i64::try_from(nanos(d)).unwrap_or(i64::MAX));
    MockRun {
        ends_at: run_for.map_or(0, |d| started_at.saturating_add(d)),
        kill_after: nanos(config.kill_after),
        exit_code: config.exit_code,
        exit_signal: config.exit_signal,
        exit_err: config.exit_err_msg.clone(),
        signal_error: config.signal_error.clone(),
    }
}

fn natural_exit(run: &MockRun) -> ExitResult {
    ExitResult {
        exit_code: run.exit_code,
        signal: run.exit_signal,
        oom_killed: false,
        err: (!run.exit_err.is_empty()).then(|| run.exit_err.clone()),
    }
}

impl Driver for MockDriver {
    fn name(&self) -> &'static str {
        NAME
    }

    fn fingerprint(&self) -> BoxFuture<'_, DriverFingerprint> {
        let attributes = BTreeMap::from([("driver.mock_driver".to_string(), "1".to_string())]);
        std::future::ready(DriverFingerprint::healthy(attributes)).boxed()
    }

    fn paths(&self, dirs: &TaskDirs) -> TaskPaths {
        super::host_paths(dirs)
    }

    fn start(
        &self,
        spec: TaskSpec,
        _events: EventSink,
    ) -> BoxFuture<'_, Result<TaskHandle, StartError>> {
        self.begin(spec).boxed()
    }

    fn recover<'a>(&'a self, handle: &'a TaskHandle) -> BoxFuture<'a, Result<(), DriverError>> {
        async move {
            let DriverState::Mock { config } = &handle.state else {
                return Err(super::foreign(handle, NAME));
            };
            if self.find(handle).is_err() {
                self.insert(handle, config.clone());
            }
            Ok(())
        }
        .boxed()
    }

    fn wait<'a>(&'a self, handle: &'a TaskHandle) -> BoxFuture<'a, ExitResult> {
        self.wait_for(handle).boxed()
    }

    fn stop<'a>(
        &'a self,
        handle: &'a TaskHandle,
        _signal: &'a str,
        kill_timeout: Duration,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        self.end(handle, kill_timeout).boxed()
    }

    fn signal<'a>(
        &'a self,
        handle: &'a TaskHandle,
        signal: &'a str,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        async move {
            let running = self.find(handle)?;
            let number = signal::number(signal)
                .ok_or_else(|| DriverError::Invalid(format!("unknown signal {signal:?}")))?;
            if !running.run.signal_error.is_empty() {
                return Err(DriverError::Failed(running.run.signal_error.clone()));
            }
            if number == signal::KILL {
                running.end(ExitResult {
                    exit_code: 137,
                    signal: number,
                    ..ExitResult::default()
                });
            }
            Ok(())
        }
        .boxed()
    }

    fn destroy<'a>(&'a self, handle: &'a TaskHandle) -> BoxFuture<'a, Result<(), DriverError>> {
        async move {
            if let Some(running) = self.tasks().remove(&key(handle)) {
                running.end(ExitResult {
                    exit_code: 137,
                    signal: signal::KILL,
                    ..ExitResult::default()
                });
            }
            Ok(())
        }
        .boxed()
    }

    fn stats<'a>(
        &'a self,
        handle: &'a TaskHandle,
    ) -> BoxFuture<'a, Result<TaskStats, DriverError>> {
        async move {
            self.find(handle)?;
            Ok(TaskStats {
                time: crate::model::Timestamp(self.clock.wall()),
                ..TaskStats::default()
            })
        }
        .boxed()
    }

    /// Answers the command's words on one line and exits with code 0.
    fn exec<'a>(
        &'a self,
        handle: &'a TaskHandle,
        request: ExecRequest,
    ) -> BoxFuture<'a, Result<ExecStream, DriverError>> {
        async move {
            self.find(handle)?;
            let (input, _) = mpsc::channel(1);
            let (sender, output) = mpsc::channel(EXEC_WAITING_MAX);
            let line = request.command.join(" ") + "\n";
            for piece in [ExecOutput::Stdout(line.into()), ExecOutput::Exited(0)] {
                sender
                    .try_send(piece)
                    .expect("the channel is new and larger than what goes in");
            }
            Ok(ExecStream { input, output })
        }
        .boxed()
    }

    fn sweep<'a>(&'a self, live: &'a [TaskHandle]) -> BoxFuture<'a, Result<usize, DriverError>> {
        async move {
            let live: Vec<Key> = live.iter().map(key).collect();
            let mut tasks = self.tasks();
            let before = tasks.len();
            tasks.retain(|key, _| live.contains(key));
            Ok(before - tasks.len())
        }
        .boxed()
    }

    fn detach(&self) -> BoxFuture<'_, ()> {
        self.writers.shutdown().boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::driver::testing::spec;
    use crate::env::Env;
    use crate::env::sim::SimAllocFs;
    use crate::model::ConfigValue;

    struct Fixture {
        driver: MockDriver,
        clock: Arc<dyn Clock>,
        fs: Arc<dyn AllocFs>,
    }

    fn fixture() -> Fixture {
        let clock = Env::sim(7).clock;
        let fs: Arc<dyn AllocFs> = Arc::new(SimAllocFs::new(clock.clone()));
        let driver = MockDriver::new(clock.clone(), fs.clone(), CancellationToken::new());
        Fixture { driver, clock, fs }
    }

    fn task(options: &[(&str, ConfigValue)]) -> TaskSpec {
        let options = options.iter().map(|(k, v)| (k.to_string(), v.clone()));
        let config = ConfigValue::Map(options.collect());
        spec("/run/alloc1", DriverConfig::decode(NAME, &config).unwrap())
    }

    fn text(text: &str) -> ConfigValue {
        ConfigValue::String(text.to_string())
    }

    async fn start(f: &Fixture, options: &[(&str, ConfigValue)]) -> TaskHandle {
        let dir = Inside::new("/run/alloc1", "alloc/logs").unwrap();
        f.fs.create_dir_all(&dir, 0o755).await.unwrap();
        let (events, _) = EventSink::new();
        f.driver.start(task(options), events).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn it_runs_its_time_and_ends_as_told() {
        let f = fixture();
        let begin = f.clock.now();
        let handle = start(
            &f,
            &[("run_for", text("3s")), ("exit_code", ConfigValue::Int(4))],
        )
        .await;
        let exit = f.driver.wait(&handle).await;
        assert_eq!(exit.exit_code, 4);
        assert_eq!((f.clock.now() - begin).as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_takes_its_time_or_becomes_a_kill() {
        let f = fixture();
        let options = [("kill_after", text("2s"))];
        let handle = start(&f, &options).await;
        let limit = Duration::from_secs(5);
        f.driver.stop(&handle, "", limit).await.unwrap();
        assert_eq!(f.driver.wait(&handle).await, ExitResult::default());

        let handle = start(&f, &options).await;
        let limit = Duration::from_secs(1);
        f.driver.stop(&handle, "", limit).await.unwrap();
        assert_eq!(f.driver.wait(&handle).await.signal, 9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_start_says_what_it_was_told() {
        let f = fixture();
        let spec = task(&[
            ("start_error", text("no")),
            ("start_error_recoverable", ConfigValue::Bool(true)),
        ]);
        let (events, _) = EventSink::new();
        let error = f.driver.start(spec, events).await.unwrap_err();
        assert_eq!(error, StartError::recoverable("no"));
    }

    #[tokio::test(start_paused = true)]
    async fn another_driver_value_takes_it_up_where_it_was() {
        let f = fixture();
        let begin = f.clock.now();
        let handle = start(&f, &[("run_for", text("10s"))]).await;
        f.clock.sleep(Duration::from_secs(4)).await;
        let later = MockDriver::new(f.clock.clone(), f.fs.clone(), CancellationToken::new());
        later.recover(&handle).await.unwrap();
        assert!(later.wait(&handle).await.is_success());
        assert_eq!((f.clock.now() - begin).as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn its_output_is_in_the_log() {
        let f = fixture();
        let handle = start(
            &f,
            &[
                ("stdout_string", text("hi\n")),
                ("stdout_repeat", ConfigValue::Int(2)),
                ("stdout_repeat_duration", text("1s")),
                ("run_for", text("9s")),
            ],
        )
        .await;
        f.driver.wait(&handle).await;
        let file = Inside::new("/run/alloc1", "alloc/logs/web.stdout.0").unwrap();
        assert_eq!(f.fs.read(&file, 0, 100).await.unwrap(), b"hi\nhi\nhi\n");
    }
}
