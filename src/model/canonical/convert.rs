//! Turns a filled-in draft into the spec that is stored.

use std::time::Duration;

use super::{At, CanonicalDefaults, Notes};
use crate::model::constraint::{Affinity, Constraint, Operand, Spread, SpreadTarget};
use crate::model::draft::{
    AffinityDraft, ConstraintDraft, DisconnectDraft, GroupDraft, JobDraft, LogsDraft, MigrateDraft,
    Nanos, RescheduleDraft, RestartDraft, SpreadDraft, TaskDraft, UiDraft, UpdateDraft,
};
use crate::model::job::{
    DelayFunction, Disconnect, HealthCheck, JobSpec, JobType, JobUi, Lifecycle, LifecycleHook,
    LogConfig, MigrateStrategy, ReconcileChoice, ReschedulePolicy, RestartMode, RestartPolicy,
    Task, TaskGroup, UpdateStrategy,
};
use crate::model::value::ConfigValue;

pub(super) mod network;
pub(super) mod service;

/// A whole number that the job's author gave, or 0 and a violation if it does not fit.
pub(super) fn whole<T: TryFrom<i64> + Default>(
    value: Option<i64>,
    what: &str,
    at: At<'_>,
    notes: &mut Notes,
) -> T {
    let value = value.unwrap_or(0);
    T::try_from(value).unwrap_or_else(|_| {
        let why = if value < 0 {
            "can't be negative"
        } else {
            "is too large"
        };
        notes.wrong(at, format!("{what} {why}: {value}"));
        T::default()
    })
}

/// A duration that the job's author gave, or 0 and a violation if it is negative.
pub(super) fn duration(
    value: Option<Nanos>,
    what: &str,
    at: At<'_>,
    notes: &mut Notes,
) -> Duration {
    let Nanos(nanos) = value.unwrap_or_default();
    u64::try_from(nanos).map_or_else(
        |_| {
            notes.wrong(at, format!("{what} must be a positive value"));
            Duration::ZERO
        },
        Duration::from_nanos,
    )
}

pub(super) fn text(value: &Option<String>) -> String {
    value.clone().unwrap_or_default()
}

/// Converts every element of an optional list.
pub(super) fn each<D, T>(list: &Option<Vec<D>>, convert: impl FnMut(&D) -> T) -> Vec<T> {
    list.iter().flatten().map(convert).collect()
}

pub(super) fn job(job: &JobDraft, defaults: &CanonicalDefaults, notes: &mut Notes) -> JobSpec {
    let kind = kind(job, notes);
    let region = text(&job.region);
    let datacenters = job.datacenters.clone().filter(|list| !list.is_empty());
    let node_pool = text(&job.node_pool);
    let groups = each(&job.groups, |g| group(g, job, kind, notes));
    let priority = job.priority.unwrap_or(0);
    if !(1..=100).contains(&priority) {
        notes.wrong(At::JOB, "job priority must be between [1, 100]");
    }
    JobSpec {
        region: if region == "global" {
            defaults.region.clone()
        } else {
            region
        },
        namespace: text(&job.namespace).into(),
        id: text(&job.id).into(),
        name: text(&job.name),
        kind: kind.unwrap_or(JobType::Service),
        priority: u8::try_from(priority).unwrap_or(0),
        all_at_once: job.all_at_once.unwrap_or(false),
        datacenters: datacenters.unwrap_or_else(|| vec!["*".to_string()]),
        node_pool: if node_pool.is_empty() {
            defaults.node_pool.clone()
        } else {
            node_pool
        },
        constraints: constraints(&job.constraints, At::JOB, notes),
        affinities: affinities(&job.affinities, At::JOB, notes),
        spreads: spreads(&job.spreads, At::JOB, notes),
        groups,
        meta: job.meta.clone().unwrap_or_default(),
        ui: job.ui.as_ref().map(ui),
        update: job
            .update
            .as_ref()
            .filter(|_| kind == Some(JobType::Service))
            .map(|u| {
                let stagger = duration(u.stagger, "update.stagger", At::JOB, notes);
                let parallel = whole(u.max_parallel, "update.max_parallel", At::JOB, notes);
                (stagger, parallel)
            }),
    }
}

