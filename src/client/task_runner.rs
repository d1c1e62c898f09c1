//! The shell around one task's [`Machine`]: performs its effects and feeds back what came of
//! them.
//!
//! One task of the runtime per task of the allocation. In: [`TaskOrder`]s from the allocation's
//! runner (bounded; a full inbox means a runner that is gone, and orders are repeated by level).
//! Out: a [`TaskReport`] after every step, awaited, so that the journal never lags behind what
//! is shown.
//!
//! One operation is under way at a time: starting, waiting for the end, stopping, or the pause
//! before a restart. A container is removed before its end is judged, so that its last output is
//! in the log files and its name is free.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, pending};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::env::Env;
use crate::env::alloc_fs::{AllocFs, Inside};
use crate::model::driver_config::DriverConfig;
use crate::model::job::Task;
use crate::model::resources::NetworkMode;
use crate::model::{Allocation, Node, TaskEvent, Timestamp};

use super::driver::{
    Driver, DriverError, DriverEvent, EventSink, TaskDirs, TaskHandle, TaskPort, TaskResources,
    TaskSpec,
};
use super::journal::TaskRecord;
use super::machine::{Effect, Exit, Input, Machine};
use super::taskenv::TaskEnv;

/// What a task's runner is told.
#[derive(Debug)]
pub enum TaskCommand {
    /// An input of the machine.
    Input(Input),
    /// Somebody asked for a restart; the answer comes when the process has ended.
    Restart {
        reason: String,
        answer: oneshot::Sender<Result<(), String>>,
    },
    /// The allocation changed in place.
    Update(Arc<Allocation>),
    /// Send a signal to the process.
    Signal {
        signal: String,
        reason: String,
        answer: oneshot::Sender<Result<(), String>>,
    },
}

/// What a task's runner tells after each step.
#[derive(Debug)]
pub struct TaskReport {
    pub task: String,
    /// Boxed, as are commands: a channel keeps room for 32 of its messages.
    pub record: Box<TaskRecord>,
}

/// Everything that a task's runner needs.
pub struct TaskRunner {
    pub env: Env,
    pub fs: Arc<dyn AllocFs>,
    pub node: Arc<Node>,
    pub alloc: Arc<Allocation>,
    pub task: Task,
    pub dirs: TaskDirs,
    /// `None`: this node has no such driver.
    pub driver: Option<Arc<dyn Driver>>,
    pub max_kill_timeout: Duration,
    pub machine: Machine,
    pub handle: Option<TaskHandle>,
    /// Becomes true once the servers are known to want it.
    pub confirmed: watch::Receiver<bool>,
    pub commands: mpsc::Receiver<Box<TaskCommand>>,
    pub reports: mpsc::Sender<TaskReport>,
    /// The newest report.
    pub reported: Option<TaskRecord>,
    /// Who waits until the process that runs now has ended.
    pub restarting: Vec<oneshot::Sender<Result<(), String>>>,
}

/// What an operation came to.
struct Done {
    input: Input,
    /// The handle from now on.
    handle: Option<TaskHandle>,
}

/// How long to wait before asking again for a task that an engine cannot tell of.
const RECOVER_PAUSE: Duration = Duration::from_secs(1);

type Operation = BoxFuture<'static, Done>;

impl TaskRunner {
    /// Runs until the task is dead or `token` is cancelled; the latter leaves the process alone.
    pub async fn run(mut self, token: CancellationToken) {
        let (mut events, mut operation) = (None, idle());
        let mut start: Option<CancellationToken> = None;
        if let Some(handle) = self.handle.clone() {
            operation = self.recover(handle);
        }
        loop {
            let input = tokio::select! {
                biased;
                () = token.cancelled() => return,
                command = self.commands.recv() => match command {
                    Some(command) => match self.obey(*command).await {
                        Some(input) => input,
                        None => continue,
                    },
                    None => return,
                },
                () = is_true(&mut self.confirmed), if self.machine.is_held() => Input::Confirmed,
                Some(event) = next_event(&mut events) => Input::Note(self.driver_event(event)),
                done = &mut operation => {
                    self.handle = done.handle;
                    operation = idle();
                    done.input
                }
            };
            let running = matches!(input, Input::Started | Input::Reattached);
            let effect = self.step(input);
            if self.machine.is_killed() {
                start.take().inspect(CancellationToken::cancel);
            }
            self.answer_restarts();
            match effect {
                Effect::None if running => operation = self.wait(),
                Effect::None => {}
                Effect::Start => {
                    let (sink, receiver) = EventSink::new();
                    events = Some(receiver);
                    start = Some(sink.unwanted().clone());
                    operation = self.start(sink);
                }
                Effect::Stop => operation = self.stop(),
                Effect::Wait(pause) => {
                    let sleep = self.env.clock.sleep(pause);
                    operation = Box::pin(async move {
                        sleep.await;
                        Done {
                            input: Input::Elapsed,
                            handle: None,
                        }
                    });
                }
                Effect::Finish => {}
            }
            if self.report().await.is_err() || effect == Effect::Finish {
                return;
            }
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.env.clock.wall())
    }

