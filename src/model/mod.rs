//! Domain types and the rules on them: no clock, no randomness, no I/O.
//!
//! A job file or JSON request becomes a [`draft::JobDraft`], where "unset" differs from "zero";
//! [`JobDraft::canonical`](draft::JobDraft::canonical) turns it into the [`Job`] that is stored.
//! Everything here that is stored or sent is plain data: postcard does not describe itself, so
//! fields are appended, never reordered.

pub mod alloc;
pub mod canonical;
pub mod constraint;
pub mod deployment;
pub mod diff;
pub mod draft;
pub mod driver_config;
pub mod duration;
pub mod eval;
pub mod ids;
pub mod job;
pub mod member;
pub mod metric;
pub mod node;
pub mod plan;
pub mod pool;
pub mod resources;
pub mod room;
pub mod service;
pub mod task;
pub mod time;
pub mod validate;
pub mod value;
pub mod verify;
pub mod version;
pub mod view;
pub mod violation;
pub mod why;

pub use alloc::{
    AllocClientStatus, AllocDesiredStatus, AllocUpdate, Allocation, DeploymentHealth,
    DesiredTransition, RescheduleEvent,
};
pub use constraint::{Affinity, Constraint, Operand, Spread, SpreadTarget};
pub use deployment::{Deployment, DeploymentGroup, DeploymentStatus};
pub use eval::{EvalStatus, EvalTrigger, Evaluation};
pub use ids::{AllocId, DeploymentId, EvalId, JobId, JobKey, Namespace, NodeId, RequestId};
pub use job::{Job, JobStatus, JobType, Task, TaskGroup};
pub use member::{Member, MemberRecord, MemberStatus, Members, ServerRole};
pub use metric::AllocMetric;
pub use node::{Eligibility, Node, NodeStatus};
pub use plan::{Plan, PlanResult};
pub use resources::{AllocatedPort, AllocatedResources, AllocatedTask, NodeUsage, Resources};
pub use service::{Check, CheckKind, Service, ServiceRegistration};
pub use task::{TaskEvent, TaskPhase, TaskState};
pub use time::Timestamp;
pub use value::ConfigValue;
pub use view::ClusterView;

/// A position in the replicated log; every stored object carries those of its changes.
pub type Index = u64;
