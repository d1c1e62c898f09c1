//! What the engine tells about containers, read leniently: unknown words are no errors.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::engine::{Engine, EngineError, escaped};
use crate::client::driver::ExitResult;

/// One container in full.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Inspect {
    pub(super) id: String,
    pub(super) state: State,
    pub(super) config: Config,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct State {
    pub(super) status: String,
    pub(super) running: bool,
    #[serde(rename = "OOMKilled")]
    pub(super) oom_killed: bool,
    pub(super) exit_code: i32,
    pub(super) error: String,
    pub(super) started_at: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Config {
    pub(super) labels: Option<BTreeMap<String, String>>,
}

impl Inspect {
    pub(super) async fn of(engine: &Engine, container: &str) -> Result<Self, EngineError> {
        let path = format!("/containers/{}/json", escaped(container));
        engine.get(&path).await
    }

    pub(super) fn label(&self, key: &str) -> &str {
        let labels = self.config.labels.as_ref();
        labels.and_then(|l| l.get(key)).map_or("", String::as_str)
    }

    /// How it ended; `None`: it runs, or was never started.
    pub(super) fn exit(&self) -> Option<ExitResult> {
        let state = &self.state;
        if state.running || state.status == "created" {
            return None;
        }
        let err = if state.oom_killed {
            Some("OOM Killed".to_string())
        } else if !state.error.is_empty() {
            Some(state.error.clone())
        } else if state.exit_code != 0 {
            Some(format!(
                "Docker container exited with non-zero exit code: {}",
                state.exit_code
            ))
        } else {
            None
        };
        Some(ExitResult {
            exit_code: state.exit_code,
            signal: 0,
            oom_killed: state.oom_killed,
            err,
        })
    }
}

/// One container in a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) names: Vec<String>,
}

/// Every container with this value of a label, running or not.
pub(super) async fn labelled(
    engine: &Engine,
    label: &str,
    value: &str,
) -> Result<Vec<Listed>, EngineError> {
    let filters = serde_json::json!({ "label": [format!("{label}={value}")] });
    let filters = escaped(&filters.to_string());
    engine
        .get(&format!("/containers/json?all=1&filters={filters}"))
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_in_words() {
        let exit = |json: &str| serde_json::from_str::<Inspect>(json).unwrap().exit();
        assert_eq!(
            exit(r#"{"State": {"Running": true, "Status": "new word"}}"#),
            None
        );
        assert_eq!(exit(r#"{"State": {"Status": "created"}}"#), None);
        let good = exit(r#"{"State": {"Status": "exited", "ExitCode": 0}}"#).unwrap();
        assert!(good.is_success());
        let oom = exit(r#"{"State": {"ExitCode": 137, "OOMKilled": true}}"#).unwrap();
        assert!(oom.oom_killed && oom.err.as_deref() == Some("OOM Killed"));
        assert_eq!(
            exit(r#"{"State": {"ExitCode": 3}}"#).unwrap().err.unwrap(),
            "Docker container exited with non-zero exit code: 3"
        );
    }
}
