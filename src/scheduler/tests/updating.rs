//! What becomes of running instances.

use std::time::Duration;

use super::world::*;
use crate::model::deployment::description;
use crate::model::diff::DesiredUpdates;
use crate::model::job::{Disconnect, JobSpec, ReconcileChoice};
use crate::model::*;

/// A cluster on which `spec` runs and is healthy.
fn running(nodes: u128, spec: JobSpec) -> (World, JobKey) {
    let mut world = World::new(nodes);
    let key = world.register(spec);
    world.settle(&key, EvalTrigger::JobRegister);
    world.clients();
    finish(&mut world);
    (world, key)
}

/// The watcher's part: the deployment is done.
fn finish(world: &mut World) {
    if let Some(last) = world.deployments.last_mut() {
        std::sync::Arc::make_mut(last).status = DeploymentStatus::Successful;
    }
}

#[test]
fn a_higher_count_updates_in_place_and_adds() {
    let (mut world, key) = running(2, service(1));
    let before = world.named("web.app[0]");
    world.register(service(3));
    let outcome = world.settle(&key, EvalTrigger::JobRegister);
    let expected = DesiredUpdates {
        place: 2,
        in_place_update: 1,
        ..DesiredUpdates::default()
    };
    assert_eq!(outcome.annotations["app"], expected);
    let after = world.named("web.app[0]");
    assert_eq!((after.id, after.job.version), (before.id, 1));
    // The one updated in place counts for the deployment as well.
    let deployment = outcome.plan.deployment.unwrap();
    assert_eq!(deployment.groups["app"].desired_total, 3);
    assert_eq!(after.deployment_id, Some(deployment.id));
    assert_eq!(after.deployment_health, None);
}

#[test]
fn an_evaluation_that_starts_no_roll_out_names_the_last_one() {
    let (mut world, key) = running(2, service(1));
    let last = world.latest_deployment(&key).unwrap().id;
    let again = world.settle(&key, EvalTrigger::JobRegister);
    assert_eq!(again.plan.deployment, None);
    assert_eq!(again.eval.deployment_id, Some(last));
    let purged = world.eval(&key, EvalTrigger::JobDeregister);
    world.jobs.remove(&key);
    let gone = world.settle_eval(&purged);
    assert_eq!(gone.eval.deployment_id, None);
}

#[test]
fn a_lower_count_stops_the_highest() {
    let (mut world, key) = running(2, service(3));
    world.register(service(1));
    let outcome = world.settle(&key, EvalTrigger::JobRegister);
    assert_eq!(outcome.annotations["app"].stop, 2);
    assert_eq!(outcome.annotations["app"].in_place_update, 1);
    assert_eq!(world.show(), "web.app[0] v1 running");
}

#[test]
fn a_destructive_update_goes_step_by_step() {
    let (mut world, key) = running(2, service(3));
    world.register(changed(service(3), "two"));
    let outcome = world.settle(&key, EvalTrigger::JobRegister);
    let expected = DesiredUpdates {
        destructive_update: 1,
        ignore: 2,
        ..DesiredUpdates::default()
    };
    assert_eq!(outcome.annotations["app"], expected);
    assert_eq!(
        world.show(),
        "web.app[0] v1 pending\nweb.app[1] v0 running\nweb.app[2] v0 running"
    );
    // Nothing more until the first is healthy.
    let waiting = world.settle(&key, EvalTrigger::DeploymentWatcher);
    assert!(waiting.plan.is_empty());
    for _ in 0..2 {
        world.clients();
        world.settle(&key, EvalTrigger::DeploymentWatcher);
    }
    world.clients();
    assert_eq!(
        world.show(),
        "web.app[0] v1 running\nweb.app[1] v1 running\nweb.app[2] v1 running"
    );
}

