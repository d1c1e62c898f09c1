//! What happened in a run, in order: the same seed must tell the same.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer};
use tumen::model::{ClusterView, Index};
use tumen::rpc::api::RaftView;
use tumen::server::{Agreed, Leadership, ProposeError, Replicated};
use tumen::state::{Applied, Command, Key, Snapshot, Store, Table};

/// The events of one run. Cloning shares it.
#[derive(Clone)]
pub struct Trace {
    start: Instant,
    said: Arc<Mutex<Said>>,
}

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    broken: Vec<String>,
}

impl Trace {
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            said: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event that happened on a machine.
    pub fn add(&self, machine: &str, what: impl AsRef<str>) {
        let at = self.start.elapsed().as_secs_f64();
        let line = format!("{at:11.6} {machine:4} {}", what.as_ref());
        self.lock().lines.push(line);
    }

    /// Adds an event that must never happen.
    pub fn broken(&self, machine: &str, what: impl AsRef<str>) {
        self.add(machine, format!("BROKEN: {}", what.as_ref()));
        self.lock().broken.push(what.as_ref().to_owned());
    }

    /// What happened that must not.
    pub fn what_broke(&self) -> Vec<String> {
        self.lock().broken.clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }
}

/// What we log belongs to the trace (openraft's lines hold times of the real machine); a panic
/// of a task breaks the run.
pub struct LogLayer(pub Trace);

impl<S: tracing::Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let meta = event.metadata();
        if meta.target().starts_with("openraft") {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let line = format!("{} {}:{}", meta.level(), meta.target(), text.0);
        if text.0.contains("task panicked") {
            self.0.broken("log", &line);
        } else {
            self.0.add("log", line);
        }
    }
}

#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

/// The replicated log, with a note of every command that this server proposes.
pub struct Observed {
    pub agreed: Agreed,
    pub trace: Trace,
    pub machine: String,
}

impl Replicated for Observed {
    fn propose(&self, command: Command) -> BoxFuture<'_, Result<Applied, ProposeError>> {
        Box::pin(async move {
            // Every id and time of the command is in its bytes.
            let sum = crc32c::crc32c(&postcard::to_stdvec(&command).unwrap());
            let kind = name_of(&command.change);
            let result = self.agreed.propose(command).await;
            let outcome = match &result {
                Ok(applied) => format!("at {}", applied.index),
                Err(error) => error.to_string(),
            };
            let line = format!("command {kind} {sum:08x} {outcome}");
            self.trace.add(&self.machine, line);
            result
        })
    }

    fn read_barrier(&self) -> BoxFuture<'_, Result<Index, ProposeError>> {
        self.agreed.read_barrier()
    }

    fn store(&self) -> &Store {
        self.agreed.store()
    }

    fn leadership(&self) -> Leadership {
        self.agreed.leadership()
    }

    fn last_contact(&self) -> Duration {
        self.agreed.last_contact()
    }

    fn leadership_changed(&self, known: Leadership) -> BoxFuture<'_, ()> {
        self.agreed.leadership_changed(known)
    }

    fn view(&self) -> RaftView {
        self.agreed.view()
    }
}

/// The name of a variant, without what it holds.
fn name_of(variant: &impl Debug) -> String {
    struct Name(String);
    impl Write for Name {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            let end = text.find(|c: char| !c.is_alphanumeric());
            self.0.push_str(&text[..end.unwrap_or(text.len())]);
            // Whoever writes is told to stop there.
            end.map_or(Ok(()), |_| Err(std::fmt::Error))
        }
    }
    let mut name = Name(String::new());
    write!(name, "{variant:?}").unwrap_or_default();
    name.0
}

/// What stories wait for.
pub const TABLES: [Key; 6] = [
    Key::Table(Table::Jobs),
    Key::Table(Table::Nodes),
    Key::Table(Table::Allocs),
    Key::Table(Table::Evals),
    Key::Table(Table::Deployments),
    Key::Table(Table::Services),
];

/// Notes what becomes of evaluations, allocations, deployments and nodes on one server.
pub async fn follow(store: Store, trace: Trace, machine: String) {
    let watcher = store.watch(TABLES);
    let mut before = Vec::new();
    loop {
        let now = states(&store.snapshot());
        for line in now.iter().filter(|line| !before.contains(*line)) {
            trace.add(&machine, line);
        }
        before = now;
        watcher.changed().await;
    }
}

fn states(view: &Snapshot) -> Vec<String> {
    let evals = view.evals().map(|e| {
        let (trigger, status) = (e.trigger.as_str(), e.status.as_str());
        format!("eval {} {trigger} {status}", e.id.short())
    });
    let allocs = view.allocs().map(|a| {
        let (desired, status) = (a.desired.as_str(), a.client_status.as_str());
        let healthy = a.deployment_health.and_then(|h| h.healthy);
        let id = a.id.short();
        format!(
            "alloc {id} {} on {}: {desired}, {status}, {healthy:?}",
            a.name, a.node_name
        )
    });
    let deployments = view
        .deployments()
        .map(|d| format!("deployment {} {}", d.id.short(), d.status.as_str()));
    let nodes = view.nodes();
    let nodes = nodes
        .iter()
        .map(|n| format!("node {} {}", n.name, n.status.as_str()));
    evals
        .chain(allocs)
        .chain(deployments)
        .chain(nodes)
        .collect()
}
