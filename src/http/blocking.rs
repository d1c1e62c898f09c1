//! Reads: how consistent, and how long to wait for a change.
//!
//! A read with `index` waits until what it reads has changed after that index, at most `wait`
//! and a random extra of up to a sixteenth, so that many waiters do not return at once.

use std::time::Duration;

use crate::env::Entropy;
use crate::rpc::{Query, Read};

use super::error::HttpError;
use super::params::Params;

/// The default wait and the longest.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// The part of a wait that may be added at random.
const JITTER_PART: u32 = 16;

/// What `read` becomes with the parameters of a request.
pub(crate) fn query(
    params: &Params,
    entropy: &dyn Entropy,
    read: Read,
) -> Result<Query, HttpError> {
    let min_index = params.index()?;
    let asked = params.wait()?;
    let stale = params.stale()?;
    if min_index == 0 {
        return Ok(Query {
            stale,
            ..Query::now(read)
        });
    }
    let wait = asked
        .filter(|wait| !wait.is_zero())
        .unwrap_or(WAIT_MAX)
        .min(WAIT_MAX);
    Ok(Query {
        read,
        stale,
        min_index,
        wait: wait + entropy.jitter(wait / JITTER_PART),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;

    fn waiting(text: &str) -> Query {
        let entropy = Env::sim(5).entropy;
        query(&Params::parse(text), &*entropy, Read::Nodes).unwrap()
    }

    #[test]
    fn without_an_index_nothing_waits() {
        assert_eq!(waiting("wait=10s"), Query::now(Read::Nodes));
        assert_eq!(waiting("index=0&wait=10s").wait, Duration::ZERO);
    }

    #[test]
    fn waits_are_bounded_and_spread() {
        let within = |text, least: u64, most: f64| {
            let wait = waiting(text).wait;
            assert!(wait >= Duration::from_secs(least), "{text}: {wait:?}");
            assert!(wait <= Duration::from_secs_f64(most), "{text}: {wait:?}");
        };
        within("index=5&wait=16s", 16, 17.0);
        within("index=5", 300, 318.75);
        within("index=5&wait=9h", 300, 318.75);
    }
}
