//! `job init`

use std::io::Write as _;

use crate::cli::context::Ctx;
use crate::cli::fail::{Failure, OK, Outcome, arguments};
use crate::cli::flags::Args;

/// The file written unless another is named.
const DEFAULT_NAME: &str = "example.nomad.hcl";
/// The example without comments.
pub const SHORT: &str = include_str!("example_short.nomad.hcl");
/// The example that explains itself.
pub const LONG: &str = include_str!("example.nomad.hcl");

/// Writes an example job file; never overwrites.
pub fn init(ctx: &mut Ctx, args: &Args) -> Outcome {
    for flag in ["connect", "template", "list-templates"] {
        if args.value(flag).is_some_and(|v| v != "false") {
            return Err(Failure::new(format!(
                "The option -{flag} is not part of Tumen."
            )));
        }
    }
    let name = match args.rest.as_slice() {
        [] => DEFAULT_NAME,
        [name] => name.as_str(),
        _ => {
            return Err(arguments(
                "This command takes either no arguments or one: <file>",
            ));
        }
    };
    let text = if args.on("short") { SHORT } else { LONG };
    let created = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(name);
    let written = created.and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Ok(()) => {
            ctx.say(format!("Example job file written to {name}"));
            Ok(OK)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Failure::new(format!("Job '{name}' already exists")))
        }
        Err(error) => Err(Failure::new(format!("Failed to write '{name}': {error}"))),
    }
}
