//! Whole stories with one server.

use std::time::Duration;

use serde_json::json;
use tumen::model::{AllocClientStatus, ClusterView, DeploymentStatus, JobStatus, NodeStatus};
use tumen::state::Snapshot;

use crate::cluster::{Cluster, key, wanted};
use crate::harness::sim_twice;
use crate::jobs::{service, version};

#[test]
fn a_job_runs_changes_and_stops() {
    sim_twice(1, (1, 2), async |cluster: &mut Cluster| {
        let web = service("web", 3, json!({}));
        cluster.register(&web).await.unwrap();
        let first = cluster.running("web", 3).await;
        cluster
            .deployment("web", 0, DeploymentStatus::Successful)
            .await;

        cluster.register(&version(web, 1)).await.unwrap();
        cluster
            .until("the update is done", |view| {
                let live = wanted(view, "web");
                assert!(live.len() >= 2, "one at a time is replaced");
                let latest = view.latest_deployment(&key("web"))?;
                let done = latest.status == DeploymentStatus::Successful;
                (latest.job_version == 1 && done).then_some(())
            })
            .await;
        let second = cluster.running("web", 3).await;
        assert!(second.iter().all(|a| a.job.version == 1));
        for old in &first {
            assert_eq!(cluster.where_runs(old.id), [""; 0], "{}", old.name);
        }
        for new in &second {
            assert_eq!(cluster.where_runs(new.id), [new.node_name.as_str()]);
            assert_eq!(cluster.starts(new.id), 1);
        }

        cluster.stop_job("web").await.unwrap();
        let dead = |view: &Snapshot| {
            let ended = view.allocs().all(|a| a.is_client_terminal());
            (ended && view.job(&key("web"))?.status == JobStatus::Dead).then_some(())
        };
        cluster.until("the job is dead", dead).await;
        for name in cluster.names('c') {
            assert_eq!(cluster.machine(&name).engine.running(), []);
        }
    });
}

/// It is restarted in place once, then replaced, later each time; the count always comes back.
#[test]
fn a_failing_task_is_restarted_and_then_rescheduled_with_growing_delays() {
    sim_twice(2, (1, 2), async |cluster: &mut Cluster| {
        let mut bad = service("bad", 1, json!({"run_for": "1s", "exit_code": 3}));
        bad.groups[0].update = None;
        cluster.register(&bad).await.unwrap();
        let fails = |n: usize| {
            move |view: &Snapshot| {
                let mut failed = view.allocs_of_job(&key("bad"));
                failed.retain(|a| a.client_status == AllocClientStatus::Failed);
                failed.sort_by_key(|a| a.create_index);
                (failed.len() >= n).then_some(failed)
            }
        };
        let failed = cluster.until("it failed three times", fails(3)).await;
        for alloc in &failed {
            assert_eq!(alloc.task_states["t"].restarts, 1, "{}", alloc.name);
            assert_eq!(cluster.starts(alloc.id), 2);
        }
        let pause = |n: usize| {
            let (before, after) = (&failed[n], &failed[n + 1]);
            assert_eq!(after.previous, Some(before.id));
            let ended = before.task_states["t"].finished_at;
            after.create_time.since(ended).as_secs()
        };
        assert!((5..7).contains(&pause(0)), "{}", pause(0));
        assert!((10..13).contains(&pause(1)), "{}", pause(1));

        // Mended, it runs.
        let good = service("bad", 1, json!({}));
        cluster.register(&good).await.unwrap();
        let running = cluster.running("bad", 1).await;
        assert_eq!(running[0].job.version, 1);
        cluster.at_rest().await;
    });
}

