//! One task's life as a state machine: inputs in, effects out.
//!
//! ```text
//!            Begin                Started               Exited
//!   Idle ───────────▶ Starting ───────────▶ Running ───────────▶ judged by the restart policy
//!                        ▲  │ StartFailed      │ Kill, Restart        │            │
//!                        │  └──────────────┐   ▼                      │            │
//!                        │                 │ Stopping ──Exited──▶ Dead │◀── Done ───┘
//!                        │     Elapsed     ▼                          │
//!                        └──────────── Waiting ◀──────── Restart ─────┘
//! ```
//!
//! Pure: [`Machine::step`] does no I/O. The shell in `task_runner` performs the effects, one at
//! a time, and feeds back what came of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::job::{JobType, RestartPolicy};
use crate::model::{TaskEvent, TaskPhase, TaskState, Timestamp, duration};

use super::restart::{Decision, Ending, RestartTracker};

/// What a task's process came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    pub code: i32,
    /// 0: none.
    pub signal: i32,
    pub oom_killed: bool,
    /// The driver's own words; empty: none.
    pub message: String,
}

impl Exit {
    fn success(&self) -> bool {
        self.code == 0 && self.signal == 0 && !self.oom_killed
    }

    fn event(&self, now: Timestamp) -> TaskEvent {
        let mut text = format!("Exit Code: {}", self.code);
        if self.signal != 0 {
            text.push_str(&format!(", Signal: {}", self.signal));
        }
        if !self.message.is_empty() {
            text.push_str(&format!(", Exit Message: {:?}", self.message));
        }
        TaskEvent::new("Terminated", now, text)
            .with("exit_code", self.code)
            .with("signal", self.signal)
            .with("oom_killed", self.oom_killed)
            .with("exit_message", &self.message)
    }
}

/// What happens to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Its turn has come.
    Begin,
    /// The driver started it.
    Started,
    /// The driver could not.
    StartFailed {
        kind: &'static str,
        message: String,
        recoverable: bool,
    },
    /// It was found running after the agent came back.
    Reattached,
    /// It was not found again after the agent came back.
    NotFound { message: String },
    /// The servers want it still: the first word since the agent came back.
    Confirmed,
    /// It ended.
    Exited(Exit),
    /// The wait before a restart is over.
    Elapsed,
    /// It is to end; `event` says why when there is more to say than that.
    Kill { event: Option<TaskEvent> },
    /// Somebody asked for a restart.
    Restart { reason: String },
    /// Something worth showing.
    Note(TaskEvent),
}

/// What the shell does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Go on with what is under way.
    None,
    /// Start the process.
    Start,
    /// Ask the process to end.
    Stop,
    /// Come back with [`Input::Elapsed`].
    Wait(Duration),
    /// It is over: clean up and end.
    Finish,
}

/// Where the task is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    #[default]
    Idle,
    Starting,
    Running,
    /// The process was asked to end; `again` tells whether it is to come back.
    Stopping {
        again: bool,
    },
    Waiting,
    /// To be started once the servers say that they want it still.
    Held,
    Dead,
}

/// One task.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    policy: RestartPolicy,
    kind: JobType,
    kill_timeout: Duration,
    stage: Stage,
    tracker: RestartTracker,
    killed: bool,
    /// Whether the servers are known to want it.
    confirmed: bool,
    /// What is reported.
    pub state: TaskState,
}

/// What of a machine is journalled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    pub state: TaskState,
    pub tracker: RestartTracker,
}

impl Machine {
    /// A task that was not begun.
    pub fn new(policy: RestartPolicy, kind: JobType, kill_timeout: Duration) -> Self {
        Self {
            policy,
            kind,
            kill_timeout,
            stage: Stage::Idle,
            tracker: RestartTracker::default(),
            killed: false,
            confirmed: true,
            state: TaskState::default(),
        }
    }

    /// Takes up what was journalled. A dead task stays dead; one with a process (`alive`) waits
    /// to hear from its driver.
    pub fn restore(&mut self, saved: Saved, alive: bool) {
        self.stage = match saved.state.phase {
            TaskPhase::Dead => Stage::Dead,
            TaskPhase::Pending | TaskPhase::Running if alive => Stage::Starting,
            TaskPhase::Pending | TaskPhase::Running => Stage::Idle,
        };
        self.state = saved.state;
        self.tracker = saved.tracker;
    }

