use std::process::ExitCode;

fn main() -> ExitCode {
    tumen::cli::run(std::env::args_os().skip(1).collect())
}
