//! Answers about what runs here: files, logs, commands, usage, checks.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::env::alloc_fs::{self, FsError, Inside};
use crate::model::{AllocId, TaskPhase, Timestamp};
use crate::rpc::node::{
    AllocStats, ExecOpen, ExecStream, FileInfo, FrameStream, NodeAnswer, NodeApi, NodeAsk,
    NodeError, StreamOpen,
};

use super::Client;
use super::alloc_runner::{Answer, Order, View};
use super::driver::{Driver, DriverError, ExecRequest, TaskHandle};
use super::logs::{LogReader, Output, stream_file, stream_logs};
use super::meta::MetaError;

/// The most that one read returns.
const READ_MAX: usize = 64 << 20;

impl NodeApi for Client {
    fn ask(&self, ask: NodeAsk) -> BoxFuture<'_, Result<NodeAnswer, NodeError>> {
        async move {
            match ask {
                NodeAsk::List { alloc, path } => self.list(alloc, &path).await,
                NodeAsk::Stat { alloc, path } => self.stat(alloc, &path).await,
                NodeAsk::ReadAt {
                    alloc,
                    path,
                    offset,
                    limit,
                } => self.read_at(alloc, &path, offset, limit).await,
                NodeAsk::Restart { alloc, task, all } => {
                    self.order(alloc, |answer| Order::Restart { task, all, answer })
                        .await
                }
                NodeAsk::Signal {
                    alloc,
                    task,
                    signal,
                } => {
                    let signal = known_signal(&signal)?;
                    self.order(alloc, |answer| Order::Signal {
                        task,
                        signal,
                        answer,
                    })
                    .await
                }
                NodeAsk::Stats { alloc } => self.alloc_stats(alloc).await,
                NodeAsk::Checks { alloc } => Ok(NodeAnswer::Checks(self.view(alloc)?.checks)),
                NodeAsk::Host => {
                    let node = self.node();
                    let cores = f64::from(node.resources.cores.max(1));
                    let core_mhz = node.resources.amounts.cpu_mhz as f64 / cores;
                    Ok(NodeAnswer::Host(self.stats.read(core_mhz).await))
                }
                NodeAsk::Gc { alloc } => {
                    self.view(alloc)?;
                    match self.runners.collect(alloc).await {
                        true => Ok(NodeAnswer::Done),
                        false => Err(NodeError::Failed(format!(
                            "allocation {alloc} still runs: only an ended one can be collected"
                        ))),
                    }
                }
                NodeAsk::GcAll => {
                    self.runners.collect_all().await;
                    Ok(NodeAnswer::Done)
                }
                NodeAsk::Meta => Ok(self.metadata()),
                NodeAsk::SetMeta(changes) => match self.meta.change(&changes).await {
                    Ok(()) => Ok(self.metadata()),
                    Err(error @ MetaError::Key(_)) => Err(NodeError::BadRequest(error.to_string())),
                    Err(error @ MetaError::Journal(_)) => Err(NodeError::Failed(error.to_string())),
                },
            }
        }
        .boxed()
    }

    fn stream(&self, open: StreamOpen) -> BoxFuture<'_, Result<FrameStream, NodeError>> {
        async move {
            let reader = |alloc: AllocId| LogReader {
                fs: self.shared.fs.clone(),
                clock: self.shared.env.clock.clone(),
                root: self
                    .shared
                    .alloc_dir
                    .join(alloc.to_string())
                    .display()
                    .to_string(),
            };
            match open {
                StreamOpen::Logs {
                    alloc,
                    task,
                    stderr,
                    follow,
                    from,
                } => {
                    self.must_have_started(alloc, &task)?;
                    let output = if stderr {
                        Output::Stderr
                    } else {
                        Output::Stdout
                    };
                    let (run, frames) = stream_logs(reader(alloc), task, output, from, follow);
                    self.drive("log-stream", run)?;
                    Ok(frames)
                }
                StreamOpen::File {
                    alloc,
                    path,
                    follow,
                    from,
                } => {
                    let inside = self.inside(alloc, &path)?;
                    let info = self.shared.fs.stat(&inside).await.map_err(fs_error)?;
                    if info.is_dir {
                        let text = format!("file {path:?} is a directory");
                        return Err(NodeError::BadRequest(text));
                    }
                    let (run, frames) = stream_file(reader(alloc), path, from, follow);
                    self.drive("file-stream", run)?;
                    Ok(frames)
                }
            }
        }
        .boxed()
    }

    fn exec(&self, open: ExecOpen) -> BoxFuture<'_, Result<ExecStream, NodeError>> {
        async move {
            if open.command.is_empty() {
                return Err(NodeError::BadRequest("command is not present".to_string()));
            }
            let view = self.view(open.alloc)?;
            let known = view
                .alloc
                .task_group()
                .is_some_and(|g| g.task(&open.task).is_some());
            if !known {
                return Err(NodeError::BadRequest(format!(
                    "unknown task name {:?}",
                    open.task
                )));
            }
            let handle = view.handles.get(&open.task).ok_or_else(|| {
                NodeError::BadRequest(format!("task {:?} is not running.", open.task))
            })?;
            let request = ExecRequest {
                command: open.command,
                tty: open.tty,
            };
            self.driver_of(handle)?
                .exec(handle, request)
                .await
                .map_err(driver_error)
        }
        .boxed()
    }
}

