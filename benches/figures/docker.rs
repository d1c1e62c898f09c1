//! Docker's own command: the base that latencies are compared with.

use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::Result;

pub(crate) struct Docker {
    image: String,
}

/// What a task of the figures may use; the base gets the same.
pub(crate) const CPU: u32 = 20;
pub(crate) const MEMORY_MB: u32 = 16;

impl Docker {
    /// An engine that has `image`, or why not.
    pub(crate) fn ready(image: &str) -> std::result::Result<Self, String> {
        let found = docker(&["image", "inspect", "--format", "{{.Id}}", image]);
        found.map_err(|error| error.to_string())?;
        Ok(Self {
            image: image.to_owned(),
        })
    }

    pub(crate) fn image(&self) -> &str {
        &self.image
    }

    /// How long `docker run -d` takes until its container has started.
    pub(crate) fn run(&self) -> Result<Duration> {
        let (cpu, memory) = (CPU.to_string(), format!("{MEMORY_MB}m"));
        let began = SystemTime::now();
        let id = docker(&[
            "run",
            "-d",
            "--cpu-shares",
            &cpu,
            "--memory",
            &memory,
            &self.image,
            "sleep",
            "3600",
        ])?;
        let started = self.started(&id);
        docker(&["rm", "--force", &id])?;
        Ok(started?.duration_since(began)?)
    }

    /// When a container's process last started.
    pub(crate) fn started(&self, container: &str) -> Result<SystemTime> {
        let at = docker(&["inspect", "--format", "{{.State.StartedAt}}", container])?;
        Ok(at.parse::<jiff::Timestamp>()?.into())
    }

    pub(crate) fn kill(&self, container: &str) -> Result<()> {
        docker(&["kill", container]).map(drop)
    }
}

fn docker(args: &[&str]) -> Result<String> {
    let output = Command::new("docker")
        .args(args)
        .output()
        .map_err(|e| format!("could not run docker: {e}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("docker {}: {}", args[0], said.trim()).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
