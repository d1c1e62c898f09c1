//! Passes the revision of the source to the program.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=TUMEN_REVISION");
    println!("cargo:rerun-if-changed=build.rs");
    let given = std::env::var("TUMEN_REVISION")
        .ok()
        .filter(|r| !r.is_empty());
    if given.is_none()
        && let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
    {
        println!("cargo:rerun-if-changed={log}");
    }
    let revision = given.or_else(|| git(&["rev-parse", "HEAD"]));
    let revision = revision.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=TUMEN_REVISION={revision}");
}

fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git").args(words).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
