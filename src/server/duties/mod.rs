//! What the leader does by itself. Everything here lives for one term.
//!
//! | task | wakes on | does |
//! |---|---|---|
//! | `broker` | evaluations, capacity, timers | leases evaluations to workers |
//! | a worker per lease | its lease | plans, submits, ends the evaluation |
//! | `applier` | plans | verifies on the newest state and commits |
//! | `updates` | client reports | commits them, those that wait together in one command |
//! | `deployments` | deployments, allocations, timers | health, promotion, failure, success |
//! | `drainer` | nodes, allocations, deadlines | moves allocations off draining nodes |
//! | `liveness` | a timer | marks silent nodes down |
//! | `gc` | a timer, `SystemGc` | removes what nobody needs |

pub mod applier;
pub mod broker;
pub mod deployments;
pub mod drainer;
pub mod gc;
pub mod liveness;
pub mod updates;
pub mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Ctx;
use crate::env::TaskGroup;
use crate::state::Change;

/// How long a new leader waits before it tries its barrier again.
const BARRIER_RETRY: Duration = Duration::from_millis(20);

/// Ways into the term's tasks.
pub(crate) struct Duties {
    pub applier: applier::Handle,
    pub updates: updates::Handle,
}

/// Starts the duties of a new term in `term`.
///
/// A barrier comes first: what earlier leaders committed is applied here before anything is
/// decided, and calls are answered only after that.
pub(super) fn start(ctx: &Arc<Ctx>, term: &TaskGroup) {
    let (ctx, group) = (ctx.clone(), term.clone());
    duty(&ctx.clone(), term, "term", async move {
        while let Err(error) = ctx.propose(Change::Barrier).await {
            tracing::debug!(target: "server", %error, "the term has not begun yet");
            ctx.env.clock.sleep(BARRIER_RETRY).await;
        }
        ctx.seen.new_term();
        let duties = Arc::new(Duties {
            applier: applier::start(&ctx, &group),
            updates: updates::start(&ctx, &group),
        });
        broker::start(&ctx, &duties, &group);
        deployments::start(&ctx, &group);
        drainer::start(&ctx, &group);
        liveness::start(&ctx, &group);
        gc::start(&ctx, &group);
        ctx.duties.send_replace(Some(duties));
    });
}

/// Starts a task of the term. It is dropped wherever it waits when the term ends: what it had
/// proposed is committed or not, and the next leader finds out from the state.
fn duty(
    ctx: &Arc<Ctx>,
    term: &TaskGroup,
    name: &'static str,
    work: impl Future<Output = ()> + Send + 'static,
) {
    let guard = Essential(ctx.broken.clone());
    task(term, name, async move {
        let _guard = guard;
        work.await;
    });
}

/// [`duty`], for a task whose panic is its own affair.
fn task(term: &TaskGroup, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    let token = term.token().clone();
    let started = term.spawn(name, async move {
        tokio::select! {
            biased;
            () = token.cancelled() => {}
            () = work => {}
        }
    });
    if !started {
        tracing::debug!(target: "server", name, "not started: the term is over");
    }
}

/// Tells [`Server::run`](super::Server::run) when its task panics: a leader that does half of
/// its duties is worse than none.
struct Essential(CancellationToken);

impl Drop for Essential {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}
