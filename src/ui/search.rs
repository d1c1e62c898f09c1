//! From what somebody pasted or typed to the thing it names.
//!
//! One match leads straight to its page; several are listed. An id matches from its beginning,
//! a name anywhere.

use maud::html;

use super::format::{badge, encoded};
use super::source::Source;
use super::table::{Column, Table, text};
use super::{Answered, Missing, View, body};
use crate::rpc::Read;

/// How many matches of one kind are listed.
const MATCHES_MAX: usize = 25;

/// One thing that was found.
struct Match {
    kind: &'static str,
    address: String,
    name: String,
    status: &'static str,
    /// Whether the words are all of its name or id.
    exact: bool,
}

/// `/ui/search?q=<words>`
pub(super) async fn search(from: &Source, words: &str) -> Result<Answered, Missing> {
    // What is copied from a terminal often brings quotes or an ellipsis along.
    let words = words.trim_matches(|c: char| c.is_whitespace() || "\"'`…".contains(c));
    if words.is_empty() {
        return Ok(page(words, &[]).into());
    }
    let mut matches = named(from, words).await?;
    matches.extend(identified(from, &words.to_ascii_lowercase()).await?);
    let mut exact = matches.iter().filter(|m| m.exact);
    if let (Some(only), None) = (exact.next(), exact.next()) {
        return Ok(Answered::Moved(only.address.clone()));
    }
    if let [only] = matches.as_slice() {
        return Ok(Answered::Moved(only.address.clone()));
    }
    Ok(page(words, &matches).into())
}

/// Jobs, clients and services by name.
async fn named(from: &Source, words: &str) -> Result<Vec<Match>, Missing> {
    let lower = words.to_lowercase();
    let fits = |name: &str| name.to_lowercase().contains(&lower);
    let mut matches = Vec::new();
    for (job, _) in body!(from.read(Read::Jobs { namespace: None }).await?, Jobs) {
        if fits(job.spec.id.as_str()) || fits(&job.spec.name) {
            matches.push(Match {
                kind: "job",
                address: super::pages::job_address(&job.key()),
                name: job.spec.id.to_string(),
                status: job.status.as_str(),
                exact: job.spec.id.as_str() == words,
            });
        }
    }
    for node in body!(from.read(Read::Nodes).await?, Nodes) {
        if fits(&node.name) {
            matches.push(Match {
                kind: "client",
                address: format!("/ui/clients/{}", node.id),
                name: node.name.clone(),
                status: node.status.as_str(),
                exact: node.name == words,
            });
        }
    }
    let mut services: Vec<String> = body!(
        from.read(Read::Services { namespace: None }).await?,
        Services
    )
    .into_iter()
    .map(|s| s.name)
    .filter(|name| fits(name))
    .collect();
    services.sort();
    services.dedup();
    matches.extend(services.into_iter().map(|name| Match {
        kind: "service",
        address: format!("/ui/services?q={}", encoded(&name)),
        status: "",
        // A job of the same name is what is meant more often.
        exact: false,
        name,
    }));
    Ok(matches)
}

/// Whatever has an id that begins so.
async fn identified(from: &Source, prefix: &str) -> Result<Vec<Match>, Missing> {
    let is_id = prefix.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if !is_id || prefix.len() > 36 {
        return Ok(Vec::new());
    }
    let mut matches = Vec::new();
    let mut add = |kind, noun: &str, id: String, status| {
        if id.starts_with(prefix) {
            matches.push(Match {
                kind,
                address: format!("/ui/{noun}/{id}"),
                exact: id == prefix,
                name: id,
                status,
            });
        }
    };
    for a in body!(from.read(Read::Allocs { namespace: None }).await?, Allocs) {
        add(
            "allocation",
            "allocations",
            a.id.to_string(),
            a.client_status.as_str(),
        );
    }
    for n in body!(from.read(Read::Nodes).await?, Nodes) {
        add("client", "clients", n.id.to_string(), n.status.as_str());
    }
    for e in body!(from.read(Read::Evals { namespace: None }).await?, Evals) {
        add(
            "evaluation",
            "evaluations",
            e.id.to_string(),
            e.status.as_str(),
        );
    }
    let deployments = from.read(Read::Deployments { namespace: None }).await?;
    for d in body!(deployments, Deployments) {
        add(
            "deployment",
            "deployments",
            d.id.to_string(),
            d.status.as_str(),
        );
    }
    Ok(matches)
}

fn page(words: &str, matches: &[Match]) -> View {
    const COLUMNS: [Column; 3] = [text("Name"), text("Kind"), text("Status")];
    let mut table = Table::new(&COLUMNS, "Nothing is named so, and no id begins so.");
    let mut left_out = 0;
    for (n, m) in matches.iter().enumerate() {
        let before = matches[..n].iter().filter(|other| other.kind == m.kind);
        if before.count() >= MATCHES_MAX {
            left_out += 1;
            continue;
        }
        let cells = vec![
            html! { a href=(m.address) { (m.name) } },
            html! { (m.kind) },
            html! { @if !m.status.is_empty() { (badge(m.status)) } },
        ];
        table.row("", "", cells);
    }
    let content = html! {
        h1 { "Search" }
        @if words.is_empty() {
            p { "Type a name, or paste the beginning of an id, into the field above." }
        } @else {
            p { (matches.len()) " found for “" (words) "”" }
            (table.render())
            @if left_out > 0 { p.empty { (left_out) " more are not shown." } }
        }
    };
    View::new("search", "Search").part("matches", content)
}
