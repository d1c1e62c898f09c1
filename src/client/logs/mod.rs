//! A task's output in files: `alloc/logs/<task>.stdout.N`, rotated by size, read across rotation.
//!
//! **Owns** the files' names, the [`LogWriter`] that drivers pump into, the [`Cursor`] beside
//! each log, and the readers ([`stream_logs`], [`stream_file`]) behind the API.
//! **Does not** know where output comes from.
//!
//! One writer per log. A cursor says how far the source was read when the files had which
//! length; after a crash the writer cuts the files back to that length and the source is read
//! again from there, so that nothing is missing and nothing is there twice.

mod cursor;
mod reader;
mod writer;

pub use cursor::{Cursor, Position};
pub use reader::{LogReader, stream_file, stream_logs};
pub use writer::LogWriter;

/// Which of a task's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Output {
    Stdout,
    Stderr,
}

impl Output {
    /// Both, in order.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// The name in file names and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The name of a log's `index`th file.
pub fn file_name(task: &str, output: Output, index: u64) -> String {
    format!("{task}.{}.{index}", output.as_str())
}

/// Which file of the log `name` is, if it is one.
pub fn file_index(task: &str, output: Output, name: &str) -> Option<u64> {
    let rest = name.strip_prefix(task)?.strip_prefix('.')?;
    let digits = rest.strip_prefix(output.as_str())?.strip_prefix('.')?;
    let index: u64 = digits.parse().ok()?;
    (file_name(task, output, index) == name).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_log_file_has_an_index() {
        let index = |name| file_index("web", Output::Stdout, name);
        assert_eq!(index("web.stdout.12"), Some(12));
        for other in [
            "web.stdout.012",
            "web.stdout.+1",
            "web.stderr.1",
            "web2.stdout.1",
            ".web.stdout.cursor",
            "web.stdout.",
        ] {
            assert_eq!(index(other), None, "{other}");
        }
    }
}
