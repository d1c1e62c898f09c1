//! A cluster kept in maps, with the part of the state machine that stories need.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use uuid::Uuid;

use crate::model::job::JobSpec;
use crate::model::node::NodeResources;
use crate::model::plan::PlannedStop;
use crate::model::resources::{Amounts, Network, PortAsk};
use crate::model::room::hold;
use crate::model::verify::verify;
use crate::model::view::SchedulerConfig;
use crate::model::*;
use crate::scheduler::{Inputs, Outcome, schedule};
use crate::state::testing;

pub(super) const SECOND: i64 = 1_000_000_000;

#[derive(Clone, Default)]
pub(super) struct World {
    pub(super) index: Index,
    pub(super) now: i64,
    pub(super) nodes: BTreeMap<NodeId, Arc<Node>>,
    pub(super) jobs: BTreeMap<JobKey, Vec<Arc<Job>>>,
    pub(super) allocs: BTreeMap<AllocId, Arc<Allocation>>,
    pub(super) deployments: Vec<Arc<Deployment>>,
    pub(super) config: SchedulerConfig,
}

impl ClusterView for World {
    fn index(&self) -> Index {
        self.index
    }
    fn node(&self, id: NodeId) -> Option<Arc<Node>> {
        self.nodes.get(&id).cloned()
    }
    fn nodes(&self) -> Vec<Arc<Node>> {
        self.nodes.values().cloned().collect()
    }
    fn job(&self, key: &JobKey) -> Option<Arc<Job>> {
        self.jobs.get(key)?.last().cloned()
    }
    fn job_version(&self, key: &JobKey, version: u64) -> Option<Arc<Job>> {
        let versions = self.jobs.get(key)?;
        versions.iter().find(|j| j.version == version).cloned()
    }
    fn alloc(&self, id: AllocId) -> Option<Arc<Allocation>> {
        self.allocs.get(&id).cloned()
    }
    fn allocs_of_job(&self, key: &JobKey) -> Vec<Arc<Allocation>> {
        let of_job = |a: &&Arc<Allocation>| a.job_key() == *key;
        self.allocs.values().filter(of_job).cloned().collect()
    }
    fn allocs_of_node(&self, id: NodeId) -> Vec<Arc<Allocation>> {
        let on_node = |a: &&Arc<Allocation>| a.node_id == id;
        self.allocs.values().filter(on_node).cloned().collect()
    }
    fn usage(&self, id: NodeId) -> NodeUsage {
        let mut usage = NodeUsage::default();
        for alloc in self.allocs_of_node(id) {
            if alloc.holds_resources() {
                hold(&mut usage, &alloc);
            }
        }
        usage
    }
    fn latest_deployment(&self, key: &JobKey) -> Option<Arc<Deployment>> {
        let of_job = |d: &&Arc<Deployment>| d.job_key() == *key;
        self.deployments.iter().rev().find(of_job).cloned()
    }
    fn scheduler_config(&self) -> SchedulerConfig {
        self.config
    }
}

impl World {
    /// `count` equal nodes, `n1` first.
    pub(super) fn new(count: u128) -> Self {
        let mut world = Self {
            index: 10,
            now: 1_000 * SECOND,
            ..Self::default()
        };
        for n in 1..=count {
            world.add(node(n));
        }
        world
    }

    pub(super) fn add(&mut self, node: Node) {
        self.nodes.insert(node.id, Arc::new(node));
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp(self.now)
    }

    pub(super) fn edit_node(&mut self, n: u128, edit: impl FnOnce(&mut Node)) {
        let node = self.nodes.get_mut(&NodeId(Uuid::from_u128(n))).unwrap();
        edit(Arc::make_mut(node));
    }

    pub(super) fn node_down(&mut self, n: u128) {
        let now = self.now();
        self.edit_node(n, |node| {
            node.status = NodeStatus::Down;
            node.status_updated_at = now;
        });
    }

    /// Registers a version of a job.
    pub(super) fn register(&mut self, spec: JobSpec) -> JobKey {
        self.index += 1;
        let mut job = Job::new(spec, self.now());
        let key = job.key();
        let versions = self.jobs.entry(key.clone()).or_default();
        job.version = versions.last().map_or(0, |j| j.version + 1);
        job.create_index = versions.last().map_or(self.index, |j| j.create_index);
        job.job_modify_index = self.index;
        job.modify_index = self.index;
        versions.push(Arc::new(job));
        key
    }

    pub(super) fn stop_job(&mut self, key: &JobKey) {
        self.index += 1;
        let versions = self.jobs.get_mut(key).unwrap();
        let mut job = (**versions.last().unwrap()).clone();
        job.stop = true;
        job.version += 1;
        job.job_modify_index = self.index;
        versions.push(Arc::new(job));
    }

