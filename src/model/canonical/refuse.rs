//! Names what a job asks for and Tumen does not have. Nothing is passed over in silence: a field
//! is converted, refused here, or known to be without effect.

use super::{At, Notes};
use crate::model::draft::{
    CheckDraft, GroupDraft, IdentityDraft, JobDraft, NetworkDraft, PortDraft, ServiceDraft,
    TaskDraft,
};

/// Whether a text is given.
fn has(text: &Option<String>) -> bool {
    text.as_deref().is_some_and(|t| !t.is_empty())
}

fn any<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|l| !l.is_empty())
}

fn on(flag: Option<bool>) -> bool {
    flag == Some(true)
}

fn positive(number: Option<i64>) -> bool {
    number.is_some_and(|n| n != 0)
}

pub(super) fn job(job: &JobDraft, notes: &mut Notes) {
    let at = At::JOB;
    notes.refuse(
        at,
        job.multiregion.is_some(),
        "a job over several regions (multiregion)",
    );
    notes.refuse(at, job.periodic.is_some(), "a periodic job");
    notes.refuse(at, job.parameterized.is_some(), "a parameterized job");
    notes.refuse(at, has(&job.payload), "a job payload");
    notes.refuse(at, has(&job.vault_namespace), "a Vault namespace");
    notes.refuse(at, has(&job.consul_namespace), "a Consul namespace");
    for inner in job.groups.iter().flatten() {
        group(inner, notes);
    }
}

fn group(group: &GroupDraft, notes: &mut Notes) {
    let name = group.name.as_deref().unwrap_or("");
    let at = At::group(name);
    let volumes = group.volumes.as_ref().is_some_and(|v| !v.is_empty());
    notes.refuse(at, volumes, "a volume block");
    notes.refuse(at, group.scaling.is_some(), "a scaling block");
    notes.refuse(at, group.consul.is_some(), "a consul block");
    if let Some(disk) = &group.ephemeral_disk {
        notes.refuse(at, on(disk.sticky), "a sticky ephemeral_disk");
        notes.refuse(at, on(disk.migrate), "an ephemeral_disk that migrates");
    }
    if group.networks.as_ref().is_some_and(|n| n.len() > 1) {
        notes.wrong(at, "Only one network block per group is supported");
    }
    for inner in group.networks.iter().flatten() {
        network(inner, at, notes);
    }
    for inner in group.services.iter().flatten() {
        service(inner, at, notes);
    }
    for inner in group.tasks.iter().flatten() {
        task(inner, at, notes);
    }
}

fn network(network: &NetworkDraft, at: At<'_>, notes: &mut Notes) {
    let mode = network.mode.as_deref().unwrap_or("");
    let known = matches!(mode, "" | "host" | "none");
    notes.refuse(at, !known, &format!("network mode {mode:?}"));
    notes.refuse(at, has(&network.hostname), "a network hostname");
    notes.refuse(at, has(&network.device), "a network device");
    notes.refuse(at, has(&network.cidr), "a network cidr");
    notes.refuse(at, network.cni.is_some(), "a cni block");
    let ports = network.reserved_ports.iter().chain(&network.dynamic_ports);
    for port in ports.flatten() {
        port_network(port, at, notes);
    }
}

fn port_network(port: &PortDraft, at: At<'_>, notes: &mut Notes) {
    let network = port.host_network.as_deref().unwrap_or("");
    let label = port.label.as_deref().unwrap_or("");
    notes.refuse(
        at,
        !matches!(network, "" | "default"),
        &format!("host_network {network:?} of port {label:?}"),
    );
}

fn service(service: &ServiceDraft, at: At<'_>, notes: &mut Notes) {
    let name = service.name.as_deref().unwrap_or("");
    let refuse = |notes: &mut Notes, present: bool, what: &str| {
        notes.refuse(at, present, &format!("{what} of service {name:?}"));
    };
    match service.provider.as_deref().unwrap_or("") {
        "" | "nomad" => {}
        "consul" => refuse(notes, true, "the provider \"consul\""),
        other => notes.wrong(
            at,
            format!("Service provider must be \"consul\" or \"nomad\"; got {other:?}"),
        ),
    }
    let cluster = service.cluster.as_deref().unwrap_or("");
    let tagged = service
        .tagged_addresses
        .as_ref()
        .is_some_and(|t| !t.is_empty());
    refuse(notes, service.connect.is_some(), "the connect block");
    refuse(
        notes,
        on(service.enable_tag_override),
        "enable_tag_override",
    );
    refuse(notes, tagged, "tagged_addresses");
    refuse(notes, service.identity.is_some(), "the identity block");
    refuse(notes, service.weights.is_some(), "the weights block");
    refuse(notes, !matches!(cluster, "" | "default"), "the cluster");
    refuse(notes, has(&service.kind), "the kind");
    for inner in service.checks.iter().flatten() {
        check(inner, name, at, notes);
    }
}

