//! Every key that an agent file may hold: used, without effect here, or refused with a reason.

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is read.
    Used,
    /// Nothing in Tumen depends on it; the text says why that is harmless.
    Ignored(&'static str),
    /// What it asks for does not exist; the text says so.
    Refused(&'static str),
}

use Fate::{Ignored, Refused, Used};

const NO_ACL: Fate = Refused("access control lists are not supported yet");
const NO_TLS: Fate = Refused("TLS is not supported yet");
const NO_CONSUL: Fate = Refused("Consul is not supported: services are found natively");
const NO_VAULT: Fate = Refused("Vault is not supported");
const ENTERPRISE: Fate = Refused("it belongs to Nomad Enterprise");
const MEASURED: Fate = Ignored("liveness and timers are measured, not configured");
const FIXED_GC: Fate = Refused("the ages at which things are collected are fixed for now");
const NO_SINK: Fate = Refused("metrics are pulled from /v1/metrics, not pushed");

/// Key patterns, the most particular first; `*` stands for the rest of a key.
pub const KEYS: &[(&str, Fate)] = &[
    ("dev", Used),
    ("region", Used),
    ("datacenter", Used),
    ("name", Used),
    ("data_dir", Used),
    ("log_level", Used),
    ("log_json", Used),
    ("bind_addr", Used),
    ("leave_on_interrupt", Used),
    ("leave_on_terminate", Used),
    (
        "enable_debug",
        Ignored("there are no debug endpoints to enable"),
    ),
    (
        "disable_update_check",
        Ignored("Tumen never asks for updates"),
    ),
    (
        "disable_anonymous_signature",
        Ignored("Tumen never asks for updates"),
    ),
    ("plugin_dir", Ignored("drivers are built in")),
    (
        "log_file",
        Refused("logging to a file is not supported yet: redirect standard error"),
    ),
    (
        "log_rotate_bytes",
        Refused("logging to a file is not supported yet"),
    ),
    (
        "log_rotate_duration",
        Refused("logging to a file is not supported yet"),
    ),
    (
        "log_rotate_max_files",
        Refused("logging to a file is not supported yet"),
    ),
    (
        "log_include_location",
        Refused("log lines have no source locations"),
    ),
    (
        "enable_syslog",
        Refused("syslog is not supported: log lines go to standard output"),
    ),
    ("syslog_facility", Refused("syslog is not supported")),
    ("http_api_response_headers.*", Used),
    ("ports.http", Used),
    ("ports.rpc", Used),
    ("ports.serf", Used),
    ("addresses.http", Used),
    ("addresses.rpc", Used),
    ("addresses.serf", Used),
    ("advertise.http", Used),
    ("advertise.rpc", Used),
    ("advertise.serf", Used),
    ("acl.enabled", Used),
    ("acl.*", NO_ACL),
    ("tls.http", Used),
    ("tls.rpc", Used),
    ("tls.*", NO_TLS),
    ("limits.http_max_conns_per_client", Used),
    (
        "limits.rpc_max_conns_per_client",
        Ignored("connections are bounded in all"),
    ),
    (
        "limits.https_handshake_timeout",
        Ignored("there is no TLS yet"),
    ),
    ("limits.rpc_handshake_timeout", Ignored("it is 5 s")),
    (
        "telemetry.prometheus_metrics",
        Ignored("they are always on"),
    ),
    (
        "telemetry.collection_interval",
        Ignored("metrics are collected as they happen"),
    ),
    (
        "telemetry.in_memory_collection_interval",
        Ignored("the interval is 10 s"),
    ),
    (
        "telemetry.in_memory_retention_period",
        Ignored("the last interval is kept"),
    ),
    (
        "telemetry.publish_allocation_metrics",
        Ignored("see /v1/client/allocation"),
    ),
    (
        "telemetry.publish_node_metrics",
        Ignored("see /v1/client/stats"),
    ),
    (
        "telemetry.disable_hostname",
        Ignored("metric names carry no host name"),
    ),
    (
        "telemetry.use_node_name",
        Ignored("metric names carry no host name"),
    ),
    ("telemetry.*", NO_SINK),
    ("autopilot.*", Ignored("one server needs no autopilot")),
    ("rpc.*", Ignored("connections have fixed limits")),
    ("ui.enabled", Used),
    ("ui.show_cli_hints", Used),
    ("ui.*", Refused("the pages have no settings yet")),
    ("plugin.docker.config.*", Used),
    ("plugin.docker", Used),
    ("plugin.raw_exec.config.enabled", Used),
    (
        "plugin.raw_exec.config.*",
        Refused("raw_exec has only the setting `enabled`"),
    ),
    ("plugin.raw_exec", Used),
    (
        "plugin.*",
        Refused("only the built-in drivers docker and raw_exec have settings"),
    ),
    ("consul.*", NO_CONSUL),
    ("vault.*", NO_VAULT),
    ("keyring.*", Refused("external keyrings are not supported")),
    ("audit.*", ENTERPRISE),
    ("sentinel.*", ENTERPRISE),
    ("reporting.*", ENTERPRISE),
    ("client.enabled", Used),
    ("client.state_dir", Used),
    ("client.alloc_dir", Used),
    ("client.servers", Used),
    ("client.server_join.start_join", Used),
    ("client.server_join.retry_join", Used),
    ("client.server_join.retry_interval", Used),
    ("client.server_join.retry_max", Used),
    ("client.node_class", Used),
    ("client.node_pool", Used),
    ("client.meta.*", Used),
    ("client.options.driver.allowlist", Used),
    ("client.options.driver.raw_exec.enable", Used),
    ("client.options.docker.volumes.enabled", Used),
    ("client.options.docker.cleanup.image", Used),
    (
        "client.options.fingerprint.denylist",
        Ignored("no cloud or service is probed"),
    ),
    (
        "client.options.*",
        Refused("this option of old drivers is not known"),
    ),
    ("client.network_interface", Used),
    ("client.cpu_total_compute", Used),
    ("client.memory_total_mb", Used),
    ("client.disk_total_mb", Used),
    ("client.max_kill_timeout", Used),
    ("client.min_dynamic_port", Used),
    ("client.max_dynamic_port", Used),
    (
        "client.client_min_port",
        Ignored("drivers are built in and need no ports"),
    ),
    (
        "client.client_max_port",
        Ignored("drivers are built in and need no ports"),
    ),
    ("client.reserved.cpu", Used),
    ("client.reserved.memory", Used),
    ("client.reserved.disk", Used),
    ("client.reserved.reserved_ports", Used),
    ("client.gc_max_allocs", Used),
    (
        "client.gc_interval",
        Ignored("ended allocations are looked at when one ends"),
    ),
    (
        "client.gc_parallel_destroys",
        Ignored("directories are removed one after another"),
    ),
    (
        "client.gc_disk_usage_threshold",
        Ignored("the number of allocations bounds what is kept"),
    ),
    (
        "client.gc_inode_usage_threshold",
        Ignored("the number of allocations bounds what is kept"),
    ),
    (
        "client.no_host_uuid",
        Ignored("a node's id is always random"),
    ),
    ("client.default_ineligible", Used),
    (
        "client.network_speed",
        Ignored("bandwidth is not scheduled"),
    ),
    ("client.nomad_service_discovery", Used),
    ("client.*", Refused("it is not supported yet")),
    ("server.enabled", Used),
    ("server.bootstrap_expect", Used),
    (
        "server.num_schedulers",
        Ignored("there is one worker per core"),
    ),
    ("server.job_gc_threshold", FIXED_GC),
    ("server.eval_gc_threshold", FIXED_GC),
    ("server.batch_eval_gc_threshold", FIXED_GC),
    ("server.deployment_gc_threshold", FIXED_GC),
    ("server.node_gc_threshold", FIXED_GC),
    ("server.job_gc_interval", FIXED_GC),
    ("server.raft_protocol", Ignored("there is one protocol")),
    ("server.raft_multiplier", MEASURED),
    ("server.heartbeat_grace", MEASURED),
    ("server.min_heartbeat_ttl", MEASURED),
    ("server.max_heartbeats_per_second", MEASURED),
    ("server.failover_heartbeat_ttl", MEASURED),
    ("server.start_join", Used),
    ("server.retry_join", Used),
    ("server.retry_interval", Used),
    ("server.retry_max", Used),
    ("server.server_join.start_join", Used),
    ("server.server_join.retry_join", Used),
    ("server.server_join.retry_interval", Used),
    ("server.server_join.retry_max", Used),
    ("server.encrypt", Used),
    ("server.rejoin_after_leave", Used),
    ("server.non_voting_server", ENTERPRISE),
    ("server.redundancy_zone", ENTERPRISE),
    ("server.upgrade_version", ENTERPRISE),
    ("server.license_path", ENTERPRISE),
    (
        "server.default_scheduler_config.*",
        Refused("use PUT /v1/operator/scheduler/configuration"),
    ),
    (
        "server.plan_rejection_tracker.*",
        Ignored("a refused plan is planned again"),
    ),
    ("server.*", Refused("it is not supported yet")),
];

/// The blocks that may stand alone.
pub const BLOCKS: &[&str] = &[
    "ports",
    "addresses",
    "advertise",
    "server",
    "client",
    "client.meta",
    "client.options",
    "client.reserved",
    "client.server_join",
    "server.server_join",
    "limits",
    "telemetry",
    "acl",
    "tls",
    "ui",
    "rpc",
    "autopilot",
    "http_api_response_headers",
];

/// What becomes of `key`; `None` if no such key exists.
pub fn fate(key: &str) -> Option<Fate> {
    let is_block = BLOCKS.contains(&key)
        || key.starts_with("plugin.docker.config")
        || key == "plugin.raw_exec.config";
    if is_block {
        return Some(Used);
    }
    let pattern = KEYS
        .iter()
        .find(|(pattern, _)| match pattern.strip_suffix(".*") {
            Some(prefix) => key
                .strip_prefix(prefix)
                .is_some_and(|r| r.is_empty() || r.starts_with('.')),
            None => key == *pattern,
        })?;
    // A catch-all knows keys only where Nomad has them; what it does not have is a mistake.
    match pattern {
        ("client.*", _) if !known(&key["client.".len()..], CLIENT_REST) => None,
        ("server.*", _) if !known(&key["server.".len()..], SERVER_REST) => None,
        (_, fate) => Some(*fate),
    }
}

fn known(key: &str, rest: &[&str]) -> bool {
    rest.contains(&key.split('.').next().unwrap_or_default())
}

/// Nomad's client keys that no pattern above names.
const CLIENT_REST: &[&str] = &[
    "alloc_mounts_dir",
    "artifact",
    "bind_wildcard_default_host_network",
    "bridge_network_name",
    "bridge_network_hairpin_mode",
    "bridge_network_subnet",
    "bridge_network_subnet_ipv6",
    "cgroup_parent",
    "chroot_env",
    "cni_config_dir",
    "cni_path",
    "disable_remote_exec",
    "disk_free_mb",
    "drain_on_shutdown",
    "fingerprint",
    "gc_volumes_on_node_gc",
    "host_network",
    "host_volume",
    "host_volume_plugin_dir",
    "host_volumes_dir",
    "node_max_allocs",
    "preferred_address_family",
    "reservable_cores",
    "template",
    "users",
];

/// Nomad's server keys that no pattern above names.
const SERVER_REST: &[&str] = &[
    "acl_token_gc_threshold",
    "authoritative_region",
    "client_introduction",
    "csi_plugin_gc_threshold",
    "csi_volume_claim_gc_interval",
    "csi_volume_claim_gc_threshold",
    "data_dir",
    "deploy_query_rate_limit",
    "enable_event_broker",
    "enabled_schedulers",
    "event_buffer_size",
    "job_default_priority",
    "job_max_count",
    "job_max_priority",
    "job_max_source_size",
    "job_tracked_versions",
    "oidc_issuer",
    "protocol_version",
    "raft_boltdb",
    "raft_logstore",
    "raft_snapshot_interval",
    "raft_snapshot_threshold",
    "raft_trailing_logs",
    "root_key_gc_threshold",
    "root_key_rotation_threshold",
    "search",
    "start_timeout",
];

/// The known key most like `key`, if one is near.
pub fn nearest(key: &str) -> Option<&'static str> {
    let names = KEYS
        .iter()
        .map(|(k, _)| k.trim_end_matches(".*"))
        .chain(BLOCKS.iter().copied());
    let scored = names.map(|name| (strsim::damerau_levenshtein(key, name), name));
    let (distance, name) = scored.min()?;
    (distance <= 1 + key.len() / 4).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_used_refused_or_unknown() {
        assert_eq!(fate("server.enabled"), Some(Used));
        assert_eq!(fate("client.meta.rack"), Some(Used));
        assert_eq!(fate("plugin.docker.config.gc.image"), Some(Used));
        assert!(matches!(fate("vault.address"), Some(Refused(_))));
        assert!(matches!(
            fate("client.host_volume.data.path"),
            Some(Refused(_))
        ));
        assert_eq!(fate("server.bananas"), None);
        assert_eq!(fate("foo"), None);
    }

    #[test]
    fn a_slip_finds_the_key_that_was_meant() {
        assert_eq!(nearest("server.enabeld"), Some("server.enabled"));
        assert_eq!(nearest("datacentre"), Some("datacenter"));
        assert_eq!(nearest("zzzzzz"), None);
    }
}
