//! What is told of jobs that do not run, and of nodes that take nothing.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use super::world::*;
use crate::model::node::{Drain, DrainLimit, DrainSpec, DriverInfo};
use crate::model::why::{Rule, Subject, Verdict, Why};
use crate::model::*;
use crate::scheduler::explain::{Case, Evals, explain};

/// A world with the evaluations that it came through.
struct Told {
    world: World,
    evals: RefCell<Vec<Arc<Evaluation>>>,
}

impl Evals for Told {
    fn eval(&self, id: EvalId) -> Option<Arc<Evaluation>> {
        self.evals.borrow().iter().find(|e| e.id == id).cloned()
    }

    fn of_job(&self, key: &JobKey) -> Vec<Arc<Evaluation>> {
        let evals = self.evals.borrow();
        evals
            .iter()
            .filter(|e| e.job_key() == *key)
            .cloned()
            .collect()
    }
}

impl Told {
    fn new(world: World) -> Self {
        Self {
            world,
            evals: RefCell::default(),
        }
    }

    /// Plans the job, commits, and keeps the evaluations.
    fn settle(&mut self, key: &JobKey) {
        let outcome = self.world.settle(key, EvalTrigger::JobRegister);
        let made = outcome.follow_ups.into_iter().chain(outcome.blocked);
        let made = made.chain([outcome.eval]).map(Arc::new);
        self.evals.borrow_mut().extend(made);
    }

    /// Registers a job, places it and lets the clients run what they got.
    fn run(&mut self, spec: crate::model::job::JobSpec) -> JobKey {
        let key = self.world.register(spec);
        self.settle(&key);
        self.world.clients();
        key
    }

    fn why(&self, subject: Subject) -> Why {
        let case = Case {
            view: &self.world,
            evals: self,
            now: self.world.now(),
        };
        explain(case, &subject).unwrap()
    }

    fn job(&self, key: &JobKey) -> Why {
        self.why(Subject::Job(key.clone()))
    }
}

/// What is said of the first group's placement: `count rule: text`, then the nearest nodes.
fn placement(why: &Why) -> String {
    let found = why.groups[0].placement.as_ref().unwrap();
    let mut lines = vec![format!("{} of {} fit", found.fitting, found.nodes)];
    for r in &found.removed {
        lines.push(format!(
            "{} {:?} ({}): {}",
            r.count,
            r.rule,
            r.names.join(","),
            r.text
        ));
    }
    for n in &found.nearest {
        lines.push(format!("near {}: {}", n.name, n.lacks.join("; ")));
        for h in &n.holders {
            lines.push(format!("  {} by {}", h.holds, h.name));
        }
    }
    lines.join("\n")
}

fn nth(n: u128) -> NodeId {
    NodeId(uuid::Uuid::from_u128(n))
}

#[test]
fn without_nodes_a_start_is_proposed() {
    let mut told = Told::new(World::new(0));
    let key = told.run(service(2));
    let why = told.job(&key);
    assert_eq!(
        why.summary,
        "Job \"web\" does not run: 2 instances have no node (0 of 2 running)."
    );
    assert_eq!(why.verdict, Verdict::Broken);
    assert_eq!(placement(&why), "0 of 0 fit");
    assert_eq!(why.next[0].command, "tumen node status");
}

