//! Live pages: the same page again whenever what it shows changes, as an event stream.
//!
//! Events: `patch` (`title`, `order` of the parts, `parts` with those whose content has changed),
//! `log` (`text` to append, after `reset`; `note` when there is no more), `stale` (`reason`: the
//! cluster does not answer), `fresh` (it does again, and nothing has changed) and `beat`, so that
//! the script sees a dead connection.
//!
//! The stream is pulled: nothing is made before the browser has taken what came before, so a
//! slow reader costs nothing and then gets the newest state. Renderings keep a distance of
//! [`PAUSE_MIN`] and of [`PAUSE_FACTOR`] times what one took, so that a page of a large and busy
//! cluster takes at most a fixed part of a core.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use serde_json::{Map, Value, json};
use tokio::sync::OwnedSemaphorePermit;

use crate::http::dto::page::PageRequest;
use crate::rpc::{ApiError, NodeError};

use super::logs::{self, Follow};
use super::source::Source;
use super::{Answered, Missing, Ui, View, format, view};

/// The least time between two renderings.
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// The same, as a multiple of what the last one took.
const PAUSE_FACTOR: u32 = 4;

/// How long the stream may be silent.
const BEAT: Duration = Duration::from_secs(15);

/// The first and the longest pause before a silent cluster is asked again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// One browser's view of one page.
pub(super) struct Live {
    ui: Ui,
    page: PageRequest,
    /// This stream's place among those that the agent serves.
    _seat: OwnedSemaphorePermit,
    title: String,
    /// What the browser has, by part and without ages.
    shown: Vec<(&'static str, String)>,
    /// Ends when it is time to render again.
    due: BoxFuture<'static, Result<(), ApiError>>,
    log: Option<Follow>,
    /// How often in a row the cluster did not answer.
    failures: u32,
}

/// What a stream waits for.
enum Woken {
    Due(Result<(), ApiError>),
    Log(Option<Result<String, NodeError>>),
    Beat,
}

impl Live {
    pub(super) fn new(ui: Ui, page: PageRequest, seat: OwnedSemaphorePermit) -> Self {
        Self {
            ui,
            page,
            _seat: seat,
            title: String::new(),
            shown: Vec::new(),
            due: Box::pin(std::future::ready(Ok(()))),
            log: None,
            failures: 0,
        }
    }

    /// The events, for as long as somebody takes them.
    pub(super) fn chunks(self) -> BoxStream<'static, Bytes> {
        stream::unfold(self, |mut live| async move {
            let chunk = live.next().await;
            Some((chunk, live))
        })
        .boxed()
    }

    async fn next(&mut self) -> Bytes {
        loop {
            let woken = tokio::select! {
                biased;
                due = &mut self.due => Woken::Due(due),
                next = next_of(&mut self.log) => Woken::Log(next),
                () = self.ui.env.clock.sleep(BEAT) => Woken::Beat,
            };
            match woken {
                Woken::Due(Ok(())) => {
                    if let Some(events) = self.render().await {
                        return events.into();
                    }
                }
                Woken::Due(Err(error)) => return self.stale(&error).into(),
                Woken::Log(Some(Ok(text))) => {
                    return event("log", &json!({ "text": text })).into();
                }
                Woken::Log(ended) => {
                    self.log = None;
                    let note = match ended {
                        Some(Err(error)) => format!("The log ends here: {error}"),
                        _ => "The log ends here.".to_string(),
                    };
                    return event("log", &json!({ "note": note })).into();
                }
                Woken::Beat => return event("beat", &json!({})).into(),
            }
        }
    }

    /// Makes the page again; the events that bring the browser up to it, if there are any.
    async fn render(&mut self) -> Option<String> {
        let clock = self.ui.env.clock.clone();
        let started = clock.now();
        let source = Source::new(self.ui.clone());
        let view = match view(&source, &self.page).await {
            Ok(Answered::View(view)) => view.warned(&source),
            // Search leads elsewhere now; the reader stays.
            Ok(Answered::Moved(_)) => View::new("", self.title.clone()),
            Err(Missing::Cluster(error)) => return Some(self.stale(&error)),
            Err(missing @ Missing::Object(_)) => missing.page().1,
        };
        let log = view.log.clone();
        let mut events = self.patch(view);
        events.push_str(&self.follow(log).await);
        if std::mem::take(&mut self.failures) > 0 && events.is_empty() {
            events = event("fresh", &json!({}));
        }
        let took = clock.now().saturating_duration_since(started);
        let pause = PAUSE_MIN.max(took * PAUSE_FACTOR);
        self.due = Box::pin(async move {
            source.changed().await?;
            clock.sleep_until(started + pause).await;
            Ok(())
        });
        (!events.is_empty()).then_some(events)
    }

    /// What differs from what the browser has.
    fn patch(&mut self, view: View) -> String {
        let mut parts = Map::new();
        let mut shown = Vec::with_capacity(view.parts.len());
        for (name, content) in view.parts {
            let html = content.into_string();
            let kept = format::ageless(&html);
            if !self.shown.iter().any(|(n, k)| *n == name && *k == kept) {
                parts.insert(name.to_string(), Value::String(html));
            }
            shown.push((name, kept));
        }
        let order: Vec<&str> = shown.iter().map(|(name, _)| *name).collect();
        let same_order = self
            .shown
            .iter()
            .map(|(name, _)| *name)
            .eq(order.iter().copied());
        let changed = !parts.is_empty() || !same_order || self.title != view.title;
        let patch = json!({ "title": view.title, "order": order, "parts": parts });
        (self.shown, self.title) = (shown, view.title);
        match changed {
            true => event("patch", &patch),
            false => String::new(),
        }
    }

    /// Follows the log that the page shows now.
    async fn follow(&mut self, log: Option<logs::Log>) -> String {
        let Some(log) = log else {
            self.log = None;
            return String::new();
        };
        if self.log.as_ref().is_some_and(|f| f.log.is_same(&log)) {
            return String::new();
        }
        match Follow::open(log, &self.ui).await {
            Ok(follow) => {
                self.log = Some(follow);
                event("log", &json!({ "reset": true }))
            }
            Err(error) => {
                self.log = None;
                let note = format!("The log cannot be shown: {error}");
                event("log", &json!({ "reset": true, "note": note }))
            }
        }
    }

    /// Says that the cluster does not answer, and asks again later.
    fn stale(&mut self, error: &ApiError) -> String {
        let wait = RETRY
            .0
            .saturating_mul(1 << self.failures.min(8))
            .min(RETRY.1);
        self.failures = self.failures.saturating_add(1);
        let sleep = self.ui.env.clock.sleep(wait);
        self.due = Box::pin(async move {
            sleep.await;
            Ok(())
        });
        event("stale", &json!({ "reason": error.to_string() }))
    }
}

/// What is written to a log next; without one, never anything.
async fn next_of(log: &mut Option<Follow>) -> Option<Result<String, NodeError>> {
    match log {
        Some(log) => log.next().await,
        None => std::future::pending().await,
    }
}

/// One event; JSON has no line breaks of its own.
fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_of_data_whatever_it_holds() {
        let text = event("log", &json!({ "text": "a\nb\r\ndata: x\n\n" }));
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.ends_with("\n\n") && text.starts_with("event: log\ndata: {"));
    }
}
