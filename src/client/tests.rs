//! The client against servers that are a list of wishes, with the mock driver on a paused clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::driver::Drivers;
use super::driver::mock::MockDriver;
use super::fingerprint::NodeConfig;
use super::{Client, Config, Identity, Parts};
use crate::env::sim::{SimAllocFs, SimStore};
use crate::env::{Env, Store, timeout};
use crate::model::canonical::CanonicalDefaults;
use crate::model::draft::JobDraft;
use crate::model::node::NodeReserved;
use crate::model::{
    AllocClientStatus, AllocDesiredStatus, AllocId, AllocMetric, AllocUpdate, AllocatedResources,
    Allocation, DeploymentId, DesiredTransition, EvalId, Job, NodeId, ServiceRegistration,
    Timestamp,
};
use crate::rpc::api::{Answer, Api, ApiError, Body, Call, ClientAllocs, Op, Query, Read, Reply};
use crate::rpc::node::{From as Origin, NodeAnswer, NodeApi, NodeAsk, NodeError, StreamOpen};

/// Servers that want what the test says and remember what the client reports.
#[derive(Default)]
struct Wishes {
    said: Mutex<Said>,
    index: watch::Sender<u64>,
    heard: watch::Sender<u64>,
}

#[derive(Default)]
struct Said {
    wanted: BTreeMap<AllocId, Arc<Allocation>>,
    updates: BTreeMap<AllocId, AllocUpdate>,
    history: Vec<(AllocId, AllocClientStatus)>,
    services: BTreeMap<AllocId, Vec<ServiceRegistration>>,
    registered: bool,
    node: Option<crate::model::Node>,
}

impl Wishes {
    fn want(&self, alloc: Allocation) {
        let index = *self.index.borrow() + 1;
        let alloc = Allocation {
            alloc_modify_index: index,
            ..alloc
        };
        self.said
            .lock()
            .unwrap()
            .wanted
            .insert(alloc.id, Arc::new(alloc));
        self.index.send_replace(index);
    }

    fn forget(&self, id: AllocId) {
        self.said.lock().unwrap().wanted.remove(&id);
        self.index.send_modify(|i| *i += 1);
    }

    /// Waits, in simulated time, until what was reported is as `true_of` says.
    async fn until(&self, env: &Env, what: &str, true_of: impl Fn(&Said) -> bool) {
        let mut heard = self.heard.subscribe();
        let wait = async {
            while !true_of(&self.said.lock().unwrap()) {
                heard.changed().await.unwrap();
            }
        };
        if timeout(&*env.clock, Duration::from_secs(600), wait)
            .await
            .is_err()
        {
            let history = self.said.lock().unwrap().history.clone();
            panic!("never: {what}; reported: {history:?}");
        }
    }
}

impl Api for Wishes {
    fn read(&self, query: Query) -> BoxFuture<'_, Result<Answer, ApiError>> {
        async move {
            let Read::ClientAllocs { .. } = query.read else {
                panic!("a client reads only this")
            };
            let mut index = self.index.subscribe();
            let now = *index.wait_for(|i| *i > query.min_index).await.unwrap();
            let said = self.said.lock().unwrap();
            let body = Body::ClientAllocs(ClientAllocs {
                known: said.registered,
                linearizable: true,
                allocs: said.wanted.values().cloned().collect(),
            });
            Ok(Answer {
                index: now,
                known_leader: true,
                last_contact: Duration::ZERO,
                body,
            })
        }
        .boxed()
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<Reply, ApiError>> {
        async move {
            let mut said = self.said.lock().unwrap();
            match call.op {
                Op::RegisterNode(node) => {
                    said.registered = true;
                    said.node = Some(*node);
                }
                Op::UpdateAllocs { updates, .. } => {
                    for update in updates {
                        said.history.push((update.id, update.client_status));
                        said.updates.insert(update.id, update);
                    }
                }
                Op::SetServices {
                    alloc, services, ..
                } => {
                    said.services.insert(alloc, services);
                }
                other => panic!("a client does not call {other:?}"),
            }
            drop(said);
            self.heard.send_modify(|n| *n += 1);
            Ok(Reply::Done {
                index: *self.index.borrow(),
            })
        }
        .boxed()
    }
}

