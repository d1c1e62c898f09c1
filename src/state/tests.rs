//! What applying commands does, and that it does the same everywhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::testing::{alloc, eval, job, node, uuid};
use super::*;
use crate::model::plan::PlannedStop;
use crate::model::{
    AllocClientStatus, AllocId, AllocUpdate, Allocation, ClusterView, EvalId, EvalStatus, Job,
    JobKey, JobStatus, NodeId, Plan, RequestId, Timestamp,
};

fn at(time: i64, change: Change) -> Command {
    Command::new(Timestamp(time), change)
}

fn register(job: Job, enforce_index: Option<Index>) -> Change {
    let eval = Some(Box::new(eval(100, &job)));
    Change::RegisterJob {
        job: Box::new(job),
        submission: None,
        eval,
        enforce_index,
    }
}

fn key() -> JobKey {
    JobKey::new("default", "web")
}

fn place(job: &Arc<Job>, n: u128, on: u128, index: Index) -> Change {
    let alloc = alloc(n, job, &node(on), EvalId(uuid(100)));
    let plan = Plan {
        job: Some(job.clone()),
        snapshot_index: index,
        places: BTreeMap::from([(NodeId(uuid(on)), vec![alloc])]),
        ..Plan::default()
    };
    Change::ApplyPlan {
        plan: Box::new(StoredPlan(plan)),
        follow_ups: Vec::new(),
        ends: Vec::new(),
    }
}

fn report(n: u128, status: AllocClientStatus) -> Change {
    Change::UpdateAllocs {
        updates: vec![AllocUpdate {
            id: AllocId(uuid(n)),
            client_status: status,
            client_description: String::new(),
            task_states: BTreeMap::new(),
            healthy: None,
        }],
        evals: Vec::new(),
    }
}

/// A state with a node, job `web` and one allocation of it; the next index is 4.
fn running() -> State {
    let mut state = State::new();
    let node = Change::UpsertNode {
        node: Box::new(node(1)),
        evals: Vec::new(),
    };
    state.apply(1, &at(1, node));
    state.apply(2, &at(2, register(job("web", 1), None)));
    let stored = state.snapshot().job(&key()).unwrap();
    state.apply(3, &at(3, place(&stored, 10, 1, 2)));
    state
}

fn the_alloc(state: &State) -> Arc<Allocation> {
    state.snapshot().alloc(AllocId(uuid(10))).unwrap()
}

#[test]
fn the_same_spec_keeps_its_version_and_a_new_one_counts_up() {
    let mut state = State::new();
    state.apply(1, &at(1, register(job("web", 1), None)));
    let again = state.apply(2, &at(2, register(job("web", 1), None)));
    let Outcome::Registered {
        version,
        job_modify_index,
        changed,
        eval,
    } = again.outcome
    else {
        panic!("{again:?}");
    };
    assert_eq!((version, job_modify_index, changed), (0, 1, false));
    assert_eq!(eval, Some(EvalId(uuid(100))));
    state.apply(3, &at(3, register(job("web", 2), None)));
    let stored = state.snapshot().job(&key()).unwrap();
    assert_eq!((stored.version, stored.create_index), (1, 1));
    assert_eq!(stored.job_modify_index, 3);
}

#[test]
fn an_enforced_index_is_kept() {
    let mut state = State::new();
    let refused = |state: &mut State, index, enforce| {
        let applied = state.apply(index, &at(1, register(job("web", 1), Some(enforce))));
        match applied.outcome {
            Outcome::Refused(refusal) => refusal.to_string(),
            other => format!("{other:?}"),
        }
    };
    assert_eq!(
        refused(&mut state, 1, 5),
        "Enforcing job modify index 5: job does not exist"
    );
    state.apply(2, &at(1, register(job("web", 1), Some(0))));
    assert_eq!(
        refused(&mut state, 3, 0),
        "Enforcing job modify index 0: job already exists"
    );
    assert_eq!(
        refused(&mut state, 4, 9),
        "Enforcing job modify index 9: job exists with conflicting job modify index: 2"
    );
    let taken = state.apply(5, &at(1, register(job("web", 2), Some(2))));
    assert!(matches!(
        taken.outcome,
        Outcome::Registered { version: 1, .. }
    ));
}

#[test]
fn a_request_applies_once() {
    let mut state = State::new();
    let once = |count| {
        let change = register(job("web", count), None);
        Command::once(RequestId(uuid(7)), Timestamp(1), change)
    };
    let first = state.apply(1, &once(1));
    let second = state.apply(2, &once(1));
    assert_eq!((second.index, &second.outcome), (1, &first.outcome));
    assert!(second.changed.is_empty());
    assert_eq!(state.snapshot().job(&key()).unwrap().version, 0);
    // The id is forgotten after ten minutes of command time.
    let late = 11 * 60 * 1_000_000_000;
    let other = Command::once(RequestId(uuid(8)), Timestamp(late), Change::Barrier);
    state.apply(3, &other);
    let again = state.apply(4, &once(2));
    assert_eq!(again.index, 4);
}

