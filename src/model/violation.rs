//! Rules that a job breaks, and how the API words a list of them.

/// Where in a job a rule is broken.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// `None`: the job itself.
    pub group: Option<String>,
    /// `None`: the group itself.
    pub task: Option<String>,
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub scope: Scope,
    pub message: String,
}

impl Violation {
    /// A rule of the whole job.
    pub fn job(message: impl Into<String>) -> Self {
        Self {
            scope: Scope::default(),
            message: message.into(),
        }
    }

    /// A rule of a group.
    pub fn group(group: &str, message: impl Into<String>) -> Self {
        Self {
            scope: Scope {
                group: Some(group.to_string()),
                task: None,
            },
            message: message.into(),
        }
    }

    /// A rule of a task.
    pub fn task(group: &str, task: &str, message: impl Into<String>) -> Self {
        Self {
            scope: Scope {
                group: Some(group.to_string()),
                task: Some(task.to_string()),
            },
            message: message.into(),
        }
    }
}

/// The violations as the job's own list: those of a group and of a task are gathered in one
/// entry each, at the place of the first.
pub fn entries(violations: &[Violation]) -> Vec<String> {
    gather(
        violations,
        |v| v.scope.group.as_deref(),
        |group, inner| {
            let inner = gather(
                inner,
                |v| v.scope.task.as_deref(),
                |task, of_task| {
                    let messages: Vec<String> = of_task.iter().map(|v| v.message.clone()).collect();
                    format!("Task {task} validation failed: {}", list(&messages))
                },
            );
            format!("Task group {group} validation failed: {}", list(&inner))
        },
    )
}

/// All violations as one text: a headline with the count, then an indented line for each.
pub fn text(violations: &[Violation]) -> String {
    list(&entries(violations))
}

/// `messages` under a headline that counts them; an entry may itself be such a list.
pub fn list(messages: &[String]) -> String {
    let headline = match messages.len() {
        1 => "1 error occurred:".to_string(),
        n => format!("{n} errors occurred:"),
    };
    let lines: Vec<String> = messages.iter().map(|m| format!("\t* {m}")).collect();
    format!("{headline}\n{}\n\n", lines.join("\n"))
}

/// Merges what has the same key into one entry; what has none stays alone.
fn gather(
    violations: &[Violation],
    key: impl Fn(&Violation) -> Option<&str>,
    merge: impl Fn(&str, &[Violation]) -> String,
) -> Vec<String> {
    let mut out = Vec::new();
    let mut done: Vec<&str> = Vec::new();
    for violation in violations {
        let Some(name) = key(violation) else {
            out.push(violation.message.clone());
            continue;
        };
        if done.contains(&name) {
            continue;
        }
        done.push(name);
        let same: Vec<Violation> = violations
            .iter()
            .filter(|v| key(v) == Some(name))
            .cloned()
            .collect();
        out.push(merge(name, &same));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nesting and the blank lines are those that clients have seen before.
    #[test]
    fn nests_as_captured() {
        let violations = [
            Violation::job("Invalid job type: \"sevice\""),
            Violation::group("app", "Job type \"sevice\" does not allow update block"),
            Violation::group("app", "Job type \"sevice\" does not allow migrate block"),
            Violation::task("app", "server", "Missing task driver"),
            Violation::job("job priority must be between [1, 100]"),
        ];
        assert_eq!(
            text(&violations),
            "3 errors occurred:\n\t* Invalid job type: \"sevice\"\n\t* Task group app validation \
             failed: 3 errors occurred:\n\t* Job type \"sevice\" does not allow update block\n\t* \
             Job type \"sevice\" does not allow migrate block\n\t* Task server validation failed: \
             1 error occurred:\n\t* Missing task driver\n\n\n\n\n\t* job priority must be between \
             [1, 100]\n\n"
        );
    }
}
