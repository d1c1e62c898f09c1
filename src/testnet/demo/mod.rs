//! The demo: a testnet, an image made of this program, and a web service of three instances.
//!
//! [`Demo::begin`] brings everything up, the caller shows it and asks [`Demo::next`] for news,
//! [`Demo::end`] takes everything down. A demo belongs to its process: what one that was killed
//! left behind, the next one removes first.

pub mod app;
mod image;
mod tar;
mod watch;

use std::path::PathBuf;

use tokio::time::Instant;

pub use image::ImageError;
pub use watch::{Instance, Seen, news};

use super::api::{Api, ApiError};
use super::down::{DownError, Ended, down};
use super::process::Identity;
use super::registry::{Record, Registry, RegistryError};
use super::topology::{Driver, Topology, TopologyError};
use super::up::{Starter, UpError};
use crate::client::driver::docker;
use crate::http::dto::jobs::JobRegisterRequest;
use crate::jobspec::{self, Sealed, Source, Variables};

/// The demo's testnet, unless another name is given.
pub const NAME: &str = "demo";
/// The job, and the service that it offers.
pub const JOB: &str = "demo";
const IMAGE: &str = "local/tumen-demo";
const CLIENTS: usize = 3;
/// How many instances the job has.
pub const COUNT: usize = 3;

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error(transparent)]
    Up(#[from] UpError),
    #[error(transparent)]
    Down(#[from] DownError),
    #[error("the demo runs already: process {pid}")]
    Runs { pid: i32 },
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("the image could not be made: {0}")]
    Panicked(String),
    #[error("the demo's job file is wrong: {0}")]
    Job(String),
    #[error("the cluster did not take the job")]
    Register(#[source] ApiError),
    #[error("the cluster does not say how the job does")]
    Watch(#[source] ApiError),
    #[error("the instance could not be killed")]
    Kill(#[source] ApiError),
}

/// What happened on the way up, for whoever watches.
#[derive(Debug)]
pub enum Step {
    /// What a killed demo left is gone.
    Cleaned(Ended),
    /// With which driver, and why not with Docker.
    Driver {
        name: &'static str,
        why: Option<String>,
    },
    /// The testnet is up.
    Up {
        nodes: usize,
        took: std::time::Duration,
    },
    /// The image is there.
    Image {
        bytes: usize,
        took: std::time::Duration,
    },
}

/// How a demo is to be.
pub struct Options {
    pub name: String,
    /// `None`: Docker where there is an engine.
    pub driver: Option<Driver>,
    /// What `raw_exec` runs.
    pub program: PathBuf,
}

/// A running demo.
pub struct Demo {
    registry: Registry,
    record: Record,
    image: Option<String>,
    seen: Seen,
    index: u64,
}

/// A demo that is coming up or running, as far as it must be taken down.
pub struct Remains {
    registry: Registry,
    name: String,
    image: Option<String>,
}

impl Remains {
    /// What a demo of this process may leave behind.
    pub fn of(registry: &Registry, name: &str) -> Self {
        Self {
            registry: registry.clone(),
            name: name.to_owned(),
            image: Some(image_name()),
        }
    }

    /// Takes everything down that is there.
    pub async fn end(&self) -> Result<Ended, DemoError> {
        let ended = match self.registry.read(&self.name) {
            Ok(record) if is_ours(&record) => down(&self.registry, &self.name).await?,
            Ok(_) | Err(RegistryError::Unknown(_)) => Ended::default(),
            Err(error) => return Err(DownError::from(error).into()),
        };
        if let Some(image) = &self.image
            && docker::outside::version().await.is_ok()
        {
            let removed = docker::outside::remove_image(image).await;
            removed.map_err(ImageError::Import)?;
        }
        Ok(ended)
    }
}

/// Whether this process brought the testnet up.
fn is_ours(record: &Record) -> bool {
    let own = Identity::own().ok();
    own.is_some() && record.bound_to == own
}

/// Every demo has a tag of its own, so that one never takes away another's image.
fn image_name() -> String {
    format!("{IMAGE}:{}", std::process::id())
}

impl Demo {
    /// Brings everything up; `told` hears of each step.
    pub async fn begin(
        registry: &Registry,
        options: &Options,
        told: &mut dyn FnMut(Step),
    ) -> Result<Self, DemoError> {
        clear(registry, &options.name, told).await?;
        let driver = choose(options.driver, told).await;
        let topology = Topology::simple(1, CLIENTS, vec![driver])?;
        let starter = Starter::new(registry.clone());
        let begun = Instant::now();
        let record = starter.prepare(&options.name, &topology, true).await?;
        let making = async {
            let made = match driver {
                Driver::Docker => Some(make_image().await?),
                Driver::RawExec | Driver::Mock => None,
            };
            Ok::<_, DemoError>(made.map(|bytes| (bytes, begun.elapsed())))
        };
        let starting = async {
            starter.start(&record).await?;
            Ok::<_, DemoError>(begun.elapsed())
        };
        let (up, made) = futures_util::future::try_join(starting, making).await?;
        told(Step::Up {
            nodes: record.nodes.len(),
            took: up,
        });
        if let Some((bytes, took)) = made {
            told(Step::Image { bytes, took });
        }
        let demo = Self {
            registry: registry.clone(),
            image: made.map(|_| image_name()),
            record,
            seen: Seen::default(),
            index: 0,
        };
        demo.register(&job(driver, &options.program)).await?;
        Ok(demo)
    }

    /// The record of its testnet.
    pub fn record(&self) -> &Record {
        &self.record
    }

    fn api(&self) -> Api {
        let addr = self.record.http();
        Api {
            addr: addr.expect("a demo has a server"),
        }
    }

    async fn register(&self, text: &str) -> Result<(), DemoError> {
        let source = Source::new("demo.nomad.hcl", text);
        let (draft, mistakes) = jobspec::parse(&source, &Variables::default(), &Sealed);
        let Some(draft) = draft else {
            let text: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
            return Err(DemoError::Job(text.join("; ")));
        };
        let request = JobRegisterRequest {
            job: Some(draft),
            ..JobRegisterRequest::default()
        };
        let api = self.api();
        let answer = api.put::<serde_json::Value>("/v1/jobs", &request).await;
        answer.map(drop).map_err(DemoError::Register)
    }

    /// Waits for news of the instances; returns how all of them are now.
    pub async fn next(&mut self) -> Result<Vec<Instance>, DemoError> {
        let seen = watch::look(self.api(), &mut self.index).await;
        self.seen = seen.map_err(DemoError::Watch)?;
        Ok(self.seen.instances())
    }

    /// Kills an instance that runs: its process or container, as an accident would.
    pub async fn kill(&self, instance: &Instance) -> Result<(), DemoError> {
        let node = self.record.node(&instance.node);
        let api = node.map_or(self.api(), |n| Api { addr: n.addrs.http });
        let path = format!("/v1/client/allocation/{}/signal", instance.alloc);
        let order = serde_json::json!({ "Signal": "SIGKILL" });
        let answer = api.put::<serde_json::Value>(&path, &order).await;
        answer.map(drop).map_err(DemoError::Kill)
    }

    /// Takes everything down.
    pub async fn end(self) -> Result<Ended, DemoError> {
        let remains = Remains {
            name: self.record.name.clone(),
            registry: self.registry,
            image: self.image,
        };
        remains.end().await
    }
}

/// Removes what a demo left that was killed; refuses beside one that runs.
async fn clear(
    registry: &Registry,
    name: &str,
    told: &mut dyn FnMut(Step),
) -> Result<(), DemoError> {
    let Ok(record) = registry.read(name) else {
        return Ok(()); // there is none, or `prepare` says what is wrong with it
    };
    match record.bound_to {
        Some(by) if by.is_alive() => Err(DemoError::Runs { pid: by.pid }),
        Some(_) => {
            told(Step::Cleaned(down(registry, name).await?));
            Ok(())
        }
        None => Ok(()),
    }
}

async fn choose(wanted: Option<Driver>, told: &mut dyn FnMut(Step)) -> Driver {
    let (driver, why) = match wanted {
        Some(driver) => (driver, None),
        None => match docker::outside::version().await {
            Ok(_) => (Driver::Docker, None),
            Err(why) => (Driver::RawExec, Some(why)),
        },
    };
    told(Step::Driver {
        name: driver.name(),
        why,
    });
    driver
}

/// Makes the image and gives it to Docker; returns its size.
async fn make_image() -> Result<usize, DemoError> {
    let archive = crate::env::blocking("demo image", image::archive).await;
    let archive = archive.map_err(|e| DemoError::Panicked(e.to_string()))??;
    let bytes = archive.len();
    let tag = std::process::id().to_string();
    let taken = docker::outside::import(IMAGE, &tag, archive.into()).await;
    taken.map_err(ImageError::Import)?;
    Ok(bytes)
}

/// The job file.
fn job(driver: Driver, program: &std::path::Path) -> String {
    let config = match driver {
        Driver::Docker => format!(
            "image   = \"{}\"\n        command = \"{}\"\n        \
             args    = [\"demo-app\", \"-bind=0.0.0.0\"]\n        ports   = [\"http\"]",
            image_name(),
            image::PROGRAM
        ),
        Driver::RawExec | Driver::Mock => format!(
            "command = {}\n        args    = [\"demo-app\"]",
            serde_json::Value::from(program.display().to_string())
        ),
    };
    let driver = driver.name();
    format!(
        r#"job "{JOB}" {{
  datacenters = ["dc1"]

  group "web" {{
    count = {COUNT}

    network {{
      port "http" {{}}
    }}

    # An instance that dies is started again at once, as often as it takes.
    restart {{
      attempts = 100
      interval = "10m"
      delay    = "1s"
      mode     = "delay"
    }}

    update {{
      min_healthy_time = "0s"
    }}

    service {{
      name     = "{JOB}"
      provider = "nomad"
      port     = "http"

      check {{
        type     = "http"
        path     = "/health"
        interval = "1s"
        timeout  = "1s"
      }}
    }}

    task "web" {{
      driver = "{driver}"

      config {{
        {config}
      }}

      env {{
        NODE = "${{node.unique.name}}"
      }}

      resources {{
        cpu    = 50
        memory = 64
      }}
    }}
  }}
}}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jobs_are_valid() {
        for driver in [Driver::Docker, Driver::RawExec] {
            let text = job(driver, std::path::Path::new("/a \"b\"/tumen"));
            let source = Source::new("demo.nomad.hcl", text);
            let (draft, mistakes) = jobspec::parse(&source, &Variables::default(), &Sealed);
            assert!(draft.is_some() && mistakes.is_empty(), "{mistakes:?}");
        }
    }
}