    /// Starts nothing until [`Input::Confirmed`]: while the agent was away, what it does not find
    /// running may have been replaced elsewhere.
    pub fn hold(&mut self) {
        self.confirmed = false;
    }

    /// Whether it was told to end.
    pub fn is_killed(&self) -> bool {
        self.killed
    }

    /// Whether only the servers' word is missing.
    pub fn is_held(&self) -> bool {
        self.stage == Stage::Held
    }

    /// What must survive the agent.
    pub fn saved(&self) -> Saved {
        Saved {
            state: self.state.clone(),
            tracker: self.tracker.clone(),
        }
    }

    /// Changes what an in-place update may change.
    pub fn set_policy(&mut self, policy: RestartPolicy, kill_timeout: Duration) {
        (self.policy, self.kill_timeout) = (policy, kill_timeout);
    }

    /// Whether the process was asked to end and has not yet.
    pub fn is_stopping(&self) -> bool {
        matches!(self.stage, Stage::Stopping { .. })
    }

    /// Takes one input at `now`; `random` in 0..1 feeds the restart jitter.
    pub fn step(&mut self, input: Input, now: Timestamp, random: f64) -> Effect {
        match input {
            Input::Note(event) => {
                self.state.push(event);
                Effect::None
            }
            Input::Begin => self.begin(now),
            Input::Started => self.started(now),
            Input::Reattached => self.reattached(now),
            Input::NotFound { message } => self.not_found(message, now),
            Input::Confirmed => {
                self.confirmed = true;
                match self.stage {
                    Stage::Held => self.start_again(),
                    _ => Effect::None,
                }
            }
            Input::StartFailed {
                kind,
                message,
                recoverable,
            } => {
                let event = match self.killed {
                    true => TaskEvent::new("Killed", now, "Task successfully killed"),
                    false => TaskEvent::new(kind, now, &message).with("driver_error", message),
                };
                self.state.push(event);
                self.ended(Ending::NotStarted { recoverable }, now, random)
            }
            Input::Exited(exit) => self.exited(&exit, now, random),
            Input::Elapsed if self.stage == Stage::Waiting => self.start_again(),
            Input::Elapsed => Effect::None,
            Input::Kill { event } => self.kill(event, now),
            Input::Restart { reason } => self.restart(reason, now),
        }
    }

    fn begin(&mut self, now: Timestamp) -> Effect {
        if self.stage != Stage::Idle {
            return Effect::None;
        }
        if self.state.events.is_empty() {
            self.state
                .push(TaskEvent::new("Received", now, "Task received by client"));
        }
        let text = "Building Task Directory";
        self.state
            .push(TaskEvent::new("Task Setup", now, text).with("message", text));
        self.start_when_confirmed()
    }

    fn started(&mut self, now: Timestamp) -> Effect {
        self.state
            .push(TaskEvent::new("Started", now, "Task started by client"));
        self.state.phase = TaskPhase::Running;
        self.state.started_at = now;
        self.state.finished_at = Timestamp::UNSET;
        self.stage = Stage::Running;
        if self.killed {
            return self.stop(false, now);
        }
        Effect::None
    }

    fn reattached(&mut self, now: Timestamp) -> Effect {
        if self.state.phase != TaskPhase::Running {
            return self.started(now);
        }
        self.stage = Stage::Running;
        if self.killed {
            return self.stop(false, now);
        }
        Effect::None
    }

    /// The process vanished while the agent was away: it is brought back without counting
    /// against the policy, since nothing is known of how it ended.
    fn not_found(&mut self, message: String, now: Timestamp) -> Effect {
        self.state
            .push(TaskEvent::new("Failed Restoring Task", now, message));
        if self.killed {
            return self.finish(false, now);
        }
        self.state.phase = TaskPhase::Pending;
        self.count_restart(now);
        self.start_when_confirmed()
    }

