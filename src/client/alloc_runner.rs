//! One allocation on this node, from its first task to its last.
//!
//! select → apply → settle: waiting yields one [`Event`]; `apply` notes it; `settle` then
//! restores by level what should be true: which tasks run (see [`Situation`]), what is
//! registered, what is checked, what the journal and the servers know.
//!
//! Tasks: the runner itself, one [`TaskRunner`] per begun task, one loop per health check. All
//! are joined before the runner ends. Inboxes hold [`INBOX`] messages; the client, which
//! serves many allocations, uses `try_send` and repeats by level.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::env::alloc_fs::AllocFs;
use crate::env::{Env, TaskGroup as Tasks};
use crate::model::job::TaskGroup;
use crate::model::{
    AllocClientStatus, AllocUpdate, Allocation, Node, ServiceRegistration, TaskEvent, TaskPhase,
    TaskState, Timestamp,
};
use crate::rpc::node::{CheckResult, CheckStatus};

use super::checks;
use super::driver::{Drivers, TaskDirs, TaskHandle};
use super::health::{HealthRule, HealthTracker, Signs, Verdict};
use super::journal::{Journal, Record, TaskRecord};
use super::lifecycle::{Reason, Situation, TaskOrder};
use super::machine::{Input, Machine};
use super::reporter::Reporter;
use super::services::{self, CheckTarget};
use super::task_runner::{TaskCommand, TaskReport, TaskRunner};
use super::taskenv::{TaskEnv, TaskPaths};

/// How many messages wait in an inbox before its sender waits or is told "busy".
pub const INBOX: usize = 64;
/// How soon a check that does not pass yet is looked at again, at first.
const CHECK_RETRY: Duration = Duration::from_millis(250);

/// What every runner of this client shares.
#[derive(Clone)]
pub struct Shared {
    pub env: Env,
    pub fs: Arc<dyn AllocFs>,
    pub drivers: Arc<Drivers>,
    pub journal: Journal,
    pub reporter: Reporter,
    pub alloc_dir: std::path::PathBuf,
    pub max_kill_timeout: Duration,
    /// The node as it is now.
    pub node: watch::Receiver<Arc<Node>>,
}

/// What a runner is told.
#[derive(Debug)]
pub enum Order {
    /// The servers' newest word.
    Update(Arc<Allocation>),
    /// The servers' first answer since the agent came back has it still.
    Confirm,
    /// End it whatever the servers say: it is forgotten, or the agent removes what it started.
    Stop,
    /// `task` `None`: all that run; with `all` those that ended too.
    Restart {
        task: Option<String>,
        all: bool,
        answer: Answer,
    },
    /// `task` `None`: all that run.
    Signal {
        task: Option<String>,
        signal: String,
        answer: Answer,
    },
}

/// Where a request is answered.
pub type Answer = oneshot::Sender<Result<(), String>>;

/// What others see of a runner.
#[derive(Clone, Debug)]
pub struct View {
    pub alloc: Arc<Allocation>,
    pub states: BTreeMap<String, TaskState>,
    pub handles: BTreeMap<String, TaskHandle>,
    pub checks: Vec<CheckResult>,
    /// Whether every task is dead and nothing will start any more.
    pub over: bool,
}

/// What can happen to a runner.
enum Event {
    Order(Order),
    Task(TaskReport),
    Check(usize, CheckResult),
    /// The predecessors on this node are gone.
    Free,
    /// A deadline passed; `settle` finds out which.
    Time,
}

/// One allocation.
pub struct AllocRunner {
    shared: Shared,
    record: Record,
    commands: BTreeMap<String, mpsc::Sender<Box<TaskCommand>>>,
    tasks: Tasks,
    reports: (mpsc::Sender<TaskReport>, mpsc::Receiver<TaskReport>),
    check_loops: Option<CheckLoops>,
    health: Option<HealthTracker>,
    registered: Option<Vec<ServiceRegistration>>,
    /// When the tasks of an allocation that is to stop are ended: after its shutdown delay.
    stop_at: Option<Timestamp>,
    may_start: bool,
    /// Whether the servers are known to want it; tasks that do not run wait for that.
    confirmed: (bool, watch::Sender<bool>),
    view: watch::Sender<View>,
    last_update: Option<AllocUpdate>,
    wake_at: Option<Timestamp>,
}

