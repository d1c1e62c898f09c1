//! The one task that owns the [`Core`], and the tasks of exchanges around it.
//!
//! Order of a turn: what has arrived, then due timers, then orders. Orders come through a
//! bounded inbox; exchanges run beside the loop and reach the core only through it.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    core::{Core, Out},
    exchange::{self, Brought, ExchangeError, Summary},
    keyring::{Keyring, SEAL},
    meet::{Intro, Refusal},
    records::{RecordError, Sent, Stamp},
    swim::{DATAGRAM_MAX, LABEL},
};
use crate::{
    env::{Conn, Datagram, Env, Listener, TaskGroup, timeout},
    model::{MemberRecord, Members},
};

/// Orders that wait; more make the sender wait.
const INBOX: usize = 256;

/// Datagrams taken in one turn before timers get theirs.
const BURST: usize = 64;

/// Exchanges that others may have open with us at once; more wait to be accepted.
const ANSWERS_MAX: usize = 32;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How a leave is spread out: word of it, then the leave itself a few times.
const LEAVE_NOTICE: Duration = Duration::from_millis(300);
const LEAVE_REPEATS: usize = 4;
const LEAVE_PAUSE: Duration = Duration::from_millis(200);

type Change = Box<dyn FnOnce(&mut MemberRecord) + Send>;

enum Order {
    Intro(oneshot::Sender<(Intro, u64)>),
    Judge(Intro, oneshot::Sender<Result<(), Box<Refusal>>>),
    Summary(oneshot::Sender<Summary>),
    Compare(
        BTreeMap<Uuid, Stamp>,
        oneshot::Sender<(Vec<Sent>, Vec<Uuid>)>,
    ),
    Records(Vec<Uuid>, oneshot::Sender<Vec<Sent>>),
    Merge(Brought, oneshot::Sender<()>),
    Update(Change, oneshot::Sender<Result<(), RecordError>>),
    ForceLeave(String, bool, oneshot::Sender<bool>),
    Leave(oneshot::Sender<()>),
}

/// How everybody else reaches the core.
#[derive(Clone)]
pub(super) struct Handle {
    orders: mpsc::Sender<Order>,
    keys: Keyring,
}

impl Handle {
    async fn ask<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<T>) -> Order,
    ) -> Result<T, ExchangeError> {
        let (answer, result) = oneshot::channel();
        self.orders
            .send(order(answer))
            .await
            .map_err(|_| ExchangeError::Stopped)?;
        result.await.map_err(|_| ExchangeError::Stopped)
    }

    pub(super) fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// Who we are, and our digest.
    pub(super) async fn intro(&self) -> Result<(Intro, u64), ExchangeError> {
        self.ask(Order::Intro).await
    }

    pub(super) async fn judge(
        &self,
        theirs: Intro,
    ) -> Result<Result<(), Box<Refusal>>, ExchangeError> {
        self.ask(|answer| Order::Judge(theirs, answer)).await
    }

    pub(super) async fn summary(&self) -> Result<Summary, ExchangeError> {
        self.ask(Order::Summary).await
    }

    pub(super) async fn compare(
        &self,
        theirs: BTreeMap<Uuid, Stamp>,
    ) -> Result<(Vec<Sent>, Vec<Uuid>), ExchangeError> {
        self.ask(|answer| Order::Compare(theirs, answer)).await
    }

    pub(super) async fn records_of(&self, ids: Vec<Uuid>) -> Result<Vec<Sent>, ExchangeError> {
        self.ask(|answer| Order::Records(ids, answer)).await
    }

    pub(super) async fn merge(&self, brought: Brought) -> Result<(), ExchangeError> {
        self.ask(|answer| Order::Merge(brought, answer)).await
    }

    pub(super) async fn update(
        &self,
        change: Change,
    ) -> Result<Result<(), RecordError>, ExchangeError> {
        self.ask(|answer| Order::Update(change, answer)).await
    }

    pub(super) async fn force_leave(
        &self,
        name: String,
        prune: bool,
    ) -> Result<bool, ExchangeError> {
        self.ask(|answer| Order::ForceLeave(name, prune, answer))
            .await
    }

    pub(super) async fn leave(&self) -> Result<(), ExchangeError> {
        self.ask(Order::Leave).await
    }
}

/// Whoever asked may have stopped waiting; then nobody needs the answer.
fn tell<T>(_: Result<(), T>) {}

/// Everything that the loop owns.
pub(super) struct Loop {
    env: Env,
    core: Core,
    socket: Box<dyn Datagram>,
    orders: mpsc::Receiver<Order>,
    handle: Handle,
    members: watch::Sender<Members>,
    exchanges: TaskGroup,
    stop: CancellationToken,
}

