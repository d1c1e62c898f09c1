//! Where instances go, and what is said when they go nowhere.

use super::world::*;
use crate::model::*;
use crate::scheduler::Outcome;

/// What failed placements say, as the program prints them.
fn reasons(outcome: &Outcome) -> String {
    let mut lines = Vec::new();
    for (group, unplaced) in &outcome.report.unplaced {
        let metric = &unplaced.metric;
        lines.push(format!(
            "{group}: {} of {}",
            unplaced.count, metric.nodes_evaluated
        ));
        for (reason, count) in &metric.constraint_filtered {
            lines.push(format!("filtered {count}: {reason}"));
        }
        for (dimension, count) in &metric.dimension_exhausted {
            lines.push(format!("exhausted {count}: {dimension}"));
        }
    }
    lines.join("\n")
}

fn run(world: &mut World, spec: JobSpec) -> (JobKey, Outcome) {
    let key = world.register(spec);
    let outcome = world.settle(&key, EvalTrigger::JobRegister);
    (key, outcome)
}

use crate::model::job::JobSpec;

#[test]
fn a_first_run_places_its_count_and_starts_a_deployment() {
    let mut world = World::new(3);
    let (_, outcome) = run(&mut world, service(3));
    assert_eq!(
        world.show(),
        "web.app[0] v0 pending\nweb.app[1] v0 pending\nweb.app[2] v0 pending"
    );
    // Anti-affinity beats bin packing: one a node.
    assert_eq!(world.spread().len(), 3);
    assert_eq!(outcome.annotations["app"].place, 3);
    let deployment = outcome.plan.deployment.unwrap();
    assert_eq!(deployment.groups["app"].desired_total, 3);
    assert_eq!(outcome.eval.deployment_id, Some(deployment.id));
    assert_eq!(outcome.eval.status, EvalStatus::Complete);
    assert_eq!(outcome.eval.queued["app"], 0);
    assert!(outcome.blocked.is_none());
}

#[test]
fn memory_that_no_node_has_is_named() {
    let mut world = World::new(2);
    let mut spec = service(2);
    spec.groups[0].tasks[0].resources.memory_mb = 9_000;
    let (_, outcome) = run(&mut world, spec);
    assert_eq!(reasons(&outcome), "app: 2 of 2\nexhausted 2: memory");
    assert_eq!(outcome.eval.failed_groups["app"].coalesced_failures, 1);
    assert_eq!(outcome.eval.queued["app"], 2);
    let blocked = outcome.blocked.unwrap();
    assert_eq!(outcome.eval.blocked, Some(blocked.id));
    assert_eq!(blocked.status, EvalStatus::Blocked);
    assert_eq!(
        blocked.status_description,
        "created to place remaining allocations"
    );
    assert!(blocked.class_eligibility["v1:1"]);
    assert!(!blocked.escaped_class);
}

#[test]
fn constraints_are_counted_one_by_one() {
    let mut world = World::new(3);
    world.edit_node(1, |n| n.drivers.clear());
    world.edit_node(2, |n| {
        n.attributes.insert("kernel.name".into(), "plan9".into());
    });
    let mut spec = service(1);
    spec.groups[0].tasks[0].resources.cpu_mhz = 5_000;
    spec.constraints.push(Constraint {
        left: "${attr.kernel.name}".into(),
        operand: Operand::Equal,
        right: "linux".into(),
    });
    let (_, outcome) = run(&mut world, spec);
    assert_eq!(
        reasons(&outcome),
        "app: 1 of 3\nfiltered 1: ${attr.kernel.name} = linux\nfiltered 1: missing drivers\nexhausted 1: cpu"
    );
    let metric = &outcome.eval.failed_groups["app"];
    assert_eq!((metric.nodes_filtered, metric.nodes_exhausted), (2, 1));
}

#[test]
fn a_rule_on_one_node_escapes_classes() {
    let mut world = World::new(1);
    let mut spec = service(1);
    spec.constraints.push(Constraint {
        left: "${node.unique.name}".into(),
        operand: Operand::Equal,
        right: "n7".into(),
    });
    let (_, outcome) = run(&mut world, spec);
    let blocked = outcome.blocked.unwrap();
    assert!(blocked.escaped_class);
    assert!(!blocked.class_eligibility["v1:1"]);
}

#[test]
fn no_node_in_the_datacenter_is_no_node_evaluated() {
    let mut world = World::new(2);
    let mut spec = service(1);
    spec.datacenters = vec!["dc9".into()];
    let (_, outcome) = run(&mut world, spec);
    assert_eq!(reasons(&outcome), "app: 1 of 0");
    assert_eq!(outcome.eval.failed_groups["app"].nodes_in_pool, 2);
}

