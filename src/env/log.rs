//! The agent's log: lines with level and component, written out and kept for `monitor`.
//!
//! **Owns** the last [`KEPT`] lines, the live subscriptions and the line format. **Does not**
//! decide where lines go: [`LogRing::install`] takes a writer.
//!
//! Lines leave the program at the agent's level. A subscription may ask for more detail; while
//! it lives, events down to its level are formatted for it alone.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    io::Write,
    str::FromStr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use tokio::sync::broadcast;
use tracing::{Event, Metadata, Subscriber, subscriber::Interest};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
};

use crate::env::Clock;

/// How many lines a new subscription sees of the past.
pub const KEPT: usize = 512;

/// How far a subscription may fall behind before it loses lines.
const BEHIND_MAX: usize = 1024;

/// The crates we build on; they speak up only when something is wrong.
const QUIET: [&str; 16] = [
    "openraft",
    "hyper",
    "hyper_util",
    "tower",
    "tower_http",
    "foca",
    "fjall",
    "lsm_tree",
    "bollard",
    "tungstenite",
    "tokio_tungstenite",
    "axum",
    "mio",
    "want",
    "runtime",
    "tokio",
];

/// How much a line matters, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Off,
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Off => "OFF",
        }
    }

    fn from_u8(n: u8) -> Self {
        match n {
            0 => Self::Trace,
            1 => Self::Debug,
            2 => Self::Info,
            3 => Self::Warn,
            4 => Self::Error,
            _ => Self::Off,
        }
    }

    fn of(metadata: &Metadata) -> Self {
        match *metadata.level() {
            tracing::Level::TRACE => Self::Trace,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::INFO => Self::Info,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::ERROR => Self::Error,
        }
    }
}

/// A word that names no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown log level `{0}`: use trace, debug, info, warn, error or off")]
pub struct UnknownLevel(pub String);

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(word: &str) -> Result<Self, UnknownLevel> {
        match word.to_ascii_lowercase().as_str() {
            "trace" => Ok(Self::Trace),
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" | "warning" => Ok(Self::Warn),
            "error" | "err" => Ok(Self::Error),
            "off" => Ok(Self::Off),
            _ => Err(UnknownLevel(word.to_owned())),
        }
    }
}

/// How lines are written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

/// One event of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Unix nanoseconds.
    pub at: i64,
    pub level: Level,
    pub component: String,
    pub message: String,
    pub fields: Vec<(&'static str, String)>,
}

impl LogLine {
    /// `    2026-11-22T18:49:11.319Z [INFO]  component: message: key=value`
    pub fn text(&self) -> String {
        let mut line = format!(
            "    {} {:<7} ",
            stamp(self.at),
            format!("[{}]", self.level.as_str())
        );
        push(
            &mut line,
            format_args!("{}: {}", self.component, self.message),
        );
        if !self.fields.is_empty() {
            line.push(':');
        }
        for (key, value) in &self.fields {
            let quote = value.contains(|c: char| c.is_whitespace() || "\"=".contains(c));
            if quote {
                push(&mut line, format_args!(" {key}={value:?}"));
            } else {
                push(&mut line, format_args!(" {key}={value}"));
            }
        }
        line
    }

    /// The line as one JSON object.
    pub fn json(&self) -> String {
        let mut object = serde_json::Map::new();
        object.insert("@level".into(), self.level.as_str().to_lowercase().into());
        object.insert("@message".into(), self.message.clone().into());
        object.insert("@module".into(), self.component.clone().into());
        object.insert("@timestamp".into(), stamp(self.at).into());
        for (key, value) in &self.fields {
            object.insert((*key).to_owned(), value.clone().into());
        }
        serde_json::Value::Object(object).to_string()
    }

    pub fn format(&self, format: Format) -> String {
        match format {
            Format::Text => self.text(),
            Format::Json => self.json(),
        }
    }
}

fn push(line: &mut String, arguments: std::fmt::Arguments) {
    line.write_fmt(arguments)
        .expect("writing into a string cannot fail");
}

fn stamp(at: i64) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(at)) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => at.to_string(),
    }
}