/// The running checks and what they found.
struct CheckLoops {
    tasks: Tasks,
    results: Vec<CheckResult>,
    failures: Vec<u32>,
    targets: Vec<CheckTarget>,
    inbox: mpsc::Receiver<(usize, CheckResult)>,
    since: Timestamp,
}

impl AllocRunner {
    /// A runner for a new allocation, or for one found in the journal, which the servers have
    /// not `confirmed` yet.
    pub fn new(
        shared: Shared,
        record: Record,
        confirmed: bool,
        token: CancellationToken,
    ) -> (Self, watch::Receiver<View>) {
        let (view, seen) = watch::channel(View {
            alloc: record.alloc.clone(),
            states: states_of(&record),
            handles: handles_of(&record),
            checks: Vec::new(),
            over: false,
        });
        let runner = Self {
            tasks: Tasks::new(token),
            shared,
            record,
            commands: BTreeMap::new(),
            reports: mpsc::channel(INBOX),
            check_loops: None,
            health: None,
            registered: None,
            stop_at: None,
            may_start: false,
            confirmed: (confirmed, watch::Sender::new(confirmed)),
            view,
            last_update: None,
            wake_at: None,
        };
        (runner, seen)
    }

    /// Runs until the allocation is over, or until the token is cancelled; the latter leaves
    /// its processes alone. `free` completes once the predecessors' resources are free.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>, free: impl Future<Output = ()>) {
        self.resume();
        let token = self.tasks.token().clone();
        tokio::pin!(free);
        loop {
            self.settle().await;
            if self.view.borrow().over {
                break;
            }
            let wake = self.wake_at.map(|at| self.sleep_until(at));
            let event = tokio::select! {
                biased;
                () = token.cancelled() => break,
                Some(order) = orders.recv() => Event::Order(order),
                Some(report) = self.reports.1.recv() => Event::Task(report),
                Some((at, result)) = next_check(&mut self.check_loops) => Event::Check(at, result),
                () = &mut free, if !self.may_start => Event::Free,
                () = async { wake.expect("guarded").await }, if wake.is_some() => Event::Time,
            };
            self.apply(event).await;
        }
        self.stop_checks().await;
        self.tasks.shutdown().await;
        self.answer_late(&mut orders);
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.shared.env.clock.wall())
    }

    fn sleep_until(&self, at: Timestamp) -> futures_util::future::BoxFuture<'static, ()> {
        self.shared.env.clock.sleep(at.since(self.now()))
    }

    fn group(&self) -> &TaskGroup {
        self.record
            .alloc
            .task_group()
            .expect("an allocation without its group is never started")
    }

    /// Takes up the tasks that were begun before the agent's restart.
    fn resume(&mut self) {
        let begun: Vec<_> = self.record.tasks.keys().cloned().collect();
        self.may_start = !begun.is_empty();
        for name in begun {
            let dead = self.record.tasks[&name].saved.state.phase == TaskPhase::Dead;
            let has_handle = self.record.tasks[&name].handle.is_some();
            if !dead && self.spawn_task(&name) && !has_handle {
                self.send(&name, TaskCommand::Input(Input::Begin));
            }
        }
    }

    async fn apply(&mut self, event: Event) {
        match event {
            Event::Order(order) => self.obey(order),
            Event::Task(report) => {
                self.record.tasks.insert(report.task, *report.record);
            }
            Event::Check(at, result) => self.note_check(at, result),
            Event::Free => self.may_start = true,
            Event::Time => {}
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Update(alloc) => {
                if alloc.task_group().is_some() {
                    if alloc.deployment_id != self.record.alloc.deployment_id {
                        // It goes on in a new roll-out, which asks for its health anew.
                        (self.record.healthy, self.health) = (None, None);
                    }
                    self.record.alloc = alloc.clone();
                    for name in self.commands.keys().cloned().collect::<Vec<_>>() {
                        self.send(&name, TaskCommand::Update(alloc.clone()));
                    }
                }
                self.record.stopping |= alloc.is_server_terminal();
            }
            Order::Confirm => self.confirmed.0 = true,
            Order::Stop => self.record.stopping = true,
            Order::Restart { task, all, answer } => self.restart(task, all, answer),
            Order::Signal {
                task,
                signal,
                answer,
            } => self.signal(task, signal, answer),
        }
    }

    fn restart(&mut self, task: Option<String>, all: bool, answer: Answer) {
        let reason = match (&task, all) {
            (Some(_), _) => "User requested task to restart",
            (None, true) => "User requested all tasks to restart",
            (None, false) => "User requested running tasks to restart",
        };
        self.ask_running(task, answer, |answer| TaskCommand::Restart {
            reason: reason.to_string(),
            answer,
        });
    }

    fn signal(&mut self, task: Option<String>, signal: String, answer: Answer) {
        self.ask_running(task, answer, |answer| TaskCommand::Signal {
            signal: signal.clone(),
            reason: "User requested signal".to_string(),
            answer,
        });
    }

    /// Sends a command to the tasks that run; answers when all of them have, with the first
    /// thing that went wrong.
    fn ask_running(
        &mut self,
        task: Option<String>,
        answer: Answer,
        command: impl Fn(Answer) -> TaskCommand,
    ) {
        const NOT_RUNNING: &str = "Task not running";
        let mut targets = match self.named(task.as_deref()) {
            Ok(names) => names,
            // The one who asked may have gone away, here and below.
            Err(reason) => return answer.send(Err(reason)).unwrap_or_default(),
        };
        targets.retain(|name| self.is_running(name));
        if targets.is_empty() {
            return answer
                .send(Err(NOT_RUNNING.to_string()))
                .unwrap_or_default();
        }
        let mut waiting = Vec::new();
        for name in &targets {
            let (reply, answered) = oneshot::channel();
            self.send(name, command(reply));
            waiting.push(answered);
        }
        self.tasks.spawn("task-answers", async move {
            let mut result = Ok(());
            for answered in waiting {
                let one = answered
                    .await
                    .unwrap_or_else(|_| Err(NOT_RUNNING.to_string()));
                result = result.and(one);
            }
            answer.send(result).unwrap_or_default();
        });
    }

    fn named(&self, task: Option<&str>) -> Result<Vec<String>, String> {
        match task {
            Some(name) if self.group().task(name).is_some() => Ok(vec![name.to_string()]),
            Some(name) => Err(format!("Could not find task runner for task: {name}")),
            None => Ok(self.group().tasks.iter().map(|t| t.name.clone()).collect()),
        }
    }

    fn is_running(&self, task: &str) -> bool {
        let record = self.record.tasks.get(task);
        record.is_some_and(|r| r.saved.state.phase == TaskPhase::Running)
    }

    /// Restores everything that follows from what is known. Changes nothing the second time.
    async fn settle(&mut self) {
        self.wake_at = None;
        self.time_out();
        self.stop_when_due();
        self.order_tasks();
        // Last, so that a task that is to end hears of that first.
        self.confirmed.1.send_replace(self.confirmed.0);
        self.settle_checks().await;
        self.judge_health();
        self.settle_services();
        self.publish().await;
    }

    /// Ends a batch allocation that has run for as long as it may.
    fn time_out(&mut self) {
        let Some(limit) = self.group().max_run_duration else {
            return;
        };
        let first = self.record.tasks.values().map(|t| t.saved.state.started_at);
        let Some(start) = first.filter(|s| s.is_set()).min() else {
            return;
        };
        let end = start.plus(limit);
        if self.now() >= end {
            self.record.stopping = true;
        } else {
            self.wake(end);
        }
    }

    /// Asks to be woken at `at` at the latest.
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |w| w.min(at)));
    }

    /// Starts the shutdown delay: services are gone by then, clients have time to notice.
    fn stop_when_due(&mut self) {
        if !self.record.stopping || self.stop_at.is_some() {
            if let Some(at) = self.stop_at.filter(|at| *at > self.now()) {
                self.wake(at);
            }
            return;
        }
        let running = |t: &&crate::model::Task| self.is_running(&t.name);
        let skip = self.record.alloc.transition.no_shutdown_delay == Some(true);
        let tasks = self
            .group()
            .tasks
            .iter()
            .filter(running)
            .map(|t| t.shutdown_delay);
        let delay = tasks
            .max()
            .map_or(Duration::ZERO, |t| t.max(self.group().shutdown_delay));
        let at = if skip {
            self.now()
        } else {
            self.now().plus(delay)
        };
        if at > self.now() {
            let text = format!("Waiting for shutdown_delay of {delay:?} before killing the task");
            self.note_all("Waiting for shutdown delay", &text);
            self.wake(at);
        }
        self.stop_at = Some(at);
    }

    /// Adds an event to every task that is not dead.
    fn note_all(&mut self, kind: &str, text: &str) {
        for name in self.commands.keys().cloned().collect::<Vec<_>>() {
            let event = TaskEvent::new(kind, self.now(), text);
            self.send(&name, TaskCommand::Input(Input::Note(event)));
        }
    }

    /// Gives orders until none changes what is known here.
    fn order_tasks(&mut self) {
        while self.order_tasks_once() {}
    }

    /// Returns whether a task was skipped, after which others may be due.
    fn order_tasks_once(&mut self) -> bool {
        let mut skipped = false;
        let states = states_of(&self.record);
        let situation = Situation {
            group: self.group(),
            states: &states,
            stopping: self.stop_at.is_some_and(|at| at <= self.now()),
            may_start: self.may_start,
        };
        for order in situation.orders() {
            match order {
                TaskOrder::Begin(task) => {
                    if !self.commands.contains_key(&task) && self.spawn_task(&task) {
                        self.record
                            .tasks
                            .insert(task.clone(), TaskRecord::default());
                        self.send(&task, TaskCommand::Input(Input::Begin));
                    }
                }
                TaskOrder::Kill { task, reason } => {
                    let event = self.kill_event(&reason);
                    self.send(&task, TaskCommand::Input(Input::Kill { event }));
                }
                TaskOrder::Skip(task) => {
                    let mut record = TaskRecord::default();
                    record.saved.state.phase = TaskPhase::Dead;
                    record.saved.state.finished_at = self.now();
                    self.record.tasks.insert(task, record);
                    skipped = true;
                }
            }
        }
        skipped
    }

    fn kill_event(&self, reason: &Reason) -> Option<TaskEvent> {
        let now = self.now();
        match reason {
            Reason::Stopped => None,
            Reason::SiblingFailed(name) => {
                let text = format!("Task's sibling {name:?} failed");
                let event = TaskEvent::new("Sibling Task Failed", now, text);
                Some(event.with("failed_sibling", name))
            }
            Reason::LeaderDead => Some(TaskEvent::new(
                "Leader Task Dead",
                now,
                "Leader Task in Group dead",
            )),
            Reason::MainDead => Some(TaskEvent::new(
                "Main Tasks Dead",
                now,
                "Main tasks in the group died",
            )),
        }
    }

    /// Starts a task's runner; `false` if the client is shutting down.
    fn spawn_task(&mut self, name: &str) -> bool {
        let Some(task) = self.group().task(name).cloned() else {
            return false;
        };
        let (sender, commands) = mpsc::channel(INBOX);
        let timeout = task.kill_timeout.min(self.shared.max_kill_timeout);
        let kind = self.record.alloc.job.spec.kind;
        let mut machine = Machine::new(task.restart, kind, timeout);
        let known = self.record.tasks.get(name).cloned().unwrap_or_default();
        machine.restore(known.saved, known.handle.is_some());
        if !self.confirmed.0 {
            machine.hold();
        }
        let runner = TaskRunner {
            env: self.shared.env.clone(),
            fs: self.shared.fs.clone(),
            node: self.shared.node.borrow().clone(),
            alloc: self.record.alloc.clone(),
            dirs: self.dirs(name),
            driver: self.shared.drivers.get(task.driver.as_str()).cloned(),
            task,
            max_kill_timeout: self.shared.max_kill_timeout,
            machine,
            handle: known.handle,
            confirmed: self.confirmed.1.subscribe(),
            commands,
            reports: self.reports.0.clone(),
            reported: None,
            restarting: Vec::new(),
        };
        let title = format!("task {name} of {}", self.record.alloc.id.short());
        let started = self
            .tasks
            .spawn(title, runner.run(self.tasks.token().clone()));
        self.commands.insert(name.to_string(), sender);
        started
    }

    fn dirs(&self, task: &str) -> TaskDirs {
        TaskDirs::under(
            self.shared.alloc_dir.join(self.record.alloc.id.to_string()),
            task,
        )
    }

    /// Hands a command to a task. A task that is gone needs none; one whose inbox is full gets
    /// it again, because whatever lasts is ordered by level.
    fn send(&mut self, task: &str, command: TaskCommand) {
        let Some(sender) = self.commands.get(task) else {
            return;
        };
        if let Err(mpsc::error::TrySendError::Full(_)) = sender.try_send(Box::new(command)) {
            tracing::warn!(target: "client.alloc_runner", task, "the task is busy");
            self.wake(self.now().plus(Duration::from_millis(50)));
        }
    }

    // ---- checks, health, services ----

    async fn settle_checks(&mut self) {
        let wanted = !self.record.stopping
            && self
                .group()
                .tasks
                .iter()
                .any(|t| t.lifecycle.is_none() && self.is_running(&t.name));
        match (wanted, self.check_loops.is_some()) {
            (true, false) => self.start_checks(),
            (false, true) => self.stop_checks().await,
            (true, true) | (false, false) => {}
        }
    }

    fn start_checks(&mut self) {
        let node = self.shared.node.borrow().clone();
        let targets = services::check_targets(&self.record.alloc, &node, &self.task_env());
        let (sender, inbox) = mpsc::channel(INBOX);
        let tasks = Tasks::new(self.tasks.token().child_token());
        let since = self.now();
        for (at, target) in targets.iter().enumerate() {
            let watch = watch_check(self.shared.env.clone(), target.clone(), at, sender.clone());
            let (token, title) = (tasks.token().clone(), format!("check {}", target.id));
            tasks.spawn(title, async move {
                tokio::select! {
                    biased;
                    () = token.cancelled() => {}
                    () = watch => {}
                }
            });
        }
        self.check_loops = Some(CheckLoops {
            results: targets.iter().map(|t| checks::pending(t, since)).collect(),
            failures: vec![0; targets.len()],
            tasks,
            targets,
            inbox,
            since,
        });
    }

    async fn stop_checks(&mut self) {
        if let Some(mut loops) = self.check_loops.take() {
            loops.inbox.close();
            loops.tasks.shutdown().await;
        }
    }

    fn note_check(&mut self, at: usize, result: CheckResult) {
        let now = self.now();
        let Some(loops) = &mut self.check_loops else {
            return;
        };
        let (target, failed) = (&loops.targets[at], result.status == CheckStatus::Failure);
        let grace_over = |grace: Duration| now >= loops.since.plus(grace);
        let counts = target.check.restart.is_some_and(|r| grace_over(r.grace));
        loops.failures[at] = if failed && counts {
            loops.failures[at] + 1
        } else {
            0
        };
        let limit = target.check.restart.map_or(u32::MAX, |r| r.limit);
        let restart = (loops.failures[at] >= limit).then(|| {
            loops.failures[at] = 0;
            loops.since = now;
            (
                target.task.clone(),
                format!("healthcheck: check {:?} unhealthy", target.check.name),
            )
        });
        loops.results[at] = result;
        if let Some((task, reason)) = restart {
            for name in self.named(task.as_deref()).unwrap_or_default() {
                let input = Input::Restart {
                    reason: reason.clone(),
                };
                self.send(&name, TaskCommand::Input(input));
            }
        }
    }

    /// The environment that names, tags and ports of services are read in: the first task's.
    fn task_env(&self) -> TaskEnv {
        let group = self.group();
        let Some(task) = group.tasks.first() else {
            return TaskEnv::default();
        };
        let dirs = self.dirs(&task.name);
        let paths = TaskPaths {
            alloc: dirs.alloc.display().to_string(),
            local: dirs.local.display().to_string(),
            secrets: dirs.secrets.display().to_string(),
        };
        let node = self.shared.node.borrow().clone();
        TaskEnv::build(
            &self.record.alloc,
            group,
            task,
            &node,
            &paths,
            &BTreeMap::new(),
        )
    }

    fn signs(&self) -> Signs {
        let group = self.group();
        let state = |name: &str| self.record.tasks.get(name).map(|t| &t.saved.state);
        let up = |t: &crate::model::Task| match t.lifecycle {
            Some(l) if !l.sidecar => true,
            Some(_) | None => self.is_running(&t.name),
        };
        let checks_passing = match &self.check_loops {
            Some(loops) => loops
                .targets
                .iter()
                .zip(&loops.results)
                .all(|(target, result)| {
                    !target.gates_health() || result.status == CheckStatus::Success
                }),
            None => group.all_services().all(|s| s.checks.is_empty()),
        };
        Signs {
            tasks_running: group.tasks.iter().all(up),
            task_failed: group
                .tasks
                .iter()
                .any(|t| state(&t.name).is_some_and(|s| s.failed)),
            checks_passing,
        }
    }

    fn judge_health(&mut self) {
        let awaited = self.record.healthy.is_none() && !self.record.stopping;
        let deployed = self.record.alloc.deployment_id.is_some();
        let Some(rule) = HealthRule::of(self.group(), deployed).filter(|_| awaited) else {
            return;
        };
        let now = self.now();
        let signs = self.signs();
        let tracker = self
            .health
            .get_or_insert_with(|| HealthTracker::new(rule, now));
        match tracker.judge(signs, now) {
            Verdict::Healthy => self.record.healthy = Some((true, now)),
            Verdict::Unhealthy(reason) => {
                self.record.healthy = Some((false, now));
                self.note_all("Alloc Unhealthy", reason);
            }
            Verdict::Wait(at) => self.wake(at),
            Verdict::Manual => {}
        }
    }

    fn settle_services(&mut self) {
        if self.group().all_services().next().is_none() {
            return;
        }
        let wanted = if self.record.stopping {
            Vec::new()
        } else {
            let node = self.shared.node.borrow().clone();
            let running = |task: &str| self.is_running(task);
            services::registrations(&self.record.alloc, &node, &self.task_env(), running)
        };
        // The first word is always said: a restarted agent cannot know what is registered.
        if self.registered.as_ref() != Some(&wanted) {
            self.shared
                .reporter
                .services(self.record.alloc.id, wanted.clone());
            self.registered = Some(wanted);
        }
    }

    // ---- journal, view, report ----

    async fn publish(&mut self) {
        let states = states_of(&self.record);
        let complete = Situation {
            group: self.group(),
            states: &states,
            stopping: false,
            may_start: true,
        };
        let over = complete.is_over();
        let update = self.update(&states);
        let changed = self.last_update.as_ref() != Some(&update);
        let handles = handles_of(&self.record);
        let moved = self.view.borrow().handles != handles;
        let reworded = self.view.borrow().alloc != self.record.alloc;
        if (changed || moved || reworded)
            && let Err(error) = self.shared.journal.save(&self.record).await
        {
            tracing::error!(
                target: "client.alloc_runner", alloc_id = %self.record.alloc.id, %error,
                "could not write the journal: a restart of the agent may lose this allocation"
            );
        }
        self.view.send_replace(View {
            alloc: self.record.alloc.clone(),
            states,
            handles,
            checks: self
                .check_loops
                .as_ref()
                .map(|c| c.results.clone())
                .unwrap_or_default(),
            over,
        });
        if changed {
            self.shared.reporter.update(update.clone());
            self.last_update = Some(update);
        }
    }

    fn update(&self, states: &BTreeMap<String, TaskState>) -> AllocUpdate {
        let group = self.group();
        let begun_all = group
            .tasks
            .iter()
            .all(|t| states.contains_key(&t.name) || t.lifecycle.is_some_and(|l| !l.sidecar));
        let status = match AllocClientStatus::of_tasks(states.values()) {
            AllocClientStatus::Complete if !begun_all => AllocClientStatus::Pending,
            AllocClientStatus::Running if !self.mains_running(states) => AllocClientStatus::Pending,
            status => status,
        };
        AllocUpdate {
            id: self.record.alloc.id,
            client_status: status,
            client_description: describe(status).to_string(),
            task_states: states.clone(),
            healthy: self.record.healthy,
        }
    }

    /// Whether any main task runs, or all are over: a prestart task alone does not make an
    /// allocation `running`.
    fn mains_running(&self, states: &BTreeMap<String, TaskState>) -> bool {
        let mut mains = self.group().tasks.iter().filter(|t| t.lifecycle.is_none());
        mains.any(|t| {
            states
                .get(&t.name)
                .is_some_and(|s| s.phase != TaskPhase::Pending)
        })
    }

    /// Tells those whose orders came too late.
    fn answer_late(&self, orders: &mut mpsc::Receiver<Order>) {
        orders.close();
        while let Ok(order) = orders.try_recv() {
            match order {
                Order::Restart { answer, .. } | Order::Signal { answer, .. } => {
                    answer
                        .send(Err("Task not running".to_string()))
                        .unwrap_or_default();
                }
                Order::Update(_) | Order::Confirm | Order::Stop => {}
            }
        }
    }
}