/// The job's type; `None` after a violation.
fn kind(job: &JobDraft, notes: &mut Notes) -> Option<JobType> {
    match job.kind.as_deref().unwrap_or("service") {
        "service" => Some(JobType::Service),
        "batch" => Some(JobType::Batch),
        kind @ ("system" | "sysbatch") => {
            notes.refuse(At::JOB, true, &format!("the job type {kind:?}"));
            None
        }
        other => {
            notes.wrong(At::JOB, format!("Invalid job type: {other:?}"));
            None
        }
    }
}

fn ui(ui: &UiDraft) -> JobUi {
    JobUi {
        description: text(&ui.description),
        links: each(&ui.links, |link| (text(&link.label), text(&link.url))),
    }
}

pub(super) fn constraints(
    list: &Option<Vec<ConstraintDraft>>,
    at: At<'_>,
    notes: &mut Notes,
) -> Vec<Constraint> {
    each(list, |c| Constraint {
        left: text(&c.left),
        operand: operand(&c.operand, at, notes),
        right: text(&c.right),
    })
}

fn affinities(list: &Option<Vec<AffinityDraft>>, at: At<'_>, notes: &mut Notes) -> Vec<Affinity> {
    each(list, |a| Affinity {
        left: text(&a.left),
        operand: operand(&a.operand, at, notes),
        right: text(&a.right),
        weight: whole(a.weight, "affinity weight", at, notes),
    })
}

fn operand(given: &Option<String>, at: At<'_>, notes: &mut Notes) -> Operand {
    let given = given.as_deref().unwrap_or("");
    Operand::parse(given).unwrap_or_else(|| {
        notes.wrong(at, format!("Unknown constraint type {given:?}"));
        Operand::Equal
    })
}

fn spreads(list: &Option<Vec<SpreadDraft>>, at: At<'_>, notes: &mut Notes) -> Vec<Spread> {
    each(list, |s| Spread {
        attribute: text(&s.attribute),
        weight: whole(s.weight, "spread weight", at, notes),
        targets: each(&s.targets, |t| SpreadTarget {
            value: text(&t.value),
            percent: whole(t.percent, "spread target percent", at, notes),
        }),
    })
}

fn group(
    group: &GroupDraft,
    job: &JobDraft,
    kind: Option<JobType>,
    notes: &mut Notes,
) -> TaskGroup {
    let name = text(&group.name);
    let at = At::group(&name);
    if group.count.is_some_and(|n| n < 0) {
        notes.wrong(at, "Task group count can't be negative");
    }
    if kind != Some(JobType::Service) {
        let kind = job.kind.as_deref().unwrap_or("");
        let blocks = [
            ("update", group.update.is_some()),
            ("migrate", group.migrate.is_some()),
        ];
        // System jobs, refused as such, may have an update block.
        for (block, _) in blocks
            .iter()
            .filter(|(_, given)| *given && kind != "system")
        {
            notes.wrong(
                at,
                format!("Job type {kind:?} does not allow {block} block"),
            );
        }
    }
    let count = u32::try_from(group.count.unwrap_or(0).max(0)).unwrap_or(u32::MAX);
    let service = kind == Some(JobType::Service);
    let update = group.update.as_ref().filter(|_| service);
    let update = update.map(|u| self::update(u, at, notes));
    let disk = group.ephemeral_disk.as_ref().and_then(|d| d.size_mb);
    let shutdown_delay = duration(group.shutdown_delay, "shutdown_delay", at, notes);
    TaskGroup {
        count,
        constraints: constraints(&group.constraints, at, notes),
        affinities: affinities(&group.affinities, at, notes),
        spreads: spreads(&group.spreads, at, notes),
        tasks: each(&group.tasks, |t| task(t, at, notes)),
        networks: each(&group.networks, |n| network::network(n, at, notes)),
        services: each(&group.services, |s| service::service(s, None, at, notes)),
        restart: restart(group.restart.as_ref(), at, notes),
        reschedule: reschedule(group.reschedule.as_ref(), at, notes),
        update,
        migrate: group
            .migrate
            .as_ref()
            .filter(|_| service)
            .map(|m| migrate(m, at, notes)),
        disconnect: disconnect(group, at, notes),
        ephemeral_disk_mb: whole(disk, "ephemeral_disk size", at, notes),
        meta: group.meta.clone().unwrap_or_default(),
        shutdown_delay,
        max_run_duration: group
            .max_run_duration
            .map(|d| duration(Some(d), "max_run_duration", at, notes)),
        name: name.clone(),
    }
}

