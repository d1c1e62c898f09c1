use std::ffi::OsString;
use std::process::ExitCode;

use tumen::client::driver::{SUPERVISE, supervise_main};
use tumen::testnet::{DETACH, detach_main};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    // The small process beside a raw_exec task needs nothing of the rest.
    match args.split_first() {
        Some((first, rest)) if first == SUPERVISE => {
            let rest: Vec<String> = rest
                .iter()
                .map(|arg| arg.to_string_lossy().into_owned())
                .collect();
            supervise_main(&rest)
        }
        Some((first, rest)) if first == DETACH => detach_main(rest),
        Some(_) | None => tumen::cli::run(args),
    }
}
