//! Three servers: they replicate, hand over, fall behind, and lose nothing to deaths.

use super::*;

#[tokio::test(start_paused = true)]
async fn three_servers_replicate_and_know_each_other() {
    let cluster = Cluster::new(5).await;
    let leader = cluster.leader().await;
    for n in 0..20 {
        cluster
            .server(leader)
            .consensus
            .propose(command(n))
            .await
            .unwrap();
    }
    let state = cluster.agree().await;
    assert!((0..20).all(|n| has(&state, n)));
    let ids: BTreeSet<_> = cluster
        .running()
        .map(|(_, s)| s.consensus.cluster_id())
        .collect();
    assert_eq!(ids.len(), 1, "the others adopt the cluster's id");
    let follower = (leader + 1) % 3;
    let heard = |n: usize| cluster.server(n).consensus.last_contact();
    assert_eq!(heard(leader), Duration::ZERO);
    assert!(heard(follower) < SECOND, "{:?}", heard(follower));
    let error = cluster
        .server(follower)
        .consensus
        .propose(command(99))
        .await
        .unwrap_err();
    let ProposeError::NotLeader { hint: Some(hint) } = error else {
        panic!("{error}")
    };
    assert_eq!(hint.id, cluster.server(leader).consensus.id());
    assert_eq!(hint.rpc, cluster.machines[leader].address.to_string());
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn leadership_is_handed_over_without_an_election_timeout() {
    let cluster = Cluster::new(6).await;
    let old = cluster.leader().await;
    let before = cluster.machines[0].env.clock.now();
    cluster
        .server(old)
        .consensus
        .transfer_leadership(None)
        .await
        .unwrap();
    let new = cluster.leader().await;
    assert_ne!(old, new);
    assert!(cluster.machines[0].env.clock.now() - before < Duration::from_millis(200));
    cluster
        .server(new)
        .consensus
        .propose(command(1))
        .await
        .unwrap();
    assert!(has(&cluster.agree().await, 1));
    let error = cluster
        .server(old)
        .consensus
        .transfer_leadership(None)
        .await
        .unwrap_err();
    assert_eq!(error, TransferError::NotLeader);
    cluster.stop().await;
}

/// A leader that is cut off stops confirming reads, and its writes do not survive unseen.
#[tokio::test(start_paused = true)]
async fn a_cut_off_leader_confirms_nothing() {
    let cluster = Cluster::new(7).await;
    let old = cluster.leader().await;
    for n in (0..3).filter(|n| *n != old) {
        cluster
            .world
            .network()
            .cut(&cluster.machines[old].name, &cluster.machines[n].name);
    }
    let read = cluster.server(old).consensus.read_barrier();
    if let Ok(Ok(index)) = tokio::time::timeout(10 * SECOND, read).await {
        panic!("a cut off leader confirmed index {index}");
    }
    let new = async {
        loop {
            for n in (0..3).filter(|n| *n != old) {
                if cluster.server(n).consensus.read_barrier().await.is_ok() {
                    return n;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let new = tokio::time::timeout(10 * SECOND, new)
        .await
        .expect("a new leader");
    cluster
        .server(new)
        .consensus
        .propose(command(5))
        .await
        .unwrap();
    cluster.world.network().heal_all();
    assert!(has(&cluster.agree().await, 5));
    cluster.stop().await;
}

/// A server that slept through more than the log keeps gets a snapshot.
#[tokio::test(start_paused = true)]
async fn a_server_far_behind_gets_a_snapshot() {
    let mut cluster = Cluster::new(8).await;
    let leader = cluster.leader().await;
    let behind = (leader + 1) % 3;
    cluster.crash(behind, true).await;
    let mut commands = 0..;
    for _ in 0..30 {
        let batch = commands.by_ref().take(1000).map(command).collect();
        let results = cluster.server(leader).consensus.propose_many(batch).await;
        assert!(results.iter().all(Result::is_ok));
    }
    cluster
        .server(leader)
        .consensus
        .take_snapshot()
        .await
        .unwrap();
    let purged = async {
        let log = &cluster.server(leader).consensus.inner.log;
        while log.bounds().0.is_none_or(|id| id.index < 15_000) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let purged = tokio::time::timeout(30 * SECOND, purged).await;
    purged.expect("the log is purged behind the snapshot");
    cluster.restart(behind).await;
    let state = cluster.agree().await;
    assert!((0..30_000).step_by(997).all(|n| has(&state, n)));
    let status = cluster.server(behind).consensus.status();
    assert!(status.last_snapshot_index > 25_000, "{status:?}");
    cluster.stop().await;
}

/// Servers die and return at random while one client writes; what it was told is there.
///
/// Catches a leader that resumes its term after a restart (`enable_leader_restore`): entries
/// that it had sent before they were synced, and lost, are then written anew under the same
/// log ids, and the servers differ.
#[tokio::test(start_paused = true)]
async fn three_servers_lose_nothing_acknowledged() {
    for seed in 0..seeds(12) {
        let mut cluster = Cluster::new(100 + seed).await;
        for machine in &cluster.machines {
            machine.disk.set_sync_delay(Duration::from_millis(3));
        }
        let mut acknowledged = Vec::new();
        let mut next = 0;
        for round in 0..6 {
            let leader = cluster.leader().await;
            let until = Duration::from_millis(50 + (seed * 37 + round * 91) % 300);
            let server = cluster.server(leader).consensus.clone();
            let work = async {
                loop {
                    next += 1;
                    if server.propose(command(next)).await.is_ok() {
                        acknowledged.push(next);
                    }
                }
            };
            drop(tokio::time::timeout(until, work).await);
            let victim = if round % 2 == 0 {
                leader
            } else {
                (leader + 1) % 3
            };
            cluster.crash(victim, true).await;
            if round % 3 == 1 {
                cluster.leader().await;
            }
            cluster.restart(victim).await;
        }
        let state = cluster.agree().await;
        for n in &acknowledged {
            assert!(has(&state, *n), "seed {seed}: write {n} is lost");
        }
        assert!(
            acknowledged.len() > 30,
            "seed {seed}: {} writes",
            acknowledged.len()
        );
        cluster.stop().await;
    }
}

/// A wiped disk makes a new server; what is meant for the old one is refused.
#[tokio::test(start_paused = true)]
async fn a_wiped_server_is_a_new_one() {
    let mut cluster = Cluster::new(9).await;
    let leader = cluster.leader().await;
    let wiped = (leader + 1) % 3;
    let old_id = cluster.server(wiped).consensus.id();
    cluster.crash(wiped, true).await;
    for path in cluster.machines[wiped].disk.files().into_keys() {
        cluster.machines[wiped].disk.put(&path, None);
    }
    cluster.restart(wiped).await;
    let server = cluster.server(wiped);
    assert_ne!(server.consensus.id(), old_id);
    for n in 0..5 {
        cluster
            .server(leader)
            .consensus
            .propose(command(n))
            .await
            .unwrap();
    }
    tokio::time::sleep(5 * SECOND).await;
    assert!(
        server.consensus.cluster_id().is_nil(),
        "it took what was meant for another"
    );
    assert_eq!(server.consensus.status().last_log_index, 0);
    cluster.stop().await;
}