    fn exited(&mut self, exit: &Exit, now: Timestamp, random: f64) -> Effect {
        self.state.push(exit.event(now));
        match self.stage {
            Stage::Stopping { again: true } => {
                self.count_restart(now);
                let text = format!("Task restarting in {}", duration::format(Duration::ZERO));
                self.state
                    .push(TaskEvent::new("Restarting", now, text).with("start_delay", 0));
                self.state.phase = TaskPhase::Pending;
                self.start_again()
            }
            Stage::Stopping { again: false } => {
                self.state
                    .push(TaskEvent::new("Killed", now, "Task successfully killed"));
                self.finish(false, now)
            }
            Stage::Idle
            | Stage::Starting
            | Stage::Running
            | Stage::Waiting
            | Stage::Held
            | Stage::Dead => {
                let success = exit.success();
                self.ended(Ending::Exited { success }, now, random)
            }
        }
    }

    fn ended(&mut self, ending: Ending, now: Timestamp, random: f64) -> Effect {
        if self.killed {
            return self.finish(false, now);
        }
        match self
            .tracker
            .judge(&self.policy, self.kind, ending, now, random)
        {
            Decision::Done => self.finish(false, now),
            Decision::Fail { reason } => {
                let mut event = TaskEvent::new("Not Restarting", now, &reason);
                event.fails_task = true;
                let event = event
                    .with("restart_reason", reason)
                    .with("fails_task", true);
                self.state.push(event);
                self.finish(true, now)
            }
            Decision::Restart { after, reason } => {
                self.count_restart(now);
                let text = format!("Task restarting in {}", duration::format(after));
                let event = TaskEvent::new("Restarting", now, text)
                    .with("restart_reason", reason)
                    .with("start_delay", after.as_nanos());
                self.state.push(event);
                self.state.phase = TaskPhase::Pending;
                self.stage = Stage::Waiting;
                Effect::Wait(after)
            }
        }
    }

    fn kill(&mut self, event: Option<TaskEvent>, now: Timestamp) -> Effect {
        if self.killed || self.stage == Stage::Dead {
            return Effect::None;
        }
        self.killed = true;
        if let Some(event) = event {
            self.state.push(event);
        }
        match self.stage {
            Stage::Idle | Stage::Waiting | Stage::Held => self.finish(false, now),
            Stage::Running => self.stop(false, now),
            Stage::Stopping { .. } => {
                self.stage = Stage::Stopping { again: false };
                Effect::None
            }
            Stage::Starting | Stage::Dead => Effect::None,
        }
    }

    fn restart(&mut self, reason: String, now: Timestamp) -> Effect {
        if self.stage != Stage::Running {
            return Effect::None;
        }
        let event = TaskEvent::new("Restart Signaled", now, &reason);
        self.state.push(event.with("restart_reason", reason));
        self.stage = Stage::Stopping { again: true };
        Effect::Stop
    }

    fn stop(&mut self, again: bool, now: Timestamp) -> Effect {
        let timeout = duration::format(self.kill_timeout);
        let text = format!("Sent interrupt. Waiting {timeout} before force killing");
        let event = TaskEvent::new("Killing", now, text);
        self.state.push(event.with("kill_timeout", timeout));
        self.stage = Stage::Stopping { again };
        Effect::Stop
    }

    fn start_when_confirmed(&mut self) -> Effect {
        if self.confirmed {
            return self.start_again();
        }
        self.stage = Stage::Held;
        Effect::None
    }

    fn start_again(&mut self) -> Effect {
        self.stage = Stage::Starting;
        Effect::Start
    }

    fn count_restart(&mut self, now: Timestamp) {
        self.state.restarts += 1;
        self.state.last_restart = now;
    }

