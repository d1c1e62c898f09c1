//! A cluster, an agent and a client that hold what a test puts into them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tumen::env::{self, Env, LogRing, Metrics, Task};
use tumen::http::{self, App};
use tumen::model::canonical::CanonicalDefaults;
use tumen::model::draft::JobDraft;
use tumen::model::ids::*;
use tumen::model::member::{Member, MemberRecord, MemberStatus, ServerRole};
use tumen::model::pool::NodePool;
use tumen::model::resources::Amounts;
use tumen::model::why::{Subject, Why};
use tumen::model::*;
use tumen::rpc::api::*;
use tumen::rpc::local::*;
use tumen::rpc::node::*;
use tumen::ui::{self, Ui};

pub const NODE: &str = "23faf289-fe58-1ed4-d7f2-c3f4aa572282";
pub const ALLOC: &str = "a1420baf-736d-d376-a31b-ba3068f3e21a";
pub const EVAL: &str = "b7abda49-1c6b-25fc-db2a-5b7b8361a424";
pub const DEPLOYMENT: &str = "4cb7dca9-06c3-09d8-b92f-4c4f31daa130";

/// What the fake cluster holds.
#[derive(Default)]
pub struct State {
    pub jobs: Vec<Arc<Job>>,
    pub nodes: Vec<Arc<Node>>,
    pub allocs: Vec<Arc<Allocation>>,
    pub evals: Vec<Arc<Evaluation>>,
    pub deployments: Vec<Arc<Deployment>>,
    pub calls: Vec<Op>,
    /// The next call's answer, if it is not the usual one.
    pub refusal: Option<ApiError>,
    pub no_leader: bool,
    /// Whether no read is answered.
    pub silent: bool,
    /// How many instances of each job wait for a place.
    pub queued: u32,
}

pub struct Fake {
    pub state: Mutex<State>,
    pub index: watch::Sender<u64>,
    pub env: Env,
    pub http_addr: SocketAddr,
    pub most: u32,
}

/// A job that runs one mock task, under this id.
pub fn job(id: &str, index: u64) -> Job {
    let draft: JobDraft = serde_json::from_value(json!({
        "ID": id, "Name": id, "Meta": {"team": "x"},
        "TaskGroups": [{"Name": "app", "Tasks": [
            {"Name": "server", "Driver": "mock_driver", "Config": {"run_for": "600s"}},
        ]}],
    }))
    .unwrap();
    let made = draft.canonical(&CanonicalDefaults::default());
    assert!(made.violations.is_empty(), "{:?}", made.violations);
    let mut job = Job::new(made.spec, Timestamp(1_795_373_509_550_896_330));
    job.status = JobStatus::Running;
    (job.create_index, job.modify_index, job.job_modify_index) = (index, index, index);
    job
}

fn node() -> Node {
    Node {
        id: NODE.parse().unwrap(),
        secret: uuid::Uuid::nil(),
        name: "dev1".into(),
        datacenter: "dc1".into(),
        node_class: String::new(),
        node_pool: "default".into(),
        http_addr: "127.0.0.1:4646".parse().unwrap(),
        rpc_addr: "127.0.0.1:4647".parse().unwrap(),
        host_ip: "127.0.0.1".into(),
        attributes: BTreeMap::from([("os.name".to_string(), "debian".to_string())]),
        meta: BTreeMap::new(),
        resources: tumen::model::node::NodeResources {
            amounts: Amounts {
                cpu_mhz: 5192,
                memory_mb: 24105,
                disk_mb: 258_019,
            },
            cores: 2,
            dynamic_ports: (20000, 32000),
            networks: Vec::new(),
        },
        reserved: Default::default(),
        drivers: BTreeMap::from([(
            "mock_driver".to_string(),
            tumen::model::node::DriverInfo {
                detected: true,
                healthy: true,
                description: "Healthy".into(),
                attributes: BTreeMap::new(),
                update_time: Timestamp(1_795_373_351_429_583_623),
            },
        )]),
        computed_class: "v1:1".into(),
        status: NodeStatus::Ready,
        status_description: String::new(),
        status_updated_at: Timestamp(1_795_373_354_000_000_000),
        eligibility: Eligibility::Eligible,
        drain: None,
        last_drain: None,
        events: Vec::new(),
        create_index: 8,
        modify_index: 10,
    }
}

