//! Rules of placement, and policies.

use serde_json::Value as Json;

use super::Kind::{Bool, Duration, Free, Int, Many, Text, Texts};
use super::{Object, Schema, block, default, field};

/// The shorthand arguments that stand for an operator with its value.
const SHORTHANDS: [&str; 4] = ["version", "semver", "regexp", "set_contains"];

pub(super) static CONSTRAINT: Schema = Schema {
    name: "constraint",
    label: None,
    fields: &[
        field("attribute", "LTarget", Text),
        field("operator", "Operand", Text),
        field("value", "RTarget", Text),
        field("version", "_version", Text),
        field("semver", "_semver", Text),
        field("regexp", "_regexp", Text),
        field("set_contains", "_set_contains", Text),
        // Accepted without effect, as Nomad does.
        field("set_contains_any", "_set_contains_any", Text),
        field("set_contains_all", "_set_contains_all", Text),
        field("is_set", "_is_set", Bool),
        field("is_not_set", "_is_not_set", Bool),
        field("distinct_hosts", "_distinct_hosts", Bool),
        field("distinct_property", "_distinct_property", Text),
    ],
    finish: Some(finish_constraint),
};

pub(super) static AFFINITY: Schema = Schema {
    name: "affinity",
    label: None,
    fields: &[
        field("attribute", "LTarget", Text),
        field("operator", "Operand", Text),
        field("value", "RTarget", Text),
        field("weight", "Weight", Int),
        field("version", "_version", Text),
        field("semver", "_semver", Text),
        field("regexp", "_regexp", Text),
        field("set_contains", "_set_contains", Text),
        field("set_contains_any", "_set_contains_any", Text),
        field("set_contains_all", "_set_contains_all", Text),
    ],
    finish: Some(finish_affinity),
};

fn set(object: &mut Object, key: &str, value: impl Into<Json>) {
    object.insert(key.to_string(), value.into());
}

fn expand_shorthands(object: &mut Object, names: &[&str]) {
    for name in names {
        if let Some(value) = object.remove(&format!("_{name}")) {
            set(object, "Operand", *name);
            set(object, "RTarget", value);
        }
    }
}

fn finish_constraint(object: &mut Object) {
    expand_shorthands(object, &SHORTHANDS);
    if let Some(on) = object.remove("_distinct_hosts") {
        set(object, "Operand", "distinct_hosts");
        set(object, "RTarget", on.to_string());
    }
    if let Some(property) = object.remove("_distinct_property") {
        set(object, "Operand", "distinct_property");
        set(object, "LTarget", property);
    }
    object.retain(|key, _| !key.starts_with('_'));
    default(object, "Operand", "=");
}

fn finish_affinity(object: &mut Object) {
    expand_shorthands(object, &SHORTHANDS);
    expand_shorthands(object, &["set_contains_any", "set_contains_all"]);
    default(object, "Operand", "=");
}

pub(super) static SPREAD: Schema = block(
    "spread",
    &[
        field("attribute", "Attribute", Text),
        field("weight", "Weight", Int),
        field("target", "SpreadTarget", Many(&SPREAD_TARGET)),
    ],
);

static SPREAD_TARGET: Schema = Schema {
    name: "target",
    label: Some("Value"),
    fields: &[
        field("value", "Value", Text),
        field("percent", "Percent", Int),
    ],
    finish: None,
};

pub(super) static UPDATE: Schema = block(
    "update",
    &[
        field("stagger", "Stagger", Duration),
        field("max_parallel", "MaxParallel", Int),
        field("health_check", "HealthCheck", Text),
        field("min_healthy_time", "MinHealthyTime", Duration),
        field("healthy_deadline", "HealthyDeadline", Duration),
        field("progress_deadline", "ProgressDeadline", Duration),
        field("canary", "Canary", Int),
        field("auto_revert", "AutoRevert", Bool),
        field("auto_promote", "AutoPromote", Bool),
    ],
);

pub(super) static RESTART: Schema = block(
    "restart",
    &[
        field("interval", "Interval", Duration),
        field("attempts", "Attempts", Int),
        field("delay", "Delay", Duration),
        field("mode", "Mode", Text),
        field("render_templates", "RenderTemplates", Bool),
    ],
);

pub(super) static RESCHEDULE: Schema = block(
    "reschedule",
    &[
        field("attempts", "Attempts", Int),
        field("interval", "Interval", Duration),
        field("delay", "Delay", Duration),
        field("delay_function", "DelayFunction", Text),
        field("max_delay", "MaxDelay", Duration),
        field("unlimited", "Unlimited", Bool),
    ],
);

pub(super) static MIGRATE: Schema = block(
    "migrate",
    &[
        field("max_parallel", "MaxParallel", Int),
        field("health_check", "HealthCheck", Text),
        field("min_healthy_time", "MinHealthyTime", Duration),
        field("healthy_deadline", "HealthyDeadline", Duration),
    ],
);

pub(super) static DISCONNECT: Schema = block(
    "disconnect",
    &[
        field("lost_after", "LostAfter", Duration),
        field("stop_on_client_after", "StopOnClientAfter", Duration),
        field("replace", "Replace", Bool),
        field("reconcile", "Reconcile", Text),
    ],
);

pub(super) static PERIODIC: Schema = Schema {
    name: "periodic",
    label: None,
    fields: &[
        field("enabled", "Enabled", Bool),
        field("cron", "Spec", Text),
        field("crons", "Specs", Texts),
        field("prohibit_overlap", "ProhibitOverlap", Bool),
        field("time_zone", "TimeZone", Text),
    ],
    finish: Some(|object| default(object, "SpecType", "cron")),
};

pub(super) static PARAMETERIZED: Schema = block(
    "parameterized",
    &[
        field("payload", "Payload", Text),
        field("meta_required", "MetaRequired", Texts),
        field("meta_optional", "MetaOptional", Texts),
    ],
);

const SCALING_FIELDS: &[super::Field] = &[
    field("enabled", "Enabled", Bool),
    field("min", "Min", Int),
    field("max", "Max", Int),
    field("policy", "Policy", Free),
];

pub(super) static SCALING: Schema = Schema {
    name: "scaling",
    label: None,
    fields: SCALING_FIELDS,
    finish: Some(|object| default(object, "Type", "horizontal")),
};

pub(super) static TASK_SCALING: Schema = Schema {
    name: "scaling",
    label: Some("Type"),
    fields: SCALING_FIELDS,
    finish: Some(|object| {
        let kind = match object.get("Type").and_then(Json::as_str) {
            Some("cpu") => "vertical_cpu",
            Some("mem") => "vertical_mem",
            _ => return,
        };
        set(object, "Type", kind);
    }),
};
