//! tokio's pausable clock, with a wall clock that starts at a fixed date and can be set.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::Instant;

use crate::env::Clock;

/// 2030-01-01T00:00:00Z.
const START: i64 = 1_893_456_000_000_000_000;

/// See the module.
pub struct SimClock {
    /// The first reading; `Instant` has no origin of its own.
    origin: OnceLock<Instant>,
    offset: AtomicI64,
}

impl SimClock {
    pub fn new() -> Self {
        Self {
            origin: OnceLock::new(),
            offset: AtomicI64::new(0),
        }
    }

    /// Moves the wall clock by so many nanoseconds, as an administrator or NTP would.
    pub fn shift_wall(&self, by: i64) {
        self.offset.fetch_add(by, Ordering::Relaxed);
    }
}

impl Default for SimClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SimClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> i64 {
        let now = Instant::now();
        let passed = now.saturating_duration_since(*self.origin.get_or_init(|| now));
        let passed = i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX);
        START
            .saturating_add(passed)
            .saturating_add(self.offset.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        tokio::time::sleep_until(deadline).boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wall_follows_the_paused_clock_and_can_be_set() {
        let clock = SimClock::new();
        assert_eq!(clock.wall(), START);
        clock.sleep(Duration::from_secs(2)).await;
        assert_eq!(clock.wall(), START + 2_000_000_000);
        clock.shift_wall(-5_000_000_000);
        assert_eq!(clock.wall(), START - 3_000_000_000);
    }
}
