//! When a failed allocation may be replaced.

use std::time::Duration;

use crate::model::job::{DelayFunction, ReschedulePolicy};
use crate::model::{Allocation, RescheduleEvent, Timestamp};

/// How many past replacements are remembered where the attempts are unlimited.
const EVENTS_MAX: usize = 5;
/// A replacement due this soon is made at once.
const DUE_WITHIN: Duration = Duration::from_secs(1);

/// When an allocation is to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Never,
    Now,
    At(Timestamp),
}

/// When `alloc`, which failed or vanished at `since`, is due.
pub(super) fn due(
    alloc: &Allocation,
    policy: &ReschedulePolicy,
    since: Timestamp,
    now: Timestamp,
) -> Due {
    let delay = next_delay(&alloc.reschedules, policy, since);
    if !allowed(&alloc.reschedules, policy, since, delay) {
        return Due::Never;
    }
    let at = since.plus(delay);
    match at <= now.plus(DUE_WITHIN) {
        true => Due::Now,
        false => Due::At(at),
    }
}

/// When the allocation's last task ended; its last change if none did.
pub(super) fn failed_at(alloc: &Allocation) -> Timestamp {
    let ended = alloc.task_states.values().map(|s| s.finished_at).max();
    match ended {
        Some(at) if at.is_set() => at,
        Some(_) | None => alloc.modify_time,
    }
}

fn allowed(
    past: &[RescheduleEvent],
    policy: &ReschedulePolicy,
    since: Timestamp,
    delay: Duration,
) -> bool {
    if policy.unlimited {
        return true;
    }
    let recent = past
        .iter()
        .filter(|e| since.since(e.time) < policy.interval)
        .count();
    policy.attempts > 0
        && recent < policy.attempts as usize
        && (past.is_empty() || delay < policy.interval)
}

/// The delay before the next replacement.
pub(super) fn next_delay(
    past: &[RescheduleEvent],
    policy: &ReschedulePolicy,
    since: Timestamp,
) -> Duration {
    let Some(last) = past.last() else {
        return policy.delay;
    };
    let grown = match policy.function {
        DelayFunction::Constant => return policy.delay,
        DelayFunction::Exponential => last.delay.saturating_mul(2),
        DelayFunction::Fibonacci => match past.len().checked_sub(2).map(|i| past[i].delay) {
            // Right after a reset the sequence begins anew.
            Some(before) if before == policy.max_delay && last.delay == policy.delay => last.delay,
            Some(before) => last.delay.saturating_add(before),
            None => last.delay,
        },
    };
    if policy.max_delay.is_zero() || grown <= policy.max_delay {
        return grown;
    }
    // It ran longer than the longest delay: that counts as recovered.
    match since.since(last.time) > policy.max_delay {
        true => policy.delay,
        false => policy.max_delay,
    }
}

/// The history that the replacement of `previous` starts with.
pub(super) fn history(
    previous: &Allocation,
    policy: &ReschedulePolicy,
    now: Timestamp,
) -> Vec<RescheduleEvent> {
    let since = failed_at(previous);
    let mut events = previous.reschedules.clone();
    if policy.unlimited {
        let extra = (events.len() + 1).saturating_sub(EVENTS_MAX);
        events.drain(..extra);
    } else {
        events.retain(|e| now.since(e.time) < policy.interval);
    }
    events.push(RescheduleEvent {
        time: now,
        previous_alloc: previous.id,
        previous_node: previous.node_id,
        delay: next_delay(&previous.reschedules, policy, since),
    });
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AllocId, NodeId};

    const SECOND: i64 = 1_000_000_000;

    fn policy(function: DelayFunction, max_s: u64) -> ReschedulePolicy {
        ReschedulePolicy {
            attempts: 0,
            interval: Duration::ZERO,
            delay: Duration::from_secs(5),
            function,
            max_delay: Duration::from_secs(max_s),
            unlimited: true,
        }
    }

    /// The delays in seconds of `n` failures, each `run_s` after its replacement.
    fn delays(policy: &ReschedulePolicy, n: usize, run_s: i64) -> Vec<u64> {
        let mut past: Vec<RescheduleEvent> = Vec::new();
        let mut now = Timestamp(SECOND);
        let mut seen = Vec::new();
        for _ in 0..n {
            now = Timestamp(now.0 + run_s * SECOND);
            let delay = next_delay(&past, policy, now);
            seen.push(delay.as_secs());
            now = now.plus(delay);
            past.push(RescheduleEvent {
                time: now,
                previous_alloc: AllocId(uuid::Uuid::nil()),
                previous_node: NodeId(uuid::Uuid::nil()),
                delay,
            });
        }
        seen
    }

    #[test]
    fn delays_grow_as_their_function_says() {
        use DelayFunction::*;
        assert_eq!(delays(&policy(Constant, 0), 3, 1), [5, 5, 5]);
        assert_eq!(delays(&policy(Exponential, 30), 5, 1), [5, 10, 20, 30, 30]);
        assert_eq!(delays(&policy(Fibonacci, 30), 6, 1), [5, 5, 10, 15, 25, 30]);
    }

    #[test]
    fn a_long_run_at_the_longest_delay_starts_over() {
        let policy = policy(DelayFunction::Exponential, 10);
        assert_eq!(delays(&policy, 5, 60), [5, 10, 5, 10, 5]);
    }

    #[test]
    fn attempts_count_within_their_interval() {
        let bounded = ReschedulePolicy {
            attempts: 1,
            interval: Duration::from_secs(60),
            unlimited: false,
            ..policy(DelayFunction::Constant, 0)
        };
        let event = RescheduleEvent {
            time: Timestamp(100 * SECOND),
            previous_alloc: AllocId(uuid::Uuid::nil()),
            previous_node: NodeId(uuid::Uuid::nil()),
            delay: Duration::from_secs(5),
        };
        let at = |s: i64| Timestamp(s * SECOND);
        let delay = Duration::from_secs(5);
        assert!(allowed(&[], &bounded, at(110), delay));
        assert!(!allowed(&[event], &bounded, at(110), delay));
        assert!(allowed(&[event], &bounded, at(161), delay));
    }
}
