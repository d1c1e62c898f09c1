//! What the connections of kind `Api`, `Node`, `Local` and `Stream` carry: envelopes around the traits'
//! own types. Append only.

use serde::{Deserialize, Serialize};

use super::{
    api::{Answer, ApiError, Call, Query, Reply},
    local::{KeyringOp, LocalError},
    node::{ExecOpen, NodeAnswer, NodeAsk, NodeError, StreamOpen},
};
use crate::model::Member;

/// A request to the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ApiRequest {
    Read {
        /// A server sent it: whoever receives it answers or refuses, and sends it nowhere.
        forwarded: bool,
        query: Query,
    },
    Call {
        forwarded: bool,
        call: Call,
    },
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ApiResponse {
    Read(Result<Answer, ApiError>),
    Call(Result<Reply, ApiError>),
}

/// A request to one client, and its answer.
pub type NodeRequest = NodeAsk;
pub type NodeResponse = Result<NodeAnswer, NodeError>;

/// A request to an agent about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocalRequest {
    /// → [`LocalResponse::Members`]
    Members,
    /// → [`LocalResponse::Keys`]
    Keyring(KeyringOp),
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocalResponse {
    Members(Vec<Member>),
    Keys(Result<Vec<String>, LocalError>),
}

/// What a stream is opened for. Its first frame is a [`StreamOpened`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamRequest {
    Files(StreamOpen),
    Exec(ExecOpen),
}

/// Whether the other end opened it.
pub type StreamOpened = Result<(), NodeError>;
