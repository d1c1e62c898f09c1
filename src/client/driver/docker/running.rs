//! A container that the agent looks after.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Method;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::engine::{Engine, EngineError};
use super::inspect::Inspect;
use super::stats::Sample;
use crate::client::driver::ExitResult;
use crate::env::Clock;

/// The engine's word on a container's end can get lost: this often we look ourselves.
const LOOK: Duration = Duration::from_secs(10);
/// The pause after the engine did not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// What is known of one container.
pub(super) struct Running {
    pub(super) container: String,
    pub(super) exit: watch::Sender<Option<ExitResult>>,
    /// Whether its output is in the files.
    pub(super) drained: watch::Sender<bool>,
    /// The last figures, against which the next are shares.
    pub(super) sample: Mutex<Option<Sample>>,
}

impl Running {
    pub(super) fn new(container: &str) -> Arc<Self> {
        Arc::new(Self {
            container: container.to_string(),
            exit: watch::Sender::new(None),
            drained: watch::Sender::new(false),
            sample: Mutex::new(None),
        })
    }

    /// Waits for the container's end.
    pub(super) async fn ended(&self) -> ExitResult {
        let mut exit = self.exit.subscribe();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone().unwrap_or_default(),
            Err(_) => ExitResult::unknown("the agent let go of the container"),
        }
    }

    /// Finds out when the container ends, and how.
    pub(super) async fn watch(
        &self,
        engine: Engine,
        clock: Arc<dyn Clock>,
        token: CancellationToken,
    ) {
        loop {
            tokio::select! {
                biased;
                () = token.cancelled() => return,
                result = wait(&engine, &self.container) => if let Err(error) = result {
                    tracing::debug!(
                        target: "docker", container = self.container, %error,
                        "waiting for the container failed"
                    );
                    clock.sleep(AGAIN).await;
                },
                () = clock.sleep(LOOK) => {}
            }
            let exit = match Inspect::of(&engine, &self.container).await {
                Ok(inspect) => inspect.exit(),
                Err(error) if error.is_status(404) => Some(ExitResult {
                    exit_code: 137,
                    err: Some("the container was removed by somebody else".to_string()),
                    ..ExitResult::default()
                }),
                Err(_) => None,
            };
            if exit.is_some() {
                self.exit.send_replace(exit);
                return;
            }
        }
    }
}

/// Waits for what the engine says is the container's end.
async fn wait(engine: &Engine, container: &str) -> Result<(), EngineError> {
    let path = format!("/containers/{container}/wait");
    let response = engine.send(Method::POST, &path, &[]).await?;
    let body = response.into_body().collect().await;
    body.map(drop)
        .map_err(|e| EngineError::Broken(e.to_string()))
}
