//! Supervised tasks: named, cancelled by token, awaited by an owner.
//!
//! Cancelling is cooperative: a token asks, the task ends by itself, its owner waits. Nothing
//! is aborted halfway. A panic is logged once and reported through the owner.

#![allow(clippy::disallowed_methods, reason = "the one place that spawns")]

use std::{
    any::Any,
    borrow::Cow,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{FutureExt, TryFutureExt};
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A task's name, for logs.
pub type Name = Cow<'static, str>;

/// Why a task has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    #[error("task `{name}` panicked: {message}")]
    Panicked { name: Name, message: String },
    #[error("task `{name}` was dropped by the runtime before it ended")]
    Dropped { name: Name },
}

/// A running task and the right to its result.
///
/// Whoever holds it awaits [`Task::join`]. Dropping it while it runs is a mistake: it is
/// cancelled, and the log says so.
#[must_use = "a task is owned by whoever joins it"]
pub struct Task<T> {
    name: Name,
    token: CancellationToken,
    handle: Option<JoinHandle<Result<T, TaskError>>>,
}

impl<T> Task<T> {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks the task to end; does not wait.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    pub fn is_finished(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the end. Safe to cancel: the task runs on and may be joined again.
    pub async fn wait(&mut self) -> Result<T, TaskError> {
        let Some(handle) = self.handle.as_mut() else {
            return Err(TaskError::Dropped {
                name: self.name.clone(),
            });
        };
        let result = handle.await;
        self.handle = None;
        result.unwrap_or_else(|_| {
            Err(TaskError::Dropped {
                name: self.name.clone(),
            })
        })
    }

    /// Waits for the end.
    pub async fn join(mut self) -> Result<T, TaskError> {
        self.wait().await
    }

    /// Asks for the end and waits for it.
    pub async fn stop(self) -> Result<T, TaskError> {
        self.cancel();
        self.join().await
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if self
            .handle
            .as_ref()
            .is_some_and(|handle| !handle.is_finished())
        {
            self.token.cancel();
            tracing::debug!(target: "agent", task = %self.name, "a running task lost its owner");
        }
    }
}

/// Starts `future` as a task. The future watches `token` itself and ends soon after it is
/// cancelled.
pub fn spawn<T: Send + 'static>(
    name: impl Into<Name>,
    token: CancellationToken,
    future: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    let name = name.into();
    let handle = tokio::spawn(caught(name.clone(), future));
    Task {
        name,
        token,
        handle: Some(handle),
    }
}

/// [`spawn`], for a task without which the process is half dead: its panic cancels `process`.
pub fn spawn_essential<T: Send + 'static>(
    name: impl Into<Name>,
    token: CancellationToken,
    process: CancellationToken,
    future: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    let name = name.into();
    let guarded = {
        let name = name.clone();
        caught(name.clone(), future).inspect_err(move |_| {
            tracing::error!(target: "agent", task = %name, "an essential task is gone: stopping");
            process.cancel();
        })
    };
    Task {
        name,
        token,
        handle: Some(tokio::spawn(guarded)),
    }
}

/// Runs blocking work on a thread for it and waits. The work itself cannot be cancelled.
pub async fn blocking<T: Send + 'static>(
    name: impl Into<Name>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, TaskError> {
    let name = name.into();
    let inner = name.clone();
    let run = move || {
        std::panic::catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panicked(inner, &*panic))
    };
    tokio::task::spawn_blocking(run)
        .await
        .unwrap_or_else(|_| Err(TaskError::Dropped { name }))
}

/// Combinators, since an `async` block around a future takes the room of it twice, and every
/// task passes here.
fn caught<T>(
    name: Name,
    future: impl Future<Output = T>,
) -> impl Future<Output = Result<T, TaskError>> {
    AssertUnwindSafe(future)
        .catch_unwind()
        .map_err(|panic| panicked(name, &*panic))
}

