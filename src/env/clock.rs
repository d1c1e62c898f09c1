//! Monotonic and wall time, and the one way to bound a wait.

use std::{future::Future, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::Instant;

/// Reads time and waits for it.
pub trait Clock: Send + Sync {
    /// Monotonic time, for intervals and deadlines.
    fn now(&self) -> Instant;

    /// Wall time in nanoseconds since the Unix epoch; may jump, for stamps only.
    fn wall(&self) -> i64;

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()>;

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        let now = self.now();
        // A wait too long for the clock is a wait of a century: nobody sees its end.
        let deadline = now.checked_add(wait);
        self.sleep_until(deadline.unwrap_or_else(|| now + Duration::from_secs(3_155_760_000)))
    }
}

/// A wait reached its deadline before its future was ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("deadline passed")]
pub struct Elapsed;

/// Waits for `future`, but no longer than `limit`.
pub async fn timeout<T>(
    clock: &dyn Clock,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    bounded(clock.sleep(limit), future).await
}

/// Waits for `future`, but not beyond `deadline`.
pub async fn timeout_at<T>(
    clock: &dyn Clock,
    deadline: Instant,
    future: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    bounded(clock.sleep_until(deadline), future).await
}

async fn bounded<T>(
    sleep: BoxFuture<'static, ()>,
    future: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    tokio::select! {
        biased;
        value = future => Ok(value),
        () = sleep => Err(Elapsed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_its_deadline() {
        let env = Env::sim(1);
        let start = env.clock.now();
        let limit = Duration::from_secs(3);
        let never = std::future::pending::<()>();
        assert_eq!(timeout(&*env.clock, limit, never).await, Err(Elapsed));
        assert!(env.clock.now() - start >= limit);
        assert_eq!(timeout(&*env.clock, limit, async { 7 }).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_wait_does_not_overflow() {
        let env = Env::sim(1);
        assert_eq!(
            timeout(&*env.clock, Duration::MAX, async { 7 }).await,
            Ok(7)
        );
    }
}
