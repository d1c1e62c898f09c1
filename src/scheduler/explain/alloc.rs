//! Why one allocation is as it is: its node, its tasks' events, its health, its replacement.

use std::sync::Arc;
use std::time::Duration;

use super::Case;
use super::words::{ago, count, quoted, sentence, span, step};
use crate::model::why::{AllocWhy, EventWhy, Step, TaskWhy, Verdict, Why, WhyKind};
use crate::model::{
    AllocClientStatus, AllocDesiredStatus, Allocation, EvalStatus, NodeStatus, TaskEvent,
    TaskPhase, TaskState, Timestamp, duration,
};
use crate::scheduler::reschedule::{Due, due, failed_at};

/// How many of a task's last events are told.
const EVENTS_MAX: usize = 4;
/// A task that was started again this recently is in trouble.
const RECENT: Duration = Duration::from_secs(600);

/// Explains an allocation that was asked for by itself.
pub(super) fn why(case: Case<'_>, alloc: &Arc<Allocation>) -> Why {
    let told = brief(case, alloc);
    Why {
        kind: WhyKind::Allocation,
        id: alloc.id.to_string(),
        name: alloc.name.clone(),
        namespace: alloc.namespace.to_string(),
        verdict: told.verdict,
        summary: told.summary.clone(),
        reasons: told.reasons.clone(),
        next: steps(alloc, &told),
        allocs: vec![told],
        ..Why::default()
    }
}

/// What to type about an allocation.
pub(super) fn steps(alloc: &Allocation, told: &AllocWhy) -> Vec<Step> {
    let id = alloc.id.short();
    let node = alloc.node_id.short();
    let mut steps = Vec::new();
    match alloc.client_status {
        AllocClientStatus::Lost | AllocClientStatus::Unknown => {
            steps.push(step(
                format!("tumen why {node}"),
                format!("what happened to node {}", alloc.node_name),
            ));
        }
        _ => {
            let started = |t: &&TaskWhy| {
                let state = alloc.task_states.get(&t.name);
                t.troubled && state.is_some_and(|s| s.started_at.is_set())
            };
            if let Some(task) = told.tasks.iter().find(started) {
                steps.push(step(
                    format!("tumen alloc logs -stderr {id} {}", task.name),
                    "everything that the task wrote to stderr",
                ));
            }
            steps.push(step(
                format!("tumen alloc status {id}"),
                "all events, ports and resources",
            ));
        }
    }
    if let Some(next) = alloc.next {
        steps.push(step(
            format!("tumen why {}", next.short()),
            "how its replacement does",
        ));
    }
    steps
}

/// Explains an allocation as a part of something.
pub(super) fn brief(case: Case<'_>, alloc: &Allocation) -> AllocWhy {
    let tasks: Vec<TaskWhy> = told_tasks(case, alloc);
    let (verdict, summary) = standing(case, alloc, &tasks);
    let mut reasons: Vec<String> = Vec::new();
    if matches!(
        alloc.client_status,
        AllocClientStatus::Failed | AllocClientStatus::Lost
    ) {
        reasons.extend(replacement(case, alloc));
    }
    reasons.extend(predecessor(case, alloc));
    AllocWhy {
        id: alloc.id,
        name: alloc.name.clone(),
        node: alloc.node_id,
        node_name: alloc.node_name.clone(),
        client_status: alloc.client_status.as_str().to_string(),
        verdict,
        summary: sentence(&format!(
            "instance {} ({}) {summary}",
            alloc.name,
            alloc.id.short()
        )),
        reasons,
        tasks,
        checks: Vec::new(),
        unreachable: String::new(),
    }
}

fn told_tasks(case: Case<'_>, alloc: &Allocation) -> Vec<TaskWhy> {
    let states = alloc.task_states.iter();
    states
        .map(|(name, state)| {
            let memory = alloc.resources.tasks.get(name).map(|t| t.memory_mb);
            task(case.now, name, state, memory)
        })
        .collect()
}

