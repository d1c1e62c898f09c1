//! Which of an allocation's tasks should run now.
//!
//! Pure. The order is that of Nomad's lifecycle: prestart tasks first (those that are not
//! sidecars must end well), then main tasks, then poststart; when the main tasks are over the
//! sidecars end, and poststop tasks run last. A task that fails for good takes its siblings
//! along; so does the end of a leader.

use std::collections::BTreeMap;

use crate::model::job::{LifecycleHook, Task, TaskGroup};
use crate::model::{TaskPhase, TaskState};

/// What to do with one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskOrder {
    /// Start it; it was not started before.
    Begin(String),
    /// End it for this reason.
    Kill { task: String, reason: Reason },
    /// It will never run: count it as over.
    Skip(String),
}

/// Why a task is ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The allocation is to stop.
    Stopped,
    /// A sibling failed.
    SiblingFailed(String),
    /// The leader is over.
    LeaderDead,
    /// Only sidecars were left.
    MainDead,
}

/// What the group looks like; a task absent from `states` was not begun.
pub struct Situation<'a> {
    pub group: &'a TaskGroup,
    pub states: &'a BTreeMap<String, TaskState>,
    /// Whether the allocation is to stop.
    pub stopping: bool,
    /// Whether tasks may start at all (the predecessor is gone).
    pub may_start: bool,
}

impl Situation<'_> {
    /// The orders that follow; none when everything is as it should be. Giving the same orders
    /// again is harmless.
    pub fn orders(&self) -> Vec<TaskOrder> {
        if let Some(reason) = self.end_reason() {
            return self.wind_down(&reason);
        }
        if !self.may_start {
            return Vec::new();
        }
        let due = |t: &&Task| !self.begun(t) && self.is_due(t);
        self.group
            .tasks
            .iter()
            .filter(due)
            .map(|t| TaskOrder::Begin(t.name.clone()))
            .collect()
    }

    /// Whether nothing will happen any more.
    pub fn is_over(&self) -> bool {
        self.group.tasks.iter().all(|t| self.is_dead(t))
    }

    fn state(&self, task: &Task) -> Option<&TaskState> {
        self.states.get(&task.name)
    }

    fn begun(&self, task: &Task) -> bool {
        self.state(task).is_some()
    }

    fn is_dead(&self, task: &Task) -> bool {
        self.state(task).is_some_and(|s| s.phase == TaskPhase::Dead)
    }

    fn is_running(&self, task: &Task) -> bool {
        self.state(task)
            .is_some_and(|s| s.phase == TaskPhase::Running)
    }

    fn has_failed(&self, task: &Task) -> bool {
        self.is_dead(task) && self.state(task).is_some_and(|s| s.failed)
    }

    fn of(&self, wanted: Option<LifecycleHook>) -> impl Iterator<Item = &Task> {
        self.group
            .tasks
            .iter()
            .filter(move |t| t.lifecycle.map(|l| l.hook) == wanted)
    }

    fn is_due(&self, task: &Task) -> bool {
        match task.lifecycle.map(|l| l.hook) {
            Some(LifecycleHook::Prestart) => true,
            None => self.of(Some(LifecycleHook::Prestart)).all(|t| {
                if sidecar(t) {
                    self.is_running(t)
                } else {
                    self.is_dead(t)
                }
            }),
            Some(LifecycleHook::Poststart) => {
                self.of(None).all(|t| self.is_running(t) || self.is_dead(t))
            }
            Some(LifecycleHook::Poststop) => false,
        }
    }

    fn end_reason(&self) -> Option<Reason> {
        if self.stopping {
            return Some(Reason::Stopped);
        }
        if let Some(failed) = self.group.tasks.iter().find(|t| self.has_failed(t)) {
            return Some(Reason::SiblingFailed(failed.name.clone()));
        }
        if self.group.tasks.iter().any(|t| t.leader && self.is_dead(t)) {
            return Some(Reason::LeaderDead);
        }
        self.of(None)
            .all(|t| self.is_dead(t))
            .then_some(Reason::MainDead)
    }

    /// Ends what runs, the leader before the others and sidecars last; then runs poststop.
    fn wind_down(&self, reason: &Reason) -> Vec<TaskOrder> {
        let ending = |t: &&Task| !is_poststop(t);
        let waves: [fn(&Task) -> bool; 3] = [
            |t| t.leader,
            |t| !t.leader && !sidecar(t),
            |t| !t.leader && sidecar(t),
        ];
        for wave in waves {
            let members = || self.group.tasks.iter().filter(ending).filter(|t| wave(t));
            let orders: Vec<_> = members().filter_map(|t| self.end(t, reason)).collect();
            if members().any(|t| !self.is_dead(t)) {
                return orders;
            }
        }
        let begin = |t: &Task| match self.ran() {
            true => TaskOrder::Begin(t.name.clone()),
            false => TaskOrder::Skip(t.name.clone()),
        };
        let poststop = self
            .group
            .tasks
            .iter()
            .filter(|t| is_poststop(t) && !self.begun(t));
        poststop.map(begin).collect()
    }

    /// A main task that ends by itself when only its time has come is left alone.
    fn end(&self, task: &Task, reason: &Reason) -> Option<TaskOrder> {
        if self.is_dead(task) {
            None
        } else if !self.begun(task) {
            Some(TaskOrder::Skip(task.name.clone()))
        } else {
            Some(TaskOrder::Kill {
                task: task.name.clone(),
                reason: reason.clone(),
            })
        }
    }

    /// Whether any task was ever started: only then is there something to clean up after.
    fn ran(&self) -> bool {
        self.states.values().any(|s| s.started_at.is_set())
    }
}

fn sidecar(task: &Task) -> bool {
    task.lifecycle.is_some_and(|l| l.sidecar)
}

fn is_poststop(task: &Task) -> bool {
    task.lifecycle
        .is_some_and(|l| l.hook == LifecycleHook::Poststop)
}
