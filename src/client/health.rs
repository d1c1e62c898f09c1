//! When an allocation counts as healthy in its deployment.
//!
//! Pure. It is healthy once every main task runs and every check that matters passes, without a
//! break, for `min_healthy_time`; unhealthy at once when a task fails for good, and when the
//! deadline passes first.

use std::time::Duration;

use crate::model::Timestamp;
use crate::model::job::{HealthCheck, TaskGroup};

/// What health depends on, in one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthRule {
    pub check: HealthCheck,
    pub min_healthy_time: Duration,
    pub deadline: Duration,
}

impl HealthRule {
    /// What counts for an instance of `group`: the `update` block in a deployment; elsewhere the
    /// `migrate` block, since a drain waits for the health of what it moved.
    pub fn of(group: &TaskGroup, deployed: bool) -> Option<Self> {
        if deployed {
            group.update.map(|update| Self {
                check: update.health_check,
                min_healthy_time: update.min_healthy_time,
                deadline: update.healthy_deadline,
            })
        } else {
            group.migrate.map(|migrate| Self {
                check: migrate.health_check,
                min_healthy_time: migrate.min_healthy_time,
                deadline: migrate.healthy_deadline,
            })
        }
    }
}

/// What is true of the allocation now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// Every task that should run does.
    pub tasks_running: bool,
    /// A task failed for good.
    pub task_failed: bool,
    /// Every check that matters passes.
    pub checks_passing: bool,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Healthy,
    Unhealthy(&'static str),
    /// Not known yet; ask again at that time at the latest.
    Wait(Timestamp),
    /// Somebody else decides.
    Manual,
}

/// Watches one allocation from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthTracker {
    rule: HealthRule,
    started: Timestamp,
    good_since: Option<Timestamp>,
}

impl HealthTracker {
    /// Begins to watch at `started`.
    pub fn new(rule: HealthRule, started: Timestamp) -> Self {
        Self {
            rule,
            started,
            good_since: None,
        }
    }

    /// Judges what is true at `now`.
    pub fn judge(&mut self, signs: Signs, now: Timestamp) -> Verdict {
        if self.rule.check == HealthCheck::Manual {
            return Verdict::Manual;
        }
        if signs.task_failed {
            return Verdict::Unhealthy("Unhealthy because of failed task");
        }
        let checks = self.rule.check != HealthCheck::Checks || signs.checks_passing;
        let deadline = self.started.plus(self.rule.deadline);
        if !(signs.tasks_running && checks) {
            self.good_since = None;
            if now >= deadline {
                return Verdict::Unhealthy(if signs.tasks_running {
                    "Task not running by deadline: checks do not pass"
                } else {
                    "Task not running by deadline"
                });
            }
            return Verdict::Wait(deadline);
        }
        let since = *self.good_since.get_or_insert(now);
        let ripe = since.plus(self.rule.min_healthy_time);
        if now >= ripe {
            Verdict::Healthy
        } else if now >= deadline {
            Verdict::Unhealthy("Task not healthy for long enough by deadline")
        } else {
            Verdict::Wait(ripe.min(deadline))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: HealthRule = HealthRule {
        check: HealthCheck::Checks,
        min_healthy_time: Duration::from_secs(10),
        deadline: Duration::from_secs(300),
    };
    const GOOD: Signs = Signs {
        tasks_running: true,
        task_failed: false,
        checks_passing: true,
    };

    fn at(secs: u64) -> Timestamp {
        Timestamp(1).plus(Duration::from_secs(secs))
    }

    #[test]
    fn healthy_after_an_unbroken_while() {
        let mut tracker = HealthTracker::new(RULE, at(0));
        assert_eq!(
            tracker.judge(Signs::default(), at(0)),
            Verdict::Wait(at(300))
        );
        assert_eq!(tracker.judge(GOOD, at(2)), Verdict::Wait(at(12)));
        let broken = Signs {
            checks_passing: false,
            ..GOOD
        };
        assert_eq!(tracker.judge(broken, at(8)), Verdict::Wait(at(300)));
        assert_eq!(
            tracker.judge(GOOD, at(9)),
            Verdict::Wait(at(19)),
            "the count starts anew"
        );
        assert_eq!(tracker.judge(GOOD, at(19)), Verdict::Healthy);
    }

    #[test]
    fn failure_and_deadline_make_unhealthy() {
        let mut tracker = HealthTracker::new(RULE, at(0));
        let failed = Signs {
            task_failed: true,
            ..GOOD
        };
        assert!(matches!(
            tracker.judge(failed, at(1)),
            Verdict::Unhealthy(_)
        ));
        let broken = Signs {
            checks_passing: false,
            ..GOOD
        };
        assert!(matches!(
            tracker.judge(broken, at(300)),
            Verdict::Unhealthy(_)
        ));
    }

    #[test]
    fn task_states_ignore_checks() {
        let rule = HealthRule {
            check: HealthCheck::TaskStates,
            ..RULE
        };
        let mut tracker = HealthTracker::new(rule, at(0));
        let no_checks = Signs {
            checks_passing: false,
            ..GOOD
        };
        tracker.judge(no_checks, at(0));
        assert_eq!(tracker.judge(no_checks, at(10)), Verdict::Healthy);
    }
}
