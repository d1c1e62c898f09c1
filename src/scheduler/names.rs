//! The names of a group's instances: `<job>.<group>[<n>]`, with the lowest free `n`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::alloc::alloc_name;
use crate::model::{Allocation, JobId};

/// Which numbers are taken, and how often: a canary shares its name with what it may replace.
pub(super) struct Names {
    job: JobId,
    group: String,
    taken: BTreeMap<u32, u32>,
}

impl Names {
    /// The names that `allocs` hold.
    pub(super) fn of<'a>(
        job: &JobId,
        group: &str,
        allocs: impl Iterator<Item = &'a Arc<Allocation>>,
    ) -> Self {
        let mut names = Self {
            job: job.clone(),
            group: group.to_string(),
            taken: BTreeMap::new(),
        };
        for alloc in allocs {
            names.claim(alloc);
        }
        names
    }

    /// Takes the name of `alloc`.
    pub(super) fn claim(&mut self, alloc: &Allocation) {
        if let Some(n) = alloc.index() {
            *self.taken.entry(n).or_default() += 1;
        }
    }

    /// Gives the name of `alloc` back.
    pub(super) fn release(&mut self, alloc: &Allocation) {
        let Some(n) = alloc.index() else { return };
        match self.taken.get_mut(&n) {
            Some(times) if *times > 1 => *times -= 1,
            Some(_) => {
                self.taken.remove(&n);
            }
            None => {}
        }
    }

    fn name(&self, n: u32) -> String {
        alloc_name(&self.job, &self.group, n)
    }

    /// The lowest `count` free names, now taken.
    pub(super) fn next(&mut self, count: usize) -> Vec<String> {
        let free: Vec<u32> = (0..=u32::MAX)
            .filter(|n| !self.taken.contains_key(n))
            .take(count)
            .collect();
        for n in &free {
            self.taken.insert(*n, 1);
        }
        free.into_iter().map(|n| self.name(n)).collect()
    }

    /// Names for canaries: first those of what they may replace, then free ones.
    pub(super) fn canaries(&mut self, count: usize, replaced: &[Arc<Allocation>]) -> Vec<String> {
        let shared: Vec<u32> = replaced
            .iter()
            .filter_map(|a| a.index())
            .filter(|n| self.taken.get(n) == Some(&1))
            .take(count)
            .collect();
        for n in &shared {
            self.taken.insert(*n, 2);
        }
        let mut names: Vec<String> = shared.into_iter().map(|n| self.name(n)).collect();
        names.extend(self.next(count - names.len()));
        names
    }
}
