//! One server with its duties and a fake client, in memory, on a paused clock.

mod drain;
mod jobs;
mod liveness;
mod nodes;
mod pools;
mod updates;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::testing::Alone;
use super::*;
use crate::env::{Task, spawn, timeout};
use crate::model::{
    AllocClientStatus, AllocUpdate, Allocation, ClusterView, Deployment, DeploymentStatus,
    EvalStatus, EvalTrigger, Index, Job, JobKey, JobStatus, Node, NodeId, NodeStatus, RequestId,
};
use crate::rpc::api::{
    Answer, Api, Body, Call, ClientAllocs, Op, Query, Read, Registration, Reply,
};
use crate::state::testing::{job, node};
use crate::state::{Key, Table};

const WAIT: Duration = Duration::from_secs(120);

/// How the fake client treats an allocation that it should run.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// It runs and is healthy after its time.
    Fine,
    /// It fails as soon as it runs.
    Fails,
    /// It fails if it is of this version.
    FailsAt(u64),
}

struct Cluster {
    server: Server,
    raft: Arc<Alone>,
    token: CancellationToken,
    tasks: Vec<Task<()>>,
}

impl Cluster {
    async fn boot() -> Self {
        let raft = Arc::new(Alone::leading());
        let server = Server::new(Env::sim(7), raft.clone());
        let token = CancellationToken::new();
        let run = spawn("server", token.clone(), server.clone().run(token.clone()));
        let mut duties = server.ctx.duties.subscribe();
        duties.wait_for(Option::is_some).await.unwrap();
        Self {
            server,
            raft,
            token,
            tasks: vec![run],
        }
    }

    async fn stop(self) {
        self.token.cancel();
        for task in self.tasks {
            task.join().await.unwrap();
        }
    }

    async fn op(&self, op: Op) -> Result<Reply, ApiError> {
        let call = Call {
            request: RequestId(self.server.ctx.env.entropy.uuid()),
            timeout: WAIT,
            op,
        };
        self.server.call(call).await
    }

    async fn register(&self, job: &Job) -> Result<Reply, ApiError> {
        self.op(Op::RegisterJob(Box::new(registration(job)))).await
    }

    async fn read(&self, read: Read) -> Answer {
        self.server.read(Query::now(read)).await.unwrap()
    }

    /// Starts a client on a new node; what it sends decides the fate of what it runs.
    async fn client(&mut self, n: u128) -> watch::Sender<Fate> {
        self.client_on(node(n)).await
    }

    async fn client_on(&mut self, node: Node) -> watch::Sender<Fate> {
        self.op(Op::RegisterNode(Box::new(node.clone())))
            .await
            .unwrap();
        let (fate, fates) = watch::channel(Fate::Fine);
        let token = self.token.child_token();
        let client = client(self.server.clone(), node, fates);
        let inner = token.clone();
        self.tasks.push(spawn("client", token, async move {
            tokio::select! {
                () = inner.cancelled() => {}
                () = client => {}
            }
        }));
        fate
    }

    /// Waits until the state is as `wanted` says.
    async fn until<T>(&self, what: &str, wanted: impl Fn(&Snapshot) -> Option<T>) -> T {
        let store = self.raft.store();
        let tables = [
            Table::Jobs,
            Table::Allocs,
            Table::Nodes,
            Table::Evals,
            Table::Deployments,
            Table::Services,
        ];
        let watcher = store.watch(tables.map(Key::Table));
        let waited = timeout(&*self.server.ctx.env.clock, WAIT * 10, async {
            loop {
                if let Some(found) = wanted(&store.snapshot()) {
                    return found;
                }
                watcher.changed().await;
            }
        });
        let allocs = || show(&store.snapshot());
        waited
            .await
            .unwrap_or_else(|_| panic!("never {what}; {}", allocs()))
    }

    async fn running(&self, count: usize) -> Vec<Arc<Allocation>> {
        self.until(&format!("{count} running"), |view| {
            let allocs = with_status(view, AllocClientStatus::Running);
            (allocs.len() == count).then_some(allocs)
        })
        .await
    }