fn panicked(name: Name, panic: &(dyn Any + Send)) -> TaskError {
    let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        (None, None) => "a panic without a message".to_owned(),
    };
    tracing::error!(target: "agent", task = %name, error = %message, "task panicked");
    TaskError::Panicked { name, message }
}

/// Tasks without results, ended and awaited together. Clones share the group.
///
/// For work whose number varies: a task per connection, per allocation, per request. Finished
/// tasks leave nothing behind.
#[derive(Clone)]
pub struct TaskGroup {
    token: CancellationToken,
    tracker: TaskTracker,
    panics: Arc<AtomicU64>,
}

impl TaskGroup {
    /// A group that ends when `token` does.
    pub fn new(token: CancellationToken) -> Self {
        Self {
            token,
            tracker: TaskTracker::new(),
            panics: Arc::default(),
        }
    }

    /// What the group's tasks watch.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// How many tasks run.
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }

    /// How many tasks of this group have panicked so far.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Starts a task, which watches [`TaskGroup::token`]. Returns whether it was started: a
    /// group that is being shut down takes no more.
    pub fn spawn(
        &self,
        name: impl Into<Name>,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> bool {
        if self.token.is_cancelled() {
            return false;
        }
        let panics = self.panics.clone();
        let counted = caught(name.into(), future).map(move |result| {
            if result.is_err() {
                panics.fetch_add(1, Ordering::Relaxed);
            }
        });
        drop(self.tracker.spawn(counted));
        true
    }

    /// Waits until no task runs and none will be added.
    pub async fn drained(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Cancels all and waits for all.
    pub async fn shutdown(&self) {
        self.token.cancel();
        self.drained().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_reported_through_join() {
        let task = spawn("bad", CancellationToken::new(), async {
            panic!("no {}", "luck")
        });
        let error = task.join().await.map(|(): ()| ()).unwrap_err();
        assert_eq!(error.to_string(), "task `bad` panicked: no luck");
    }

    #[tokio::test]
    async fn an_essential_panic_ends_the_process() {
        let process = CancellationToken::new();
        let task = spawn_essential("bad", process.child_token(), process.clone(), async {
            panic!("gone");
        });
        process.cancelled().await;
        task.join().await.map(|(): ()| ()).unwrap_err();
    }

    #[tokio::test]
    async fn stop_waits_for_the_work_of_ending() {
        let token = CancellationToken::new();
        let inner = token.clone();
        let task = spawn("worker", token, async move {
            inner.cancelled().await;
            tokio::task::yield_now().await;
            "tidied"
        });
        assert_eq!(task.stop().await, Ok("tidied"));
    }

    #[tokio::test]
    async fn a_group_ends_all_its_tasks_and_takes_no_more() {
        let group = TaskGroup::new(CancellationToken::new());
        let ended = Arc::new(AtomicU64::new(0));
        for _ in 0..3 {
            let (token, ended) = (group.token().clone(), ended.clone());
            assert!(group.spawn("member", async move {
                token.cancelled().await;
                ended.fetch_add(1, Ordering::Relaxed);
            }));
        }
        assert!(group.spawn("bad", async { panic!("gone") }));
        group.shutdown().await;
        assert_eq!(
            (ended.load(Ordering::Relaxed), group.panics(), group.len()),
            (3, 1, 0)
        );
        assert!(!group.spawn("late", async {}));
    }

    #[test]
    fn a_task_takes_the_room_of_its_future_once() {
        let future = async {
            let held = [1_u8; 4096];
            tokio::task::yield_now().await;
            held.len()
        };
        let alone = size_of_val(&future);
        let task = size_of_val(&caught("big".into(), future));
        assert!(task < alone + 256, "{alone} became {task}");
    }

    #[tokio::test]
    async fn blocking_work_returns_its_panic() {
        assert_eq!(blocking("sum", || 1 + 1).await, Ok(2));
        let error = blocking("bad", || panic!("gone"))
            .await
            .map(|(): ()| ())
            .unwrap_err();
        assert!(matches!(error, TaskError::Panicked { .. }));
    }
}
