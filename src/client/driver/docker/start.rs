//! Starts a task: image, container, start, each with its second chances.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{CreateContainerOptions, StartContainerOptions};

use super::auth::Reference;
use super::create::{self, Create};
use super::engine::EngineError;
use super::inspect::Inspect;
use super::{Inner, labels, lock};
use crate::client::driver::{DriverState, EventSink, StartError, TaskHandle, TaskSpec};
use crate::model::driver_config::{DockerConfig, DriverConfig};

/// How often a request that failed for a passing reason is made.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// How often room is made for the container's name.
const NAME_TRIES: u32 = 5;

/// A container that is there, and whether it already runs.
struct Made {
    container: String,
    runs: bool,
}

/// Forgets that a container is being made, however the making ends.
struct Starting<'a>(&'a Inner, String);

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        lock(&self.0.starting).remove(&self.1);
    }
}

impl Inner {
    pub(super) async fn start(
        self: &Arc<Self>,
        spec: TaskSpec,
        events: EventSink,
    ) -> Result<TaskHandle, StartError> {
        let DriverConfig::Docker(config) = &spec.config else {
            return Err(StartError::fatal(
                "these are not the options of a docker task",
            ));
        };
        let body = Create {
            spec: &spec,
            config,
            options: &self.options,
            node: &self.node,
            cgroup_v1: !Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
        }
        .body()
        .map_err(StartError::fatal)?;
        let name = create::name(&spec);
        lock(&self.starting).insert(name.clone());
        let _starting = Starting(self, name.clone());

        self.images.take(&config.image);
        let made = self.make(&spec, config, &name, body, &events).await;
        // From here on the container's own entry counts as the image's user.
        let handle = match made {
            Ok(made) => self.begin(&spec, config, made).await,
            Err(error) => Err(error),
        };
        let result = handle.and_then(|handle| {
            let adopted = self.adopt(&handle);
            adopted.map_err(|e| StartError::recoverable(e.to_string()))?;
            Ok(handle)
        });
        self.images.release(&config.image);
        if result.is_err() {
            self.collect_later(&config.image);
        }
        result
    }

    /// Makes the container, with its image.
    async fn make(
        &self,
        spec: &TaskSpec,
        config: &DockerConfig,
        name: &str,
        body: ContainerCreateBody,
        events: &EventSink,
    ) -> Result<Made, StartError> {
        if !config.load.is_empty() {
            let archive = spec.dirs.task.join(&config.load);
            self.puller.load(&archive).await?;
        } else if config.force_pull || Reference::parse(&config.image).moves() {
            self.puller.pull(config, &self.options, events).await?;
        }
        match self.create(spec, config, name, &body).await {
            // To ask first whether the image is there would cost every start a request.
            Err(CreateError::NoImage) if config.load.is_empty() => {
                self.puller.pull(config, &self.options, events).await?;
                let again = self.create(spec, config, name, &body).await;
                again.map_err(|e| e.into_start(config))
            }
            other => other.map_err(|e| e.into_start(config)),
        }
    }

    async fn create(
        &self,
        spec: &TaskSpec,
        config: &DockerConfig,
        name: &str,
        body: &ContainerCreateBody,
    ) -> Result<Made, CreateError> {
        let docker = self.engine.api().map_err(CreateError::Engine)?;
        let room = match config.container_exists_attempts {
            0 => NAME_TRIES,
            asked => asked,
        };
        let (mut tries, mut rooms, mut pause) = (0, 0, FIRST_PAUSE);
        loop {
            let options = CreateContainerOptions {
                name: Some(name.to_string()),
                ..CreateContainerOptions::default()
            };
            let created = docker.create_container(Some(options), body.clone()).await;
            let error = match created {
                Ok(created) => {
                    return Ok(Made {
                        container: created.id,
                        runs: false,
                    });
                }
                Err(error) => self.engine.error(error),
            };
            if is_no_image(&error) {
                return Err(CreateError::NoImage);
            }
            if is_name_taken(&error) && rooms < room {
                rooms += 1;
                if let Some(made) = self.make_room(spec, name).await? {
                    return Ok(made);
                }
                continue;
            }
            tries += 1;
            if !error.may_pass() || tries >= TRIES {
                return Err(CreateError::Engine(error));
            }
            self.clock.sleep(pause).await;
            pause *= 2;
        }
    }

