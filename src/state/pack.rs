//! Stored forms in which allocations that share a job carry it once.
//!
//! In memory each allocation points at its job; written out naively, a plan of 100 placements
//! would hold the job 100 times.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::job::JobSpec;
use crate::model::{Allocation, Job, JobKey, JobType, Plan, Timestamp};

/// A plan that is written with every job once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "PackedPlan", try_from = "PackedPlan")]
pub struct StoredPlan(pub Plan);

/// Allocations that are written with every job once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "PackedAllocs", try_from = "PackedAllocs")]
pub struct StoredAllocs(pub Vec<Allocation>);

/// A number in stored bytes names a job that is not there.
#[derive(Debug, thiserror::Error)]
#[error("an allocation names job number {0}, which is not in the list")]
pub struct MissingJob(u32);

#[derive(Clone, Serialize, Deserialize)]
struct PackedPlan {
    jobs: Vec<Arc<Job>>,
    plan_job: Option<u32>,
    /// One number for each placement, in the plan's order.
    numbers: Vec<u32>,
    plan: Plan,
}

#[derive(Clone, Serialize, Deserialize)]
struct PackedAllocs {
    jobs: Vec<Arc<Job>>,
    numbers: Vec<u32>,
    allocs: Vec<Allocation>,
}

/// Stands in for a job that is written elsewhere.
static BLANK: LazyLock<Arc<Job>> = LazyLock::new(|| {
    Arc::new(Job::new(
        JobSpec {
            region: String::new(),
            namespace: "".into(),
            id: "".into(),
            name: String::new(),
            kind: JobType::Service,
            priority: 0,
            all_at_once: false,
            datacenters: Vec::new(),
            node_pool: String::new(),
            constraints: Vec::new(),
            affinities: Vec::new(),
            spreads: Vec::new(),
            groups: Vec::new(),
            meta: Default::default(),
            ui: None,
            update: None::<(Duration, u32)>,
        },
        Timestamp::UNSET,
    ))
});

/// Numbers distinct jobs in the order in which they are met.
#[derive(Default)]
struct Numbering {
    jobs: Vec<Arc<Job>>,
    /// Positions of the jobs that share a key and version.
    seen: std::collections::BTreeMap<(JobKey, u64), Vec<u32>>,
}

impl Numbering {
    fn number(&mut self, job: &Arc<Job>) -> u32 {
        let known = self.seen.entry((job.key(), job.version)).or_default();
        for &n in known.iter() {
            let other = &self.jobs[n as usize];
            if Arc::ptr_eq(other, job) || other == job {
                return n;
            }
        }
        let n = self.jobs.len() as u32;
        known.push(n);
        self.jobs.push(job.clone());
        n
    }
}

fn job_number(jobs: &[Arc<Job>], n: u32) -> Result<Arc<Job>, MissingJob> {
    jobs.get(n as usize).cloned().ok_or(MissingJob(n))
}

impl From<StoredPlan> for PackedPlan {
    fn from(StoredPlan(mut plan): StoredPlan) -> Self {
        let mut numbering = Numbering::default();
        let plan_job = plan.job.take().map(|job| numbering.number(&job));
        let mut numbers = Vec::new();
        for alloc in plan.places.values_mut().flatten() {
            numbers.push(numbering.number(&alloc.job));
            alloc.job = BLANK.clone();
        }
        Self {
            jobs: numbering.jobs,
            plan_job,
            numbers,
            plan,
        }
    }
}

impl TryFrom<PackedPlan> for StoredPlan {
    type Error = MissingJob;

    fn try_from(packed: PackedPlan) -> Result<Self, MissingJob> {
        let mut plan = packed.plan;
        plan.job = packed
            .plan_job
            .map(|n| job_number(&packed.jobs, n))
            .transpose()?;
        let mut numbers = packed.numbers.into_iter();
        for alloc in plan.places.values_mut().flatten() {
            let n = numbers.next().unwrap_or(u32::MAX);
            alloc.job = job_number(&packed.jobs, n)?;
        }
        Ok(Self(plan))
    }
}

impl From<StoredAllocs> for PackedAllocs {
    fn from(StoredAllocs(mut allocs): StoredAllocs) -> Self {
        let mut numbering = Numbering::default();
        let mut numbers = Vec::new();
        for alloc in &mut allocs {
            numbers.push(numbering.number(&alloc.job));
            alloc.job = BLANK.clone();
        }
        Self {
            jobs: numbering.jobs,
            numbers,
            allocs,
        }
    }
}

impl TryFrom<PackedAllocs> for StoredAllocs {
    type Error = MissingJob;

    fn try_from(packed: PackedAllocs) -> Result<Self, MissingJob> {
        let mut allocs = packed.allocs;
        let mut numbers = packed.numbers.into_iter();
        for alloc in &mut allocs {
            let n = numbers.next().unwrap_or(u32::MAX);
            alloc.job = job_number(&packed.jobs, n)?;
        }
        Ok(Self(allocs))
    }
}
