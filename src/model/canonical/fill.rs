//! Fills in what a draft leaves out, as the API's `Canonicalize` does.

use crate::model::draft::{
    AffinityDraft, CheckDraft, CheckRestartDraft, EphemeralDiskDraft, GroupDraft, JobDraft,
    LogsDraft, MigrateDraft, Nanos, RescheduleDraft, ResourcesDraft, RestartDraft, ServiceDraft,
    SidecarTaskDraft, SpreadDraft, TaskDraft, TemplateDraft, UpdateDraft, VaultDraft,
};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

const SERVICE: &str = "service";
const BATCH: &str = "batch";
const SYSTEM: &str = "system";
const SYSBATCH: &str = "sysbatch";

/// Sets each named field that is unset from the other value of the same type.
macro_rules! inherit {
    ($to:expr, $from:expr, $($field:ident),+ $(,)?) => {
        $(if $to.$field.is_none() { $to.$field = $from.$field.clone(); })+
    };
}

/// Sets each named field that is unset.
macro_rules! default {
    ($to:expr, $($field:ident: $value:expr),+ $(,)?) => {
        $(if $to.$field.is_none() { $to.$field = Some($value.into()); })+
    };
}

/// Treats an empty text as unset, then sets it.
fn default_text(slot: &mut Option<String>, value: &str) {
    if slot.as_deref().unwrap_or("").is_empty() {
        *slot = Some(value.to_string());
    }
}

fn each<T>(list: &mut Option<Vec<T>>, mut change: impl FnMut(&mut T)) {
    list.iter_mut().flatten().for_each(&mut change);
}

impl JobDraft {
    /// The same job with every default written out: what `/v1/jobs/parse` answers when it is
    /// asked to canonicalize. What only a server knows (datacenters, node pool) stays unset.
    pub fn canonical_draft(&self) -> JobDraft {
        let mut job = self.clone();
        default!(job,
            all_at_once: false, consul_namespace: "", create_index: 0_u64,
            job_modify_index: 0_u64, modify_index: 0_u64, node_pool: "",
            nomad_token_id: "", parent_id: "", priority: 50_i64, stable: false, status: "",
            status_description: "", stop: false, vault_namespace: "", version: 0_u64,
        );
        if job.name.as_deref().unwrap_or("").is_empty() {
            job.name.clone_from(&job.id);
        }
        default_text(&mut job.namespace, "default");
        default_text(&mut job.region, "global");
        default_text(&mut job.kind, SERVICE);
        let kind = job.kind.clone().unwrap_or_default();
        each(&mut job.affinities, affinity);
        each(&mut job.spreads, spread);
        if let Some(periodic) = &mut job.periodic {
            default!(periodic,
                enabled: true, spec: "", specs: Vec::new(), spec_type: "cron",
                prohibit_overlap: false, time_zone: "UTC",
            );
        }
        if let Some(parameterized) = &mut job.parameterized {
            default_text(&mut parameterized.payload, "optional");
        }
        // Servers show an update block of zeros for jobs that have none.
        let written = job.update.take().filter(says_something);
        job.update = match written {
            None if kind == SERVICE || kind == SYSTEM => Some(UpdateDraft::default()),
            written => written,
        };
        if let Some(own) = &mut job.update {
            update(own);
        }
        let id = job.id.clone().unwrap_or_default();
        let mut groups = job.groups.take();
        each(&mut groups, |g| group(g, &job, &id, &kind));
        job.groups = groups;
        job
    }
}

fn affinity(affinity: &mut AffinityDraft) {
    default!(affinity, weight: 50_i64);
}

fn spread(spread: &mut SpreadDraft) {
    default!(spread, weight: 50_i64);
}

fn update(update: &mut UpdateDraft) {
    // A job read back from a server has an empty text here.
    default_text(&mut update.health_check, "checks");
    default!(update,
        stagger: Nanos(30 * SECOND), max_parallel: 1_i64, min_healthy_time: Nanos(10 * SECOND),
        healthy_deadline: Nanos(5 * MINUTE), progress_deadline: Nanos(10 * MINUTE),
        auto_revert: false, auto_promote: false, canary: 0_i64,
    );
}

/// Whether any field of the block is neither unset nor zero.
fn says_something(update: &UpdateDraft) -> bool {
    let times = [
        update.stagger,
        update.min_healthy_time,
        update.healthy_deadline,
        update.progress_deadline,
    ];
    times.iter().flatten().any(|t| *t != Nanos(0))
        || [update.max_parallel, update.canary]
            .iter()
            .flatten()
            .any(|n| *n != 0)
        || [update.auto_revert, update.auto_promote].contains(&Some(true))
        || update
            .health_check
            .as_deref()
            .is_some_and(|h| !h.is_empty())
}

