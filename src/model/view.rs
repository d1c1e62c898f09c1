//! The read-only picture of the cluster that planning and verification work on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Index;
use super::alloc::Allocation;
use super::deployment::Deployment;
use super::ids::{AllocId, JobKey, NodeId};
use super::job::Job;
use super::node::Node;
use super::resources::NodeUsage;

/// A consistent picture of the cluster at one index. Iteration order is that of the ids, so that
/// every server computes the same.
pub trait ClusterView: Send + Sync {
    /// The last applied index.
    fn index(&self) -> Index;
    /// One node.
    fn node(&self, id: NodeId) -> Option<Arc<Node>>;
    /// Every node, by id.
    fn nodes(&self) -> Vec<Arc<Node>>;
    /// The newest version of a job.
    fn job(&self, key: &JobKey) -> Option<Arc<Job>>;
    /// A kept version of a job.
    fn job_version(&self, key: &JobKey, version: u64) -> Option<Arc<Job>>;
    /// One allocation.
    fn alloc(&self, id: AllocId) -> Option<Arc<Allocation>>;
    /// Every allocation of a job, terminal ones included.
    fn allocs_of_job(&self, key: &JobKey) -> Vec<Arc<Allocation>>;
    /// Every allocation on a node, terminal ones included.
    fn allocs_of_node(&self, id: NodeId) -> Vec<Arc<Allocation>>;
    /// What the allocations on a node hold; kept as an index, so it costs a look-up.
    fn usage(&self, id: NodeId) -> NodeUsage;
    /// A job's newest deployment.
    fn latest_deployment(&self, key: &JobKey) -> Option<Arc<Deployment>>;
    /// How to rank.
    fn scheduler_config(&self) -> SchedulerConfig;
}

/// Cluster-wide settings of the scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulerConfig {
    pub algorithm: Algorithm,
    pub memory_oversubscription: bool,
    pub reject_job_registration: bool,
    pub pause_eval_broker: bool,
    pub create_index: Index,
    pub modify_index: Index,
}

/// How nodes that fit are ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// Fullest first.
    #[default]
    Binpack,
    /// Emptiest first.
    Spread,
}

impl Algorithm {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Binpack => "binpack",
            Self::Spread => "spread",
        }
    }
}