#[test]
fn a_blocked_evaluation_blocks_again_and_ends_when_there_is_room() {
    let mut world = World::new(1);
    let mut spec = service(1);
    spec.groups[0].tasks[0].resources.memory_mb = 5_000;
    let (_, outcome) = run(&mut world, spec);
    let blocked = outcome.blocked.unwrap();

    let again = world.settle_eval(&blocked);
    assert_eq!(again.eval.status, EvalStatus::Blocked);
    assert!(again.blocked.is_none());

    let mut big = node(2);
    big.resources.amounts.memory_mb = 8_000;
    world.add(big);
    let done = world.settle_eval(&again.eval);
    assert_eq!(done.eval.status, EvalStatus::Complete);
    assert_eq!(world.spread()["n2"], 1);
}

#[test]
fn fixed_ports_go_one_a_node_and_dynamic_ones_stay_in_range() {
    let mut world = World::new(2);
    let mut spec = service(3);
    spec.groups[0].networks = vec![network(&[("http", 8080), ("any", 0)])];
    let (_, outcome) = run(&mut world, spec);
    assert_eq!(
        reasons(&outcome),
        "app: 1 of 2\nexhausted 2: network: reserved port collision http=8080"
    );
    assert_eq!(world.spread().values().collect::<Vec<_>>(), [&1, &1]);
    for alloc in world.allocs.values() {
        let ports = &alloc.resources.ports;
        assert_eq!((ports[0].value, ports[0].label.as_str()), (8080, "http"));
        assert!((20_000..=32_000).contains(&ports[1].value));
        assert_eq!(ports[1].host_ip, "10.0.0.1");
    }
}

#[test]
fn an_old_task_network_gives_ports_to_the_task() {
    let mut world = World::new(1);
    let mut spec = service(1);
    let mut old = network(&[("db", 0)]);
    old.ports[0].to = -1;
    spec.groups[0].tasks[0].resources.networks = vec![old];
    run(&mut world, spec);
    let alloc = world.named("web.app[0]");
    let port = &alloc.resources.ports[0];
    assert_eq!(port.task.as_deref(), Some("t"));
    assert_eq!(port.to, port.value);
}

#[test]
fn distinct_hosts_allows_one_a_node() {
    let mut world = World::new(2);
    let mut spec = service(3);
    spec.constraints.push(Constraint {
        left: String::new(),
        operand: Operand::DistinctHosts,
        right: String::new(),
    });
    let (_, outcome) = run(&mut world, spec);
    assert_eq!(reasons(&outcome), "app: 1 of 2\nfiltered 2: distinct_hosts");
    assert_eq!(world.spread().len(), 2);
}

#[test]
fn distinct_property_allows_so_many_a_value() {
    let mut world = World::new(4);
    let mut spec = service(5);
    spec.constraints.push(Constraint {
        left: "${meta.rack}".into(),
        operand: Operand::DistinctProperty,
        right: "2".into(),
    });
    let (_, outcome) = run(&mut world, spec);
    assert_eq!(
        reasons(&outcome),
        "app: 1 of 4\nfiltered 2: distinct_property: ${meta.rack}=r0 used by 2 allocs\n\
         filtered 2: distinct_property: ${meta.rack}=r1 used by 2 allocs"
    );
}

#[test]
fn affinity_and_spread_pull() {
    let mut world = World::new(4);
    let mut spec = service(2);
    spec.affinities.push(Affinity {
        left: "${node.unique.name}".into(),
        operand: Operand::Equal,
        right: "n3".into(),
        weight: 100,
    });
    spec.groups[0].count = 1;
    run(&mut world, spec);
    assert_eq!(world.spread()["n3"], 1);

    let mut world = World::new(4);
    let mut spec = service(4);
    spec.spreads.push(Spread {
        attribute: "${meta.rack}".into(),
        weight: 100,
        targets: vec![
            SpreadTarget {
                value: "r0".into(),
                percent: 75,
            },
            SpreadTarget {
                value: "r1".into(),
                percent: 25,
            },
        ],
    });
    run(&mut world, spec);
    let spread = world.spread();
    let on = |names: [&str; 2]| names.iter().filter_map(|n| spread.get(*n)).sum::<usize>();
    assert_eq!((on(["n2", "n4"]), on(["n1", "n3"])), (3, 1), "{spread:?}");
}

#[test]
fn the_scheduler_follows_its_algorithm() {
    let mut packed = World::new(2);
    let mut other = service(1);
    other.id = "other".into();
    let (_, _) = run(&mut packed, other.clone());
    let mut spread = packed.clone();
    spread.config.algorithm = view::Algorithm::Spread;
    run(&mut packed, service(1));
    run(&mut spread, service(1));
    assert_eq!(packed.spread().len(), 1);
    assert_eq!(spread.spread().len(), 2);
}

/// The same seed gives the same plan, to the last id.
#[test]
fn a_plan_follows_from_its_seed() {
    let mut world = World::new(5);
    let mut spec = service(7);
    spec.groups[0].networks = vec![network(&[("a", 0)])];
    let key = world.register(spec);
    let eval = world.eval(&key, EvalTrigger::JobRegister);
    assert_eq!(world.plan(&eval).plan, world.plan(&eval).plan);
}
