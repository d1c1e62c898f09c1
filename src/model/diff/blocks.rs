//! A job's parts as [`Block`]s, under the names that the API uses.

use std::time::Duration;

use super::tree::Block;
use crate::model::constraint::{Affinity, Constraint, Spread};
use crate::model::job::{
    JobSpec, JobUi, Lifecycle, MigrateStrategy, ReschedulePolicy, RestartMode, RestartPolicy,
    UpdateStrategy,
};
use crate::model::resources::{Network, NetworkMode, PortAsk};
use crate::model::service::{AddressMode, CheckRestart, OnUpdate};
use crate::model::{Check, CheckKind, ConfigValue, Job, Resources, Service, Task, TaskGroup};

/// The job itself, its groups aside.
pub(super) fn job(job: &Job) -> Block {
    let spec: &JobSpec = &job.spec;
    Block::new("Job")
        .field("AllAtOnce", spec.all_at_once)
        .field("Dispatched", false)
        .field("Name", &spec.name)
        .field("Namespace", &spec.namespace)
        .field("NodePool", &spec.node_pool)
        .field("Priority", spec.priority)
        .field("Region", &spec.region)
        .field("Stop", job.stop)
        .field("Type", spec.kind.as_str())
        .map("Meta", &spec.meta)
        .with(Block::of_set("Datacenters", &spec.datacenters))
        .with(spec.constraints.iter().map(constraint))
        .with(spec.affinities.iter().map(affinity))
        .with(spec.spreads.iter().map(spread))
        .with(spec.ui.as_ref().map(ui))
}

/// A group, its tasks aside.
pub(super) fn group(group: &TaskGroup) -> Block {
    let mut block = Block::new("TaskGroup")
        .field("Count", group.count)
        .field("PreventRescheduleOnLost", false)
        .map("Meta", &group.meta);
    if !group.shutdown_delay.is_zero() {
        block = block.field("ShutdownDelay", nanos(group.shutdown_delay));
    }
    if let Some(limit) = group.max_run_duration {
        block = block.field("MaxRunDuration", nanos(limit));
    }
    let disk = Block::new("EphemeralDisk")
        .field("Migrate", false)
        .field("SizeMB", group.ephemeral_disk_mb)
        .field("Sticky", false);
    let disconnect = group.disconnect.map(|d| {
        let stop = d.stop_on_client_after.map(nanos).unwrap_or_default();
        Block::new("Disconnect")
            .field("LostAfter", nanos(d.lost_after))
            .field("Reconcile", d.reconcile.as_str())
            .field("Replace", d.replace)
            .field("StopOnClientAfter", stop)
    });
    block
        .with(group.constraints.iter().map(constraint))
        .with(group.affinities.iter().map(affinity))
        .with([restart(&group.restart), disk])
        .with(disconnect)
        .with(group.migrate.as_ref().map(migrate))
        .with(reschedule(&group.reschedule))
        .with(group.update.as_ref().map(update))
        .with(group.networks.iter().map(network))
        .with(group.services.iter().map(service))
        .with(group.spreads.iter().map(spread))
}

/// A task. Its restart policy is its group's unless it has one of its own.
pub(super) fn task(task: &Task, of: &TaskGroup) -> Block {
    let own_restart = (task.restart != of.restart).then(|| restart(&task.restart));
    let lifecycle = task.lifecycle.map(|l: Lifecycle| {
        Block::new("Lifecycle")
            .field("Hook", l.hook.as_str())
            .field("Sidecar", l.sidecar)
    });
    let logs = Block::new("LogConfig")
        .field("Disabled", task.logs.disabled)
        .field("MaxFileSizeMB", task.logs.max_file_size_mb)
        .field("MaxFiles", task.logs.max_files);
    let mut config = Block::new("Config");
    flatten(&mut config, "", &task.config);
    Block::new("Task")
        .field("Driver", &task.driver)
        .map("Env", &task.env)
        .field("KillSignal", &task.kill_signal)
        .field("KillTimeout", nanos(task.kill_timeout))
        .field("Leader", task.leader)
        .map("Meta", &task.meta)
        .field("ShutdownDelay", nanos(task.shutdown_delay))
        .field("User", &task.user)
        .with((!config.fields.is_empty()).then_some(config))
        .with(task.constraints.iter().map(constraint))
        .with(task.affinities.iter().map(affinity))
        .with([resources(&task.resources), logs])
        .with(own_restart)
        .with(lifecycle)
        .with(task.services.iter().map(service))
}