fn group(group: &mut GroupDraft, job: &JobDraft, id: &str, kind: &str) {
    if let Some(scaling) = &mut group.scaling {
        default!(scaling, enabled: true);
        if scaling.min.is_none() {
            scaling.min = group.count;
        }
        if group.count.is_none() {
            group.count = scaling.min;
        }
    }
    default!(group, count: 1_i64);
    each(&mut group.affinities, affinity);
    each(&mut group.spreads, spread);
    if let Some(disconnect) = &mut group.disconnect {
        default!(disconnect, replace: true, reconcile: "best_score");
    }
    let disk: &mut EphemeralDiskDraft = group.ephemeral_disk.get_or_insert_default();
    default!(disk, size_mb: 300_i64, sticky: false, migrate: false);
    policies(group, job, kind);
    let name = group.name.clone().unwrap_or_default();
    each(&mut group.services, |s| service(s, &format!("{id}-{name}")));
    let restart = group.restart.clone().unwrap_or_default();
    each(&mut group.tasks, |t| task(t, &restart, id, &name));
}

/// The group's policies: its own, under them the job's, under them those of the job's type.
fn policies(group: &mut GroupDraft, job: &JobDraft, kind: &str) {
    let restart = group.restart.get_or_insert_default();
    inherit!(
        restart,
        restart_default(kind),
        interval,
        attempts,
        delay,
        mode,
        render_templates
    );

    let types_own = reschedule_default(kind);
    if group.reschedule.is_some() || job.reschedule.is_some() || types_own.is_some() {
        let own = group.reschedule.get_or_insert_default();
        for from in [job.reschedule.as_ref(), types_own.as_ref()]
            .into_iter()
            .flatten()
        {
            inherit!(
                own,
                from,
                attempts,
                interval,
                delay,
                delay_function,
                max_delay,
                unlimited
            );
        }
    }

    if group.migrate.is_some() || job.migrate.is_some() || kind == SERVICE {
        let own = group.migrate.get_or_insert_default();
        if let Some(from) = &job.migrate {
            inherit!(
                own,
                from,
                max_parallel,
                health_check,
                min_healthy_time,
                healthy_deadline
            );
        }
        migrate(own);
    }

    if group.update.is_some() || job.update.is_some() {
        let own = group.update.get_or_insert_default();
        if let Some(from) = &job.update {
            inherit!(
                own,
                from,
                stagger,
                max_parallel,
                health_check,
                min_healthy_time,
                healthy_deadline,
                progress_deadline,
                canary,
                auto_revert,
                auto_promote,
            );
        }
        update(own);
    }
}

fn restart_default(kind: &str) -> RestartDraft {
    let (attempts, interval) = match kind {
        BATCH | SYSBATCH => (3, 24 * HOUR),
        _ => (2, 30 * MINUTE),
    };
    RestartDraft {
        interval: Some(Nanos(interval)),
        attempts: Some(attempts),
        delay: Some(Nanos(15 * SECOND)),
        mode: Some("fail".to_string()),
        render_templates: Some(false),
    }
}

fn reschedule_default(kind: &str) -> Option<RescheduleDraft> {
    let (attempts, interval, delay, function, max_delay, unlimited) = match kind {
        SERVICE => (0, 0, 30 * SECOND, "exponential", HOUR, true),
        BATCH => (1, 24 * HOUR, 5 * SECOND, "constant", 0, false),
        _ => return None,
    };
    Some(RescheduleDraft {
        attempts: Some(attempts),
        interval: Some(Nanos(interval)),
        delay: Some(Nanos(delay)),
        delay_function: Some(function.to_string()),
        max_delay: Some(Nanos(max_delay)),
        unlimited: Some(unlimited),
    })
}

fn migrate(migrate: &mut MigrateDraft) {
    default!(migrate,
        max_parallel: 1_i64, health_check: "checks", min_healthy_time: Nanos(10 * SECOND),
        healthy_deadline: Nanos(5 * MINUTE),
    );
}

