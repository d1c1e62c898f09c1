//! A task's output on its allocation's page: the end of it at once, what follows as it comes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use maud::{Markup, html};

use crate::env::timeout;
use crate::http::dto::page::PageRequest;
use crate::model::{Allocation, Node};
use crate::rpc::NodeError;
use crate::rpc::node::{FrameStream, From, StreamFrame, StreamOpen};

use super::format::encoded;
use super::source::Source;
use super::{Ui, View};

/// The part of the page that holds the log.
pub(super) const PART: &str = "logs";

/// How much of what was written before is shown.
const TAIL_BYTES: u64 = 16 << 10;

/// How long the client may take to show it.
const LIMIT: Duration = Duration::from_secs(2);

/// Which output of which task is shown.
#[derive(Clone)]
pub(super) struct Log {
    alloc: Arc<Allocation>,
    /// `None`: the cluster no longer knows it.
    node: Option<Arc<Node>>,
    tasks: BTreeSet<String>,
    task: String,
    stderr: bool,
}

impl Log {
    /// What the request chooses among the allocation's tasks; `None` if it has none.
    pub(super) fn of(
        alloc: &Arc<Allocation>,
        node: Option<Arc<Node>>,
        request: &PageRequest,
        task: Option<&str>,
    ) -> Option<Self> {
        let group = alloc.task_group();
        let declared = group.iter().flat_map(|g| g.tasks.iter().map(|t| &t.name));
        let tasks: BTreeSet<String> = declared.chain(alloc.task_states.keys()).cloned().collect();
        let wanted = match request.text("task") {
            "" => task.unwrap_or_default(),
            task => task,
        };
        // Unasked: the one that failed, or the first main task.
        let failed = alloc.task_states.iter().find(|(_, state)| state.failed);
        let main = group.and_then(|g| g.tasks.iter().find(|t| t.lifecycle.is_none()));
        let task = tasks
            .get(wanted)
            .or_else(|| failed.map(|(name, _)| name))
            .or_else(|| main.map(|t| &t.name))
            .or_else(|| tasks.first())?
            .clone();
        Some(Self {
            alloc: alloc.clone(),
            node,
            task,
            tasks,
            stderr: request.text("log") == "stderr",
        })
    }

    /// Whether `other` shows the same bytes from the same place.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let place = |log: &Self| log.node.as_ref().map(|n| n.rpc_addr);
        self.alloc.id == other.alloc.id
            && self.task == other.task
            && self.stderr == other.stderr
            && place(self) == place(other)
    }

    fn kind(&self) -> &'static str {
        if self.stderr { "stderr" } else { "stdout" }
    }

    /// The part of the page, with `text` as what was written so far.
    pub(super) fn show(&self, text: &str) -> Markup {
        let page = |task: &str, kind: &str| {
            format!(
                "/ui/allocations/{}?task={}&log={kind}#part-logs",
                self.alloc.id,
                encoded(task)
            )
        };
        let raw = format!(
            "/v1/client/fs/logs/{}?task={}&type={}&plain=true",
            self.alloc.id,
            encoded(&self.task),
            self.kind()
        );
        html! {
            h2 { "Logs" }
            div.tabs {
                @for task in &self.tasks {
                    a href=(page(task, self.kind()))
                        aria-current=[(*task == self.task).then_some("true")] { (task) }
                }
                span.gap {}
                @for kind in ["stdout", "stderr"] {
                    a href=(page(&self.task, kind))
                        aria-current=[(kind == self.kind()).then_some("true")] { (kind) }
                }
                a href=(raw) { "All of it, as text" }
            }
            pre.log data-log tabindex="0" aria-label={ (self.kind()) " of " (self.task) } { (text) }
        }
    }

    async fn open(&self, ui: &Ui, follow: bool) -> Result<FrameStream, NodeError> {
        let node = self.node.as_ref().ok_or_else(|| {
            NodeError::NotFound("the cluster no longer knows its client".to_string())
        })?;
        let open = StreamOpen::Logs {
            alloc: self.alloc.id,
            task: self.task.clone(),
            stderr: self.stderr,
            follow,
            from: From::End(TAIL_BYTES),
        };
        let client = ui.nodes.node(node.id, node.rpc_addr);
        match timeout(&*ui.env.clock, LIMIT, client.stream(open)).await {
            Ok(opened) => opened,
            Err(_) => Err(NodeError::NoPath),
        }
    }
}

/// Puts the end of the log into the page that shows one.
pub(super) async fn fill(source: &Source, view: &mut View) {
    let Some(log) = view.log.clone() else {
        return;
    };
    let reading = tail(&log, &source.ui);
    let text = match timeout(&*source.ui.env.clock, LIMIT, reading).await {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => format!("The log cannot be shown: {error}"),
        Err(_) => "The log cannot be shown: the client does not answer".to_string(),
    };
    for (name, content) in &mut view.parts {
        if *name == PART {
            *content = log.show(&text);
        }
    }
}

