//! One client's [`NodeApi`] over the wire, calling side.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    codec,
    hello::ConnKind,
    node::{
        ExecInput, ExecOpen, ExecOutput, ExecStream, FrameStream, NodeAnswer, NodeApi, NodeAsk,
        NodeError, Nodes, StreamOpen,
    },
    pool::{CallError, Pool},
    stream::{RawFrame, RawStream, STREAM_QUEUE, StreamFailure},
    wire::{NodeResponse, StreamOpened, StreamRequest},
};
use crate::{env::TaskGroup, model::NodeId};

/// How long a question to a client may take; a restart waits for the task's end.
const ASK_LIMIT: Duration = Duration::from_secs(60);

/// How long a restart may take: it ends with the process, which may be given long to end. A
/// connection that dies meanwhile is noticed by its own means.
const RESTART_LIMIT: Duration = Duration::from_secs(3600);

/// How long a stream may take to open.
const OPEN_LIMIT: Duration = Duration::from_secs(10);

/// All clients: this agent's own, and the others over the wire.
pub struct RemoteNodes {
    pool: Pool,
    own: Option<(NodeId, Arc<dyn NodeApi>)>,
    pumps: TaskGroup,
}

impl RemoteNodes {
    /// `own` is the client in this process, if it has one; streams end with `stop`.
    pub fn new(
        pool: Pool,
        own: Option<(NodeId, Arc<dyn NodeApi>)>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            pool,
            own,
            pumps: TaskGroup::new(stop),
        }
    }

    /// Ends every stream and waits.
    pub async fn shutdown(&self) {
        self.pumps.shutdown().await;
    }
}

impl Nodes for RemoteNodes {
    fn node(&self, id: NodeId, rpc_addr: SocketAddr) -> Arc<dyn NodeApi> {
        match &self.own {
            Some((own, node)) if *own == id => node.clone(),
            Some(_) | None => Arc::new(RemoteNode::new(
                self.pool.clone(),
                rpc_addr,
                self.pumps.clone(),
            )),
        }
    }
}

/// A client that is elsewhere.
pub struct RemoteNode {
    pool: Pool,
    addr: SocketAddr,
    pumps: TaskGroup,
}

impl RemoteNode {
    /// The client behind the rpc address `addr`. Its streams are carried by tasks in `pumps`.
    pub fn new(pool: Pool, addr: SocketAddr, pumps: TaskGroup) -> Self {
        Self { pool, addr, pumps }
    }

    async fn question(&self, ask: NodeAsk) -> NodeResponse {
        let limit = match ask {
            NodeAsk::Restart { .. } => RESTART_LIMIT,
            _ => ASK_LIMIT,
        };
        let bytes = encode("node request", &ask)?;
        let answer = self
            .pool
            .call(self.addr, ConnKind::Node, bytes, limit)
            .await;
        let answer = answer.map_err(no_path)?;
        codec::decode::<NodeResponse>("node response", &answer).map_err(failed)?
    }

    async fn open(&self, request: &StreamRequest) -> Result<RawStream, NodeError> {
        let bytes = encode("stream request", request)?;
        let mut raw = self
            .pool
            .open(self.addr, bytes, OPEN_LIMIT)
            .await
            .map_err(no_path)?;
        let first = match raw.recv.recv().await {
            Some(RawFrame::Data(bytes)) => bytes,
            Some(RawFrame::Failed(failure)) => return Err(broken(&failure)),
            None => return Err(NodeError::NoPath),
        };
        codec::decode::<StreamOpened>("stream answer", &first).map_err(failed)??;
        Ok(raw)
    }

    fn pump(&self, future: impl Future<Output = ()> + Send + 'static) -> Result<(), NodeError> {
        let token = self.pumps.token().clone();
        let started = self
            .pumps
            .spawn(format!("stream from {}", self.addr), async move {
                tokio::select! {
                    biased;
                    () = future => {}
                    () = token.cancelled() => {}
                }
            });
        if started {
            Ok(())
        } else {
            Err(NodeError::NoPath)
        }
    }
}

