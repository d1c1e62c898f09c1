//! Job files on their way to the API: from a path, standard input or JSON.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::context::Ctx;
use super::fail::Failure;
use super::flags::{Args, Flag, list, switch, value};
use crate::http::dto::jobs::JobSubmission;
use crate::http::dto::read as read_json;
use crate::jobspec::{Diagnostic, Outside, Source, Variables, parse, render};
use crate::model::draft::JobDraft;

/// The flags that say how a job file is read.
pub static FLAGS: &[Flag] = &[
    switch(
        "json",
        "The file holds the API's JSON instead of HCL: a job, or an object with the key `Job`.",
    ),
    value(
        "hcl2-strict",
        "<bool>",
        "Whether a variables file may set only variables that the job declares; true unless set.",
    ),
    list(
        "var",
        "<key=value>",
        "Sets a variable of the job file. May be given several times.",
    ),
    list(
        "var-file",
        "<path>",
        "Sets variables from a file. May be given several times.",
    ),
    value(
        "vault-namespace",
        "<name>",
        "Taken for scripts' sake; Vault is not part of Tumen.",
    ),
    value(
        "consul-namespace",
        "<name>",
        "Taken for scripts' sake; Consul is not part of Tumen.",
    ),
    value(
        "vault-token",
        "<token>",
        "Taken for scripts' sake; Vault is not part of Tumen.",
    ),
    value(
        "consul-token",
        "<token>",
        "Taken for scripts' sake; Consul is not part of Tumen.",
    ),
];

/// A job ready to be sent.
#[derive(Debug)]
pub struct JobFile {
    pub draft: JobDraft,
    /// The API's JSON of it.
    pub job: Value,
    pub submission: JobSubmission,
}

impl JobFile {
    /// The job's id; empty when it has none.
    pub fn id(&self) -> &str {
        self.text("ID")
    }

    /// The namespace that the file names; empty when it names none.
    pub fn namespace(&self) -> &str {
        self.text("Namespace")
    }

