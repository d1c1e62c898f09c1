//! How a command ends when it does not succeed: words for stderr, and the exit code.

use super::http_client::ApiError;

/// What a command returns: its exit code, or why it failed.
pub type Outcome = Result<u8, Failure>;

/// The exit code of a command that did its work.
pub const OK: u8 = 0;

/// A failure on its way to the user.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub message: String,
    pub code: u8,
    /// Whether to point to the command's help.
    pub usage: bool,
    /// What the user can do about it, one line each.
    pub advice: Vec<String>,
}

impl Failure {
    /// A failure with exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: 1,
            usage: false,
            advice: Vec::new(),
        }
    }

    /// What was attempted, and what the API answered to it.
    pub fn api(attempt: &str, error: &ApiError) -> Self {
        Self {
            advice: error.advice(),
            ..Self::new(format!("{attempt}: {error}"))
        }
    }

    /// Points to the command's help.
    pub fn usage(mut self) -> Self {
        self.usage = true;
        self
    }

    /// Another exit code.
    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }
}

/// Turns an API error into a [`Failure`] that says what was attempted.
pub trait Attempt<T> {
    fn attempt(self, what: &str) -> Result<T, Failure>;
}

impl<T> Attempt<T> for Result<T, ApiError> {
    fn attempt(self, what: &str) -> Result<T, Failure> {
        self.map_err(|e| Failure::api(what, &e))
    }
}

/// The complaint about a wrong number of arguments.
pub fn arguments(sentence: &str) -> Failure {
    Failure::new(sentence).usage()
}
