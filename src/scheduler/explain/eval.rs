//! Why an evaluation waits, failed, or what it came to.

use super::words::{ago, count, list, quoted, sentence, span, step};
use super::{Case, job};
use crate::model::why::{GroupWhy, Verdict, Why, WhyKind};
use crate::model::{EvalStatus, Evaluation};

/// Explains an evaluation.
pub(super) fn why(case: Case<'_>, eval: &Evaluation) -> Why {
    let key = eval.job_key();
    let about = format!(
        "evaluation {} of job \"{}\" ({}, made {})",
        eval.id.short(),
        eval.job_id,
        eval.trigger.as_str(),
        ago(case.now, eval.create_time)
    );
    let (verdict, told) = standing(case, eval);
    let mut reasons = Vec::new();
    let mut groups: Vec<GroupWhy> = Vec::new();
    if let Some(found) = case.view.job(&key).filter(|j| !j.stop) {
        let concerned = found.spec.groups.iter();
        let concerned = concerned.filter(|g| eval.failed_groups.contains_key(&g.name));
        groups = concerned.map(|g| job::group(case, &found, g)).collect();
    }
    if let Some(next) = eval.blocked.filter(|_| eval.status != EvalStatus::Blocked) {
        reasons.push(format!(
            "What it could not place waits as evaluation {}.",
            next.short()
        ));
    }
    if let Some(next) = eval.next {
        reasons.push(format!("Evaluation {} follows it.", next.short()));
    }
    let mut next = job::placement_steps(case, &key, &groups);
    next.push(step(
        format!("tumen why {}", eval.job_id),
        "the job as a whole",
    ));
    Why {
        kind: WhyKind::Evaluation,
        id: eval.id.to_string(),
        name: eval.job_id.to_string(),
        namespace: eval.namespace.to_string(),
        verdict,
        summary: sentence(&format!("{about} {told}")),
        reasons,
        groups,
        next,
        ..Why::default()
    }
}

fn standing(case: Case<'_>, eval: &Evaluation) -> (Verdict, String) {
    let says = match quoted(&eval.status_description) {
        text if text.is_empty() => String::new(),
        text => format!(": {text}"),
    };
    let unplaced: u32 = eval.queued.values().sum();
    match eval.status {
        EvalStatus::Blocked => (
            Verdict::Waiting,
            format!(
                "waits for room for {}; it is tried again by itself when a node joins, changes or \
                 gets room",
                count(unplaced.max(1), "instance")
            ),
        ),
        EvalStatus::Pending if eval.wait_until > case.now => (
            Verdict::Waiting,
            format!(
                "is not due before {} from now",
                span(eval.wait_until, case.now)
            ),
        ),
        EvalStatus::Pending => {
            let first = case.pending(&eval.job_key()).filter(|e| e.id != eval.id);
            let what = match first {
                Some(other) => format!("behind {} of the same job", other.id.short()),
                None => "for a scheduler".to_string(),
            };
            (Verdict::Waiting, format!("waits {what}"))
        }
        EvalStatus::Failed => (Verdict::Broken, format!("failed{says}")),
        EvalStatus::Canceled => (Verdict::Ended, format!("was cancelled{says}")),
        EvalStatus::Complete => {
            let placed = deeds(eval);
            match unplaced {
                0 => (Verdict::Ended, format!("is complete{placed}")),
                n => {
                    let what = count(n, "instance");
                    (
                        Verdict::Broken,
                        format!("is complete{placed}, but found no node for {what}"),
                    )
                }
            }
        }
    }
}

/// What its plan did.
fn deeds(eval: &Evaluation) -> String {
    let sum = |of: fn(&crate::model::diff::DesiredUpdates) -> u64| -> u64 {
        eval.annotations.values().map(of).sum()
    };
    let deeds = [
        ("wanted to place", sum(|u| u.place + u.canary)),
        ("stopped", sum(|u| u.stop)),
        ("moved", sum(|u| u.migrate)),
        ("updated in place", sum(|u| u.in_place_update)),
        ("replaced", sum(|u| u.destructive_update)),
    ];
    let told: Vec<String> = deeds
        .iter()
        .filter(|(_, n)| *n > 0)
        .map(|(verb, n)| format!("{verb} {n}"))
        .collect();
    match told.is_empty() {
        true => " and changed nothing".to_string(),
        false => format!(": it {}", list(&told)),
    }
}
