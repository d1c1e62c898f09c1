//! One server with its duties and a fake client, in memory, on a paused clock.

mod drain;

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
        let node = node(n);
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

/// No timer lies between a registration and the client's long poll.
#[tokio::test(start_paused = true)]
async fn a_registered_job_reaches_the_client_without_waiting() {
    let cluster = Cluster::boot().await;
    let node = node(1);
    cluster
        .op(Op::RegisterNode(Box::new(node.clone())))
        .await
        .unwrap();
    let (index, none) = poll(&cluster.server, &node, 0).await;
    assert!(none.known && none.linearizable && none.allocs.is_empty());
    let clock = cluster.server.ctx.env.clock.clone();
    let start = clock.now();
    let waiting = poll(&cluster.server, &node, index);
    let job = job("web", 2);
    let (woken, registered) = tokio::join!(waiting, cluster.register(&job));
    registered.unwrap();
    assert_eq!(woken.1.allocs.len(), 2);
    assert_eq!(clock.now(), start);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_and_its_deployment_completes() {
    let mut cluster = Cluster::boot().await;
    cluster.client(1).await;
    cluster.register(&job("web", 1)).await.unwrap();
    cluster.running(1).await;
    let done = cluster.deployment(DeploymentStatus::Successful).await;
    assert_eq!(done.status_description, "Deployment completed successfully");
    assert_eq!(done.groups["web"].healthy, 1);
    let stored = cluster.raft.store().snapshot().job(&key()).unwrap();
    assert!(stored.stable);
    assert_eq!(stored.status, JobStatus::Running);
    let Body::Summary(Some(summary)) = cluster.read(Read::JobSummary(key())).await.body else {
        panic!("no summary");
    };
    assert_eq!(summary.groups["web"].running, 1);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_allocation_is_replaced_after_its_delay() {
    let mut cluster = Cluster::boot().await;
    let fate = cluster.client(1).await;
    fate.send_replace(Fate::Fails);
    let mut job = job("web", 1);
    job.spec.groups[0].update = None;
    cluster.register(&job).await.unwrap();
    let waits = |view: &Snapshot| {
        let failed = with_status(view, AllocClientStatus::Failed).pop()?;
        let follow_up = view.eval(failed.follow_up?)?;
        follow_up.wait_until.is_set().then_some(follow_up)
    };
    let follow_up = cluster.until("a follow-up", waits).await;
    assert_eq!(follow_up.status, EvalStatus::Pending);
    fate.send_replace(Fate::Fine);
    let replaced = cluster.running(1).await;
    assert!(replaced[0].previous.is_some());
    let now = cluster.server.ctx.now();
    assert!(now >= follow_up.wait_until);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_found_no_room_runs_once_there_is_some() {
    let mut cluster = Cluster::boot().await;
    cluster.register(&job("web", 1)).await.unwrap();
    let blocked = |view: &Snapshot| {
        view.active_evals()
            .find(|e| e.status == EvalStatus::Blocked)
            .cloned()
    };
    let eval = cluster.until("blocked", blocked).await;
    assert_eq!(eval.trigger, EvalTrigger::QueuedAllocs);
    let Body::Summary(Some(summary)) = cluster.read(Read::JobSummary(key())).await.body else {
        panic!("no summary");
    };
    assert_eq!(summary.groups["web"].queued, 1);
    cluster.client(1).await;
    cluster.running(1).await;
    cluster
        .until("nothing blocked", |view| {
            blocked(view).is_none().then_some(())
        })
        .await;

    // The node has room for 31 more; the last one waits until `web` stops.
    let mut big = job("big", 32);
    big.spec.groups[0].update = None;
    cluster.register(&big).await.unwrap();
    cluster.running(32).await;
    cluster.until("blocked again", blocked).await;
    deregister(&cluster, false).await;
    let big_key = JobKey::new("default", "big");
    cluster
        .until("all of `big` running", |view| {
            let running = with_status(view, AllocClientStatus::Running);
            let big = running.iter().filter(|a| a.job_key() == big_key);
            (big.count() == 32).then_some(())
        })
        .await;
    cluster.stop().await;
}

async fn deregister(cluster: &Cluster, purge: bool) -> Reply {
    let op = Op::DeregisterJob {
        key: key(),
        purge,
        no_shutdown_delay: false,
        eval_priority: 0,
    };
    cluster.op(op).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_stopped_job_ends_and_is_collected() {
    let mut cluster = Cluster::boot().await;
    cluster.client(1).await;
    cluster.register(&job("web", 2)).await.unwrap();
    cluster.running(2).await;
    deregister(&cluster, false).await;
    cluster
        .until("dead", |view| {
            let ended = view.allocs().all(|a| a.is_client_terminal());
            let job = view.job(&key())?;
            (ended && job.status == JobStatus::Dead && job.stop).then_some(())
        })
        .await;
    cluster
        .until("evaluations done", |view| {
            view.active_evals().next().is_none().then_some(())
        })
        .await;
    cluster.op(Op::SystemGc).await.unwrap();
    let view = cluster.raft.store().snapshot();
    assert!(view.job(&key()).is_none(), "{}", show(&view));
    assert_eq!(view.allocs().count(), 0, "{}", show(&view));
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_purged_job_is_gone_at_once_and_its_allocations_stop() {
    let mut cluster = Cluster::boot().await;
    cluster.client(1).await;
    cluster.register(&job("web", 1)).await.unwrap();
    cluster.running(1).await;
    deregister(&cluster, true).await;
    assert!(cluster.raft.store().snapshot().job(&key()).is_none());
    cluster
        .until("stopped", |view| {
            view.allocs().all(|a| a.is_client_terminal()).then_some(())
        })
        .await;
    let again = deregister(&cluster, true).await;
    assert!(matches!(
        again,
        Reply::Registered {
            index: 0,
            eval: None,
            ..
        }
    ));
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_enforced_index_refuses_as_clients_expect() {
    let cluster = Cluster::boot().await;
    let job = job("web", 1);
    let mut enforced = registration(&job);
    enforced.enforce_index = Some(77);
    let refused = cluster.op(Op::RegisterJob(Box::new(enforced))).await;
    assert_eq!(
        refused.unwrap_err().to_string(),
        "Enforcing job modify index 77: job does not exist"
    );
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_repeated_call_applies_once_and_gets_its_first_answer() {
    let cluster = Cluster::boot().await;
    let call = Call {
        request: RequestId(crate::state::testing::uuid(5)),
        timeout: WAIT,
        op: Op::RegisterJob(Box::new(registration(&job("web", 1)))),
    };
    let first = cluster.server.call(call.clone()).await.unwrap();
    let second = cluster.server.call(call).await.unwrap();
    assert_eq!(first, second);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_goes_down_and_its_work_moves() {
    let mut cluster = Cluster::boot().await;
    let first = node(1);
    cluster
        .op(Op::RegisterNode(Box::new(first.clone())))
        .await
        .unwrap();
    let (index, _) = poll(&cluster.server, &first, 0).await;
    cluster.register(&job("web", 1)).await.unwrap();
    let (_, wanted) = poll(&cluster.server, &first, index).await;
    let alloc = wanted.allocs.first().expect("placed on the only node");
    report(
        &cluster.server,
        &first,
        vec![update(alloc, AllocClientStatus::Running)],
    )
    .await;
    // Its client never polls again; another node takes over.
    cluster.client(2).await;
    let down = |view: &Snapshot| {
        let node = view.node(NodeId(crate::state::testing::uuid(1)))?;
        (node.status == NodeStatus::Down).then_some(node)
    };
    let gone = cluster.until("down", down).await;
    assert_eq!(gone.events.last().unwrap().message, "Node heartbeat missed");
    let moved = cluster.running(1).await;
    assert_eq!(moved[0].node_id, node(2).id);
    let lost = cluster.raft.store().snapshot().alloc(alloc.id).unwrap();
    assert_eq!(lost.client_status, AllocClientStatus::Lost);
    // It returns: it is told to register first, then to stop what was replaced.
    let (_, told) = poll(&cluster.server, &first, 0).await;
    assert!(!told.known);
    cluster
        .op(Op::RegisterNode(Box::new(first.clone())))
        .await
        .unwrap();
    let (_, told) = poll(&cluster.server, &first, 0).await;
    assert!(told.known && told.allocs.iter().all(|a| a.is_server_terminal()));
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_nodes_secret_is_denied() {
    let cluster = Cluster::boot().await;
    let node = node(1);
    cluster
        .op(Op::RegisterNode(Box::new(node.clone())))
        .await
        .unwrap();
    let forged = Op::UpdateAllocs {
        node: node.id,
        secret: crate::state::testing::uuid(4),
        updates: Vec::new(),
    };
    assert_eq!(cluster.op(forged).await.unwrap_err(), ApiError::Denied);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn calls_are_refused_while_nobody_leads_and_work_goes_on_in_a_new_term() {
    let mut cluster = Cluster::boot().await;
    cluster.client(1).await;
    cluster.raft.lead(false);
    let mut duties = cluster.server.ctx.duties.subscribe();
    duties.wait_for(Option::is_none).await.unwrap();
    let refused = cluster.register(&job("web", 1)).await;
    assert_eq!(refused.unwrap_err(), ApiError::NoLeader);
    cluster.raft.lead(true);
    duties.wait_for(Option::is_some).await.unwrap();
    cluster.register(&job("web", 1)).await.unwrap();
    cluster.running(1).await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_unwatched_blocking_read_ends_at_its_wait() {
    let cluster = Cluster::boot().await;
    cluster.register(&job("web", 1)).await.unwrap();
    let index = cluster.read(Read::Job(key())).await.index;
    let clock = cluster.server.ctx.env.clock.clone();
    let start = clock.now();
    let answer = cluster.server.read(Query {
        read: Read::Nodes,
        stale: true,
        min_index: index,
        wait: Duration::from_secs(30),
    });
    let answer = answer.await.unwrap();
    assert!(matches!(answer.body, Body::Nodes(_)));
    assert!(clock.now() - start >= Duration::from_secs(30));
    cluster.stop().await;
}

/// `job` with an environment that makes its tasks differ from before.
fn changed(job: &Job, value: &str) -> Job {
    let mut job = job.clone();
    let task = &mut job.spec.groups[0].tasks[0];
    task.env.insert("COLOR".into(), value.into());
    job
}

#[tokio::test(start_paused = true)]
async fn a_new_version_replaces_the_old_one_step_by_step() {
    let mut cluster = Cluster::boot().await;
    cluster.client(1).await;
    let job = job("web", 3);
    cluster.register(&job).await.unwrap();
    cluster.deployment(DeploymentStatus::Successful).await;
    cluster.register(&changed(&job, "blue")).await.unwrap();
    let done = cluster
        .until("version 1 rolled out", |view| {
            // One at a time: never fewer than two run.
            let live = view.allocs().filter(|a| !a.is_terminal()).count();
            assert!(live >= 2, "{}", show(view));
            let latest = view.latest_deployment(&key())?;
            let done = latest.status == DeploymentStatus::Successful;
            (latest.job_version == 1 && done).then_some(latest)
        })
        .await;
    assert_eq!(done.groups["web"].healthy, 3);
    let running = cluster.running(3).await;
    assert!(running.iter().all(|a| a.job.version == 1));
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_update_goes_back_to_the_stable_version() {
    let mut cluster = Cluster::boot().await;
    let fate = cluster.client(1).await;
    let mut job = job("web", 1);
    let group = &mut job.spec.groups[0];
    group.update.as_mut().unwrap().auto_revert = true;
    group.reschedule.unlimited = false;
    cluster.register(&job).await.unwrap();
    cluster.deployment(DeploymentStatus::Successful).await;
    fate.send_replace(Fate::FailsAt(1));
    cluster.register(&changed(&job, "broken")).await.unwrap();
    let failed = cluster
        .until("failed", |view| {
            let mut all = view.deployments_of_job(&key()).into_iter();
            all.find(|d| d.status == DeploymentStatus::Failed)
        })
        .await;
    assert_eq!(
        failed.status_description,
        "Failed due to unhealthy allocations - rolling back to job version 0"
    );
    let back = cluster.running(1).await;
    assert_eq!(back[0].job.version, 2);
    assert_eq!(back[0].job.spec, job.spec);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn canaries_run_beside_until_promoted() {
    let mut cluster = Cluster::boot().await;
    cluster.client(1).await;
    let mut job = job("web", 2);
    job.spec.groups[0].update.as_mut().unwrap().canary = 1;
    cluster.register(&job).await.unwrap();
    cluster.deployment(DeploymentStatus::Successful).await;
    cluster.register(&changed(&job, "blue")).await.unwrap();
    let early = cluster
        .until("a canary", |view| {
            let latest = view.latest_deployment(&key())?;
            (latest.job_version == 1).then_some(latest)
        })
        .await;
    let promote = Op::PromoteDeployment {
        id: early.id,
        groups: Vec::new(),
    };
    let refused = cluster.op(promote.clone()).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Task group \"web\" has 0/1 healthy allocations"
    );
    cluster
        .until("the canary healthy", |view| {
            (view.deployment(early.id)?.groups["web"].healthy == 1).then_some(())
        })
        .await;
    cluster.running(3).await;
    cluster.op(promote).await.unwrap();
    cluster.deployment(DeploymentStatus::Successful).await;
    let running = cluster.running(2).await;
    assert!(running.iter().all(|a| a.job.version == 1));
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_would_happen_and_changes_nothing() {
    let mut cluster = Cluster::boot().await;
    cluster.client(1).await;
    let before = cluster.raft.store().snapshot().index();
    let op = Op::PlanJob {
        job: Box::new(job("web", 40).spec),
        diff: false,
    };
    let Reply::Planned(planned) = cluster.op(op).await.unwrap() else {
        panic!("not a plan");
    };
    assert_eq!(planned.job_modify_index, 0);
    assert_eq!(planned.updates["web"].place, 40);
    assert_eq!(
        planned.failed_groups["web"].dimension_exhausted["memory"],
        1
    );
    assert_eq!(cluster.raft.store().snapshot().index(), before);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_node_takes_nothing_new_until_it_is_opened() {
    let mut cluster = Cluster::boot().await;
    cluster.client(1).await;
    let set = |eligibility| Op::NodeEligibility {
        id: node(1).id,
        eligibility,
    };
    use crate::model::Eligibility::{Eligible, Ineligible};
    cluster.op(set(Ineligible)).await.unwrap();
    cluster.register(&job("web", 1)).await.unwrap();
    let blocked = |view: &Snapshot| {
        view.active_evals()
            .any(|e| e.status == EvalStatus::Blocked)
            .then_some(())
    };
    cluster.until("blocked", blocked).await;
    cluster.op(set(Eligible)).await.unwrap();
    cluster.running(1).await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_allocation_is_replaced_and_a_scaled_job_grows() {
    let mut cluster = Cluster::boot().await;
    cluster.client(1).await;
    let mut job = job("web", 1);
    job.spec.groups[0].update = None;
    cluster.register(&job).await.unwrap();
    let first = cluster.running(1).await.remove(0);
    let stop = Op::StopAlloc {
        id: first.id,
        no_shutdown_delay: false,
    };
    cluster.op(stop).await.unwrap();
    cluster
        .until("replaced", |view| {
            let running = with_status(view, AllocClientStatus::Running).pop()?;
            (running.previous == Some(first.id)).then_some(())
        })
        .await;
    let scale = Op::ScaleJob {
        key: key(),
        group: "web".into(),
        count: 3,
    };
    cluster.op(scale).await.unwrap();
    cluster.running(3).await;
    cluster.stop().await;
}
