//! A group's allocations, sorted by what they need.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::classify::{Class, classify, fills_its_place, longest_kill};
use super::group::{Stop, reason};
use super::ids::Ids;
use super::reconcile::Context;
use super::reschedule::{Due, due, failed_at};
use crate::model::job::ReconcileChoice;
use crate::model::{
    AllocClientStatus, AllocId, Allocation, EvalId, EvalTrigger, Evaluation, TaskGroup, Timestamp,
};

/// Replacements due within this of each other share an evaluation.
const WINDOW: Duration = Duration::from_secs(1);

/// A group's allocations that still matter.
#[derive(Default)]
pub(super) struct Sorted {
    /// These count; failed ones among them are not (yet) to be replaced.
    pub(super) keep: Vec<Arc<Allocation>>,
    /// Failed or out of reach, and due for a replacement.
    pub(super) now: Vec<Arc<Allocation>>,
    /// Of `keep` and `disconnecting`: when they will be due.
    pub(super) later: Vec<(Arc<Allocation>, Timestamp)>,
    pub(super) migrate: Vec<Arc<Allocation>>,
    pub(super) lost: Vec<Arc<Allocation>>,
    /// To be marked unknown; each is in `keep` or in `now` too.
    pub(super) disconnecting: Vec<Arc<Allocation>>,
    /// Nothing new is placed before this, since a cut-off client stops its tasks by then.
    hold_until: Option<Timestamp>,
}

impl Sorted {
    /// Sorts `allocs`, which all belong to `group`.
    pub(super) fn sort(
        context: &Context<'_>,
        group: &TaskGroup,
        allocs: Vec<Arc<Allocation>>,
    ) -> Self {
        let mut sorted = Self::default();
        for alloc in allocs {
            sorted.note_hold(context, group, &alloc);
            match classify(context.view, &alloc, context.now) {
                Class::Ignore => {}
                Class::Migrate => sorted.migrate.push(alloc),
                Class::Lost => sorted.lost.push(alloc),
                Class::Disconnecting => {
                    sorted.disconnecting.push(alloc.clone());
                    sorted.add_unreachable(context, group, alloc, context.now);
                }
                Class::Keep if !fills_its_place(&alloc) => {}
                Class::Keep => sorted.add_kept(context, group, alloc),
            }
        }
        sorted
    }

    /// Every allocation that holds its name.
    pub(super) fn named(&self) -> impl Iterator<Item = &Arc<Allocation>> {
        self.keep
            .iter()
            .chain(&self.now)
            .chain(&self.migrate)
            .chain(&self.lost)
    }

    fn add_kept(&mut self, context: &Context<'_>, group: &TaskGroup, alloc: Arc<Allocation>) {
        match alloc.client_status {
            AllocClientStatus::Failed => {
                let due = failed_due(context, group, &alloc);
                self.add_due(alloc, due, context.eval.id);
            }
            AllocClientStatus::Unknown if alloc.next.is_none() => {
                let node = context.view.node(alloc.node_id);
                let since = node.map_or(alloc.modify_time, |n| n.status_updated_at);
                self.add_unreachable(context, group, alloc, since);
            }
            // It is replaced already; it may come back or be lost.
            AllocClientStatus::Unknown => {}
            AllocClientStatus::Pending
            | AllocClientStatus::Running
            | AllocClientStatus::Complete
            | AllocClientStatus::Lost => self.keep.push(alloc),
        }
    }

    fn add_unreachable(
        &mut self,
        context: &Context<'_>,
        group: &TaskGroup,
        alloc: Arc<Allocation>,
        since: Timestamp,
    ) {
        let back = context.view.node(alloc.node_id).is_some_and(|n| {
            matches!(
                n.status,
                crate::model::NodeStatus::Ready | crate::model::NodeStatus::Initializing
            )
        });
        let replace = !back && group.disconnect.is_none_or(|d| d.replace);
        let due = match replace {
            true => due(&alloc, &group.reschedule, since, context.now),
            false => Due::Never,
        };
        self.add_due(alloc, due, context.eval.id);
    }

    fn add_due(&mut self, alloc: Arc<Allocation>, due: Due, eval: EvalId) {
        match due {
            Due::Now => self.now.push(alloc),
            Due::At(_) if alloc.follow_up == Some(eval) => self.now.push(alloc),
            Due::At(at) => {
                if alloc.follow_up.is_none() {
                    self.later.push((alloc.clone(), at));
                }
                self.keep.push(alloc);
            }
            Due::Never => self.keep.push(alloc),
        }
    }