fn service(service: &mut ServiceDraft, default_name: &str) {
    default_text(&mut service.name, default_name);
    default_text(&mut service.address_mode, "auto");
    default_text(&mut service.on_update, "require_healthy");
    // Where we differ on purpose: discovery is native unless the job asks for something else.
    default_text(&mut service.provider, "nomad");
    default_text(&mut service.cluster, "default");
    let on_update = service.on_update.clone().unwrap_or_default();
    let for_all = service.check_restart.clone();
    each(&mut service.checks, |c| {
        check(c, &on_update, for_all.as_ref())
    });
    if let Some(task) = service
        .connect
        .as_mut()
        .and_then(|c| c.sidecar_task.as_mut())
    {
        sidecar(task);
    }
}

fn check(check: &mut CheckDraft, on_update: &str, for_all: Option<&CheckRestartDraft>) {
    default_text(&mut check.on_update, on_update);
    match (&mut check.check_restart, for_all) {
        (Some(own), Some(all)) => {
            inherit!(own, all, limit, grace, ignore_warnings);
        }
        (own @ None, Some(all)) => *own = Some(all.clone()),
        (_, None) => {}
    }
    if let Some(restart) = &mut check.check_restart {
        default!(restart, grace: Nanos(SECOND));
    }
}

fn sidecar(task: &mut SidecarTaskDraft) {
    default!(task, kill_timeout: Nanos(5 * SECOND), shutdown_delay: Nanos(0));
    logs(task.logs.get_or_insert_default());
    if let Some(resources) = &mut task.resources {
        resources_defaults(resources);
    }
}

fn logs(logs: &mut LogsDraft) {
    if logs.disabled.is_none() {
        logs.disabled = Some(logs.enabled == Some(false));
    }
    default!(logs, max_files: 10_i64, max_file_size_mb: 10_i64);
}

fn resources_defaults(resources: &mut ResourcesDraft) {
    default!(resources, cores: 0_i64);
    let cpu = if resources.cores == Some(0) { 100 } else { 0 };
    default!(resources, cpu: cpu, memory_mb: 300_i64);
    each(&mut resources.devices, |device| {
        default!(device, count: 1_u64);
        each(&mut device.affinities, affinity);
    });
}

fn task(task: &mut TaskDraft, group_restart: &RestartDraft, job: &str, group: &str) {
    each(&mut task.affinities, affinity);
    default!(task, kill_timeout: Nanos(5 * SECOND));
    logs(task.logs.get_or_insert_default());
    resources_defaults(task.resources.get_or_insert_default());
    let restart = task.restart.get_or_insert_default();
    inherit!(
        restart,
        group_restart,
        interval,
        attempts,
        delay,
        mode,
        render_templates
    );
    let name = task.name.clone().unwrap_or_default();
    each(&mut task.services, |s| {
        service(s, &format!("{job}-{group}-{name}"))
    });
    each(&mut task.artifacts, |artifact| {
        default!(artifact, getter_insecure: false, getter_mode: "any");
        let source = artifact.getter_source.as_deref().unwrap_or("");
        let dest = match artifact.getter_mode.as_deref() {
            Some("file") => format!("local/{}", source.rsplit('/').next().unwrap_or("")),
            _ => "local/".to_string(),
        };
        default!(artifact, relative_dest: dest);
    });
    each(&mut task.templates, template);
    each(&mut task.volume_mounts, |mount| {
        default!(mount, propagation_mode: "private", read_only: false, selinux_label: "");
    });
    if let Some(vault_block) = &mut task.vault {
        vault(vault_block);
    }
    if let Some(plugin) = &mut task.csi_plugin {
        default_text(&mut plugin.mount_dir, "/csi");
        if plugin.health_timeout.unwrap_or_default() == Nanos(0) {
            plugin.health_timeout = Some(Nanos(30 * SECOND));
        }
    }
}

fn template(template: &mut TemplateDraft) {
    default!(template,
        source_path: "", dest_path: "", embedded_tmpl: "", change_mode: "restart",
        splay: Nanos(5 * SECOND), perms: "0644", once: false, left_delim: "{{",
        right_delim: "}}", envvars: false, vault_grace: Nanos(0), err_missing_key: false,
    );
    let signal = template.change_signal.take().unwrap_or_default();
    template.change_signal = Some(signal.to_uppercase());
    if let Some(script) = &mut template.change_script {
        default!(script, command: "", args: Vec::new(), timeout: Nanos(5 * SECOND));
    }
}

fn vault(vault: &mut VaultDraft) {
    default!(vault,
        env: true, disable_file: false, namespace: "", change_mode: "restart",
        change_signal: "SIGHUP", allow_token_expiration: false,
    );
    default_text(&mut vault.cluster, "default");
}
