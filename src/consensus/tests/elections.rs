//! Elections: when they end, and who wins, follows the seed.

use super::*;

/// Kills the leader, time and again: how long it took until there was another, and which.
async fn successions(seed: u64) -> Vec<(Duration, usize)> {
    let mut cluster = Cluster::new(seed).await;
    let clock = cluster.machines[0].env.clock.clone();
    let mut found = Vec::new();
    for _ in 0..3 {
        let old = cluster.leader().await;
        let death = clock.now();
        cluster.crash(old, false).await;
        let new = cluster.leader().await;
        found.push((clock.now() - death, new));
        cluster.restart(old).await;
    }
    cluster.stop().await;
    found
}

#[tokio::test(start_paused = true)]
async fn a_seed_fixes_its_elections() {
    let first = successions(20).await;
    assert_eq!(first, successions(20).await);
    assert_ne!(first, successions(21).await);
}
