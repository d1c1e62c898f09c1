//! A consistent picture of the state at one index. Cloning it costs nothing.

use std::sync::Arc;

use super::key::{Key, Table};
use super::tables::Tables;
use super::tables::job::JobRow;
use crate::model::job::JobSubmission;
use crate::model::pool::NodePool;
use crate::model::view::SchedulerConfig;
use crate::model::{
    AllocId, Allocation, ClusterView, Deployment, DeploymentId, EvalId, Evaluation, Index, Job,
    JobKey, Namespace, Node, NodeId, NodeUsage, ServiceRegistration, Timestamp,
};

/// The state at one index.
#[derive(Clone, Default)]
pub struct Snapshot {
    pub(super) tables: Arc<Tables>,
}

impl Snapshot {
    /// The whole state as bytes: what [`State::restore`](super::State::restore) reads.
    pub fn dump(&self) -> Vec<u8> {
        super::dump::dump(&self.tables)
    }

    /// When `key` last changed; never 0, and never less than it was before.
    pub fn index_of(&self, key: &Key) -> Index {
        let at = &self.tables.changed_at;
        let found = at.get(key).or_else(|| at.get(&Key::Table(key.table())));
        found.copied().unwrap_or(0).max(1)
    }

    /// The newest time that a command carried.
    pub fn clock(&self) -> Timestamp {
        self.tables.clock
    }

    /// When room for the class may last have appeared; 0: never.
    pub fn capacity_of(&self, class: &str) -> Index {
        self.tables.capacity.get(class).copied().unwrap_or(0)
    }

    /// Classes with the index at which room last appeared.
    pub fn capacities(&self) -> impl Iterator<Item = (&str, Index)> {
        self.tables.capacity.iter().map(|(c, i)| (c.as_str(), *i))
    }

    /// Every job with its versions, by namespace and id.
    pub fn job_rows(&self) -> impl Iterator<Item = (&JobKey, &Arc<JobRow>)> {
        self.tables.jobs.rows()
    }

    /// One job with its versions.
    pub fn job_row(&self, key: &JobKey) -> Option<Arc<JobRow>> {
        self.tables.jobs.row(key).cloned()
    }

    /// A job's source as it was submitted.
    pub fn submission(&self, key: &JobKey, version: u64) -> Option<Arc<JobSubmission>> {
        let row = self.tables.jobs.row(key)?;
        row.submissions.get(&version).cloned()
    }

    /// Every allocation, by id.
    pub fn allocs(&self) -> impl Iterator<Item = &Arc<Allocation>> {
        self.tables.allocs.rows()
    }

    /// What one evaluation placed.
    pub fn allocs_of_eval(&self, id: EvalId) -> Vec<Arc<Allocation>> {
        self.tables.allocs.of_eval(id)
    }

    /// What belongs to one deployment.
    pub fn allocs_of_deployment(&self, id: DeploymentId) -> Vec<Arc<Allocation>> {
        self.tables.allocs.of_deployment(id)
    }

    /// One evaluation.
    pub fn eval(&self, id: EvalId) -> Option<Arc<Evaluation>> {
        self.tables.evals.get(id).cloned()
    }

    /// Every evaluation, by id.
    pub fn evals(&self) -> impl Iterator<Item = &Arc<Evaluation>> {
        self.tables.evals.rows()
    }

    /// Pending and blocked evaluations, by id.
    pub fn active_evals(&self) -> impl Iterator<Item = &Arc<Evaluation>> {
        self.tables.evals.active()
    }

    /// A job's evaluations, by id.
    pub fn evals_of_job(&self, key: &JobKey) -> Vec<Arc<Evaluation>> {
        self.tables.evals.of_job(key)
    }

    /// One deployment.
    pub fn deployment(&self, id: DeploymentId) -> Option<Arc<Deployment>> {
        self.tables.deployments.get(id).cloned()
    }

    /// Every deployment, by id.
    pub fn deployments(&self) -> impl Iterator<Item = &Arc<Deployment>> {
        self.tables.deployments.rows()
    }

    /// Running and paused deployments, by id.
    pub fn active_deployments(&self) -> impl Iterator<Item = &Arc<Deployment>> {
        self.tables.deployments.active()
    }

    /// A job's deployments, by id.
    pub fn deployments_of_job(&self, key: &JobKey) -> Vec<Arc<Deployment>> {
        self.tables.deployments.of_job(key)
    }

    /// Every service registration.
    pub fn services(&self) -> impl Iterator<Item = &ServiceRegistration> {
        self.tables.services.rows()
    }

    /// Every node pool, by name.
    pub fn pools(&self) -> Vec<NodePool> {
        let own = self.tables.pools.rows().cloned();
        let mut pools: Vec<NodePool> = NodePool::built_in().into_iter().chain(own).collect();
        pools.sort_by(|a, b| a.name.cmp(&b.name));
        pools
    }

    /// One node pool.
    pub fn pool(&self, name: &str) -> Option<NodePool> {
        let built_in = NodePool::built_in().into_iter().find(|p| p.name == name);
        built_in.or_else(|| self.tables.pools.get(name).cloned())
    }

    /// The instances of one service.
    pub fn service(&self, namespace: &Namespace, name: &str) -> Vec<ServiceRegistration> {
        self.tables.services.named(namespace, name)
    }

    /// One registration by its id.
    pub fn service_registration(
        &self,
        namespace: &Namespace,
        id: &str,
    ) -> Option<&ServiceRegistration> {
        let key = (namespace.clone(), id.to_string());
        self.tables.services.get(&key)
    }

    /// What one allocation registers.
    pub fn services_of_alloc(&self, id: AllocId) -> Vec<ServiceRegistration> {
        self.tables.services.of_alloc(id)
    }

    /// What a job's allocations register.
    pub fn services_of_job(&self, key: &JobKey) -> Vec<ServiceRegistration> {
        self.tables.services.of_job(key)
    }

    /// When a table last changed.
    pub fn table_index(&self, table: Table) -> Index {
        self.index_of(&Key::Table(table))
    }
}

impl ClusterView for Snapshot {
    fn index(&self) -> Index {
        self.tables.index
    }

    fn node(&self, id: NodeId) -> Option<Arc<Node>> {
        self.tables.nodes.get(id).cloned()
    }

    fn nodes(&self) -> Vec<Arc<Node>> {
        self.tables.nodes.rows().cloned().collect()
    }

    fn job(&self, key: &JobKey) -> Option<Arc<Job>> {
        self.tables.jobs.get(key).cloned()
    }

    fn job_version(&self, key: &JobKey, version: u64) -> Option<Arc<Job>> {
        self.tables.jobs.version(key, version).cloned()
    }

    fn alloc(&self, id: AllocId) -> Option<Arc<Allocation>> {
        self.tables.allocs.get(id).cloned()
    }

    fn allocs_of_job(&self, key: &JobKey) -> Vec<Arc<Allocation>> {
        self.tables.allocs.of_job(key)
    }

    fn allocs_of_node(&self, id: NodeId) -> Vec<Arc<Allocation>> {
        self.tables.allocs.of_node(id)
    }

    fn usage(&self, id: NodeId) -> NodeUsage {
        self.tables.allocs.usage(id)
    }

    fn latest_deployment(&self, key: &JobKey) -> Option<Arc<Deployment>> {
        self.tables.deployments.latest(key)
    }

    fn scheduler_config(&self) -> SchedulerConfig {
        self.tables.config
    }
}
