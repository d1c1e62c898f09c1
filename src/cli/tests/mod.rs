//! Commands run against recorded answers, over a real socket.
//!
//! A file of `golden/` is a list of commands (`$ tumen …`) with what they print and their exit
//! code. The test runs the commands of each file and compares; `TUMEN_BLESS=1` writes the files
//! anew. The clock stands still, the zone is UTC, the environment is empty.

mod server;

use std::cell::RefCell;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;

use jiff::tz::TimeZone;

use super::context::{Ctx, Out};
use super::{registry, show};
use crate::http::dto::jobs::JobPlanResponse;
use server::Server;

/// When every command runs: 2026-11-22T18:53:00Z.
const NOW: i64 = 1_795_373_580_000_000_000;

#[derive(Clone, Default)]
struct Page(Rc<RefCell<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn text(&self) -> String {
        let text = String::from_utf8(self.0.borrow().clone()).unwrap();
        anstream::adapter::strip_str(&text).to_string()
    }
}

/// What a command did.
struct Ran {
    out: String,
    err: String,
    code: u8,
}

/// Runs one line against the agent at `address`.
fn run(line: &str, address: &str, input: &str) -> Ran {
    let (out, err) = (Page::default(), Page::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let address = address.to_owned();
    let mut ctx = Ctx {
        out: Out::new(Box::new(out.clone())),
        err: Out::new(Box::new(err.clone())),
        input: Box::new(std::io::Cursor::new(input.to_owned().into_bytes())),
        env: Box::new(move |name| (name == "NOMAD_ADDR").then(|| address.clone())),
        variables: Vec::new(),
        terminal: false,
        keyboard: false,
        zone: TimeZone::UTC,
        fixed_now: Some(NOW),
        runtime: Rc::new(runtime),
    };
    let code = registry().run(&mut ctx, &words(line));
    Ran {
        out: out.text(),
        err: err.text(),
        code,
    }
}

/// Words apart by spaces; single quotes keep spaces.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, piece) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(piece.to_owned());
        } else {
            words.extend(piece.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// The commands of a golden file, each with what follows it.
fn sections(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|l| l.strip_prefix("$ tumen"))
        .map(|l| l.trim().to_owned())
        .collect()
}

fn transcript(lines: &[String]) -> String {
    let server = Server::start();
    let mut text = String::new();
    for line in lines {
        let (command, input) = line.split_once(" # stdin: ").unwrap_or((line, ""));
        let ran = run(command, &server.address, &input.replace("\\n", "\n"));
        text.push_str(&format!("$ tumen {line}\n{}", ran.out));
        if !ran.out.is_empty() && !ran.out.ends_with('\n') {
            text.push_str("\n# (no newline at the end)\n");
        }
        if !ran.err.is_empty() {
            text.push_str(&format!("# stderr:\n{}", ran.err));
        }
        text.push_str(&format!("# exit {}\n\n", ran.code));
    }
    let port = server.address.rsplit(':').next().unwrap();
    text.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:4646")
}

fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/cli/tests/golden")
        .join(name);
    let expected = std::fs::read_to_string(&path).unwrap();
    let actual = transcript(&sections(&expected));
    if std::env::var_os("TUMEN_BLESS").is_some() {
        std::fs::write(&path, actual).unwrap();
        return;
    }
    differ(name, &actual, &expected);
}

fn differ(name: &str, actual: &str, expected: &str) {
    if actual != expected {
        let at = actual
            .lines()
            .zip(expected.lines())
            .position(|(a, e)| a != e);
        panic!(
            "{name} differs first at line {}:\n{actual}",
            at.map_or(0, |n| n + 1)
        );
    }
}

macro_rules! golden {
    ($($test:ident: $file:literal,)*) => {
        $(#[test]
        fn $test() {
            check($file);
        })*

        #[test]
        fn no_golden_file_is_forgotten() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/tests/golden");
            let known = ["diffs.txt", $($file),*];
            for entry in std::fs::read_dir(folder).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                assert!(known.contains(&name.as_str()), "{name} has no test");
            }
        }
    };
}

golden! {
    jobs: "jobs.txt",
    job_changes: "job-changes.txt",
    allocations: "allocations.txt",
    nodes: "nodes.txt",
    evaluations_and_deployments: "evals-deployments.txt",
    cluster: "cluster.txt",
    mistakes: "mistakes.txt",
    help: "help.txt",
}

#[test]
fn an_agent_that_is_away_is_named() {
    let ran = run("job status", "http://127.0.0.1:1", "");
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.err,
        "Error querying jobs: Get \"http://127.0.0.1:1/v1/jobs\": dial tcp 127.0.0.1:1: connect: connection refused\n\
         No agent answers at http://127.0.0.1:1. Is it running there?\n\
         Start one with `tumen agent -dev`, or name another with -address or NOMAD_ADDR.\n"
    );
    let plan = run(
        "job plan tests/fixtures/parse/001-minimal.hcl",
        "http://127.0.0.1:1",
        "",
    );
    assert_eq!(plan.code, 255);
}

#[test]
fn the_examples_are_valid_and_never_overwrite() {
    let folder = tempfile::tempdir().unwrap();
    for (flag, file) in [("-short", "a.hcl"), ("", "b.hcl")] {
        let path = folder.path().join(file);
        let path = path.to_str().unwrap();
        let ran = run(&format!("job init {flag} {path}"), "", "");
        assert_eq!(
            (ran.code, ran.out),
            (0, format!("Example job file written to {path}\n"))
        );
        let ran = run(&format!("job run -output {path}"), "http://127.0.0.1:1", "");
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        assert!(ran.out.contains("\"image\": \"redis:7\""), "{}", ran.out);
        let again = run(&format!("job init {path}"), "", "");
        assert_eq!(
            (again.code, again.err),
            (1, format!("Job '{path}' already exists\n"))
        );
    }
}

#[test]
fn a_template_prints_what_it_names() {
    let server = Server::start();
    let ran = run(
        "node status -t '{{range .}}{{.Name}} {{.Status}}{{end}}'",
        &server.address,
        "",
    );
    assert_eq!((ran.code, ran.out.as_str()), (0, "dev1 ready\n"));
}

#[test]
fn diffs_look_as_planned() {
    let targets = [
        "PUT /v1/job/hplan/plan",
        "PUT /v1/job/hweb/plan",
        "PUT /v1/job/nightly2/plan",
    ];
    let mut actual = String::new();
    for (target, at) in targets
        .into_iter()
        .flat_map(|t| (0..8).map(move |at| (t, at)))
    {
        let bodies = server::bodies("job-plan", target);
        // Refusals and bodies that the recording has cut are no plans.
        let plan = bodies.get(at).and_then(|b| serde_json::from_str(b).ok());
        let Some(JobPlanResponse {
            diff: Some(diff), ..
        }) = plan
        else {
            continue;
        };
        let text = show::diff::render(&diff, true);
        let text = anstream::adapter::strip_str(&text);
        actual.push_str(&format!("### {target} {at}\n{text}\n\n"));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/tests/golden/diffs.txt");
    if std::env::var_os("TUMEN_BLESS").is_some() {
        std::fs::write(&path, &actual).unwrap();
    }
    differ(
        "diffs.txt",
        &actual,
        &std::fs::read_to_string(&path).unwrap(),
    );
}