/// Every rule removes the nodes that break it first, in the order in which placement judges.
#[test]
fn every_rule_counts_the_nodes_that_it_removes() {
    let mut world = World::new(9);
    world.edit_node(1, |n| n.node_pool = "gpu".into());
    world.node_down(2);
    world.edit_node(3, |n| n.eligibility = Eligibility::Ineligible);
    world.edit_node(4, |n| {
        let spec = DrainSpec {
            limit: DrainLimit::Never,
            ignore_system_jobs: false,
        };
        n.eligibility = Eligibility::Ineligible;
        n.drain = Some(Drain::new(spec, None, Timestamp(1)));
    });
    world.edit_node(5, |n| n.datacenter = "dc2".into());
    world.edit_node(6, |n| {
        n.attributes.insert("kernel.name".into(), "windows".into());
    });
    world.edit_node(7, |n| {
        let broken = DriverInfo {
            detected: true,
            description: "cannot open the socket: permission denied.".into(),
            ..DriverInfo::default()
        };
        n.drivers.insert("mock_driver".into(), broken);
    });
    world.edit_node(8, |n| n.resources.amounts.memory_mb = 64);
    world.edit_node(9, |n| n.reserved.amounts.cpu_mhz = 3950);
    let mut spec = service(1);
    spec.datacenters = vec!["dc1".into()];
    spec.constraints = vec![Constraint {
        left: "${attr.kernel.name}".into(),
        operand: Operand::Equal,
        right: "linux".into(),
    }];
    let mut told = Told::new(world);
    let key = told.run(spec);
    insta::assert_snapshot!(placement(&told.job(&key)), @r#"
    0 of 9 fit
    1 NodePool (n1): in node pool "gpu", the job wants "default"
    1 Status (n2): down
    1 Drain (n4): draining
    1 Eligibility (n3): marked ineligible
    1 Datacenter (n5): in datacenter "dc2", the job wants "dc1"
    1 Constraint (n6): constraint ${attr.kernel.name} = linux is not met: ${attr.kernel.name} is "windows" there
    1 Driver (n7): driver "mock_driver" is not healthy: cannot open the socket: permission denied
    1 Cpu (n9): too small: an instance needs 100 MHz of CPU
    1 Memory (n8): too small: an instance needs 100 MiB of memory
    near n1: in node pool "gpu", the job wants "default"
    near n2: down
    near n3: marked ineligible
    "#);
}

#[test]
fn the_nearest_node_is_told_with_who_holds_what_is_lacking() {
    let mut told = Told::new(World::new(2));
    told.world
        .edit_node(2, |n| n.resources.amounts.memory_mb = 2000);
    let mut big = service(2);
    big.id = "cache".into();
    big.groups[0].tasks[0].resources.memory_mb = 1900;
    told.run(big);
    let mut spec = service(1);
    spec.groups[0].tasks[0].resources.memory_mb = 3000;
    let key = told.run(spec);
    insta::assert_snapshot!(placement(&told.job(&key)), @r#"
    0 of 2 fit
    1 Memory (n1): too little memory free: an instance needs 3,000 MiB
    1 Memory (n2): too small: an instance needs 3,000 MiB of memory
    near n1: lacks 900 MiB of memory: an instance needs 3,000, 2,100 of 4,000 are free
      1,900 MiB of memory by cache.app[1]
    near n2: too small: an instance needs 3,000 MiB of memory, the whole node has 2,000
    "#);
    let why = told.job(&key);
    let waits = &why.groups[0].reasons[0];
    assert!(
        waits.starts_with("1 instance has waited for room since 0s ago"),
        "{waits}"
    );
    assert!(
        why.next[0].command.starts_with("tumen alloc status "),
        "{:?}",
        why.next
    );
}

#[test]
fn a_taken_port_names_its_holder() {
    let mut told = Told::new(World::new(1));
    let mut spec = service(1);
    spec.groups[0].networks = vec![network(&[("http", 8080)])];
    let mut other = spec.clone();
    other.id = "old".into();
    told.run(other);
    let key = told.run(spec);
    insta::assert_snapshot!(placement(&told.job(&key)), @r#"
    0 of 1 fit
    1 Port (n1): port 8080 ("http") is taken
    near n1: port 8080 ("http") is taken
      port 8080 by old.app[0]
    "#);
}

#[test]
fn distinct_hosts_names_the_instance_there() {
    let mut told = Told::new(World::new(1));
    let mut spec = service(2);
    spec.groups[0].constraints = vec![Constraint {
        left: String::new(),
        operand: Operand::DistinctHosts,
        right: "true".into(),
    }];
    let key = told.run(spec);
    let why = told.job(&key);
    assert_eq!(
        why.summary,
        "Job \"web\" does not fully run: 1 instance has no node (1 of 2 running)."
    );
    let near = &why.groups[0].placement.as_ref().unwrap().nearest[0];
    assert_eq!(near.rules, [Rule::DistinctHosts]);
    let there = told.world.named("web.app[0]").id.short();
    assert_eq!(
        near.lacks[0],
        format!("runs web.app[0] ({there}), and distinct_hosts allows no second")
    );
}

#[test]
fn a_job_that_runs_or_ended_says_so() {
    let mut told = Told::new(World::new(2));
    let key = told.run(service(3));
    Arc::make_mut(&mut told.world.deployments[0]).status = DeploymentStatus::Successful;
    let why = told.job(&key);
    assert_eq!(why.summary, "Job \"web\" runs: 3 of 3 healthy.");
    assert_eq!((why.verdict, why.allocs.len()), (Verdict::Fine, 0));
    told.world.stop_job(&key);
    told.settle(&key);
    let why = told.job(&key);
    assert_eq!(why.reasons, ["3 instances are still ending."]);
    told.world.clients();
    let why = told.job(&key);
    assert_eq!(why.verdict, Verdict::Ended);
    assert_eq!(why.next[0].command, "tumen job start web");

    let key = told.run(batch(1));
    let id = told.world.named("work.app[0]").id;
    told.world
        .edit(id, |a| a.client_status = AllocClientStatus::Complete);
    let why = told.job(&key);
    assert_eq!(
        why.summary,
        "Job \"work\" is done: 1 of 1 instance did the work."
    );
}

fn terminated(at: i64, code: &str) -> TaskEvent {
    let text = format!("Exit Code: {code}");
    TaskEvent::new("Terminated", Timestamp(at), text)
        .with("exit_code", code)
        .with("signal", 0)
        .with("oom_killed", false)
        .with("exit_message", "")
}

#[test]
fn a_failed_instance_tells_its_exit_and_when_it_is_replaced() {
    let mut told = Told::new(World::new(1));
    let mut spec = service(1);
    spec.groups[0].update = None;
    let key = told.run(spec);
    let now = told.world.now;
    let id = told.world.fail("web.app[0]");
    told.world.edit(id, |a| {
        let state = a.task_states.get_mut("t").unwrap();
        state.push(terminated(now, "7"));
        state.push(TaskEvent::new(
            "Not Restarting",
            Timestamp(now),
            "Policy allows no restarts",
        ));
    });
    told.settle(&key);
    told.world.now += 5 * SECOND;
    let why = told.job(&key);
    assert_eq!(
        why.summary,
        "Job \"web\" does not run: 1 instance failed (0 of 1 running)."
    );
    let alloc = &why.allocs[0];
    assert_eq!(
        alloc.summary,
        format!(
            "Instance web.app[0] ({}) failed 5s ago: task \"t\" exited with code 7; it is not \
             started again: Policy allows no restarts.",
            id.short()
        )
    );
    assert!(
        alloc.reasons[0].starts_with("It is replaced in 25s"),
        "{:?}",
        alloc.reasons
    );
}

#[test]
fn a_restart_loop_tells_the_last_end_and_the_next_start() {
    let mut told = Told::new(World::new(1));
    let key = told.run(service(1));
    let now = told.world.now;
    let id = told.world.named("web.app[0]").id;
    told.world.edit(id, |a| {
        let mut state = TaskState {
            restarts: 3,
            last_restart: Timestamp(now),
            ..TaskState::default()
        };
        state.push(terminated(now, "1").with("oom_killed", true));
        let wait = Duration::from_secs(15).as_nanos();
        let again = TaskEvent::new("Restarting", Timestamp(now), "Task restarting in 15s");
        state.push(again.with("start_delay", wait));
        a.task_states.insert("t".into(), state);
        a.client_status = AllocClientStatus::Pending;
    });
    told.world.now += 3 * SECOND;
    let why = told.why(Subject::Alloc(id));
    assert_eq!(why.verdict, Verdict::Broken);
    let expected = "task \"t\" used more than its memory of 100 MiB and was killed; it is started \
                    again in 12s, restarted 3 times so far.";
    assert!(why.summary.ends_with(expected), "{}", why.summary);
    assert_eq!(told.job(&key).allocs[0].id, id);
}

#[test]
fn a_roll_out_tells_what_it_waits_for() {
    let mut told = Told::new(World::new(2));
    let key = told.run(service(2));
    let done = told.world.deployments[0].id;
    let edit = |d: &mut Vec<Arc<Deployment>>, f: &dyn Fn(&mut Deployment)| {
        f(Arc::make_mut(d.last_mut().unwrap()));
    };
    edit(&mut told.world.deployments, &|d| {
        d.status = DeploymentStatus::Successful
    });
    let mut next = changed(service(2), "blue");
    next.groups[0].update.as_mut().unwrap().canary = 1;
    told.world.register(next);
    told.settle(&key);
    let deployment = told.world.deployments.last().unwrap().clone();
    assert_ne!(deployment.id, done);
    let why = told.job(&key);
    assert!(
        why.reasons[0].contains("has 0 of 1 healthy, 1 placed"),
        "{:?}",
        why.reasons
    );
    edit(&mut told.world.deployments, &|d| {
        d.groups.get_mut("app").unwrap().healthy = 1;
    });
    let why = told.job(&key);
    assert!(
        why.reasons[0].contains("waits for promotion: 1 canary instance"),
        "{:?}",
        why.reasons
    );
    let promote = format!("tumen deployment promote {}", deployment.id.short());
    assert!(
        why.next.iter().any(|s| s.command == promote),
        "{:?}",
        why.next
    );
}

#[test]
fn a_lost_instance_points_to_its_node() {
    let mut told = Told::new(World::new(1));
    let key = told.run(service(1));
    told.world.node_down(1);
    told.settle(&key);
    told.world.now += 60 * SECOND;
    let why = told.job(&key);
    assert_eq!(
        why.summary,
        "Job \"web\" does not run: 1 instance has no node (0 of 1 running)."
    );
    let lost = &why.allocs[0];
    assert!(
        lost.summary
            .contains("was lost with its node: node n1 went down 1m ago"),
        "{}",
        lost.summary
    );
    assert_eq!(lost.reasons, ["Its replacement found no node."]);
    let why = told.why(Subject::Node(nth(1)));
    assert_eq!(why.verdict, Verdict::Broken);
    assert!(
        why.summary.ends_with("takes nothing: it is down."),
        "{}",
        why.summary
    );
}

#[test]
fn a_node_tells_its_drivers_and_its_room() {
    let mut world = World::new(2);
    world.edit_node(1, |n| {
        let broken = DriverInfo {
            description: "cannot open /var/run/docker.sock: permission denied".into(),
            ..DriverInfo::default()
        };
        n.drivers.insert("docker".into(), broken);
    });
    world.edit_node(2, |n| n.eligibility = Eligibility::Ineligible);
    let told = Told::new(world);
    let why = told.why(Subject::Node(nth(1)));
    assert_eq!(why.verdict, Verdict::Fine);
    insta::assert_snapshot!(why.reasons.join("\n"), @r#"
    0 allocations run on it; free: 4,000 of 4,000 MHz of CPU, 4,000 of 4,000 MiB of memory, 100,000 of 100,000 MiB of disk.
    Drivers that work: mock_driver.
    Driver "docker" was not found: cannot open /var/run/docker.sock: permission denied.
    "#);
    let why = told.why(Subject::Node(nth(2)));
    assert!(
        why.summary
            .ends_with("takes nothing: it is marked ineligible."),
        "{}",
        why.summary
    );
    assert!(
        why.next[0]
            .command
            .starts_with("tumen node eligibility -enable ")
    );
}

#[test]
fn an_evaluation_tells_what_it_waits_for() {
    let mut told = Told::new(World::new(0));
    let key = told.run(service(2));
    let mut evals = told.of_job(&key).into_iter();
    let blocked = evals.find(|e| e.status == EvalStatus::Blocked).unwrap();
    let why = told.why(Subject::Eval(blocked.id));
    assert!(
        why.summary.contains("waits for room for 2 instances"),
        "{}",
        why.summary
    );
    assert_eq!(why.groups.len(), 1);
    let done = told
        .of_job(&key)
        .into_iter()
        .find(|e| e.blocked.is_some())
        .unwrap();
    let why = told.why(Subject::Eval(done.id));
    assert!(
        why.summary.contains("but found no node for 2 instances"),
        "{}",
        why.summary
    );
    let waits = format!("waits as evaluation {}.", blocked.id.short());
    assert!(why.reasons[0].ends_with(&waits), "{:?}", why.reasons);
}
