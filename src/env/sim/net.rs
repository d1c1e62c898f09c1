//! An in-memory network: streams that take time, datagrams that may get lost, links to cut.
//!
//! All machines share one address space. Between two machines every byte takes the latency
//! that the seed gave to their link. A cut link delivers nothing: datagrams are lost, streams
//! stand still until it is healed, connects run into their limit. Of a program that was killed
//! the listeners are gone and the streams are reset; a machine without power is silent.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use super::pipe::{Pipe, SimStream};

use crate::env::{Conn, Datagram, Entropy, Listener, Net, sim::SimEntropy};

/// Connections that wait to be accepted; more are refused.
const BACKLOG: usize = 128;

/// Datagrams that wait to be read; more are lost.
const INBOX: usize = 1024;

/// The smallest and largest one-way latency that a link gets, in microseconds.
const LATENCY_US: std::ops::Range<u64> = 100..900;

pub(super) type Machine = Arc<str>;

/// The network that all machines of a world share.
#[derive(Clone)]
pub struct SimNetwork {
    state: Arc<Mutex<State>>,
    entropy: Arc<SimEntropy>,
    seed: u64,
}

#[derive(Default)]
struct State {
    listeners: BTreeMap<SocketAddr, (Machine, mpsc::Sender<(Conn, SocketAddr)>)>,
    sockets: BTreeMap<SocketAddr, (Machine, mpsc::Sender<Packet>)>,
    cut: BTreeSet<(Machine, Machine)>,
    /// Machines without power.
    off: BTreeSet<Machine>,
    /// Added to the latency of every link.
    delay: Duration,
    pipes: Vec<(Machine, Machine, Weak<Mutex<Pipe>>)>,
    loss_percent: u64,
    next_port: u16,
}

struct Packet {
    due: Instant,
    bytes: Vec<u8>,
    from: SocketAddr,
}

impl SimNetwork {
    pub fn new(seed: u64) -> Self {
        let state = State {
            next_port: 40_000,
            ..State::default()
        };
        let entropy = Arc::new(SimEntropy::named(seed, "network"));
        Self {
            state: Arc::new(Mutex::new(state)),
            entropy,
            seed,
        }
    }

    /// Cuts the link between two machines, both ways.
    pub fn cut(&self, a: &str, b: &str) {
        self.lock().cut.insert(link(a, b));
    }

    /// Heals one link; streams over it go on where they stood.
    pub fn heal(&self, a: &str, b: &str) {
        let mut state = self.lock();
        state.cut.remove(&link(a, b));
        state.wake_all();
    }

    /// Heals every link.
    pub fn heal_all(&self) {
        let mut state = self.lock();
        state.cut.clear();
        state.loss_percent = 0;
        state.delay = Duration::ZERO;
        state.wake_all();
    }

    /// Loses this share of all datagrams between machines.
    pub fn lose(&self, percent: u64) {
        self.lock().loss_percent = percent.min(100);
    }

