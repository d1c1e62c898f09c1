//! The difference between two versions of a job, as `job plan` and `job history -p` show it.
//!
//! Every line starts with the marker of what happened to it. Siblings align: a shorter marker is
//! padded to the longest among them, and values start in one column.

use crate::cli::format::quoted;
use crate::http::dto::diff::{FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff};

/// The diff; blocks of unchanged or new parts only when `verbose`. Ends without a newline.
pub fn render(diff: &JobDiff, verbose: bool) -> String {
    let mut page = Page::default();
    let mark = Mark::of(&diff.kind);
    page.line(
        0,
        mark,
        0,
        &format!("\x1b[1mJob: {}\x1b[0m", quoted(&diff.id)),
    );
    let kinds =
        kinds(&diff.fields, &diff.objects).chain(diff.task_groups.iter().map(|g| g.kind.as_str()));
    let widest = widest(kinds);
    if mark == Mark::Edited || verbose {
        page.parts(&diff.fields, &diff.objects, 0, widest);
    }
    for (i, group) in diff.task_groups.iter().enumerate() {
        if i > 0 {
            page.0.push(String::new());
        }
        page.group(group, widest, verbose);
    }
    page.0.join("\n")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    None,
    Added,
    Deleted,
    Edited,
}

impl Mark {
    fn of(kind: &str) -> Self {
        match kind {
            "Added" => Self::Added,
            "Deleted" => Self::Deleted,
            "Edited" => Self::Edited,
            _ => Self::None,
        }
    }

    /// The characters it takes, with the space after it.
    fn width(self) -> usize {
        match self {
            Self::None => 0,
            Self::Added | Self::Deleted => 2,
            Self::Edited => 4,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Added => "\x1b[32m+\x1b[0m ",
            Self::Deleted => "\x1b[31m-\x1b[0m ",
            Self::Edited => "\x1b[93m+/-\x1b[0m ",
        }
    }
}

fn kinds<'a>(fields: &'a [FieldDiff], objects: &'a [ObjectDiff]) -> impl Iterator<Item = &'a str> {
    let fields = fields.iter().map(|f| f.kind.as_str());
    fields.chain(objects.iter().map(|o| o.kind.as_str()))
}

fn widest<'a>(kinds: impl Iterator<Item = &'a str>) -> usize {
    kinds.map(|k| Mark::of(k).width()).max().unwrap_or(0)
}

#[derive(Default)]
struct Page(Vec<String>);

impl Page {
    fn line(&mut self, indent: usize, mark: Mark, pad: usize, text: &str) {
        let (indent, pad) = (" ".repeat(indent), " ".repeat(pad));
        self.0.push(format!("{indent}{}{pad}{text}", mark.text()));
    }

    fn group(&mut self, group: &TaskGroupDiff, widest_sibling: usize, verbose: bool) {
        let mark = Mark::of(&group.kind);
        let pad = widest_sibling - mark.width();
        let updates: Vec<String> = group.updates.iter().map(|(k, n)| update(k, *n)).collect();
        let suffix = match updates.is_empty() {
            true => String::new(),
            false => format!(" ({})", updates.join(", ")),
        };
        let title = format!("\x1b[1mTask Group: {}\x1b[0m{suffix}", quoted(&group.name));
        self.line(0, mark, pad, &title);
        let kinds =
            kinds(&group.fields, &group.objects).chain(group.tasks.iter().map(|t| t.kind.as_str()));
        let widest = widest(kinds);
        if mark == Mark::Edited || verbose {
            self.parts(&group.fields, &group.objects, pad + 2, widest);
        }
        for task in &group.tasks {
            self.task(task, pad + 2, widest, verbose);
        }
    }

    fn task(&mut self, task: &TaskDiff, indent: usize, widest_sibling: usize, verbose: bool) {
        let mark = Mark::of(&task.kind);
        let pad = widest_sibling - mark.width();
        let note = annotations(&task.annotations);
        let title = format!("\x1b[1mTask: {}\x1b[0m{note}", quoted(&task.name));
        self.line(indent, mark, pad, &title);
        let brief = matches!(mark, Mark::Added | Mark::Deleted) && !verbose;
        if mark == Mark::None || brief {
            return;
        }
        let widest = widest(kinds(&task.fields, &task.objects));
        self.parts(&task.fields, &task.objects, indent + pad + 2, widest);
    }

    fn parts(
        &mut self,
        fields: &[FieldDiff],
        objects: &[ObjectDiff],
        indent: usize,
        widest: usize,
    ) {
        let names = fields
            .iter()
            .map(|f| f.name.chars().count())
            .max()
            .unwrap_or(0);
        for field in fields {
            let mark = Mark::of(&field.kind);
            let value = match mark {
                Mark::Deleted => quoted(&field.old),
                Mark::Edited => format!("{} => {}", quoted(&field.old), quoted(&field.new)),
                Mark::Added | Mark::None => quoted(&field.new),
            };
            let gap = " ".repeat(names - field.name.chars().count());
            let note = annotations(&field.annotations);
            let text = format!("{}: {gap}{value}{note}", field.name);
            self.line(indent, mark, widest - mark.width(), &text);
        }
        for object in objects {
            self.object(object, indent, widest);
        }
    }

    fn object(&mut self, object: &ObjectDiff, indent: usize, widest_sibling: usize) {
        let mark = Mark::of(&object.kind);
        let pad = widest_sibling - mark.width();
        self.line(indent, mark, pad, &format!("{} {{", object.name));
        let widest = widest(kinds(&object.fields, &object.objects));
        self.parts(&object.fields, &object.objects, indent + pad + 2, widest);
        self.line(indent + mark.width() + pad, Mark::None, 0, "}");
    }
}

fn annotations(all: &[String]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let coloured: Vec<String> = all.iter().map(|a| coloured(a, a)).collect();
    format!(" ({})", coloured.join(", "))
}

fn update(kind: &str, count: u64) -> String {
    coloured(kind, &format!("{count} {kind}"))
}

/// Text in the colour of what it announces.
fn coloured(kind: &str, text: &str) -> String {
    let colour = match kind.trim_start_matches("forces ") {
        "create" => "32",
        "destroy" => "31",
        "migrate" | "canary" => "34",
        "in-place update" => "36",
        "create/destroy update" => "33",
        _ => return text.to_owned(),
    };
    format!("\x1b[{colour}m{text}\x1b[0m")
}
