//! Finds what is wrong with a text that the parser refuses, in the words that HCL tools use.
//!
//! The parser stops at its first surprise and often backtracks away from the cause. This scanner
//! knows only the outline of the language (bodies, texts, heredocs, brackets), which is enough to
//! name the common mistakes, several at once, at their exact place.

use std::collections::BTreeMap;
use std::ops::Range;

use super::diag::{Diagnostic, Source};

/// Nesting beyond this is left to the parser, which refuses it.
const DEPTH_MAX: usize = 200;

/// Everything wrong with the outline of `source`.
pub(super) fn problems(source: &Source) -> Vec<Diagnostic> {
    let mut scan = Scan {
        source,
        bytes: source.text.as_bytes(),
        at: 0,
        out: Vec::new(),
    };
    // An early end is a problem that is already noted.
    let _ended = scan.body(None, 0);
    scan.out
}

/// Quoted texts that run over the end of their line, which the parser lets pass.
pub(super) fn broken_texts(source: &Source) -> Vec<Diagnostic> {
    let mut found = problems(source);
    found.retain(|diag| diag.summary == MULTI_LINE);
    found
}

const MULTI_LINE: &str = "Invalid multi-line string";

/// Nothing sensible can be said about the rest.
struct Lost;

struct Scan<'s> {
    source: &'s Source,
    bytes: &'s [u8],
    at: usize,
    out: Vec<Diagnostic>,
}

