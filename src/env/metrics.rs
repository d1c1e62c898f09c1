//! Counters, gauges and samples, kept by name and labels, read as a snapshot.
//!
//! **Owns** every series of this agent, each with its lifetime total and its last complete
//! interval of [`INTERVAL`]. **Does not** format: `http` turns a [`Snapshot`] into JSON or text.
//!
//! The number of series is bounded; what would be one too many is counted, not kept.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::env::Clock;

/// How long one aggregation interval is.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// More series than this mean a label that should not be one.
const SERIES_MAX: usize = 20_000;

/// Label names with their values.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

/// The registry. Cloning shares it.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    series: Mutex<Series>,
}

#[derive(Default)]
struct Series {
    gauges: BTreeMap<Key, f64>,
    counters: BTreeMap<Key, Cell>,
    samples: BTreeMap<Key, Cell>,
    refused: u64,
}

/// What names one series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub name: &'static str,
    /// Sorted by label name.
    pub labels: Vec<(&'static str, String)>,
}

/// What a number of observed values amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Aggregate {
    pub count: u64,
    pub sum: f64,
    pub sum_of_squares: f64,
    pub min: f64,
    pub max: f64,
    pub last: f64,
}

impl Aggregate {
    fn add(&mut self, value: f64) {
        if self.count == 0 {
            (self.min, self.max) = (value, value);
        }
        self.count += 1;
        self.sum += value;
        self.sum_of_squares += value * value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.last = value;
    }

    pub fn mean(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.sum / self.count as f64
        }
    }

    /// The sample standard deviation.
    pub fn stddev(&self) -> f64 {
        let n = self.count as f64;
        if self.count < 2 {
            return 0.0;
        }
        let variance = (n * self.sum_of_squares - self.sum * self.sum) / (n * (n - 1.0));
        variance.max(0.0).sqrt()
    }

    /// The sum per second of one interval.
    pub fn rate(&self) -> f64 {
        self.sum / INTERVAL.as_secs_f64()
    }
}

/// One series of values: its total, the interval that is filling and the one before.
#[derive(Clone, Copy)]
struct Cell {
    total: Aggregate,
    filling: Aggregate,
    complete: Aggregate,
    since: Instant,
}

impl Cell {
    fn new(now: Instant) -> Self {
        let empty = Aggregate::default();
        Self {
            total: empty,
            filling: empty,
            complete: empty,
            since: now,
        }
    }

    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age < INTERVAL {
            return;
        }
        let stale = age >= INTERVAL * 2;
        self.complete = if stale {
            Aggregate::default()
        } else {
            self.filling
        };
        self.filling = Aggregate::default();
        self.since = now;
    }

    fn add(&mut self, now: Instant, value: f64) {
        self.turn(now);
        self.total.add(value);
        self.filling.add(value);
    }

    /// The last complete interval, or what there is of the first.
    fn interval(&self) -> Aggregate {
        if self.complete.count > 0 {
            self.complete
        } else {
            self.filling
        }
    }
}

/// A counter or sample as a snapshot shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    pub key: Key,
    /// Since the agent started.
    pub total: Aggregate,
    /// Over the last complete interval, or over what there is of the first.
    pub interval: Aggregate,
}

/// All series at one moment, sorted by name and labels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// When it was taken: Unix nanoseconds.
    pub taken_at: i64,
    pub gauges: Vec<(Key, f64)>,
    pub counters: Vec<Observed>,
    pub samples: Vec<Observed>,
    /// Updates for series that were not kept because there were too many.
    pub refused: u64,
}

