//! Texts to bodies.

use hcl_edit::structure::Body;

use super::diag::{Diagnostic, Source};
use super::scan;

/// Parses a text in HCL's own syntax.
pub(super) fn parse(source: &Source) -> Result<Body, Vec<Diagnostic>> {
    match hcl_edit::parser::parse_body(&source.text) {
        Ok(body) => {
            let broken = scan::broken_texts(source);
            if broken.is_empty() {
                Ok(body)
            } else {
                Err(broken)
            }
        }
        Err(error) => {
            let mut found = scan::problems(source);
            if found.is_empty() {
                let at = error.location().offset();
                let end = (at + 1).min(source.text.len());
                let place = source.place(at..end.max(at));
                let detail = format!("The parser found {}.", error.message());
                found.push(Diagnostic::error(place, "Invalid syntax", detail));
            }
            Err(found)
        }
    }
}
