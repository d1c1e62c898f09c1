//! Job lists, summaries and dry runs.

use crate::http::dto::diff::{FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff};
use crate::http::dto::jobs::*;
use crate::model::job::JobSubmission as Submission;
use crate::model::{Allocation, Job, JobKey, diff};
use crate::rpc::api;

use super::{eval, metric};

/// A job in the list; `meta` adds its meta.
pub fn job_stub(job: &Job, summary: &api::JobSummary, meta: bool) -> JobListStub {
    let spec = &job.spec;
    JobListStub {
        create_index: job.create_index,
        datacenters: spec.datacenters.clone(),
        id: spec.id.to_string(),
        job_modify_index: job.job_modify_index,
        job_summary: JobSummary {
            children: Some(JobChildren::default()),
            ..job_summary(&job.key(), summary)
        },
        meta: (meta && !spec.meta.is_empty()).then(|| spec.meta.clone()),
        modify_index: job.modify_index,
        multiregion: None,
        name: spec.name.clone(),
        namespace: spec.namespace.to_string(),
        node_pool: spec.node_pool.clone(),
        parameterized_job: false,
        parent_id: String::new(),
        periodic: false,
        priority: i64::from(spec.priority),
        status: job.status.as_str().to_string(),
        status_description: job.status_description.clone(),
        stop: job.stop,
        submit_time: job.submit_time.0,
        kind: spec.kind.as_str().to_string(),
    }
}

/// How many allocations are in which state.
pub fn job_summary(key: &JobKey, summary: &api::JobSummary) -> JobSummary {
    let group = |g: &api::GroupSummary| GroupSummary {
        complete: g.complete,
        failed: g.failed,
        lost: g.lost,
        queued: g.queued,
        running: g.running,
        starting: g.starting,
        unknown: g.unknown,
    };
    JobSummary {
        children: None,
        create_index: summary.create_index,
        job_id: key.id.to_string(),
        modify_index: summary.modify_index,
        namespace: key.namespace.to_string(),
        summary: summary
            .groups
            .iter()
            .map(|(name, g)| (name.clone(), group(g)))
            .collect(),
    }
}

/// The job file of one version.
pub fn submission(job: &Job, submission: &Submission) -> JobSubmission {
    JobSubmission {
        format: submission.format.clone(),
        job_id: job.spec.id.to_string(),
        job_modify_index: job.job_modify_index,
        namespace: job.spec.namespace.to_string(),
        source: submission.source.clone(),
        variable_flags: submission.variable_flags.clone(),
        variables: submission.variables.clone(),
        version: job.version,
    }
}

/// How many instances each group has of how many wanted.
pub fn scale_status(job: &Job, allocs: &[std::sync::Arc<Allocation>]) -> JobScaleStatus {
    let group = |group: &crate::model::TaskGroup| {
        let placed: Vec<_> = allocs
            .iter()
            .filter(|a| a.group == group.name && !a.is_terminal())
            .collect();
        let healthy = |wanted: bool| {
            let is = |a: &&&std::sync::Arc<Allocation>| {
                a.deployment_health
                    .is_some_and(|h| h.healthy == Some(wanted))
            };
            u32::try_from(placed.iter().filter(is).count()).unwrap_or(u32::MAX)
        };
        let running = placed
            .iter()
            .filter(|a| a.client_status == crate::model::AllocClientStatus::Running)
            .count();
        GroupScaleStatus {
            desired: group.count,
            events: Vec::new(),
            healthy: healthy(true),
            placed: u32::try_from(placed.len()).unwrap_or(u32::MAX),
            running: u32::try_from(running).unwrap_or(u32::MAX),
            unhealthy: healthy(false),
        }
    };
    JobScaleStatus {
        job_create_index: job.create_index,
        job_id: job.spec.id.to_string(),
        job_modify_index: job.job_modify_index,
        job_stopped: job.stop,
        namespace: job.spec.namespace.to_string(),
        task_groups: job
            .spec
            .groups
            .iter()
            .map(|g| (g.name.clone(), group(g)))
            .collect(),
    }
}

/// What a dry run found.
pub fn planned(plan: &api::PlannedJob) -> JobPlanResponse {
    JobPlanResponse {
        annotations: Some(PlanAnnotations {
            desired_tg_updates: plan
                .updates
                .iter()
                .map(|(group, updates)| (group.clone(), desired(updates)))
                .collect(),
            preempted_allocs: Vec::new(),
        }),
        created_evals: plan.created_evals.iter().map(eval).collect(),
        diff: plan.diff.as_ref().map(job_diff),
        failed_tg_allocs: plan
            .failed_groups
            .iter()
            .map(|(group, m)| (group.clone(), metric(m)))
            .collect(),
        index: plan.index,
        job_modify_index: plan.job_modify_index,
        next_periodic_launch: None,
        warnings: warnings(&plan.warnings),
    }
}

fn desired(updates: &diff::DesiredUpdates) -> DesiredUpdates {
    DesiredUpdates {
        canary: updates.canary,
        destructive_update: updates.destructive_update,
        disconnect: updates.disconnect,
        ignore: updates.ignore,
        in_place_update: updates.in_place_update,
        migrate: updates.migrate,
        place: updates.place,
        preemptions: updates.preemptions,
        reconnect: updates.reconnect,
        reschedule_later: updates.reschedule_later,
        reschedule_now: updates.reschedule_now,
        stop: updates.stop,
    }
}

/// Warnings as one text, counted.
pub fn warnings(warnings: &[String]) -> String {
    if warnings.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = warnings.iter().map(|w| format!("* {w}")).collect();
    let plural = if warnings.len() == 1 { "" } else { "s" };
    format!(
        "{} warning{plural}:\n\n{}",
        warnings.len(),
        lines.join("\n")
    )
}

/// A job's changes.
pub fn job_diff(job: &diff::JobDiff) -> JobDiff {
    JobDiff {
        fields: fields(&job.fields),
        id: job.id.clone(),
        objects: objects(&job.objects),
        task_groups: job.groups.iter().map(group_diff).collect(),
        kind: job.kind.as_str().to_string(),
    }
}

fn group_diff(group: &diff::GroupDiff) -> TaskGroupDiff {
    TaskGroupDiff {
        fields: fields(&group.fields),
        name: group.name.clone(),
        objects: objects(&group.objects),
        tasks: group.tasks.iter().map(task_diff).collect(),
        kind: group.kind.as_str().to_string(),
        updates: group.updates.clone(),
    }
}

fn task_diff(task: &diff::TaskDiff) -> TaskDiff {
    TaskDiff {
        annotations: task.annotations.clone(),
        fields: fields(&task.fields),
        name: task.name.clone(),
        objects: objects(&task.objects),
        kind: task.kind.as_str().to_string(),
    }
}

fn objects(all: &[diff::ObjectDiff]) -> Vec<ObjectDiff> {
    all.iter()
        .map(|object| ObjectDiff {
            fields: fields(&object.fields),
            name: object.name.clone(),
            objects: objects(&object.objects),
            kind: object.kind.as_str().to_string(),
        })
        .collect()
}

fn fields(all: &[diff::FieldDiff]) -> Vec<FieldDiff> {
    all.iter()
        .map(|field| FieldDiff {
            annotations: field.annotations.clone(),
            name: field.name.clone(),
            new: field.new.clone(),
            old: field.old.clone(),
            kind: field.kind.as_str().to_string(),
        })
        .collect()
}