    fn step(&mut self, input: Input) -> Effect {
        let random = self.env.entropy.u64() as f64 / u64::MAX as f64;
        self.machine.step(input, self.now(), random)
    }

    fn answer_restarts(&mut self) {
        if self.machine.is_stopping() {
            return;
        }
        for answer in self.restarting.drain(..) {
            // The one who asked may have gone away; what was asked is done all the same.
            answer.send(Ok(())).unwrap_or_default();
        }
    }

    /// Reports what changed. Orders come by level, so most change nothing: answering those
    /// would only call for the next.
    async fn report(&mut self) -> Result<(), mpsc::error::SendError<TaskReport>> {
        let record = TaskRecord {
            saved: self.machine.saved(),
            handle: self.handle.clone(),
        };
        if self.reported.as_ref() == Some(&record) {
            return Ok(());
        }
        self.reported = Some(record.clone());
        let task = self.task.name.clone();
        let record = Box::new(record);
        self.reports.send(TaskReport { task, record }).await
    }

    fn driver_event(&self, event: DriverEvent) -> TaskEvent {
        let mut shown = TaskEvent::new("Driver", self.now(), event.message);
        shown.details = event.details;
        shown
    }

    /// Turns a command into an input, or carries it out.
    async fn obey(&mut self, command: TaskCommand) -> Option<Input> {
        match command {
            TaskCommand::Input(input) => Some(input),
            TaskCommand::Restart { reason, answer } => {
                self.restarting.push(answer);
                Some(Input::Restart { reason })
            }
            TaskCommand::Update(alloc) => {
                if let Some(task) = alloc.task_group().and_then(|g| g.task(&self.task.name)) {
                    self.task = task.clone();
                    let timeout = self.task.kill_timeout.min(self.max_kill_timeout);
                    self.machine.set_policy(self.task.restart, timeout);
                }
                self.alloc = alloc;
                None
            }
            TaskCommand::Signal {
                signal,
                reason,
                answer,
            } => {
                let sent = match (&self.driver, &self.handle) {
                    (Some(driver), Some(handle)) => driver
                        .signal(handle, &signal)
                        .await
                        .map_err(|e| e.to_string()),
                    (None | Some(_), None | Some(_)) => Err("Task not running".to_string()),
                };
                let event = sent.is_ok().then(|| {
                    TaskEvent::new("Signaling", self.now(), "Task being sent a signal")
                        .with("task_signal", &signal)
                        .with("task_signal_reason", reason)
                });
                // Whoever asked may have gone away; the signal was sent all the same.
                answer.send(sent).unwrap_or_default();
                event.map(Input::Note)
            }
        }
    }

    fn recover(&self, handle: TaskHandle) -> Operation {
        let Some(driver) = self.driver.clone() else {
            return self.no_driver();
        };
        let clock = self.env.clock.clone();
        Box::pin(async move {
            loop {
                match driver.recover(&handle).await {
                    Ok(()) => {
                        return Done {
                            input: Input::Reattached,
                            handle: Some(handle),
                        };
                    }
                    Err(DriverError::Failed(reason)) => {
                        // The engine may be away: whether the process lives is not known, and a
                        // second one must not be started beside it.
                        tracing::warn!(
                            target: "client.task_runner", task = %handle.task, %reason,
                            "cannot look for the task yet"
                        );
                        clock.sleep(RECOVER_PAUSE).await;
                    }
                    Err(gone) => {
                        let message = gone.to_string();
                        return Done {
                            input: Input::NotFound { message },
                            handle: None,
                        };
                    }
                }
            }
        })
    }

    fn wait(&self) -> Operation {
        let (Some(driver), Some(handle)) = (self.driver.clone(), self.handle.clone()) else {
            return idle();
        };
        Box::pin(async move { ended(&*driver, handle).await })
    }

    fn stop(&self) -> Operation {
        let (Some(driver), Some(handle)) = (self.driver.clone(), self.handle.clone()) else {
            return idle();
        };
        let signal = self.task.kill_signal.clone();
        let timeout = self.task.kill_timeout.min(self.max_kill_timeout);
        Box::pin(async move {
            if let Err(error) = driver.stop(&handle, &signal, timeout).await {
                tracing::error!(
                    target: "client.task_runner", alloc_id = %handle.alloc, task = %handle.task,
                    %error, "could not stop the task; removing it"
                );
                remove(&*driver, &handle).await;
            }
            ended(&*driver, handle).await
        })
    }

    fn no_driver(&self) -> Operation {
        let message = format!("this node has no driver `{}`", self.task.driver);
        let input = Input::StartFailed {
            kind: "Driver Failure",
            message,
            recoverable: false,
        };
        Box::pin(async move {
            Done {
                input,
                handle: None,
            }
        })
    }