fn alloc(job: &Arc<Job>) -> Allocation {
    let mut state = TaskState {
        phase: TaskPhase::Running,
        started_at: Timestamp(1_795_373_509_787_008_469),
        ..TaskState::default()
    };
    state.push(TaskEvent::new(
        "Started",
        Timestamp(1_795_373_509_786_993_857),
        "Task started by client",
    ));
    Allocation {
        id: ALLOC.parse().unwrap(),
        namespace: Namespace::default(),
        eval_id: EVAL.parse().unwrap(),
        name: tumen::model::alloc::alloc_name(&job.spec.id, "app", 0),
        node_id: NODE.parse().unwrap(),
        node_name: "dev1".into(),
        job_id: job.spec.id.clone(),
        job: job.clone(),
        group: "app".into(),
        resources: AllocatedResources {
            tasks: BTreeMap::from([(
                "server".to_string(),
                AllocatedTask {
                    cpu_mhz: 50,
                    memory_mb: 64,
                    ..AllocatedTask::default()
                },
            )]),
            disk_mb: 300,
            ports: Vec::new(),
        },
        metrics: AllocMetric::default(),
        desired: AllocDesiredStatus::Run,
        desired_description: String::new(),
        transition: DesiredTransition::default(),
        client_status: AllocClientStatus::Running,
        client_description: "Tasks are running".into(),
        task_states: BTreeMap::from([("server".to_string(), state)]),
        deployment_id: Some(DEPLOYMENT.parse().unwrap()),
        deployment_health: Some(DeploymentHealth {
            healthy: Some(true),
            time: Timestamp(1_795_373_513_062_786_479),
            canary: false,
            modify_index: 22,
        }),
        previous: None,
        next: None,
        reschedules: Vec::new(),
        follow_up: None,
        create_index: 14,
        modify_index: 22,
        alloc_modify_index: 14,
        create_time: Timestamp(1_795_373_509_552_044_555),
        modify_time: Timestamp(1_795_373_514_079_373_156),
    }
}

fn deployment(job: &Job) -> Deployment {
    Deployment {
        id: DEPLOYMENT.parse().unwrap(),
        namespace: Namespace::default(),
        job_id: job.spec.id.clone(),
        job_version: 0,
        job_modify_index: job.job_modify_index,
        job_spec_modify_index: job.job_modify_index,
        job_create_index: job.create_index,
        groups: BTreeMap::from([(
            "app".to_string(),
            DeploymentGroup {
                desired_total: 1,
                placed: 1,
                healthy: 1,
                ..DeploymentGroup::default()
            },
        )]),
        status: DeploymentStatus::Successful,
        status_description: tumen::model::deployment::description::SUCCESSFUL.into(),
        eval_priority: 50,
        create_index: 14,
        modify_index: 24,
        create_time: Timestamp(1_795_373_509_551_771_615),
        modify_time: Timestamp(1_795_373_515_383_680_189),
    }
}

/// A cluster with the job `web`, its allocation, deployment and evaluation, and one node.
pub fn cluster() -> State {
    let web = Arc::new(job("web", 13));
    let mut eval = Evaluation::pending(
        EVAL.parse().unwrap(),
        &web,
        EvalTrigger::JobRegister,
        Timestamp(1_795_373_509_550_896_330),
    );
    eval.status = EvalStatus::Complete;
    (eval.create_index, eval.modify_index) = (13, 15);
    State {
        nodes: vec![Arc::new(node())],
        allocs: vec![Arc::new(alloc(&web))],
        evals: vec![Arc::new(eval)],
        deployments: vec![Arc::new(deployment(&web))],
        jobs: vec![web],
        ..State::default()
    }
}

impl Fake {
    /// Changes the state and lets waiting reads see it.
    pub fn change(&self, change: impl FnOnce(&mut State)) -> u64 {
        change(&mut self.state.lock().unwrap());
        self.index.send_modify(|index| *index += 1);
        *self.index.borrow()
    }