/// The kept lines and their subscribers. Cloning shares them.
#[derive(Clone)]
pub struct LogRing {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    /// The agent's own level.
    level: AtomicU8,
    /// The most detailed level that anybody wants; what `enabled` compares with.
    wanted: AtomicU8,
    kept: Mutex<Kept>,
    live: broadcast::Sender<Arc<LogLine>>,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<Arc<LogLine>>,
    /// The level of each live subscription.
    watching: Vec<Level>,
}

impl LogRing {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let level = AtomicU8::new(Level::Info as u8);
        let wanted = AtomicU8::new(Level::Info as u8);
        let live = broadcast::Sender::new(BEHIND_MAX);
        Self {
            inner: Arc::new(Inner {
                clock,
                level,
                wanted,
                kept: Mutex::default(),
                live,
            }),
        }
    }

    pub fn level(&self) -> Level {
        Level::from_u8(self.inner.level.load(Ordering::Relaxed))
    }

    /// Sets the agent's level, for what is written out and kept.
    pub fn set_level(&self, level: Level) {
        self.inner.level.store(level as u8, Ordering::Relaxed);
        self.settle(&self.lock());
    }

    /// Makes this the process's log: events at `level` and above go to `out`.
    ///
    /// # Errors
    /// When the process has a log already.
    pub fn install(
        &self,
        level: Level,
        format: Format,
        out: Box<dyn Write + Send>,
    ) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
        self.set_level(level);
        let layer = self.layer(format, out);
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))
    }

    /// The tracing layer that feeds this ring and writes to `out`.
    pub fn layer(&self, format: Format, out: Box<dyn Write + Send>) -> LogLayer {
        LogLayer {
            ring: self.clone(),
            format,
            out: Mutex::new(out),
        }
    }

    /// The kept lines from `level` up, then the live ones.
    pub fn subscribe(&self, level: Level) -> LogSubscription {
        let mut kept = self.lock();
        kept.watching.push(level);
        self.settle(&kept);
        let past = kept
            .lines
            .iter()
            .filter(|line| line.level >= level)
            .cloned()
            .collect();
        LogSubscription {
            level,
            past,
            live: self.inner.live.subscribe(),
            ring: self.clone(),
        }
    }

    /// Adds a line, as an event would.
    pub fn push(&self, line: LogLine) {
        let line = Arc::new(line);
        let mut kept = self.lock();
        if line.level >= self.level() {
            if kept.lines.len() == KEPT {
                kept.lines.pop_front();
            }
            kept.lines.push_back(line.clone());
        }
        if !kept.watching.is_empty() {
            // An error means that the last subscription has just gone.
            drop(self.inner.live.send(line));
        }
    }

    fn settle(&self, kept: &Kept) {
        let wanted = kept.watching.iter().copied().fold(self.level(), Level::min);
        self.inner.wanted.store(wanted as u8, Ordering::Relaxed);
    }

    fn wants(&self, metadata: &Metadata) -> bool {
        let level = Level::of(metadata);
        let root = metadata.target().split("::").next().unwrap_or_default();
        let floor = if QUIET.contains(&root) {
            Level::Warn
        } else {
            Level::Trace
        };
        level >= Level::from_u8(self.inner.wanted.load(Ordering::Relaxed)).max(floor)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A line is pushed whole or not at all, so a poisoned ring is still a ring.
        self.inner
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What [`LogSubscription::next`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogNext {
    Line(Arc<LogLine>),
    /// The reader was too slow: this many lines are gone.
    Dropped(u64),
}

/// A reader of the log: first the past, then what comes.
pub struct LogSubscription {
    level: Level,
    past: VecDeque<Arc<LogLine>>,
    live: broadcast::Receiver<Arc<LogLine>>,
    ring: LogRing,
}

impl LogSubscription {
    /// The next line at this subscription's level. Safe to cancel.
    pub async fn next(&mut self) -> LogNext {
        if let Some(line) = self.past.pop_front() {
            return LogNext::Line(line);
        }
        loop {
            match self.live.recv().await {
                Ok(line) if line.level >= self.level => return LogNext::Line(line),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(lost)) => return LogNext::Dropped(lost),
                // `ring` holds the sender for as long as this lives.
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

impl Drop for LogSubscription {
    fn drop(&mut self) {
        let mut kept = self.ring.lock();
        if let Some(at) = kept.watching.iter().position(|level| *level == self.level) {
            kept.watching.swap_remove(at);
        }
        self.ring.settle(&kept);
    }
}

/// Turns events into lines; see [`LogRing::layer`].
pub struct LogLayer {
    ring: LogRing,
    format: Format,
    out: Mutex<Box<dyn Write + Send>>,
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes() // the wanted level changes while the program runs
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_event() && self.ring.wants(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = LogLine {
            at: self.ring.inner.clock.wall(),
            level: Level::of(event.metadata()),
            component: component(event.metadata().target()),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut line);
        if line.level >= self.ring.level() {
            let text = line.format(self.format);
            let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
            // A closed standard output must not stop the agent, and there is no other place to
            // complain to.
            drop(writeln!(out, "{text}").and_then(|()| out.flush()));
        }
        self.ring.push(line);
    }
}

/// A target is a component as written, or the path of one of our modules.
fn component(target: &str) -> String {
    let inner = target.strip_prefix("tumen::").unwrap_or(target);
    inner.replace("::", ".")
}

impl tracing::field::Visit for LogLine {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.record(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        self.record(field.name(), value.to_owned());
    }

    /// The whole chain of causes.
    fn record_error(
        &mut self,
        field: &tracing::field::Field,
        value: &(dyn std::error::Error + 'static),
    ) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            push(&mut text, format_args!(": {error}"));
            cause = error.source();
        }
        self.record(field.name(), text);
    }
}

impl LogLine {
    fn record(&mut self, name: &'static str, value: String) {
        if name == "message" {
            self.message = value;
        } else {
            self.fields.push((name, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;

    /// A writer that a test can read.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn line(level: Level, message: &str) -> LogLine {
        let at = 1_795_373_351_319_000_000;
        let component = "nomad.raft".to_owned();
        LogLine {
            at,
            level,
            component,
            message: message.to_owned(),
            fields: Vec::new(),
        }
    }

    #[test]
    fn a_line_looks_like_nomads() {
        let mut entry = line(Level::Info, "initial configuration");
        assert_eq!(
            entry.text(),
            "    2026-11-22T18:49:11.319Z [INFO]  nomad.raft: initial configuration"
        );
        entry.fields = vec![("index", "1".to_owned()), ("servers", "[a b]".to_owned())];
        entry.level = Level::Debug;
        assert_eq!(
            entry.text(),
            "    2026-11-22T18:49:11.319Z [DEBUG] nomad.raft: initial configuration: index=1 \
             servers=\"[a b]\""
        );
        assert_eq!(
            entry.json(),
            r#"{"@level":"debug","@message":"initial configuration","@module":"nomad.raft","@timestamp":"2026-11-22T18:49:11.319Z","index":"1","servers":"[a b]"}"#
        );
    }

    #[test]
    fn events_are_filtered_written_and_kept() {
        let ring = Env::sim(1).logs;
        let out = Shared::default();
        let layer = ring.layer(Format::Text, Box::new(out.clone()));
        let log = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(log, || {
            tracing::info!(target: "agent", port = 4646, "listening");
            tracing::debug!(target: "agent", "detail");
            tracing::info!(target: "openraft::core", "chatter");
        });
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert!(
            text.ends_with("[INFO]  agent: listening: port=4646\n"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1);
    }

    #[tokio::test]
    async fn a_subscription_sees_the_past_and_more_detail_than_the_agent() {
        let ring = Env::sim(1).logs;
        ring.push(line(Level::Info, "before"));
        ring.push(line(Level::Debug, "never kept"));
        let mut reader = ring.subscribe(Level::Debug);
        ring.push(line(Level::Trace, "too fine"));
        ring.push(line(Level::Debug, "after"));
        for expected in ["before", "after"] {
            let LogNext::Line(line) = reader.next().await else {
                panic!("nothing was dropped")
            };
            assert_eq!(line.message, expected);
        }
        assert_eq!(
            ring.inner.wanted.load(Ordering::Relaxed),
            Level::Debug as u8
        );
        drop(reader);
        assert_eq!(ring.inner.wanted.load(Ordering::Relaxed), Level::Info as u8);
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_lost() {
        let ring = Env::sim(1).logs;
        let mut reader = ring.subscribe(Level::Info);
        for n in 0..BEHIND_MAX + 3 {
            ring.push(line(Level::Info, &n.to_string()));
        }
        assert_eq!(reader.next().await, LogNext::Dropped(3));
        assert_eq!(ring.subscribe(Level::Info).past.len(), KEPT);
    }
}
