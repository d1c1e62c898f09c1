//! Services and checks.

use super::Kind::{Bool, Duration, Int, Many, One, Text, TextMap, Texts, TextsMap};
use super::connect::CONNECT;
use super::task::IDENTITY;
use super::{Schema, block, field};

pub(super) static SERVICE: Schema = block(
    "service",
    &[
        field("name", "Name", Text),
        field("port", "PortLabel", Text),
        field("provider", "Provider", Text),
        field("tags", "Tags", Texts),
        field("canary_tags", "CanaryTags", Texts),
        field("enable_tag_override", "EnableTagOverride", Bool),
        field("address_mode", "AddressMode", Text),
        field("address", "Address", Text),
        field("check", "Checks", Many(&CHECK)),
        field("check_restart", "CheckRestart", One(&CHECK_RESTART)),
        field("connect", "Connect", One(&CONNECT)),
        field("meta", "Meta", TextMap),
        field("canary_meta", "CanaryMeta", TextMap),
        field("tagged_addresses", "TaggedAddresses", TextMap),
        field("task", "TaskName", Text),
        field("on_update", "OnUpdate", Text),
        field("identity", "Identity", One(&IDENTITY)),
        field("weights", "Weights", One(&WEIGHTS)),
        field("cluster", "Cluster", Text),
        field("kind", "Kind", Text),
    ],
);

static WEIGHTS: Schema = block(
    "weights",
    &[
        field("passing", "Passing", Int),
        field("warning", "Warning", Int),
    ],
);

static CHECK: Schema = block(
    "check",
    &[
        field("name", "Name", Text),
        field("type", "Type", Text),
        field("command", "Command", Text),
        field("args", "Args", Texts),
        field("path", "Path", Text),
        field("protocol", "Protocol", Text),
        field("port", "PortLabel", Text),
        field("expose", "Expose", Bool),
        field("address_mode", "AddressMode", Text),
        field("advertise", "Advertise", Text),
        field("interval", "Interval", Duration),
        field("timeout", "Timeout", Duration),
        field("initial_status", "InitialStatus", Text),
        field("notes", "Notes", Text),
        field("tls_server_name", "TLSServerName", Text),
        field("tls_skip_verify", "TLSSkipVerify", Bool),
        field("header", "Header", TextsMap),
        field("method", "Method", Text),
        field("check_restart", "CheckRestart", One(&CHECK_RESTART)),
        field("grpc_service", "GRPCService", Text),
        field("grpc_use_tls", "GRPCUseTLS", Bool),
        field("task", "TaskName", Text),
        field("success_before_passing", "SuccessBeforePassing", Int),
        field("failures_before_critical", "FailuresBeforeCritical", Int),
        field("failures_before_warning", "FailuresBeforeWarning", Int),
        field("body", "Body", Text),
        field("on_update", "OnUpdate", Text),
    ],
);

static CHECK_RESTART: Schema = block(
    "check_restart",
    &[
        field("limit", "Limit", Int),
        field("grace", "Grace", Duration),
        field("ignore_warnings", "IgnoreWarnings", Bool),
    ],
);