impl NodeApi for RemoteNode {
    fn ask(&self, ask: NodeAsk) -> BoxFuture<'_, Result<NodeAnswer, NodeError>> {
        self.question(ask).boxed()
    }

    fn stream(&self, open: StreamOpen) -> BoxFuture<'_, Result<FrameStream, NodeError>> {
        async move {
            let raw = self.open(&StreamRequest::Files(open)).await?;
            let (frames, stream) = mpsc::channel(STREAM_QUEUE);
            self.pump(typed(raw.recv, frames, raw.send))?;
            Ok(stream)
        }
        .boxed()
    }

    fn exec(&self, open: ExecOpen) -> BoxFuture<'_, Result<ExecStream, NodeError>> {
        async move {
            let raw = self.open(&StreamRequest::Exec(open)).await?;
            let (input, inputs) = mpsc::channel(STREAM_QUEUE);
            let (outputs, output) = mpsc::channel(STREAM_QUEUE);
            self.pump(async move {
                tokio::join!(
                    send_inputs(inputs, raw.send),
                    take_outputs(raw.recv, outputs)
                );
            })?;
            Ok(ExecStream { input, output })
        }
        .boxed()
    }
}

/// Hands on typed items until the stream ends or the reader is gone; `keep` holds the other
/// direction open meanwhile.
async fn typed<T: DeserializeOwned>(
    mut from: mpsc::Receiver<RawFrame>,
    to: mpsc::Sender<Result<T, NodeError>>,
    keep: mpsc::Sender<RawFrame>,
) {
    loop {
        let next = tokio::select! {
            biased;
            () = to.closed() => break,
            next = from.recv() => next,
        };
        let item = match next {
            Some(RawFrame::Data(bytes)) => {
                codec::decode::<Result<T, NodeError>>("stream frame", &bytes)
                    .map_err(failed)
                    .flatten()
            }
            Some(RawFrame::Failed(failure)) => Err(broken(&failure)),
            None => break,
        };
        let last = item.is_err();
        if to.send(item).await.is_err() || last {
            break;
        }
    }
    drop(keep);
}

async fn send_inputs(mut inputs: mpsc::Receiver<ExecInput>, to: mpsc::Sender<RawFrame>) {
    while let Some(input) = inputs.recv().await {
        let Ok(bytes) = codec::encode("exec input", &input) else {
            return;
        };
        if to.send(RawFrame::Data(bytes.into())).await.is_err() {
            return;
        }
    }
}

async fn take_outputs(mut from: mpsc::Receiver<RawFrame>, outputs: mpsc::Sender<ExecOutput>) {
    let mut ended = false;
    while let Some(frame) = from.recv().await {
        let output = match frame {
            RawFrame::Data(bytes) => codec::decode::<ExecOutput>("exec output", &bytes)
                .unwrap_or_else(|error| ExecOutput::Failed(error.to_string())),
            RawFrame::Failed(failure) => ExecOutput::Failed(failure.to_string()),
        };
        ended = matches!(output, ExecOutput::Exited(_) | ExecOutput::Failed(_));
        if outputs.send(output).await.is_err() || ended {
            return;
        }
    }
    if !ended {
        let lost = ExecOutput::Failed(StreamFailure::Lost.to_string());
        // A reader that is gone needs no reason.
        drop(outputs.send(lost).await);
    }
}

fn encode<T: serde::Serialize>(what: &'static str, value: &T) -> Result<Bytes, NodeError> {
    codec::encode(what, value).map(Bytes::from).map_err(failed)
}

fn failed(error: codec::CodecError) -> NodeError {
    NodeError::Failed(error.to_string())
}

fn broken(failure: &StreamFailure) -> NodeError {
    match failure {
        StreamFailure::Lost => NodeError::NoPath,
        StreamFailure::Failed { message, .. } => NodeError::Failed(message.clone()),
    }
}

fn no_path(error: CallError) -> NodeError {
    tracing::debug!(target: "rpc", %error, "could not ask a client");
    match error {
        CallError::Rejected { .. } | CallError::TooLarge { .. } | CallError::Codec { .. } => {
            NodeError::Failed(error.to_string())
        }
        CallError::TimedOut { .. } => NodeError::Failed(error.to_string()),
        CallError::Connect { .. }
        | CallError::Refused { .. }
        | CallError::Busy { .. }
        | CallError::Lost { .. }
        | CallError::Stopping => NodeError::NoPath,
    }
}