fn update(u: &UpdateDraft, at: At<'_>, notes: &mut Notes) -> UpdateStrategy {
    UpdateStrategy {
        stagger: duration(u.stagger, "update.stagger", at, notes),
        max_parallel: whole(u.max_parallel, "update.max_parallel", at, notes),
        health_check: health_check(&u.health_check, at, notes),
        min_healthy_time: duration(u.min_healthy_time, "update.min_healthy_time", at, notes),
        healthy_deadline: duration(u.healthy_deadline, "update.healthy_deadline", at, notes),
        progress_deadline: duration(u.progress_deadline, "update.progress_deadline", at, notes),
        auto_revert: u.auto_revert.unwrap_or(false),
        auto_promote: u.auto_promote.unwrap_or(false),
        canary: whole(u.canary, "update.canary", at, notes),
    }
}

fn health_check(given: &Option<String>, at: At<'_>, notes: &mut Notes) -> HealthCheck {
    match given.as_deref().unwrap_or("checks") {
        "checks" => HealthCheck::Checks,
        "task_states" => HealthCheck::TaskStates,
        "manual" => HealthCheck::Manual,
        other => {
            notes.wrong(at, format!("Invalid health check given: {other:?}"));
            HealthCheck::Checks
        }
    }
}

fn migrate(m: &MigrateDraft, at: At<'_>, notes: &mut Notes) -> MigrateStrategy {
    MigrateStrategy {
        max_parallel: whole(m.max_parallel, "migrate.max_parallel", at, notes),
        health_check: health_check(&m.health_check, at, notes),
        min_healthy_time: duration(m.min_healthy_time, "migrate.min_healthy_time", at, notes),
        healthy_deadline: duration(m.healthy_deadline, "migrate.healthy_deadline", at, notes),
    }
}

pub(super) fn restart(
    given: Option<&RestartDraft>,
    at: At<'_>,
    notes: &mut Notes,
) -> RestartPolicy {
    let own = given.cloned().unwrap_or_default();
    RestartPolicy {
        attempts: whole(own.attempts, "restart.attempts", at, notes),
        interval: duration(own.interval, "restart.interval", at, notes),
        delay: duration(own.delay, "restart.delay", at, notes),
        mode: match own.mode.as_deref().unwrap_or("fail") {
            "fail" => RestartMode::Fail,
            "delay" => RestartMode::Delay,
            other => {
                notes.wrong(at, format!("Unsupported restart mode: {other:?}"));
                RestartMode::Fail
            }
        },
        render_templates: own.render_templates.unwrap_or(false),
    }
}

fn reschedule(given: Option<&RescheduleDraft>, at: At<'_>, notes: &mut Notes) -> ReschedulePolicy {
    let own = given.cloned().unwrap_or_default();
    ReschedulePolicy {
        attempts: whole(own.attempts, "reschedule.attempts", at, notes),
        interval: duration(own.interval, "reschedule.interval", at, notes),
        delay: duration(own.delay, "reschedule.delay", at, notes),
        function: match own.delay_function.as_deref().unwrap_or("constant") {
            "constant" => DelayFunction::Constant,
            "exponential" => DelayFunction::Exponential,
            "fibonacci" => DelayFunction::Fibonacci,
            other => {
                notes.wrong(
                    at,
                    format!(
                        "Invalid delay function {other:?}, must be one of [\"constant\" \
                         \"exponential\" \"fibonacci\"]"
                    ),
                );
                DelayFunction::Constant
            }
        },
        max_delay: duration(own.max_delay, "reschedule.max_delay", at, notes),
        unlimited: own.unlimited.unwrap_or(false),
    }
}

