//! What runs a machine's tasks: the mock driver, which outlives the agent, under an oracle that
//! knows what runs and notes what must not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tumen::client::TaskPaths;
use tumen::client::driver::mock::MockDriver;
use tumen::client::driver::{
    Driver, DriverError, DriverFingerprint, EventSink, ExecRequest, ExitResult, StartError,
    TaskDirs, TaskHandle, TaskSpec,
};
use tumen::env::Env;
use tumen::model::AllocId;
use tumen::rpc::node::{ExecStream, TaskStats};

use crate::trace::Trace;

/// A task of an allocation.
pub type Key = (AllocId, String);

/// See the module.
pub struct Engine {
    machine: String,
    env: Env,
    trace: Trace,
    tasks: Mutex<Tasks>,
    /// Counts the changes of what runs, on all machines.
    changes: watch::Sender<u64>,
}

struct Tasks {
    mock: Arc<MockDriver>,
    /// What runs, with its host ports.
    running: BTreeMap<Key, Vec<u16>>,
    /// How often each task was started.
    starts: BTreeMap<Key, u32>,
}

impl Engine {
    pub fn new(machine: &str, env: Env, trace: Trace, changes: watch::Sender<u64>) -> Self {
        let tasks = Tasks {
            mock: Arc::new(mock(&env)),
            running: BTreeMap::new(),
            starts: BTreeMap::new(),
        };
        Self {
            machine: machine.to_owned(),
            env,
            trace,
            tasks: Mutex::new(tasks),
            changes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mock(&self) -> Arc<MockDriver> {
        self.lock().mock.clone()
    }

    /// All tasks are gone, as after a power cut.
    pub fn power_cut(&self) {
        let mut tasks = self.lock();
        tasks.mock = Arc::new(mock(&self.env));
        tasks.running.clear();
        self.changes.send_modify(|n| *n += 1);
    }

    /// What runs here.
    pub fn running(&self) -> Vec<Key> {
        self.lock().running.keys().cloned().collect()
    }

    /// How often a task was started here.
    pub fn starts(&self, alloc: AllocId, task: &str) -> u32 {
        let tasks = self.lock();
        tasks
            .starts
            .get(&(alloc, task.to_owned()))
            .copied()
            .unwrap_or(0)
    }

    fn began(&self, key: &Key, ports: Vec<u16>) {
        let mut tasks = self.lock();
        *tasks.starts.entry(key.clone()).or_default() += 1;
        for (other, theirs) in &tasks.running {
            if other.0 != key.0
                && let Some(port) = ports.iter().find(|p| theirs.contains(p))
            {
                let (us, them) = (key.0.short(), other.0.short());
                self.trace
                    .broken(&self.machine, format!("{us} and {them} have port {port}"));
            }
        }
        if tasks.running.insert(key.clone(), ports).is_some() {
            self.trace
                .broken(&self.machine, format!("{} runs twice", shown(key)));
        }
        self.trace
            .add(&self.machine, format!("task {} starts", shown(key)));
        self.changes.send_modify(|n| *n += 1);
    }

    fn ended(&self, handle: &TaskHandle, how: &str) {
        let key = (handle.alloc, handle.task.clone());
        if self.lock().running.remove(&key).is_some() {
            self.trace
                .add(&self.machine, format!("task {} {how}", shown(&key)));
            self.changes.send_modify(|n| *n += 1);
        }
    }
}

fn mock(env: &Env) -> MockDriver {
    MockDriver::new(
        env.clock.clone(),
        env.files.clone(),
        CancellationToken::new(),
    )
}

fn shown((alloc, task): &Key) -> String {
    format!("{}/{task}", alloc.short())
}

impl Driver for Engine {
    fn name(&self) -> &'static str {
        "mock_driver"
    }

    fn fingerprint(&self) -> BoxFuture<'_, DriverFingerprint> {
        async move { self.mock().fingerprint().await }.boxed()
    }

    fn paths(&self, dirs: &TaskDirs) -> TaskPaths {
        self.mock().paths(dirs)
    }

    fn start(
        &self,
        spec: TaskSpec,
        events: EventSink,
    ) -> BoxFuture<'_, Result<TaskHandle, StartError>> {
        async move {
            let key = (spec.alloc, spec.task.clone());
            let ports = spec.ports.iter().map(|p| p.host_port).collect();
            let handle = self.mock().start(spec, events).await?;
            self.began(&key, ports);
            Ok(handle)
        }
        .boxed()
    }

    fn recover<'a>(&'a self, handle: &'a TaskHandle) -> BoxFuture<'a, Result<(), DriverError>> {
        async move {
            let key = (handle.alloc, handle.task.clone());
            if !self.lock().running.contains_key(&key) {
                return Err(DriverError::NotFound(format!("{} is gone", shown(&key))));
            }
            self.mock().recover(handle).await
        }
        .boxed()
    }

    fn wait<'a>(&'a self, handle: &'a TaskHandle) -> BoxFuture<'a, ExitResult> {
        async move {
            let exit = self.mock().wait(handle).await;
            self.ended(handle, &format!("ends with {}", exit.exit_code));
            exit
        }
        .boxed()
    }

    fn stop<'a>(
        &'a self,
        handle: &'a TaskHandle,
        signal: &'a str,
        kill_timeout: Duration,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        async move {
            self.mock().stop(handle, signal, kill_timeout).await?;
            self.ended(handle, "is stopped");
            Ok(())
        }
        .boxed()
    }

    fn signal<'a>(
        &'a self,
        handle: &'a TaskHandle,
        signal: &'a str,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        async move { self.mock().signal(handle, signal).await }.boxed()
    }

    fn destroy<'a>(&'a self, handle: &'a TaskHandle) -> BoxFuture<'a, Result<(), DriverError>> {
        async move {
            self.mock().destroy(handle).await?;
            self.ended(handle, "is destroyed");
            Ok(())
        }
        .boxed()
    }

    fn stats<'a>(
        &'a self,
        handle: &'a TaskHandle,
    ) -> BoxFuture<'a, Result<TaskStats, DriverError>> {
        async move { self.mock().stats(handle).await }.boxed()
    }

    fn exec<'a>(
        &'a self,
        handle: &'a TaskHandle,
        request: ExecRequest,
    ) -> BoxFuture<'a, Result<ExecStream, DriverError>> {
        async move { self.mock().exec(handle, request).await }.boxed()
    }

    fn sweep<'a>(&'a self, live: &'a [TaskHandle]) -> BoxFuture<'a, Result<usize, DriverError>> {
        async move {
            let live: Vec<Key> = live.iter().map(|h| (h.alloc, h.task.clone())).collect();
            let mut tasks = self.lock();
            let before = tasks.running.len();
            tasks.running.retain(|key, _| live.contains(key));
            Ok(before - tasks.running.len())
        }
        .boxed()
    }

    /// The tasks outlive the agent.
    fn detach(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}
