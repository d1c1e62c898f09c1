//! The layers and their one-way arrows, as `docs/ARCHITECTURE.md` draws them.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that panics fails"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each layer, what it may import, and why not more. An entry `a::b` allows that part of `a` only.
const LAYERS: &[(&str, &[&str], &str)] = &[
    ("model", &[], "domain types know nothing but themselves"),
    ("env", &["model"], "the seams stand under everything"),
    ("jobspec", &["model"], "parsing needs no cluster"),
    (
        "state",
        &["model"],
        "every server must compute the same state",
    ),
    ("scheduler", &["model"], "planning is pure"),
    (
        "rpc",
        &["model", "env"],
        "the wire does not know who answers",
    ),
    ("gossip", &["model", "env"], "membership is not consensus"),
    (
        "consensus",
        &["model", "env", "rpc", "state"],
        "members come as a watch, not from gossip",
    ),
    (
        "server",
        &[
            "model",
            "env",
            "state",
            "scheduler",
            "rpc",
            "gossip",
            "consensus",
        ],
        "a server reads no job files",
    ),
    (
        "client",
        &["model", "env", "rpc"],
        "a client sees the cluster through the rpc traits alone",
    ),
    (
        "http",
        &["model", "env", "jobspec", "rpc"],
        "routes see neither the store nor Raft",
    ),
    (
        "ui",
        &["model", "env", "jobspec", "rpc", "http"],
        "pages show what the API shows",
    ),
    (
        "agent",
        &[
            "model",
            "env",
            "jobspec",
            "state",
            "scheduler",
            "rpc",
            "gossip",
            "consensus",
            "server",
            "client",
            "http",
            "ui",
        ],
        "the composition root knows all but the commands",
    ),
    (
        "testnet",
        &[
            "model",
            "env",
            "jobspec",
            "state",
            "scheduler",
            "rpc",
            "gossip",
            "consensus",
            "server",
            "client",
            "http",
            "ui",
            "agent",
        ],
        "a testnet starts agents; commands are above it",
    ),
    (
        "cli",
        &["model", "env", "jobspec", "http::dto", "agent", "testnet"],
        "commands talk HTTP",
    ),
];

/// Every `.rs` file below `dir`.
fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// What a line takes from the crate: `crate::a::b` gives `a::b`, `crate::{a, b}` gives both.
fn imports(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("crate::") {
        rest = &rest[at + "crate::".len()..];
        let list = match rest.strip_prefix('{') {
            Some(inner) => inner.split('}').next().unwrap_or_default().to_string(),
            None => rest.to_string(),
        };
        let parts = if rest.starts_with('{') {
            list.split(',').collect()
        } else {
            vec![list.as_str()]
        };
        for part in parts {
            let path: String = part
                .trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':'))
                .collect();
            let names: Vec<_> = path.split("::").filter(|n| !n.is_empty()).take(2).collect();
            found.push(names.join("::"));
        }
    }
    found
}

fn allowed(layer: &str, import: &str) -> bool {
    let (_, may, _) = LAYERS.iter().find(|(name, _, _)| *name == layer).unwrap();
    let target = import.split("::").next().unwrap_or_default();
    target == layer || may.contains(&target) || may.contains(&import)
}

#[test]
fn imports_follow_the_arrows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let names: BTreeSet<_> = LAYERS.iter().map(|(name, _, _)| *name).collect();
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(
        files.len() > 50,
        "the sources are where this test looks for them"
    );
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&root).unwrap();
        let layer = inside
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap();
        if layer.ends_with(".rs") {
            continue; // main.rs and lib.rs are no layer
        }
        assert!(
            names.contains(layer),
            "{layer} is not in the table of layers"
        );
        // Tests may reach for what their layer does not: they compose.
        let in_tests = inside.components().any(|c| {
            let name = c.as_os_str().to_string_lossy();
            name == "tests" || name.ends_with("tests.rs")
        });
        if in_tests {
            continue;
        }
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            if line.trim() == "mod tests {" {
                break;
            }
            for import in imports(line)
                .into_iter()
                .filter(|i| names.contains(first(i)))
            {
                if !allowed(layer, &import) {
                    wrong.push(format!(
                        "{}:{} imports {import}",
                        inside.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    let reasons: BTreeMap<_, _> = LAYERS.iter().map(|(name, _, why)| (*name, *why)).collect();
    let shown: Vec<_> = wrong
        .iter()
        .map(|w| {
            let layer = w.split(['/', '\\']).next().unwrap_or_default();
            format!("{w}\n    {layer}: {}", reasons.get(layer).unwrap_or(&""))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "arrows that the design does not have:\n{}",
        shown.join("\n")
    );
}

fn first(import: &str) -> &str {
    import.split("::").next().unwrap_or_default()
}

#[test]
fn imports_are_found_in_all_their_forms() {
    assert_eq!(imports("use crate::model::Job;"), ["model::Job"]);
    assert_eq!(
        imports("use crate::{env::Env, model};"),
        ["env::Env", "model"]
    );
    assert_eq!(imports("let x: crate::http::dto::Job = y;"), ["http::dto"]);
    assert!(imports("// use crate::server::X;").is_empty());
}
