//! `job …`

mod change;
mod init;
mod inspect;
mod list;
mod plan;
mod restart;
mod run;
mod scale;
mod status;
mod stop;
mod validate;

pub use change::{follow, send_promotion};
pub use status::{FLAGS as STATUS_FLAGS, failures, status};

use crate::cli::flags::{Flag, list, switch, value};
use crate::cli::jobfile;
use crate::cli::json;
use crate::cli::registry::{Command, command};

pub(super) const DETACH: Flag = switch("detach", "Returns at once, without watching what follows.");
pub(super) const VERBOSE: Flag = switch("verbose", "Shows whole ids and more columns.");

static RUN: &[Flag] = &[
    value(
        "check-index",
        "<index>",
        "Registers only if the job's modify index is this; 0 means that there is no such job.",
    ),
    DETACH,
    value(
        "eval-priority",
        "<priority>",
        "The priority of the evaluation that this creates.",
    ),
    switch(
        "output",
        "Prints the job as the API's JSON and sends nothing.",
    ),
    switch(
        "policy-override",
        "Taken for scripts' sake; there are no policies to override.",
    ),
    switch(
        "preserve-counts",
        "Keeps the groups' present counts instead of the file's.",
    ),
    switch(
        "preserve-resources",
        "Keeps the tasks' present resources instead of the file's.",
    ),
    switch("ui", "Prints the address of the job's page."),
    VERBOSE,
];

static PLAN: &[Flag] = &[
    switch("diff", "Whether to show the difference; true unless set."),
    switch("json-output", "Prints the API's answer as JSON."),
    value(
        "t",
        "<template>",
        "Prints the API's answer through a Go template.",
    ),
    switch(
        "policy-override",
        "Taken for scripts' sake; there are no policies to override.",
    ),
    switch("verbose", "Shows everything inside of what is new."),
];

static STOP: &[Flag] = &[
    DETACH,
    value(
        "eval-priority",
        "<priority>",
        "The priority of the evaluation that this creates.",
    ),
    switch(
        "global",
        "Taken for scripts' sake; there are no multi-region jobs.",
    ),
    switch(
        "no-shutdown-delay",
        "Does not wait for the groups' and tasks' shutdown delays.",
    ),
    switch(
        "purge",
        "Removes the job from the cluster's memory as well.",
    ),
    switch("yes", "Answers questions with yes."),
    VERBOSE,
];

static WATCHED: &[Flag] = &[DETACH, VERBOSE];
static INSPECT: &[Flag] = &[
    value(
        "version",
        "<n>",
        "The version to show; the newest unless set.",
    ),
    switch("hcl", "Prints the job file as it was submitted."),
];
static HISTORY: &[Flag] = &[
    switch("p", "Shows what each version changed."),
    switch("full", "Shows each version whole."),
    value("version", "<n>", "Shows this version alone."),
    value(
        "diff-version",
        "<n>",
        "Compares with this version instead of the one before.",
    ),
    value(
        "diff-tag",
        "<name>",
        "Compares with the version of this tag.",
    ),
];
static ALLOCS: &[Flag] = &[
    switch("all", "Includes those of an earlier job with the same id."),
    VERBOSE,
];
static DEPLOYMENTS: &[Flag] = &[
    switch("latest", "Shows the newest deployment, whole."),
    switch("all", "Includes those of an earlier job with the same id."),
    VERBOSE,
];
static EVAL: &[Flag] = &[
    switch(
        "force-reschedule",
        "Replaces failed allocations even when none are due.",
    ),
    DETACH,
    VERBOSE,
];
static PROMOTE: &[Flag] = &[
    list(
        "group",
        "<name>",
        "Promotes this group alone. May be given several times.",
    ),
    DETACH,
    VERBOSE,
];
static SCALE: &[Flag] = &[
    value(
        "check-index",
        "<index>",
        "Scales only if the job's modify index is this.",
    ),
    DETACH,
    VERBOSE,
];
static INIT: &[Flag] = &[
    switch("short", "Writes the file without comments."),
    switch("connect", "Not part of Tumen: there is no service mesh."),
    value("template", "<name>", "Not part of Tumen."),
    switch("list-templates", "Not part of Tumen."),
];

