//! Why a placement went where it went, or nowhere.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::NodeId;

/// What one placement attempt saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AllocMetric {
    pub nodes_evaluated: u32,
    pub nodes_filtered: u32,
    pub nodes_in_pool: u32,
    pub node_pool: String,
    /// Ready nodes by datacenter.
    pub nodes_available: BTreeMap<String, u32>,
    pub class_filtered: BTreeMap<String, u32>,
    /// How many nodes each constraint text removed, e.g. `missing drivers`.
    pub constraint_filtered: BTreeMap<String, u32>,
    pub nodes_exhausted: u32,
    pub class_exhausted: BTreeMap<String, u32>,
    /// How many nodes lacked each dimension: `cpu`, `memory`, `disk`, `network: …`.
    pub dimension_exhausted: BTreeMap<String, u32>,
    /// The best nodes and how they scored, best first, at most 5.
    pub scores: Vec<NodeScore>,
    pub allocation_time: Duration,
    /// Further instances of the same group that failed alike.
    pub coalesced_failures: u32,
}

/// One node's score with its parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeScore {
    pub node: NodeId,
    /// Part name (`binpack`, `job-anti-affinity`, …) to score.
    pub parts: BTreeMap<String, f64>,
    pub total: f64,
}
