//! The pool and the accept loop over the simulated network, with good and bad input.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::{
    frame::{FRAME_MAX, Frame, FrameKind, encode},
    hello::Refusal,
    stream::{RawFrame, RawStream, StreamFailure},
    *,
};
use crate::env::{Task, sim::SimWorld, spawn};

const SECOND: Duration = Duration::from_secs(1);

fn server_addr() -> SocketAddr {
    "10.0.0.1:4647".parse().unwrap()
}

/// Echoes; `slow…` never answers, `bad…` is rejected.
#[derive(Default)]
struct Echo {
    cancelled: AtomicUsize,
}

impl Service for Echo {
    fn handle(&self, request: Request) -> BoxFuture<'_, Result<Bytes, Reject>> {
        async move {
            if request.bytes.starts_with(b"slow") {
                request.cancelled.cancelled().await;
                self.cancelled.fetch_add(1, Ordering::Relaxed);
            }
            if request.bytes.starts_with(b"bad") {
                return Err(Reject("no such thing".to_owned()));
            }
            Ok(request.bytes)
        }
        .boxed()
    }
}

/// Sends back the opening request and then everything it gets, in capitals.
struct Shout;

impl StreamService for Shout {
    fn open(&self, request: Request, mut stream: RawStream) -> BoxFuture<'_, ()> {
        async move {
            stream.data(request.bytes).await;
            while let Some(RawFrame::Data(bytes)) = stream.recv.recv().await {
                if &bytes[..] == b"fail" {
                    let message = "asked to".to_owned();
                    return stream
                        .fail(StreamFailure::Failed {
                            status: 500,
                            message,
                        })
                        .await;
                }
                stream.data(bytes.to_ascii_uppercase()).await;
            }
        }
        .boxed()
    }
}

struct Rig {
    world: SimWorld,
    server: Env,
    echo: Arc<Echo>,
    pool: Pool,
    serving: Task<()>,
}

use crate::env::Env;

async fn rig() -> Rig {
    let world = SimWorld::new(11);
    let (server, client) = (world.env("server"), world.env("client"));
    let echo = Arc::new(Echo::default());
    let services = Services::new()
        .with(ConnKind::Api, echo.clone())
        .with_streams(Arc::new(Shout));
    let listener = server.net.listen(server_addr()).await.unwrap();
    let stop = CancellationToken::new();
    let serving = serve(
        server.clone(),
        listener,
        services,
        token(b"k"),
        stop.clone(),
    );
    let serving = spawn("serve", stop, serving);
    let pool = Pool::new(client, token(b"k"), CancellationToken::new());
    Rig {
        world,
        server,
        echo,
        pool,
        serving,
    }
}

fn token(bytes: &[u8]) -> ClusterToken {
    ClusterToken(bytes.to_vec())
}

impl Rig {
    async fn call(&self, request: &'static [u8]) -> Result<Bytes, CallError> {
        let request = Bytes::from_static(request);
        self.pool
            .call(server_addr(), ConnKind::Api, request, SECOND)
            .await
    }

    fn counted(&self, name: &str) -> u64 {
        let counters = self.server.metrics.snapshot().counters;
        counters
            .iter()
            .filter(|c| c.key.name == name)
            .map(|c| c.total.count)
            .sum()
    }
}

