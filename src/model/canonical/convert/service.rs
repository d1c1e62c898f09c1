//! Services and checks.

use super::{text, whole};
use crate::model::canonical::{At, Notes};
use crate::model::draft::{CheckDraft, CheckRestartDraft, ServiceDraft};
use crate::model::service::{AddressMode, Check, CheckKind, CheckRestart, OnUpdate, Service};

/// A service of a group, or of the task named `owner`.
pub(in crate::model::canonical) fn service(
    service: &ServiceDraft,
    owner: Option<&str>,
    at: At<'_>,
    notes: &mut Notes,
) -> Service {
    let name = text(&service.name);
    let named = service.task.as_deref().filter(|t| !t.is_empty());
    if let (Some(owner), Some(named)) = (owner, named)
        && owner != named
    {
        notes.wrong(
            at,
            format!("Service {name} is invalid: may only specify task the service belongs to, got {named:?}"),
        );
    }
    Service {
        task: owner.or(named).map(str::to_string),
        port: text(&service.port),
        address_mode: address_mode(service, at, notes),
        address: text(&service.address),
        tags: service.tags.clone().unwrap_or_default(),
        canary_tags: service.canary_tags.clone().unwrap_or_default(),
        meta: service.meta.clone().unwrap_or_default(),
        canary_meta: service.canary_meta.clone().unwrap_or_default(),
        checks: service
            .checks
            .iter()
            .flatten()
            .enumerate()
            .filter_map(|(i, c)| check(c, i, &name, at, notes))
            .collect(),
        on_update: on_update(&service.on_update, &name, at, notes),
        name,
    }
}

fn address_mode(service: &ServiceDraft, at: At<'_>, notes: &mut Notes) -> AddressMode {
    match service.address_mode.as_deref().unwrap_or("") {
        "" | "auto" => AddressMode::Auto,
        "host" => AddressMode::Host,
        "driver" => AddressMode::Driver,
        "alloc" => AddressMode::Alloc,
        "alloc_ipv6" => {
            notes.refuse(at, true, "the service address_mode \"alloc_ipv6\"");
            AddressMode::Auto
        }
        other => {
            notes.wrong(
                at,
                format!(
                    "Service address_mode must be \"auto\", \"alloc\", \"host\" or \"driver\"; \
                     not {other:?}"
                ),
            );
            AddressMode::Auto
        }
    }
}

fn on_update(given: &Option<String>, of: &str, at: At<'_>, notes: &mut Notes) -> OnUpdate {
    match given.as_deref().unwrap_or("") {
        "" | "require_healthy" => OnUpdate::RequireHealthy,
        "ignore" => OnUpdate::Ignore,
        "ignore_warnings" => {
            let what = format!("on_update = \"ignore_warnings\" of service {of:?}");
            notes.refuse(at, true, &what);
            OnUpdate::RequireHealthy
        }
        other => {
            notes.wrong(
                at,
                format!(
                    "on_update must be \"require_healthy\", \"ignore_warnings\", or \"ignore\"; \
                     got {other:?}"
                ),
            );
            OnUpdate::RequireHealthy
        }
    }
}

/// `None` after a refusal or a violation of the check's type.
fn check(
    check: &CheckDraft,
    index: usize,
    service: &str,
    at: At<'_>,
    notes: &mut Notes,
) -> Option<Check> {
    let kind = match check.kind.as_deref().unwrap_or("").to_lowercase().as_str() {
        "tcp" => CheckKind::Tcp,
        "http" => http(check, service, at, notes),
        // Refused by name.
        "grpc" | "script" => return None,
        other => {
            notes.wrong(
                at,
                format!("invalid check type ({other:?}), must be one of tcp, http"),
            );
            return None;
        }
    };
    let name = match text(&check.name) {
        // Unnamed checks of one service must still be told apart.
        unnamed if unnamed.is_empty() && index == 0 => format!("service: {service:?} check"),
        unnamed if unnamed.is_empty() => format!("service: {service:?} check {}", index + 1),
        given => given,
    };
    Some(Check {
        kind,
        port: text(&check.port),
        interval: super::duration(check.interval, "check interval", at, notes),
        timeout: super::duration(check.timeout, "check timeout", at, notes),
        on_update: on_update(&check.on_update, service, at, notes),
        restart: check
            .check_restart
            .as_ref()
            .and_then(|r| restart(r, at, notes)),
        name,
    })
}

fn http(check: &CheckDraft, service: &str, at: At<'_>, notes: &mut Notes) -> CheckKind {
    let protocol = check.protocol.as_deref().unwrap_or("").to_lowercase();
    if !matches!(protocol.as_str(), "" | "http" | "https") {
        notes.wrong(
            at,
            format!(
                "check protocol of service {service:?} must be http or https; got {protocol:?}"
            ),
        );
    }
    let method = text(&check.method).to_uppercase();
    CheckKind::Http {
        path: text(&check.path),
        method: if method.is_empty() {
            "GET".to_string()
        } else {
            method
        },
        body: text(&check.body),
        headers: check.header.clone().unwrap_or_default(),
        tls: protocol == "https",
        tls_skip_verify: check.tls_skip_verify.unwrap_or(false),
    }
}

/// A limit of 0 is how the API writes "never".
fn restart(restart: &CheckRestartDraft, at: At<'_>, notes: &mut Notes) -> Option<CheckRestart> {
    let limit: u32 = whole(restart.limit, "check_restart.limit", at, notes);
    (limit > 0).then(|| CheckRestart {
        limit,
        grace: super::duration(restart.grace, "check_restart.grace", at, notes),
    })
}
