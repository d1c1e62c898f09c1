//! What an evaluation does, told line by line. Pure: answers in, lines out.

use std::collections::BTreeMap;

use crate::cli::format;
use crate::cli::show::metrics;
use crate::http::dto::alloc::AllocListStub;
use crate::http::dto::eval::Evaluation;

/// A line of the story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A step: an arrow and the time in front.
    Step(String),
    /// A detail of it: an indent and the time in front.
    Detail(String),
    /// More of a detail: an indent alone.
    More(String),
}

/// What follows a finished evaluation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Whether something could not be placed.
    pub unplaced: bool,
    /// The deployment that it belongs to.
    pub deployment: Option<String>,
    /// The next evaluation of a rolling update, and how long until it, in nanoseconds.
    pub next: Option<(String, i64)>,
}

/// What was told of an evaluation so far.
#[derive(Debug)]
pub struct EvalStory {
    verbose: bool,
    status: String,
    triggered: bool,
    deployment: String,
    /// Client status by allocation.
    allocs: BTreeMap<String, String>,
}

impl EvalStory {
    /// Begins the story of one evaluation.
    pub fn begin(id: &str, verbose: bool) -> (Self, Vec<Line>) {
        let story = Self {
            verbose,
            status: "pending".to_owned(),
            triggered: false,
            deployment: String::new(),
            allocs: BTreeMap::new(),
        };
        let first = Line::Step(format!("Monitoring evaluation \"{}\"", story.short(id)));
        (story, vec![first])
    }

    fn short(&self, id: &str) -> String {
        format::id(id, self.verbose)
    }

    /// Tells what is new in the answer; the result is there once the evaluation has ended.
    pub fn step(
        &mut self,
        eval: &Evaluation,
        allocs: &[AllocListStub],
    ) -> (Vec<Line>, Option<Finished>) {
        let mut lines = Vec::new();
        self.tell_trigger(eval, &mut lines);
        if eval.deployment_id != self.deployment && !eval.deployment_id.is_empty() {
            self.deployment.clone_from(&eval.deployment_id);
            let id = self.short(&eval.deployment_id);
            lines.push(Line::Detail(format!(
                "Evaluation within deployment: \"{id}\""
            )));
        }
        for alloc in allocs {
            self.tell_alloc(eval, alloc, &mut lines);
        }
        if eval.status != self.status {
            let (old, new) = (&self.status, &eval.status);
            let text = format!("Evaluation status changed: \"{old}\" -> \"{new}\"");
            lines.push(Line::Detail(text));
            self.status.clone_from(&eval.status);
        }
        let ended = matches!(
            eval.status.as_str(),
            "complete" | "failed" | "canceled" | "cancelled"
        );
        let finished = ended.then(|| self.tell_end(eval, &mut lines));
        (lines, finished)
    }

    fn tell_trigger(&mut self, eval: &Evaluation, lines: &mut Vec<Line>) {
        if self.triggered {
            return;
        }
        self.triggered = true;
        if !eval.node_id.is_empty() {
            let node = self.short(&eval.node_id);
            lines.push(Line::Detail(format!(
                "Evaluation triggered by node \"{node}\""
            )));
        } else {
            let text = format!("Evaluation triggered by job \"{}\"", eval.job_id);
            lines.push(Line::Detail(text));
        }
    }

    fn tell_alloc(&mut self, eval: &Evaluation, alloc: &AllocListStub, lines: &mut Vec<Line>) {
        let new = alloc.client_status.clone();
        let id = self.short(&alloc.id);
        let Some(old) = self.allocs.insert(alloc.id.clone(), new) else {
            let verb = if alloc.create_index < eval.create_index {
                "modified"
            } else if alloc.desired_status == "run" {
                "created"
            } else {
                return;
            };
            let (node, group) = (self.short(&alloc.node_id), &alloc.task_group);
            let text = format!("Allocation \"{id}\" {verb}: node \"{node}\", group \"{group}\"");
            lines.push(Line::Detail(text));
            return;
        };
        if old != alloc.client_status {
            let (new, why) = (&alloc.client_status, &alloc.client_description);
            let mut text = format!("Allocation \"{id}\" status changed: \"{old}\" -> \"{new}\"");
            if !why.is_empty() {
                text.push_str(&format!(" ({why})"));
            }
            lines.push(Line::Detail(text));
        }
    }

    fn tell_end(&self, eval: &Evaluation, lines: &mut Vec<Line>) -> Finished {
        let unplaced = !eval.failed_tg_allocs.is_empty();
        let (id, status) = (self.short(&eval.id), &eval.status);
        let mut text = format!("Evaluation \"{id}\" finished with status \"{status}\"");
        if unplaced {
            text.push_str(" but failed to place all allocations:");
        }
        lines.push(Line::Step(text));
        if eval.status != "complete" && !eval.status_description.is_empty() {
            lines.push(Line::Detail(eval.status_description.clone()));
        }
        for (group, metric) in &eval.failed_tg_allocs {
            let count = metrics::allocations(metrics::failed_count(metric));
            let text = format!("Task Group \"{group}\" (failed to place {count}):");
            lines.push(Line::Detail(text));
            let reasons = metrics::reasons(metric, "  * ");
            lines.extend(reasons.into_iter().map(Line::More));
            let scores = metrics::scores(metric);
            if self.verbose && !scores.is_empty() {
                lines.extend(scores.lines().map(|l| Line::More(format!("  {l}"))));
            }
        }
        self.tell_waiting(eval, lines);
        Finished {
            unplaced,
            deployment: (!eval.deployment_id.is_empty()).then(|| eval.deployment_id.clone()),
            next: (!eval.next_eval.is_empty()).then(|| (eval.next_eval.clone(), eval.wait)),
        }
    }