/// How it stands, and the rest of the sentence "instance x (id) …".
fn standing(case: Case<'_>, alloc: &Allocation, tasks: &[TaskWhy]) -> (Verdict, String) {
    let now = case.now;
    let on = format!("on node {}", alloc.node_name);
    let because = match quoted(&alloc.desired_description) {
        text if text.is_empty() => "it is no longer wanted".to_string(),
        text => text,
    };
    let stopping = alloc.desired != AllocDesiredStatus::Run;
    if stopping && !alloc.is_client_terminal() {
        return match node_gone(case, alloc) {
            Some(gone) => (Verdict::Waiting, format!("should stop, but {gone}")),
            None => (
                Verdict::Waiting,
                format!("is being stopped {on}: {because}"),
            ),
        };
    }
    match alloc.client_status {
        AllocClientStatus::Lost => {
            let gone = node_gone(case, alloc).unwrap_or_else(|| because.clone());
            (Verdict::Broken, format!("was lost with its node: {gone}"))
        }
        AllocClientStatus::Failed => (Verdict::Broken, failed(now, alloc, tasks)),
        AllocClientStatus::Complete if stopping => {
            let when = ago(now, failed_at(alloc));
            (Verdict::Ended, format!("was stopped {when}: {because}"))
        }
        AllocClientStatus::Complete => {
            let when = ago(now, failed_at(alloc));
            (Verdict::Ended, format!("did its work and ended {when}"))
        }
        AllocClientStatus::Unknown => {
            let gone = node_gone(case, alloc);
            let gone = gone.unwrap_or_else(|| format!("node {} is out of reach", alloc.node_name));
            (
                Verdict::Broken,
                format!("may still run, nobody knows: {gone}"),
            )
        }
        AllocClientStatus::Pending => starting(case, alloc, tasks),
        AllocClientStatus::Running => running(case, alloc, tasks),
    }
}

fn failed(now: Timestamp, alloc: &Allocation, tasks: &[TaskWhy]) -> String {
    let when = ago(now, failed_at(alloc));
    let culprit = tasks.iter().find(|t| t.troubled);
    match (culprit, quoted(&alloc.client_description)) {
        (Some(task), _) => format!("failed {when}: task \"{}\" {}", task.name, task.summary),
        (None, text) if text.is_empty() => format!("failed {when}"),
        (None, text) => format!("failed {when}: {text}"),
    }
}

fn starting(case: Case<'_>, alloc: &Allocation, tasks: &[TaskWhy]) -> (Verdict, String) {
    if let Some(gone) = node_gone(case, alloc) {
        return (Verdict::Waiting, format!("cannot start: {gone}"));
    }
    let since = ago(case.now, alloc.create_time);
    let task = tasks.iter().find(|t| t.troubled).or(tasks.first());
    match task {
        Some(task) => {
            let verdict = match task.troubled {
                true => Verdict::Broken,
                false => Verdict::Waiting,
            };
            (
                verdict,
                format!(
                    "does not run yet on node {} (placed {since}): task \"{}\" {}",
                    alloc.node_name, task.name, task.summary
                ),
            )
        }
        None => (
            Verdict::Waiting,
            format!(
                "was given to node {} {since}; its client has not taken it up yet",
                alloc.node_name
            ),
        ),
    }
}

fn running(case: Case<'_>, alloc: &Allocation, tasks: &[TaskWhy]) -> (Verdict, String) {
    let on = format!("on node {}", alloc.node_name);
    if let Some(gone) = node_gone(case, alloc) {
        return (Verdict::Waiting, format!("ran until lately, but {gone}"));
    }
    if let Some(task) = tasks.iter().find(|t| t.troubled) {
        let text = format!(
            "does not stay up {on}: task \"{}\" {}",
            task.name, task.summary
        );
        return (Verdict::Broken, text);
    }
    let health = alloc.deployment_health.and_then(|h| h.healthy);
    let started = alloc.task_states.values().map(|s| s.started_at).max();
    let since = started.filter(|s| s.is_set());
    let for_so_long = since.map_or(String::new(), |s| format!(" for {}", span(case.now, s)));
    match (health, alloc.deployment_id) {
        (Some(false), _) => {
            let event = alloc.task_states.values().flat_map(|s| &s.events).rev();
            let reason = event.into_iter().find(|e| e.kind == "Alloc Unhealthy");
            let reason = reason.map_or(String::new(), |e| format!(": {}", quoted(&e.message)));
            (
                Verdict::Broken,
                format!("runs {on}{for_so_long} but is not healthy{reason}"),
            )
        }
        (None, Some(_)) => {
            let needs = health_rule(alloc);
            (
                Verdict::Waiting,
                format!(
                    "runs {on}{for_so_long} and does not count as healthy yet: it must run{needs}"
                ),
            )
        }
        (Some(true), _) => (
            Verdict::Fine,
            format!("runs {on}{for_so_long} and is healthy"),
        ),
        (None, None) => (Verdict::Fine, format!("runs {on}{for_so_long}")),
    }
}

