//! `alloc logs`

use super::{follow, pick};
use crate::cli::context::{Ctx, Out};
use crate::cli::fail::{Failure, OK, Outcome, arguments};
use crate::cli::flags::Args;
use crate::cli::http_client::{ApiError, Call, Client};

/// How many lines `-tail` shows.
const LINES: usize = 10;
/// How long a line is guessed to be.
const BYTES_A_LINE: usize = 120;

/// Prints what a task has written.
pub fn logs(ctx: &mut Ctx, args: &Args) -> Outcome {
    let (name, task) = match args.rest.as_slice() {
        [name] => (name, args.value("task")),
        [name, task] => (name, args.value("task").or(Some(task.as_str()))),
        [] if args.on("job") => return Err(arguments("A job ID is required")),
        [] => return Err(arguments("An allocation ID is required")),
        _ => return Err(arguments("This command takes one or two arguments")),
    };
    let client = ctx.client(args)?;
    let alloc = pick::alloc(ctx, args, &client, name)?;
    let task = match task {
        Some(task) => task.to_owned(),
        None => pick::task(&alloc, None)
            .map_err(|f| Failure::new(format!("Failed to validate task: {}", f.message)))?,
    };
    let source = Source {
        client: &client,
        alloc: &alloc.id,
        namespace: &alloc.namespace,
        task: &task,
        follow: args.on("f"),
        tail: tail(args)?,
    };
    let both = source.follow && !args.on("stdout") && !args.on("stderr");
    if both {
        return source.both(ctx);
    }
    let kind = if args.on("stderr") && !args.on("stdout") {
        "stderr"
    } else {
        "stdout"
    };
    source.one(&mut ctx.out, kind)
}

/// Where from the end to begin, and how many lines of that to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    pub bytes: usize,
    /// All of it when `None`.
    pub lines: Option<usize>,
}

/// What `-tail`, `-n` and `-c` ask for.
pub fn tail(args: &Args) -> Result<Option<Tail>, Failure> {
    if !args.on("tail") {
        return Ok(None);
    }
    if let Some(bytes) = args.number::<usize>("c")? {
        return Ok(Some(Tail { bytes, lines: None }));
    }
    let lines = args.number::<usize>("n")?.unwrap_or(LINES);
    Ok(Some(Tail {
        bytes: lines.saturating_mul(BYTES_A_LINE),
        lines: Some(lines),
    }))
}

/// The last lines of what was read from somewhere before the end.
pub fn last_lines(text: &[u8], lines: usize) -> &[u8] {
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let breaks = body.iter().enumerate().rev().filter(|(_, b)| **b == b'\n');
    match lines {
        0 => &[],
        n => breaks
            .map(|(at, _)| at)
            .nth(n - 1)
            .map_or(text, |at| &text[at + 1..]),
    }
}

struct Source<'a> {
    client: &'a Client,
    alloc: &'a str,
    namespace: &'a str,
    task: &'a str,
    follow: bool,
    tail: Option<Tail>,
}

impl<'a> Source<'a> {
    fn call(&self, kind: &str, plain: bool) -> Call<'a> {
        let call = self
            .client
            .get(format!("/v1/client/fs/logs/{}", self.alloc))
            .namespace(self.namespace)
            .query("task", self.task)
            .query("type", kind)
            .query("follow", self.follow);
        let call = if plain {
            call.query("plain", true)
        } else {
            call
        };
        match self.tail {
            Some(tail) => call.query("origin", "end").query("offset", tail.bytes),
            None => call.query("origin", "start").query("offset", 0),
        }
    }

    fn one(&self, out: &mut Out, kind: &str) -> Outcome {
        let failed = |e: ApiError| {
            Failure::new(format!(
                "Failed to read {kind} file: error reading file: {e}"
            ))
        };
        if self.follow {
            let mut first = self.tail.and_then(|t| t.lines);
            let work = follow::frames(self.call(kind, false), |frame| {
                if !frame.data.is_empty() {
                    out.write(trimmed(&frame.data, &mut first));
                }
            });
            self.client.block_on(work).map_err(failed)?;
            return Ok(OK);
        }
        let answer = self.call(kind, true).send().map_err(failed)?;
        let text: &[u8] = match self.tail.and_then(|t| t.lines) {
            Some(lines) => last_lines(&answer.body, lines),
            None => &answer.body,
        };
        out.write(text);
        Ok(OK)
    }

    fn both(&self, ctx: &mut Ctx) -> Outcome {
        let (mut first_out, mut first_err) = (
            self.tail.and_then(|t| t.lines),
            self.tail.and_then(|t| t.lines),
        );
        let (out, err) = (&mut ctx.out, &mut ctx.err);
        let stdout = follow::frames(self.call("stdout", false), |frame| {
            out.write(trimmed(&frame.data, &mut first_out));
        });
        let stderr = follow::frames(self.call("stderr", false), |frame| {
            err.write(trimmed(&frame.data, &mut first_err));
        });
        let done = self
            .client
            .block_on(async { tokio::try_join!(stdout, stderr) });
        match done {
            Ok(_) => Ok(OK),
            Err(error) => Err(Failure::new(format!(
                "Failed to read logs: error reading file: {error}"
            ))),
        }
    }
}

/// Cuts the first data of a tail to its lines; later data stays whole.
fn trimmed<'d>(data: &'d [u8], first: &mut Option<usize>) -> &'d [u8] {
    if data.is_empty() {
        return data;
    }
    match first.take() {
        Some(lines) => last_lines(data, lines),
        None => data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_cut() {
        assert_eq!(last_lines(b"a\nb\nc\n", 2), b"b\nc\n");
        assert_eq!(last_lines(b"a\nb\nc", 1), b"c");
        assert_eq!(last_lines(b"a\nb\n", 10), b"a\nb\n");
        assert_eq!(last_lines(b"a\n", 0), b"");
        assert_eq!(last_lines(b"\na\n", 1), b"a\n");
    }

    #[test]
    fn only_the_first_data_of_a_tail_is_cut() {
        let mut first = Some(1);
        assert_eq!(trimmed(b"", &mut first), b"");
        assert_eq!(trimmed(b"a\nb\n", &mut first), b"b\n");
        assert_eq!(trimmed(b"c\nd\n", &mut first), b"c\nd\n");
    }
}
