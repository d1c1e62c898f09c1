use serde::{Deserialize, Serialize};
use std::sync::{Arc, RwLock};
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command(pub u64);
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub index: u64,
    pub outcome: Outcome,
}
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub index: u64,
    pub values: imbl::OrdMap<u64, u64>,
}
pub type Snapshot = State;
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RestoreError(String);
impl State {
    pub fn dump(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("plain data")
    }
    pub fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        postcard::from_bytes(bytes).map_err(|e| RestoreError(e.to_string()))
    }
}
#[derive(Clone, Default)]
pub struct Store(Arc<RwLock<State>>);
impl Store {
    pub fn new() -> Self {
        Self::default()
    }
    pub fn apply(&self, index: u64, command: &Command) -> Applied {
        let mut s = self.0.write().unwrap();
        s.index = index;
        s.values.insert(command.0, index);
        Applied {
            index,
            outcome: Outcome::Done,
        }
    }
    pub fn install(&self, state: State) {
        *self.0.write().unwrap() = state;
    }
    pub fn snapshot(&self) -> Snapshot {
        self.0.read().unwrap().clone()
    }
}