    fn answer(&self, read: Read) -> Result<Body, ApiError> {
        let state = self.state.lock().unwrap();
        let in_namespace =
            |wanted: &Option<Namespace>, own: &Namespace| wanted.as_ref().is_none_or(|w| w == own);
        Ok(match read {
            Read::Jobs { namespace } => Body::Jobs(
                state
                    .jobs
                    .iter()
                    .filter(|j| in_namespace(&namespace, &j.spec.namespace))
                    .map(|j| (j.clone(), summary(j, state.queued)))
                    .collect(),
            ),
            Read::Job(key) => Body::Job(state.jobs.iter().find(|j| j.key() == key).cloned()),
            Read::JobVersions(key) => Body::JobVersions(
                state
                    .jobs
                    .iter()
                    .filter(|j| j.key() == key)
                    .cloned()
                    .collect(),
            ),
            Read::JobSummary(key) => Body::Summary(
                state
                    .jobs
                    .iter()
                    .find(|j| j.key() == key)
                    .map(|j| summary(j, state.queued)),
            ),
            Read::JobSubmission { .. } => Body::Submission(None),
            Read::Explain(Subject::Job(key)) => {
                let job = state.jobs.iter().find(|j| j.key() == key);
                Body::Why(job.map(|j| {
                    Box::new(Why {
                        id: j.spec.id.to_string(),
                        summary: "Job runs.".to_owned(),
                        ..Why::default()
                    })
                }))
            }
            Read::Explain(_) => Body::Why(None),
            Read::JobAllocs(key) => Body::Allocs(
                state
                    .allocs
                    .iter()
                    .filter(|a| a.job_key() == key)
                    .cloned()
                    .collect(),
            ),
            Read::JobEvals(key) => Body::Evals(
                state
                    .evals
                    .iter()
                    .filter(|e| e.job_key() == key)
                    .cloned()
                    .collect(),
            ),
            Read::JobDeployments(key) => Body::Deployments(
                state
                    .deployments
                    .iter()
                    .filter(|d| d.job_key() == key)
                    .cloned()
                    .collect(),
            ),
            Read::Nodes => Body::Nodes(state.nodes.clone()),
            Read::Pools => Body::Pools(NodePool::built_in().to_vec()),
            Read::Node(id) => Body::Node(state.nodes.iter().find(|n| n.id == id).cloned()),
            Read::NodeAllocs(_) | Read::Allocs { .. } | Read::EvalAllocs(_) => {
                Body::Allocs(state.allocs.clone())
            }
            Read::DeploymentAllocs(_) => Body::Allocs(state.allocs.clone()),
            Read::Alloc(id) => Body::Alloc(state.allocs.iter().find(|a| a.id == id).cloned()),
            Read::Evals { .. } => Body::Evals(state.evals.clone()),
            Read::Eval(id) => Body::Eval(state.evals.iter().find(|e| e.id == id).cloned()),
            Read::Deployments { .. } => Body::Deployments(state.deployments.clone()),
            Read::Deployment(id) => {
                Body::Deployment(state.deployments.iter().find(|d| d.id == id).cloned())
            }
            Read::JobServices(_) | Read::AllocServices(_) => Body::Services(Vec::new()),
            Read::Services { .. } | Read::Service { .. } => Body::Services(Vec::new()),
            Read::SchedulerConfig => Body::SchedulerConfig(Default::default()),
            Read::Raft => Body::Raft(RaftView {
                // The cluster of an empty test has no servers yet.
                leader: (!state.no_leader && !state.nodes.is_empty())
                    .then(|| "127.0.0.1:4647".parse().unwrap()),
                ..RaftView::default()
            }),
            Read::ClientAllocs { .. } => Body::ClientAllocs(Default::default()),
        })
    }
}

fn summary(job: &Job, queued: u32) -> JobSummary {
    JobSummary {
        groups: BTreeMap::from([(
            "app".to_string(),
            GroupSummary {
                running: 1,
                queued,
                ..GroupSummary::default()
            },
        )]),
        create_index: job.create_index,
        modify_index: job.modify_index,
    }
}

