//! Source texts, positions in them, and what is wrong there.

use std::fmt;
use std::ops::Range;

/// A named text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As shown in messages, usually the path that the user gave.
    pub name: String,
    pub text: String,
}

impl Source {
    /// A text under a name.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// The position of a byte offset; one past the end is allowed.
    fn position(&self, byte: usize) -> Position {
        let mut byte = byte.min(self.text.len());
        while !self.text.is_char_boundary(byte) {
            byte -= 1;
        }
        let before = &self.text[..byte];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            byte,
        }
    }

    /// The place of a byte range in this text.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        Place {
            file: self.name.clone(),
            range: Some((self.position(span.start), self.position(span.end))),
        }
    }

    /// This text as a whole, for what has no position in it.
    pub(super) fn whole(&self) -> Place {
        Place {
            file: self.name.clone(),
            range: None,
        }
    }
}

/// A point in a text; lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
    pub byte: usize,
}

/// Where in which text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub file: String,
    /// Start and end (exclusive); `None` is the whole text.
    pub range: Option<(Position, Position)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((start, end)) = self.range else {
            return f.write_str(&self.file);
        };
        write!(f, "{}:{},{}-", self.file, start.line, start.column)?;
        if end.line == start.line {
            write!(f, "{}", end.column)
        } else {
            write!(f, "{},{}", end.line, end.column)
        }
    }
}

/// One mistake, or one thing worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// A few words that name the kind of mistake; tools match on them.
    pub summary: String,
    /// What exactly, and what would be right.
    pub detail: String,
    pub place: Option<Place>,
}

/// Whether the job can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

impl Diagnostic {
    /// A mistake at a place.
    pub(super) fn error(
        place: impl Into<Option<Place>>,
        summary: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            summary: summary.into(),
            detail: detail.into(),
            place: place.into(),
        }
    }

    /// Whether it makes the job unusable.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}; {}", self.summary, self.detail),
            None => write!(f, "<nil>: {}; {}", self.summary, self.detail),
        }
    }
}

/// `given`'s nearest relative among `known`, as a sentence to append, or nothing.
pub(super) fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(given, known).map_or_else(String::new, |name| format!(" Did you mean {name:?}?"))
}

/// The name in `known` that is at most two typing mistakes away from `given`.
pub(super) fn nearest<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::levenshtein(given, name), name))
        .filter(|(distance, _)| *distance < 3)
        .min()
        .map(|(_, name)| name)
}
