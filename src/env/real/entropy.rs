//! The operating system's randomness, stretched by a cryptographic generator.

use rand::RngCore;

use crate::env::Entropy;

#[derive(Debug, Clone, Copy)]
pub struct RealEntropy;

impl Entropy for RealEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}
