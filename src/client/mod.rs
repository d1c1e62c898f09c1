//! Runs the allocations that the servers want on this machine.
//!
//! **Owns** the node's identity and fingerprint, the journal, the runners and the directories of
//! allocations. **Does not** know how servers agree: it sees the cluster through
//! [`Api`](crate::rpc::Api) alone, and implements [`NodeApi`](crate::rpc::NodeApi).
//!
//! Tasks, all owned by [`Client`]: `client` (one long poll for what should run, compared by
//! [`sync`] with what is here), `fingerprint` (drivers every 30 s), `reporter` (statuses and
//! services, coalesced), one per allocation ([`alloc_runner`]) with one per task below it.
//!
//! Start reading at [`Client::start`], then [`alloc_runner::AllocRunner::run`].

pub mod alloc_runner;
mod checks;
pub mod driver;
pub mod fingerprint;
mod health;
mod identity;
mod journal;
mod lifecycle;
pub mod logs;
mod machine;
mod meta;
mod node_api;
mod reporter;
mod restart;
mod runners;
mod services;
mod stats;
mod sync;
mod task_runner;
mod taskenv;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::env::alloc_fs::AllocFs;
use crate::env::small_file::SmallFileError;
use crate::env::store::StoreError;
use crate::env::{Env, Store, TaskGroup as Tasks};
use crate::model::{AllocClientStatus, Index, Node, NodeId, RequestId, Timestamp};
use crate::rpc::api::{Answer, Api, ApiError, Body, Call, ClientAllocs, Op, Query, Read};

use alloc_runner::Shared;
use driver::Drivers;
use fingerprint::NodeConfig;
use journal::{Journal, Record};
use meta::{Meta, NodeMeta};
use reporter::Reporter;
use runners::Runners;
use sync::Order;

pub use identity::{Identity, load as known_identity, load_or_create as load_identity};
pub use taskenv::TaskPaths;

/// How long one poll waits for a change.
const POLL_WAIT: Duration = Duration::from_secs(300);
/// How often drivers are looked at.
const FINGERPRINT_EVERY: Duration = Duration::from_secs(30);
/// The first pause after a request that failed, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long the last reports may take when the agent ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How a client is set up.
#[derive(Clone, Debug)]
pub struct Config {
    pub node: NodeConfig,
    /// Where allocations have their directories.
    pub alloc_dir: PathBuf,
    pub max_kill_timeout: Duration,
    /// How many ended allocations keep their directories.
    pub gc_max_allocs: u32,
}

/// What a client works with.
pub struct Parts {
    pub env: Env,
    pub api: Arc<dyn Api>,
    pub drivers: Drivers,
    pub store: Arc<dyn Store>,
    pub fs: Arc<dyn AllocFs>,
    pub identity: Identity,
}