/// One simulated machine with its servers.
struct Machine {
    env: Env,
    servers: Arc<Wishes>,
    store: Arc<SimStore>,
    fs: Arc<SimAllocFs>,
    mock: Arc<MockDriver>,
}

impl Machine {
    fn new(seed: u64) -> Self {
        let env = Env::sim(seed);
        let fs = Arc::new(SimAllocFs::new(env.clock.clone()));
        let mock = MockDriver::new(env.clock.clone(), fs.clone(), CancellationToken::new());
        let servers = Arc::new(Wishes::default());
        servers.index.send_replace(1);
        Self {
            servers,
            store: Arc::new(SimStore::new(Duration::from_micros(100))),
            mock: Arc::new(mock),
            fs,
            env,
        }
    }

    /// Starts the agent's client; the token kills it without a word.
    async fn boot(&self) -> (Client, CancellationToken) {
        let token = CancellationToken::new();
        let mut drivers = Drivers::new();
        drivers.insert("mock_driver", self.mock.clone());
        let parts = Parts {
            env: self.env.clone(),
            api: self.servers.clone(),
            drivers,
            store: self.store.clone() as Arc<dyn Store>,
            fs: self.fs.clone(),
            identity: Identity {
                id: NodeId(Uuid::from_u128(7)),
                secret: Uuid::nil(),
            },
        };
        (
            Client::start(config(), parts, token.clone()).await.unwrap(),
            token,
        )
    }
}

fn config() -> Config {
    Config {
        node: NodeConfig {
            name: "n1".to_string(),
            datacenter: "dc1".to_string(),
            node_class: String::new(),
            node_pool: "default".to_string(),
            meta: BTreeMap::new(),
            http_addr: "127.0.0.1:4646".parse().unwrap(),
            rpc_addr: "127.0.0.1:4647".parse().unwrap(),
            host_ip: "127.0.0.1".to_string(),
            interface: "lo".to_string(),
            cpu_total: None,
            memory_total_mb: None,
            disk_total_mb: None,
            dynamic_ports: (20_000, 32_000),
            reserved: NodeReserved::default(),
            eligible: true,
            version: "0.1.0".to_string(),
            revision: String::new(),
        },
        alloc_dir: "/allocs".into(),
        max_kill_timeout: Duration::from_secs(30),
        gc_max_allocs: 2,
    }
}

/// An allocation of one mock task with these options, in a job of this type.
fn alloc(n: u128, kind: &str, options: serde_json::Value) -> Allocation {
    let draft: JobDraft = serde_json::from_value(json!({
        "ID": "web", "Name": "web", "Type": kind,
        "TaskGroups": [{
            "Name": "g",
            "RestartPolicy": {"Attempts": 1, "Delay": 1_000_000_000_i64, "Mode": "fail"},
            "Services": [{"Name": "web", "Provider": "nomad"}],
            "Tasks": [{"Name": "t", "Driver": "mock_driver", "Config": options}],
        }],
    }))
    .unwrap();
    let canonical = draft.canonical(&CanonicalDefaults::default());
    assert_eq!(canonical.violations, []);
    let job = Arc::new(Job::new(canonical.spec, Timestamp(1)));
    Allocation {
        id: AllocId(Uuid::from_u128(n)),
        namespace: job.spec.namespace.clone(),
        eval_id: EvalId(Uuid::nil()),
        name: format!("web.g[{n}]"),
        node_id: NodeId(Uuid::from_u128(7)),
        node_name: "n1".to_string(),
        job_id: job.spec.id.clone(),
        job,
        group: "g".to_string(),
        resources: AllocatedResources::default(),
        metrics: AllocMetric::default(),
        desired: AllocDesiredStatus::Run,
        desired_description: String::new(),
        transition: DesiredTransition::default(),
        client_status: AllocClientStatus::Pending,
        client_description: String::new(),
        task_states: BTreeMap::new(),
        deployment_id: Some(DeploymentId(Uuid::nil())),
        deployment_health: None,
        previous: None,
        next: None,
        reschedules: Vec::new(),
        follow_up: None,
        create_index: 1,
        modify_index: 1,
        alloc_modify_index: 1,
        create_time: Timestamp(1),
        modify_time: Timestamp(1),
    }
}