    /// Makes everything between machines take so much longer.
    pub fn slow(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    /// The machine is silent: who speaks to it hears nothing, not even a refusal.
    pub fn power_off(&self, machine: &str) {
        self.lock().off.insert(machine.into());
    }

    /// The machine is back, and knows nothing of the streams that it had.
    pub fn power_on(&self, machine: &str) {
        self.lock().off.remove(machine);
        self.crash(machine);
    }

    /// The machine's programs are gone: its addresses refuse, its streams are reset.
    pub fn crash(&self, machine: &str) {
        let mut state = self.lock();
        state.listeners.retain(|_, (owner, _)| **owner != *machine);
        state.sockets.retain(|_, (owner, _)| **owner != *machine);
        for (from, to, pipe) in &state.pipes {
            if (**from == *machine || **to == *machine)
                && let Some(pipe) = pipe.upgrade()
            {
                locked(&pipe).reset();
            }
        }
        state.pipes.retain(|(_, _, pipe)| pipe.strong_count() > 0);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    pub(super) fn is_cut(&self, a: &str, b: &str) -> bool {
        self.lock().is_cut(a, b)
    }

    /// What is to be added to the latency of the link between two machines.
    pub(super) fn delay(&self, a: &str, b: &str) -> Duration {
        self.lock().delay(a, b)
    }

    /// A link's latency depends on the seed and its ends alone.
    fn latency(&self, a: &str, b: &str) -> Duration {
        if a == b {
            return Duration::from_micros(20);
        }
        let (a, b) = link(a, b);
        let link = SimEntropy::named(self.seed, &format!("link {a} {b}"));
        Duration::from_micros(link.range(LATENCY_US))
    }

    fn pair(&self, client: &Machine, server: &Machine) -> (SimStream, SimStream) {
        let latency = self.latency(client, server);
        let mut state = self.lock();
        state.pipes.retain(|(_, _, pipe)| pipe.strong_count() > 0);
        let mut make = |from: &Machine, to: &Machine| {
            let pipe = Pipe::new(latency);
            state
                .pipes
                .push((from.clone(), to.clone(), Arc::downgrade(&pipe)));
            pipe
        };
        let (up, down) = (make(client, server), make(server, client));
        let ends = (client.clone(), server.clone());
        let near = SimStream::new(self.clone(), ends.clone(), down.clone(), up.clone());
        (near, SimStream::new(self.clone(), ends, up, down))
    }
}

impl State {
    fn is_cut(&self, a: &str, b: &str) -> bool {
        let off = a != b && (self.off.contains(a) || self.off.contains(b));
        off || self.cut.contains(&link(a, b))
    }

    fn delay(&self, a: &str, b: &str) -> Duration {
        if a == b { Duration::ZERO } else { self.delay }
    }

    fn wake_all(&self) {
        for (_, _, pipe) in &self.pipes {
            if let Some(pipe) = pipe.upgrade() {
                locked(&pipe).wake();
            }
        }
    }

    /// The address itself, or with a free port in place of 0.
    fn free(&mut self, mut addr: SocketAddr) -> SocketAddr {
        while addr.port() == 0 {
            addr.set_port(self.next_port);
            self.next_port = self.next_port.checked_add(1).unwrap_or(40_000);
            if self.listeners.contains_key(&addr) || self.sockets.contains_key(&addr) {
                addr.set_port(0);
            }
        }
        addr
    }
}

fn link(a: &str, b: &str) -> (Machine, Machine) {
    if a <= b {
        (a.into(), b.into())
    } else {
        (b.into(), a.into())
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The network as one machine sees it.
pub struct SimNet {
    network: SimNetwork,
    machine: Machine,
}

impl SimNet {
    pub fn new(network: SimNetwork, machine: &str) -> Self {
        Self {
            network,
            machine: machine.into(),
        }
    }

    async fn dial(&self, addr: SocketAddr, limit: Duration) -> io::Result<Conn> {
        let target = self.network.lock().listeners.get(&addr).cloned();
        let owner = target
            .as_ref()
            .map_or(&self.machine, |(owner, _)| owner)
            .clone();
        if self.network.is_cut(&self.machine, &owner) {
            sleep(limit).await;
            return Err(io::ErrorKind::TimedOut.into());
        }
        let latency = self.network.latency(&self.machine, &owner);
        sleep((latency + self.network.delay(&self.machine, &owner)) * 2).await;
        let Some((_, backlog)) = target else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let (ours, theirs) = self.network.pair(&self.machine, &owner);
        let from = self.network.lock().free(SocketAddr::new(addr.ip(), 0));
        match backlog.try_send((Box::new(theirs), from)) {
            Ok(()) => Ok(Box::new(ours)),
            Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

impl Net for SimNet {
    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        let mut state = self.network.lock();
        let addr = state.free(addr);
        let taken = state
            .listeners
            .get(&addr)
            .is_some_and(|(_, sender)| !sender.is_closed());
        if taken {
            return std::future::ready(Err(io::ErrorKind::AddrInUse.into())).boxed();
        }
        let (sender, inbox) = mpsc::channel(BACKLOG);
        state.listeners.insert(addr, (self.machine.clone(), sender));
        let listener = SimListener {
            addr,
            inbox: tokio::sync::Mutex::new(inbox),
        };
        std::future::ready(Ok(Box::new(listener) as Box<dyn Listener>)).boxed()
    }

    fn connect(&self, addr: SocketAddr, limit: Duration) -> BoxFuture<'_, io::Result<Conn>> {
        self.dial(addr, limit).boxed()
    }

    fn bind_udp(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagram>>> {
        let mut state = self.network.lock();
        let addr = state.free(addr);
        if state
            .sockets
            .get(&addr)
            .is_some_and(|(_, sender)| !sender.is_closed())
        {
            return std::future::ready(Err(io::ErrorKind::AddrInUse.into())).boxed();
        }
        let (sender, inbox) = mpsc::channel(INBOX);
        state.sockets.insert(addr, (self.machine.clone(), sender));
        let socket = SimSocket {
            network: self.network.clone(),
            machine: self.machine.clone(),
            addr,
            inbox: tokio::sync::Mutex::new(inbox),
            waiting: Mutex::default(),
        };
        std::future::ready(Ok(Box::new(socket) as Box<dyn Datagram>)).boxed()
    }

    fn resolve<'a>(&'a self, target: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        let local = target.replace("localhost", "127.0.0.1");
        let found = local.parse().map(|addr| vec![addr]);
        let found = found.map_err(|_| io::Error::new(io::ErrorKind::NotFound, "no such host"));
        std::future::ready(found).boxed()
    }
}

struct SimListener {
    addr: SocketAddr,
    inbox: tokio::sync::Mutex<mpsc::Receiver<(Conn, SocketAddr)>>,
}

impl Listener for SimListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(Conn, SocketAddr)>> {
        async move {
            let next = self.inbox.lock().await.recv().await;
            next.ok_or_else(|| io::ErrorKind::ConnectionAborted.into())
        }
        .boxed()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

struct SimSocket {
    network: SimNetwork,
    machine: Machine,
    addr: SocketAddr,
    inbox: tokio::sync::Mutex<mpsc::Receiver<Packet>>,
    /// Taken from the inbox, still on its way: kept here so that receiving can be cancelled.
    waiting: Mutex<Option<Packet>>,
}

impl SimSocket {
    fn send(&self, bytes: &[u8], to: SocketAddr) {
        let state = self.network.lock();
        let Some((owner, inbox)) = state.sockets.get(&to) else {
            return;
        };
        let remote = *owner != self.machine;
        let lost = remote && self.network.entropy.range(0..100) < state.loss_percent;
        if lost || state.is_cut(&self.machine, owner) {
            return;
        }
        let latency = self.network.latency(&self.machine, owner);
        let due = Instant::now() + latency + state.delay(&self.machine, owner);
        // A full inbox loses the datagram, as a socket buffer would.
        drop(inbox.try_send(Packet {
            due,
            bytes: bytes.to_vec(),
            from: self.addr,
        }));
    }
}

impl Datagram for SimSocket {
    fn send_to<'a>(&'a self, bytes: &'a [u8], to: SocketAddr) -> BoxFuture<'a, io::Result<()>> {
        self.send(bytes, to);
        std::future::ready(Ok(())).boxed()
    }

    fn recv_from<'a>(
        &'a self,
        buffer: &'a mut [u8],
    ) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        async move {
            let mut inbox = self.inbox.lock().await;
            let held = locked(&self.waiting).as_ref().map(|packet| packet.due);
            let due = match held {
                Some(due) => due,
                None => {
                    let gone = io::ErrorKind::ConnectionAborted;
                    let packet = inbox.recv().await.ok_or(gone)?;
                    let due = packet.due;
                    *locked(&self.waiting) = Some(packet);
                    due
                }
            };
            sleep_until(due).await;
            let packet = locked(&self.waiting).take();
            let packet = packet.expect("only the holder of the inbox takes the waiting packet");
            let length = packet.bytes.len().min(buffer.len());
            buffer[..length].copy_from_slice(&packet.bytes[..length]);
            Ok((length, packet.from))
        }
        .boxed()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::env::sim::SimWorld;

    const SERVER: &str = "10.0.0.1:4647";
    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_stream_carries_bytes_both_ways_and_takes_time() {
        let world = SimWorld::new(1);
        let (a, b) = (world.env("a"), world.env("b"));
        let listener = a.net.listen(SERVER.parse().unwrap()).await.unwrap();
        let mut ours = b
            .net
            .connect(SERVER.parse().unwrap(), SECOND)
            .await
            .unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();

        let start = Instant::now();
        ours.write_all(b"ping").await.unwrap();
        let mut got = [0; 4];
        theirs.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"ping");
        assert!(start.elapsed() >= Duration::from_micros(LATENCY_US.start));

        theirs.write_all(b"pong").await.unwrap();
        drop(theirs);
        let mut rest = Vec::new();
        ours.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"pong");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_link_stands_still_and_goes_on_when_healed() {
        let world = SimWorld::new(1);
        let (a, b) = (world.env("a"), world.env("b"));
        let listener = a.net.listen(SERVER.parse().unwrap()).await.unwrap();
        let mut ours = b
            .net
            .connect(SERVER.parse().unwrap(), SECOND)
            .await
            .unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        world.network().cut("b", "a");
        ours.write_all(b"x").await.unwrap();
        let mut got = [0; 1];
        tokio::time::timeout(SECOND, theirs.read_exact(&mut got))
            .await
            .unwrap_err();
        let late = b.net.connect(SERVER.parse().unwrap(), SECOND).await;
        assert_eq!(late.err().unwrap().kind(), io::ErrorKind::TimedOut);
        world.network().heal("a", "b");
        theirs.read_exact(&mut got).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_crash_resets_streams_and_refuses_new_ones() {
        let world = SimWorld::new(1);
        let (a, b) = (world.env("a"), world.env("b"));
        let listener = a.net.listen(SERVER.parse().unwrap()).await.unwrap();
        let mut ours = b
            .net
            .connect(SERVER.parse().unwrap(), SECOND)
            .await
            .unwrap();
        let _theirs = listener.accept().await.unwrap();
        world.network().crash("a");
        let error = ours.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let late = b.net.connect(SERVER.parse().unwrap(), SECOND).await;
        assert_eq!(late.err().unwrap().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_without_power_is_silent_and_forgets_its_streams() {
        let world = SimWorld::new(1);
        let (a, b) = (world.env("a"), world.env("b"));
        let at: SocketAddr = SERVER.parse().unwrap();
        let listener = a.net.listen(at).await.unwrap();
        let mut ours = b.net.connect(at, SECOND).await.unwrap();
        let theirs = listener.accept().await.unwrap();
        world.network().power_off("a");
        drop((theirs, listener));
        let mut got = [0; 1];
        tokio::time::timeout(SECOND, ours.read_exact(&mut got))
            .await
            .unwrap_err();
        let late = b.net.connect(at, SECOND).await;
        assert_eq!(late.err().unwrap().kind(), io::ErrorKind::TimedOut);
        world.network().power_on("a");
        let error = ours.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let _again = a.net.listen(at).await.unwrap();
        b.net.connect(at, SECOND).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_network_delays_streams_and_datagrams() {
        let world = SimWorld::new(1);
        let (a, b) = (world.env("a"), world.env("b"));
        let at: SocketAddr = SERVER.parse().unwrap();
        let listener = a.net.listen(at).await.unwrap();
        let inbox = a.net.bind_udp(at).await.unwrap();
        let mut ours = b.net.connect(at, SECOND).await.unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        world.network().slow(SECOND);
        let start = Instant::now();
        ours.write_all(b"x").await.unwrap();
        theirs.read_u8().await.unwrap();
        assert!(start.elapsed() >= SECOND);
        let start = Instant::now();
        let out = b.net.bind_udp("10.0.0.2:0".parse().unwrap()).await.unwrap();
        out.send_to(b"y", at).await.unwrap();
        inbox.recv_from(&mut [0; 1]).await.unwrap();
        assert!(start.elapsed() >= SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn datagrams_arrive_or_are_lost() {
        let world = SimWorld::new(1);
        let (a, b) = (world.env("a"), world.env("b"));
        let at: SocketAddr = SERVER.parse().unwrap();
        let inbox = a.net.bind_udp(at).await.unwrap();
        let out = b.net.bind_udp("10.0.0.2:0".parse().unwrap()).await.unwrap();
        world.network().lose(100);
        out.send_to(b"lost", at).await.unwrap();
        world.network().heal_all();
        out.send_to(b"kept", at).await.unwrap();
        let mut buffer = [0; 16];
        let (length, from) = inbox.recv_from(&mut buffer).await.unwrap();
        assert_eq!(
            (&buffer[..length], from),
            (&b"kept"[..], out.local_addr().unwrap())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_bound_once() {
        let net = SimWorld::new(1).env("a").net;
        let first = net.listen(SERVER.parse().unwrap()).await.unwrap();
        let second = net.listen(SERVER.parse().unwrap()).await;
        assert_eq!(second.err().unwrap().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        net.listen(SERVER.parse().unwrap()).await.unwrap();
    }
}
