//! Random faults in random order; then all are healed, and the cluster must be whole again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tumen::env::Entropy;
use tumen::env::sim::SimEntropy;
use tumen::model::job::JobSpec;
use tumen::model::{AllocClientStatus, Allocation, ClusterView, Index, JobType, Node, NodeStatus};
use tumen::rpc::api::Reply;
use tumen::state::Snapshot;

use crate::cluster::{Cluster, key, wanted};
use crate::harness::{seeds, sim, sim_twice};
use crate::jobs::{batch, on_port, service, version};

const ROUNDS: usize = 6;
/// Dynamic ports, a fixed port, a task that keeps failing, and batch work.
const JOBS: [&str; 4] = ["web", "port", "flaky", "work"];

/// What the operator asked for.
#[derive(Default)]
struct Wishes {
    /// By job: the last that was acknowledged, and later tries of which nobody knows.
    jobs: BTreeMap<String, Vec<JobSpec>>,
    /// The newest index of which the operator was told.
    index: Index,
    versions: u32,
}

#[test]
fn one_server_mends_after_random_faults() {
    for seed in seeds(1000, 20) {
        sim(seed, (1, 3), async |cluster: &mut Cluster| {
            random_story(seed, cluster).await;
        });
    }
}

#[test]
fn three_servers_mend_after_random_faults() {
    for seed in seeds(2000, 3) {
        sim(seed, (3, 2), async |cluster: &mut Cluster| {
            random_story(seed, cluster).await;
        });
    }
}

#[test]
fn the_same_seed_brings_the_same_random_faults() {
    sim_twice(3000, (3, 2), async |cluster: &mut Cluster| {
        random_story(3000, cluster).await;
    });
}

async fn random_story(seed: u64, cluster: &mut Cluster) {
    let dice = SimEntropy::named(seed, "story");
    let mut wishes = Wishes::default();
    for name in JOBS {
        wish(cluster, &mut wishes, &dice, name).await;
    }
    for _ in 0..ROUNDS {
        fault(cluster, &dice).await;
        if dice.range(0..3) == 0 {
            let name = JOBS[dice.range(0..JOBS.len() as u64) as usize];
            wish(cluster, &mut wishes, &dice, name).await;
        }
        // Long enough, now and then, for a silent node to be given up.
        let longest = if dice.range(0..4) == 0 { 15_000 } else { 3_000 };
        let pause = dice.range(50..longest);
        cluster.env.clock.sleep(Duration::from_millis(pause)).await;
    }
    mend(cluster, &mut wishes).await;
}

/// Registers one of the jobs in another version.
async fn wish(cluster: &Cluster, wishes: &mut Wishes, dice: &dyn Entropy, name: &str) {
    wishes.versions += 1;
    let count = 1 + dice.range(0..4) as u32;
    let job = match name {
        "port" => on_port(service(name, 1 + count % 2, json!({})), 8080),
        "flaky" => {
            let life = format!("{}ms", dice.range(100..9_000));
            service(name, 1, json!({"run_for": life, "exit_code": 1}))
        }
        "work" => batch(name, count, "4s"),
        name => service(name, count, json!({"kill_after": "300ms"})),
    };
    let job = version(job, wishes.versions);
    let tries = wishes.jobs.entry(name.to_owned()).or_default();
    tries.push(job.clone());
    if let Ok(Reply::Registered { index, .. }) = cluster.register(&job).await {
        *tries = vec![job];
        wishes.index = wishes.index.max(index);
    }
}

async fn fault(cluster: &mut Cluster, dice: &dyn Entropy) {
    let pick = |names: Vec<String>| names[dice.range(0..names.len() as u64) as usize].clone();
    let anyone = pick([cluster.names('c'), cluster.names('s')].concat());
    let client = pick(cluster.names('c'));
    match dice.range(0..9) {
        0 => cluster
            .network()
            .slow(Duration::from_millis(dice.range(0..400))),
        1 => cluster.network().lose(dice.range(0..40)),
        2 => cluster.network().cut(&client, &pick(cluster.names('s'))),
        3 => cluster.isolate(&client),
        4 => cluster.heal(),
        5 | 6 if cluster.is_up(&anyone) => cluster.kill(&anyone).await,
        7 if cluster.is_up(&anyone) => cluster.power_cut(&anyone).await,
        _ if !cluster.is_up(&anyone) => cluster.start(&anyone).await,
        _ => {}
    }
}

/// Heals everything and demands what was asked for.
async fn mend(cluster: &mut Cluster, wishes: &mut Wishes) {
    cluster.heal();
    for name in [cluster.names('s'), cluster.names('c')].concat() {
        if !cluster.is_up(&name) {
            cluster.start(&name).await;
        }
    }
    cluster
        .until("every node is ready", |view| {
            let ready = |n: &Arc<Node>| n.status == NodeStatus::Ready;
            view.nodes().iter().all(ready).then_some(())
        })
        .await;
    let mended = service("flaky", 2, json!({}));
    cluster.register(&mended).await.unwrap();
    wishes.jobs.insert("flaky".to_owned(), vec![mended]);
    cluster
        .until("every count is reached", |view| {
            wishes.jobs.keys().all(|id| whole(view, id)).then_some(())
        })
        .await;
    cluster.at_rest().await;
    let view = cluster.view();
    assert!(view.index() >= wishes.index, "the index went back");
    for (id, tries) in &wishes.jobs {
        let job = view.job(&key(id));
        let found = job.unwrap_or_else(|| panic!("{id} was acknowledged and is gone"));
        assert!(
            tries.contains(&found.spec),
            "{id} is an older one than was acknowledged"
        );
    }
}

/// Whether exactly the declared count of a job runs, or for batch work, has succeeded.
fn whole(view: &Snapshot, id: &str) -> bool {
    let Some(job) = view.job(&key(id)) else {
        return false;
    };
    let count = job.spec.groups[0].count as usize;
    let live = wanted(view, id);
    if job.spec.kind == JobType::Batch {
        let done = |a: &&Arc<Allocation>| {
            a.job.version == job.version && a.client_status == AllocClientStatus::Complete
        };
        let all = view.allocs_of_job(&key(id));
        let names: BTreeSet<_> = all.iter().filter(done).map(|a| &a.name).collect();
        return live.is_empty() && names.len() == count;
    }
    let runs = live
        .iter()
        .filter(|a| a.client_status == AllocClientStatus::Running);
    live.len() == count && runs.count() == count
}
