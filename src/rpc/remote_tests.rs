//! The traits over the simulated network: forwarding, failing over, streams.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    node::{
        ExecInput, ExecOpen, ExecOutput, ExecStream, FrameStream, Nodes, StreamFrame, StreamOpen,
    },
    *,
};
use crate::{
    env::{Task, TaskGroup, sim::SimWorld, spawn},
    model::{AllocId, NodeId, RequestId},
};

/// A server that answers with its own number, or names its leader.
struct Fake {
    number: u64,
    leader: Mutex<Option<Option<SocketAddr>>>,
    calls: AtomicUsize,
}

impl Fake {
    fn answer<T>(&self, value: T) -> BoxFuture<'_, Result<T, ApiError>>
    where
        T: Send + 'static,
    {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let elsewhere = *self.leader.lock().unwrap();
        let result = match elsewhere {
            Some(hint) => Err(ApiError::NotLeader { hint }),
            None => Ok(value),
        };
        std::future::ready(result).boxed()
    }
}

impl Api for Fake {
    fn read(&self, _: Query) -> BoxFuture<'_, Result<Answer, ApiError>> {
        self.answer(Answer {
            index: self.number,
            known_leader: true,
            last_contact: Duration::ZERO,
            body: Body::Nodes(Vec::new()),
        })
    }

    fn call(&self, _: Call) -> BoxFuture<'_, Result<Reply, ApiError>> {
        self.answer(Reply::Done { index: self.number })
    }
}

/// Echoes: exec input as output, one frame per byte of a path.
struct FakeNode;

impl NodeApi for FakeNode {
    fn ask(&self, ask: NodeAsk) -> BoxFuture<'_, Result<NodeAnswer, NodeError>> {
        let answer = match ask {
            NodeAsk::GcAll => Ok(NodeAnswer::Done),
            other => Err(NodeError::NotFound(format!("no {other:?}"))),
        };
        std::future::ready(answer).boxed()
    }

    fn stream(&self, open: StreamOpen) -> BoxFuture<'_, Result<FrameStream, NodeError>> {
        async move {
            let StreamOpen::File { path, .. } = open else {
                return Err(NodeError::NotFound("unknown allocation".to_owned()));
            };
            let (send, recv) = mpsc::channel(64);
            for byte in path.into_bytes() {
                let data = Bytes::copy_from_slice(&[byte]);
                send.send(Ok(StreamFrame {
                    data,
                    ..StreamFrame::default()
                }))
                .await
                .unwrap();
            }
            Ok(recv)
        }
        .boxed()
    }

    fn exec(&self, _: ExecOpen) -> BoxFuture<'_, Result<ExecStream, NodeError>> {
        let (input, mut inputs) = mpsc::channel(4);
        let (outputs, output) = mpsc::channel(4);
        drop(spawn(
            "fake command",
            CancellationToken::new(),
            async move {
                while let Some(ExecInput::Stdin(bytes)) = inputs.recv().await {
                    outputs.send(ExecOutput::Stdout(bytes)).await.unwrap();
                }
                outputs.send(ExecOutput::Exited(3)).await.unwrap();
            },
        ));
        std::future::ready(Ok(ExecStream { input, output })).boxed()
    }
}

struct Server {
    fake: Arc<Fake>,
    addr: SocketAddr,
    _serving: Task<()>,
}

async fn server(world: &SimWorld, number: u64) -> Server {
    let env = world.env(&format!("s{number}"));
    let addr: SocketAddr = format!("10.0.0.{number}:4647").parse().unwrap();
    let fake = Arc::new(Fake {
        number,
        leader: Mutex::default(),
        calls: AtomicUsize::new(0),
    });
    let stop = CancellationToken::new();
    let pool = Pool::new(env.clone(), ClusterToken::default(), stop.clone());
    let forwarding = Arc::new(Forwarding::new(env.clone(), pool, fake.clone()));
    let node = Arc::new(NodeService::new(Arc::new(FakeNode)));
    let services = Services::new()
        .with(
            ConnKind::Api,
            Arc::new(ApiService::new(fake.clone(), forwarding)),
        )
        .with(ConnKind::Node, node.clone())
        .with_streams(node);
    let listener = env.net.listen(addr).await.unwrap();
    let serving = serve(
        env,
        listener,
        services,
        ClusterToken::default(),
        stop.clone(),
    );
    Server {
        fake,
        addr,
        _serving: spawn("server", stop, serving),
    }
}

