//! Containers, through the Docker engine.
//!
//! **Owns** one connection's worth of knowledge of the engine, the containers that this node
//! started, the pumps of their output and the images that it pulled. **Does not** keep state
//! beyond the agent but the list of pulled images: a container is found again by its id.
//!
//! Tasks, all in one group that [`Driver::detach`] ends: a watcher and a pump per container, one
//! short one per connection, exec session and image to be removed. No process of ours runs
//! beside a container.
//!
//! Several agents may share an engine, with Nomad's too: nothing is removed that does not carry
//! this node's id, and no image that this node did not pull.

#![allow(clippy::disallowed_methods, reason = "a real driver")]

mod auth;
mod create;
mod engine;
mod exec;
mod images;
mod inspect;
mod labels;
mod options;
pub(crate) mod outside;
mod pull;
mod pump;
mod running;
mod start;
mod stats;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::Method;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{
    Driver, DriverError, DriverFingerprint, DriverState, EventSink, ExecRequest, ExitResult,
    NodeFacts, StartError, TaskDirs, TaskHandle, TaskSpec, signal,
};
use crate::client::taskenv::TaskPaths;
use crate::env::{Clock, TaskGroup, timeout};
use crate::rpc::node::{ExecStream, TaskStats};
use engine::{ANSWER_TIMEOUT, Engine, EngineError, escaped};
use images::Images;
use inspect::Inspect;
pub use options::DockerOptions;
use pull::Puller;
use pump::Pump;
use running::Running;
use stats::Sample;

const NAME: &str = "docker";
/// How long the end of a container's output is waited for before the container is removed.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How long a killed container may take to be gone.
const KILL_MAX: Duration = Duration::from_secs(30);
/// The time between the two first looks at a container's figures.
const FIRST_SAMPLE: Duration = Duration::from_millis(100);
/// How often an image is tried to be removed.
const IMAGE_TRIES: u32 = 3;

/// One lock for each allocation and task.
type Pens = BTreeMap<(String, String), Arc<tokio::sync::Mutex<()>>>;

/// The driver of `docker`.
pub struct DockerDriver {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    options: DockerOptions,
    node: NodeFacts,
    engine: Engine,
    tasks: TaskGroup,
    images: Arc<Images>,
    puller: Puller,
    running: Mutex<BTreeMap<String, Arc<Running>>>,
    /// Names of containers that are being made.
    starting: Mutex<BTreeSet<String>>,
    /// One pump at a time writes a task's log.
    pens: Mutex<Pens>,
    /// Whether the engine ever answered.
    seen: AtomicBool,
}

impl DockerDriver {
    /// A driver for this node. `token` ends its tasks, not the containers. An endpoint that
    /// makes no sense is an error; an engine that does not answer is none.
    pub fn new(
        clock: Arc<dyn Clock>,
        options: DockerOptions,
        node: NodeFacts,
        token: CancellationToken,
    ) -> Result<Self, DriverError> {
        let tasks = TaskGroup::new(token);
        let engine = Engine::new(&options.endpoint, tasks.clone());
        let engine = engine.map_err(|e| DriverError::Invalid(e.to_string()))?;
        let images = Arc::new(Images::open(&node.state_dir));
        let puller = Puller::new(engine.clone(), clock.clone(), images.clone());
        Ok(Self {
            inner: Arc::new(Inner {
                clock,
                options,
                node,
                engine,
                tasks,
                images,
                puller,
                running: Mutex::default(),
                starting: Mutex::default(),
                pens: Mutex::default(),
                seen: AtomicBool::new(false),
            }),
        })
    }
}

