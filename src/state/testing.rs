//! Small objects for tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::model::job::{
    DelayFunction, HealthCheck, JobSpec, LogConfig, MigrateStrategy, ReschedulePolicy, RestartMode,
    RestartPolicy, UpdateStrategy,
};
use crate::model::node::{DriverInfo, NodeReserved, NodeResources};
use crate::model::resources::{Amounts, Network, PortAsk};
use crate::model::{
    AllocClientStatus, AllocDesiredStatus, AllocId, AllocMetric, AllocatedResources, AllocatedTask,
    Allocation, ConfigValue, Deployment, DeploymentGroup, DeploymentId, DeploymentStatus,
    DesiredTransition, Eligibility, EvalId, EvalTrigger, Evaluation, Job, JobType, Node, NodeId,
    NodeStatus, Resources, Task, TaskGroup, Timestamp, alloc,
};

/// An id that is `n`.
pub(crate) fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// A service job with one group `web` of one task.
pub(crate) fn job(id: &str, count: u32) -> Job {
    Job::new(spec(id, count), Timestamp(1))
}

fn spec(id: &str, count: u32) -> JobSpec {
    JobSpec {
        region: "global".into(),
        namespace: "default".into(),
        id: id.into(),
        name: id.into(),
        kind: JobType::Service,
        priority: 50,
        all_at_once: false,
        datacenters: vec!["*".into()],
        node_pool: "default".into(),
        constraints: Vec::new(),
        affinities: Vec::new(),
        spreads: Vec::new(),
        groups: vec![group(count)],
        meta: BTreeMap::new(),
        ui: None,
        update: None,
    }
}

fn group(count: u32) -> TaskGroup {
    TaskGroup {
        name: "web".into(),
        count,
        constraints: Vec::new(),
        affinities: Vec::new(),
        spreads: Vec::new(),
        tasks: vec![task()],
        networks: vec![Network {
            ports: vec![PortAsk {
                label: "http".into(),
                fixed: None,
                to: 0,
                ignore_collision: false,
            }],
            ..Network::default()
        }],
        services: Vec::new(),
        restart: restart(),
        reschedule: ReschedulePolicy {
            attempts: 0,
            interval: Duration::ZERO,
            delay: Duration::from_secs(30),
            function: DelayFunction::Exponential,
            max_delay: Duration::from_secs(3600),
            unlimited: true,
        },
        update: Some(UpdateStrategy {
            stagger: Duration::from_secs(30),
            max_parallel: 1,
            health_check: HealthCheck::Checks,
            min_healthy_time: Duration::from_secs(10),
            healthy_deadline: Duration::from_secs(300),
            progress_deadline: Duration::from_secs(600),
            auto_revert: false,
            auto_promote: false,
            canary: 0,
        }),
        migrate: Some(MigrateStrategy {
            max_parallel: 1,
            health_check: HealthCheck::Checks,
            min_healthy_time: Duration::from_secs(10),
            healthy_deadline: Duration::from_secs(300),
        }),
        disconnect: None,
        ephemeral_disk_mb: 300,
        meta: BTreeMap::new(),
        shutdown_delay: Duration::ZERO,
        max_run_duration: None,
    }
}

fn restart() -> RestartPolicy {
    RestartPolicy {
        attempts: 2,
        interval: Duration::from_secs(1800),
        delay: Duration::from_secs(15),
        mode: RestartMode::Fail,
        render_templates: false,
    }
}

fn task() -> Task {
    Task {
        name: "web".into(),
        driver: "mock_driver".into(),
        user: String::new(),
        config: ConfigValue::Map(vec![("run_for".into(), ConfigValue::String("1h".into()))]),
        env: BTreeMap::new(),
        services: Vec::new(),
        constraints: Vec::new(),
        affinities: Vec::new(),
        resources: Resources {
            cpu_mhz: 100,
            memory_mb: 256,
            ..Resources::default()
        },
        restart: restart(),
        lifecycle: None,
        meta: BTreeMap::new(),
        kill_timeout: Duration::from_secs(5),
        kill_signal: String::new(),
        shutdown_delay: Duration::ZERO,
        logs: LogConfig {
            max_files: 10,
            max_file_size_mb: 10,
            disabled: false,
        },
        leader: false,
    }
}