pub(super) struct Parts {
    pub(super) env: Env,
    pub(super) core: Core,
    pub(super) keys: Keyring,
    pub(super) socket: Box<dyn Datagram>,
    pub(super) listener: Box<dyn Listener>,
    pub(super) members: watch::Sender<Members>,
    pub(super) stop: CancellationToken,
}

impl Loop {
    /// The loop, not yet running, and what reaches it. Listening for exchanges starts here.
    pub(super) fn new(parts: Parts) -> (Self, Handle) {
        let (sender, orders) = mpsc::channel(INBOX);
        let handle = Handle {
            orders: sender,
            keys: parts.keys,
        };
        let exchanges = TaskGroup::new(parts.stop.child_token());
        let answering = Answering {
            env: parts.env.clone(),
            handle: handle.clone(),
            group: exchanges.clone(),
            slots: Arc::new(Semaphore::new(ANSWERS_MAX)),
        };
        exchanges.spawn("gossip exchanges", answering.accept(parts.listener));
        let it = Self {
            env: parts.env,
            core: parts.core,
            socket: parts.socket,
            orders,
            handle: handle.clone(),
            members: parts.members,
            exchanges,
            stop: parts.stop,
        };
        (it, handle)
    }

    /// Runs until cancelled or until the agent has left; returns when all exchanges have ended.
    pub(super) async fn run(mut self, first: Out) {
        self.perform(first).await;
        let mut buffer = vec![0; DATAGRAM_MAX + LABEL + SEAL + 1];
        let mut burst = 0;
        loop {
            let due = self.core.next_due();
            let late = due <= self.env.clock.now();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                received = self.socket.recv_from(&mut buffer), if burst < BURST || !late => {
                    burst += 1;
                    match received {
                        Ok((length, from)) => self.datagram(&buffer[..length], from).await,
                        Err(error) => self.receive_failed(&error).await,
                    }
                }
                () = self.env.clock.sleep_until(due) => {
                    burst = 0;
                    let out = self.core.tick(self.env.clock.now());
                    self.perform(out).await;
                    self.measure();
                }
                Some(order) = self.orders.recv() => {
                    if self.order(order).await {
                        break;
                    }
                }
            }
        }
        self.exchanges.shutdown().await;
    }

    async fn datagram(&mut self, bytes: &[u8], from: SocketAddr) {
        self.env
            .metrics
            .incr("tumen.gossip.datagrams", &[("direction", "in")]);
        let out = self.core.datagram(bytes, from, self.env.clock.now());
        self.perform(out).await;
    }

    /// A socket may report what became of an earlier datagram; that is no reason to stop.
    async fn receive_failed(&self, error: &std::io::Error) {
        tracing::debug!(target: "gossip", %error, "could not receive");
        self.env.metrics.incr("tumen.gossip.receive_error", &[]);
        self.env.clock.sleep(Duration::from_millis(10)).await;
    }

    async fn perform(&mut self, out: Out) {
        for (to, bytes) in out.datagrams {
            self.env
                .metrics
                .incr("tumen.gossip.datagrams", &[("direction", "out")]);
            if let Err(error) = self.socket.send_to(&bytes, to).await {
                tracing::debug!(target: "gossip", %to, %error, "could not send");
                self.env.metrics.incr("tumen.gossip.send_error", &[]);
            }
        }
        for addr in out.exchanges {
            let (env, handle) = (self.env.clone(), self.handle.clone());
            let token = self.exchanges.token().clone();
            self.exchanges
                .spawn(format!("gossip exchange with {addr}"), async move {
                    tokio::select! {
                        biased;
                        () = token.cancelled() => {}
                        result = with(&env, &handle, addr, false) => note(&env, addr, &result),
                    }
                });
        }
        if let Some(members) = out.members {
            self.members.send_replace(members);
        }
    }

    fn measure(&self) {
        let metrics = &self.env.metrics;
        metrics.gauge("tumen.gossip.refused", &[], self.core.refused as f64);
        metrics.gauge("tumen.gossip.unheard", &[], self.core.unheard as f64);
        metrics.gauge("tumen.gossip.renewals", &[], self.core.renewals as f64);
        metrics.gauge(
            "tumen.gossip.members",
            &[],
            self.members.borrow().len() as f64,
        );
    }

    /// Carries out an order; `true` after a leave. Whoever gave it may be gone by the answer.
    async fn order(&mut self, order: Order) -> bool {
        let now = self.env.clock.now();
        match order {
            Order::Intro(answer) => tell(answer.send((self.core.intro(), self.core.digest()))),
            Order::Judge(theirs, answer) => tell(answer.send(self.core.judge(&theirs))),
            Order::Summary(answer) => tell(answer.send(self.core.summary())),
            Order::Compare(theirs, answer) => tell(answer.send(self.core.compare(&theirs))),
            Order::Records(ids, answer) => tell(answer.send(self.core.records_of(&ids))),
            Order::Merge(brought, answer) => {
                let out = self.core.merge(brought, now);
                self.perform(out).await;
                tell(answer.send(()));
            }
            Order::Update(change, answer) => {
                let result = self.core.update(change, now);
                let result = match result {
                    Ok(out) => {
                        self.perform(out).await;
                        Ok(())
                    }
                    Err(error) => Err(error),
                };
                tell(answer.send(result));
            }
            Order::ForceLeave(name, prune, answer) => {
                let (found, out) = self.core.force_leave(&name, prune, now);
                self.perform(out).await;
                tell(answer.send(found));
            }
            Order::Leave(answer) => {
                self.leave().await;
                tell(answer.send(()));
                return true;
            }
        }
        false
    }

    /// Says goodbye for as long as it takes to be heard.
    async fn leave(&mut self) {
        match self.core.announce_leave(self.env.clock.now()) {
            Ok(out) => self.perform(out).await,
            Err(error) => tracing::warn!(target: "gossip", %error, "could not announce the leave"),
        }
        self.env.clock.sleep(LEAVE_NOTICE).await;
        let out = self.core.leave(self.env.clock.now());
        self.perform(out).await;
        for _ in 0..LEAVE_REPEATS {
            self.env.clock.sleep(LEAVE_PAUSE).await;
            let out = self.core.repeat(self.env.clock.now());
            self.perform(out).await;
        }
    }
}