impl Api for Fake {
    fn read(&self, query: Query) -> BoxFuture<'_, Result<Answer, ApiError>> {
        Box::pin(async move {
            if self.state.lock().unwrap().no_leader && !query.stale {
                return Err(ApiError::NoLeader);
            }
            let mut index = self.index.subscribe();
            if query.min_index > 0 {
                let changed = index.wait_for(|now| *now > query.min_index);
                match env::timeout(&*self.env.clock, query.wait, changed).await {
                    Ok(changed) => drop(changed.unwrap()),
                    Err(_) => tracing::trace!("nothing changed"),
                }
            }
            let (silent, no_leader) = {
                let state = self.state.lock().unwrap();
                (state.silent, state.no_leader)
            };
            if silent {
                return Err(ApiError::Unavailable("down for a test".into()));
            }
            let index = *index.borrow();
            Ok(Answer {
                index,
                known_leader: !no_leader,
                last_contact: std::time::Duration::ZERO,
                body: self.answer(query.read)?,
            })
        })
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<Reply, ApiError>> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            if let Some(refusal) = state.refusal.take() {
                return Err(refusal);
            }
            state.calls.push(call.op.clone());
            drop(state);
            let index = *self.index.borrow();
            let eval: EvalId = EVAL.parse().unwrap();
            Ok(match call.op {
                Op::RegisterJob(registration) => Reply::Registered {
                    index,
                    eval: Some((eval, index)),
                    job_modify_index: index,
                    warnings: registration.warnings,
                },
                Op::PlanJob { .. } => Reply::Planned(Box::new(PlannedJob {
                    index: 0,
                    job_modify_index: 0,
                    diff: None,
                    updates: BTreeMap::from([(
                        "app".to_string(),
                        DesiredUpdates {
                            place: 1,
                            ..DesiredUpdates::default()
                        },
                    )]),
                    failed_groups: BTreeMap::new(),
                    created_evals: Vec::new(),
                    warnings: Vec::new(),
                })),
                Op::StopAlloc { .. } => Reply::Evaluated { index, eval },
                Op::NodeEligibility { .. } | Op::NodeDrain { .. } => Reply::Node {
                    index,
                    evals: Vec::new(),
                },
                Op::PauseDeployment { .. } => Reply::Deployment {
                    index,
                    eval: None,
                    reverted_to: None,
                },
                Op::StableJob { .. } | Op::SystemGc => Reply::Done { index },
                _ => Reply::Registered {
                    index,
                    eval: Some((eval, index)),
                    job_modify_index: index,
                    warnings: Vec::new(),
                },
            })
        })
    }
}

impl Local for Fake {
    fn info(&self) -> AgentInfo {
        AgentInfo {
            name: "dev1".into(),
            region: "global".into(),
            datacenter: "dc1".into(),
            version: "0.1.0".into(),
            revision: "abc".into(),
            server: true,
            client: true,
            dev: true,
            node_id: Some(NODE.parse().unwrap()),
            http_addr: self.http_addr,
            rpc_addr: "127.0.0.1:4647".parse().unwrap(),
            serf_addr: "127.0.0.1:4648".parse().unwrap(),
            data_dir: String::new(),
            bind_addr: "127.0.0.1".into(),
            log_level: "INFO".into(),
            bootstrap_expect: 1,
            ui_enabled: true,
            cli_hints: true,
            http_max_conns_per_client: self.most,
            node_class: String::new(),
            node_pool: "default".into(),
            meta: BTreeMap::new(),
            response_headers: BTreeMap::from([("X-Own".to_string(), "yes".to_string())]),
        }
    }

    fn stats(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        BTreeMap::from([(
            "nomad".to_string(),
            BTreeMap::from([("server".to_string(), "true".to_string())]),
        )])
    }

    fn members(&self) -> Members {
        let id = uuid::Uuid::from_u128(7);
        let record = MemberRecord {
            id,
            name: "dev1".into(),
            region: "global".into(),
            datacenter: "dc1".into(),
            server: Some(ServerRole {
                expect: 1,
                cluster: None,
            }),
            client: true,
            http_addr: "127.0.0.1:4646".parse().unwrap(),
            rpc_addr: "127.0.0.1:4647".parse().unwrap(),
            serf_addr: "127.0.0.1:4648".parse().unwrap(),
            build: "0.1.0".into(),
            revision: "abc".into(),
            protocol: (1, 1),
            version: 1,
        };
        let status = MemberStatus::Alive;
        BTreeMap::from([(id, Member { record, status })])
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        // Members and leader of this cluster change with its state.
        let mut index = self.index.subscribe();
        Box::pin(async move { index.changed().await.unwrap() })
    }

    fn servers(&self) -> Vec<SocketAddr> {
        vec!["127.0.0.1:4647".parse().unwrap()]
    }

    fn leader(&self) -> Option<SocketAddr> {
        let no_leader = self.state.lock().unwrap().no_leader;
        (!no_leader).then(|| "127.0.0.1:4647".parse().unwrap())
    }

    fn peers(&self) -> Vec<SocketAddr> {
        self.servers()
    }

