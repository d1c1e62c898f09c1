//! Brings images: one pull at a time per image, shared by all who want it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use http_body_util::BodyExt;
use hyper::Method;
use serde::Deserialize;
use tokio::sync::watch;

use super::auth::{self, Credentials, Reference};
use super::engine::{Engine, escaped};
use super::images::Images;
use super::options::DockerOptions;
use crate::client::driver::{EventSink, StartError};
use crate::env::{Clock, timeout};
use crate::model::driver_config::DockerConfig;

/// When the first word on a pull's progress comes; the pauses double from there.
const FIRST_WORD: Duration = Duration::from_secs(10);
/// The longest pause between two words.
const LAST_WORD: Duration = Duration::from_secs(120);
/// A line of the engine's progress stream is short; more than this is none.
const LINE_BYTES_MAX: usize = 1 << 20;

type Outcome = Shared<BoxFuture<'static, Result<(), String>>>;

#[derive(Clone)]
struct Pull {
    outcome: Outcome,
    progress: watch::Receiver<String>,
}

/// Pulls images for one engine.
pub(super) struct Puller {
    engine: Engine,
    clock: Arc<dyn Clock>,
    images: Arc<Images>,
    pulls: Mutex<BTreeMap<String, Pull>>,
}

impl Puller {
    pub(super) fn new(engine: Engine, clock: Arc<dyn Clock>, images: Arc<Images>) -> Self {
        Self {
            engine,
            clock,
            images,
            pulls: Mutex::default(),
        }
    }

    /// Pulls the image that a task wants, telling about it.
    pub(super) async fn pull(
        &self,
        config: &DockerConfig,
        options: &DockerOptions,
        events: &EventSink,
    ) -> Result<(), StartError> {
        let image = &config.image;
        let failed =
            |why: String| StartError::recoverable(format!("Failed to pull `{image}`: {why}"));
        events.tell_with(
            "Downloading image",
            BTreeMap::from([("image".to_string(), image.clone())]),
        );
        let reference = Reference::parse(image);
        let found = auth::find(&*self.clock, options, &reference, config.auth.as_ref()).await;
        let credentials = match found {
            Ok(credentials) => credentials,
            Err(why) if config.auth_soft_fail => {
                tracing::warn!(target: "docker", image, why, "pulling without credentials");
                None
            }
            Err(why) => return Err(failed(why)),
        };
        let pull = self.join(image, reference, credentials, options.pull_activity_timeout);
        let told = self.tell_until(&pull, image, events);
        let told = timeout(&*self.clock, config.pull_timeout, told);
        let outcome = tokio::select! {
            biased;
            outcome = told => outcome,
            () = events.unwanted().cancelled() => {
                return Err(failed("the task is to stop".to_string()));
            }
        };
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(failed(explain(&why, image))),
            Err(_) => Err(failed(format!(
                "it was not done within image_pull_timeout ({:?}); {}",
                config.pull_timeout,
                *pull.progress.borrow()
            ))),
        }
    }

    /// The pull of `image` that runs, or a new one.
    fn join(
        &self,
        image: &str,
        reference: Reference,
        credentials: Option<Credentials>,
        quiet_max: Duration,
    ) -> Pull {
        let mut pulls = self
            .pulls
            .lock()
            .expect("no panic happens while the map is locked");
        pulls.retain(|_, pull| pull.outcome.peek().is_none());
        if let Some(pull) = pulls.get(image) {
            return pull.clone();
        }
        let (sender, progress) = watch::channel("nothing has come yet".to_string());
        let (engine, clock) = (self.engine.clone(), self.clock.clone());
        let (images, name) = (self.images.clone(), image.to_string());
        let outcome = async move {
            let path = format!("/images/{}/json", escaped(&name));
            let before = engine.send(Method::GET, &path, &[]).await;
            fetch(
                &engine,
                &*clock,
                &reference,
                credentials,
                quiet_max,
                &sender,
            )
            .await?;
            // The stream may end well and the image still not be there.
            let after = engine.send(Method::GET, &path, &[]).await;
            after.map_err(|e| e.to_string())?;
            if before.is_err_and(|e| e.is_status(404)) {
                images.brought(&name).map_err(|e| {
                    format!("it is there, but could not be noted for clean-up: {e}")
                })?;
            }
            Ok(())
        };
        let pull = Pull {
            outcome: outcome.boxed().shared(),
            progress,
        };
        pulls.insert(image.to_string(), pull.clone());
        pull
    }

    async fn tell_until(&self, pull: &Pull, image: &str, events: &EventSink) -> Result<(), String> {
        let mut pause = FIRST_WORD;
        loop {
            tokio::select! {
                biased;
                outcome = pull.outcome.clone() => return outcome,
                () = self.clock.sleep(pause) => {
                    let progress = pull.progress.borrow().clone();
                    events.tell(format!("Docker image {image} pull progress: {progress}"));
                    pause = (pause * 2).min(LAST_WORD);
                }
            }
        }
    }

    /// Loads an image from an archive.
    pub(super) async fn load(&self, archive: &Path) -> Result<(), StartError> {
        use futures_util::StreamExt;
        let failed = |why: String| {
            StartError::recoverable(format!(
                "Failed to load image from {}: {why}",
                archive.display()
            ))
        };
        let file = tokio::fs::File::open(archive).await;
        let file = file.map_err(|e| failed(e.to_string()))?;
        // A read that fails ends the load with its reason, never with half an image.
        let body = tokio_util::io::ReaderStream::new(file);
        let api = self.engine.api().map_err(|e| failed(e.to_string()))?;
        let options = bollard::query_parameters::ImportImageOptions::default();
        let mut stream =
            std::pin::pin!(api.import_image(options, bollard::body_try_stream(body), None));
        while let Some(step) = stream.next().await {
            step.map_err(|e| failed(self.engine.error(e).to_string()))?;
        }
        Ok(())
    }
}