/// A successor on the only node with room takes its predecessor's place and port.
#[test]
fn a_successor_may_count_on_its_predecessors_room() {
    let mut spec = service(1);
    spec.groups[0].networks = vec![network(&[("http", 8080)])];
    spec.groups[0].tasks[0].resources.memory_mb = 3_000;
    let (mut world, key) = running(1, spec.clone());
    world.register(changed(spec, "two"));
    world.settle(&key, EvalTrigger::JobRegister);
    assert_eq!(world.show(), "web.app[0] v1 pending");
    assert_eq!(world.live(), 1);

    // Somebody else may not: the old one still holds what it has.
    let mut other = service(1);
    other.id = "other".into();
    other.groups[0].tasks[0].resources.memory_mb = 2_000;
    let other = world.register(other);
    let outcome = world.settle(&other, EvalTrigger::JobRegister);
    assert_eq!(
        outcome.report.unplaced["app"].metric.dimension_exhausted["memory"],
        1
    );
}

#[test]
fn what_cannot_be_updated_keeps_running() {
    let (mut world, key) = running(1, service(1));
    let mut big = service(1);
    big.groups[0].tasks[0].resources.memory_mb = 9_000;
    world.register(big);
    let outcome = world.settle(&key, EvalTrigger::JobRegister);
    assert_eq!(world.show(), "web.app[0] v0 running");
    assert_eq!(outcome.report.unplaced["app"].count, 1);
}

#[test]
fn canaries_wait_for_promotion_and_then_replace() {
    let mut spec = service(3);
    let update = spec.groups[0].update.as_mut().unwrap();
    update.canary = 1;
    update.max_parallel = 3;
    let (mut world, key) = running(2, spec.clone());
    world.register(changed(spec, "two"));
    let outcome = world.settle(&key, EvalTrigger::JobRegister);
    assert_eq!(outcome.annotations["app"].canary, 1);
    assert_eq!(
        world.deployments.last().unwrap().status_description,
        description::RUNNING_NEEDS_PROMOTION
    );
    assert_eq!(
        world.show(),
        "web.app[0] v0 running\nweb.app[0] v1 pending canary\n\
         web.app[1] v0 running\nweb.app[2] v0 running"
    );
    world.clients();
    let waiting = world.settle(&key, EvalTrigger::DeploymentWatcher);
    assert!(waiting.plan.is_empty());

    let deployment = std::sync::Arc::make_mut(world.deployments.last_mut().unwrap());
    deployment.groups.get_mut("app").unwrap().promoted = true;
    world.settle(&key, EvalTrigger::DeploymentWatcher);
    world.clients();
    assert_eq!(
        world.show(),
        "web.app[0] v1 running canary\nweb.app[1] v1 running\nweb.app[2] v1 running"
    );
}

#[test]
fn a_newer_version_ends_the_canaries_and_the_deployment_of_the_last() {
    let mut spec = service(2);
    spec.groups[0].update.as_mut().unwrap().canary = 1;
    let (mut world, key) = running(2, spec.clone());
    world.register(changed(spec.clone(), "two"));
    world.settle(&key, EvalTrigger::JobRegister);
    world.clients();
    world.register(changed(spec, "three"));
    let outcome = world.settle(&key, EvalTrigger::JobRegister);
    let update = &outcome.plan.deployment_updates[0];
    assert_eq!(update.description, description::NEWER_JOB);
    assert_eq!(
        world.show(),
        "web.app[0] v0 running\nweb.app[0] v2 pending canary\nweb.app[1] v0 running"
    );
}

#[test]
fn a_paused_deployment_starts_nothing() {
    let (mut world, key) = running(2, service(2));
    world.register(changed(service(2), "two"));
    world.settle(&key, EvalTrigger::JobRegister);
    world.clients();
    let deployment = std::sync::Arc::make_mut(world.deployments.last_mut().unwrap());
    deployment.status = DeploymentStatus::Paused;
    let outcome = world.settle(&key, EvalTrigger::DeploymentWatcher);
    assert!(outcome.plan.is_empty());
}

#[test]
fn a_stopped_job_stops_everything_and_its_deployment() {
    let (mut world, key) = running(2, service(2));
    world.register(changed(service(2), "two"));
    world.settle(&key, EvalTrigger::JobRegister);
    world.stop_job(&key);
    let outcome = world.settle(&key, EvalTrigger::JobDeregister);
    assert_eq!(world.live(), 0);
    let update = &outcome.plan.deployment_updates[0];
    assert_eq!(update.description, description::STOPPED_JOB);
    assert!(outcome.eval.queued.is_empty());
}