/// What the allocation must do to count as healthy: the end of "it must run".
fn health_rule(alloc: &Allocation) -> String {
    let Some(group) = alloc.task_group() else {
        return String::new();
    };
    let checked = group.all_services().any(|s| !s.checks.is_empty());
    let checks = if checked {
        "with its checks passing "
    } else {
        ""
    };
    let time = group.update.map(|u| u.min_healthy_time).unwrap_or_default();
    format!(
        " {checks}for {} without a break (min_healthy_time)",
        duration::format(time)
    )
}

/// What happened to the allocation's node, if it is not there.
fn node_gone(case: Case<'_>, alloc: &Allocation) -> Option<String> {
    let name = &alloc.node_name;
    let Some(node) = case.view.node(alloc.node_id) else {
        return Some(format!("node {name} is not part of the cluster any more"));
    };
    let since = ago(case.now, node.status_updated_at);
    match node.status {
        NodeStatus::Down => Some(format!("node {name} went down {since}")),
        NodeStatus::Disconnected => Some(format!("node {name} is out of reach, since {since}")),
        NodeStatus::Initializing | NodeStatus::Ready => None,
    }
}

/// Whether and when something takes the place of an allocation that ended badly.
pub(super) fn replacement(case: Case<'_>, alloc: &Allocation) -> Option<String> {
    if let Some(next) = alloc.next {
        return Some(format!("It was replaced by {}.", next.short()));
    }
    if alloc.desired != AllocDesiredStatus::Run && alloc.client_status != AllocClientStatus::Lost {
        return Some("Nothing takes its place: it was not wanted any more.".to_string());
    }
    let waiting = alloc.follow_up.and_then(|id| case.evals.eval(id));
    let waiting = waiting.filter(|e| e.status == EvalStatus::Pending);
    if let Some(eval) = waiting.filter(|e| e.wait_until > case.now) {
        return Some(format!(
            "It is replaced in {} (the reschedule block's delay; evaluation {}).",
            span(eval.wait_until, case.now),
            eval.id.short()
        ));
    }
    let job = case.view.job(&alloc.job_key()).filter(|j| !j.stop)?;
    let unplaced = case.blocked(&alloc.job_key());
    if unplaced.is_some_and(|e| e.queued.get(&alloc.group).is_some_and(|n| *n > 0)) {
        return Some("Its replacement found no node.".to_string());
    }
    if alloc.client_status == AllocClientStatus::Lost {
        return Some("It is replaced as soon as a scheduler takes the job up.".to_string());
    }
    let policy = job.group(&alloc.group)?.reschedule;
    Some(match due(alloc, &policy, failed_at(alloc), case.now) {
        Due::Never if policy.attempts == 0 => {
            "It is not replaced: the group's reschedule block allows no attempt.".to_string()
        }
        Due::Never => format!(
            "It is not replaced: the group's reschedule block allows {} in {}, and that is used up.",
            count(policy.attempts, "attempt"),
            duration::format(policy.interval)
        ),
        Due::Now if alloc.deployment_id.is_some() => {
            "It is replaced once its deployment allows that; a failed deployment does not."
                .to_string()
        }
        Due::Now => "It is due to be replaced now.".to_string(),
        Due::At(at) => format!(
            "It is replaced in {} (reschedule delay).",
            span(at, case.now)
        ),
    })
}

/// What became of the allocation that this one replaces, if that ended badly.
fn predecessor(case: Case<'_>, alloc: &Allocation) -> Option<String> {
    let previous = case.view.alloc(alloc.previous?)?;
    let ended = match previous.client_status {
        AllocClientStatus::Failed => failed(case.now, &previous, &told_tasks(case, &previous)),
        AllocClientStatus::Lost => format!("was lost with node {}", previous.node_name),
        _ => return None,
    };
    let tries = alloc.reschedules.len();
    let tries = match tries {
        0 | 1 => String::new(),
        n => format!(" ({n} replacements so far)"),
    };
    Some(format!(
        "It replaces {}, which {ended}{tries}.",
        previous.id.short()
    ))
}