async fn tail(log: &Log, ui: &Ui) -> Result<String, NodeError> {
    let mut frames = log.open(ui, false).await?;
    let mut text = Text::default();
    let mut shown = String::new();
    while let Some(frame) = frames.recv().await {
        shown.push_str(&text.frame(&frame?));
    }
    Ok(shown)
}

/// A log that is read while it is written.
pub(super) struct Follow {
    pub log: Log,
    frames: FrameStream,
    text: Text,
}

impl Follow {
    pub(super) async fn open(log: Log, ui: &Ui) -> Result<Self, NodeError> {
        let frames = log.open(ui, true).await?;
        Ok(Self {
            log,
            frames,
            text: Text::default(),
        })
    }

    /// What was written next; `None` when no more will come. Safe to drop while it waits.
    pub(super) async fn next(&mut self) -> Option<Result<String, NodeError>> {
        loop {
            match self.frames.recv().await? {
                Err(error) => return Some(Err(error)),
                Ok(frame) => {
                    let text = self.text.frame(&frame);
                    if !text.is_empty() {
                        return Some(Ok(text));
                    }
                }
            }
        }
    }
}

/// Makes text of bytes that may be cut anywhere; leaves out what steers terminals.
#[derive(Default)]
struct Text {
    /// The beginning of a character whose rest has not come yet.
    cut: Vec<u8>,
    escape: Escape,
    started: bool,
}

/// Inside which control sequence the text is.
#[derive(Clone, Copy, Default, PartialEq)]
enum Escape {
    #[default]
    None,
    /// After ESC.
    Begun,
    /// After `ESC [`, up to a final byte.
    Control,
    /// After `ESC ]`, up to BEL or the next ESC.
    System,
}

impl Text {
    /// The text of a frame. What comes first is whole lines: a line whose beginning lies before
    /// it is left out.
    fn frame(&mut self, frame: &StreamFrame) -> String {
        let mut bytes = &frame.data[..];
        if !self.started {
            self.started = !bytes.is_empty();
            let cut_line = frame.offset > bytes.len() as u64;
            if let Some(end) = bytes.iter().position(|b| *b == b'\n').filter(|_| cut_line) {
                bytes = &bytes[end + 1..];
            }
        }
        self.push(bytes)
    }

    fn push(&mut self, bytes: &[u8]) -> String {
        self.cut.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.cut);
        let mut shown = String::with_capacity(bytes.len());
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            shown.extend(chunk.valid().chars().filter(|c| self.shows(*c)));
            let invalid = chunk.invalid();
            let incomplete = std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
            if chunks.peek().is_none() && incomplete {
                self.cut = invalid.to_vec();
            } else if !invalid.is_empty() {
                shown.push(char::REPLACEMENT_CHARACTER);
            }
        }
        shown
    }

    /// Whether a character is to be seen.
    fn shows(&mut self, c: char) -> bool {
        let (next, shown) = match (self.escape, c) {
            (_, '\u{1b}') => (Escape::Begun, false),
            (Escape::None, c) => (Escape::None, c == '\n' || c == '\t' || !c.is_control()),
            (Escape::Begun, '[') => (Escape::Control, false),
            (Escape::Begun, ']') => (Escape::System, false),
            (Escape::Begun, _) => (Escape::None, false),
            (Escape::Control, '\u{40}'..='\u{7e}') => (Escape::None, false),
            (Escape::System, '\u{7}') => (Escape::None, false),
            (inside, _) => (inside, false),
        };
        self.escape = next;
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(offset: u64, data: &[u8]) -> StreamFrame {
        StreamFrame {
            offset,
            data: data.to_vec().into(),
            ..StreamFrame::default()
        }
    }

    #[test]
    fn characters_and_sequences_may_be_cut_anywhere() {
        let whole = "für \u{1b}[1;31mrot\u{1b}[0m \u{1b}]0;title\u{7}ok\r\n€\n".as_bytes();
        for cut in 0..whole.len() {
            let mut text = Text::default();
            let shown = text.push(&whole[..cut]) + &text.push(&whole[cut..]);
            assert_eq!(shown, "für rot ok\n€\n", "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        let mut text = Text::default();
        assert_eq!(text.push(b"a\xffb\0"), "a\u{fffd}b");
        assert_eq!(text.push(b"\xe2\x82"), "");
        assert_eq!(text.push(b"x"), "\u{fffd}x");
    }

    #[test]
    fn a_tail_begins_with_a_whole_line() {
        let mut text = Text::default();
        assert_eq!(text.frame(&frame(100, b"rest\nnext\n")), "next\n");
        assert_eq!(text.frame(&frame(105, b"more\n")), "more\n");
        assert_eq!(Text::default().frame(&frame(5, b"one\nx")), "one\nx");
    }
}
