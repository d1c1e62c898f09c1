//! One server: it leads at once, and loses nothing to restarts, power cuts and broken disks.

use super::*;

#[tokio::test(start_paused = true)]
async fn one_server_leads_within_milliseconds_and_again_after_a_restart() {
    let world = SimWorld::new(1);
    let machine = Machine::new(&world, 1);
    let before = machine.env.clock.now();
    let server = machine.lead().await;
    assert!(machine.env.clock.now() - before < Duration::from_millis(20));
    let id = server.consensus.id();
    let applied = server.consensus.propose(command(7)).await.unwrap();
    assert!(server.consensus.read_barrier().await.unwrap() >= applied.index);
    assert!(has(&server.consensus.snapshot(), 7));
    let status = server.consensus.status();
    assert_eq!((status.role, status.members.len()), (Role::Leader, 1));
    assert_eq!(status.applied_index, applied.index);
    assert!(status.members[0].leader && status.members[0].voter);
    let cluster = status.cluster;
    server.stop().await;

    let before = machine.env.clock.now();
    let server = machine.lead().await;
    assert!(machine.env.clock.now() - before < Duration::from_millis(20));
    assert_eq!(
        (server.consensus.id(), server.consensus.cluster_id()),
        (id, cluster)
    );
    server.consensus.read_barrier().await.unwrap();
    assert!(has(&server.consensus.snapshot(), 7));
    server.stop().await;
}

/// How often the runtime's one worker found nothing to do and slept within ten seconds.
async fn sleeps_in_ten_seconds() -> u64 {
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.worker_park_count(0);
    tokio::time::sleep(10 * SECOND).await;
    metrics.worker_park_count(0) - before
}