/// The disconnect block, or the three older arguments that it replaced.
fn disconnect(group: &GroupDraft, at: At<'_>, notes: &mut Notes) -> Option<Disconnect> {
    let older = group.max_client_disconnect.is_some()
        || group.stop_after_client_disconnect.is_some()
        || group.prevent_reschedule_on_lost == Some(true);
    let own = match &group.disconnect {
        Some(own) => {
            if older {
                notes.warn(
                    at,
                    "max_client_disconnect, stop_after_client_disconnect and \
                     prevent_reschedule_on_lost are ignored beside a disconnect block",
                );
            }
            own.clone()
        }
        None if older => DisconnectDraft {
            lost_after: group.max_client_disconnect,
            stop_on_client_after: group.stop_after_client_disconnect,
            replace: Some(group.prevent_reschedule_on_lost != Some(true)),
            reconcile: None,
        },
        None => return None,
    };
    Some(Disconnect {
        lost_after: duration(own.lost_after, "disconnect.lost_after", at, notes),
        stop_on_client_after: own
            .stop_on_client_after
            .filter(|d| *d != Nanos(0))
            .map(|d| duration(Some(d), "disconnect.stop_on_client_after", at, notes)),
        replace: own.replace.unwrap_or(true),
        reconcile: match own.reconcile.as_deref().unwrap_or("best_score") {
            "" | "best_score" => ReconcileChoice::BestScore,
            "keep_original" => ReconcileChoice::KeepOriginal,
            "keep_replacement" => ReconcileChoice::KeepReplacement,
            "longest_running" => ReconcileChoice::LongestRunning,
            other => {
                notes.wrong(at, format!("Invalid disconnect.reconcile value {other:?}"));
                ReconcileChoice::BestScore
            }
        },
    })
}

fn task(task: &TaskDraft, group: At<'_>, notes: &mut Notes) -> Task {
    let name = text(&task.name);
    let at = group.task(&name);
    let config = task
        .config
        .clone()
        .unwrap_or_else(|| ConfigValue::Map(Vec::new()));
    let driver = text(&task.driver);
    Task {
        resources: network::resources(task, &driver, &config, at, notes),
        services: each(&task.services, |s| {
            service::service(s, Some(&name), at, notes)
        }),
        driver,
        user: text(&task.user),
        config,
        env: task.env.clone().unwrap_or_default(),
        constraints: constraints(&task.constraints, at, notes),
        affinities: affinities(&task.affinities, at, notes),
        restart: restart(task.restart.as_ref(), at, notes),
        lifecycle: lifecycle(task, at, notes),
        meta: task.meta.clone().unwrap_or_default(),
        kill_timeout: duration(task.kill_timeout, "KillTimeout", at, notes),
        kill_signal: text(&task.kill_signal),
        shutdown_delay: duration(task.shutdown_delay, "ShutdownDelay", at, notes),
        logs: logs(task.logs.as_ref(), at, notes),
        leader: task.leader.unwrap_or(false),
        name: name.clone(),
    }
}

fn lifecycle(task: &TaskDraft, at: At<'_>, notes: &mut Notes) -> Option<Lifecycle> {
    let own = task.lifecycle.as_ref()?;
    let hook = match own.hook.as_deref().unwrap_or("") {
        "prestart" => LifecycleHook::Prestart,
        "poststart" => LifecycleHook::Poststart,
        "poststop" => LifecycleHook::Poststop,
        "" => {
            notes.wrong(at, "no lifecycle hook provided");
            return None;
        }
        other => {
            notes.wrong(at, format!("invalid hook: {other}"));
            return None;
        }
    };
    Some(Lifecycle {
        hook,
        sidecar: own.sidecar.unwrap_or(false),
    })
}

fn logs(given: Option<&LogsDraft>, at: At<'_>, notes: &mut Notes) -> LogConfig {
    let own = given.cloned().unwrap_or_default();
    LogConfig {
        max_files: whole(own.max_files, "logs.max_files", at, notes),
        max_file_size_mb: whole(own.max_file_size_mb, "logs.max_file_size", at, notes),
        disabled: own.disabled.unwrap_or(false),
    }
}
