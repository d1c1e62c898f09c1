//! `why`: says why a job, an allocation, an evaluation or a node is as it is.

use serde_json::Value;

use super::{one, status};
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome};
use crate::cli::flags::{Args, Flag};
use crate::cli::http_client::{Client, escape};
use crate::cli::json;
use crate::cli::lookup;
use crate::cli::output::table;
use crate::cli::registry::{Command, command};
use crate::http::dto::node::NodeListStub;
use crate::model::why::{AllocWhy, GroupWhy, NearMiss, Placement, Verdict, Why, WhyKind};

static FLAGS: &[&[Flag]] = &[json::FLAGS];

/// How wide sentences are set.
const WIDTH: usize = 96;

/// The commands of this family.
pub static COMMANDS: &[Command] = &[Command {
    about: "Says in plain words why a job, an allocation, an evaluation or a node is as it is: \
            which rule keeps which nodes from taking an instance and what the nearest node \
            lacks, how tasks ended and what they wrote last, what a deployment waits for. Takes \
            a job's name, a node's name, or the start of any id; ends with commands to type next.",
    flags: FLAGS,
    ..command(
        "why",
        "[options] <job | allocation | evaluation | node>",
        "Say why something does not run",
        why,
    )
}];

fn why(ctx: &mut Ctx, args: &Args) -> Outcome {
    let asked = one(&args.rest, "This command takes one argument: <job | id>")?;
    let client = ctx.client(args)?;
    let path = path_of(&client, asked)?;
    let answer: Value = client
        .get(path)
        .read()
        .attempt(&format!("Error asking why about \"{asked}\""))?;
    if let Some(outcome) = ctx.raw(args, || Ok(answer.clone())) {
        return outcome;
    }
    let why: Why = serde_json::from_value(answer)
        .map_err(|e| Failure::new(format!("Error reading the explanation: {e}")))?;
    let text = render(ctx, &why);
    ctx.out.write(text.as_bytes());
    Ok(OK)
}

/// The path of the explanation of whatever `asked` names.
fn path_of(client: &Client, asked: &str) -> Result<String, Failure> {
    let found = status::search(client, asked)?;
    let chosen = match status::choose(&found, asked) {
        Ok(chosen) => chosen,
        // The search knows nodes by their ids alone.
        Err(failure) => match node_named(client, asked)? {
            Some(id) => ("nodes", id),
            None => return Err(failure),
        },
    };
    Ok(match chosen {
        ("jobs", id) => format!("/v1/job/{}/why", escape(&id)),
        ("allocs", id) => format!("/v1/allocation/{id}/why"),
        ("nodes", id) => format!("/v1/node/{id}/why"),
        ("evals", id) => format!("/v1/evaluation/{id}/why"),
        ("deployment", id) => {
            let deployment = lookup::deployment(client, &id)?;
            format!("/v1/job/{}/why", escape(&deployment.job_id))
        }
        (_, id) => {
            return Err(Failure::new(format!(
                "\"{id}\" is a namespace, and there is nothing to explain about it"
            )));
        }
    })
}

fn node_named(client: &Client, name: &str) -> Result<Option<String>, Failure> {
    let nodes: Option<Vec<NodeListStub>> = client
        .get("/v1/nodes")
        .read()
        .attempt("Error querying nodes")?;
    let mut named = nodes.unwrap_or_default().into_iter();
    Ok(named.find(|n| n.name == name).map(|n| n.id))
}

/// The explanation as text.
fn render(ctx: &Ctx, why: &Why) -> String {
    let mut text = wrapped("", &why.summary);
    // What is said of one allocation is said in its own part below.
    if why.kind != WhyKind::Allocation {
        for reason in &why.reasons {
            text.push_str(&wrapped("", reason));
        }
    }
    for group in &why.groups {
        text.push('\n');
        text.push_str(&group_text(group));
    }
    for alloc in &why.allocs {
        if why.kind != WhyKind::Allocation {
            text.push('\n');
            text.push_str(&wrapped("", &alloc.summary));
        }
        text.push_str(&alloc_text(ctx, alloc));
    }
    if !why.next.is_empty() {
        text.push_str("\nNext:\n");
        let width = why.next.iter().map(|s| s.command.len()).max().unwrap_or(0);
        for step in &why.next {
            text.push_str(&format!("  {:width$}  # {}\n", step.command, step.purpose));
        }
    }
    text
}

fn group_text(group: &GroupWhy) -> String {
    let counts = [
        (group.running, "running"),
        (group.healthy, "healthy"),
        (group.starting, "starting"),
        (group.complete, "done"),
        (group.failed, "failed"),
        (group.unplaced, "without a node"),
    ];
    let mut head = format!("Group \"{}\": {} wanted", group.name, group.wanted);
    for (n, what) in counts.iter().filter(|(n, _)| *n > 0) {
        head.push_str(&format!(", {n} {what}"));
    }
    let mut text = format!("{head}\n");
    for reason in &group.reasons {
        text.push_str(&wrapped("  ", reason));
    }
    if let Some(placement) = &group.placement {
        text.push_str(&placement_text(placement));
    }
    text
}