    /// Another container has our name. One of this very task that runs is taken over, which an
    /// agent that died between start and journal leaves behind; one that ended is removed; one
    /// that is not ours stays.
    async fn make_room(&self, spec: &TaskSpec, name: &str) -> Result<Option<Made>, CreateError> {
        let found = match Inspect::of(&self.engine, name).await {
            Ok(found) => found,
            Err(error) if error.is_status(404) => return Ok(None),
            Err(error) => return Err(CreateError::Engine(error)),
        };
        let node = found.label(labels::NODE);
        let ours = node == self.node.id.to_string()
            && found.label(labels::ALLOC) == spec.alloc.to_string()
            && found.label(labels::TASK) == spec.task;
        if !ours {
            return Err(CreateError::NotOurs(name.to_string()));
        }
        if found.state.running {
            tracing::info!(target: "docker", name, "taking over the task's running container");
            return Ok(Some(Made {
                container: found.id,
                runs: true,
            }));
        }
        let removed = self.remove(&found.id).await;
        removed.map_err(|e| CreateError::Engine(EngineError::Broken(e.to_string())))?;
        Ok(None)
    }

    /// Starts the container. One that does not start is removed.
    async fn begin(
        &self,
        spec: &TaskSpec,
        config: &DockerConfig,
        made: Made,
    ) -> Result<TaskHandle, StartError> {
        let container = made.container;
        if !made.runs
            && let Err(error) = self.run(&container).await
        {
            if let Err(left) = self.remove(&container).await {
                tracing::warn!(target: "docker", container, error = %left, "a container is left");
            }
            let short = container.get(..12).unwrap_or(&container);
            return Err(StartError {
                recoverable: error.may_pass(),
                message: format!("Failed to start container {short}: {error}"),
            });
        }
        let mut started_at = self.clock.wall();
        if made.runs
            && let Ok(found) = Inspect::of(&self.engine, &container).await
            && let Ok(since) = found.state.started_at.parse::<jiff::Timestamp>()
        {
            started_at = i64::try_from(since.as_nanosecond()).unwrap_or(started_at);
        }
        Ok(TaskHandle {
            alloc: spec.alloc,
            task: spec.task.clone(),
            started_at,
            logs: spec.log_target(),
            state: DriverState::Docker {
                container,
                image: config.image.clone(),
                tty: config.tty,
            },
        })
    }

    async fn run(&self, container: &str) -> Result<(), EngineError> {
        let docker = self.engine.api()?;
        let mut pause = FIRST_PAUSE;
        let mut tries = 0;
        loop {
            let started = docker
                .start_container(container, None::<StartContainerOptions>)
                .await;
            let error = match started {
                Ok(()) => return Ok(()),
                Err(error) => self.engine.error(error),
            };
            tries += 1;
            if !error.may_pass() || is_port_taken(&error) || tries >= TRIES {
                return Err(error);
            }
            self.clock.sleep(pause).await;
            pause *= 2;
        }
    }
}

/// Why there is no container.
enum CreateError {
    NoImage,
    NotOurs(String),
    Engine(EngineError),
}

impl CreateError {
    fn into_start(self, config: &DockerConfig) -> StartError {
        let failed = |why: &dyn std::fmt::Display| format!("Failed to create container: {why}");
        match self {
            Self::NoImage if !config.load.is_empty() => StartError::fatal(failed(&format!(
                "the archive {:?} does not hold the image {:?}",
                config.load, config.image
            ))),
            Self::NoImage => StartError::recoverable(failed(&format!(
                "image {:?} vanished after its pull",
                config.image
            ))),
            Self::NotOurs(name) => StartError::fatal(failed(&format!(
                "its name {name:?} is taken by a container that this node did not start"
            ))),
            Self::Engine(error) => StartError {
                recoverable: error.may_pass(),
                message: failed(&error),
            },
        }
    }
}

fn is_no_image(error: &EngineError) -> bool {
    matches!(error, EngineError::Refused { status: 404, message }
        if message.to_lowercase().contains("no such image"))
}

/// Docker says 409, podman 500.
fn is_name_taken(error: &EngineError) -> bool {
    matches!(error, EngineError::Refused { status: 409 | 500, message }
        if message.contains("already in use"))
}

/// To try again at once would not free it.
fn is_port_taken(error: &EngineError) -> bool {
    matches!(error, EngineError::Refused { message, .. }
        if message.contains("port is already allocated")
            || message.contains("address already in use"))
}