/// Why a client could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("could not read the node's identity")]
    Identity(#[from] SmallFileError),
    #[error("could not read the client's journal")]
    Journal(#[from] StoreError),
}

/// A running client. Cloning shares it.
#[derive(Clone)]
pub struct Client {
    shared: Shared,
    runners: Runners,
    /// Ends the loops and, without ending their processes, the runners.
    tasks: Tasks,
    stats: Arc<stats::HostMeter>,
    node_id: NodeId,
    /// Whether the servers know this node, as far as it has heard.
    registered: watch::Receiver<bool>,
    meta: Arc<NodeMeta>,
}

impl Client {
    /// Takes up what the journal knows, registers the node and starts to pull. `token` ends it
    /// and leaves what runs alone.
    pub async fn start(
        config: Config,
        parts: Parts,
        token: CancellationToken,
    ) -> Result<Self, StartError> {
        let Parts {
            env,
            api,
            drivers,
            store,
            fs,
            identity,
        } = parts;
        let drivers = Arc::new(drivers);
        let journal = Journal::new(store);
        let records = journal.load().await?;
        let last_index = journal.last_index().await?;
        if last_index > 0 {
            sweep(&drivers, &records).await;
        }
        let meta = NodeMeta::load(config.node.meta.clone(), journal.clone()).await?;
        let node = Arc::new(look(&env, &config, meta.all().0, &drivers, identity).await);
        let (node_sender, node_seen) = watch::channel(node);
        let shared = Shared {
            env: env.clone(),
            fs,
            drivers,
            journal,
            reporter: Reporter::default(),
            alloc_dir: config.alloc_dir.clone(),
            max_kill_timeout: config.max_kill_timeout,
            node: node_seen,
        };
        let tasks = Tasks::new(token);
        let runners = Runners::new(shared.clone(), tasks.clone(), config.gc_max_allocs);
        for record in records {
            runners.restore(record);
        }
        let (registered, registered_seen) = watch::channel(false);
        let client = Self {
            stats: Arc::new(stats::HostMeter::new(env.clone(), config.alloc_dir.clone())),
            shared,
            runners,
            tasks,
            node_id: identity.id,
            registered: registered_seen,
            meta: Arc::new(meta),
        };
        client.spawn_loops(config, api, identity, node_sender, registered, last_index);
        Ok(client)
    }

    fn spawn_loops(
        &self,
        config: Config,
        api: Arc<dyn Api>,
        identity: Identity,
        node: watch::Sender<Arc<Node>>,
        registered: watch::Sender<bool>,
        last_index: Index,
    ) {
        let env = &self.shared.env;
        let token = self.tasks.token().clone();
        let me = (identity.id, identity.secret);
        self.tasks.spawn(
            "reporter",
            self.shared
                .reporter
                .clone()
                .run(env.clone(), api.clone(), me, token.clone()),
        );
        let puller = Puller {
            env: env.clone(),
            api: api.clone(),
            identity,
            runners: self.runners.clone(),
            shared: self.shared.clone(),
            registered,
            last_index,
        };
        self.tasks.spawn("client", puller.run(token.clone()));
        let watcher = Fingerprinter {
            env: env.clone(),
            api,
            config,
            identity,
            drivers: self.shared.drivers.clone(),
            meta: self.meta.clone(),
            node,
        };
        self.tasks.spawn("fingerprint", watcher.run(token));
    }

    /// The node's id.
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// The node as it is registered.
    pub fn node(&self) -> Arc<Node> {
        self.shared.node.borrow().clone()
    }

    /// Whether the servers know this node.
    pub fn is_registered(&self) -> bool {
        *self.registered.borrow()
    }

    /// How many allocations are not over.
    pub fn running(&self) -> usize {
        self.runners.running()
    }

    /// Ends the client and leaves what runs alone, for the next one to take up.
    pub async fn detach(&self) {
        self.tasks.shutdown().await;
        for driver in self.shared.drivers.values() {
            driver.detach().await;
        }
    }

    /// Ends the client with everything that it started.
    pub async fn remove_everything(&self) {
        self.runners.remove_all().await;
        let said = async {
            while !self.shared.reporter.is_idle() {
                self.shared.env.clock.sleep(Duration::from_millis(5)).await;
            }
        };
        if crate::env::timeout(&*self.shared.env.clock, LAST_WORDS, said)
            .await
            .is_err()
        {
            tracing::warn!(target: "client", "ended before the servers heard of everything");
        }
        self.detach().await;
    }
}

/// Removes what an earlier run of this node started and the journal does not know: it crashed
/// between the start of a process and its record. A new journal knows nothing, so nothing is
/// removed then: what runs is taken up by name.
async fn sweep(drivers: &Drivers, records: &[Record]) {
    let handles = records
        .iter()
        .flat_map(|r| r.tasks.values())
        .filter_map(|t| t.handle.clone());
    let live: Vec<_> = handles.collect();
    for (name, driver) in drivers {
        match driver.sweep(&live).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(target: "client", driver = name, count, "removed leftovers");
            }
            Err(error) => {
                tracing::debug!(target: "client", driver = name, %error, "no look for leftovers");
            }
        }
    }
}

/// Looks at the machine and its drivers.
async fn look(
    env: &Env,
    config: &Config,
    meta: Meta,
    drivers: &Drivers,
    identity: Identity,
) -> Node {
    let facts = env.host.facts(&config.alloc_dir).await;
    let looks = drivers
        .iter()
        .map(|(name, driver)| async move { (*name, driver.fingerprint().await) });
    let found = futures_util::future::join_all(looks)
        .await
        .into_iter()
        .collect();
    fingerprint::node(
        &config.node,
        meta,
        identity,
        &facts,
        &found,
        Timestamp(env.clock.wall()),
    )
}

/// Pauses that grow while requests fail.
struct Backoff {
    env: Env,
    pause: Duration,
}

impl Backoff {
    fn new(env: Env) -> Self {
        Self {
            env,
            pause: PAUSE.0,
        }
    }

    fn reset(&mut self) {
        self.pause = PAUSE.0;
    }

    /// Waits; `false` if the token was cancelled meanwhile.
    async fn wait(&mut self, token: &CancellationToken) -> bool {
        let half = self.pause / 2;
        let sleep = self.env.clock.sleep(half + self.env.entropy.jitter(half));
        self.pause = (self.pause * 2).min(PAUSE.1);
        tokio::select! {
            biased;
            () = token.cancelled() => false,
            () = sleep => true,
        }
    }
}

