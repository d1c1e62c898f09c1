//! What holds for any sequence of changes: see `World::check` and `World::settle_eval`, which
//! every step runs through.

use proptest::prelude::*;

use super::world::*;
use crate::model::*;

#[derive(Clone, Debug)]
enum Step {
    Count(u32),
    Change(u8),
    Memory(u32),
    NodeDown(u128),
    NodeUp(u128),
    Fail(usize),
    Wait(i64),
    Clients,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u32..8).prop_map(Step::Count),
        (0u8..3).prop_map(Step::Change),
        (1u32..20).prop_map(|n| Step::Memory(n * 100)),
        (1u128..5).prop_map(Step::NodeDown),
        (1u128..5).prop_map(Step::NodeUp),
        (0usize..8).prop_map(Step::Fail),
        (1i64..200).prop_map(Step::Wait),
        Just(Step::Clients),
    ]
}

struct Story {
    world: World,
    key: JobKey,
    spec: job::JobSpec,
    waiting: Vec<Evaluation>,
}

impl Story {
    /// A service of three on four nodes.
    fn new() -> Self {
        let mut world = World::new(4);
        let mut spec = service(3);
        spec.groups[0].networks = vec![network(&[("any", 0)])];
        spec.groups[0].update.as_mut().unwrap().max_parallel = 2;
        let key = world.register(spec.clone());
        let waiting = Vec::new();
        let mut story = Self {
            world,
            key,
            spec,
            waiting,
        };
        story.settle(EvalTrigger::JobRegister);
        story
    }

    fn settle(&mut self, trigger: EvalTrigger) {
        let outcome = self.world.settle(&self.key.clone(), trigger);
        self.waiting.extend(outcome.follow_ups);
    }

    fn register(&mut self) {
        self.world.register(self.spec.clone());
        self.settle(EvalTrigger::JobRegister);
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Count(count) => {
                self.spec.groups[0].count = *count;
                self.register();
            }
            Step::Change(value) => {
                self.spec = changed(self.spec.clone(), &value.to_string());
                self.register();
            }
            Step::Memory(mb) => {
                self.spec.groups[0].tasks[0].resources.memory_mb = *mb;
                self.register();
            }
            Step::NodeDown(n) => {
                self.world.node_down(*n);
                self.settle(EvalTrigger::NodeUpdate);
            }
            Step::NodeUp(n) => {
                self.world.edit_node(*n, |n| n.status = NodeStatus::Ready);
                self.settle(EvalTrigger::NodeUpdate);
            }
            Step::Fail(n) => {
                let live = self.world.allocs.values().filter(|a| !a.is_terminal());
                let names: Vec<String> = live.map(|a| a.name.clone()).collect();
                if let Some(name) = names.get(*n) {
                    let failed = self.world.fail(name);
                    self.world
                        .edit(failed, |a| a.transition.reschedule = Some(true));
                    self.settle(EvalTrigger::AllocFailure);
                }
            }
            Step::Wait(seconds) => self.wait(*seconds),
            Step::Clients => {
                self.world.clients();
                self.settle(EvalTrigger::DeploymentWatcher);
            }
        }
    }

    fn wait(&mut self, seconds: i64) {
        self.world.now += seconds * SECOND;
        let now = self.world.now();
        let due = self.waiting.extract_if(.., |e| e.wait_until <= now);
        for eval in due.collect::<Vec<_>>() {
            let outcome = self.world.settle_eval(&eval);
            self.waiting.extend(outcome.follow_ups);
        }
    }

    /// Heals everything and demands the declared count.
    fn converge(&mut self) {
        for n in 1..5 {
            self.world.edit_node(n, |n| n.status = NodeStatus::Ready);
        }
        for _ in 0..40 {
            self.world.clients();
            self.settle(EvalTrigger::DeploymentWatcher);
            self.wait(4_000);
        }
        let count = self.spec.groups[0].count as usize;
        assert_eq!(self.world.live(), count, "{}", self.world.show());
        let newest = self.world.job(&self.key).unwrap().version;
        let live = self.world.allocs.values().filter(|a| !a.is_terminal());
        for alloc in live {
            assert_eq!(alloc.job.version, newest, "{}", self.world.show());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..Default::default() })]

    /// Planning twice changes nothing, capacity holds, names are unique, and the count is
    /// reached once everything is healed.
    #[test]
    fn any_story_ends_at_its_count(steps in proptest::collection::vec(step(), 1..25)) {
        let mut story = Story::new();
        for step in &steps {
            story.take(step);
        }
        story.converge();
    }
}

/// Two successors on one node: the second must not count on what the first one's predecessor
/// still holds beyond its successor.
#[test]
fn the_room_of_a_predecessor_is_for_its_successor_only() {
    let mut story = Story::new();
    let steps = [
        Step::Memory(1700),
        Step::Memory(1800),
        Step::Change(1),
        Step::NodeDown(1),
        Step::Change(0),
        Step::Memory(500),
    ];
    for step in &steps {
        story.take(step);
    }
    story.converge();
}
