//! Why a job does not run as it should: its groups, its deployment, its troubled instances.

use std::sync::Arc;

use super::words::{ago, count, has, is, quoted, sentence, span, step};
use super::{Case, alloc, placement};
use crate::model::why::{AllocWhy, GroupWhy, Step, Verdict, Why, WhyKind};
use crate::model::{
    AllocClientStatus, AllocDesiredStatus, Allocation, Deployment, DeploymentStatus, EvalStatus,
    EvalTrigger, Job, JobKey, JobType, TaskGroup,
};

/// How many troubled instances are told in full.
const ALLOCS_MAX: usize = 3;
/// How many commands are proposed.
const STEPS_MAX: usize = 4;

/// Explains a job.
pub(super) fn why(case: Case<'_>, job: &Job) -> Why {
    let key = job.key();
    let mut why = Why {
        kind: WhyKind::Job,
        id: job.spec.id.to_string(),
        name: job.spec.name.clone(),
        namespace: job.spec.namespace.to_string(),
        ..Why::default()
    };
    if job.stop {
        stopped(case, job, &mut why);
        return why;
    }
    why.groups = job
        .spec
        .groups
        .iter()
        .map(|g| group(case, job, g))
        .collect();
    let all = troubled(case, job);
    let (mut verdict, told) = standing(case, job, &why.groups, &all);
    let rest = u32::try_from(all.len().saturating_sub(ALLOCS_MAX)).unwrap_or(u32::MAX);
    let told_allocs: Vec<AllocWhy> = all.into_iter().take(ALLOCS_MAX).collect();
    let deployment = case.view.latest_deployment(&key);
    let deployment = deployment.filter(|d| d.job_version == job.version);
    why.next = placement_steps(case, &key, &why.groups);
    if let Some((state, reasons, steps)) = deployment.and_then(|d| roll_out(case, job, &d)) {
        verdict = verdict.max(state);
        why.reasons.extend(reasons);
        why.next.extend(steps);
    }
    for brief in &told_allocs {
        verdict = verdict.max(brief.verdict);
        if let Some(found) = case.view.alloc(brief.id) {
            why.next.extend(alloc::steps(&found, brief));
        }
    }
    if rest > 0 {
        why.reasons.push(format!(
            "{} more {} in trouble; those below are the newest.",
            count(rest, "instance"),
            is(rest)
        ));
    }
    let mut seen = std::collections::BTreeSet::new();
    why.next.retain(|s| seen.insert(s.command.clone()));
    why.next.truncate(STEPS_MAX);
    if why.next.is_empty() {
        why.next.push(step(
            format!("tumen job status {}", job.spec.id),
            "its instances and where they run",
        ));
    }
    why.allocs = told_allocs;
    why.verdict = verdict;
    why.summary = sentence(&format!("job \"{}\" {told}", job.spec.id));
    why
}

fn stopped(case: Case<'_>, job: &Job, why: &mut Why) {
    let evals = case.evals.of_job(&job.key()).into_iter();
    let stop = evals
        .filter(|e| e.trigger == EvalTrigger::JobDeregister)
        .map(|e| e.create_time)
        .max();
    let when = stop.map_or(String::new(), |t| format!(" {}", ago(case.now, t)));
    why.summary = sentence(&format!(
        "job \"{}\" was stopped{when}; nothing of it should run",
        job.spec.id
    ));
    why.verdict = Verdict::Ended;
    let allocs = case.view.allocs_of_job(&job.key());
    let left = allocs.iter().filter(|a| !a.is_client_terminal()).count() as u64;
    if left > 0 {
        why.verdict = Verdict::Waiting;
        let verb = if left == 1 { "is" } else { "are" };
        why.reasons
            .push(format!("{} {verb} still ending.", count(left, "instance")));
    }
    why.next.push(step(
        format!("tumen job start {}", job.spec.id),
        "runs it again as it was",
    ));
}

