//! The table of allocations that several commands show.

use crate::cli::context::Ctx;
use crate::cli::format;
use crate::cli::output::table;
use crate::http::dto::alloc::AllocListStub;

/// The table, or the sentence for none.
pub fn list(ctx: &Ctx, allocs: &[AllocListStub], verbose: bool) -> String {
    if allocs.is_empty() {
        return "No allocations placed".to_owned();
    }
    let mut head = vec!["ID"];
    head.extend(verbose.then_some("Eval ID"));
    head.push("Node ID");
    head.extend(verbose.then_some("Node Name"));
    head.extend([
        "Task Group",
        "Version",
        "Desired",
        "Status",
        "Created",
        "Modified",
    ]);
    let mut rows = table(head);
    for a in allocs {
        let mut cells = vec![format::id(&a.id, verbose)];
        cells.extend(verbose.then(|| a.eval_id.clone()));
        cells.push(format::id(&a.node_id, verbose));
        cells.extend(verbose.then(|| a.node_name.clone()));
        cells.extend([
            a.task_group.clone(),
            a.job_version.to_string(),
            a.desired_status.clone(),
            a.client_status.clone(),
            ctx.when(a.create_time, verbose),
            ctx.when(a.modify_time, verbose),
        ]);
        rows.row(cells);
    }
    rows.render()
}

/// The table of matches of an ambiguous prefix; its times are relative even with full ids.
pub fn brief(ctx: &Ctx, allocs: &[AllocListStub], verbose: bool) -> String {
    let mut rows = table([
        "ID",
        "Node ID",
        "Task Group",
        "Version",
        "Desired",
        "Status",
        "Created",
        "Modified",
    ]);
    for a in allocs {
        rows.row([
            format::id(&a.id, verbose),
            format::id(&a.node_id, verbose),
            a.task_group.clone(),
            a.job_version.to_string(),
            a.desired_status.clone(),
            a.client_status.clone(),
            ctx.ago(a.create_time),
            ctx.ago(a.modify_time),
        ]);
    }
    rows.render()
}
