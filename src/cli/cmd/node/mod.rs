//! `node …`

mod drain;
mod meta;
mod pool;
mod stats;
mod status;

pub use status::status;

use crate::cli::flags::{Flag, list, switch, value};
use crate::cli::json;
use crate::cli::registry::{Command, command};

static STATUS: &[Flag] = &[
    switch("self", "Shows the node of the agent that is asked."),
    switch("stats", "Shows what the machine uses, in detail."),
    switch("allocs", "Shows in the list how many allocations run."),
    switch("short", "Shows less."),
    switch("os", "Shows the operating system in the list."),
    switch("quiet", "Prints ids alone."),
    switch("verbose", "Shows whole ids, attributes and metadata."),
    value("filter", "<expression>", "Lists those alone that fit."),
    value("per-page", "<n>", "How many to list."),
    value("page-token", "<token>", "Where the page starts."),
    switch("ui", "Prints the address of the page."),
];
static DRAIN: &[Flag] = &[
    switch("enable", "Starts a drain."),
    switch("disable", "Ends a drain."),
    value(
        "deadline",
        "<duration>",
        "How long allocations may take to leave; 1h unless set.",
    ),
    switch("force", "Ends all allocations at once."),
    switch("no-deadline", "Lets allocations take as long as they need."),
    switch("ignore-system", "Leaves system jobs where they are."),
    switch(
        "keep-ineligible",
        "With -disable: the node stays ineligible.",
    ),
    switch("monitor", "Watches a drain that is going on."),
    switch("detach", "Returns at once."),
    value("m", "<message>", "A message that is kept with the drain."),
    list(
        "meta",
        "<key=value>",
        "Metadata that is kept with the drain. May be given several times.",
    ),
    switch("self", "Means the node of the agent that is asked."),
    switch("yes", "Answers questions with yes."),
];
static ELIGIBILITY: &[Flag] = &[
    switch("enable", "The node gets new allocations."),
    switch("disable", "The node gets no new allocations."),
    switch("self", "Means the node of the agent that is asked."),
];
static META: &[Flag] = &[value(
    "node-id",
    "<node>",
    "Means this node, not the one of the agent that is asked.",
)];
static UNSET: &[Flag] = &[value(
    "unset",
    "<key,key>",
    "Takes keys away; those of the configuration are hidden.",
)];
static POOL_FILE: &[Flag] = &[switch("json", "The file is JSON, not HCL.")];
static POOL_NODES: &[Flag] = &[
    switch("verbose", "Shows whole ids."),
    value("filter", "<expression>", "Lists those alone that fit."),
    value("per-page", "<n>", "How many to list."),
    value("page-token", "<token>", "Where the page starts."),
];

/// The commands of this family.
pub static COMMANDS: &[Command] = &[
    Command {
        flags: &[json::FLAGS, STATUS],
        ..command(
            "node status",
            "[options] [<node>]",
            "Show a node, or list all",
            status,
        )
    },
    Command {
        about: "Moves all allocations off a node, or ends that.",
        flags: &[DRAIN],
        ..command(
            "node drain",
            "[options] <node>",
            "Move allocations off a node",
            drain::drain,
        )
    },
    Command {
        flags: &[ELIGIBILITY],
        ..command(
            "node eligibility",
            "[options] <node>",
            "Say whether a node gets new allocations",
            drain::eligibility,
        )
    },
    Command {
        flags: &[META, UNSET],
        ..command(
            "node meta apply",
            "[options] <key=value>...",
            "Change a node's metadata while it runs",
            meta::apply,
        )
    },
    Command {
        flags: &[META, json::FLAGS],
        ..command(
            "node meta read",
            "[options]",
            "Show a node's metadata",
            meta::read,
        )
    },
    Command {
        flags: &[json::FLAGS],
        ..command("node pool list", "[options]", "List node pools", pool::list)
    },
    Command {
        flags: &[json::FLAGS],
        ..command(
            "node pool info",
            "[options] <node-pool>",
            "Show a node pool",
            pool::info,
        )
    },
    Command {
        flags: &[POOL_FILE],
        ..command(
            "node pool apply",
            "[options] <path>",
            "Make or change a node pool",
            pool::apply,
        )
    },
    Command {
        ..command(
            "node pool delete",
            "[options] <node-pool>",
            "Remove a node pool",
            pool::delete,
        )
    },
    Command {
        ..command(
            "node pool init",
            "[<filename>]",
            "Write an example of a node pool",
            pool::init,
        )
    },
    Command {
        flags: &[json::FLAGS, POOL_NODES],
        ..command(
            "node pool nodes",
            "[options] <node-pool>",
            "List the nodes of a node pool",
            pool::nodes,
        )
    },
    Command {
        flags: &[json::FLAGS],
        ..command(
            "node pool jobs",
            "[options] <node-pool>",
            "List the jobs of a node pool",
            pool::jobs,
        )
    },
];