    fn tell_waiting(&self, eval: &Evaluation, lines: &mut Vec<Line>) {
        if !eval.blocked_eval.is_empty() {
            let blocked = self.short(&eval.blocked_eval);
            let text = format!(
                "Evaluation \"{blocked}\" waiting for additional capacity to place remainder"
            );
            lines.push(Line::Detail(text));
            let ask = format!("What is lacking: tumen why {}", eval.job_id);
            lines.push(Line::Detail(ask));
        }
        if !eval.blocked_eval.is_empty() && !eval.deployment_id.is_empty() {
            lines.push(Line::Detail(
                "The job stays registered and is placed as soon as a node fits; Ctrl-C ends only this display"
                    .to_owned(),
            ));
        }
        if !eval.next_eval.is_empty() {
            let (next, wait) = (self.short(&eval.next_eval), format::duration(eval.wait));
            lines.push(Line::Step(format!(
                "Monitoring next evaluation \"{next}\" in {wait}"
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::dto::alloc::AllocMetric;

    fn eval(status: &str) -> Evaluation {
        Evaluation {
            id: "bc971fe3-f919-7c7e-c395-2041e913752d".into(),
            status: status.into(),
            job_id: "web".into(),
            create_index: 63,
            ..Evaluation::default()
        }
    }

    fn alloc(create_index: u64, client: &str) -> AllocListStub {
        AllocListStub {
            id: "3bc55b52-5f29-76d3-870c-603b0febba3a".into(),
            node_id: "d8999e7d-34f4-ed5f-241a-05d3316f2d70".into(),
            task_group: "app".into(),
            desired_status: "run".into(),
            client_status: client.into(),
            create_index,
            ..AllocListStub::default()
        }
    }

    fn text(lines: Vec<Line>) -> String {
        let line = |l| match l {
            Line::Step(t) => format!("==> {t}\n"),
            Line::Detail(t) => format!("    {t}\n"),
            Line::More(t) => format!("    {t}\n"),
        };
        lines.into_iter().map(line).collect()
    }

    #[test]
    fn a_first_job_is_told() {
        let (mut story, mut lines) = EvalStory::begin("bc971fe3-f919", false);
        lines.extend(story.step(&eval("pending"), &[]).0);
        let mut done = eval("complete");
        done.deployment_id = "475e2cb7-16a9-35df-e7cc-88be0438deae".into();
        let (more, finished) = story.step(&done, &[alloc(64, "pending")]);
        lines.extend(more);
        insta::assert_snapshot!(text(lines), @r#"
        ==> Monitoring evaluation "bc971fe3"
            Evaluation triggered by job "web"
            Evaluation within deployment: "475e2cb7"
            Allocation "3bc55b52" created: node "d8999e7d", group "app"
            Evaluation status changed: "pending" -> "complete"
        ==> Evaluation "bc971fe3" finished with status "complete"
        "#);
        assert_eq!(finished.unwrap().deployment, Some(done.deployment_id));
    }

    #[test]
    fn what_cannot_be_placed_is_said_with_what_is_waited_for() {
        let (mut story, _) = EvalStory::begin("bc971fe3", false);
        let mut done = eval("complete");
        done.blocked_eval = "bd1a9cf8-0000".into();
        let metric = AllocMetric {
            nodes_evaluated: 1,
            nodes_exhausted: 1,
            coalesced_failures: 1,
            dimension_exhausted: [("memory".to_owned(), 1)].into(),
            ..AllocMetric::default()
        };
        done.failed_tg_allocs.insert("g".into(), metric);
        let (lines, finished) = story.step(&done, &[]);
        insta::assert_snapshot!(text(lines), @r#"
            Evaluation triggered by job "web"
            Evaluation status changed: "pending" -> "complete"
        ==> Evaluation "bc971fe3" finished with status "complete" but failed to place all allocations:
            Task Group "g" (failed to place 2 allocations):
              * Resources exhausted on 1 nodes
              * Dimension "memory" exhausted on 1 nodes
            Evaluation "bd1a9cf8" waiting for additional capacity to place remainder
            What is lacking: tumen why web
        "#);
        assert!(finished.unwrap().unplaced);
    }

    #[test]
    fn nothing_is_told_twice() {
        let (mut story, _) = EvalStory::begin("bc971fe3", false);
        let (first, _) = story.step(&eval("pending"), &[alloc(10, "pending")]);
        assert_eq!(text(first).lines().count(), 2);
        let (same, _) = story.step(&eval("pending"), &[alloc(10, "pending")]);
        assert_eq!(same, []);
        let (moved, _) = story.step(&eval("pending"), &[alloc(10, "running")]);
        assert_eq!(
            text(moved),
            "    Allocation \"3bc55b52\" status changed: \"pending\" -> \"running\"\n"
        );
    }
}
