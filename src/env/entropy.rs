//! Randomness: for ids, secrets, and for spreading timers.

use std::{ops::Range, time::Duration};

use uuid::Uuid;

/// Draws random bytes; fit for secrets in the real implementation.
pub trait Entropy: Send + Sync {
    fn fill(&self, bytes: &mut [u8]);

    fn u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A random UUID (version 4).
    fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// A number in `range`; its start when the range is empty.
    fn range(&self, range: Range<u64>) -> u64 {
        let width = range.end.saturating_sub(range.start);
        if width == 0 {
            return range.start;
        }
        // The high half of a 128-bit product: bias below width / 2^64.
        let scaled = (u128::from(self.u64()) * u128::from(width)) >> 64;
        range.start + scaled as u64
    }

    /// A duration from zero up to, but without, `most`.
    fn jitter(&self, most: Duration) -> Duration {
        Duration::from_nanos(self.range(0..u64::try_from(most.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use crate::env::Env;

    #[test]
    fn range_stays_inside_and_reaches_both_ends() {
        let entropy = Env::sim(3).entropy;
        let drawn: Vec<u64> = (0..200).map(|_| entropy.range(5..8)).collect();
        assert!(drawn.iter().all(|n| (5..8).contains(n)));
        assert!(drawn.contains(&5) && drawn.contains(&7));
        assert_eq!(entropy.range(4..4), 4);
    }

    #[test]
    fn uuid_is_version_four() {
        assert_eq!(Env::sim(3).entropy.uuid().get_version_num(), 4);
    }
}