#[test]
fn a_job_is_pending_then_running_then_dead() {
    let mut state = State::new();
    state.apply(1, &at(1, register(job("web", 1), None)));
    let status = |state: &State| state.snapshot().job(&key()).unwrap().status;
    assert_eq!(status(&state), JobStatus::Pending);
    let mut state = running();
    assert_eq!(status(&state), JobStatus::Running);
    let mut done = eval(100, &job("web", 1));
    done.status = EvalStatus::Complete;
    state.apply(4, &at(4, Change::UpsertEvals(vec![done])));
    assert_eq!(status(&state), JobStatus::Running);
    state.apply(5, &at(5, report(10, AllocClientStatus::Complete)));
    assert_eq!(status(&state), JobStatus::Dead);
}

#[test]
fn resources_are_held_until_the_client_says_that_it_ended() {
    let mut state = running();
    let node = NodeId(uuid(1));
    assert_eq!(state.snapshot().usage(node).amounts.cpu_mhz, 100);
    let stop = PlannedStop {
        id: AllocId(uuid(10)),
        description: "alloc not needed due to job update".into(),
        client_status: None,
        follow_up: None,
        keep_running: false,
    };
    let plan = Plan {
        snapshot_index: 3,
        stops: BTreeMap::from([(node, vec![stop])]),
        ..Plan::default()
    };
    let change = Change::ApplyPlan {
        plan: Box::new(StoredPlan(plan)),
        follow_ups: Vec::new(),
        ends: Vec::new(),
    };
    state.apply(4, &at(4, change));
    assert!(the_alloc(&state).is_server_terminal());
    assert_eq!(state.snapshot().usage(node).amounts.cpu_mhz, 100);
    assert_eq!(state.snapshot().capacity_of("v1:1"), 1);
    state.apply(5, &at(5, report(10, AllocClientStatus::Complete)));
    assert_eq!(state.snapshot().usage(node).amounts.cpu_mhz, 0);
    assert_eq!(state.snapshot().capacity_of("v1:1"), 5);
}

#[test]
fn a_plan_from_an_old_state_is_cut_to_what_fits() {
    let mut state = running();
    let mut big = job("big", 1);
    big.spec.groups[0].tasks[0].resources.memory_mb = 9000;
    let big = Arc::new(big);
    let mut alloc = alloc(11, &big, &node(1), EvalId(uuid(100)));
    alloc.resources.tasks.get_mut("web").unwrap().memory_mb = 9000;
    let plan = Plan {
        snapshot_index: 1,
        places: BTreeMap::from([(NodeId(uuid(1)), vec![alloc.clone()])]),
        ..Plan::default()
    };
    let change = Change::ApplyPlan {
        plan: Box::new(StoredPlan(plan)),
        follow_ups: Vec::new(),
        ends: Vec::new(),
    };
    let applied = state.apply(4, &at(4, change));
    let Outcome::Planned(result) = applied.outcome else {
        panic!("{applied:?}");
    };
    assert_eq!(result.refused[&NodeId(uuid(1))], "memory");
    assert_eq!(result.refresh_index, 4);
    assert!(state.snapshot().alloc(alloc.id).is_none());
}

#[test]
fn what_a_client_says_does_not_wake_its_own_poll() {
    let mut state = running();
    let wanted = Key::NodeWanted(NodeId(uuid(1)));
    assert_eq!(state.snapshot().index_of(&wanted), 3);
    let applied = state.apply(4, &at(4, report(10, AllocClientStatus::Running)));
    assert!(!applied.changed.contains(&wanted));
    assert!(applied.changed.contains(&Key::JobAllocs(key())));
    assert_eq!(state.snapshot().index_of(&wanted), 3);
    assert_eq!(state.snapshot().index_of(&Key::Alloc(AllocId(uuid(10)))), 4);
    assert_eq!(the_alloc(&state).alloc_modify_index, 3);
}