    pub(super) fn eval(&self, key: &JobKey, trigger: EvalTrigger) -> Evaluation {
        let id = EvalId(Uuid::from_u128(u128::from(self.index) << 32));
        Evaluation::pending(id, &self.job(key).unwrap(), trigger, self.now())
    }

    pub(super) fn plan(&self, eval: &Evaluation) -> Outcome {
        let inputs = Inputs {
            now: self.now(),
            seed: u128::from(self.index) * 7919,
            attempt: 0,
        };
        schedule(self, eval, &inputs)
    }

    /// Plans and commits; checks that planning again would change nothing.
    pub(super) fn settle(&mut self, key: &JobKey, trigger: EvalTrigger) -> Outcome {
        let eval = self.eval(key, trigger);
        self.settle_eval(&eval)
    }

    pub(super) fn settle_eval(&mut self, eval: &Evaluation) -> Outcome {
        let outcome = self.plan(eval);
        let refused = verify(self, &outcome.plan).refused;
        assert!(refused.is_empty(), "a fresh plan was refused: {refused:?}");
        self.commit(&outcome.plan);
        self.check();
        let again = self.plan(eval);
        assert!(
            again.plan.is_empty(),
            "planning again changes {:#?}",
            again.plan
        );
        outcome
    }

    pub(super) fn commit(&mut self, plan: &Plan) {
        self.index += 1;
        for stop in plan.stops.values().flatten() {
            self.commit_stop(stop);
        }
        if let Some(deployment) = &plan.deployment {
            self.deployments.retain(|d| d.id != deployment.id);
            self.deployments.push(Arc::new(deployment.clone()));
        }
        for update in &plan.deployment_updates {
            let known = self.deployments.iter_mut().find(|d| d.id == update.id);
            let known = Arc::make_mut(known.unwrap());
            known.status = update.status;
            known.status_description = update.description.clone();
        }
        for alloc in plan.places.values().flatten() {
            let mut alloc = alloc.clone();
            alloc.modify_index = self.index;
            match self.allocs.get(&alloc.id) {
                Some(old) => alloc.create_index = old.create_index,
                None => {
                    alloc.create_index = self.index;
                    self.count_placed(&alloc);
                }
            }
            if let Some(previous) = alloc.previous.and_then(|p| self.allocs.get_mut(&p)) {
                Arc::make_mut(previous).next = Some(alloc.id);
            }
            self.allocs.insert(alloc.id, Arc::new(alloc));
        }
    }

    fn count_placed(&mut self, alloc: &Allocation) {
        let Some(id) = alloc.deployment_id else {
            return;
        };
        let deployment = self.deployments.iter_mut().find(|d| d.id == id).unwrap();
        let deployment = Arc::make_mut(deployment);
        let group = deployment.groups.get_mut(&alloc.group).unwrap();
        group.placed += 1;
        if alloc.deployment_health.is_some_and(|h| h.canary) {
            group.placed_canaries.push(alloc.id);
        }
    }

    fn commit_stop(&mut self, stop: &PlannedStop) {
        let alloc = Arc::make_mut(self.allocs.get_mut(&stop.id).unwrap());
        if !stop.keep_running {
            alloc.desired = AllocDesiredStatus::Stop;
        }
        alloc.desired_description = stop.description.clone();
        alloc.client_status = stop.client_status.unwrap_or(alloc.client_status);
        alloc.follow_up = stop.follow_up.or(alloc.follow_up);
    }

    pub(super) fn edit(&mut self, id: AllocId, edit: impl FnOnce(&mut Allocation)) {
        edit(Arc::make_mut(self.allocs.get_mut(&id).unwrap()));
    }

    /// Every client does what it is asked: what is wanted runs and is healthy, the rest ends.
    pub(super) fn clients(&mut self) {
        let now = self.now();
        for alloc in self.allocs.values_mut() {
            let up = self
                .nodes
                .get(&alloc.node_id)
                .is_some_and(|n| n.status == NodeStatus::Ready);
            if alloc.is_client_terminal() || !up {
                continue;
            }
            let alloc = Arc::make_mut(alloc);
            if alloc.is_server_terminal() {
                alloc.client_status = AllocClientStatus::Complete;
                continue;
            }
            alloc.client_status = AllocClientStatus::Running;
            if alloc.deployment_id.is_some() {
                let health = alloc.deployment_health.get_or_insert_default();
                health.healthy = Some(true);
                health.time = now;
            }
        }
    }

    /// The live allocation with this name.
    pub(super) fn named(&self, name: &str) -> Arc<Allocation> {
        let mut live = self
            .allocs
            .values()
            .filter(|a| a.name == name && !a.is_server_terminal());
        live.next()
            .cloned()
            .unwrap_or_else(|| panic!("no live {name}\n{}", self.show()))
    }