    /// A client that is cut off stops its tasks by itself after a while; until then a
    /// replacement could run beside them.
    fn note_hold(&mut self, context: &Context<'_>, group: &TaskGroup, alloc: &Allocation) {
        let after = group.disconnect.and_then(|d| d.stop_on_client_after);
        let going = alloc.client_status == AllocClientStatus::Lost
            || classify(context.view, alloc, context.now) == Class::Lost;
        let node = context.view.node(alloc.node_id);
        if let (Some(after), Some(node)) = (after, node.filter(|_| going && alloc.next.is_none())) {
            let until = node.status_updated_at.plus(after).plus(longest_kill(group));
            if until > context.now {
                self.hold_until = self.hold_until.max(Some(until));
            }
        }
    }

    /// Whether nothing may be placed yet.
    pub(super) fn held_until_later(&self) -> bool {
        self.hold_until.is_some()
    }

    /// Lost allocations that have no replacement yet.
    pub(super) fn lost_to_replace(&self) -> impl Iterator<Item = &Arc<Allocation>> {
        self.lost.iter().filter(|a| a.next.is_none())
    }

    /// What to mark, and the evaluations that will look again.
    pub(super) fn delays(
        &self,
        context: &Context<'_>,
        group: &TaskGroup,
        ids: &mut Ids,
    ) -> (Vec<Stop>, Vec<Evaluation>) {
        let mut evals: Vec<Evaluation> = Vec::new();
        let mut marks: BTreeMap<AllocId, Stop> = BTreeMap::new();
        for alloc in &self.disconnecting {
            marks.insert(alloc.id, mark(alloc, reason::UNKNOWN, None));
        }
        let lost_after = group.disconnect.map(|d| d.lost_after);
        if let Some(after) = lost_after.filter(|d| !d.is_zero() && !self.disconnecting.is_empty()) {
            let text = "created for delayed disconnect timeout";
            let at = context.now.plus(after);
            let trigger = EvalTrigger::MaxDisconnectTimeout;
            evals.push(follow_up(context, ids, trigger, at, text));
        }
        if let Some(until) = self.hold_until.filter(|_| !self.lost.is_empty()) {
            evals.push(reschedule_at(context, ids, until));
        }
        let mut later = self.later.clone();
        later.sort_by_key(|(alloc, at)| (*at, alloc.id));
        let mut window: Option<(Timestamp, EvalId)> = None;
        for (alloc, at) in later {
            let eval = match window {
                Some((first, eval)) if at <= first.plus(WINDOW) => eval,
                Some(_) | None => {
                    let eval = reschedule_at(context, ids, at);
                    window = Some((at, eval.id));
                    evals.push(eval);
                    window.map_or(context.eval.id, |w| w.1)
                }
            };
            match marks.get_mut(&alloc.id) {
                Some(mark) => mark.follow_up = Some(eval),
                None => {
                    marks.insert(alloc.id, mark(&alloc, "", Some(eval)));
                }
            }
        }
        (marks.into_values().collect(), evals)
    }

    /// Takes the allocations with these ids out; tells of each whether it is lost.
    pub(super) fn take(&mut self, ids: &BTreeSet<AllocId>) -> Vec<(Arc<Allocation>, bool)> {
        let mut taken = Vec::new();
        for (list, lost) in [
            (&mut self.keep, false),
            (&mut self.now, false),
            (&mut self.migrate, false),
            (&mut self.lost, true),
        ] {
            taken.extend(
                list.extract_if(.., |a| ids.contains(&a.id))
                    .map(|a| (a, lost)),
            );
        }
        self.later.retain(|(a, _)| !ids.contains(&a.id));
        self.disconnecting.retain(|a| !ids.contains(&a.id));
        taken
    }

    /// Takes out the one that can go best when there are too many, with the reason.
    pub(super) fn take_one(
        &mut self,
        canaries: &BTreeSet<AllocId>,
        promoted: &BTreeMap<String, AllocId>,
    ) -> Option<(Arc<Allocation>, &'static str)> {
        if let Some(failed) = self.now.pop() {
            return Some((failed, reason::NOT_NEEDED));
        }
        let free = |a: &Arc<Allocation>| {
            !canaries.contains(&a.id)
                && matches!(
                    a.client_status,
                    AllocClientStatus::Pending
                        | AllocClientStatus::Running
                        | AllocClientStatus::Failed
                )
        };
        let failed = |a: &Arc<Allocation>| a.client_status == AllocClientStatus::Failed;
        let replaced = |a: &Arc<Allocation>| promoted.get(&a.name).is_some_and(|id| *id != a.id);
        if let Some(at) = self.keep.iter().position(|a| free(a) && failed(a)) {
            return Some((self.keep.remove(at), reason::NOT_NEEDED));
        }
        if let Some(at) = self.keep.iter().position(|a| free(a) && replaced(a)) {
            return Some((self.keep.remove(at), reason::NOT_NEEDED));
        }
        if let Some(at) = highest(&self.migrate, |_| true) {
            return Some((self.migrate.remove(at), reason::NOT_NEEDED));
        }
        if let Some(at) = reconnected(&self.keep, free) {
            return Some((self.keep.remove(at), reason::RECONNECTED));
        }
        let at = highest(&self.keep, free)?;
        Some((self.keep.remove(at), reason::NOT_NEEDED))
    }
}