/// Announces the node, again when it changes.
struct Fingerprinter {
    env: Env,
    api: Arc<dyn Api>,
    config: Config,
    identity: Identity,
    drivers: Arc<Drivers>,
    meta: Arc<NodeMeta>,
    node: watch::Sender<Arc<Node>>,
}

impl Fingerprinter {
    async fn run(self, token: CancellationToken) {
        let mut changes = self.meta.changes();
        loop {
            tokio::select! {
                biased;
                () = token.cancelled() => return,
                Ok(()) = changes.changed() => {}
                () = self.env.clock.sleep(FINGERPRINT_EVERY) => {}
            }
            let (meta, ..) = self.meta.all();
            let seen = look(&self.env, &self.config, meta, &self.drivers, self.identity).await;
            if fingerprint::differs(&self.node.borrow(), &seen) {
                let node = Arc::new(seen);
                let told = register(&self.env, &*self.api, &node);
                let Some(told) = token.run_until_cancelled(told).await else {
                    return;
                };
                match told {
                    Ok(()) => {
                        self.node.send_replace(node);
                    }
                    Err(error) => tracing::warn!(
                        target: "client", %error, "could not tell the servers what changed"
                    ),
                }
            }
        }
    }
}

async fn register(env: &Env, api: &dyn Api, node: &Node) -> Result<(), ApiError> {
    let op = Op::RegisterNode(Box::new(node.clone()));
    let request = RequestId(env.entropy.uuid());
    api.call(Call {
        request,
        timeout: Duration::from_secs(10),
        op,
    })
    .await
    .map(drop)
}

/// Holds the long poll and acts on its answers.
struct Puller {
    env: Env,
    api: Arc<dyn Api>,
    identity: Identity,
    runners: Runners,
    shared: Shared,
    registered: watch::Sender<bool>,
    /// The newest answer acted on by an earlier run of the agent: an older one is not believed.
    last_index: Index,
}

impl Puller {
    async fn run(mut self, token: CancellationToken) {
        let mut backoff = Backoff::new(self.env.clone());
        let mut seen = 0;
        loop {
            if !*self.registered.borrow() {
                let node = self.shared.node.borrow().clone();
                let told = register(&self.env, &*self.api, &node);
                let Some(told) = token.run_until_cancelled(told).await else {
                    return;
                };
                match told {
                    Ok(()) => {
                        tracing::info!(target: "client", node_id = %node.id, "node registration complete");
                        self.registered.send_replace(true);
                        backoff.reset();
                    }
                    Err(error) => {
                        tracing::warn!(target: "client", %error, "could not register the node");
                        if backoff.wait(&token).await {
                            continue;
                        }
                        return;
                    }
                }
            }
            let answer = tokio::select! {
                biased;
                () = token.cancelled() => return,
                answer = self.api.read(self.query(seen)) => answer,
            };
            match answer {
                Ok(Answer {
                    body: Body::ClientAllocs(wanted),
                    ..
                }) if !wanted.known => {
                    self.registered.send_replace(false);
                    seen = 0;
                }
                Ok(Answer {
                    body: Body::ClientAllocs(_),
                    index,
                    ..
                }) if index < self.last_index => {
                    tracing::debug!(target: "client", index, "an answer from the past; asking again");
                    if !backoff.wait(&token).await {
                        return;
                    }
                }
                Ok(Answer {
                    body: Body::ClientAllocs(wanted),
                    index,
                    ..
                }) => {
                    backoff.reset();
                    self.act(&wanted);
                    if index > seen {
                        self.remember(index).await;
                    }
                    seen = index;
                }
                Ok(_) | Err(_) => {
                    if let Err(error) = answer {
                        tracing::warn!(target: "client", %error, "could not ask for allocations");
                    }
                    if !backoff.wait(&token).await {
                        return;
                    }
                }
            }
        }
    }

    fn query(&self, min_index: Index) -> Query {
        let read = Read::ClientAllocs {
            node: self.identity.id,
            secret: self.identity.secret,
        };
        Query {
            read,
            stale: false,
            min_index,
            wait: POLL_WAIT,
        }
    }

    fn act(&self, wanted: &ClientAllocs) {
        for order in sync::orders(wanted, &self.runners.here()) {
            match order {
                Order::Start(alloc) => self.runners.start(alloc),
                Order::Update(alloc) => self.runners.update(alloc),
                Order::Settle(alloc) => self.runners.settle(&alloc, AllocClientStatus::Complete),
                Order::Remove(id) => self.runners.remove(id),
            }
        }
        self.runners.confirm(&wanted.allocs);
    }

    async fn remember(&mut self, index: Index) {
        self.last_index = index;
        if let Err(error) = self.shared.journal.set_last_index(index).await {
            tracing::error!(target: "client", %error, "could not write the journal");
        }
    }
}