fn task(now: Timestamp, name: &str, state: &TaskState, memory_mb: Option<u32>) -> TaskWhy {
    let events = &state.events;
    let last = |kind: &str| events.iter().rev().find(|e| e.kind == kind);
    let ending = events.iter().rev().find_map(|e| ending(e, memory_mb));
    let again =
        state.restarts > 0 && state.last_restart.is_set() && now.since(state.last_restart) < RECENT;
    let times = count(state.restarts, "time");
    let (troubled, summary) = match state.phase {
        TaskPhase::Dead if state.failed => {
            let why = ending.unwrap_or_else(|| "failed".to_string());
            let stays = last("Not Restarting").map_or(String::new(), |e| {
                format!("; it is not started again: {}", quoted(&e.message))
            });
            (true, format!("{why}{stays}"))
        }
        TaskPhase::Dead => {
            let why = ending.unwrap_or_else(|| "ended".to_string());
            (false, why)
        }
        TaskPhase::Pending => match (last("Restarting"), ending) {
            (Some(next), Some(why)) => {
                let at = next.details.get("start_delay");
                let delay = at.and_then(|d| d.parse().ok()).map(Duration::from_nanos);
                let left = delay.map(|d| span(next.time.plus(d), now));
                let left = left.unwrap_or_else(|| "a moment".to_string());
                (
                    true,
                    format!("{why}; it is started again in {left}, restarted {times} so far"),
                )
            }
            (_, _) => (false, preparing(now, events.last())),
        },
        TaskPhase::Running if again => {
            let when = ago(now, state.last_restart);
            let why = ending.map_or(String::new(), |w| format!(": before that it {w}"));
            (true, format!("was restarted {times}, last {when}{why}"))
        }
        TaskPhase::Running => (false, format!("runs since {}", ago(now, state.started_at))),
    };
    TaskWhy {
        name: name.to_string(),
        state: state.phase.as_str().to_string(),
        troubled,
        restarts: state.restarts,
        summary,
        events: last_events(events),
        log: None,
    }
}

/// What a task that never ran is about to do.
fn preparing(now: Timestamp, event: Option<&TaskEvent>) -> String {
    match event {
        None => "has not been touched yet".to_string(),
        Some(e) => format!(
            "is being prepared: {} ({})",
            quoted(&e.message),
            ago(now, e.time)
        ),
    }
}

/// How a run of the task came to its end, if the event is about that.
fn ending(event: &TaskEvent, memory_mb: Option<u32>) -> Option<String> {
    let detail = |key: &str| {
        event
            .details
            .get(key)
            .map(String::as_str)
            .unwrap_or_default()
    };
    match event.kind.as_str() {
        "Terminated" => {
            let message = match quoted(detail("exit_message")) {
                text if text.is_empty() => text,
                text => format!(" ({text})"),
            };
            Some(match (detail("oom_killed"), detail("signal")) {
                ("true", _) => {
                    let limit = memory_mb.map_or(String::new(), |m| {
                        format!(" of {} MiB", super::words::number(u64::from(m)))
                    });
                    format!("used more than its memory{limit} and was killed")
                }
                (_, "" | "0") => format!("exited with code {}{message}", detail("exit_code")),
                (_, signal) => format!("was ended by signal {signal}{message}"),
            })
        }
        "Driver Failure" | "Setup Failure" | "Failed Validation" => {
            Some(format!("could not be started: {}", quoted(&event.message)))
        }
        "Sibling Task Failed" | "Leader Task Dead" | "Main Tasks Dead" => {
            Some(quoted(&event.message).to_lowercase())
        }
        _ => None,
    }
}

fn last_events(events: &[TaskEvent]) -> Vec<EventWhy> {
    let skipped = events.len().saturating_sub(EVENTS_MAX);
    let last = events.iter().skip(skipped).map(|e| EventWhy {
        time: e.time,
        kind: e.kind.clone(),
        message: e.message.clone(),
    });
    last.collect()
}