fn nanos(duration: Duration) -> String {
    duration.as_nanos().to_string()
}

/// `args[0]`, `port_map[0][db]`: a path per plain value.
fn flatten(block: &mut Block, path: &str, value: &ConfigValue) {
    let text = match value {
        ConfigValue::Null => return,
        ConfigValue::Bool(b) => b.to_string(),
        ConfigValue::Int(i) => i.to_string(),
        ConfigValue::Float(f) => f.to_string(),
        ConfigValue::String(s) => s.clone(),
        ConfigValue::List(items) => {
            for (at, item) in items.iter().enumerate() {
                flatten(block, &format!("{path}[{at}]"), item);
            }
            return;
        }
        ConfigValue::Map(entries) => {
            for (key, item) in entries {
                let inner = match path {
                    "" => key.clone(),
                    path => format!("{path}[{key}]"),
                };
                flatten(block, &inner, item);
            }
            return;
        }
    };
    block.fields.insert(path.to_string(), text);
}

fn constraint(of: &Constraint) -> Block {
    Block::new("Constraint")
        .field("LTarget", &of.left)
        .field("Operand", of.operand.as_str())
        .field("RTarget", &of.right)
        .by_content()
}

fn affinity(of: &Affinity) -> Block {
    Block::new("Affinity")
        .field("LTarget", &of.left)
        .field("Operand", of.operand.as_str())
        .field("RTarget", &of.right)
        .field("Weight", of.weight)
        .by_content()
}

fn spread(of: &Spread) -> Block {
    let targets = of.targets.iter().map(|t| {
        Block::keyed("SpreadTarget", &t.value)
            .field("Percent", t.percent)
            .field("Value", &t.value)
    });
    Block::keyed("Spread", &of.attribute)
        .field("Attribute", &of.attribute)
        .field("Weight", of.weight)
        .with(targets)
}

fn ui(of: &JobUi) -> Block {
    let links = of.links.iter().map(|(label, url)| {
        Block::new("Link")
            .field("Label", label)
            .field("URL", url)
            .by_content()
    });
    Block::new("UI")
        .field("Description", &of.description)
        .with(links)
}

fn restart(of: &RestartPolicy) -> Block {
    let mode = match of.mode {
        RestartMode::Fail => "fail",
        RestartMode::Delay => "delay",
    };
    Block::new("RestartPolicy")
        .field("Attempts", of.attempts)
        .field("Delay", nanos(of.delay))
        .field("Interval", nanos(of.interval))
        .field("Mode", mode)
        .field("RenderTemplates", of.render_templates)
}

fn migrate(of: &MigrateStrategy) -> Block {
    Block::new("Migrate")
        .field("HealthCheck", of.health_check.as_str())
        .field("HealthyDeadline", nanos(of.healthy_deadline))
        .field("MaxParallel", of.max_parallel)
        .field("MinHealthyTime", nanos(of.min_healthy_time))
}

fn reschedule(of: &ReschedulePolicy) -> [Block; 1] {
    [Block::new("ReschedulePolicy")
        .field("Attempts", of.attempts)
        .field("Delay", nanos(of.delay))
        .field("DelayFunction", of.function.as_str())
        .field("Interval", nanos(of.interval))
        .field("MaxDelay", nanos(of.max_delay))
        .field("Unlimited", of.unlimited)]
}

fn update(of: &UpdateStrategy) -> Block {
    Block::new("Update")
        .field("AutoPromote", of.auto_promote)
        .field("AutoRevert", of.auto_revert)
        .field("Canary", of.canary)
        .field("HealthCheck", of.health_check.as_str())
        .field("HealthyDeadline", nanos(of.healthy_deadline))
        .field("MaxParallel", of.max_parallel)
        .field("MinHealthyTime", nanos(of.min_healthy_time))
        .field("ProgressDeadline", nanos(of.progress_deadline))
}

fn network(of: &Network) -> Block {
    let mode = match of.mode {
        NetworkMode::Host => "",
        NetworkMode::None => "none",
    };
    let dns = of.dns.as_ref().map(|dns| {
        Block::new("DNS")
            .with(Block::of_set("Servers", &dns.servers))
            .with(Block::of_set("Searches", &dns.searches))
            .with(Block::of_set("Options", &dns.options))
    });
    Block::new("Network")
        .field("Hostname", "")
        .field("Mode", mode)
        .with(dns)
        .with(of.ports.iter().map(port))
        .by_content()
}

