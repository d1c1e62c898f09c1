//! `alloc …`

mod act;
mod exec;
mod follow;
mod fs;
mod logs;
mod pick;
mod status;

pub use status::status;

use crate::cli::flags::{Flag, switch, value};
use crate::cli::json;
use crate::cli::registry::{Command, command};

const VERBOSE: Flag = switch("verbose", "Shows whole ids and more.");
const TASK: Flag = value(
    "task",
    "<name>",
    "The task; it may also stand after the allocation.",
);

static STATUS: &[Flag] = &[
    switch("short", "Shows the head and a line a task."),
    switch("stats", "Shows what the tasks use, in detail."),
    switch("ui", "Prints the address of the allocation's page."),
    VERBOSE,
];
static LOGS: &[Flag] = &[
    switch(
        "stdout",
        "Shows standard output; so it is unless -stderr is given.",
    ),
    switch("stderr", "Shows standard error."),
    TASK,
    value("group", "<name>", "With -job: an allocation of this group."),
    switch(
        "job",
        "The argument is a job; one of its allocations is taken.",
    ),
    switch("f", "Goes on with what is written later, until Ctrl-C."),
    switch("tail", "Begins ten lines before the end."),
    value("n", "<lines>", "With -tail: how many lines before the end."),
    value("c", "<bytes>", "With -tail: how many bytes before the end."),
    VERBOSE,
];
static EXEC: &[Flag] = &[
    TASK,
    switch(
        "job",
        "The argument is a job; one of its allocations is taken.",
    ),
    value("group", "<name>", "With -job: an allocation of this group."),
    switch("i", "Passes standard input on; true unless set."),
    switch(
        "t",
        "Gives the command a terminal; true unless set where there is one.",
    ),
    value(
        "e",
        "<char>",
        "The escape character of terminal sessions, `none` for no escapes; `~` unless set.",
    ),
];
static FS: &[Flag] = &[
    switch("H", "Shows sizes as plain numbers of bytes."),
    switch(
        "job",
        "The argument is a job; one of its allocations is taken.",
    ),
    value("group", "<name>", "With -job: an allocation of this group."),
    switch("stat", "Shows what the path is instead of its contents."),
    switch(
        "f",
        "Goes on with what is written to the file later, until Ctrl-C.",
    ),
    switch("tail", "Begins ten lines before the file's end."),
    value("n", "<lines>", "With -tail: how many lines before the end."),
    value("c", "<bytes>", "With -tail: how many bytes before the end."),
    VERBOSE,
];
static RESTART: &[Flag] = &[
    switch("all-tasks", "Restarts tasks that have ended as well."),
    TASK,
    VERBOSE,
];
static STOP: &[Flag] = &[
    switch("detach", "Returns at once, without watching what follows."),
    switch("no-shutdown-delay", "Does not wait for shutdown delays."),
    VERBOSE,
];
static SIGNAL: &[Flag] = &[
    value("s", "<signal>", "The signal; SIGKILL unless set."),
    TASK,
    VERBOSE,
];

/// The commands of this family.
pub static COMMANDS: &[Command] = &[
    Command {
        flags: &[json::FLAGS, STATUS],
        ..command(
            "alloc status",
            "[options] <allocation>",
            "Show an allocation",
            status,
        )
    },
    Command {
        about: "Prints what a task has written. The task may be left out where there is one only.",
        flags: &[LOGS],
        ..command(
            "alloc logs",
            "[options] <allocation> [<task>]",
            "Show the logs of a task",
            logs::logs,
        )
    },
    Command {
        about: "Runs a command where a task runs. Exits with the command's own exit code.",
        flags: &[EXEC],
        ..command(
            "alloc exec",
            "[options] <allocation> <command> [<args>...]",
            "Run a command in a task",
            exec::exec,
        )
    },
    Command {
        about: "Shows a directory or a file of an allocation.",
        flags: &[FS],
        ..command(
            "alloc fs",
            "[options] <allocation> [<path>]",
            "Show an allocation's files",
            fs::fs,
        )
    },
    Command {
        flags: &[RESTART],
        ..command(
            "alloc restart",
            "[options] <allocation> [<task>]",
            "Restart tasks in place",
            act::restart,
        )
    },
    Command {
        flags: &[STOP],
        ..command(
            "alloc stop",
            "[options] <allocation>",
            "Stop an allocation and replace it",
            act::stop,
        )
    },
    Command {
        flags: &[SIGNAL],
        ..command(
            "alloc signal",
            "[options] <allocation> [<task>]",
            "Send a signal to tasks",
            act::signal,
        )
    },
    Command {
        flags: &[json::FLAGS, &[VERBOSE]],
        ..command(
            "alloc checks",
            "[options] <allocation>",
            "Show the checks of an allocation's services",
            act::checks,
        )
    },
];