/// How it stands, and the rest of the sentence "job x …".
fn standing(
    case: Case<'_>,
    job: &Job,
    groups: &[GroupWhy],
    troubled: &[AllocWhy],
) -> (Verdict, String) {
    let sum = |of: fn(&GroupWhy) -> u32| groups.iter().map(of).sum::<u32>();
    let wanted = sum(|g| g.wanted);
    let (unplaced, failed, starting) =
        (sum(|g| g.unplaced), sum(|g| g.failed), sum(|g| g.starting));
    let (running, healthy, complete) =
        (sum(|g| g.running), sum(|g| g.healthy), sum(|g| g.complete));
    if wanted == 0 {
        let text = "wants no instance: the count of every group is 0";
        return (Verdict::Ended, text.to_string());
    }
    if job.spec.kind == JobType::Batch && complete >= wanted {
        let text = format!(
            "is done: {complete} of {} did the work",
            count(wanted, "instance")
        );
        return (Verdict::Ended, text);
    }
    let broken = |status: &str| {
        let of = |a: &&AllocWhy| a.verdict == Verdict::Broken && a.client_status == status;
        u32::try_from(troubled.iter().filter(of).count()).unwrap_or(u32::MAX)
    };
    let (falling, unwell) = (broken("pending"), broken("running"));
    let starting = starting.saturating_sub(falling);
    let mut lacks = Vec::new();
    if falling > 0 {
        let verb = if falling == 1 { "does" } else { "do" };
        lacks.push(format!("{} {verb} not stay up", count(falling, "instance")));
    }
    if unwell > 0 {
        let verb = is(unwell);
        lacks.push(format!("{} {verb} not well", count(unwell, "instance")));
    }
    if unplaced > 0 {
        lacks.push(format!(
            "{} {} no node",
            count(unplaced, "instance"),
            has(unplaced)
        ));
    }
    if failed > 0 {
        lacks.push(format!("{} failed", count(failed, "instance")));
    }
    if starting > 0 {
        let verb = is(starting);
        lacks.push(format!("{} {verb} starting", count(starting, "instance")));
    }
    let running_total = format!("{running} of {wanted} running");
    if lacks.is_empty() {
        return match (
            running >= wanted,
            healthy >= running && has_health(case, job),
        ) {
            (true, true) => (
                Verdict::Fine,
                format!("runs: {healthy} of {wanted} healthy"),
            ),
            (true, false) if has_health(case, job) => (
                Verdict::Waiting,
                format!("runs: {running_total}, {healthy} healthy"),
            ),
            (true, false) => (Verdict::Fine, format!("runs: {running_total}")),
            (false, _) if job.spec.kind == JobType::Batch => (
                Verdict::Fine,
                format!("is at work: {running_total}, {complete} done"),
            ),
            (false, _) => (
                Verdict::Waiting,
                format!("does not fully run: {running_total}"),
            ),
        };
    }
    let verdict = match unplaced + failed + falling + unwell {
        0 => Verdict::Waiting,
        _ => Verdict::Broken,
    };
    let how = match running {
        0 => "does not run",
        _ => "does not fully run",
    };
    (
        verdict,
        format!("{how}: {} ({running_total})", super::words::list(&lacks)),
    )
}

/// Whether any instance has been judged in a deployment.
fn has_health(case: Case<'_>, job: &Job) -> bool {
    let allocs = case.view.allocs_of_job(&job.key());
    let mut live = allocs.iter().filter(|a| !a.is_terminal());
    live.any(|a| a.deployment_id.is_some())
}

/// Explains one group.
pub(super) fn group(case: Case<'_>, job: &Job, group: &TaskGroup) -> GroupWhy {
    let key = job.key();
    let allocs = case.view.allocs_of_job(&key);
    let mut told = GroupWhy {
        name: group.name.clone(),
        wanted: group.count,
        ..GroupWhy::default()
    };
    for alloc in allocs.iter().filter(|a| a.group == group.name) {
        tally(&mut told, job, alloc);
    }
    let blocked = case.blocked(&key);
    let queued = blocked.as_ref().and_then(|e| e.queued.get(&group.name));
    let there = told.running + told.starting + told.failed + told.complete;
    let missing = group.count.saturating_sub(there);
    told.unplaced = match (queued, &blocked) {
        (Some(n), _) if *n > 0 => *n,
        (_, _) => missing,
    };
    if told.unplaced == 0 {
        return told;
    }
    told.reasons = waits(case, &key, &group.name, told.unplaced);
    told.placement = Some(placement::placement(case.view, job, group));
    told
}

