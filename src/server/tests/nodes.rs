//! Nodes and their clients: polls, silence, secrets, a change of term.

use super::*;

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
    assert_eq!(refused.unwrap_err(), ApiError::NotLeader { hint: None });
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