fn mark(alloc: &Arc<Allocation>, reason: &'static str, follow_up: Option<EvalId>) -> Stop {
    Stop {
        alloc: alloc.clone(),
        reason,
        client_status: (!reason.is_empty()).then_some(AllocClientStatus::Unknown),
        follow_up,
        keep_running: true,
    }
}

fn reschedule_at(context: &Context<'_>, ids: &mut Ids, at: Timestamp) -> Evaluation {
    let text = "created for delayed rescheduling";
    follow_up(context, ids, EvalTrigger::AllocReschedule, at, text)
}

fn follow_up(
    context: &Context<'_>,
    ids: &mut Ids,
    trigger: EvalTrigger,
    at: Timestamp,
    text: &str,
) -> Evaluation {
    let mut eval = Evaluation::pending(ids.eval(), context.job, trigger, context.now);
    eval.status_description = text.to_string();
    eval.wait_until = at;
    eval.previous = Some(context.eval.id);
    eval
}

/// When a failed allocation may be replaced, given who may decide that.
fn failed_due(context: &Context<'_>, group: &TaskGroup, alloc: &Allocation) -> Due {
    let watched = context.is_deployed(alloc)
        && context
            .deployment
            .as_ref()
            .is_some_and(|d| d.status.is_active());
    if alloc.transition.force_reschedule == Some(true) {
        return Due::Now;
    }
    if watched && alloc.transition.reschedule != Some(true) {
        return Due::Never;
    }
    due(alloc, &group.reschedule, failed_at(alloc), context.now)
}

/// The position of the highest name among those that `may` go; of two alike the older one.
fn highest(allocs: &[Arc<Allocation>], may: impl Fn(&Arc<Allocation>) -> bool) -> Option<usize> {
    let key = |a: &Allocation| {
        let newness = std::cmp::Reverse((a.job.version, a.create_index));
        (a.index(), newness, a.id)
    };
    (0..allocs.len())
        .filter(|i| may(&allocs[*i]))
        .max_by_key(|i| key(&allocs[*i]))
}

/// Of an original that came back and its replacement, the position of the one to stop.
fn reconnected(
    allocs: &[Arc<Allocation>],
    may: impl Fn(&Arc<Allocation>) -> bool,
) -> Option<usize> {
    let at = |id: AllocId| allocs.iter().position(|a| a.id == id && may(a));
    for (new_at, replacement) in allocs.iter().enumerate().filter(|(_, a)| may(a)) {
        let Some(old_at) = replacement.previous.and_then(at) else {
            continue;
        };
        return match keeps_original(&allocs[old_at], replacement) {
            true => Some(new_at),
            false => Some(old_at),
        };
    }
    None
}

fn keeps_original(original: &Allocation, replacement: &Allocation) -> bool {
    if replacement.job.version > original.job.version {
        return false;
    }
    let choice = original
        .task_group()
        .and_then(|g| g.disconnect)
        .map_or(ReconcileChoice::BestScore, |d| d.reconcile);
    let runs = replacement.client_status == AllocClientStatus::Running;
    match choice {
        ReconcileChoice::KeepOriginal => true,
        ReconcileChoice::KeepReplacement => false,
        ReconcileChoice::BestScore => !(runs && score(replacement) > score(original)),
        ReconcileChoice::LongestRunning => !runs || started(original) <= started(replacement),
    }
}

fn score(alloc: &Allocation) -> f64 {
    let own = alloc
        .metrics
        .scores
        .iter()
        .find(|s| s.node == alloc.node_id);
    own.map_or(0.0, |s| s.total)
}

fn started(alloc: &Allocation) -> Timestamp {
    let starts = alloc.task_states.values().map(|s| s.started_at);
    starts
        .filter(|t| t.is_set())
        .min()
        .unwrap_or(Timestamp(i64::MAX))
}