fn placement_text(placement: &Placement) -> String {
    let nodes = match placement.nodes {
        0 => {
            return wrapped(
                "  ",
                "The cluster has no nodes. Start an agent with `client { enabled = true }` and \
                 the address of any member.",
            );
        }
        1 => "the only node".to_owned(),
        n => format!("{n} nodes"),
    };
    let mut text = match (placement.fitting, placement.nodes) {
        (0, 1) => "  The only node cannot take another instance:\n".to_owned(),
        (0, n) => format!("  None of {n} nodes can take another instance:\n"),
        (1, 1) => "  The only node would take another instance now.\n".to_owned(),
        (fit, _) => format!("  {fit} of {nodes} would take another instance now; the others:\n"),
    };
    for removed in &placement.removed {
        let noun = if removed.count == 1 { "node" } else { "nodes" };
        let mut names = removed.names.join(", ");
        if (removed.names.len() as u64) < u64::from(removed.count) {
            names.push_str(", …");
        }
        let line = format!("{} {noun} ({names}): {}", removed.count, removed.text);
        text.push_str(&wrapped("    ", &line));
    }
    if placement.fitting == 0 {
        for (at, near) in placement.nearest.iter().enumerate() {
            text.push_str(&near_text(near, at == 0));
        }
    }
    text
}

fn near_text(near: &NearMiss, first: bool) -> String {
    let lead = if first { "Nearest:" } else { "Then:   " };
    let id: String = near.node.to_string().chars().take(8).collect();
    let lacks = near.lacks.join("; ");
    let mut text = wrapped("  ", &format!("{lead} {} ({id}): {lacks}.", near.name));
    for holder in &near.holders {
        let id: String = holder.id.to_string().chars().take(8).collect();
        text.push_str(&format!(
            "      {} is held by {} ({id})\n",
            holder.holds, holder.name
        ));
    }
    text
}

fn alloc_text(ctx: &Ctx, alloc: &AllocWhy) -> String {
    let mut text = String::new();
    for reason in &alloc.reasons {
        text.push_str(&wrapped("  ", reason));
    }
    for check in &alloc.checks {
        let output = check
            .output
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let line = match check.status.as_str() {
            "pending" => format!(
                "Health check {} of service {} has not run yet.",
                check.check, check.service
            ),
            _ => format!(
                "Health check {} of service {} fails: {output} ({}).",
                check.check,
                check.service,
                ctx.ago(check.time.0)
            ),
        };
        text.push_str(&wrapped("  ", &line));
    }
    for task in &alloc.tasks {
        if task.troubled || alloc.verdict != Verdict::Fine {
            text.push_str(&format!(
                "  Task \"{}\" ({}), last events:\n",
                task.name, task.state
            ));
            let mut rows = table(["", "", ""]).bare();
            for event in &task.events {
                rows.row([
                    ctx.ago(event.time.0),
                    event.kind.clone(),
                    event.message.clone(),
                ]);
            }
            let lines = rows.render();
            for line in lines.lines().filter(|l| !l.trim().is_empty()) {
                text.push_str(&format!("    {}\n", line.trim_end()));
            }
        } else {
            text.push_str(&format!("  Task \"{}\" {}.\n", task.name, task.summary));
        }
        text.push_str(&log_text(task));
    }
    if !alloc.unreachable.is_empty() {
        let line = format!(
            "Its logs and checks could not be read: {}.",
            alloc.unreachable
        );
        text.push_str(&wrapped("  ", &line));
    }
    text
}

fn log_text(task: &crate::model::why::TaskWhy) -> String {
    let Some(log) = &task.log else {
        return String::new();
    };
    if !log.error.is_empty() {
        return wrapped(
            "  ",
            &format!("Its {} could not be read: {}.", log.stream, log.error),
        );
    }
    if log.lines.is_empty() {
        return format!("  Task \"{}\" has written nothing.\n", task.name);
    }
    let mut text = format!("  Task \"{}\", last lines of {}:\n", task.name, log.stream);
    for line in &log.lines {
        text.push_str(&format!("    | {line}\n"));
    }
    text
}

/// `text` in lines of at most [`WIDTH`], the first after `indent`, the others further in.
fn wrapped(indent: &str, text: &str) -> String {
    let mut lines = String::new();
    let mut line = indent.to_owned();
    let mut empty = true;
    for word in text.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line = format!("{indent}  ");
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    lines.push_str(line.trim_end());
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_sentences_are_wrapped_further_in() {
        let text = wrapped("  ", &"word ".repeat(30));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("  word") && lines[1].starts_with("    word"));
        assert!(lines.iter().all(|l| l.len() <= WIDTH));
        assert_eq!(wrapped("", "short"), "short\n");
    }
}