/// One step of a pull, as the engine tells it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Step {
    status: String,
    id: String,
    #[serde(rename = "progressDetail")]
    detail: Detail,
    error: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Detail {
    current: u64,
    total: u64,
}

/// What is known of each layer.
#[derive(Default)]
struct Layers(BTreeMap<String, (u64, u64, bool)>);

impl Layers {
    fn take(&mut self, step: &Step) {
        if step.id.is_empty() {
            return;
        }
        let layer = self.0.entry(step.id.clone()).or_default();
        match step.status.as_str() {
            "Downloading" => (layer.0, layer.1) = (step.detail.current, step.detail.total),
            "Download complete" => layer.0 = layer.1,
            "Pull complete" | "Already exists" => layer.2 = true,
            _ => {}
        }
    }

    fn shown(&self) -> String {
        let done = self.0.values().filter(|l| l.2).count();
        let mib = |n: u64| n as f64 / f64::from(1 << 20);
        let bytes: u64 = self.0.values().map(|l| l.0).sum();
        let total: u64 = self.0.values().map(|l| l.1).sum();
        format!(
            "{done} of {} layers, {:.1} of {:.1} MiB",
            self.0.len(),
            mib(bytes),
            mib(total)
        )
    }
}

async fn fetch(
    engine: &Engine,
    clock: &dyn Clock,
    reference: &Reference,
    credentials: Option<Credentials>,
    quiet_max: Duration,
    progress: &watch::Sender<String>,
) -> Result<(), String> {
    let path = format!(
        "/images/create?fromImage={}&tag={}",
        escaped(&reference.repository),
        escaped(&reference.tag)
    );
    let header = credentials.map(|c| ("x-registry-auth", c.header()));
    let headers: Vec<_> = header.into_iter().collect();
    let quiet = |_| format!("nothing came from the registry for {quiet_max:?}");
    let response = timeout(clock, quiet_max, engine.send(Method::POST, &path, &headers))
        .await
        .map_err(quiet)?
        .map_err(|e| e.to_string())?;
    let mut body = response.into_body();
    let (mut buffer, mut layers) = (BytesMut::new(), Layers::default());
    while let Some(frame) = timeout(clock, quiet_max, body.frame())
        .await
        .map_err(quiet)?
    {
        let frame = frame.map_err(|e| format!("the engine's answer broke off: {e}"))?;
        if let Ok(data) = frame.into_data() {
            buffer.extend_from_slice(&data);
        }
        while let Some(end) = buffer.iter().position(|b| *b == b'\n') {
            let line = buffer.split_to(end + 1);
            take_line(&line, &mut layers)?;
        }
        if buffer.len() > LINE_BYTES_MAX {
            return Err("the engine's answer makes no sense".to_string());
        }
        progress.send_replace(layers.shown());
    }
    let rest = buffer.copy_to_bytes(buffer.len());
    take_line(&rest, &mut layers)
}

