//! Job files to drafts.
//!
//! [`parse`] reads HCL2 (or its JSON syntax), evaluates it with the given [`Variables`] and
//! answers a [`JobDraft`] together with everything that is wrong, all at once, each with its
//! place. It is pure: what functions need of the world comes in as [`Outside`].
//!
//! The path: [`syntax`] or [`json`] → a body; [`variables`] → the scope; [`decode`] walks the body
//! along the tables of [`schema`], with expressions evaluated by [`eval`]; the JSON that comes out
//! is the API's, and serde makes the draft of it.

mod call;
mod decode;
mod diag;
mod dynamic;
mod eval;
mod funcs;
mod json;
pub mod layout;
pub mod render;
mod scan;
mod schema;
mod scope;
mod syntax;
mod template;
mod traverse;
mod types;
mod value;
mod variables;

use hcl_edit::Span as _;
use hcl_edit::structure::{Block, Body, Structure};
use serde_json::Value as Json;

pub use diag::{Diagnostic, Place, Position, Severity, Source};
pub use variables::{ENV_PREFIX, Variables};

use crate::model::draft::JobDraft;
use diag::did_you_mean;
use eval::Eval;
use schema::JOB;

/// What functions may ask of the world outside of the job file. An error is the reason to show.
pub trait Outside {
    /// The bytes of a file.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;
    /// Whether a file exists.
    fn exists(&self, path: &str) -> Result<bool, String>;
    /// The files below a folder, as paths relative to it.
    fn list(&self, folder: &str) -> Result<Vec<String>, String>;
    /// A path from the root.
    fn absolute(&self, path: &str) -> Result<String, String>;
    /// A path with a leading `~` replaced.
    fn expand_home(&self, path: &str) -> Result<String, String>;
    /// A random UUID.
    fn uuid(&self) -> Result<String, String>;
}

/// No outside at all: what a server grants to job files that it is sent.
pub struct Sealed;

const DISABLED: &str = "filesystem function disabled";

impl Outside for Sealed {
    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Err(DISABLED.to_string())
    }

    fn exists(&self, _: &str) -> Result<bool, String> {
        Err(DISABLED.to_string())
    }

    fn list(&self, _: &str) -> Result<Vec<String>, String> {
        Err(DISABLED.to_string())
    }

    fn absolute(&self, _: &str) -> Result<String, String> {
        Err(DISABLED.to_string())
    }

    fn expand_home(&self, _: &str) -> Result<String, String> {
        Err(DISABLED.to_string())
    }

    fn uuid(&self) -> Result<String, String> {
        Err("random values are disabled here".to_string())
    }
}

/// The largest job file, with room over what a server stores of one.
pub const SOURCE_BYTES_MAX: usize = 4 << 20;

/// What is wrong with a text as HCL, whatever its blocks and arguments mean.
pub fn check(source: &Source) -> Vec<Diagnostic> {
    syntax::parse(source).err().unwrap_or_default()
}

/// Reads a job file. There is a draft unless a diagnostic is an error.
pub fn parse(
    source: &Source,
    variables: &Variables,
    outside: &dyn Outside,
) -> (Option<JobDraft>, Vec<Diagnostic>) {
    let refuse = |summary: &str, detail: &str| {
        let place = source.whole();
        (None, vec![Diagnostic::error(place, summary, detail)])
    };
    if source.text.trim().is_empty() {
        return refuse("Job spec is empty", "There is nothing in this file.");
    }
    if source.text.len() > SOURCE_BYTES_MAX {
        return refuse("Job file too large", "A job file may have at most 4 MiB.");
    }
    let is_json = source.text.trim_start().starts_with('{');
    let parsed = if is_json {
        json::parse(source)
    } else {
        syntax::parse(source)
    };
    let body = match parsed {
        Ok(body) => body,
        Err(diags) => return (None, diags),
    };
    let mut eval = Eval::new(source, outside);
    eval.spans = !is_json;
    let scope = eval.root_scope(&body, variables);
    let json = job_block(&mut eval, &body).map(|block| Json::Object(eval.job(block, &JOB, &scope)));
    let mut diags = eval.diags;
    diags.append(&mut eval.unset_used);
    if diags.iter().any(Diagnostic::is_error) {
        return (None, diags);
    }
    let Some(json) = json else {
        return (None, diags);
    };
    match serde_json::from_value(json) {
        Ok(draft) => (Some(draft), diags),
        Err(error) => {
            let detail = format!("The job does not fit the API's shape: {error}.");
            diags.push(Diagnostic::error(source.whole(), "Invalid job", detail));
            (None, diags)
        }
    }
}

/// The one job of the file; everything else at the top level must be known too.
fn job_block<'b>(eval: &mut Eval<'_>, body: &'b Body) -> Option<&'b Block> {
    const KNOWN: [&str; 4] = ["job", "variable", "variables", "locals"];
    let mut job: Option<&Block> = None;
    for structure in body {
        match structure {
            Structure::Attribute(attribute) => {
                let name = attribute.key.as_str();
                let detail = format!("An argument named {name:?} is not expected here.");
                eval.mistake(attribute.key.span(), "Unsupported argument", detail);
            }
            Structure::Block(block) if block.ident.as_str() == "job" => match job {
                None => job = Some(block),
                Some(first) => {
                    let at = eval.place(decode::def_span(first));
                    let detail = format!(
                        "Only one block of type \"job\" is allowed. Previous definition was at \
                         {at}."
                    );
                    eval.mistake(decode::def_span(block), "Duplicate job block", detail);
                }
            },
            Structure::Block(block) => {
                let name = block.ident.as_str();
                if !KNOWN.contains(&name) {
                    let hint = did_you_mean(name, KNOWN);
                    let detail = format!("Blocks of type {name:?} are not expected here.{hint}");
                    eval.mistake(block.ident.span(), "Unsupported block type", detail);
                }
            }
        }
    }
    if job.is_none() && eval.diags.is_empty() {
        let diag = Diagnostic::error(None, "Missing job block", "A job block is required");
        eval.diags.push(diag);
    }
    job
}

#[cfg(test)]
mod tests;