fn check(check: &CheckDraft, service: &str, at: At<'_>, notes: &mut Notes) {
    let name = check.name.as_deref().unwrap_or("");
    let refuse = |notes: &mut Notes, present: bool, what: &str| {
        notes.refuse(
            at,
            present,
            &format!("{what} of check {name:?} in service {service:?}"),
        );
    };
    let kind = check.kind.as_deref().unwrap_or("");
    refuse(
        notes,
        matches!(kind, "grpc" | "script"),
        &format!("the type {kind:?}"),
    );
    refuse(
        notes,
        has(&check.command) || any(&check.args),
        "the command",
    );
    refuse(notes, on(check.expose), "expose");
    refuse(notes, has(&check.advertise), "advertise");
    refuse(notes, has(&check.initial_status), "initial_status");
    refuse(notes, has(&check.tls_server_name), "tls_server_name");
    refuse(
        notes,
        has(&check.grpc_service) || on(check.grpc_use_tls),
        "grpc",
    );
    refuse(
        notes,
        positive(check.success_before_passing),
        "success_before_passing",
    );
    refuse(
        notes,
        positive(check.failures_before_critical),
        "failures_before_critical",
    );
    refuse(
        notes,
        positive(check.failures_before_warning),
        "failures_before_warning",
    );
    let restart = check.check_restart.as_ref();
    refuse(
        notes,
        restart.is_some_and(|r| on(r.ignore_warnings)),
        "check_restart.ignore_warnings",
    );
    let mode = check.address_mode.as_deref().unwrap_or("");
    refuse(
        notes,
        !matches!(mode, "" | "host"),
        &format!("address_mode {mode:?}"),
    );
    if has(&check.notes) {
        let text = format!("the notes of check {name:?} in service {service:?} are not kept");
        notes.warn(at, text);
    }
}

fn task(task: &TaskDraft, group: At<'_>, notes: &mut Notes) {
    let name = task.name.as_deref().unwrap_or("");
    let at = group.task(name);
    notes.refuse(at, any(&task.artifacts), "an artifact block");
    notes.refuse(at, any(&task.templates), "a template block");
    notes.refuse(at, task.vault.is_some(), "a vault block");
    notes.refuse(at, task.consul.is_some(), "a consul block");
    notes.refuse(
        at,
        task.dispatch_payload.is_some(),
        "a dispatch_payload block",
    );
    notes.refuse(at, any(&task.volume_mounts), "a volume_mount block");
    notes.refuse(at, task.csi_plugin.is_some(), "a csi_plugin block");
    notes.refuse(at, any(&task.scaling_policies), "a scaling block");
    notes.refuse(at, any(&task.actions), "an action block");
    notes.refuse(at, task.schedule.is_some(), "a schedule block");
    notes.refuse(at, any(&task.secrets), "a secret block");
    notes.refuse(at, has(&task.kind), "a task kind");
    // The unnamed identity that shows itself nowhere is what every job read back carries.
    let seen = task.identity.iter().any(shows_itself);
    notes.refuse(at, seen, "an identity block");
    for named in task.identities.iter().flatten() {
        let name = named.name.as_deref().unwrap_or("");
        notes.refuse(at, true, &format!("the identity block {name:?}"));
    }
    if let Some(resources) = &task.resources {
        notes.refuse(at, positive(resources.cores), "resources.cores");
        notes.refuse(at, any(&resources.devices), "a device block");
        notes.refuse(at, resources.numa.is_some(), "a numa block");
        notes.refuse(at, positive(resources.secrets_mb), "resources.secrets");
        if positive(resources.disk_mb) {
            notes.wrong(
                at,
                "Task can't ask for disk resources, they have to be specified at the task group \
                 level.",
            );
        }
        if positive(resources.iops) {
            let text = "IOPS has been deprecated as of Nomad 0.9.0. Please remove IOPS from \
                        resource block.";
            notes.warn(at, text);
        }
        for inner in resources.networks.iter().flatten() {
            network(inner, at, notes);
        }
    }
    for inner in task.services.iter().flatten() {
        service(inner, at, notes);
    }
}

fn shows_itself(identity: &IdentityDraft) -> bool {
    on(identity.env) || on(identity.file) || has(&identity.filepath) || has(&identity.change_mode)
}
