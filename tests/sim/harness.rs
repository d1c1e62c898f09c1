//! Runs a story on a runtime where nothing is left to chance.

use tokio::runtime::{Builder, RngSeed};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};

use crate::cluster::Cluster;
use crate::trace::{LogLayer, Trace};

/// Runs a story with so many servers and clients, checks the invariants at its end, and returns
/// what happened.
pub fn sim(
    seed: u64,
    (servers, clients): (u8, u8),
    story: impl AsyncFnOnce(&mut Cluster),
) -> Vec<String> {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(RngSeed::from_bytes(&seed.to_le_bytes()))
        .build()
        .unwrap();
    runtime.block_on(async {
        let trace = Trace::new();
        let logs = LogLayer(trace.clone()).with_filter(LevelFilter::INFO);
        let _logs = tracing::subscriber::set_default(tracing_subscriber::registry().with(logs));
        let _shown = ShownOnPanic(seed, trace.clone());
        let mut cluster = Cluster::boot(seed, trace.clone(), servers, clients).await;
        story(&mut cluster).await;
        cluster.check().await;
        cluster.end().await;
        assert_eq!(trace.what_broke(), Vec::<String>::new());
        if std::env::var_os("TUMEN_TRACE").is_some() {
            println!("{}", trace.lines().join("\n"));
        }
        trace.lines()
    })
}

/// [`sim`] twice from one seed, which must be the same run, and once from another, which must not.
pub fn sim_twice(seed: u64, size: (u8, u8), story: impl AsyncFn(&mut Cluster)) {
    let first = sim(seed, size, &story);
    let second = sim(seed, size, &story);
    for (n, (one, two)) in first.iter().zip(&second).enumerate() {
        assert_eq!(one, two, "seed {seed}: the runs part at event {n}");
    }
    assert_eq!(first.len(), second.len(), "seed {seed}");
    assert_ne!(
        first,
        sim(seed + 1, size, &story),
        "the seed changes nothing"
    );
}

/// The seeds to try: so many, or what `TUMEN_SEEDS` says for a longer search, or `TUMEN_SEED`.
pub fn seeds(first: u64, few: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|n| n.parse().ok());
    match number("TUMEN_SEED") {
        Some(one) => one..one + 1,
        None => first..first + number("TUMEN_SEEDS").unwrap_or(few),
    }
}

/// Shows how to run a failed story again, and how it ended.
struct ShownOnPanic(u64, Trace);

impl Drop for ShownOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.1.lines();
            let tail = match std::env::var_os("TUMEN_TRACE") {
                Some(_) => &lines[..],
                None => &lines[lines.len().saturating_sub(60)..],
            };
            eprintln!("{}\nagain: TUMEN_SEED={}", tail.join("\n"), self.0);
        }
    }
}