    fn start(&self, events: EventSink) -> Operation {
        let Some(driver) = self.driver.clone() else {
            return self.no_driver();
        };
        let (fs, dirs, spec) = (self.fs.clone(), self.dirs.clone(), self.spec(&*driver));
        Box::pin(async move {
            let spec = match spec {
                Ok(spec) => spec,
                Err(message) => return failed("Failed Validation", message, false),
            };
            if let Err(message) = make_dirs(&*fs, &dirs).await {
                return failed("Setup Failure", message, true);
            }
            match driver.start(spec, events).await {
                Ok(handle) => Done {
                    input: Input::Started,
                    handle: Some(handle),
                },
                Err(error) => failed("Driver Failure", error.message, error.recoverable),
            }
        })
    }

    /// Works out what the driver is told.
    fn spec(&self, driver: &dyn Driver) -> Result<TaskSpec, String> {
        let group = self
            .alloc
            .task_group()
            .ok_or("the allocation's group is not in its job")?;
        let paths = driver.paths(&self.dirs);
        let build = |inner: &BTreeMap<String, u16>| {
            TaskEnv::build(&self.alloc, group, &self.task, &self.node, &paths, inner)
        };
        let plain = build(&BTreeMap::new()).interpolate_value(&self.task.config);
        let config = DriverConfig::decode(&self.task.driver, &plain).map_err(|m| m.join("\n"))?;
        let env = build(&DriverConfig::inner_ports(&self.task.driver, &plain));
        let network = group.networks.first();
        let ports = self.alloc.resources.ports.iter();
        let own = ports.filter(|p| p.task.as_ref().is_none_or(|t| *t == self.task.name));
        Ok(TaskSpec {
            alloc: self.alloc.id,
            alloc_name: self.alloc.name.clone(),
            namespace: self.alloc.namespace.to_string(),
            job_id: self.alloc.job_id.to_string(),
            job_name: self.alloc.job.spec.name.clone(),
            parent_job_id: String::new(),
            group: self.alloc.group.clone(),
            task: self.task.name.clone(),
            user: env.interpolate(&self.task.user),
            env: env.vars,
            config,
            resources: TaskResources {
                cpu_mhz: self.task.resources.cpu_mhz,
                memory_mb: self.task.resources.memory_mb,
                memory_max_mb: self.task.resources.memory_max_mb,
            },
            ports: own
                .map(|p| TaskPort {
                    label: p.label.clone(),
                    host_ip: p.host_ip.clone(),
                    host_port: p.value,
                    to: p.to,
                    legacy: p.task.is_some(),
                })
                .collect(),
            dns: network.and_then(|n| n.dns.clone()),
            no_network: network.is_some_and(|n| n.mode == NetworkMode::None),
            dirs: self.dirs.clone(),
            kill_signal: self.task.kill_signal.clone(),
            logs: self.task.logs,
        })
    }
}

/// Waits until it is true; a sender that is gone is a runner that ends this task anyway.
async fn is_true(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|is| *is).await.is_err() {
        pending().await
    }
}

fn idle() -> Operation {
    Box::pin(pending())
}

fn failed(kind: &'static str, message: String, recoverable: bool) -> Done {
    Done {
        input: Input::StartFailed {
            kind,
            message,
            recoverable,
        },
        handle: None,
    }
}

/// Waits for the end and removes what is left.
async fn ended(driver: &dyn Driver, handle: TaskHandle) -> Done {
    let result = driver.wait(&handle).await;
    remove(driver, &handle).await;
    let exit = Exit {
        code: result.exit_code,
        signal: result.signal,
        oom_killed: result.oom_killed,
        message: result.err.unwrap_or_default(),
    };
    Done {
        input: Input::Exited(exit),
        handle: None,
    }
}

async fn remove(driver: &dyn Driver, handle: &TaskHandle) {
    if let Err(error) = driver.destroy(handle).await {
        tracing::warn!(
            target: "client.task_runner", alloc_id = %handle.alloc, task = %handle.task, %error,
            "could not remove what is left of the task"
        );
    }
}

async fn next_event(events: &mut Option<mpsc::Receiver<DriverEvent>>) -> Option<DriverEvent> {
    match events {
        Some(receiver) => receiver.recv().await,
        None => None,
    }
}

/// The directories that every task sees. Those that processes of any user write to are open to
/// all; what is above them is not, so they are out of reach from outside.
async fn make_dirs(fs: &dyn AllocFs, dirs: &TaskDirs) -> Result<(), String> {
    let task = dirs
        .task
        .strip_prefix(&dirs.root)
        .unwrap_or(&dirs.task)
        .display()
        .to_string();
    let wanted = [
        ("alloc".to_string(), 0o755),
        ("alloc/logs".to_string(), 0o777),
        ("alloc/data".to_string(), 0o777),
        ("alloc/tmp".to_string(), 0o777),
        (task.clone(), 0o777),
        (format!("{task}/local"), 0o777),
        (format!("{task}/secrets"), 0o777),
        (format!("{task}/tmp"), 0o777),
    ];
    for (path, mode) in wanted {
        let inside = Inside::new(&dirs.root, &path).map_err(|e| e.to_string())?;
        let made = fs.create_dir_all(&inside, mode).await;
        made.map_err(|e| format!("could not make the directory `{path}`: {}", chain(&e)))?;
    }
    Ok(())
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
