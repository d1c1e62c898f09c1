//! The options of `mock_driver`, which runs nothing and behaves as told: for tests and benches.

use std::time::Duration;

use super::fields::Fields;

/// How a task that is none shall behave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MockConfig {
    /// `None`: until it is stopped.
    pub run_for: Option<Duration>,
    pub exit_code: i32,
    pub exit_signal: i32,
    /// What its end reports as an error.
    pub exit_err_msg: String,
    /// Makes the start fail with this text.
    pub start_error: String,
    pub start_error_recoverable: bool,
    /// How long the start takes.
    pub start_block_for: Duration,
    /// How long it takes to obey a stop.
    pub kill_after: Duration,
    /// What it writes.
    pub stdout_string: String,
    /// How often it writes that again.
    pub stdout_repeat: u32,
    pub stdout_repeat_duration: Duration,
    pub stderr_string: String,
    pub stderr_repeat: u32,
    pub stderr_repeat_duration: Duration,
    /// Makes each signal fail with this text.
    pub signal_error: String,
}

impl MockConfig {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        let times = |fields: &mut Fields<'_>, key| {
            fields
                .int(key)
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(0)
        };
        let small = |fields: &mut Fields<'_>, key| {
            fields
                .int(key)
                .and_then(|n| i32::try_from(n).ok())
                .unwrap_or(0)
        };
        Self {
            run_for: fields.duration("run_for").filter(|d| !d.is_zero()),
            exit_code: small(fields, "exit_code"),
            exit_signal: small(fields, "exit_signal"),
            exit_err_msg: fields.text("exit_err_msg"),
            start_error: fields.text("start_error"),
            start_error_recoverable: fields.flag("start_error_recoverable"),
            start_block_for: fields.duration("start_block_for").unwrap_or_default(),
            kill_after: fields.duration("kill_after").unwrap_or_default(),
            stdout_string: fields.text("stdout_string"),
            stdout_repeat: times(fields, "stdout_repeat"),
            stdout_repeat_duration: fields
                .duration("stdout_repeat_duration")
                .unwrap_or_default(),
            stderr_string: fields.text("stderr_string"),
            stderr_repeat: times(fields, "stderr_repeat"),
            stderr_repeat_duration: fields
                .duration("stderr_repeat_duration")
                .unwrap_or_default(),
            signal_error: fields.text("signal_error"),
        }
    }
}
