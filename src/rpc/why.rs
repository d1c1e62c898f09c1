//! Explanations with what only the clients know: the last lines of output, failing checks.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::api::{Answer, Api, ApiError, Body, Query, Read};
use super::node::{CheckStatus, From, NodeAnswer, NodeApi, NodeAsk, NodeError, Nodes, StreamOpen};
use crate::env::{Clock, timeout};
use crate::model::NodeId;
use crate::model::why::{AllocWhy, CheckWhy, LogTail, TaskWhy, Verdict, Why};

/// How many bytes of a task's output are read.
const TAIL_BYTES: u64 = 4096;
/// How many of its last lines are told.
const LINES_MAX: usize = 10;
/// How long one client may take for everything that it is asked.
const PATIENCE: Duration = Duration::from_secs(3);

/// Answers a [`Read::Explain`] and asks the clients about the allocations in it. A client that
/// does not answer is named in the explanation; it is no error.
pub async fn explain(
    api: &dyn Api,
    nodes: &dyn Nodes,
    clock: &dyn Clock,
    query: Query,
) -> Result<Answer, ApiError> {
    let stale = query.stale;
    let mut answer = api.read(query).await?;
    if let Body::Why(Some(why)) = &mut answer.body {
        complete(why, api, nodes, clock, stale).await;
    }
    Ok(answer)
}

async fn complete(why: &mut Why, api: &dyn Api, nodes: &dyn Nodes, clock: &dyn Clock, stale: bool) {
    let troubled = why.allocs.iter_mut().filter(|a| asks_client(a));
    let asked = troubled.map(|alloc| async move {
        let client = client(api, nodes, alloc.node, stale).await;
        let done = match client {
            Ok(client) => timeout(clock, PATIENCE, ask(alloc, &*client)).await,
            Err(reason) => {
                alloc.unreachable = reason;
                return;
            }
        };
        if done.is_err() {
            alloc.unreachable = format!(
                "the client on node {} did not answer within {} s",
                alloc.node_name,
                PATIENCE.as_secs()
            );
        }
    });
    join_all(asked).await;
}

/// Whether its client may know more.
fn asks_client(alloc: &AllocWhy) -> bool {
    let there = !matches!(alloc.client_status.as_str(), "lost" | "unknown");
    let wrong = matches!(alloc.verdict, Verdict::Broken | Verdict::Waiting);
    there && wrong && !alloc.tasks.is_empty()
}

async fn client(
    api: &dyn Api,
    nodes: &dyn Nodes,
    id: NodeId,
    stale: bool,
) -> Result<Arc<dyn NodeApi>, String> {
    let query = Query {
        stale,
        ..Query::now(Read::Node(id))
    };
    match api.read(query).await.map(|a| a.body) {
        Ok(Body::Node(Some(node))) => Ok(nodes.node(id, node.rpc_addr)),
        Ok(_) => Err(format!("node {id} is not known")),
        Err(error) => Err(error.to_string()),
    }
}

async fn ask(alloc: &mut AllocWhy, client: &dyn NodeApi) {
    if alloc.client_status == "running" {
        match client.ask(NodeAsk::Checks { alloc: alloc.id }).await {
            Ok(NodeAnswer::Checks(results)) => {
                let failing = results
                    .into_iter()
                    .filter(|c| c.status != CheckStatus::Success);
                alloc.checks = failing
                    .map(|c| CheckWhy {
                        service: c.service,
                        check: c.check,
                        status: c.status.as_str().to_string(),
                        output: c.output,
                        time: c.time,
                    })
                    .collect();
            }
            Ok(_) => alloc.unreachable = "the client answered another question".to_string(),
            Err(error) => alloc.unreachable = error.to_string(),
        }
    }
    let ran = |t: &TaskWhy| t.events.iter().any(|e| e.kind == "Started") || t.restarts > 0;
    let id = alloc.id;
    for task in alloc.tasks.iter_mut().filter(|t| t.troubled && ran(t)) {
        task.log = log(client, id, &task.name).await;
    }
}

/// The end of what a task wrote to stderr; of stdout if that is empty. `None`: it never ran.
async fn log(client: &dyn NodeApi, alloc: crate::model::AllocId, task: &str) -> Option<LogTail> {
    let mut tail = LogTail::default();
    for (stream, stderr) in [("stderr", true), ("stdout", false)] {
        tail.stream = stream.to_string();
        let open = StreamOpen::Logs {
            alloc,
            task: task.to_string(),
            stderr,
            follow: false,
            from: From::End(TAIL_BYTES),
        };
        match read(client, open).await {
            Ok(lines) if lines.is_empty() => {}
            Ok(lines) => {
                tail.lines = lines;
                return Some(tail);
            }
            Err(NodeError::NotFound(_)) => return None,
            Err(error) => {
                tail.error = error.to_string();
                return Some(tail);
            }
        }
    }
    Some(tail)
}

async fn read(client: &dyn NodeApi, open: StreamOpen) -> Result<Vec<String>, NodeError> {
    let mut frames = client.stream(open).await?;
    let mut bytes = Vec::new();
    while let Some(frame) = frames.recv().await {
        bytes.extend_from_slice(&frame?.data);
    }
    Ok(last_lines(&bytes))
}

/// The last lines; the first of a longer text is dropped, since it may be cut.
fn last_lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let cut = bytes.len() as u64 >= TAIL_BYTES;
    let lines: Vec<&str> = text.lines().skip(usize::from(cut)).collect();
    let skipped = lines.len().saturating_sub(LINES_MAX);
    let kept = lines.into_iter().skip(skipped);
    kept.map(|l| l.trim_end().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_last_lines_are_told() {
        assert!(last_lines(b"").is_empty());
        assert_eq!(last_lines(b"one\r\ntwo\n"), ["one", "two"]);
        let long: String = (0..1000).map(|n| format!("line {n}\n")).collect();
        let end = &long.as_bytes()[long.len() - TAIL_BYTES as usize..];
        let told = last_lines(end);
        assert_eq!((told.len(), &*told[9]), (LINES_MAX, "line 999"));
        let one_line = vec![b'x'; TAIL_BYTES as usize];
        assert!(last_lines(&one_line).is_empty(), "its start is unknown");
    }
}