fn stopped(alloc: &Allocation) -> Allocation {
    Allocation {
        desired: AllocDesiredStatus::Stop,
        ..alloc.clone()
    }
}

fn is(id: AllocId, status: AllocClientStatus) -> impl Fn(&Said) -> bool {
    move |said| {
        said.updates
            .get(&id)
            .is_some_and(|u| u.client_status == status)
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_runs_turns_healthy_and_stops() {
    let machine = Machine::new(1);
    let (client, _token) = machine.boot().await;
    let web = alloc(1, "service", json!({"stdout_string": "hello\n"}));
    machine.servers.want(web.clone());

    let (env, servers) = (&machine.env, &machine.servers);
    servers
        .until(env, "it runs", is(web.id, AllocClientStatus::Running))
        .await;
    servers
        .until(env, "it is registered", |s| {
            s.services.get(&web.id).is_some_and(|r| r.len() == 1)
        })
        .await;
    let healthy = |s: &Said| s.updates[&web.id].healthy.is_some_and(|(good, _)| good);
    servers.until(env, "it is healthy", healthy).await;

    let open = StreamOpen::Logs {
        alloc: web.id,
        task: "t".to_string(),
        stderr: false,
        follow: false,
        from: Origin::Start(0),
    };
    assert!(
        client.is_registered(),
        "what runs here was asked for by servers"
    );
    let mut frames = client.stream(open).await.unwrap();
    let mut text = Vec::new();
    while let Some(frame) = frames.recv().await {
        text.extend_from_slice(&frame.unwrap().data);
    }
    assert_eq!(text, b"hello\n");

    servers.want(stopped(&web));
    servers
        .until(env, "it is over", is(web.id, AllocClientStatus::Complete))
        .await;
    let empty = |s: &Said| s.services.get(&web.id).is_some_and(Vec::is_empty);
    servers.until(env, "it is registered no more", empty).await;
    let asked = client
        .ask(NodeAsk::List {
            alloc: web.id,
            path: "alloc".to_string(),
        })
        .await;
    assert!(
        matches!(asked, Ok(NodeAnswer::Files(_))),
        "its files stay: {asked:?}"
    );

    servers.forget(web.id);
    let gone = async {
        while client
            .ask(NodeAsk::Stat {
                alloc: web.id,
                path: "/".to_string(),
            })
            .await
            .is_ok()
        {
            env.clock.sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(&*env.clock, Duration::from_secs(10), gone)
        .await
        .expect("its files go with it");
}

#[tokio::test(start_paused = true)]
async fn a_task_restarts_in_place_and_then_fails() {
    let machine = Machine::new(2);
    let (_client, _token) = machine.boot().await;
    let web = alloc(1, "service", json!({"run_for": "1s", "exit_code": 3}));
    machine.servers.want(web.clone());
    machine
        .servers
        .until(
            &machine.env,
            "it fails",
            is(web.id, AllocClientStatus::Failed),
        )
        .await;

    let said = machine.servers.said.lock().unwrap();
    let state = &said.updates[&web.id].task_states["t"];
    assert_eq!(state.restarts, 1);
    let kinds: Vec<_> = state.events.iter().map(|e| e.kind.as_str()).collect();
    assert!(
        kinds.starts_with(&[
            "Received",
            "Task Setup",
            "Started",
            "Terminated",
            "Restarting",
            "Started",
            "Terminated",
            "Not Restarting",
        ]),
        "{kinds:?}"
    );
    assert!(!said.updates[&web.id].healthy.unwrap().0);
    let statuses: Vec<_> = said.history.iter().map(|(_, s)| *s).collect();
    assert!(
        statuses.contains(&AllocClientStatus::Pending),
        "while it waits: {statuses:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_task_that_succeeds_is_complete() {
    let machine = Machine::new(3);
    let (_client, _token) = machine.boot().await;
    let mut work = alloc(1, "batch", json!({"run_for": "5s"}));
    work.deployment_id = None;
    machine.servers.want(work.clone());
    machine
        .servers
        .until(
            &machine.env,
            "it is over",
            is(work.id, AllocClientStatus::Complete),
        )
        .await;
}

/// An update in place belongs to a new roll-out, which waits for its health.
#[tokio::test(start_paused = true)]
async fn an_update_in_place_is_judged_again() {
    let machine = Machine::new(6);
    let (_client, _token) = machine.boot().await;
    let web = alloc(1, "service", json!({}));
    machine.servers.want(web.clone());
    let (env, servers) = (&machine.env, &machine.servers);
    let judged_at = |s: &Said| {
        s.updates
            .get(&web.id)
            .and_then(|u| u.healthy)
            .map(|(_, at)| at)
    };
    servers
        .until(env, "it is healthy", |s| judged_at(s).is_some())
        .await;
    let first = judged_at(&servers.said.lock().unwrap());

    let next = DeploymentId(Uuid::from_u128(2));
    servers.want(Allocation {
        deployment_id: Some(next),
        ..web.clone()
    });
    let again = |s: &Said| judged_at(s).is_some_and(|at| Some(at) > first);
    servers.until(env, "it is healthy again", again).await;
}

/// Whoever restarts one allocation after the other counts on each having stopped.
#[tokio::test(start_paused = true)]
async fn a_restart_is_answered_when_the_process_has_ended() {
    let machine = Machine::new(6);
    let (client, _token) = machine.boot().await;
    let web = alloc(1, "service", json!({"kill_after": "3s"}));
    machine.servers.want(web.clone());
    let (env, servers) = (&machine.env, &machine.servers);
    servers
        .until(env, "it runs", is(web.id, AllocClientStatus::Running))
        .await;
    let begin = env.clock.now();
    for round in 1..=2 {
        let ask = NodeAsk::Restart {
            alloc: web.id,
            task: None,
            all: false,
        };
        client.ask(ask).await.expect("it restarts");
        assert!(env.clock.now() - begin >= Duration::from_secs(3 * round));
        let again = |s: &Said| {
            let state = &s.updates[&web.id].task_states["t"];
            state.restarts == round && state.events.last().is_some_and(|e| e.kind == "Started")
        };
        servers.until(env, "it runs again", again).await;
    }
}

/// The agent dies without a word and comes back: the same run of the task goes on.
#[tokio::test(start_paused = true)]
async fn a_restarted_agent_restarts_no_task() {
    let machine = Machine::new(4);
    let (_, token) = machine.boot().await;
    let web = alloc(1, "service", json!({}));
    machine.servers.want(web.clone());
    let (env, servers) = (&machine.env, &machine.servers);
    servers
        .until(env, "it runs", is(web.id, AllocClientStatus::Running))
        .await;
    let started = servers.said.lock().unwrap().updates[&web.id].task_states["t"].started_at;

    token.cancel();
    machine.store.crash();
    env.clock.sleep(Duration::from_secs(5)).await;
    servers.said.lock().unwrap().updates.clear();
    let (client, _token) = machine.boot().await;

    servers
        .until(env, "it still runs", is(web.id, AllocClientStatus::Running))
        .await;
    let said = servers.said.lock().unwrap();
    let state = &said.updates[&web.id].task_states["t"];
    assert_eq!((state.started_at, state.restarts), (started, 0));
    drop(said);
    assert_eq!(client.running(), 1);
}

/// Two servers' answers and a stop: a successor waits for its predecessor's port.
#[tokio::test(start_paused = true)]
async fn a_successor_waits_until_the_predecessor_is_gone() {
    let machine = Machine::new(5);
    let (_client, _token) = machine.boot().await;
    let old = alloc(1, "service", json!({"kill_after": "3s"}));
    machine.servers.want(old.clone());
    let (env, servers) = (&machine.env, &machine.servers);
    servers
        .until(
            env,
            "the old one runs",
            is(old.id, AllocClientStatus::Running),
        )
        .await;

    let new = Allocation {
        previous: Some(old.id),
        ..alloc(2, "service", json!({}))
    };
    servers.want(stopped(&old));
    servers.want(new.clone());
    servers
        .until(
            env,
            "the new one runs",
            is(new.id, AllocClientStatus::Running),
        )
        .await;
    let said = servers.said.lock().unwrap();
    let order: Vec<_> = said
        .history
        .iter()
        .filter(|(_, s)| *s != AllocClientStatus::Pending)
        .collect();
    let ended = order
        .iter()
        .position(|e| **e == (old.id, AllocClientStatus::Complete))
        .unwrap();
    let began = order
        .iter()
        .position(|e| **e == (new.id, AllocClientStatus::Running))
        .unwrap();
    assert!(ended < began, "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_tells_the_same_story() {
    async fn story(seed: u64) -> Vec<(AllocId, AllocClientStatus)> {
        let machine = Machine::new(seed);
        let (_client, _token) = machine.boot().await;
        for n in 1..6 {
            machine.servers.want(alloc(
                n,
                "service",
                json!({"run_for": "2s", "exit_code": 1}),
            ));
        }
        let over = |s: &Said| {
            s.updates.len() == 5
                && s.updates
                    .values()
                    .all(|u| u.client_status == AllocClientStatus::Failed)
        };
        machine
            .servers
            .until(&machine.env, "all failed", over)
            .await;

        machine.servers.said.lock().unwrap().history.clone()
    }
    assert_eq!(story(9).await, story(9).await);
}

#[tokio::test(start_paused = true)]
async fn metadata_that_is_set_is_registered_and_kept_over_a_restart() {
    let machine = Machine::new(11);
    let (client, token) = machine.boot().await;
    let registered = |said: &Said| said.node.is_some();
    machine
        .servers
        .until(&machine.env, "registered", registered)
        .await;
    let class = client.node().computed_class.clone();
    let set = BTreeMap::from([("rack".to_string(), Some("r7".to_string()))]);
    let answer = client.ask(NodeAsk::SetMeta(set.clone())).await.unwrap();
    let whole = BTreeMap::from([("rack".to_string(), "r7".to_string())]);
    assert_eq!(
        answer,
        NodeAnswer::Meta(whole.clone(), whole.clone(), BTreeMap::new())
    );
    let start = machine.env.clock.now();
    let told = |said: &Said| said.node.as_ref().is_some_and(|n| n.meta == whole);
    machine.servers.until(&machine.env, "told", told).await;
    assert!(machine.env.clock.now() - start < Duration::from_secs(1));
    // Placement looks at metadata, so the node is of another class now.
    let told = machine.servers.said.lock().unwrap().node.clone();
    assert_ne!(told.unwrap().computed_class, class);
    token.cancel();
    client.detach().await;

    let (client, _token) = machine.boot().await;
    assert_eq!(client.node().meta, whole);
    let bad = BTreeMap::from([("a b".to_string(), Some("x".to_string()))]);
    let refused = client.ask(NodeAsk::SetMeta(bad)).await.unwrap_err();
    assert!(matches!(refused, NodeError::BadRequest(text) if text.contains("\"a b\"")));
}
