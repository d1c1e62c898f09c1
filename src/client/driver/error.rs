//! Why a driver did not do what was asked.

/// Why a task did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StartError {
    /// Whether another try may go better: the restart policy decides then.
    pub recoverable: bool,
    /// In words, for the task's `Driver Failure` event.
    pub message: String,
}

impl StartError {
    /// A failure that may pass.
    pub fn recoverable(message: impl Into<String>) -> Self {
        Self {
            recoverable: true,
            message: message.into(),
        }
    }

    /// A failure that every further try would meet again.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self {
            recoverable: false,
            message: message.into(),
        }
    }
}

/// Why an operation on a started task failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// There is no such task, or no more.
    #[error("{0}")]
    NotFound(String),
    /// What was asked makes no sense.
    #[error("{0}")]
    Invalid(String),
    #[error("driver `{driver}` cannot {what}")]
    Unsupported {
        driver: &'static str,
        what: &'static str,
    },
    #[error("{0}")]
    Failed(String),
}
