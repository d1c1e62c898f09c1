//! What can be waited for: the parts of the state whose changes are told apart.

use serde::{Deserialize, Serialize};

use crate::model::{AllocId, DeploymentId, EvalId, JobKey, Namespace, NodeId};

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Table {
    Jobs,
    Allocs,
    Nodes,
    Evals,
    Deployments,
    Services,
    Config,
    Pools,
}

/// A part of the state that readers wait for and that has an index of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    Table(Table),
    Job(JobKey),
    JobAllocs(JobKey),
    JobEvals(JobKey),
    JobDeployments(JobKey),
    JobServices(JobKey),
    Node(NodeId),
    NodeAllocs(NodeId),
    /// What a client must know of its allocations: not what it said itself.
    NodeWanted(NodeId),
    Alloc(AllocId),
    AllocServices(AllocId),
    Eval(EvalId),
    EvalAllocs(EvalId),
    Deployment(DeploymentId),
    DeploymentAllocs(DeploymentId),
    Service(Namespace, String),
}

impl Key {
    /// The table that it is a part of: its index stands in for a key that never changed.
    pub fn table(&self) -> Table {
        match self {
            Self::Table(table) => *table,
            Self::Job(_) => Table::Jobs,
            Self::JobAllocs(_)
            | Self::NodeAllocs(_)
            | Self::NodeWanted(_)
            | Self::Alloc(_)
            | Self::EvalAllocs(_)
            | Self::DeploymentAllocs(_) => Table::Allocs,
            Self::JobEvals(_) | Self::Eval(_) => Table::Evals,
            Self::JobDeployments(_) | Self::Deployment(_) => Table::Deployments,
            Self::JobServices(_) | Self::AllocServices(_) | Self::Service(..) => Table::Services,
            Self::Node(_) => Table::Nodes,
        }
    }
}
