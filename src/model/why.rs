//! Why something runs or does not: sentences for people, with the figures behind them.
//!
//! Made by the scheduler from one view of the cluster; the API, the command `why` and the pages
//! show the same value. Times inside sentences are told from the moment of the question.

use serde::{Deserialize, Serialize};

use super::ids::{AllocId, EvalId, JobKey, NodeId};
use super::time::Timestamp;

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    Job(JobKey),
    Alloc(AllocId),
    Eval(EvalId),
    Node(NodeId),
}

/// The kind of thing explained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhyKind {
    #[default]
    Job,
    Allocation,
    Evaluation,
    Node,
}

/// How it stands with the thing explained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All that is wanted is so.
    #[default]
    Fine,
    /// It came to its end, as it should or because somebody wanted so.
    Ended,
    /// On its way: something is awaited that should happen by itself.
    Waiting,
    /// Somebody should look at it.
    Broken,
}

/// An explanation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Why {
    pub kind: WhyKind,
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    pub namespace: String,
    pub verdict: Verdict,
    /// One sentence that answers the question.
    pub summary: String,
    /// What else bears on it, weightiest first.
    pub reasons: Vec<String>,
    /// A job's groups, as far as they are concerned.
    pub groups: Vec<GroupWhy>,
    /// Allocations that are not as they should be, at most a few.
    pub allocs: Vec<AllocWhy>,
    /// What to type next.
    pub next: Vec<Step>,
}

/// A command worth typing, and what it shows or does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Step {
    pub command: String,
    pub purpose: String,
}

/// How one group of a job stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupWhy {
    pub name: String,
    pub wanted: u32,
    pub running: u32,
    /// Of the running ones, those that count as healthy.
    pub healthy: u32,
    /// Given to a node, not running yet.
    pub starting: u32,
    /// Ended badly and not replaced.
    pub failed: u32,
    /// Batch instances that did their work.
    pub complete: u32,
    /// Without a node.
    pub unplaced: u32,
    pub reasons: Vec<String>,
    /// Where one more instance could go; only if some are without a node.
    pub placement: Option<Placement>,
}

/// Where one more instance of a group could go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Placement {
    /// All nodes of the cluster.
    pub nodes: u32,
    /// Nodes that would take it.
    pub fitting: u32,
    /// Each node that would not, counted under the first rule that it breaks, in the order in
    /// which the rules are judged.
    pub removed: Vec<Removed>,
    /// The nodes that come nearest, nearest first, at most three.
    pub nearest: Vec<NearMiss>,
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    NodePool,
    Status,
    Drain,
    Eligibility,
    Datacenter,
    Constraint,
    Driver,
    Network,
    DistinctHosts,
    DistinctProperty,
    Port,
    Cpu,
    Memory,
    Disk,
}

/// How many nodes a rule removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Removed {
    pub rule: Rule,
    /// What is wrong with them, as the end of "3 nodes: …".
    pub text: String,
    pub count: u32,
    /// Some of them by name.
    pub names: Vec<String>,
}

/// A node that comes near to taking an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NearMiss {
    #[serde(rename = "NodeID")]
    pub node: NodeId,
    pub name: String,
    /// The rules that it breaks, first to last.
    pub rules: Vec<Rule>,
    /// A sentence without its end for each of them.
    pub lacks: Vec<String>,
    /// Who holds what is lacking, largest first.
    pub holders: Vec<Holder>,
}

/// An allocation that holds what another one lacks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Holder {
    #[serde(rename = "ID")]
    pub id: AllocId,
    pub name: String,
    /// What it holds: `512 MiB of memory`, `port 8080`.
    pub holds: String,
}

/// How one allocation stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AllocWhy {
    #[serde(rename = "ID")]
    pub id: AllocId,
    pub name: String,
    #[serde(rename = "NodeID")]
    pub node: NodeId,
    pub node_name: String,
    pub client_status: String,
    pub verdict: Verdict,
    /// One sentence.
    pub summary: String,
    pub reasons: Vec<String>,
    pub tasks: Vec<TaskWhy>,
    /// Health checks that do not pass.
    pub checks: Vec<CheckWhy>,
    /// Why its client could not be asked for logs and checks; empty: it was, or need not be.
    pub unreachable: String,
}

/// How one task stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TaskWhy {
    pub name: String,
    pub state: String,
    /// Whether it failed, ends again and again, or never started.
    pub troubled: bool,
    pub restarts: u64,
    pub summary: String,
    /// The last events, oldest first.
    pub events: Vec<EventWhy>,
    /// The last lines that it wrote; only of a troubled task that has started.
    pub log: Option<LogTail>,
}

/// Something that happened to a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventWhy {
    pub time: Timestamp,
    pub kind: String,
    pub message: String,
}

/// The end of a task's output.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LogTail {
    /// `stderr` or `stdout`.
    pub stream: String,
    pub lines: Vec<String>,
    /// Why there are none, if it is not that nothing was written.
    pub error: String,
}

/// A health check that does not pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckWhy {
    pub service: String,
    pub check: String,
    pub status: String,
    pub output: String,
    pub time: Timestamp,
}
