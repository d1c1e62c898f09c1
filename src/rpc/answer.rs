//! The traits over the wire, answering side: services that decode, ask the trait, encode.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    api::{Api, ApiError},
    codec,
    local::Local,
    node::{ExecInput, ExecOutput, ExecStream, FrameStream, NodeApi, NodeError},
    serve::{Reject, Request, Service, StreamService},
    stream::{RawFrame, RawStream},
    wire::{
        ApiRequest, ApiResponse, LocalRequest, LocalResponse, NodeRequest, NodeResponse,
        StreamOpened, StreamRequest,
    },
};

/// Answers `Api` connections of a server.
pub struct ApiService {
    /// Answers what was forwarded to it; never forwards again.
    own: Arc<dyn Api>,
    /// Answers agents; forwards to the leader.
    forwarding: Arc<dyn Api>,
}

impl ApiService {
    pub fn new(own: Arc<dyn Api>, forwarding: Arc<dyn Api>) -> Self {
        Self { own, forwarding }
    }

    fn api(&self, forwarded: bool) -> &dyn Api {
        if forwarded {
            &*self.own
        } else {
            &*self.forwarding
        }
    }
}

impl Service for ApiService {
    fn handle(&self, request: Request) -> BoxFuture<'_, Result<Bytes, Reject>> {
        async move {
            let response = match decode("API request", &request.bytes)? {
                // A read whose caller is gone is dropped: it changes nothing.
                ApiRequest::Read { forwarded, query } => ApiResponse::Read(tokio::select! {
                    biased;
                    answer = self.api(forwarded).read(query) => answer,
                    () = request.cancelled.cancelled() => {
                        Err(ApiError::Unavailable("the request was cancelled".to_owned()))
                    }
                }),
                ApiRequest::Call { forwarded, call } => {
                    ApiResponse::Call(self.api(forwarded).call(call).await)
                }
            };
            encode("API response", &response)
        }
        .boxed()
    }
}

/// Answers `Node` connections and streams of an agent that runs allocations.
pub struct NodeService {
    node: Arc<dyn NodeApi>,
}

impl NodeService {
    pub fn new(node: Arc<dyn NodeApi>) -> Self {
        Self { node }
    }
}

impl Service for NodeService {
    fn handle(&self, request: Request) -> BoxFuture<'_, Result<Bytes, Reject>> {
        async move {
            let ask: NodeRequest = decode("node request", &request.bytes)?;
            let response: NodeResponse = self.node.ask(ask).await;
            encode("node response", &response)
        }
        .boxed()
    }
}

/// Answers `Local` connections of any agent.
pub struct LocalService {
    local: Arc<dyn Local>,
}

impl LocalService {
    pub fn new(local: Arc<dyn Local>) -> Self {
        Self { local }
    }
}

impl Service for LocalService {
    fn handle(&self, request: Request) -> BoxFuture<'_, Result<Bytes, Reject>> {
        async move {
            let response = match decode("local request", &request.bytes)? {
                LocalRequest::Members => {
                    LocalResponse::Members(self.local.members().into_values().collect())
                }
                LocalRequest::Keyring(op) => LocalResponse::Keys(self.local.keyring(op).await),
            };
            encode("local response", &response)
        }
        .boxed()
    }
}

impl StreamService for NodeService {
    fn open(&self, request: Request, raw: RawStream) -> BoxFuture<'_, ()> {
        async move {
            let opening = decode("stream request", &request.bytes);
            match opening {
                Ok(StreamRequest::Files(open)) => match self.node.stream(open).await {
                    Ok(frames) => send_frames(frames, raw).await,
                    Err(error) => refuse(raw, error).await,
                },
                Ok(StreamRequest::Exec(open)) => match self.node.exec(open).await {
                    Ok(exec) => run_exec(exec, raw).await,
                    Err(error) => refuse(raw, error).await,
                },
                Err(Reject(reason)) => refuse(raw, NodeError::BadRequest(reason)).await,
            }
        }
        .boxed()
    }
}

async fn refuse(raw: RawStream, error: NodeError) {
    send(&raw.send, "stream answer", &StreamOpened::Err(error)).await;
}

async fn send_frames(mut frames: FrameStream, mut raw: RawStream) {
    if !send(&raw.send, "stream answer", &StreamOpened::Ok(())).await {
        return;
    }
    loop {
        let frame = tokio::select! {
            biased;
            _ = raw.recv.recv() => return, // the reader says nothing until it is gone
            frame = frames.recv() => frame,
        };
        let Some(frame) = frame else { return };
        if !send(&raw.send, "stream frame", &frame).await {
            return;
        }
    }
}

async fn run_exec(exec: ExecStream, raw: RawStream) {
    let ExecStream { input, mut output } = exec;
    let RawStream {
        send: to,
        recv: mut from,
    } = raw;
    if !send(&to, "stream answer", &StreamOpened::Ok(())).await {
        return;
    }
    let inputs = async {
        while let Some(RawFrame::Data(bytes)) = from.recv().await {
            let Ok(next) = codec::decode::<ExecInput>("exec input", &bytes) else {
                break;
            };
            if input.send(next).await.is_err() {
                break;
            }
        }
        drop(input); // the command's driver sees that nobody is there any more
        std::future::pending::<()>().await;
    };
    let outputs = async {
        while let Some(next) = output.recv().await {
            let last = matches!(next, ExecOutput::Exited(_) | ExecOutput::Failed(_));
            if !send(&to, "exec output", &next).await || last {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = outputs => {}
        () = to.closed() => {}
        () = inputs => {}
    }
}

/// Sends one item; `false` when the stream is gone.
async fn send<T: Serialize>(
    to: &tokio::sync::mpsc::Sender<RawFrame>,
    what: &'static str,
    item: &T,
) -> bool {
    match codec::encode(what, item) {
        Ok(bytes) => to.send(RawFrame::Data(bytes.into())).await.is_ok(),
        Err(error) => {
            tracing::error!(target: "rpc", error = &error as &dyn std::error::Error, "stream ended");
            false
        }
    }
}

fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, Reject> {
    codec::decode(what, bytes).map_err(|error| Reject(error.to_string()))
}

fn encode<T: Serialize>(what: &'static str, value: &T) -> Result<Bytes, Reject> {
    codec::encode(what, value)
        .map(Bytes::from)
        .map_err(|error| Reject(error.to_string()))
}
