//! Plans: what the scheduler wants changed, and what of it was committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Index;
use super::alloc::Allocation;
use super::deployment::{Deployment, DeploymentStatus};
use super::ids::{AllocId, DeploymentId, EvalId, NodeId};
use super::job::Job;

/// What one evaluation wants changed, computed on the state at `snapshot_index`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub eval_id: Option<EvalId>,
    pub priority: u8,
    /// The version that new and updated allocations run.
    pub job: Option<Arc<Job>>,
    pub snapshot_index: Index,
    /// Whether a part is worth nothing without the rest.
    pub all_at_once: bool,
    /// By node: allocations to stop (or mark lost or unknown).
    pub stops: BTreeMap<NodeId, Vec<PlannedStop>>,
    /// By node: new allocations and in-place updates (an existing id is an update). Their `job`
    /// is the plan's, except where an older version is kept on purpose.
    pub places: BTreeMap<NodeId, Vec<Allocation>>,
    pub deployment: Option<Deployment>,
    pub deployment_updates: Vec<DeploymentUpdate>,
}

impl Plan {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.stops.is_empty()
            && self.places.is_empty()
            && self.deployment.is_none()
            && self.deployment_updates.is_empty()
    }
}

/// One allocation to stop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedStop {
    pub id: AllocId,
    /// Why, for people: `alloc is lost since its node is down`, …
    pub description: String,
    /// Set when the servers must speak for a silent client: `Lost` or `Unknown`.
    pub client_status: Option<super::AllocClientStatus>,
    pub follow_up: Option<EvalId>,
    /// The desired status stays `run` (an allocation marked unknown, or one that only got its
    /// follow-up evaluation).
    pub keep_running: bool,
}

/// A new status for an existing deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeploymentUpdate {
    pub id: DeploymentId,
    pub status: DeploymentStatus,
    pub description: String,
}

/// What of a plan was committed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanResult {
    /// Placements that no longer fit, by node, with the reason.
    pub refused: BTreeMap<NodeId, String>,
    /// When something was refused: plan again on a state at least this new.
    pub refresh_index: Index,
    /// Where it was committed.
    pub index: Index,
}