impl Client {
    fn view(&self, alloc: AllocId) -> Result<View, NodeError> {
        self.runners.view(alloc).ok_or_else(|| {
            NodeError::NotFound(format!("Unknown allocation {:?}", alloc.to_string()))
        })
    }

    fn driver_of(&self, handle: &TaskHandle) -> Result<Arc<dyn Driver>, NodeError> {
        let driver = self.shared.drivers.get(handle.driver()).cloned();
        driver.ok_or_else(|| NodeError::Failed(format!("no driver {:?} here", handle.driver())))
    }

    fn metadata(&self) -> NodeAnswer {
        let (merged, set, fixed) = self.meta.all();
        NodeAnswer::Meta(merged, set, fixed)
    }

    /// Runs a stream's sender as a task of the client.
    fn drive(
        &self,
        name: &'static str,
        run: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), NodeError> {
        let token = self.tasks.token().clone();
        let started = self.tasks.spawn(name, async move {
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                () = run => {}
            }
        });
        started
            .then_some(())
            .ok_or_else(|| NodeError::Failed("the client is ending".to_string()))
    }

    fn must_have_started(&self, alloc: AllocId, task: &str) -> Result<(), NodeError> {
        let view = self.view(alloc)?;
        if view
            .alloc
            .task_group()
            .is_none_or(|g| g.task(task).is_none())
        {
            return Err(NodeError::BadRequest(format!("unknown task name {task:?}")));
        }
        let state = view.states.get(task);
        if state.is_none_or(|s| s.started_at == Timestamp::UNSET) {
            let text = format!("task {task:?} not started yet. No logs available");
            return Err(NodeError::NotFound(text));
        }
        Ok(())
    }

    /// A path of an allocation that others may read: anything but secrets.
    fn inside(&self, alloc: AllocId, path: &str) -> Result<Inside, NodeError> {
        let view = self.view(alloc)?;
        let root = self.shared.alloc_dir.join(alloc.to_string());
        let inside = Inside::new(root, path).map_err(|_| {
            NodeError::BadRequest(format!("Path escapes the alloc directory: {path}"))
        })?;
        let secret = view.alloc.task_group().is_some_and(|group| {
            let of =
                |t: &crate::model::Task| inside.path.starts_with(format!("{}/secrets", t.name));
            group.tasks.iter().any(of)
        });
        if secret {
            let text = format!("Reading secret file prohibited: {path}");
            return Err(NodeError::BadRequest(text));
        }
        Ok(inside)
    }

    async fn list(&self, alloc: AllocId, path: &str) -> Result<NodeAnswer, NodeError> {
        let inside = self.inside(alloc, path)?;
        let entries = self.shared.fs.list(&inside).await.map_err(fs_error)?;
        Ok(NodeAnswer::Files(
            entries.into_iter().map(file_info).collect(),
        ))
    }

    async fn stat(&self, alloc: AllocId, path: &str) -> Result<NodeAnswer, NodeError> {
        let inside = self.inside(alloc, path)?;
        let info = self.shared.fs.stat(&inside).await.map_err(fs_error)?;
        Ok(NodeAnswer::File(file_info(info)))
    }

    async fn read_at(
        &self,
        alloc: AllocId,
        path: &str,
        offset: u64,
        limit: u64,
    ) -> Result<NodeAnswer, NodeError> {
        let inside = self.inside(alloc, path)?;
        let info = self.shared.fs.stat(&inside).await.map_err(fs_error)?;
        if info.is_dir {
            return Err(NodeError::BadRequest(format!(
                "file {path:?} is a directory"
            )));
        }
        let wanted = usize::try_from(limit).unwrap_or(READ_MAX).min(READ_MAX);
        let wanted = if wanted == 0 { READ_MAX } else { wanted };
        let data = self
            .shared
            .fs
            .read(&inside, offset, wanted)
            .await
            .map_err(fs_error)?;
        Ok(NodeAnswer::Data(Bytes::from(data)))
    }

    /// Gives a runner an order and waits for what came of it.
    async fn order(
        &self,
        alloc: AllocId,
        order: impl FnOnce(Answer) -> Order,
    ) -> Result<NodeAnswer, NodeError> {
        self.view(alloc)?;
        let (answer, answered) = oneshot::channel();
        if !self.runners.order(alloc, order(answer)) {
            return Err(NodeError::Failed("Task not running".to_string()));
        }
        match answered.await {
            Ok(Ok(())) => Ok(NodeAnswer::Done),
            Ok(Err(reason)) => Err(NodeError::Failed(reason)),
            Err(_) => Err(NodeError::Failed("Task not running".to_string())),
        }
    }

    async fn alloc_stats(&self, alloc: AllocId) -> Result<NodeAnswer, NodeError> {
        let view = self.view(alloc)?;
        let running = |task: &String| {
            view.states
                .get(task)
                .is_some_and(|s| s.phase == TaskPhase::Running)
        };
        let mut tasks = BTreeMap::new();
        for (name, handle) in view.handles.iter().filter(|(name, _)| running(name)) {
            let stats = self
                .driver_of(handle)?
                .stats(handle)
                .await
                .map_err(driver_error)?;
            tasks.insert(name.clone(), stats);
        }
        let time = Timestamp(self.shared.env.clock.wall());
        Ok(NodeAnswer::Stats(AllocStats { tasks, time }))
    }
}