/// A ready node with room for several allocations.
pub(crate) fn node(n: u128) -> Node {
    Node {
        id: NodeId(uuid(n)),
        secret: uuid(n + 1000),
        name: format!("n{n}"),
        datacenter: "dc1".into(),
        node_class: String::new(),
        node_pool: "default".into(),
        http_addr: ([127, 0, 0, 1], 4646).into(),
        rpc_addr: ([127, 0, 0, 1], 4647).into(),
        host_ip: "127.0.0.1".into(),
        attributes: BTreeMap::from([("kernel.name".into(), "linux".into())]),
        meta: BTreeMap::new(),
        resources: NodeResources {
            amounts: Amounts {
                cpu_mhz: 4000,
                memory_mb: 8192,
                disk_mb: 100_000,
            },
            cores: 4,
            dynamic_ports: (20_000, 32_000),
            networks: Vec::new(),
        },
        reserved: NodeReserved::default(),
        drivers: BTreeMap::from([(
            "mock_driver".into(),
            DriverInfo {
                detected: true,
                healthy: true,
                ..DriverInfo::default()
            },
        )]),
        computed_class: "v1:1".into(),
        status: NodeStatus::Ready,
        status_description: String::new(),
        status_updated_at: Timestamp::UNSET,
        eligibility: Eligibility::Eligible,
        drain: None,
        last_drain: None,
        events: Vec::new(),
        create_index: 0,
        modify_index: 0,
    }
}

/// Evaluation `n` of `job`.
pub(crate) fn eval(n: u128, job: &Job) -> Evaluation {
    Evaluation::pending(EvalId(uuid(n)), job, EvalTrigger::JobRegister, Timestamp(1))
}

/// Allocation `n`, the first instance of `job`, on `node`, placed by `eval`.
pub(crate) fn alloc(n: u128, job: &Arc<Job>, node: &Node, eval: EvalId) -> Allocation {
    Allocation {
        id: AllocId(uuid(n)),
        namespace: job.spec.namespace.clone(),
        eval_id: eval,
        name: alloc::alloc_name(&job.spec.id, "web", 0),
        node_id: node.id,
        node_name: node.name.clone(),
        job_id: job.spec.id.clone(),
        job: job.clone(),
        group: "web".into(),
        resources: AllocatedResources {
            tasks: BTreeMap::from([(
                "web".into(),
                AllocatedTask {
                    cpu_mhz: 100,
                    memory_mb: 256,
                    memory_max_mb: 0,
                    lifecycle: None,
                },
            )]),
            disk_mb: 300,
            ports: Vec::new(),
        },
        metrics: AllocMetric::default(),
        desired: AllocDesiredStatus::Run,
        desired_description: String::new(),
        transition: DesiredTransition::default(),
        client_status: AllocClientStatus::Pending,
        client_description: String::new(),
        task_states: BTreeMap::new(),
        deployment_id: None,
        deployment_health: None,
        previous: None,
        next: None,
        reschedules: Vec::new(),
        follow_up: None,
        create_index: 0,
        modify_index: 0,
        alloc_modify_index: 0,
        create_time: Timestamp(1),
        modify_time: Timestamp(1),
    }
}

/// A running deployment of `job`.
pub(crate) fn deployment(n: u128, job: &Job) -> Deployment {
    let groups = job.spec.groups.iter().map(|g| {
        let group = DeploymentGroup {
            desired_total: g.count,
            ..DeploymentGroup::default()
        };
        (g.name.clone(), group)
    });
    Deployment {
        id: DeploymentId(uuid(n)),
        namespace: job.spec.namespace.clone(),
        job_id: job.spec.id.clone(),
        job_version: job.version,
        job_modify_index: job.modify_index,
        job_spec_modify_index: job.job_modify_index,
        job_create_index: job.create_index,
        groups: groups.collect(),
        status: DeploymentStatus::Running,
        status_description: String::new(),
        eval_priority: 50,
        create_index: 0,
        modify_index: 0,
        create_time: Timestamp(1),
        modify_time: Timestamp(1),
    }
}