#[tokio::test(start_paused = true)]
async fn calls_share_a_connection_and_may_overtake_each_other() {
    let rig = rig().await;
    let (slow, fast) = tokio::join!(rig.call(b"slow"), rig.call(b"fast"));
    assert!(matches!(slow, Err(CallError::TimedOut { .. })), "{slow:?}");
    assert_eq!(&fast.unwrap()[..], b"fast");
    assert_eq!(&rig.call(b"again").await.unwrap()[..], b"again");
    rig.pool.ping(server_addr(), SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_cancels_the_handler() {
    let rig = rig().await;
    rig.call(b"slow").await.unwrap_err();
    while rig.echo.cancelled.load(Ordering::Relaxed) == 0 {
        rig.server.clock.sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_request_was_not_carried_out() {
    let error = rig().await.call(b"bad").await.unwrap_err();
    assert!(error.never_sent());
    assert_eq!(
        error.to_string(),
        "10.0.0.1:4647 rejected the request: no such thing"
    );
}

#[tokio::test(start_paused = true)]
async fn other_clusters_and_kinds_are_refused_with_a_reason() {
    let rig = rig().await;
    let raft = rig
        .pool
        .call(server_addr(), ConnKind::Raft, Bytes::new(), SECOND)
        .await;
    let Err(CallError::Refused { refusal, .. }) = raft else {
        panic!("{raft:?}")
    };
    assert_eq!(refusal, Refusal::NotServed("raft".to_owned()));

    let env = rig.world.env("stranger");
    let stranger = Pool::new(env, token(b"other"), CancellationToken::new());
    let answer = stranger
        .call(server_addr(), ConnKind::Api, Bytes::new(), SECOND)
        .await;
    let Err(CallError::Refused { refusal, .. }) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(refusal, Refusal::OtherCluster);
}

#[tokio::test(start_paused = true)]
async fn a_crash_fails_what_was_in_flight_and_the_port_then_refuses() {
    let rig = rig().await;
    rig.call(b"warm").await.unwrap();
    let crash = async {
        rig.server.clock.sleep(SECOND / 10).await;
        rig.world.network().crash("server");
    };
    let (answer, ()) = tokio::join!(rig.call(b"slow"), crash);
    assert!(matches!(answer, Err(CallError::Lost { .. })), "{answer:?}");
    let next = rig.call(b"fast").await.unwrap_err();
    assert!(next.port_refuses() && next.never_sent(), "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cut_link_is_noticed_and_a_healed_one_used_again() {
    let rig = rig().await;
    rig.call(b"warm").await.unwrap();
    rig.world.network().cut("server", "client");
    let request = Bytes::from_static(b"x");
    let long = SECOND * 60;
    let start = rig.server.clock.now();
    let answer = rig
        .pool
        .call(server_addr(), ConnKind::Api, request, long)
        .await;
    assert!(matches!(answer, Err(CallError::Lost { .. })), "{answer:?}");
    assert!(rig.server.clock.now() - start <= pool::SILENT_MAX + SECOND);
    rig.world.network().heal_all();
    rig.call(b"back").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_stays_open() {
    let rig = rig().await;
    rig.call(b"first").await.unwrap();
    rig.server.clock.sleep(SECOND * 60).await;
    rig.call(b"second").await.unwrap();
    assert_eq!(rig.counted("tumen.rpc.broken"), 0);
}

#[tokio::test(start_paused = true)]
async fn stop_ends_every_handler_and_waits() {
    let Rig {
        server,
        echo,
        pool,
        serving,
        ..
    } = rig().await;
    let slow = pool.call(
        server_addr(),
        ConnKind::Api,
        Bytes::from_static(b"slow"),
        SECOND,
    );
    let (answer, stopped) = tokio::join!(slow, async {
        server.clock.sleep(SECOND / 10).await;
        serving.stop().await
    });
    assert!(answer.is_err());
    stopped.unwrap();
    assert_eq!(echo.cancelled.load(Ordering::Relaxed), 1);
    pool.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_beyond_the_limit_is_not_sent() {
    let rig = rig().await;
    let request = Bytes::from(vec![0; FRAME_MAX]);
    let answer = rig
        .pool
        .call(server_addr(), ConnKind::Api, request, SECOND)
        .await;
    assert!(
        matches!(answer, Err(CallError::TooLarge { .. })),
        "{answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_flows_both_ways_and_ends() {
    let rig = rig().await;
    let opening = Bytes::from_static(b"hello");
    let mut stream = rig.pool.open(server_addr(), opening, SECOND).await.unwrap();
    assert!(stream.data(&b"more"[..]).await);
    for expected in [&b"hello"[..], b"MORE"] {
        let frame = stream.recv.recv().await.unwrap();
        assert_eq!(frame, RawFrame::Data(Bytes::from_static(expected)));
    }
    drop(stream.send);
    assert_eq!(stream.recv.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_a_failure_and_a_lost_connection_from_an_end() {
    let rig = rig().await;
    let open = || {
        rig.pool
            .open(server_addr(), Bytes::from_static(b"o"), SECOND)
    };
    let mut stream = open().await.unwrap();
    stream.data(&b"fail"[..]).await;
    stream.recv.recv().await.unwrap();
    let failed = StreamFailure::Failed {
        status: 500,
        message: "asked to".to_owned(),
    };
    assert_eq!(stream.recv.recv().await, Some(RawFrame::Failed(failed)));

    let mut stream = open().await.unwrap();
    stream.recv.recv().await.unwrap();
    rig.world.network().crash("server");
    assert_eq!(
        stream.recv.recv().await,
        Some(RawFrame::Failed(StreamFailure::Lost))
    );
    assert_eq!(stream.recv.recv().await, None);
}

/// Whatever arrives instead of frames costs the sender its connection and nothing else.
#[tokio::test(start_paused = true)]
async fn garbage_is_counted_and_harms_nobody() {
    let rig = rig().await;
    let mut hello = bytes::BytesMut::new();
    encode(
        &Frame::new(FrameKind::Request, 0, &b"early"[..]),
        FRAME_MAX,
        &mut hello,
    )
    .unwrap();
    let random: Vec<u8> = {
        let mut bytes = vec![0; 4096];
        rig.server.entropy.fill(&mut bytes);
        bytes
    };
    let cases: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xff\xff\xff and more",
        b"\x03\0\0\0abc",
        b"\x0e\0\0\0\x01",
        &hello,
        &random,
    ];
    for bytes in cases {
        let stranger = rig.world.env("stranger");
        let mut conn = stranger.net.connect(server_addr(), SECOND).await.unwrap();
        conn.write_all(bytes).await.unwrap();
        conn.shutdown().await.unwrap();
        let mut rest = Vec::new();
        conn.read_to_end(&mut rest).await.unwrap();
    }
    assert_eq!(rig.counted("tumen.rpc.hello_error"), 6);
    rig.call(b"still here").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn garbage_after_the_hello_ends_that_connection_alone() {
    let rig = rig().await;
    let env = rig.world.env("client");
    let conn = env.net.connect(server_addr(), SECOND).await.unwrap();
    let greeting = hello::greet(&*env.clock, conn, ConnKind::Api, &token(b"k")).await;
    let mut greeted = greeting.unwrap();
    greeted
        .writer
        .send(&Frame::bare(FrameKind::Welcome, 1))
        .await
        .unwrap();
    assert_eq!(greeted.reader.next().await.unwrap(), None);
    assert_eq!(rig.counted("tumen.rpc.broken"), 1);
    rig.call(b"still here").await.unwrap();
}