fn take_line(line: &[u8], layers: &mut Layers) -> Result<(), String> {
    // What is no step is no harm: in the end the image is there or not.
    let Ok(step) = serde_json::from_slice::<Step>(line.trim_ascii()) else {
        return Ok(());
    };
    if !step.error.is_empty() {
        return Err(step.error);
    }
    layers.take(&step);
    Ok(())
}

/// The engine's words on a failed pull, with what can be done about it.
fn explain(why: &str, image: &str) -> String {
    let lower = why.to_lowercase();
    let registry = Reference::parse(image).registry().to_string();
    let any = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let advice = if any(&["toomanyrequests", "too many requests", "rate limit"]) {
        format!(
            "the rate limit of registry {registry} is reached; log in to it (`auth` in the task's \
             config, or docker login on the node) or try again later"
        )
    } else if any(&[
        "no basic auth credentials",
        "unauthorized",
        "authentication required",
        "incorrect username or password",
        "denied",
    ]) {
        format!(
            "registry {registry} refuses access: the image does not exist there, or it needs \
             other credentials (`auth` in the task's config, or docker login on the node)"
        )
    } else if any(&[
        "manifest unknown",
        "not found: manifest",
        "no such image",
        "repository does",
    ]) {
        format!("registry {registry} has no such image")
    } else if any(&[
        "no such host",
        "lookup ",
        "dial tcp",
        "timeout",
        "network is unreachable",
    ]) {
        format!("registry {registry} cannot be reached from this node")
    } else {
        return format!("Error response from daemon: {why}");
    };
    format!("Error response from daemon: {why} ({advice})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_advice() {
        for (why, advice) in [
            (
                "toomanyrequests: You have reached your pull rate limit.",
                "the rate limit of",
            ),
            (
                "Head https://x: no basic auth credentials",
                "refuses access",
            ),
            (
                "manifest for a:1 not found: manifest unknown",
                "has no such image",
            ),
            (
                "dial tcp: lookup registry-1.docker.io: no such host",
                "cannot be reached",
            ),
        ] {
            let words = explain(why, "h:5000/a:1");
            assert!(words.contains(why) && words.contains(advice), "{words}");
            assert!(words.contains("h:5000"));
        }
        assert_eq!(explain("odd", "a"), "Error response from daemon: odd");
    }

    #[test]
    fn progress_adds_up_over_layers() {
        let mut layers = Layers::default();
        for line in [
            r#"{"status":"Pulling from library/redis","id":"7"}"#,
            r#"{"status":"Downloading","id":"a","progressDetail":{"current":1048576,"total":2097152}}"#,
            r#"{"status":"Already exists","id":"b"}"#,
            "",
            "no json",
        ] {
            take_line(line.as_bytes(), &mut layers).unwrap();
        }
        assert_eq!(layers.shown(), "1 of 3 layers, 1.0 of 2.0 MiB");
        let error = br#"{"errorDetail":{"message":"x"},"error":"x"}"#;
        assert_eq!(take_line(error, &mut layers), Err("x".to_string()));
    }
}