    async fn deployment(&self, status: DeploymentStatus) -> Arc<Deployment> {
        self.until(&format!("deployment {}", status.as_str()), |view| {
            let latest = view.latest_deployment(&key());
            latest.filter(|d| d.status == status)
        })
        .await
    }
}

fn show(view: &Snapshot) -> String {
    let allocs = view.allocs().map(|a| {
        let (desired, status) = (a.desired.as_str(), a.client_status.as_str());
        format!("{} {desired} {status}; ", a.name)
    });
    let evals = view.evals().map(|e| {
        format!(
            "{} {} {:?}; ",
            e.trigger.as_str(),
            e.status.as_str(),
            e.wait_until
        )
    });
    allocs.chain(evals).collect()
}

fn with_status(view: &Snapshot, status: AllocClientStatus) -> Vec<Arc<Allocation>> {
    let live = view.allocs().filter(|a| !a.is_server_terminal());
    live.filter(|a| a.client_status == status)
        .cloned()
        .collect()
}

fn key() -> JobKey {
    JobKey::new("default", "web")
}

fn registration(job: &Job) -> Registration {
    Registration {
        job: job.spec.clone(),
        enforce_index: None,
        submission: None,
        preserve_counts: false,
        eval_priority: 0,
        warnings: Vec::new(),
    }
}

async fn poll(server: &Server, node: &Node, after: Index) -> (Index, ClientAllocs) {
    try_poll(server, node, after).await.unwrap()
}

async fn try_poll(
    server: &Server,
    node: &Node,
    after: Index,
) -> Result<(Index, ClientAllocs), ApiError> {
    let answer = server
        .read(Query {
            read: Read::ClientAllocs {
                node: node.id,
                secret: node.secret,
            },
            stale: false,
            min_index: after,
            wait: Duration::from_secs(300),
        })
        .await?;
    match answer.body {
        Body::ClientAllocs(allocs) => Ok((answer.index, allocs)),
        other => panic!("{other:?}"),
    }
}

/// Polls, runs what it should, and reports.
async fn client(server: Server, node: Node, fates: watch::Receiver<Fate>) {
    let mut after = 0;
    loop {
        let Ok((index, wanted)) = try_poll(&server, &node, after).await else {
            server.ctx.env.clock.sleep(Duration::from_secs(1)).await;
            continue;
        };
        after = index;
        if !wanted.known {
            let again = Op::RegisterNode(Box::new(node.clone()));
            call(&server, again).await;
            after = 0;
            continue;
        }
        let fate = *fates.borrow();
        let mut updates = Vec::new();
        let mut healthy = Vec::new();
        for alloc in wanted.allocs.iter().filter(|a| !a.is_client_terminal()) {
            if alloc.is_server_terminal() {
                updates.push(update(alloc, AllocClientStatus::Complete));
            } else if alloc.client_status == AllocClientStatus::Pending {
                if fate == Fate::Fails || fate == Fate::FailsAt(alloc.job.version) {
                    updates.push(update(alloc, AllocClientStatus::Failed));
                } else {
                    updates.push(update(alloc, AllocClientStatus::Running));
                    let mut later = update(alloc, AllocClientStatus::Running);
                    later.healthy = Some((true, server.ctx.now()));
                    healthy.push(later);
                }
            }
        }
        report(&server, &node, updates).await;
        if !healthy.is_empty() {
            server.ctx.env.clock.sleep(Duration::from_secs(10)).await;
            report(&server, &node, healthy).await;
        }
    }
}

fn update(alloc: &Allocation, status: AllocClientStatus) -> AllocUpdate {
    AllocUpdate {
        id: alloc.id,
        client_status: status,
        client_description: String::new(),
        task_states: BTreeMap::new(),
        healthy: None,
    }
}

async fn report(server: &Server, node: &Node, updates: Vec<AllocUpdate>) {
    if !updates.is_empty() {
        let op = Op::UpdateAllocs {
            node: node.id,
            secret: node.secret,
            updates,
        };
        call(server, op).await;
    }
}

async fn call(server: &Server, op: Op) {
    let call = Call {
        request: RequestId(server.ctx.env.entropy.uuid()),
        timeout: WAIT,
        op,
    };
    server.call(call).await.unwrap();
}