/// The server loses power in the middle of its work and comes back. What it had acknowledged is
/// there, and no task noticed.
#[test]
fn a_power_cut_of_the_server_loses_nothing_and_restarts_nothing() {
    sim_twice(3, (1, 2), async |cluster: &mut Cluster| {
        cluster
            .register(&service("web", 3, json!({})))
            .await
            .unwrap();
        let before = cluster.running("web", 3).await;
        let mut acknowledged = 0;
        let work = async {
            loop {
                let mut job = service(&format!("j{acknowledged}"), 1, json!({}));
                job.groups[0].update = None;
                cluster.register(&job).await.unwrap();
                acknowledged += 1;
            }
        };
        let moment = Duration::from_millis(37);
        tumen::env::timeout(&*cluster.env.clock, moment, work)
            .await
            .map(|(): ()| ())
            .unwrap_err();
        assert!(acknowledged > 3, "{acknowledged}");
        cluster.power_cut("s1").await;
        cluster.env.clock.sleep(Duration::from_secs(7)).await;
        cluster.start("s1").await;

        cluster
            .until("every acknowledged job runs", |view| {
                let runs = |n: u64| wanted(view, &format!("j{n}")).len() == 1;
                (0..acknowledged).all(runs).then_some(())
            })
            .await;
        cluster
            .deployment("web", 0, DeploymentStatus::Successful)
            .await;
        let after = cluster.running("web", 3).await;
        let ids = |allocs: &[std::sync::Arc<tumen::model::Allocation>]| {
            allocs.iter().map(|a| a.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(&before), ids(&after));
        cluster.at_rest().await;
        for alloc in cluster.view().allocs() {
            assert_eq!(cluster.starts(alloc.id), 1, "{}", alloc.name);
        }
    });
}

/// A cut-off client's work is done elsewhere; when it is back, it stops what was replaced.
#[test]
fn a_cut_off_client_is_replaced_and_stops_superseded_work_on_its_return() {
    sim_twice(4, (1, 3), async |cluster: &mut Cluster| {
        cluster
            .register(&service("web", 3, json!({})))
            .await
            .unwrap();
        cluster
            .deployment("web", 0, DeploymentStatus::Successful)
            .await;
        let before = cluster.running("web", 3).await;
        let gone = before[0].node_name.clone();
        let left: Vec<_> = before.iter().filter(|a| a.node_name == gone).collect();

        cluster.isolate(&gone);
        node_is(cluster, &gone, NodeStatus::Down).await;
        cluster.running_but_not_on(&gone, "web", 3).await;
        for alloc in &left {
            let there = cluster.where_runs(alloc.id);
            assert_eq!(there, [gone.as_str()], "a cut-off node keeps what it had");
            let known = cluster.view().alloc(alloc.id).unwrap();
            assert_eq!(known.client_status, AllocClientStatus::Lost);
        }

        cluster.heal();
        node_is(cluster, &gone, NodeStatus::Ready).await;
        cluster.at_rest().await;
        for alloc in &left {
            assert_eq!(cluster.where_runs(alloc.id), [""; 0], "superseded");
        }
        let after = cluster.running("web", 3).await;
        assert!(after.iter().all(|a| cluster.starts(a.id) == 1));
    });
}

/// The same with a machine that lost its power, and with it everything that ran.
#[test]
fn a_client_that_lost_power_starts_nothing_that_was_replaced() {
    sim_twice(5, (1, 2), async |cluster: &mut Cluster| {
        cluster
            .register(&service("web", 4, json!({})))
            .await
            .unwrap();
        cluster
            .deployment("web", 0, DeploymentStatus::Successful)
            .await;
        let before = cluster.running("web", 4).await;
        let gone = before[0].node_name.clone();
        cluster.power_cut(&gone).await;
        node_is(cluster, &gone, NodeStatus::Down).await;
        cluster.running_but_not_on(&gone, "web", 4).await;
        cluster.start(&gone).await;
        node_is(cluster, &gone, NodeStatus::Ready).await;
        cluster.at_rest().await;
        assert_eq!(cluster.machine(&gone).engine.running(), []);
        for old in before.iter().filter(|a| a.node_name == gone) {
            assert_eq!(cluster.starts(old.id), 1, "{} was started again", old.name);
        }
    });
}

/// An agent that is killed and started again finds its tasks; nothing is restarted or replaced.
#[test]
fn a_killed_client_agent_finds_its_tasks() {
    sim_twice(6, (1, 1), async |cluster: &mut Cluster| {
        cluster
            .register(&service("web", 3, json!({})))
            .await
            .unwrap();
        let before = cluster.running("web", 3).await;
        cluster.kill("c1").await;
        cluster.env.clock.sleep(Duration::from_secs(4)).await;
        cluster.start("c1").await;
        cluster
            .deployment("web", 0, DeploymentStatus::Successful)
            .await;
        let after = cluster.running("web", 3).await;
        for (old, new) in before.iter().zip(&after) {
            assert_eq!((old.id, cluster.starts(old.id)), (new.id, 1));
        }
    });
}

/// Three servers: the work goes on over the leader's death.
#[test]
fn three_servers_outlive_their_leader() {
    sim_twice(7, (3, 2), async |cluster: &mut Cluster| {
        cluster
            .register(&service("web", 2, json!({})))
            .await
            .unwrap();
        cluster.running("web", 2).await;
        cluster.kill("s1").await;
        // At once: it waits for the election.
        cluster
            .register(&service("api", 2, json!({})))
            .await
            .unwrap();
        cluster.running("api", 2).await;
        cluster.start("s1").await;
        cluster
            .deployment("api", 0, DeploymentStatus::Successful)
            .await;
        cluster
            .deployment("web", 0, DeploymentStatus::Successful)
            .await;
        for alloc in cluster.view().allocs() {
            assert_eq!(cluster.starts(alloc.id), 1, "{}", alloc.name);
        }
    });
}

async fn node_is(cluster: &Cluster, name: &str, status: NodeStatus) {
    let what = format!("{name} is {}", status.as_str());
    let is = |view: &Snapshot| {
        let nodes = view.nodes();
        let node = nodes.iter().find(|n| n.name == name)?;
        (node.status == status).then_some(())
    };
    cluster.until(&what, is).await;
}
