//! Ids for what a plan creates, all from one seed: the same inputs give the same plan.

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use uuid::Uuid;

use crate::model::{AllocId, DeploymentId, EvalId};

/// A seeded source of ids and of random numbers.
pub(crate) struct Ids {
    rng: StdRng,
}

impl Ids {
    /// A source whose every output follows from `seed`.
    pub(crate) fn new(seed: u128) -> Self {
        let half = seed.to_le_bytes();
        let mut whole = [0; 32];
        whole[..16].copy_from_slice(&half);
        whole[16..].copy_from_slice(&half);
        Self {
            rng: StdRng::from_seed(whole),
        }
    }

    fn uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// A new allocation's id.
    pub(crate) fn alloc(&mut self) -> AllocId {
        AllocId(self.uuid())
    }

    /// A new evaluation's id.
    pub(crate) fn eval(&mut self) -> EvalId {
        EvalId(self.uuid())
    }

    /// A new deployment's id.
    pub(crate) fn deployment(&mut self) -> DeploymentId {
        DeploymentId(self.uuid())
    }

    /// A random number.
    pub(crate) fn number(&mut self) -> u64 {
        self.rng.next_u64()
    }
}