#[tokio::test(start_paused = true)]
async fn a_lone_leader_rests_until_there_are_others() {
    let world = SimWorld::new(1);
    let machines = [Machine::new(&world, 1), Machine::new(&world, 2)];
    let first = machines[0].lead().await;
    first.consensus.propose(command(1)).await.unwrap();
    let alone = sleeps_in_ten_seconds().await;
    assert!(alone <= 60, "{alone} wake-ups in ten idle seconds");

    let second = machines[1].start(false).await;
    let id = second.consensus.id();
    let peer = machines[1].peer();
    first.consensus.add_learner(id, peer).await.unwrap();
    first.consensus.promote(BTreeSet::from([id])).await.unwrap();
    let term = first.consensus.leadership().borrow().term;
    let together = sleeps_in_ten_seconds().await;
    assert!(together > 100, "{together}: no heartbeats");
    let now = first.consensus.leadership().borrow().clone();
    assert!(now.is_me && now.term == term, "{now:?}");
    first.stop().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_directory_is_used_by_one_process() {
    let world = SimWorld::new(1);
    let machine = Machine::new(&world, 1);
    let server = machine.lead().await;
    let second = machine.start_with(true, |_| ()).await.err().unwrap();
    assert!(matches!(second, StartError::InUse { .. }), "{second}");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_without_a_cluster_refuses() {
    let world = SimWorld::new(1);
    let machine = Machine::new(&world, 1);
    let server = machine.start(false).await;
    let refused = server.consensus.propose(command(1)).await.unwrap_err();
    assert_eq!(refused, ProposeError::NotLeader { hint: None });
    let refused = server.consensus.read_barrier().await.unwrap_err();
    assert_eq!(refused, ReadError::NotLeader { hint: None });
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_commands_have_results_of_their_own() {
    let world = SimWorld::new(1);
    let machine = Machine::new(&world, 1);
    let server = machine.lead().await;
    let mut commands: Vec<Command> = (0..50).map(command).collect();
    let mut large = testing::eval(99, &testing::job("j", 1));
    large.status_description = "x".repeat(COMMAND_BYTES_MAX);
    commands.push(Command::new(Timestamp(1), Change::UpsertEvals(vec![large])));
    let results = server.consensus.propose_many(commands).await;
    assert!(results[..50].iter().all(Result::is_ok));
    assert!(matches!(results[50], Err(ProposeError::TooLarge { .. })));
    assert!((0..50).all(|n| has(&server.consensus.snapshot(), n)));
    server.stop().await;
}

/// Power cuts and kills at random moments of a busy server: every acknowledged write is there.
#[tokio::test(start_paused = true)]
async fn one_server_loses_nothing_acknowledged() {
    for seed in 0..seeds(25) {
        let world = SimWorld::new(seed);
        let machine = Machine::new(&world, 1);
        let mut acknowledged = Vec::new();
        for life in 0..3 {
            let snapshots = SnapshotRule {
                entries: 40,
                keep: 10,
                ..SnapshotRule::default()
            };
            let server = machine
                .start_with(true, |config| config.snapshots = snapshots)
                .await
                .unwrap();
            server.led_by_me().await;
            server.consensus.read_barrier().await.unwrap();
            let state = server.consensus.snapshot();
            for n in &acknowledged {
                assert!(
                    has(&state, *n),
                    "seed {seed}, life {life}: write {n} is lost"
                );
            }
            machine.disk.set_sync_delay(Duration::from_millis(3));
            let start = life * 100_000;
            let work = async {
                for n in start.. {
                    if server.consensus.propose(command(n)).await.is_err() {
                        break;
                    }
                    acknowledged.push(n);
                }
            };
            let limit = Duration::from_micros(200_000 + (seed * 104_729 + life * 331) % 2_000_000);
            tokio::select! {
                () = work => panic!("a healthy server refused a write"),
                () = machine.env.clock.sleep(limit) => {}
            }
            machine.crash(&world, server, seed % 2 == 0).await;
            machine.disk.set_sync_delay(Duration::ZERO);
        }
        assert!(acknowledged.len() > 100);
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_from_snapshot_and_log() {
    let world = SimWorld::new(3);
    let machine = Machine::new(&world, 1);
    let rule = SnapshotRule {
        entries: 100,
        keep: 10,
        ..SnapshotRule::default()
    };
    let server = machine
        .start_with(true, |config| config.snapshots = rule)
        .await
        .unwrap();
    server.led_by_me().await;
    for n in 0..300 {
        server.consensus.propose(command(n)).await.unwrap();
    }
    let mut progress = server.consensus.progress();
    let covered = progress.wait_for(|progress| progress.snapshot > 200);
    tokio::time::timeout(10 * SECOND, covered)
        .await
        .unwrap()
        .unwrap();
    for n in 300..330 {
        server.consensus.propose(command(n)).await.unwrap();
    }
    let status = server.consensus.status();
    let before = server.consensus.snapshot().dump();
    server.stop().await;
    let files = machine.disk.files();
    let snapshots = files
        .keys()
        .filter(|p| p.starts_with("/raft") && p.to_string_lossy().contains("snap-"));
    assert_eq!(snapshots.count(), 1);

    let server = machine.lead().await;
    server.consensus.read_barrier().await.unwrap();
    assert_eq!(
        server.consensus.status().last_snapshot_index,
        status.last_snapshot_index
    );
    assert!((0..330).all(|n| has(&server.consensus.snapshot(), n)));
    assert_eq!(server.consensus.snapshot().dump(), before);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_disk_stops_acknowledging_and_is_reported() {
    for full in [true, false] {
        let world = SimWorld::new(4);
        let machine = Machine::new(&world, 1);
        let process = CancellationToken::new();
        let ended = process.clone();
        let started = machine
            .start_with(true, |config| config.process = process)
            .await;
        let server = started.unwrap();
        server.led_by_me().await;
        server.consensus.propose(command(0)).await.unwrap();
        if full {
            machine.disk.set_capacity(Some(0));
        } else {
            machine.disk.set_sync_error(Some(io::ErrorKind::Other));
        }
        let mut acknowledged = 1;
        let error = loop {
            match server.consensus.propose(command(acknowledged)).await {
                Ok(_) => acknowledged += 1,
                Err(error) => break error,
            }
            assert!(acknowledged < 10_000, "a full disk goes on acknowledging");
        };
        assert!(matches!(error, ProposeError::Storage(_)), "{error}");
        let again = server
            .consensus
            .propose(command(acknowledged))
            .await
            .unwrap_err();
        assert!(matches!(again, ProposeError::Storage(_)), "{again}");
        let read = server.consensus.read_barrier().await.unwrap_err();
        assert!(matches!(read, ReadError::Storage(_)), "{read}");
        assert!(server.consensus.failure().borrow().is_some());
        ended.cancelled().await;
        let mut leadership = server.consensus.leadership();
        leadership
            .wait_for(|leadership| !leadership.is_me)
            .await
            .unwrap();
        assert_eq!(server.consensus.status().role, Role::Stopped);
        machine.crash(&world, server, true).await;
        machine.disk.set_capacity(None);
        machine.disk.set_sync_error(None);

        let server = machine.lead().await;
        server.consensus.read_barrier().await.unwrap();
        assert!((0..acknowledged).all(|n| has(&server.consensus.snapshot(), n)));
        server.stop().await;
    }
}
