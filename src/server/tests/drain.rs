//! Draining nodes: one instance after the other, everything at the deadline.

use super::*;
use crate::model::job::JobType;
use crate::model::node::{DrainLimit, DrainSpec, DrainStatus};
use crate::model::{Eligibility, Timestamp};

fn drain(n: u128, limit: DrainLimit) -> Op {
    Op::NodeDrain {
        id: node(n).id,
        spec: Some(DrainSpec {
            limit,
            ignore_system_jobs: false,
        }),
        mark_eligible: false,
        meta: BTreeMap::from([("message".to_string(), "new disk".to_string())]),
    }
}

/// `count` instances on node 1 whose health is known.
async fn healthy_on_one(cluster: &mut Cluster, count: u32) {
    cluster.client(1).await;
    cluster.register(&job("web", count)).await.unwrap();
    cluster.deployment(DeploymentStatus::Successful).await;
}

/// Node 1 once its drain is over.
async fn drained(cluster: &Cluster) -> Arc<Node> {
    cluster
        .until("drained", |view| {
            view.node(node(1).id).filter(|n| n.drain.is_none())
        })
        .await
}

#[tokio::test(start_paused = true)]
async fn instances_leave_one_by_one_each_when_the_last_is_healthy_elsewhere() {
    let mut cluster = Cluster::boot().await;
    healthy_on_one(&mut cluster, 3).await;
    cluster.client(2).await;
    let clock = cluster.server.ctx.env.clock.clone();
    let start = clock.now();
    let an_hour = DrainLimit::After(Duration::from_secs(3600));
    cluster.op(drain(1, an_hour)).await.unwrap();
    let done = cluster
        .until("drained", |view| {
            let healthy = |a: &&Arc<Allocation>| {
                let known = a.deployment_health.and_then(|h| h.healthy);
                !a.is_server_terminal() && known == Some(true)
            };
            let now = view.allocs().filter(healthy).count();
            assert!(now >= 2, "{}", show(view));
            view.node(node(1).id).filter(|n| n.drain.is_none())
        })
        .await;
    // Two had to wait ten seconds each for the health of the one before.
    let took = clock.now() - start;
    let quick = Duration::from_secs(20)..Duration::from_secs(60);
    assert!(quick.contains(&took), "{took:?}");
    assert_eq!(done.eligibility, Eligibility::Ineligible);
    let last = done.last_drain.clone().unwrap();
    assert_eq!(last.status, DrainStatus::Complete);
    assert_eq!(last.meta["message"], "new disk");
    let said: Vec<&str> = done.events.iter().map(|e| e.message.as_str()).collect();
    assert_eq!(
        said,
        [
            "Node registered",
            "Node drain strategy set",
            "Node drain complete"
        ]
    );
    assert!(done.events[2].details.is_empty());
    let running = cluster.running(3).await;
    assert!(running.iter().all(|a| a.node_id == node(2).id));
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_batch_work_goes_too() {
    let mut cluster = Cluster::boot().await;
    cluster.client(1).await;
    let mut batch = job("web", 2);
    batch.spec.kind = JobType::Batch;
    batch.spec.groups[0].update = None;
    batch.spec.groups[0].migrate = None;
    cluster.register(&batch).await.unwrap();
    cluster.running(2).await;
    let started = cluster.server.ctx.now();
    let a_minute = Duration::from_secs(60);
    cluster
        .op(drain(1, DrainLimit::After(a_minute)))
        .await
        .unwrap();
    let done = drained(&cluster).await;
    assert!(cluster.server.ctx.now() >= started.plus(a_minute));
    let event = done.events.last().unwrap();
    assert_eq!(event.details["deadline_reached"], "true");
    let view = cluster.raft.store().snapshot();
    assert!(view.allocs().all(|a| a.is_server_terminal()));
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_forced_drain_takes_no_time_and_a_cancelled_one_opens_the_node() {
    let mut cluster = Cluster::boot().await;
    healthy_on_one(&mut cluster, 3).await;
    let started = cluster.server.ctx.now();
    cluster.op(drain(1, DrainLimit::Never)).await.unwrap();
    let moved = |view: &Snapshot| {
        let stopped = view.allocs().filter(|a| a.is_server_terminal());
        (stopped.count() == 1).then_some(())
    };
    cluster.until("one leaves", moved).await;
    let view = cluster.raft.store().snapshot();
    let before = view.node(node(1).id).unwrap();
    assert_eq!(before.drain.unwrap().deadline, Timestamp::UNSET);

    let opens = Op::NodeDrain {
        id: node(1).id,
        spec: None,
        mark_eligible: true,
        meta: BTreeMap::new(),
    };
    cluster.op(opens).await.unwrap();
    let open = drained(&cluster).await;
    assert_eq!(open.eligibility, Eligibility::Eligible);
    let last = open.last_drain.clone().unwrap();
    assert_eq!(last.status, DrainStatus::Canceled);
    cluster.running(3).await;

    cluster.op(drain(1, DrainLimit::AtOnce)).await.unwrap();
    let done = drained(&cluster).await;
    assert_eq!(
        done.last_drain.clone().unwrap().status,
        DrainStatus::Complete
    );
    let view = cluster.raft.store().snapshot();
    assert!(view.allocs().all(|a| a.is_server_terminal()));
    let took = cluster.server.ctx.now().since(started);
    assert!(took < Duration::from_secs(15), "{took:?}");
    cluster.stop().await;
}