    fn finish(&mut self, failed: bool, now: Timestamp) -> Effect {
        self.state.phase = TaskPhase::Dead;
        self.state.failed = failed;
        self.state.finished_at = now;
        self.stage = Stage::Dead;
        Effect::Finish
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::job::RestartMode;

    fn machine(attempts: u32) -> Machine {
        let policy = RestartPolicy {
            attempts,
            interval: Duration::from_secs(600),
            delay: Duration::from_secs(1),
            mode: RestartMode::Fail,
            render_templates: false,
        };
        Machine::new(policy, JobType::Service, Duration::from_secs(5))
    }

    fn exit(code: i32) -> Input {
        Input::Exited(Exit {
            code,
            ..Exit::default()
        })
    }

    fn play(machine: &mut Machine, inputs: &[Input]) -> Effect {
        let mut last = Effect::None;
        for (second, input) in inputs.iter().enumerate() {
            let now = Timestamp(1_000_000_000 * (second as i64 + 1));
            last = machine.step(input.clone(), now, 0.0);
        }
        last
    }

    fn kinds(machine: &Machine) -> Vec<&str> {
        machine
            .state
            .events
            .iter()
            .map(|e| e.kind.as_str())
            .collect()
    }

    #[test]
    fn a_death_within_policy_comes_back() {
        let mut task = machine(1);
        let effect = play(&mut task, &[Input::Begin, Input::Started, exit(137)]);
        assert_eq!(effect, Effect::Wait(Duration::from_secs(1)));
        assert_eq!(task.state.phase, TaskPhase::Pending);
        assert_eq!(play(&mut task, &[Input::Elapsed]), Effect::Start);
        play(&mut task, &[Input::Started]);
        assert_eq!(
            kinds(&task),
            [
                "Received",
                "Task Setup",
                "Started",
                "Terminated",
                "Restarting",
                "Started"
            ]
        );
        assert_eq!(task.state.restarts, 1);
        assert_eq!(play(&mut task, &[exit(1)]), Effect::Finish);
        assert!(task.state.failed && task.state.phase == TaskPhase::Dead);
    }

    #[test]
    fn a_kill_is_no_failure() {
        let mut task = machine(1);
        let kill = Input::Kill { event: None };
        assert_eq!(
            play(&mut task, &[Input::Begin, Input::Started, kill]),
            Effect::Stop
        );
        assert_eq!(play(&mut task, &[exit(137)]), Effect::Finish);
        assert!(!task.state.failed);
        assert_eq!(kinds(&task)[3..], ["Killing", "Terminated", "Killed"]);
    }

    #[test]
    fn a_kill_while_starting_waits_for_the_start() {
        let mut task = machine(1);
        let kill = Input::Kill { event: None };
        assert_eq!(play(&mut task, &[Input::Begin, kill]), Effect::None);
        assert_eq!(play(&mut task, &[Input::Started]), Effect::Stop);
    }

    #[test]
    fn an_asked_restart_does_not_count_against_the_policy() {
        let mut task = machine(1);
        let ask = Input::Restart {
            reason: "User requested task to restart".into(),
        };
        let inputs = [Input::Begin, Input::Started, ask, exit(0)];
        assert_eq!(play(&mut task, &inputs), Effect::Start);
        play(&mut task, &[Input::Started]);
        assert!(matches!(play(&mut task, &[exit(1)]), Effect::Wait(_)));
    }

    #[test]
    fn a_restored_task_that_runs_shows_no_second_start() {
        let mut task = machine(1);
        play(&mut task, &[Input::Begin, Input::Started]);
        let mut after = machine(1);
        after.restore(task.saved(), true);
        assert_eq!(play(&mut after, &[Input::Reattached]), Effect::None);
        assert_eq!(after.state, task.state);
    }

    #[test]
    fn what_is_not_found_waits_for_the_servers_word() {
        let mut task = machine(1);
        play(&mut task, &[Input::Begin, Input::Started]);
        let held = || {
            let mut after = machine(1);
            after.restore(task.saved(), true);
            after.hold();
            let gone = Input::NotFound {
                message: "no such container".into(),
            };
            assert_eq!(play(&mut after, &[gone]), Effect::None);
            assert!(after.is_held());
            after
        };
        let kill = Input::Kill { event: None };
        assert_eq!(play(&mut held(), &[Input::Confirmed]), Effect::Start);
        assert_eq!(play(&mut held(), &[kill]), Effect::Finish);

        let mut begun = machine(1);
        begun.hold();
        assert_eq!(play(&mut begun, &[Input::Begin]), Effect::None);
        assert_eq!(play(&mut begun, &[Input::Confirmed]), Effect::Start);
    }

    #[test]
    fn a_restored_task_that_is_killed_is_stopped_once_it_is_found() {
        let mut task = machine(1);
        play(&mut task, &[Input::Begin, Input::Started]);
        let kill = Input::Kill { event: None };
        let restored = || {
            let mut after = machine(1);
            after.restore(task.saved(), true);
            after
        };
        let found = play(&mut restored(), &[kill.clone(), Input::Reattached]);
        assert_eq!(found, Effect::Stop);
        let gone = Input::NotFound {
            message: "no such container".into(),
        };
        assert_eq!(play(&mut restored(), &[kill, gone]), Effect::Finish);
    }
}