/// The engine's part of a handle.
fn container_of(handle: &TaskHandle) -> Result<(&str, &str, bool), DriverError> {
    match &handle.state {
        DriverState::Docker {
            container,
            image,
            tty,
        } => Ok((container, image, *tty)),
        DriverState::RawExec { .. } | DriverState::Mock { .. } => Err(super::foreign(handle, NAME)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .expect("no panic happens while the driver's maps are locked")
}

fn failed(what: &str, container: &str, error: EngineError) -> DriverError {
    let short = container.get(..12).unwrap_or(container);
    let message = format!("could not {what} container {short}: {error}");
    if error.is_status(404) {
        DriverError::NotFound(message)
    } else {
        DriverError::Failed(message)
    }
}

impl Inner {
    fn find(&self, handle: &TaskHandle) -> Result<Arc<Running>, DriverError> {
        let (container, ..) = container_of(handle)?;
        lock(&self.running).get(container).cloned().ok_or_else(|| {
            DriverError::NotFound(format!("task {:?} has no container here", handle.task))
        })
    }

    /// Begins to look after a container: its end and its output.
    fn adopt(self: &Arc<Self>, handle: &TaskHandle) -> Result<(), DriverError> {
        let (container, image, tty) = container_of(handle)?;
        let running = Running::new(container);
        {
            let mut all = lock(&self.running);
            if all.contains_key(container) {
                return Ok(());
            }
            all.insert(container.to_string(), running.clone());
        }
        self.images.take(image);
        let token = self.tasks.token().clone();
        let watch = {
            let (running, engine, clock) =
                (running.clone(), self.engine.clone(), self.clock.clone());
            let token = token.clone();
            async move { running.watch(engine, clock, token).await }
        };
        let pump = self.pump(running, handle, tty, token);
        if self.tasks.spawn("docker watch", watch) && self.tasks.spawn("docker logs", pump) {
            Ok(())
        } else {
            Err(DriverError::Failed("the agent is stopping".to_string()))
        }
    }

    fn pump(
        &self,
        running: Arc<Running>,
        handle: &TaskHandle,
        tty: bool,
        token: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        let off = handle.logs.disabled || self.options.disable_log_collection;
        let key = (handle.logs.dir.clone(), handle.logs.prefix.clone());
        let pen = {
            let mut pens = lock(&self.pens);
            pens.retain(|_, pen| Arc::strong_count(pen) > 1);
            pens.entry(key).or_default().clone()
        };
        let pump = Pump {
            engine: self.engine.clone(),
            clock: self.clock.clone(),
            container: running.container.clone(),
            tty,
            target: handle.logs.clone(),
            exit: running.exit.subscribe(),
            token,
        };
        async move {
            if !off {
                let _held = pen.lock().await;
                pump.run().await;
            }
            running.drained.send_replace(true);
        }
    }

    async fn recover(self: &Arc<Self>, handle: &TaskHandle) -> Result<(), DriverError> {
        let (container, ..) = container_of(handle)?;
        let found = Inspect::of(&self.engine, container).await;
        let found = found.map_err(|e| failed("find", container, e))?;
        // A container that was made but never started has nothing to take up.
        if found.state.status == "created" {
            return Err(DriverError::NotFound(format!(
                "task {:?} was never started",
                handle.task
            )));
        }
        self.adopt(handle)
    }

    async fn kill(&self, container: &str, signal: &str) -> Result<(), EngineError> {
        let path = format!("/containers/{container}/kill?signal={}", escaped(signal));
        self.engine.send(Method::POST, &path, &[]).await.map(drop)
    }

    async fn stop(
        &self,
        handle: &TaskHandle,
        signal: &str,
        kill_timeout: Duration,
    ) -> Result<(), DriverError> {
        let running = self.find(handle)?;
        let container = &running.container;
        if running.exit.borrow().is_some() {
            return Ok(());
        }
        let asked = if signal.is_empty() {
            self.engine_stop(container, kill_timeout).await
        } else {
            self.kill(container, signal).await
        };
        match asked {
            Ok(()) => {}
            // It ended by itself, or is gone.
            Err(EngineError::Refused {
                status: 304 | 404 | 409,
                ..
            }) => {}
            Err(error) => return Err(failed("stop", container, error)),
        }
        let grace = if signal.is_empty() {
            KILL_MAX
        } else {
            kill_timeout
        };
        if timeout(&*self.clock, grace, running.ended()).await.is_ok() {
            return Ok(());
        }
        self.end_now(&running).await
    }

    /// The engine's own stop: the image's signal, then a kill.
    async fn engine_stop(&self, container: &str, wait: Duration) -> Result<(), EngineError> {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let path = format!("/containers/{container}/stop?t={seconds}");
        let stop = self.engine.send(Method::POST, &path, &[]);
        match timeout(&*self.clock, wait + ANSWER_TIMEOUT, stop).await {
            Ok(result) => result.map(drop),
            Err(_) => Err(EngineError::Broken("the engine did not answer".to_string())),
        }
    }

    async fn end_now(&self, running: &Running) -> Result<(), DriverError> {
        match self.kill(&running.container, "SIGKILL").await {
            Ok(())
            | Err(EngineError::Refused {
                status: 404 | 409, ..
            }) => {}
            Err(error) => return Err(failed("kill", &running.container, error)),
        }
        let ended = timeout(&*self.clock, KILL_MAX, running.ended()).await;
        ended.map(drop).map_err(|_| {
            DriverError::Failed(format!(
                "container {} still runs {KILL_MAX:?} after its kill",
                running.container
            ))
        })
    }

    async fn destroy(self: &Arc<Self>, handle: &TaskHandle) -> Result<(), DriverError> {
        let (container, image, _) = container_of(handle)?;
        let running = lock(&self.running).get(container).cloned();
        if let Some(running) = &running {
            if running.exit.borrow().is_none() {
                self.end_now(running).await?;
            }
            let mut drained = running.drained.subscribe();
            let drain = drained.wait_for(|done| *done);
            if timeout(&*self.clock, DRAIN_MAX, drain).await.is_err() {
                tracing::warn!(
                    target: "docker", container, task = handle.task,
                    "the end of the container's output did not come: it may be missing"
                );
            }
        }
        if self.options.gc_container {
            self.remove(container).await?;
        }
        if lock(&self.running).remove(container).is_some() {
            self.images.release(image);
            self.collect_later(image);
        }
        Ok(())
    }

    async fn remove(&self, container: &str) -> Result<(), DriverError> {
        let path = format!("/containers/{}?force=1&v=1", escaped(container));
        match self.engine.send(Method::DELETE, &path, &[]).await {
            Ok(_) => Ok(()),
            // Gone, or being removed by somebody at this moment.
            Err(error) if error.is_status(404) || error.is_status(409) => Ok(()),
            Err(error) => Err(failed("remove", container, error)),
        }
    }

    /// Removes an image that nobody uses, after a while, if it is ours.
    fn collect_later(self: &Arc<Self>, image: &str) {
        if !self.options.gc_image || !self.images.is_waste(image) {
            return;
        }
        let (inner, image) = (self.clone(), image.to_string());
        let token = self.tasks.token().clone();
        let collect = async move {
            for _ in 0..IMAGE_TRIES {
                tokio::select! {
                    biased;
                    () = token.cancelled() => return,
                    () = inner.clock.sleep(inner.options.gc_image_delay) => {}
                }
                if !inner.images.is_waste(&image) || inner.collect(&image).await {
                    return;
                }
            }
        };
        if !self.tasks.spawn("docker image clean-up", collect) {
            tracing::debug!(target: "docker", "the agent is stopping: an image stays");
        }
    }

    /// Removes an image; true: nothing is left to do.
    async fn collect(&self, image: &str) -> bool {
        let path = format!("/images/{}", escaped(image));
        match self.engine.send(Method::DELETE, &path, &[]).await {
            Ok(_) => tracing::info!(target: "docker", image, "removed an image that nobody uses"),
            Err(error) if error.is_status(404) => {}
            Err(error) => {
                tracing::debug!(target: "docker", image, %error, "an image stays");
                return false;
            }
        }
        if let Err(error) = self.images.gone(image) {
            tracing::warn!(target: "docker", image, %error, "could not note a removed image");
        }
        true
    }

    async fn sweep(self: &Arc<Self>, live: &[TaskHandle]) -> Result<usize, DriverError> {
        let ours = self.node.id.to_string();
        let listed = inspect::labelled(&self.engine, labels::NODE, &ours).await;
        let listed = listed.map_err(|e| DriverError::Failed(e.to_string()))?;
        let wanted: BTreeSet<&str> = live
            .iter()
            .filter_map(|handle| container_of(handle).ok())
            .map(|(container, ..)| container)
            .collect();
        let mut removed = 0;
        for container in listed {
            let starting = {
                let starting = lock(&self.starting);
                let mut names = container.names.iter();
                names.any(|name| starting.contains(name.trim_start_matches('/')))
            };
            let known = lock(&self.running).contains_key(&container.id);
            if starting || known || wanted.contains(container.id.as_str()) {
                continue;
            }
            tracing::info!(
                target: "docker", container = container.id,
                "removing a container of ours that no allocation knows"
            );
            self.remove(&container.id).await?;
            removed += 1;
        }
        for image in self.images.waste() {
            self.collect_later(&image);
        }
        Ok(removed)
    }

    async fn sample(&self, container: &str) -> Result<Sample, DriverError> {
        let at = self.clock.wall();
        if let Some(sample) = Sample::from_files(container, at) {
            return Ok(sample);
        }
        let sample = Sample::from_engine(&self.engine, container, at).await;
        sample.map_err(|e| failed("measure", container, e))
    }

    async fn stats(&self, handle: &TaskHandle) -> Result<TaskStats, DriverError> {
        let running = self.find(handle)?;
        if running.exit.borrow().is_some() {
            return Err(DriverError::NotFound(format!(
                "task {:?} does not run",
                handle.task
            )));
        }
        let before = lock(&running.sample).take();
        let before = match before {
            Some(before) => before,
            None => {
                let first = self.sample(&running.container).await?;
                self.clock.sleep(FIRST_SAMPLE).await;
                first
            }
        };
        let now = self.sample(&running.container).await?;
        let stats = now.since(&before, self.node.core_mhz);
        *lock(&running.sample) = Some(now);
        Ok(stats)
    }

    async fn fingerprint(&self) -> DriverFingerprint {
        match self.look().await {
            Ok(attributes) => {
                self.seen.store(true, Ordering::Relaxed);
                DriverFingerprint::healthy(attributes)
            }
            Err(error) => DriverFingerprint {
                detected: self.seen.load(Ordering::Relaxed),
                healthy: false,
                description: error.to_string(),
                attributes: BTreeMap::new(),
            },
        }
    }

    async fn look(&self) -> Result<BTreeMap<String, String>, EngineError> {
        let version: Version = self.engine.get("/version").await?;
        let info: Info = self.engine.get("/info").await?;
        let mut attributes = BTreeMap::new();
        let mut set = |key: &str, value: String| {
            let dot = if key.is_empty() { "" } else { "." };
            attributes.insert(format!("driver.docker{dot}{key}"), value);
        };
        set("", "1".to_string());
        set("version", version.version);
        set("os_type", info.os_type);
        let runtimes: Vec<&str> = info.runtimes.keys().map(String::as_str).collect();
        set("runtimes", runtimes.join(","));
        // An engine may be set up without its bridge.
        if let Ok(bridge) = self.engine.get::<Bridge>("/networks/bridge").await
            && let Some(gateway) = bridge.gateway()
        {
            set("bridge_ip", gateway);
        }
        if self.options.volumes_enabled {
            set("volumes.enabled", "true".to_string());
        }
        if self.options.allow_privileged {
            set("privileged.enabled", "true".to_string());
        }
        Ok(attributes)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Version {
    version: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Info {
    #[serde(rename = "OSType")]
    os_type: String,
    runtimes: BTreeMap<String, serde::de::IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Bridge {
    #[serde(rename = "IPAM")]
    ipam: Ipam,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Ipam {
    config: Option<Vec<BTreeMap<String, String>>>,
}

impl Bridge {
    fn gateway(&self) -> Option<String> {
        let config = self.ipam.config.as_ref()?;
        config.iter().find_map(|c| c.get("Gateway").cloned())
    }
}

impl Driver for DockerDriver {
    fn name(&self) -> &'static str {
        NAME
    }

    fn fingerprint(&self) -> BoxFuture<'_, DriverFingerprint> {
        self.inner.fingerprint().boxed()
    }

    fn paths(&self, _dirs: &TaskDirs) -> TaskPaths {
        TaskPaths {
            alloc: "/alloc".to_string(),
            local: "/local".to_string(),
            secrets: "/secrets".to_string(),
        }
    }

    fn start(
        &self,
        spec: TaskSpec,
        events: EventSink,
    ) -> BoxFuture<'_, Result<TaskHandle, StartError>> {
        async move { self.inner.start(spec, events).await }.boxed()
    }

    fn recover<'a>(&'a self, handle: &'a TaskHandle) -> BoxFuture<'a, Result<(), DriverError>> {
        self.inner.recover(handle).boxed()
    }

    fn wait<'a>(&'a self, handle: &'a TaskHandle) -> BoxFuture<'a, ExitResult> {
        async move {
            match self.inner.find(handle) {
                Ok(running) => running.ended().await,
                Err(error) => ExitResult::unknown(error.to_string()),
            }
        }
        .boxed()
    }

    fn stop<'a>(
        &'a self,
        handle: &'a TaskHandle,
        signal: &'a str,
        kill_timeout: Duration,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        self.inner.stop(handle, signal, kill_timeout).boxed()
    }

    fn signal<'a>(
        &'a self,
        handle: &'a TaskHandle,
        signal: &'a str,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        async move {
            if signal::number(signal).is_none() {
                return Err(DriverError::Invalid(format!("unknown signal {signal:?}")));
            }
            let running = self.inner.find(handle)?;
            let sent = self.inner.kill(&running.container, signal).await;
            sent.map_err(|e| failed("signal", &running.container, e))
        }
        .boxed()
    }

    fn destroy<'a>(&'a self, handle: &'a TaskHandle) -> BoxFuture<'a, Result<(), DriverError>> {
        self.inner.destroy(handle).boxed()
    }

    fn stats<'a>(
        &'a self,
        handle: &'a TaskHandle,
    ) -> BoxFuture<'a, Result<TaskStats, DriverError>> {
        self.inner.stats(handle).boxed()
    }

    fn exec<'a>(
        &'a self,
        handle: &'a TaskHandle,
        request: ExecRequest,
    ) -> BoxFuture<'a, Result<ExecStream, DriverError>> {
        async move {
            let running = self.inner.find(handle)?;
            let (inner, container) = (&self.inner, &running.container);
            let clock = inner.clock.clone();
            exec::start(&inner.engine, clock, &inner.tasks, container, request).await
        }
        .boxed()
    }

    fn sweep<'a>(&'a self, live: &'a [TaskHandle]) -> BoxFuture<'a, Result<usize, DriverError>> {
        self.inner.sweep(live).boxed()
    }

    fn detach(&self) -> BoxFuture<'_, ()> {
        self.inner.tasks.shutdown().boxed()
    }
}
