//! `alloc fs`

use super::logs::{last_lines, tail};
use super::{follow, pick};
use crate::cli::context::Ctx;
use crate::cli::fail::{Failure, OK, Outcome, arguments};
use crate::cli::flags::Args;
use crate::cli::format;
use crate::cli::http_client::{ApiError, Client};
use crate::cli::output::table;
use crate::http::dto::alloc::Allocation;
use crate::http::dto::client::AllocFileInfo;

/// Shows a directory or a file.
pub fn fs(ctx: &mut Ctx, args: &Args) -> Outcome {
    let (name, path) = match args.rest.as_slice() {
        [name] => (name, "/"),
        [name, path] => (name, path.as_str()),
        [] if args.on("job") => return Err(arguments("A job ID is required")),
        [] => return Err(arguments("An allocation ID is required")),
        _ => {
            return Err(arguments(
                "This command takes one or two arguments: <alloc-id> [<path>]",
            ));
        }
    };
    let client = ctx.client(args)?;
    let alloc = pick::alloc(ctx, args, &client, name)?;
    let plain = args.on("H");
    let info: AllocFileInfo = read(&client, &alloc, "stat", path)?;
    if args.on("stat") {
        let mut rows = table(["Mode", "Size", "Modified Time", "Content Type", "Name"]);
        let mut cells = row(ctx, &info, plain);
        cells.insert(3, info.content_type.clone());
        rows.row(cells);
        ctx.say(rows.render());
        return Ok(OK);
    }
    if info.is_dir {
        let entries: Option<Vec<AllocFileInfo>> = read(&client, &alloc, "ls", path)?;
        let mut rows = table(["Mode", "Size", "Modified Time", "Name"]);
        for entry in entries.unwrap_or_default() {
            rows.row(row(ctx, &entry, plain));
        }
        ctx.say(rows.render());
        return Ok(OK);
    }
    contents(ctx, args, &client, &alloc, path)
}

fn plainly(error: ApiError) -> Failure {
    Failure::new(error.to_string())
}

fn read<T: serde::de::DeserializeOwned>(
    client: &Client,
    alloc: &Allocation,
    verb: &str,
    path: &str,
) -> Result<T, Failure> {
    let call = client.get(format!("/v1/client/fs/{verb}/{}", alloc.id));
    let answer = call.namespace(&alloc.namespace).query("path", path).read();
    answer.map_err(plainly)
}

fn row(ctx: &Ctx, info: &AllocFileInfo, plain: bool) -> Vec<String> {
    let size = if plain {
        info.size.to_string()
    } else {
        format::bytes(u64::try_from(info.size).unwrap_or(0))
    };
    let slash = if info.is_dir { "/" } else { "" };
    vec![
        info.file_mode.clone(),
        size,
        ctx.time(info.mod_time.0.0),
        format!("{}{slash}", info.name),
    ]
}

fn contents(
    ctx: &mut Ctx,
    args: &Args,
    client: &Client,
    alloc: &Allocation,
    path: &str,
) -> Outcome {
    let tail = tail(args)?;
    let get = |verb: &str| {
        let call = client.get(format!("/v1/client/fs/{verb}/{}", alloc.id));
        call.namespace(&alloc.namespace).query("path", path)
    };
    if args.on("f") || tail.is_some() {
        let call = get("stream").query("follow", args.on("f"));
        let call = match tail {
            Some(tail) => call.query("origin", "end").query("offset", tail.bytes),
            None => call.query("origin", "start").query("offset", 0),
        };
        let mut text = Vec::new();
        let lines = tail.and_then(|t| t.lines);
        let follows = args.on("f");
        let out = &mut ctx.out;
        let mut first = lines;
        let work = follow::frames(call, |frame| {
            if follows {
                let data = match first.filter(|_| !frame.data.is_empty()) {
                    Some(lines) => {
                        first = None;
                        last_lines(&frame.data, lines)
                    }
                    None => &frame.data,
                };
                out.write(data);
            } else {
                text.extend_from_slice(&frame.data);
            }
        });
        client.block_on(work).map_err(plainly)?;
        ctx.out
            .write(lines.map_or(text.as_slice(), |n| last_lines(&text, n)));
        return Ok(OK);
    }
    let answer = get("cat").send().map_err(plainly)?;
    ctx.out.write(&answer.body);
    Ok(OK)
}