fn tally(told: &mut GroupWhy, job: &Job, alloc: &Allocation) {
    let wanted = alloc.desired == AllocDesiredStatus::Run;
    let same = alloc.job.create_index == job.create_index;
    match alloc.client_status {
        AllocClientStatus::Running if wanted => {
            told.running += 1;
            let health = alloc.deployment_health.and_then(|h| h.healthy);
            let counts = match alloc.deployment_id {
                Some(_) => health == Some(true),
                None => health != Some(false),
            };
            told.healthy += u32::from(counts);
        }
        AllocClientStatus::Pending if wanted => told.starting += 1,
        AllocClientStatus::Failed if wanted && alloc.next.is_none() && same => told.failed += 1,
        AllocClientStatus::Complete if job.spec.kind == JobType::Batch && same => {
            told.complete += u32::from(wanted);
        }
        AllocClientStatus::Pending
        | AllocClientStatus::Running
        | AllocClientStatus::Complete
        | AllocClientStatus::Failed
        | AllocClientStatus::Lost
        | AllocClientStatus::Unknown => {}
    }
}

/// Since when instances have been without a node, and what that waits for.
fn waits(case: Case<'_>, key: &JobKey, group: &str, unplaced: u32) -> Vec<String> {
    let what = count(unplaced, "instance");
    if let Some(eval) = case.pending(key) {
        return vec![format!(
            "Evaluation {}, made {}, is about to be looked at by a scheduler; {what} may find a \
             node then.",
            eval.id.short(),
            ago(case.now, eval.create_time),
        )];
    }
    if let Some(eval) = case.blocked(key) {
        let verb = if unplaced == 1 { "has" } else { "have" };
        let conflict = match eval.trigger {
            EvalTrigger::MaxPlanAttempts => ", after plans that did not fit any more",
            _ => "",
        };
        return vec![format!(
            "{what} {verb} waited for room since {}{conflict} (evaluation {}). That is tried \
             again by itself when a node joins, changes or gets room.",
            ago(case.now, eval.create_time),
            eval.id.short()
        )];
    }
    let mut evals = case.evals.of_job(key);
    evals.sort_by_key(|e| (e.create_time, e.id));
    let later = evals.iter().rev().find(|e| e.status == EvalStatus::Pending);
    if let Some(eval) = later {
        return vec![format!(
            "Evaluation {} looks at it again in {}.",
            eval.id.short(),
            span(eval.wait_until, case.now)
        )];
    }
    match evals.last() {
        Some(eval) if eval.status == EvalStatus::Failed => vec![format!(
            "Evaluation {} failed: {}. `tumen job eval {}` makes another one.",
            eval.id.short(),
            quoted(&eval.status_description),
            key.id
        )],
        _ => vec![format!(
            "No evaluation of group \"{group}\" is waiting; `tumen job eval {}` makes one.",
            key.id
        )],
    }
}

/// What to type about groups that lack nodes.
pub(super) fn placement_steps(case: Case<'_>, key: &JobKey, groups: &[GroupWhy]) -> Vec<Step> {
    let Some(job) = case.view.job(key) else {
        return Vec::new();
    };
    let placed = groups.iter().filter_map(|g| g.placement.as_ref());
    let mut steps = Vec::new();
    for found in placed.filter(|p| p.fitting == 0) {
        steps.extend(placement::steps(&job, found));
    }
    steps
}

