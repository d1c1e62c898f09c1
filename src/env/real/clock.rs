//! The machine's clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::Instant;

use crate::env::Clock;

#[derive(Debug, Clone, Copy)]
pub struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        // A clock set before 1970 reads as the epoch.
        since.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        tokio::time::sleep_until(deadline).boxed()
    }
}
