//! Services that running allocations register.

use maud::html;

use super::format::{link, or_dash};
use super::job::job_link;
use super::{Column, Missing, PageRequest, Source, Table, View, body, filter, paged, passes, text};
use crate::model::JobKey;
use crate::rpc::Read;

/// `/ui/services`
pub(in crate::ui) async fn services(from: &Source, request: &PageRequest) -> Result<View, Missing> {
    const COLUMNS: [Column; 6] = [
        text("Name"),
        text("Address"),
        text("Tags"),
        text("Job"),
        text("Allocation"),
        text("Client"),
    ];
    let answer = from.read(Read::Services { namespace: None }).await?;
    let mut all = body!(answer, Services);
    all.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    let head = html! {
        h1 { "Services " span.count { (all.len()) } }
        (filter("/ui/services", request, &[]))
    };
    all.retain(|s| passes(request, &[&s.name, s.job_id.as_str()], ""));
    let paged = paged(all, request);
    let mut table = Table::new(&COLUMNS, "No running allocation registers a service.");
    for s in &paged.rows {
        let key = JobKey {
            namespace: s.namespace.clone(),
            id: s.job_id.clone(),
        };
        let cells = vec![
            html! { (s.name) },
            html! { code { (s.address) ":" (s.port) } },
            or_dash(&s.tags.join(", ")),
            job_link(&key),
            link("allocations", s.alloc_id),
            link("clients", s.node_id),
        ];
        table.row("", "", cells);
    }
    Ok(View::new("services", "Services")
        .part("head", head)
        .part("services", html! { (table.render()) (paged.links) }))
}