#[test]
fn collected_rows_leave_nothing_behind_and_no_index_goes_back() {
    let mut state = running();
    state.apply(4, &at(4, report(10, AllocClientStatus::Complete)));
    let purge = Change::DeregisterJob {
        key: key(),
        purge: true,
        no_shutdown_delay: false,
        eval: None,
    };
    state.apply(5, &at(5, purge));
    let before = state.snapshot().index_of(&Key::JobAllocs(key()));
    let garbage = Garbage {
        evals: vec![EvalId(uuid(100))],
        allocs: vec![AllocId(uuid(10))],
        ..Garbage::default()
    };
    state.apply(6, &at(6, Change::Collect(garbage)));
    let after = state.snapshot();
    assert!(after.index_of(&Key::JobAllocs(key())) >= before);
    assert_eq!(after.allocs().count() + after.evals().count(), 0);
    let left: Vec<&Key> = after.tables.changed_at.keys().collect();
    let node = NodeId(uuid(1));
    assert_eq!(
        left,
        [
            &Key::Table(Table::Jobs),
            &Key::Table(Table::Allocs),
            &Key::Table(Table::Nodes),
            &Key::Table(Table::Evals),
            &Key::Node(node),
            &Key::NodeAllocs(node),
            &Key::NodeWanted(node),
        ]
    );
}

#[test]
fn damaged_bytes_are_refused() {
    let mut bytes = running().dump();
    assert!(matches!(State::restore(&[]), Err(RestoreError::NotAState)));
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert!(matches!(
        State::restore(&bytes),
        Err(RestoreError::Damaged { .. })
    ));
    bytes[4] = 9;
    assert!(matches!(
        State::restore(&bytes),
        Err(RestoreError::TooNew(9))
    ));
}

/// The bytes of a command of version 1. They may never change: logs hold them.
#[test]
fn commands_of_version_1_keep_their_bytes() {
    let stored = Arc::new(job("web", 1));
    let commands = [
        at(1, Change::Barrier),
        Command::once(
            RequestId(uuid(9)),
            Timestamp(2),
            register(job("web", 1), Some(3)),
        ),
        at(3, place(&stored, 10, 1, 2)),
        at(4, report(10, AllocClientStatus::Failed)),
    ];
    let bytes = postcard::to_stdvec(&commands.to_vec()).unwrap();
    let golden = include_bytes!("../../tests/golden/command-v1.bin");
    if bytes != golden {
        let proposed = std::env::temp_dir().join("command-v1.bin");
        std::fs::write(&proposed, &bytes).unwrap();
        panic!(
            "the bytes changed; these would be new: {}",
            proposed.display()
        );
    }
    let read: Vec<Command> = postcard::from_bytes(golden).unwrap();
    assert_eq!(read, commands);
}

/// Commands that meet each other in many orders.
fn any_change() -> impl Strategy<Value = Change> {
    let status = prop_oneof![
        Just(AllocClientStatus::Running),
        Just(AllocClientStatus::Complete),
        Just(AllocClientStatus::Failed),
        Just(AllocClientStatus::Lost),
    ];
    prop_oneof![
        Just(Change::Barrier),
        (1..3u128).prop_map(|n| Change::UpsertNode {
            node: Box::new(node(n)),
            evals: Vec::new()
        }),
        (1..4u32).prop_map(|count| register(job("web", count), None)),
        any::<bool>().prop_map(|purge| Change::DeregisterJob {
            key: key(),
            purge,
            no_shutdown_delay: purge,
            eval: None,
        }),
        (10..16u128, 1..3u128).prop_map(|(n, on)| place(&Arc::new(job("web", 1)), n, on, 0)),
        (10..16u128, status).prop_map(|(n, status)| report(n, status)),
        (10..16u128).prop_map(|n| Change::Collect(Garbage {
            allocs: vec![AllocId(uuid(n))],
            evals: vec![EvalId(uuid(100))],
            ..Garbage::default()
        })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any log gives the same bytes twice, survives a dump in the middle, keeps its indexes
    /// whole, and never lets an index go back.
    #[test]
    fn a_log_gives_one_state(changes in prop::collection::vec(any_change(), 1..40), cut in 0..40usize) {
        let (mut a, mut b) = (State::new(), State::new());
        let mut seen: BTreeMap<Key, Index> = BTreeMap::new();
        for (n, change) in changes.into_iter().enumerate() {
            let command = at(n as i64 + 1, change);
            let applied = a.apply(n as u64 + 1, &command);
            prop_assert_eq!(&b.apply(n as u64 + 1, &command), &applied);
            if n == cut {
                b = State::restore(&b.dump()).unwrap();
            }
            seen.extend(applied.changed.into_iter().map(|key| (key, 0)));
            for (key, index) in &mut seen {
                let now = a.snapshot().index_of(key);
                prop_assert!(now >= *index, "{:?} went from {} to {}", key, index, now);
                *index = now;
            }
            a.tables.allocs.check();
        }
        prop_assert_eq!(a.dump(), b.dump());
    }
}
