//! Restart, reschedule, update, migrate, disconnect.

use std::time::Duration;

use crate::model::duration;
use crate::model::job::{
    DelayFunction, Disconnect, MigrateStrategy, ReschedulePolicy, RestartMode, RestartPolicy,
    TaskGroup, UpdateStrategy,
};

const RESTART_INTERVAL_MIN: Duration = Duration::from_secs(5);
const RESCHEDULE_INTERVAL_MIN: Duration = Duration::from_secs(15);
const RESCHEDULE_DELAY_MIN: Duration = Duration::from_secs(5);

/// What is wrong with a group's policies.
pub(super) fn of_group(group: &TaskGroup) -> Vec<String> {
    let mut out = restart(&group.restart);
    out.extend(reschedule(&group.reschedule));
    if let Some(u) = &group.update {
        out.extend(update(u));
    }
    if let Some(m) = &group.migrate {
        out.extend(migrate(m));
    }
    if let Some(d) = &group.disconnect {
        out.extend(disconnect(d));
    }
    out
}

fn show(d: Duration) -> String {
    duration::format(d)
}

/// What is wrong with a restart policy.
pub(super) fn restart(p: &RestartPolicy) -> Vec<String> {
    let mut out = Vec::new();
    if p.attempts == 0 && p.mode != RestartMode::Fail {
        out.push(format!(
            "Restart policy \"delay\" with {} attempts is ambiguous",
            p.attempts
        ));
    }
    if p.interval < RESTART_INTERVAL_MIN {
        out.push(format!(
            "Interval can not be less than {} (got {})",
            show(RESTART_INTERVAL_MIN),
            show(p.interval)
        ));
    }
    let needed = p.delay.saturating_mul(p.attempts);
    if needed > p.interval {
        out.push(format!(
            "Nomad can't restart the TaskGroup {} times in an interval of {} with a delay of {}",
            p.attempts,
            show(p.interval),
            show(p.delay)
        ));
    }
    out
}

fn reschedule(p: &ReschedulePolicy) -> Vec<String> {
    let mut out = Vec::new();
    // No attempts at all switch rescheduling off; the rest then means nothing.
    if p.attempts == 0 && !p.unlimited {
        return out;
    }
    if p.unlimited && p.attempts > 0 {
        out.push(format!(
            "Reschedule attempts must be 0 when unlimited is set; got {}",
            p.attempts
        ));
    }
    if p.delay < RESCHEDULE_DELAY_MIN {
        out.push(format!(
            "Delay cannot be less than {} (got {})",
            show(RESCHEDULE_DELAY_MIN),
            show(p.delay)
        ));
    }
    if !p.unlimited && p.interval < RESCHEDULE_INTERVAL_MIN {
        out.push(format!(
            "Interval cannot be less than {} (got {})",
            show(RESCHEDULE_INTERVAL_MIN),
            show(p.interval)
        ));
    }
    if p.function != DelayFunction::Constant && p.max_delay < p.delay {
        out.push(format!(
            "Max Delay cannot be less than Delay {} (got {})",
            show(p.delay),
            show(p.max_delay)
        ));
    }
    out
}

fn update(u: &UpdateStrategy) -> Vec<String> {
    let mut out = Vec::new();
    if u.auto_promote && u.canary == 0 {
        out.push("Auto Promote requires a Canary count greater than zero".to_string());
    }
    if u.healthy_deadline.is_zero() {
        out.push("Healthy deadline must be greater than zero: 0s".to_string());
    }
    if u.min_healthy_time >= u.healthy_deadline {
        out.push(format!(
            "Minimum healthy time must be less than healthy deadline: {} > {}",
            show(u.min_healthy_time),
            show(u.healthy_deadline)
        ));
    }
    if !u.progress_deadline.is_zero() && u.healthy_deadline >= u.progress_deadline {
        out.push(format!(
            "Healthy deadline must be less than progress deadline: {} > {}",
            show(u.healthy_deadline),
            show(u.progress_deadline)
        ));
    }
    if u.stagger.is_zero() {
        out.push("Stagger must be greater than zero: 0s".to_string());
    }
    out
}

fn migrate(m: &MigrateStrategy) -> Vec<String> {
    let mut out = Vec::new();
    if m.max_parallel == 0 {
        out.push("MaxParallel must be greater than zero".to_string());
    }
    if m.healthy_deadline.is_zero() {
        out.push("HealthyDeadline must be greater than zero".to_string());
    }
    if m.min_healthy_time > m.healthy_deadline {
        out.push("MinHealthyTime must be less than HealthyDeadline".to_string());
    }
    out
}

fn disconnect(d: &Disconnect) -> Vec<String> {
    if d.stop_on_client_after.is_some() && !d.lost_after.is_zero() {
        return vec![
            "disconnect cannot be configured with both lost_after and stop_on_client_after"
                .to_string(),
        ];
    }
    Vec::new()
}