impl Metrics {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Arc::new(Inner {
                clock,
                series: Mutex::default(),
            }),
        }
    }

    /// Counts one event.
    pub fn incr(&self, name: &'static str, labels: Labels) {
        self.count(name, labels, 1.0);
    }

    /// Adds to a counter.
    pub fn count(&self, name: &'static str, labels: Labels, value: f64) {
        let now = self.inner.clock.now();
        let mut series = self.lock();
        if let Some(key) = series.admit(name, labels, |s| &s.counters) {
            series
                .counters
                .entry(key)
                .or_insert_with(|| Cell::new(now))
                .add(now, value);
        }
    }

    /// Sets a gauge to what is true now.
    pub fn gauge(&self, name: &'static str, labels: Labels, value: f64) {
        let mut series = self.lock();
        if let Some(key) = series.admit(name, labels, |s| &s.gauges) {
            series.gauges.insert(key, value);
        }
    }

    /// Forgets a gauge: what it measured is gone.
    pub fn drop_gauge(&self, name: &'static str, labels: Labels) {
        self.lock().gauges.remove(&key(name, labels));
    }

    /// Observes one value.
    pub fn sample(&self, name: &'static str, labels: Labels, value: f64) {
        let now = self.inner.clock.now();
        let mut series = self.lock();
        if let Some(key) = series.admit(name, labels, |s| &s.samples) {
            series
                .samples
                .entry(key)
                .or_insert_with(|| Cell::new(now))
                .add(now, value);
        }
    }

    /// Observes the time since `start`, in milliseconds.
    pub fn since(&self, name: &'static str, labels: Labels, start: Instant) {
        let took = self.inner.clock.now().saturating_duration_since(start);
        self.sample(name, labels, took.as_secs_f64() * 1000.0);
    }

    pub fn snapshot(&self) -> Snapshot {
        let now = self.inner.clock.now();
        let mut series = self.lock();
        Snapshot {
            taken_at: self.inner.clock.wall(),
            gauges: series.gauges.iter().map(|(k, v)| (k.clone(), *v)).collect(),
            counters: observe(&mut series.counters, now),
            samples: observe(&mut series.samples, now),
            refused: series.refused,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Series> {
        // Numbers stay numbers whoever panicked while holding them.
        self.inner
            .series
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Series {
    fn admit<V>(
        &mut self,
        name: &'static str,
        labels: Labels,
        table: impl Fn(&Self) -> &BTreeMap<Key, V>,
    ) -> Option<Key> {
        let key = key(name, labels);
        let held = self.gauges.len() + self.counters.len() + self.samples.len();
        if held >= SERIES_MAX && !table(self).contains_key(&key) {
            self.refused += 1;
            return None;
        }
        Some(key)
    }
}

fn key(name: &'static str, labels: Labels) -> Key {
    let mut labels: Vec<_> = labels.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
    labels.sort();
    Key { name, labels }
}

fn observe(cells: &mut BTreeMap<Key, Cell>, now: Instant) -> Vec<Observed> {
    let show = |(key, cell): (&Key, &mut Cell)| {
        cell.turn(now);
        Observed {
            key: key.clone(),
            total: cell.total,
            interval: cell.interval(),
        }
    };
    cells.iter_mut().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;

    #[tokio::test(start_paused = true)]
    async fn an_interval_ends_and_the_total_stays() {
        let metrics = Env::sim(1).metrics;
        metrics.count("tumen.x", &[], 2.0);
        metrics.count("tumen.x", &[], 4.0);
        tokio::time::advance(INTERVAL).await;
        metrics.count("tumen.x", &[], 10.0);
        let counter = metrics.snapshot().counters.remove(0);
        assert_eq!((counter.total.count, counter.total.sum), (3, 16.0));
        assert_eq!((counter.interval.count, counter.interval.mean()), (2, 3.0));
        assert_eq!((counter.interval.min, counter.interval.max), (2.0, 4.0));
        assert!((counter.interval.stddev() - 2f64.sqrt()).abs() < 1e-9);
        assert_eq!(counter.interval.rate(), 0.6);
    }

    #[test]
    fn labels_name_a_series_in_any_order() {
        let metrics = Env::sim(1).metrics;
        metrics.gauge("tumen.g", &[("a", "1"), ("b", "2")], 1.0);
        metrics.gauge("tumen.g", &[("b", "2"), ("a", "1")], 5.0);
        let gauges = metrics.snapshot().gauges;
        assert_eq!((gauges.len(), gauges[0].1), (1, 5.0));
        metrics.drop_gauge("tumen.g", &[("a", "1"), ("b", "2")]);
        assert_eq!(metrics.snapshot().gauges.len(), 0);
    }

    #[test]
    fn series_are_bounded_and_the_excess_is_counted() {
        let metrics = Env::sim(1).metrics;
        for n in 0..SERIES_MAX + 2 {
            metrics.incr("tumen.many", &[("n", &n.to_string())]);
        }
        metrics.incr("tumen.many", &[("n", "0")]);
        let snapshot = metrics.snapshot();
        assert_eq!((snapshot.counters.len(), snapshot.refused), (SERIES_MAX, 2));
    }
}