#[test]
fn a_dead_node_is_replaced_at_once_under_the_same_name() {
    let (mut world, key) = running(2, service(2));
    world.node_down(1);
    let outcome = world.settle(&key, EvalTrigger::NodeUpdate);
    assert_eq!(world.live(), 2);
    assert_eq!(world.spread(), [("n2".to_string(), 2)].into());
    let stop = outcome.plan.stops.values().flatten().next().unwrap();
    assert_eq!(stop.description, "alloc is lost since its node is down");
    assert_eq!(stop.client_status, Some(AllocClientStatus::Lost));
    let placed = outcome.plan.places.values().flatten().next().unwrap();
    assert_eq!(placed.previous, Some(stop.id));
}

#[test]
fn a_failed_instance_is_replaced_after_its_delay_elsewhere() {
    let (mut world, key) = running(2, service(1));
    let failed_on = world.named("web.app[0]").node_id;
    let failed = world.fail("web.app[0]");
    let outcome = world.settle(&key, EvalTrigger::AllocFailure);
    assert_eq!(outcome.annotations["app"].reschedule_later, 1);
    let follow_up = &outcome.follow_ups[0];
    assert_eq!(follow_up.trigger, EvalTrigger::AllocReschedule);
    assert_eq!(follow_up.wait_until, Timestamp(world.now + 30 * SECOND));
    assert_eq!(world.allocs[&failed].follow_up, Some(follow_up.id));

    world.now += 30 * SECOND;
    world.settle_eval(follow_up);
    let next = world.named("web.app[0]");
    assert_eq!(next.previous, Some(failed));
    assert_ne!(next.node_id, failed_on, "a node where it failed is avoided");
    assert_eq!(next.reschedules.len(), 1);
    assert_eq!(next.reschedules[0].delay, Duration::from_secs(30));
    assert_eq!(world.allocs[&failed].desired, AllocDesiredStatus::Stop);

    // The next failure waits twice as long.
    world.clients();
    world.fail("web.app[0]");
    let outcome = world.settle(&key, EvalTrigger::AllocFailure);
    let wait = outcome.follow_ups[0].wait_until;
    assert_eq!(wait, Timestamp(world.now + 60 * SECOND));
}

#[test]
fn in_a_running_deployment_the_watcher_decides_on_failures() {
    let mut world = World::new(1);
    let key = world.register(service(1));
    world.settle(&key, EvalTrigger::JobRegister);
    let failed = world.fail("web.app[0]");
    let outcome = world.settle(&key, EvalTrigger::AllocFailure);
    assert!(outcome.plan.is_empty() && outcome.follow_ups.is_empty());

    world.edit(failed, |a| a.transition.reschedule = Some(true));
    world.now += 30 * SECOND;
    world.settle(&key, EvalTrigger::DeploymentWatcher);
    assert_eq!(world.named("web.app[0]").previous, Some(failed));
}

#[test]
fn a_batch_instance_that_succeeded_is_done() {
    let mut world = World::new(2);
    let key = world.register(batch(2));
    let outcome = world.settle(&key, EvalTrigger::JobRegister);
    assert!(outcome.plan.deployment.is_none());
    let done = world.named("work.app[0]").id;
    world.edit(done, |a| a.client_status = AllocClientStatus::Complete);
    let failed = world.fail("work.app[1]");
    // No attempts: it stays failed, and its place is filled.
    let outcome = world.settle(&key, EvalTrigger::AllocFailure);
    assert!(outcome.plan.is_empty());
    assert_eq!(world.allocs[&failed].desired, AllocDesiredStatus::Run);
    // A new version of the job runs anew.
    let mut next = batch(2);
    next.priority = 60;
    world.register(next);
    world.settle(&key, EvalTrigger::JobRegister);
    assert_eq!(world.live(), 2);
}

