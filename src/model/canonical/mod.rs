//! From what was written to what runs: [`JobDraft::canonical`].
//!
//! First every default is filled in ([`JobDraft::canonical_draft`]), then the result is turned
//! into a [`JobSpec`]. What Tumen does not run is refused here, each thing by its name; what it
//! runs only partly, or what has no effect, is warned about. Rules between values (priorities in
//! range, ports that exist, …) are checked by [`validate`] on the finished spec.

mod convert;
mod fill;
mod implied;
mod refuse;

use super::draft::JobDraft;
use super::job::JobSpec;
use super::validate::validate;
use super::violation::Violation;

/// What the server adds to a job that leaves it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalDefaults {
    /// The agent's region; it also replaces `global`.
    pub region: String,
    pub namespace: String,
    pub node_pool: String,
}

impl Default for CanonicalDefaults {
    fn default() -> Self {
        Self {
            region: "global".to_string(),
            namespace: "default".to_string(),
            node_pool: "default".to_string(),
        }
    }
}

/// A job with everything decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Canonical {
    /// Only to be used when there are no violations: what was refused is missing in it.
    pub spec: JobSpec,
    pub violations: Vec<Violation>,
    /// About what was written and is not in the spec, then about the spec itself, one entry
    /// each, as the API's `Warnings` lists them.
    pub warnings: Vec<String>,
}

impl JobDraft {
    /// The job to store, with all that is wrong with it.
    pub fn canonical(&self, defaults: &CanonicalDefaults) -> Canonical {
        let mut draft = self.clone();
        if draft.namespace.as_deref().unwrap_or("").is_empty() {
            draft.namespace = Some(defaults.namespace.clone());
        }
        let draft = draft.canonical_draft();
        let mut notes = Notes::default();
        refuse::job(&draft, &mut notes);
        let mut spec = convert::job(&draft, defaults, &mut notes);
        implied::constrain(&mut spec);
        let rules = validate(&spec);
        for violation in rules.violations {
            if !notes.violations.contains(&violation) {
                notes.violations.push(violation);
            }
        }
        let mut warnings = notes.warnings();
        for warning in rules.warnings {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        Canonical {
            spec,
            warnings,
            violations: notes.violations,
        }
    }
}

/// What is wrong or odd about the job, gathered while it is read.
#[derive(Default)]
struct Notes {
    violations: Vec<Violation>,
    warned: Vec<Violation>,
}

/// The part of the job that is being read.
#[derive(Clone, Copy)]
struct At<'a> {
    group: Option<&'a str>,
    task: Option<&'a str>,
}

impl<'a> At<'a> {
    const JOB: At<'static> = At {
        group: None,
        task: None,
    };

    fn group(name: &'a str) -> Self {
        Self {
            group: Some(name),
            task: None,
        }
    }

    fn task(self, name: &'a str) -> Self {
        Self {
            task: Some(name),
            ..self
        }
    }

    fn violation(self, message: String) -> Violation {
        match (self.group, self.task) {
            (Some(group), Some(task)) => Violation::task(group, task, message),
            (Some(group), None) => Violation::group(group, message),
            (None, _) => Violation::job(message),
        }
    }
}

impl Notes {
    /// The job breaks a rule.
    fn wrong(&mut self, at: At<'_>, message: impl Into<String>) {
        self.violations.push(at.violation(message.into()));
    }

    /// The job asks for something that does not exist here.
    fn refuse(&mut self, at: At<'_>, present: bool, what: &str) {
        if present {
            self.wrong(
                at,
                format!("{what} is not supported by this version of Tumen"),
            );
        }
    }

    /// The job is usable, but its author should know.
    fn warn(&mut self, at: At<'_>, message: impl Into<String>) {
        self.warned.push(at.violation(message.into()));
    }

    /// The warnings, each under the names of its group and task.
    fn warnings(&self) -> Vec<String> {
        self.warned
            .iter()
            .map(|warning| {
                let mut text = warning.message.clone();
                if let Some(task) = &warning.scope.task {
                    text = format!("Task {task:?} has warnings: 1 error occurred:\n\t* {text}");
                }
                if let Some(group) = &warning.scope.group {
                    text = format!("Group {group:?} has warnings: 1 error occurred:\n\t* {text}");
                }
                text
            })
            .collect()
    }
}

#[cfg(test)]
mod heeded;
#[cfg(test)]
mod tests;