fn port(of: &PortAsk) -> Block {
    let named = |name| {
        Block::keyed(name, &of.label)
            .field("HostNetwork", "default")
            .field("Label", &of.label)
            .field("To", of.to)
    };
    match of.fixed {
        None => named("Dynamic Port"),
        Some(value) => named("Static Port")
            .field("IgnoreCollision", of.ignore_collision)
            .field("Value", value),
    }
}

fn resources(of: &Resources) -> Block {
    Block::new("Resources")
        .field("CPU", of.cpu_mhz)
        .field("Cores", 0)
        .field("DiskMB", 0)
        .field("IOPS", 0)
        .field("MemoryMB", of.memory_mb)
        .field("MemoryMaxMB", of.memory_max_mb)
        .field("SecretsMB", 0)
        .with(of.networks.iter().map(network))
}

fn on_update(of: OnUpdate) -> &'static str {
    match of {
        OnUpdate::RequireHealthy => "require_healthy",
        OnUpdate::Ignore => "ignore",
    }
}

fn service(of: &Service) -> Block {
    let mode = match of.address_mode {
        AddressMode::Auto => "auto",
        AddressMode::Host => "host",
        AddressMode::Driver => "driver",
        AddressMode::Alloc => "alloc",
    };
    let task = of.task.as_deref().unwrap_or_default();
    Block::keyed("Service", &of.name)
        .field("Address", &of.address)
        .field("AddressMode", mode)
        .field("Cluster", "default")
        .field("EnableTagOverride", false)
        .field("Kind", "")
        .field("Name", &of.name)
        .field("Namespace", "default")
        .field("OnUpdate", on_update(of.on_update))
        .field("PortLabel", &of.port)
        .field("Provider", "nomad")
        .field("TaskName", task)
        .map("Meta", &of.meta)
        .map("CanaryMeta", &of.canary_meta)
        .with(Block::of_set("Tags", &of.tags))
        .with(Block::of_set("CanaryTags", &of.canary_tags))
        .with(of.checks.iter().map(|c| check(c, task)))
}

fn check(of: &Check, task: &str) -> Block {
    let block = Block::keyed("Check", &of.name)
        .field("AddressMode", "")
        .field("Command", "")
        .field("Expose", false)
        .field("FailuresBeforeCritical", 0)
        .field("FailuresBeforeWarning", 0)
        .field("GRPCService", "")
        .field("GRPCUseTLS", false)
        .field("InitialStatus", "")
        .field("Interval", nanos(of.interval))
        .field("Name", &of.name)
        .field("Notes", "")
        .field("OnUpdate", on_update(of.on_update))
        .field("PortLabel", &of.port)
        .field("SuccessBeforePassing", 0)
        .field("TLSServerName", "")
        .field("TaskName", task)
        .field("Timeout", nanos(of.timeout));
    kind_of_check(block, &of.kind).with(of.restart.as_ref().map(check_restart))
}

fn kind_of_check(block: Block, kind: &CheckKind) -> Block {
    match kind {
        CheckKind::Tcp => block
            .field("Body", "")
            .field("Method", "")
            .field("Path", "")
            .field("Protocol", "")
            .field("TLSSkipVerify", false)
            .field("Type", "tcp"),
        CheckKind::Http {
            path,
            method,
            body,
            headers,
            tls,
            tls_skip_verify,
        } => {
            let mut header = Block::new("Header");
            for (name, values) in headers {
                for (at, value) in values.iter().enumerate() {
                    header.fields.insert(format!("{name}[{at}]"), value.clone());
                }
            }
            // What the job leaves out is not shown as its default.
            let method = if method == "GET" { "" } else { method };
            block
                .field("Body", body)
                .field("Method", method)
                .field("Path", path)
                .field("Protocol", if *tls { "https" } else { "" })
                .field("TLSSkipVerify", tls_skip_verify)
                .field("Type", "http")
                .with((!header.fields.is_empty()).then_some(header))
        }
    }
}

fn check_restart(of: &CheckRestart) -> Block {
    Block::new("CheckRestart")
        .field("Grace", nanos(of.grace))
        .field("IgnoreWarnings", false)
        .field("Limit", of.limit)
}