/// The instances that are not as they should be, worst and newest first.
fn troubled(case: Case<'_>, job: &Job) -> Vec<AllocWhy> {
    let concerns = |a: &&Arc<Allocation>| {
        let current = a.job.create_index == job.create_index;
        let ended_badly = matches!(
            a.client_status,
            AllocClientStatus::Failed | AllocClientStatus::Lost
        );
        let open =
            a.desired == AllocDesiredStatus::Run || a.client_status == AllocClientStatus::Lost;
        current && a.next.is_none() && open && (!a.is_client_terminal() || ended_badly)
    };
    let allocs = case.view.allocs_of_job(&job.key());
    let mut told: Vec<(AllocWhy, crate::model::Timestamp)> = allocs
        .iter()
        .filter(concerns)
        .map(|a| (alloc::brief(case, a), a.create_time))
        .filter(|(w, _)| matches!(w.verdict, Verdict::Broken | Verdict::Waiting))
        .collect();
    told.sort_by(|a, b| b.0.verdict.cmp(&a.0.verdict).then(b.1.cmp(&a.1)));
    told.into_iter().map(|t| t.0).collect()
}

/// What holds a deployment, and what to type about it.
fn roll_out(
    case: Case<'_>,
    job: &Job,
    deployment: &Deployment,
) -> Option<(Verdict, Vec<String>, Vec<Step>)> {
    let id = deployment.id.short();
    let of = format!("Deployment {id} of version {}", deployment.job_version);
    let status = step(
        format!("tumen deployment status {id}"),
        "how far the roll-out is",
    );
    match deployment.status {
        DeploymentStatus::Successful | DeploymentStatus::Cancelled => None,
        DeploymentStatus::Failed => {
            let text = quoted(&deployment.status_description);
            let text = text.strip_prefix("Failed ").unwrap_or(&text);
            let held = match unfinished(job, deployment) {
                0 => String::new(),
                n => format!(
                    " Until another version is run, {} of the roll-out {} left as they are.",
                    count(n, "instance"),
                    is(n)
                ),
            };
            let told = format!("{of} failed {text}.{held}");
            Some((Verdict::Broken, vec![told], vec![status]))
        }
        DeploymentStatus::Paused => {
            let told = format!("{of} is paused: it goes on when somebody resumes it.");
            let resume = step(format!("tumen deployment resume {id}"), "goes on with it");
            Some((Verdict::Waiting, vec![told], vec![resume]))
        }
        DeploymentStatus::Running => {
            let mut told: Vec<String> = Vec::new();
            let mut steps = Vec::new();
            for (name, group) in &deployment.groups {
                let goal = match group.promoted || group.desired_canaries == 0 {
                    true => group.desired_total,
                    false => group.desired_canaries,
                };
                let waits_for_promotion = group.desired_canaries > 0
                    && !group.promoted
                    && group.healthy >= group.desired_canaries;
                if waits_for_promotion && !group.auto_promote {
                    told.push(format!(
                        "{of} waits for promotion: {} of group \"{name}\" {} healthy, and nobody \
                         has promoted them.",
                        count(group.healthy, "canary instance"),
                        is(group.healthy)
                    ));
                    steps.push(step(
                        format!("tumen deployment promote {id}"),
                        "rolls the version out everywhere",
                    ));
                } else if group.healthy < goal {
                    told.push(progress(case, &of, name, deployment, goal));
                }
            }
            steps.push(status);
            Some((Verdict::Waiting, told, steps))
        }
    }
}

/// How many instances the deployment still had to bring up.
fn unfinished(job: &Job, deployment: &Deployment) -> u32 {
    let groups = deployment.groups.iter();
    let open = groups.filter(|(name, _)| job.group(name).is_some());
    open.map(|(_, g)| g.desired_total.saturating_sub(g.placed))
        .sum()
}

fn progress(case: Case<'_>, of: &str, name: &str, deployment: &Deployment, goal: u32) -> String {
    let Some(group) = deployment.groups.get(name) else {
        return String::new();
    };
    let until = match group.require_progress_by {
        at if at.is_set() && at > case.now => format!(
            "; it fails unless another one becomes healthy within {}",
            span(at, case.now)
        ),
        _ => String::new(),
    };
    let unhealthy = match group.unhealthy {
        0 => String::new(),
        n => format!(", {n} unhealthy"),
    };
    format!(
        "{of} is under way: group \"{name}\" has {} of {goal} healthy, {} placed{unhealthy}{until}.",
        group.healthy, group.placed
    )
}