    fn text(&self, key: &str) -> &str {
        self.job
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Whether evaluations start by the clock or by dispatches rather than at registration.
    pub fn starts_later(&self) -> bool {
        self.periodic() || !self.job.get("ParameterizedJob").is_none_or(Value::is_null)
    }

    /// Whether the clock starts it.
    pub fn periodic(&self) -> bool {
        let enabled = self
            .job
            .pointer("/Periodic/Enabled")
            .and_then(Value::as_bool);
        self.job.get("Periodic").is_some_and(|p| !p.is_null()) && enabled != Some(false)
    }
}

/// Reads the job that `path` names; `-` is standard input.
pub fn load(ctx: &mut Ctx, args: &Args, path: &str) -> Result<JobFile, Failure> {
    let text =
        read(ctx, path).map_err(|why| Failure::new(format!("Error getting job struct: {why}")))?;
    if args.on("json") {
        return from_json(&text, path);
    }
    let name = if path == "-" { "<stdin>" } else { path };
    from_hcl(ctx, args, &Source::new(name, text), path)
}

fn read(ctx: &mut Ctx, path: &str) -> Result<String, String> {
    if path == "-" {
        let mut text = String::new();
        return match ctx.input.read_to_string(&mut text) {
            Ok(_) => Ok(text),
            Err(error) => Err(format!(
                "Error reading job file from standard input: {error}"
            )),
        };
    }
    let wrong = |why: &str| {
        format!("Error getting jobfile from \"{path}\": source path error: stat {path}: {why}")
    };
    if path.contains("://") {
        return Err(format!(
            "Error getting jobfile from \"{path}\": only local files and - are supported; download it first"
        ));
    }
    match std::fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes)
            .map_err(|_| format!("Error getting jobfile from \"{path}\": it is not UTF-8")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(wrong("no such file or directory"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::IsADirectory => {
            Err(wrong("it is a directory"))
        }
        Err(error) => Err(wrong(&error.to_string())),
    }
}

fn from_json(text: &str, path: &str) -> Result<JobFile, Failure> {
    let refuse = |why: String| {
        Failure::new(format!(
            "Error getting job struct: Failed to parse JSON job from {path}: {why}"
        ))
    };
    let mut job: Value = serde_json::from_str(text).map_err(|e| refuse(e.to_string()))?;
    if let Some(inner) = job.get_mut("Job").filter(|j| j.is_object()) {
        job = inner.take();
    }
    if !job.is_object() {
        return Err(refuse("it is no object".to_owned()));
    }
    let draft: JobDraft =
        read_json(job.to_string().as_bytes()).map_err(|e| refuse(e.to_string()))?;
    let job = serde_json::to_value(&draft).map_err(|e| refuse(e.to_string()))?;
    let submission = JobSubmission {
        format: "json".to_owned(),
        source: text.to_owned(),
        ..JobSubmission::default()
    };
    Ok(JobFile {
        draft,
        job,
        submission,
    })
}

fn from_hcl(ctx: &Ctx, args: &Args, source: &Source, path: &str) -> Result<JobFile, Failure> {
    let base = match Path::new(path).parent().filter(|_| path != "-") {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let outside = Disk {
        base,
        home: (ctx.env)("HOME"),
    };
    let mut variables = Variables::default();
    variables.env(ctx.variables());
    let mut files = Vec::new();
    let mut mistakes = Vec::new();
    for path in args.list("var-file") {
        let text = std::fs::read_to_string(path).map_err(|e| {
            Failure::new(format!(
                "Error getting job struct: Error reading variables file {path}: {e}"
            ))
        })?;
        let file = Source::new(path.as_str(), text);
        mistakes.extend(variables.file(&file, &outside));
        files.push(file);
    }
    for pair in args.list("var") {
        variables
            .flag(pair)
            .map_err(|why| Failure::new(format!("Error getting job struct: {why}")))?;
    }
    variables.strict(args.value("hcl2-strict") != Some("false"));
    let draft = if mistakes.iter().any(Diagnostic::is_error) {
        None
    } else {
        let (draft, more) = parse(source, &variables, &outside);
        mistakes.extend(more);
        draft
    };
    let Some(draft) = draft else {
        return Err(refused(ctx, source, &files, &mistakes));
    };
    let job = serde_json::to_value(&draft).expect("a draft has text keys");
    Ok(JobFile {
        draft,
        job,
        submission: JobSubmission {
            format: "hcl2".to_owned(),
            source: source.text.clone(),
            variable_flags: flags(args),
            variables: files
                .into_iter()
                .map(|f| f.text)
                .collect::<Vec<_>>()
                .join("\n"),
            ..JobSubmission::default()
        },
    })
}

fn flags(args: &Args) -> std::collections::BTreeMap<String, String> {
    let pairs = args.list("var").iter().filter_map(|p| p.split_once('='));
    pairs
        .map(|(k, v)| (k.trim().to_owned(), v.to_owned()))
        .collect()
}

fn refused(ctx: &Ctx, source: &Source, files: &[Source], mistakes: &[Diagnostic]) -> Failure {
    let shown = if ctx.terminal {
        let mut sources = vec![source];
        sources.extend(files);
        render::graphical(mistakes, &sources, true, 100)
            .trim_end()
            .to_owned()
    } else {
        render::lines(mistakes)
    };
    let name = &source.name;
    Failure::new(format!(
        "Error getting job struct: Error parsing job file from {name}:\n{shown}"
    ))
}

/// The user's own files, as functions of a job file may read them.
struct Disk {
    base: PathBuf,
    home: Option<String>,
}

impl Disk {
    fn path(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }
}

impl Outside for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(self.path(path)).map_err(|e| format!("{path}: {e}"))
    }

    fn exists(&self, path: &str) -> Result<bool, String> {
        self.path(path)
            .try_exists()
            .map_err(|e| format!("{path}: {e}"))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, String> {
        let root = self.path(folder);
        let mut found = Vec::new();
        let mut open = vec![root.clone()];
        while let Some(folder) = open.pop() {
            let entries =
                std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
            for entry in entries {
                let path = entry
                    .map_err(|e| format!("{}: {e}", folder.display()))?
                    .path();
                if path.is_dir() {
                    open.push(path);
                } else if let Ok(inner) = path.strip_prefix(&root) {
                    found.push(inner.to_string_lossy().into_owned());
                }
            }
        }
        found.sort();
        Ok(found)
    }

    fn absolute(&self, path: &str) -> Result<String, String> {
        let full = std::path::absolute(self.path(path)).map_err(|e| format!("{path}: {e}"))?;
        Ok(full.to_string_lossy().into_owned())
    }

    fn expand_home(&self, path: &str) -> Result<String, String> {
        match (path.strip_prefix('~'), &self.home) {
            (None, _) => Ok(path.to_owned()),
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                Ok(format!("{home}{rest}"))
            }
            (Some(_), _) => Err(format!("the home folder in {path} is not known")),
        }
    }

    fn uuid(&self) -> Result<String, String> {
        let bytes: [u8; 16] = rand::random();
        Ok(uuid::Builder::from_random_bytes(bytes)
            .into_uuid()
            .to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_type_in_json_is_named_by_its_path() {
        let text = r#"{"Job": {"ID": "j", "TaskGroups": [{"Name": "g", "Count": "x"}]}}"#;
        let error = from_json(text, "j.json").unwrap_err().message;
        assert!(
            error.contains("j.json: TaskGroups[0].Count: invalid type"),
            "{error}"
        );
        let job = from_json(r#"{"id": "j", "taskgroups": [{"name": "g"}]}"#, "j.json").unwrap();
        assert_eq!(job.id(), "j", "keys in any case, as on the server");
    }
}