impl Scan<'_> {
    fn note(&mut self, span: Range<usize>, summary: &str, detail: &str) {
        let place = self.source.place(span);
        self.out.push(Diagnostic::error(place, summary, detail));
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn starts_with(&self, text: &str) -> bool {
        self.bytes[self.at..].starts_with(text.as_bytes())
    }

    /// Skips blanks and comments, and newlines where they mean nothing.
    fn skip(&mut self, newlines: bool) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r') => self.at += 1,
                Some(b'\n') if newlines => self.at += 1,
                Some(b'#') => self.line_end(),
                Some(b'/') if self.starts_with("//") => self.line_end(),
                Some(b'/') if self.starts_with("/*") => {
                    let rest = &self.source.text[self.at..];
                    self.at += rest.find("*/").map_or(rest.len(), |end| end + 2);
                }
                _ => return,
            }
        }
    }

    fn line_end(&mut self) {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|b| *b == b'\n');
        self.at += end.unwrap_or(rest.len());
    }

    /// The name at this point, if there is one.
    fn name(&mut self) -> Option<Range<usize>> {
        let rest = &self.source.text[self.at..];
        let first = rest.chars().next()?;
        if !(first.is_alphabetic() || first == '_') {
            return None;
        }
        let is_inside = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let length = rest.find(|c| !is_inside(c)).unwrap_or(rest.len());
        let start = self.at;
        self.at += length;
        Some(start..self.at)
    }

    /// A body up to its closing brace; `open` is the place of the opening one.
    fn body(&mut self, open: Option<usize>, depth: usize) -> Result<(), Lost> {
        if depth > DEPTH_MAX {
            return Err(Lost);
        }
        let mut arguments: BTreeMap<String, Range<usize>> = BTreeMap::new();
        loop {
            self.skip(true);
            match (self.peek(), open) {
                (None, None) => return Ok(()),
                (None, Some(brace)) => {
                    self.note(
                        brace..brace + 1,
                        "Unclosed configuration block",
                        "There is no closing brace for this block before the end of the file. \
                         This may be caused by incorrect brace nesting elsewhere in this file.",
                    );
                    return Err(Lost);
                }
                (Some(b'}'), Some(_)) => {
                    self.at += 1;
                    return Ok(());
                }
                (Some(b'"'), _) => {
                    let at = self.at;
                    self.note(
                        at..at + 1,
                        "Invalid argument name",
                        "Argument names must not be quoted.",
                    );
                    self.line_end();
                }
                _ => self.structure(&mut arguments, depth)?,
            }
        }
    }

    /// One argument or block.
    fn structure(
        &mut self,
        arguments: &mut BTreeMap<String, Range<usize>>,
        depth: usize,
    ) -> Result<(), Lost> {
        let Some(name) = self.name() else {
            let width = self.source.text[self.at..]
                .chars()
                .next()
                .map_or(0, char::len_utf8);
            self.note(
                self.at..self.at + width,
                "Argument or block definition required",
                "An argument or block definition is required here.",
            );
            return Err(Lost);
        };
        self.skip(false);
        if self.peek() == Some(b'=') {
            let text = self.source.text[name.clone()].to_string();
            if let Some(before) = arguments.get(&text) {
                let detail = format!(
                    "The argument {text:?} was already set at {}. Each argument may be set only \
                     once.",
                    self.source.place(before.clone())
                );
                self.note(name, "Attribute redefined", &detail);
            } else {
                arguments.insert(text, name);
            }
            self.at += 1;
            return self.expression(depth);
        }
        loop {
            match self.peek() {
                Some(b'"') => self.text(depth)?,
                Some(b'{') => {
                    let open = self.at;
                    self.at += 1;
                    return self.body(Some(open), depth + 1);
                }
                Some(b'=') => {
                    self.note(
                        self.at..self.at + 1,
                        "Invalid block definition",
                        "The equals sign \"=\" indicates an argument definition, and must not be \
                         used when defining a block.",
                    );
                    self.at += 1;
                    return self.expression(depth);
                }
                _ if self.name().is_some() => {}
                _ => {
                    self.note(
                        self.at..(self.at + 1).min(self.bytes.len()),
                        "Invalid block definition",
                        "Either a quoted string block label or an opening brace (\"{\") is \
                         expected here.",
                    );
                    return Err(Lost);
                }
            }
            self.skip(false);
        }
    }

    /// An expression up to the end of its line, or of the block on one line around it.
    fn expression(&mut self, depth: usize) -> Result<(), Lost> {
        self.skip(false);
        if self.peek().is_none_or(|b| b"=,)]}*/?:.>%&|\n".contains(&b)) {
            self.no_expression();
            self.line_end();
            return Ok(());
        }
        let mut nesting = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' if nesting == 0 => return Ok(()),
                b'}' if nesting == 0 => return Ok(()),
                b'"' => self.text(depth)?,
                b'<' if self.starts_with("<<") => self.heredoc()?,
                b'#' => self.skip(false),
                b'/' if self.starts_with("//") || self.starts_with("/*") => self.skip(false),
                b'(' | b'[' | b'{' => {
                    nesting += 1;
                    self.at += 1;
                }
                b')' | b']' | b'}' => {
                    nesting = nesting.saturating_sub(1);
                    self.at += 1;
                }
                _ => self.at += 1,
            }
        }
        Ok(())
    }

    fn no_expression(&mut self) {
        let end = (self.at + 1).min(self.bytes.len());
        self.note(
            self.at..end,
            "Invalid expression",
            "Expected the start of an expression, but found an invalid expression token.",
        );
    }

    /// A quoted text with its templates.
    fn text(&mut self, depth: usize) -> Result<(), Lost> {
        if depth > DEPTH_MAX {
            return Err(Lost);
        }
        self.at += 1;
        while let Some(byte) = self.peek() {
            match byte {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'$' | b'%' if self.starts_with("$${") || self.starts_with("%%{") => self.at += 3,
                b'$' | b'%' if self.bytes.get(self.at + 1) == Some(&b'{') => {
                    self.at += 2;
                    self.interpolation(depth)?;
                }
                b'\n' => {
                    self.note(
                        self.at..self.at + 1,
                        MULTI_LINE,
                        "Quoted strings may not be split over multiple lines. To produce a \
                         multi-line string, either use the \\n escape to represent a newline \
                         character or use the \"heredoc\" multi-line template syntax.",
                    );
                    return Err(Lost);
                }
                _ => self.at += 1,
            }
        }
        self.unterminated();
        Err(Lost)
    }

    /// What stands in `${…}`, from behind the brace to behind its partner.
    fn interpolation(&mut self, depth: usize) -> Result<(), Lost> {
        if self.peek() == Some(b'~') {
            self.at += 1;
        }
        self.skip(true);
        if self.peek() == Some(b'}') {
            self.no_expression();
        }
        let mut nesting = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => self.text(depth + 1)?,
                b'{' => {
                    nesting += 1;
                    self.at += 1;
                }
                b'}' => {
                    self.at += 1;
                    if nesting == 0 {
                        return Ok(());
                    }
                    nesting -= 1;
                }
                _ => self.at += 1,
            }
        }
        self.unterminated();
        Err(Lost)
    }

    fn heredoc(&mut self) -> Result<(), Lost> {
        self.at += 2;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let Some(marker) = self.name() else {
            // Not a heredoc; whatever it is, the parser says so.
            return Ok(());
        };
        let marker = &self.source.text[marker];
        self.line_end();
        while self.at < self.bytes.len() {
            let start = self.at + 1;
            self.at = start;
            self.line_end();
            let line = self.source.text.get(start..self.at).unwrap_or("");
            if line.trim() == marker {
                return Ok(());
            }
        }
        self.unterminated();
        Err(Lost)
    }

    fn unterminated(&mut self) {
        let end = self.bytes.len();
        self.note(
            end..end,
            "Unterminated template string",
            "No closing marker was found for the string.",
        );
    }
}
