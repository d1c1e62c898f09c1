//! Explanations of the state as it is now.

use std::sync::Arc;

use crate::model::why::{Subject, Why};
use crate::model::{EvalId, Evaluation, JobKey};
use crate::scheduler::explain::{Case, Evals, explain};
use crate::server::Ctx;
use crate::state::{Key, Snapshot, Table};

impl Evals for Snapshot {
    fn eval(&self, id: EvalId) -> Option<Arc<Evaluation>> {
        Snapshot::eval(self, id)
    }

    fn of_job(&self, key: &JobKey) -> Vec<Arc<Evaluation>> {
        self.evals_of_job(key)
    }
}

/// Explains `subject`; `None` if there is no such thing.
pub(super) fn why(ctx: &Ctx, view: &Snapshot, subject: &Subject) -> Option<Box<Why>> {
    let case = Case {
        view,
        evals: view,
        now: ctx.now(),
    };
    explain(case, subject).map(Box::new)
}

/// What an explanation depends on: the whole cluster.
pub(super) fn keys() -> Vec<Key> {
    let tables = [
        Table::Jobs,
        Table::Allocs,
        Table::Evals,
        Table::Nodes,
        Table::Deployments,
    ];
    tables.map(Key::Table).to_vec()
}