/// Signals by name, with or without `SIG`.
fn known_signal(name: &str) -> Result<String, NodeError> {
    let upper = name.to_uppercase();
    let full = if upper.starts_with("SIG") {
        upper
    } else {
        format!("SIG{upper}")
    };
    let known = super::fingerprint::SIGNALS.split(',').any(|s| s == full);
    match (name.is_empty(), known) {
        (true, _) => Ok("SIGKILL".to_string()),
        (false, true) => Ok(full),
        (false, false) => Err(NodeError::Failed(format!("invalid signal {name:?}"))),
    }
}

fn fs_error(error: FsError) -> NodeError {
    match error {
        FsError::NotFound(path) => {
            NodeError::NotFound(format!("stat {path}: no such file or directory"))
        }
        FsError::Escapes(path) => {
            NodeError::BadRequest(format!("Path escapes the alloc directory: {path}"))
        }
        FsError::Io { ref source, .. } => NodeError::Failed(format!("{error}: {source}")),
    }
}

fn driver_error(error: DriverError) -> NodeError {
    match error {
        DriverError::NotFound(text) => NodeError::NotFound(text),
        DriverError::Invalid(text) => NodeError::BadRequest(text),
        DriverError::Unsupported { .. } | DriverError::Failed(_) => {
            NodeError::Failed(error.to_string())
        }
    }
}

fn file_info(info: alloc_fs::FileInfo) -> FileInfo {
    FileInfo {
        mode: go_mode(info.mode),
        name: info.name,
        is_dir: info.is_dir,
        size: info.size,
        modified: Timestamp(info.modified),
    }
}

/// `st_mode` in Go's spelling: `drwxr-xr-x`, `-rw-r--r--`, `prw-------`, `dtrwxrwxrwx`.
fn go_mode(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => "d",
        0o120_000 => "L",
        0o010_000 => "p",
        0o140_000 => "S",
        0o020_000 => "Dc",
        0o060_000 => "D",
        _ => "",
    };
    let special = [(0o4000, 'u'), (0o2000, 'g'), (0o1000, 't')];
    let mut text = kind.to_string();
    text.extend(
        special
            .iter()
            .filter(|(bit, _)| mode & bit != 0)
            .map(|(_, c)| *c),
    );
    if text.is_empty() {
        text.push('-');
    }
    for shift in [6, 3, 0] {
        for (bit, letter) in [(4, 'r'), (2, 'w'), (1, 'x')] {
            text.push(if mode >> shift & bit != 0 {
                letter
            } else {
                '-'
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_spelt_as_go_does() {
        assert_eq!(go_mode(0o040_755), "drwxr-xr-x");
        assert_eq!(go_mode(0o100_644), "-rw-r--r--");
        assert_eq!(go_mode(0o041_777), "dtrwxrwxrwx");
        assert_eq!(go_mode(0o010_600), "prw-------");
        assert_eq!(go_mode(0o140_666), "Srw-rw-rw-");
    }

    #[test]
    fn signals_have_names() {
        assert_eq!(known_signal("hup").unwrap(), "SIGHUP");
        assert_eq!(known_signal("SIGUSR1").unwrap(), "SIGUSR1");
        assert_eq!(known_signal("").unwrap(), "SIGKILL");
        assert!(known_signal("SIGNOPE").is_err());
    }
}
