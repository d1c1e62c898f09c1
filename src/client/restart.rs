//! Whether a task that ended is started again on this node: the restart policy.
//!
//! Pure. Attempts are counted in a window that begins with its first restart, as Nomad does
//! (its jobspec reference, `restart`); manual restarts do not count.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;
use crate::model::duration;
use crate::model::job::{JobType, RestartMode, RestartPolicy};

/// How much a restart delay may grow at random, so that tasks do not come back in step.
const JITTER: f64 = 0.25;

/// How a task's run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It ran and exited.
    Exited { success: bool },
    /// It could not be started.
    NotStarted { recoverable: bool },
}

/// What the policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is over and that is fine.
    Done,
    /// Start it again after that long.
    Restart { after: Duration, reason: String },
    /// It has failed for good.
    Fail { reason: String },
}

/// The attempts made in the present window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartTracker {
    attempts: u32,
    window_start: Timestamp,
}

impl RestartTracker {
    /// Judges an ending at `now`; `random` in 0..1 is the share of the jitter.
    pub fn judge(
        &mut self,
        policy: &RestartPolicy,
        kind: JobType,
        ending: Ending,
        now: Timestamp,
        random: f64,
    ) -> Decision {
        match ending {
            Ending::Exited { success: true } if kind == JobType::Batch => return Decision::Done,
            Ending::NotStarted { recoverable: false } => {
                return Decision::Fail {
                    reason: "Error was unrecoverable".to_string(),
                };
            }
            Ending::Exited { .. } | Ending::NotStarted { .. } => {}
        }
        if policy.attempts == 0 {
            return Decision::Fail {
                reason: "Policy allows no restarts".to_string(),
            };
        }
        if !self.window_start.is_set() || now.since(self.window_start) > policy.interval {
            *self = Self {
                attempts: 0,
                window_start: now,
            };
        }
        self.attempts += 1;
        if self.attempts <= policy.attempts {
            let after = policy.delay.mul_f64(1.0 + JITTER * random);
            return Decision::Restart {
                after,
                reason: "Restart within policy".to_string(),
            };
        }
        match policy.mode {
            RestartMode::Fail => Decision::Fail {
                reason: format!(
                    "Exceeded allowed attempts {} in interval {} and mode is \"fail\"",
                    policy.attempts,
                    duration::format(policy.interval),
                ),
            },
            RestartMode::Delay => {
                let after = self.window_start.plus(policy.interval).since(now);
                let reason = "Exceeded allowed attempts, applying a delay".to_string();
                Decision::Restart {
                    after: after + Duration::from_millis(1),
                    reason,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RestartPolicy = RestartPolicy {
        attempts: 2,
        interval: Duration::from_secs(600),
        delay: Duration::from_secs(15),
        mode: RestartMode::Fail,
        render_templates: false,
    };

    fn at(secs: i64) -> Timestamp {
        Timestamp(1_000_000_000_000 + secs * 1_000_000_000)
    }

    #[test]
    fn attempts_are_counted_in_a_window() {
        let mut tracker = RestartTracker::default();
        let died = Ending::Exited { success: false };
        let mut judge = |secs| tracker.judge(&POLICY, JobType::Service, died, at(secs), 0.0);
        assert!(matches!(judge(0), Decision::Restart { .. }));
        assert!(matches!(judge(20), Decision::Restart { .. }));
        assert_eq!(
            judge(40),
            Decision::Fail {
                reason: "Exceeded allowed attempts 2 in interval 10m0s and mode is \"fail\"".into()
            }
        );
        assert!(
            matches!(judge(601), Decision::Restart { .. }),
            "a new window begins"
        );
    }

    #[test]
    fn delay_mode_waits_for_the_window_to_end() {
        let policy = RestartPolicy {
            mode: RestartMode::Delay,
            attempts: 1,
            ..POLICY
        };
        let mut tracker = RestartTracker::default();
        let died = Ending::Exited { success: false };
        tracker.judge(&policy, JobType::Service, died, at(0), 0.0);
        let Decision::Restart { after, .. } =
            tracker.judge(&policy, JobType::Service, died, at(100), 0.0)
        else {
            panic!("delay mode always restarts")
        };
        assert_eq!(after.as_secs(), 500);
    }

    #[test]
    fn success_ends_batch_and_restarts_service() {
        let fine = Ending::Exited { success: true };
        let judge = |kind| RestartTracker::default().judge(&POLICY, kind, fine, at(0), 1.0);
        assert_eq!(judge(JobType::Batch), Decision::Done);
        let Decision::Restart { after, .. } = judge(JobType::Service) else {
            panic!("a service goes on")
        };
        assert_eq!(after, Duration::from_millis(18_750), "15 s and a quarter");
    }

    #[test]
    fn unrecoverable_errors_and_empty_policies_fail_at_once() {
        let none = RestartPolicy {
            attempts: 0,
            ..POLICY
        };
        let mut tracker = RestartTracker::default();
        let broken = Ending::NotStarted { recoverable: false };
        let judged = tracker.judge(&POLICY, JobType::Service, broken, at(0), 0.0);
        assert_eq!(
            judged,
            Decision::Fail {
                reason: "Error was unrecoverable".into()
            }
        );
        let missing = Ending::NotStarted { recoverable: true };
        let judged = tracker.judge(&none, JobType::Service, missing, at(0), 0.0);
        assert_eq!(
            judged,
            Decision::Fail {
                reason: "Policy allows no restarts".into()
            }
        );
    }
}