/// The commands of this family.
pub static COMMANDS: &[Command] = &[
    Command {
        about: "Registers a job, or a new version of it, and watches until it runs.\n\n\
                The path names a job file; - reads it from standard input. Exits with 0 when the \
                deployment succeeded, 1 on errors, 2 when something could not be placed and there \
                is no deployment to wait for.",
        flags: &[jobfile::FLAGS, RUN],
        ..command(
            "job run",
            "[options] <path>",
            "Run a new job or update an existing one",
            run::run,
        )
    },
    Command {
        about: "Shows what running a job file would change, and changes nothing.\n\n\
                Exits with 0 when no allocation would change, 1 when some would, 255 on errors.",
        flags: &[jobfile::FLAGS, PLAN],
        bad_usage: 255,
        ..command(
            "job plan",
            "[options] <path>",
            "Show what running a job file would change",
            plan::plan,
        )
    },
    Command {
        about: "Shows one job, or lists all.",
        flags: &[json::FLAGS, STATUS_FLAGS],
        ..command(
            "job status",
            "[options] [<job>]",
            "Show a job, or list all",
            status,
        )
    },
    Command {
        flags: &[STOP],
        ..command(
            "job stop",
            "[options] <job>...",
            "Stop running jobs",
            stop::stop,
        )
    },
    Command {
        flags: &[WATCHED],
        ..command(
            "job start",
            "[options] <job>...",
            "Start a job that was stopped",
            stop::start,
        )
    },
    Command {
        about: "Writes an example job file: example.nomad.hcl, or the name given. Never overwrites.",
        flags: &[INIT],
        remote: false,
        ..command(
            "job init",
            "[options] [<file>]",
            "Write an example job file",
            init::init,
        )
    },
    Command {
        flags: &[jobfile::FLAGS],
        ..command(
            "job validate",
            "[options] <path>",
            "Check a job file",
            validate::validate,
        )
    },
    Command {
        flags: &[json::FLAGS, INSPECT],
        ..command(
            "job inspect",
            "[options] <job>",
            "Print a job as it is stored",
            inspect::inspect,
        )
    },
    Command {
        flags: &[json::FLAGS, HISTORY],
        ..command(
            "job history",
            "[options] <job>",
            "Show a job's versions",
            inspect::history,
        )
    },
    Command {
        flags: &[json::FLAGS, ALLOCS],
        ..command(
            "job allocs",
            "[options] <job>",
            "List a job's allocations",
            list::allocs,
        )
    },
    Command {
        flags: &[json::FLAGS, DEPLOYMENTS],
        ..command(
            "job deployments",
            "[options] <job>",
            "List a job's deployments",
            list::deployments,
        )
    },
    Command {
        flags: &[EVAL],
        ..command(
            "job eval",
            "[options] <job>",
            "Evaluate a job again",
            change::eval,
        )
    },
    Command {
        flags: &[WATCHED],
        ..command(
            "job revert",
            "[options] <job> <version|tag>",
            "Return a job to an earlier version",
            change::revert,
        )
    },
    Command {
        flags: &[PROMOTE],
        ..command(
            "job promote",
            "[options] <job>",
            "Promote a job's canaries",
            change::promote,
        )
    },
    Command {
        flags: &[SCALE],
        ..command(
            "job scale",
            "[options] <job> [<group>] <count>",
            "Change a group's count",
            scale::scale,
        )
    },
    Command {
        flags: &[&[VERBOSE]],
        ..command(
            "job scaling-events",
            "[options] <job>",
            "List a job's scaling events",
            scale::events,
        )
    },
    Command {
        about: "Restarts the tasks of a job's allocations in place, a batch at a time, or replaces \
                the allocations with -reschedule.",
        flags: &[restart::FLAGS],
        ..command(
            "job restart",
            "[options] <job>",
            "Restart or replace a job's allocations",
            restart::restart,
        )
    },
];