    fn join(&self, addrs: Vec<String>) -> BoxFuture<'_, Result<usize, LocalError>> {
        Box::pin(async move { Err(LocalError::Failed(format!("nobody answers at {addrs:?}"))) })
    }

    fn force_leave(&self, name: String, _: bool) -> BoxFuture<'_, Result<(), LocalError>> {
        Box::pin(async move { Err(LocalError::NoSuchMember(name)) })
    }

    fn keyring(&self, _: KeyringOp) -> BoxFuture<'_, Result<Vec<String>, LocalError>> {
        Box::pin(async { Ok(vec!["a2V5".to_string()]) })
    }

    fn keyring_of_all(&self, op: KeyringOp) -> BoxFuture<'_, KeyringReport> {
        let mut report = KeyringReport {
            members: 2,
            keys: BTreeMap::from([("a2V5".to_string(), 2)]),
            primary: BTreeMap::from([("a2V5".to_string(), 2)]),
            ..KeyringReport::default()
        };
        if op == KeyringOp::Remove("a2V5".to_string()) {
            let why = "the key is in use: use another one first".to_string();
            report.failures.insert("dev1".to_string(), why);
        }
        Box::pin(async move { report })
    }

    fn health(&self) -> (Option<Health>, Option<Health>) {
        let health = |ok| {
            Some(Health {
                ok,
                message: if ok { "ok" } else { "No cluster leader" }.into(),
            })
        };
        let no_leader = self.state.lock().unwrap().no_leader;
        (health(true), health(!no_leader))
    }

    fn metrics(&self) -> &Metrics {
        &self.env.metrics
    }

    fn logs(&self) -> &LogRing {
        &self.env.logs
    }
}

impl Nodes for Fake {
    fn node(&self, _: NodeId, _: SocketAddr) -> Arc<dyn NodeApi> {
        Arc::new(FakeNode)
    }
}

/// A client with one file, `server/local/index.html`, and one log.
struct FakeNode;

const FILE: &[u8] = b"hello from 1\n";

fn escapes(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}

fn found(path: &str) -> Result<FileInfo, NodeError> {
    if escapes(path) {
        return Err(NodeError::Failed("Path escapes the alloc directory".into()));
    }
    let (name, is_dir, size, mode) = match path.trim_matches('/') {
        "alloc" => ("alloc", true, 4096, "drwxrwxrwx"),
        "server/local/index.html" => ("index.html", false, FILE.len() as u64, "-rw-r--r--"),
        other => {
            return Err(NodeError::NotFound(format!(
                "stat {other}: no such file or directory"
            )));
        }
    };
    Ok(FileInfo {
        name: name.into(),
        is_dir,
        size,
        mode: mode.into(),
        modified: Timestamp(1_795_373_522_658_662_113),
    })
}