/// Connects and exchanges.
pub(super) async fn with(
    env: &Env,
    handle: &Handle,
    addr: SocketAddr,
    always: bool,
) -> Result<(), ExchangeError> {
    let exchange = async {
        let mut conn = env.net.connect(addr, CONNECT_LIMIT).await?;
        exchange::call(handle, &mut conn, always).await
    };
    timeout(&*env.clock, exchange::LIMIT, exchange)
        .await
        .unwrap_or(Err(ExchangeError::TooSlow))
}

pub(super) fn note(env: &Env, addr: SocketAddr, result: &Result<(), ExchangeError>) {
    let outcome = match result {
        Ok(()) => "ok",
        Err(ExchangeError::Refused(_)) => "refused",
        Err(ExchangeError::Keys) => "keys",
        Err(ExchangeError::NotMember | ExchangeError::Version(_)) => "not_ours",
        Err(ExchangeError::TooLarge(_) | ExchangeError::Codec(_) | ExchangeError::Order) => {
            "malformed"
        }
        Err(ExchangeError::TooSlow) => "slow",
        Err(ExchangeError::Io(_) | ExchangeError::Myself | ExchangeError::Stopped) => "error",
    };
    env.metrics
        .incr("tumen.gossip.exchanges", &[("outcome", outcome)]);
    if let Err(error) = result {
        tracing::debug!(target: "gossip", %addr, %error, "an exchange failed");
    }
}

/// The side that others call.
#[derive(Clone)]
struct Answering {
    env: Env,
    handle: Handle,
    group: TaskGroup,
    slots: Arc<Semaphore>,
}

impl Answering {
    async fn accept(self, listener: Box<dyn Listener>) {
        loop {
            let next = async {
                let slot = self.slots.clone().acquire_owned().await;
                (slot, listener.accept().await)
            };
            let (slot, accepted) = tokio::select! {
                biased;
                () = self.group.token().cancelled() => return,
                next = next => next,
            };
            let Ok(slot) = slot else { return }; // nobody closes the semaphore
            match accepted {
                Ok((conn, from)) => self.start(conn, from, slot),
                Err(error) => {
                    tracing::warn!(target: "gossip", %error, "could not accept a connection");
                    self.env.clock.sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn start(&self, mut conn: Conn, from: SocketAddr, slot: OwnedSemaphorePermit) {
        let it = self.clone();
        self.group
            .spawn(format!("gossip exchange from {from}"), async move {
                let answer = exchange::answer(&it.handle, &mut conn);
                let result = tokio::select! {
                    biased;
                    () = it.group.token().cancelled() => Err(ExchangeError::Stopped),
                    result = timeout(&*it.env.clock, exchange::LIMIT, answer) => {
                        result.unwrap_or(Err(ExchangeError::TooSlow))
                    }
                };
                drop(slot);
                if matches!(result, Err(ExchangeError::Keys)) {
                    it.handle.keys().not_heard(from, it.env.clock.now());
                }
                note(&it.env, from, &result);
            });
    }
}