fn remote(world: &SimWorld, servers: &[&Server]) -> (RemoteApi, watch::Sender<Vec<SocketAddr>>) {
    let env = world.env("agent");
    let pool = Pool::new(
        env.clone(),
        ClusterToken::default(),
        CancellationToken::new(),
    );
    let known = watch::Sender::new(servers.iter().map(|server| server.addr).collect::<Vec<_>>());
    (RemoteApi::new(env, pool, known.subscribe()), known)
}

fn node(world: &SimWorld, server: &Server) -> RemoteNode {
    let env = world.env("agent");
    let pool = Pool::new(env, ClusterToken::default(), CancellationToken::new());
    RemoteNode::new(pool, server.addr, TaskGroup::new(CancellationToken::new()))
}

fn call() -> Call {
    let request = RequestId(Uuid::from_u128(1));
    Call {
        request,
        timeout: Duration::from_secs(10),
        op: Op::SystemGc,
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_reaches_the_leader_over_any_server() {
    let world = SimWorld::new(5);
    let (one, two) = (server(&world, 1).await, server(&world, 2).await);
    *one.fake.leader.lock().unwrap() = Some(Some(two.addr));
    let (api, _known) = remote(&world, &[&one]);
    assert_eq!(api.call(call()).await, Ok(Reply::Done { index: 2 }));
    assert_eq!(api.read(Query::now(Read::Nodes)).await.unwrap().index, 2);
    assert_eq!(api.current(), Some(one.addr));
}

/// Two servers that take each other for the leader must not play ball.
#[tokio::test(start_paused = true)]
async fn a_forwarded_request_is_not_forwarded_again() {
    let world = SimWorld::new(5);
    let (one, two) = (server(&world, 1).await, server(&world, 2).await);
    *one.fake.leader.lock().unwrap() = Some(Some(two.addr));
    *two.fake.leader.lock().unwrap() = Some(Some(one.addr));
    let (api, _known) = remote(&world, &[&one]);
    assert_eq!(api.call(call()).await, Err(ApiError::NoLeader));
    let (asked, told) = (
        one.fake.calls.load(Ordering::Relaxed),
        two.fake.calls.load(Ordering::Relaxed),
    );
    assert!(asked.abs_diff(told) <= 1, "{asked} and {told}");
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_an_election() {
    let world = SimWorld::new(5);
    let one = server(&world, 1).await;
    *one.fake.leader.lock().unwrap() = Some(None);
    let (api, _known) = remote(&world, &[&one]);
    let elect = async {
        world.env("x").clock.sleep(Duration::from_secs(2)).await;
        *one.fake.leader.lock().unwrap() = None;
    };
    let (reply, ()) = tokio::join!(api.call(call()), elect);
    assert_eq!(reply, Ok(Reply::Done { index: 1 }));
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_gives_up_on_an_election_like_any_other_read() {
    let world = SimWorld::new(5);
    let one = server(&world, 1).await;
    *one.fake.leader.lock().unwrap() = Some(None);
    let (api, _known) = remote(&world, &[&one]);
    let clock = world.env("x").clock;
    let start = clock.now();
    let poll = Query {
        wait: Duration::from_secs(300),
        ..Query::now(Read::Nodes)
    };
    assert_eq!(api.read(poll).await.unwrap_err(), ApiError::NoLeader);
    assert!(clock.now() - start < Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_is_left_for_a_living_one() {
    let world = SimWorld::new(5);
    let (one, two) = (server(&world, 1).await, server(&world, 2).await);
    let (api, _known) = remote(&world, &[&one, &two]);
    api.call(call()).await.unwrap();
    let first = api.current().unwrap();
    world
        .network()
        .crash(if first == one.addr { "s1" } else { "s2" });
    api.call(call()).await.unwrap();
    assert_ne!(api.current(), Some(first));
}

#[tokio::test(start_paused = true)]
async fn without_any_server_the_answer_is_no_leader() {
    let world = SimWorld::new(5);
    let (api, known) = remote(&world, &[]);
    assert_eq!(api.call(call()).await, Err(ApiError::NoLeader));
    let late = server(&world, 1).await;
    known.send_replace(vec![late.addr]);
    api.call(call()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_fate_is_unknown_says_so() {
    let world = SimWorld::new(5);
    let one = server(&world, 1).await;
    let (api, _known) = remote(&world, &[&one]);
    api.call(call()).await.unwrap();
    world.network().cut("agent", "s1");
    let result = api.call(call()).await;
    assert!(matches!(result, Err(ApiError::Unknown(_))), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_is_asked_and_its_words_come_back() {
    let world = SimWorld::new(5);
    let one = server(&world, 1).await;
    let node = node(&world, &one);
    assert_eq!(node.ask(NodeAsk::GcAll).await, Ok(NodeAnswer::Done));
    let error = node.ask(NodeAsk::Host).await;
    assert_eq!(error, Err(NodeError::NotFound("no Host".to_owned())));
    world.network().crash("s1");
    assert_eq!(node.ask(NodeAsk::GcAll).await, Err(NodeError::NoPath));
}

fn file(path: &str) -> StreamOpen {
    let alloc = AllocId(Uuid::from_u128(1));
    let from = node::From::Start(0);
    StreamOpen::File {
        alloc,
        path: path.to_owned(),
        follow: false,
        from,
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_streams_to_its_end_or_is_refused() {
    let world = SimWorld::new(5);
    let one = server(&world, 1).await;
    let node = node(&world, &one);
    let mut frames = node.stream(file("abc")).await.unwrap();
    let mut got = Vec::new();
    while let Some(frame) = frames.recv().await {
        got.extend_from_slice(&frame.unwrap().data);
    }
    assert_eq!(got, b"abc");

    let alloc = AllocId(Uuid::from_u128(1));
    let from = node::From::Start(0);
    let task = "web".to_owned();
    let logs = StreamOpen::Logs {
        alloc,
        task,
        stderr: false,
        follow: true,
        from,
    };
    let error = node.stream(logs).await.unwrap_err();
    assert_eq!(error, NodeError::NotFound("unknown allocation".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_command_talks_and_ends() {
    let world = SimWorld::new(5);
    let one = server(&world, 1).await;
    let open = ExecOpen {
        alloc: AllocId(Uuid::from_u128(1)),
        task: "web".to_owned(),
        command: vec!["cat".to_owned()],
        tty: false,
    };
    let mut exec = node(&world, &one).exec(open.clone()).await.unwrap();
    exec.input
        .send(ExecInput::Stdin(Bytes::from_static(b"hi")))
        .await
        .unwrap();
    let echoed = exec.output.recv().await;
    assert_eq!(echoed, Some(ExecOutput::Stdout(Bytes::from_static(b"hi"))));
    exec.input.send(ExecInput::CloseStdin).await.unwrap();
    assert_eq!(exec.output.recv().await, Some(ExecOutput::Exited(3)));

    let mut lost = node(&world, &one).exec(open).await.unwrap();
    world.network().crash("s1");
    let last = lost.output.recv().await;
    assert!(matches!(last, Some(ExecOutput::Failed(_))), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_is_this_agents_own_or_another() {
    let world = SimWorld::new(5);
    let one = server(&world, 1).await;
    let pool = Pool::new(
        world.env("agent"),
        ClusterToken::default(),
        CancellationToken::new(),
    );
    let (own, other) = (NodeId(Uuid::from_u128(1)), NodeId(Uuid::from_u128(2)));
    let local: Arc<dyn NodeApi> = Arc::new(FakeNode);
    let nodes = RemoteNodes::new(pool, Some((own, local.clone())), CancellationToken::new());
    assert!(Arc::ptr_eq(&nodes.node(own, one.addr), &local));
    let stream = nodes.node(other, one.addr).stream(file("abc")).await;
    assert!(stream.unwrap().recv().await.unwrap().is_ok());
    nodes.shutdown().await;
}
