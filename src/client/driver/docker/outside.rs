//! What is asked of the engine without an agent: by local testnets and the demo.

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt, pin_mut};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::engine::{Engine, EngineError, escaped};
use super::labels;
use super::options::DockerOptions;
use crate::env::TaskGroup;
use crate::model::NodeId;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    labels: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: String,
}

/// The engine that agents without a setting use.
fn engine() -> Result<Engine, EngineError> {
    let tasks = TaskGroup::new(CancellationToken::new());
    Engine::new(&DockerOptions::default().endpoint, tasks)
}

/// The engine's version, or why there is none.
pub(crate) async fn version() -> Result<String, String> {
    let version = async { engine()?.get::<Version>("/version").await };
    version.await.map(|v| v.version).map_err(|e| e.to_string())
}

/// Removes every container that one of `nodes` made, running or not; returns how many.
pub(crate) async fn remove_containers(nodes: &[NodeId]) -> Result<usize, String> {
    let work = async {
        let engine = engine()?;
        let filters = format!("{{\"label\":[\"{}\"]}}", labels::NODE);
        let path = format!("/containers/json?all=true&filters={}", escaped(&filters));
        let listed: Vec<Listed> = engine.get(&path).await?;
        let ours = listed.iter().filter(|c| {
            let node = c.labels.iter().find_map(|l| l.get(labels::NODE));
            node.is_some_and(|node| nodes.iter().any(|id| id.to_string() == *node))
        });
        let api = engine.api()?;
        let removals = ours.map(|container| {
            let options = bollard::query_parameters::RemoveContainerOptionsBuilder::default()
                .force(true)
                .v(true)
                .build();
            let removed = api.remove_container(&container.id, Some(options));
            let engine = &engine;
            async move {
                match removed.await.map_err(|e| engine.error(e)) {
                    Err(error) if !error.is_status(404) && !error.is_status(409) => Err(error),
                    // Gone, or going already.
                    Ok(()) | Err(_) => Ok(()),
                }
            }
        });
        let removed = join_all(removals).await;
        let count = removed.len();
        removed.into_iter().collect::<Result<(), _>>()?;
        Ok::<usize, EngineError>(count)
    };
    work.await.map_err(|e| e.to_string())
}

/// Makes an image of one layer from a tar archive of its files.
pub(crate) async fn import(name: &str, tag: &str, archive: Bytes) -> Result<(), String> {
    let work = async {
        let engine = engine()?;
        let api = engine.api()?;
        let options = bollard::query_parameters::CreateImageOptionsBuilder::default()
            .from_src("-")
            .repo(name)
            .tag(tag)
            .build();
        let steps = api.create_image(Some(options), Some(bollard::body_full(archive)), None);
        pin_mut!(steps);
        while let Some(step) = steps.next().await {
            step.map_err(|e| engine.error(e))?;
        }
        Ok::<(), EngineError>(())
    };
    work.await.map_err(|e| e.to_string())
}

/// Removes an image; that it is not there is no error.
pub(crate) async fn remove_image(image: &str) -> Result<(), String> {
    let work = async {
        let engine = engine()?;
        let options = bollard::query_parameters::RemoveImageOptionsBuilder::default()
            .force(true)
            .build();
        let removed = engine.api()?.remove_image(image, Some(options), None).await;
        match removed.map_err(|e| engine.error(e)) {
            Err(error) if !error.is_status(404) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    };
    work.await.map_err(|e| e.to_string())
}
