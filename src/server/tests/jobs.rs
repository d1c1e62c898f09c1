//! Jobs: registered, placed, replaced, stopped, collected.

use super::*;

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
        enforce_index: None,
    };
    cluster.op(scale).await.unwrap();
    cluster.running(3).await;
    cluster.stop().await;
}
