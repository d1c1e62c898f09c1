//! Node pools: made by operators or by nodes that name them, kept while they are used.

use super::*;
use crate::model::pool::NodePool;

fn gpu() -> NodePool {
    NodePool {
        name: "gpu".to_string(),
        description: "machines with a GPU".to_string(),
        meta: BTreeMap::from([("owner".to_string(), "ml".to_string())]),
        ..NodePool::default()
    }
}

async fn refused(cluster: &Cluster, op: Op) -> String {
    cluster.op(op).await.unwrap_err().to_string()
}

fn delete(name: &str) -> Op {
    Op::DeletePool(name.to_string())
}

async fn names(cluster: &Cluster) -> Vec<String> {
    match cluster.read(Read::Pools).await.body {
        Body::Pools(pools) => pools.into_iter().map(|p| p.name).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_run_on_the_nodes_of_their_pool() {
    let mut cluster = Cluster::boot().await;
    cluster.client(1).await;
    let mut job = job("web", 1);
    job.spec.node_pool = "gpu".to_string();
    let unknown = cluster.register(&job).await.unwrap_err().to_string();
    assert_eq!(
        unknown,
        "1 error occurred:\n\t* job \"web\" is in nonexistent node pool \"gpu\"\n\n"
    );
    cluster.op(Op::UpsertPool(gpu())).await.unwrap();
    cluster.register(&job).await.unwrap();
    let blocked = |view: &Snapshot| {
        let mut waiting = view.active_evals();
        waiting.find(|e| e.status == EvalStatus::Blocked).cloned()
    };
    cluster.until("blocked", blocked).await;
    let mut special = node(2);
    special.node_pool = "gpu".to_string();
    cluster.client_on(special).await;
    let running = cluster.running(1).await;
    assert_eq!(running[0].node_id, node(2).id);
    let used = "2 errors occurred:\n\
                \t* node pool \"gpu\" has non-terminal jobs in regions: [global]\n\
                \t* node pool \"gpu\" has nodes in regions: [global]\n\n";
    assert_eq!(refused(&cluster, delete("gpu")).await, used);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_is_there_when_a_node_names_it_and_goes_when_nothing_does() {
    let mut cluster = Cluster::boot().await;
    let mut special = node(1);
    special.node_pool = "edge".to_string();
    cluster.client_on(special).await;
    cluster.op(Op::UpsertPool(gpu())).await.unwrap();
    assert_eq!(names(&cluster).await, ["all", "default", "edge", "gpu"]);
    let before = cluster.raft.store().snapshot().pool("gpu").unwrap();
    let mut changed = gpu();
    changed.description = "faster".to_string();
    cluster.op(Op::UpsertPool(changed)).await.unwrap();
    let after = cluster.raft.store().snapshot().pool("gpu").unwrap();
    assert_eq!(after.create_index, before.create_index);
    assert!(after.modify_index > before.modify_index && after.description == "faster");
    cluster.op(delete("gpu")).await.unwrap();
    assert_eq!(names(&cluster).await, ["all", "default", "edge"]);
    let gone = refused(&cluster, delete("gpu")).await;
    assert_eq!(gone, "node pool gpu not found");
    let kept = refused(&cluster, delete("default")).await;
    assert_eq!(kept, "deleting node pool \"default\" is not allowed");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_cannot_be_is_refused() {
    let cluster = Cluster::boot().await;
    let named = |name: &str| {
        Op::UpsertPool(NodePool {
            name: name.to_string(),
            ..NodePool::default()
        })
    };
    assert_eq!(
        refused(&cluster, named("bad name")).await,
        "invalid node pool \"bad name\": 1 error occurred:\n\
         \t* invalid name \"bad name\", must match regex ^[a-zA-Z0-9-_]{1,128}$\n\n"
    );
    assert_eq!(
        refused(&cluster, named("default")).await,
        "modifying node pool \"default\" is not allowed"
    );
    cluster.stop().await;
}