    pub(super) fn fail(&mut self, name: &str) -> AllocId {
        let (id, now) = (self.named(name).id, self.now());
        self.edit(id, |a| {
            a.client_status = AllocClientStatus::Failed;
            let state = TaskState {
                phase: TaskPhase::Dead,
                failed: true,
                finished_at: now,
                ..TaskState::default()
            };
            a.task_states.insert("t".into(), state);
        });
        id
    }

    /// How many live allocations there are.
    pub(super) fn live(&self) -> usize {
        self.allocs.values().filter(|a| !a.is_terminal()).count()
    }

    /// What must hold at any time.
    pub(super) fn check(&self) {
        for node in self.nodes.values() {
            let mut used = Amounts::default();
            let mut ports = std::collections::BTreeSet::new();
            let on_node = self.allocs_of_node(node.id);
            let holds = |a: &&Arc<Allocation>| a.holds_resources() && self.runs(a);
            for alloc in on_node.iter().filter(holds) {
                used.add(alloc.resources.usage());
                for port in &alloc.resources.ports {
                    assert!(
                        ports.insert(port.value),
                        "{} twice on {}",
                        port.value,
                        node.name
                    );
                }
            }
            let all = node.available();
            assert!(
                used.cpu_mhz <= all.cpu_mhz,
                "cpu of {}: {used:?}",
                node.name
            );
            assert!(
                used.memory_mb <= all.memory_mb,
                "memory of {}: {used:?}",
                node.name
            );
        }
        let mut names = std::collections::BTreeSet::new();
        for alloc in self.allocs.values().filter(|a| !a.is_terminal()) {
            let canary = alloc.deployment_health.is_some_and(|h| h.canary);
            let unknown = alloc.client_status == AllocClientStatus::Unknown;
            let name = (alloc.job_key(), alloc.name.clone(), alloc.job.version);
            assert!(
                canary || unknown || names.insert(name),
                "{} twice",
                alloc.name
            );
        }
    }

    /// Whether the client runs it by now: a successor waits for the end of its predecessor on
    /// the same node.
    fn runs(&self, alloc: &Allocation) -> bool {
        let previous = alloc.previous.and_then(|p| self.allocs.get(&p));
        !previous.is_some_and(|p| p.node_id == alloc.node_id && p.holds_resources())
    }

    /// Live and failed allocations, a line each.
    pub(super) fn show(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for alloc in self.allocs.values().filter(|a| !a.is_server_terminal()) {
            let mut line = format!(
                "{} v{} {}",
                alloc.name,
                alloc.job.version,
                alloc.client_status.as_str()
            );
            if alloc.deployment_health.is_some_and(|h| h.canary) {
                write!(line, " canary").unwrap();
            }
            lines.push(line);
        }
        lines.sort();
        lines.join("\n")
    }

    /// Where the live allocations are: node name to count.
    pub(super) fn spread(&self) -> BTreeMap<String, usize> {
        let mut nodes = BTreeMap::new();
        for alloc in self.allocs.values().filter(|a| !a.is_terminal()) {
            *nodes.entry(alloc.node_name.clone()).or_default() += 1;
        }
        nodes
    }
}

/// A ready node `n<n>` with room for 40 small instances.
pub(super) fn node(n: u128) -> Node {
    let mut node = testing::node(n);
    node.host_ip = "10.0.0.1".into();
    node.meta.insert("rack".into(), format!("r{}", n % 2));
    node.resources.amounts.memory_mb = 4000;
    node.resources.dynamic_ports = NodeResources::default().dynamic_ports;
    (node.create_index, node.modify_index) = (1, 1);
    node
}

/// A service `web` with one group `app` of one task `t`: 100 MHz, 100 MiB, no ports.
pub(super) fn service(count: u32) -> JobSpec {
    let mut spec = testing::job("web", count).spec;
    let group = &mut spec.groups[0];
    group.name = "app".into();
    group.networks.clear();
    group.tasks[0].name = "t".into();
    group.tasks[0].resources.memory_mb = 100;
    spec
}

/// A batch job alike, without retries.
pub(super) fn batch(count: u32) -> JobSpec {
    let mut spec = service(count);
    spec.id = "work".into();
    spec.kind = JobType::Batch;
    spec.groups[0].update = None;
    spec.groups[0].migrate = None;
    spec.groups[0].reschedule.unlimited = false;
    spec
}

/// The service with a changed environment.
pub(super) fn changed(mut spec: JobSpec, value: &str) -> JobSpec {
    let task = &mut spec.groups[0].tasks[0];
    task.env.insert("COLOR".into(), value.into());
    spec
}

/// A network with these ports: a number is fixed, 0 is any.
pub(super) fn network(ports: &[(&str, u16)]) -> Network {
    let ask = |(label, port): &(&str, u16)| PortAsk {
        label: (*label).into(),
        fixed: (*port != 0).then_some(*port),
        to: 0,
        ignore_collision: false,
    };
    Network {
        ports: ports.iter().map(ask).collect(),
        ..Network::default()
    }
}
