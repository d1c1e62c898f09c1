//! Seeded randomness, a stream per machine.

use std::sync::{Mutex, PoisonError};

use rand::{RngCore, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};

use crate::env::Entropy;

/// See the module.
pub struct SimEntropy(Mutex<StdRng>);

impl SimEntropy {
    /// The stream that `seed` gives to `name`.
    pub fn named(seed: u64, name: &str) -> Self {
        let hash = Sha256::new()
            .chain_update(seed.to_le_bytes())
            .chain_update(name)
            .finalize();
        Self(Mutex::new(StdRng::from_seed(hash.into())))
    }
}

impl Entropy for SimEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_seed_fix_the_stream() {
        let draw = |seed, name| SimEntropy::named(seed, name).u64();
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
    }
}