fn describe(status: AllocClientStatus) -> &'static str {
    match status {
        AllocClientStatus::Pending => "No tasks have started",
        AllocClientStatus::Running => "Tasks are running",
        AllocClientStatus::Complete => "All tasks have completed",
        AllocClientStatus::Failed => "Failed tasks",
        AllocClientStatus::Lost | AllocClientStatus::Unknown => "",
    }
}

fn states_of(record: &Record) -> BTreeMap<String, TaskState> {
    record
        .tasks
        .iter()
        .map(|(name, t)| (name.clone(), t.saved.state.clone()))
        .collect()
}

fn handles_of(record: &Record) -> BTreeMap<String, TaskHandle> {
    let held = |(name, t): (&String, &TaskRecord)| Some((name.clone(), t.handle.clone()?));
    record.tasks.iter().filter_map(held).collect()
}

async fn next_check(loops: &mut Option<CheckLoops>) -> Option<(usize, CheckResult)> {
    match loops {
        Some(loops) => loops.inbox.recv().await,
        None => None,
    }
}

/// Runs one check again and again: at its interval once it passes, sooner while it does not, so
/// that a slow start is seen to end soon.
async fn watch_check(
    env: Env,
    target: CheckTarget,
    at: usize,
    results: mpsc::Sender<(usize, CheckResult)>,
) {
    let interval = target.check.interval.max(checks::INTERVAL_MIN);
    let mut retry = CHECK_RETRY;
    let mut passed_once = false;
    loop {
        let result = checks::run(&env, &target).await;
        passed_once |= result.status == CheckStatus::Success;
        if results.send((at, result)).await.is_err() {
            return;
        }
        let pause = if passed_once {
            interval
        } else {
            retry.min(interval)
        };
        retry = retry * 3 / 2;
        env.clock.sleep(pause).await;
    }
}