impl NodeApi for FakeNode {
    fn ask(&self, ask: NodeAsk) -> BoxFuture<'_, Result<NodeAnswer, NodeError>> {
        Box::pin(async move {
            Ok(match ask {
                NodeAsk::List { .. } => NodeAnswer::Files(vec![found("alloc")?]),
                NodeAsk::Stat { path, .. } => NodeAnswer::File(found(&path)?),
                NodeAsk::ReadAt {
                    path,
                    offset,
                    limit,
                    ..
                } => {
                    found(&path)?;
                    let from = usize::try_from(offset).unwrap().min(FILE.len());
                    let most = match limit {
                        0 => usize::MAX,
                        n => usize::try_from(n).unwrap(),
                    };
                    let to = from.saturating_add(most).min(FILE.len());
                    NodeAnswer::Data(Bytes::from_static(&FILE[from..to]))
                }
                NodeAsk::Restart {
                    task: Some(task), ..
                } if task != "server" => {
                    return Err(NodeError::Failed(format!(
                        "Could not find task runner for task: {task}"
                    )));
                }
                NodeAsk::Restart { .. } | NodeAsk::Signal { .. } => NodeAnswer::Done,
                NodeAsk::Gc { .. } | NodeAsk::GcAll => NodeAnswer::Done,
                NodeAsk::Stats { .. } => NodeAnswer::Stats(AllocStats {
                    tasks: BTreeMap::from([(
                        "server".to_string(),
                        TaskStats {
                            memory_rss: Some(53_248),
                            cpu_percent: Some(0.5),
                            ..TaskStats::default()
                        },
                    )]),
                    time: Timestamp(1),
                }),
                NodeAsk::Checks { .. } => NodeAnswer::Checks(vec![CheckResult {
                    id: "c1".into(),
                    check: "up".into(),
                    service: "web".into(),
                    group: "app".into(),
                    task: None,
                    status: CheckStatus::Success,
                    status_code: 200,
                    output: "ok".into(),
                    time: Timestamp(1_795_373_549_000_000_000),
                }]),
                NodeAsk::Host => NodeAnswer::Host(HostStats::default()),
                NodeAsk::Meta => {
                    NodeAnswer::Meta(BTreeMap::new(), BTreeMap::new(), BTreeMap::new())
                }
                NodeAsk::SetMeta(changes) => {
                    let set = changes.into_iter();
                    let set: BTreeMap<_, _> = set.filter_map(|(k, v)| Some((k, v?))).collect();
                    NodeAnswer::Meta(set.clone(), set, BTreeMap::new())
                }
            })
        })
    }

    fn stream(&self, open: StreamOpen) -> BoxFuture<'_, Result<FrameStream, NodeError>> {
        Box::pin(async move {
            let (file, follow) = match &open {
                StreamOpen::Logs { follow, .. } => ("alloc/logs/server.stdout.0", *follow),
                StreamOpen::File { path, follow, .. } => {
                    found(path)?;
                    ("server/local/index.html", *follow)
                }
            };
            let (sender, frames) = mpsc::channel(4);
            sender
                .try_send(Ok(StreamFrame {
                    offset: FILE.len() as u64,
                    data: Bytes::from_static(FILE),
                    file: file.into(),
                    event: String::new(),
                }))
                .unwrap();
            if follow {
                // The sender stays alive for as long as somebody reads.
                let token = CancellationToken::new();
                let task: Task<()> = env::spawn("fake-follow", token, async move {
                    sender.closed().await;
                });
                std::mem::forget(task);
            }
            Ok(frames)
        })
    }

    fn exec(&self, open: ExecOpen) -> BoxFuture<'_, Result<ExecStream, NodeError>> {
        Box::pin(async move {
            if open.command == ["refuse"] {
                return Err(NodeError::Failed("no terminal here".into()));
            }
            let (input, mut from_client) = mpsc::channel(4);
            let (to_client, output) = mpsc::channel(4);
            let token = CancellationToken::new();
            // An echo that ends with 3 when its input ends.
            let task: Task<()> = env::spawn("fake-exec", token, async move {
                while let Some(input) = from_client.recv().await {
                    match input {
                        ExecInput::Stdin(bytes) => {
                            to_client.send(ExecOutput::Stdout(bytes)).await.unwrap();
                        }
                        ExecInput::CloseStdin => break,
                        ExecInput::Resize { width, height } => {
                            let text = format!("{width}x{height}");
                            to_client
                                .send(ExecOutput::Stderr(text.into()))
                                .await
                                .unwrap();
                        }
                    }
                }
                to_client.send(ExecOutput::Exited(3)).await.unwrap();
            });
            std::mem::forget(task);
            Ok(ExecStream { input, output })
        })
    }
}

/// A running server with its fakes.
pub struct Server {
    pub fake: Arc<Fake>,
    pub env: Env,
    pub addr: SocketAddr,
    pub token: CancellationToken,
    pub task: Task<()>,
}

impl Server {
    pub async fn start(state: State) -> Self {
        Self::with_limit(state, 100).await
    }

    /// A server that takes at most `most` connections from one address.
    pub async fn with_limit(state: State, most: u32) -> Self {
        let env = Env::real();
        let listener = env
            .net
            .listen("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let addr = listener.local_addr().unwrap();
        let fake = Arc::new(Fake {
            state: Mutex::new(state),
            index: watch::Sender::new(22),
            env: env.clone(),
            http_addr: addr,
            most,
        });
        let pages = ui::pages(Ui {
            api: fake.clone(),
            local: fake.clone(),
            nodes: fake.clone(),
            env: env.clone(),
        });
        let app = App {
            api: fake.clone(),
            local: fake.clone(),
            nodes: fake.clone(),
            env: env.clone(),
            pages: Some(pages),
        };
        let token = CancellationToken::new();
        let task = env::spawn(
            "http",
            token.clone(),
            http::serve(listener, app, token.clone()),
        );
        Self {
            fake,
            env,
            addr,
            token,
            task,
        }
    }
}