#[test]
fn a_drained_instance_moves() {
    let (mut world, key) = running(2, service(1));
    let moved = world.named("web.app[0]");
    world.edit(moved.id, |a| a.transition.migrate = Some(true));
    let node = moved.node_id.0.as_u128();
    world.edit_node(node, |n| n.eligibility = Eligibility::Ineligible);
    let outcome = world.settle(&key, EvalTrigger::NodeDrain);
    assert_eq!(outcome.annotations["app"].migrate, 1);
    assert_ne!(world.named("web.app[0]").node_id, moved.node_id);
    let stopped = &world.allocs[&moved.id];
    assert_eq!(stopped.desired_description, "alloc is being migrated");
}

#[test]
fn an_instance_out_of_reach_is_unknown_then_replaced_and_may_return() {
    let mut spec = service(1);
    spec.groups[0].disconnect = Some(Disconnect {
        lost_after: Duration::from_secs(600),
        stop_on_client_after: None,
        replace: true,
        reconcile: ReconcileChoice::BestScore,
    });
    let (mut world, key) = running(2, spec);
    let original = world.named("web.app[0]");
    let node = original.node_id.0.as_u128();
    let now = world.now();
    world.edit_node(node, |n| {
        n.status = NodeStatus::Disconnected;
        n.status_updated_at = now;
    });
    let outcome = world.settle(&key, EvalTrigger::NodeUpdate);
    assert_eq!(world.show(), "web.app[0] v0 unknown");
    let triggers: Vec<_> = outcome.follow_ups.iter().map(|e| e.trigger).collect();
    let expected = [
        EvalTrigger::MaxDisconnectTimeout,
        EvalTrigger::AllocReschedule,
    ];
    assert_eq!(triggers, expected);

    world.now += 30 * SECOND;
    world.settle_eval(&outcome.follow_ups[1]);
    assert_eq!(world.show(), "web.app[0] v0 pending\nweb.app[0] v0 unknown");
    world.clients();

    let mut returned = world.clone();
    returned.edit_node(node, |n| n.status = NodeStatus::Ready);
    returned.clients();
    returned.settle(&key, EvalTrigger::Reconnect);
    assert_eq!(returned.show(), "web.app[0] v0 running");
    assert_eq!(returned.named("web.app[0]").id, original.id);

    world.now += 600 * SECOND;
    world.settle_eval(&outcome.follow_ups[0]);
    assert_eq!(
        world.allocs[&original.id].client_status,
        AllocClientStatus::Lost
    );
    assert_eq!(world.live(), 1);
}

#[test]
fn a_group_that_is_removed_stops() {
    let mut spec = service(1);
    let mut second = spec.groups[0].clone();
    second.name = "side".into();
    spec.groups.push(second);
    let (mut world, key) = running(1, spec);
    assert_eq!(world.live(), 2);
    world.register(service(1));
    let outcome = world.settle(&key, EvalTrigger::JobRegister);
    assert_eq!(outcome.annotations["side"].stop, 1);
    assert_eq!(world.show(), "web.app[0] v1 running");
}

/// A client that is cut off stops its tasks by itself; nothing runs twice meanwhile.
#[test]
fn replacements_wait_until_a_cut_off_client_has_stopped() {
    let mut spec = service(1);
    spec.groups[0].disconnect = Some(Disconnect {
        lost_after: Duration::ZERO,
        stop_on_client_after: Some(Duration::from_secs(60)),
        replace: true,
        reconcile: ReconcileChoice::BestScore,
    });
    let (mut world, key) = running(2, spec);
    let node = world.named("web.app[0]").node_id.0.as_u128();
    world.node_down(node);
    let outcome = world.settle(&key, EvalTrigger::NodeUpdate);
    assert_eq!(world.live(), 0);
    // 60 s, and the 5 s that its task has to stop.
    let follow_up = &outcome.follow_ups[0];
    assert_eq!(follow_up.wait_until, Timestamp(world.now + 65 * SECOND));
    world.now += 65 * SECOND;
    world.settle_eval(follow_up);
    assert_eq!(world.live(), 1);
}
