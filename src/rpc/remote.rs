//! The traits over the wire, calling side: the cluster and a client that are elsewhere.
//!
//! A request travels at most two hops: [`RemoteApi`] takes it from an agent to any server, and
//! [`Forwarding`] from that server to the leader. A forwarded request is answered or refused
//! where it arrives. Repeating is safe: reads change nothing, and a call carries its request id.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::{sync::watch, time::Instant};

use super::{
    api::{Answer, Api, ApiError, Call, Query, Reply},
    codec,
    hello::ConnKind,
    pool::{CallError, Pool},
    wire::{ApiRequest, ApiResponse},
};
use crate::env::{Clock, Env};

/// How long a request waits for a leader to be elected, unless it says otherwise.
pub const LEADER_WAIT: Duration = Duration::from_secs(5);

/// Between two looks for a leader or a server that answers.
const PAUSE: Duration = Duration::from_millis(50);

/// What an answer may take beyond the wait that its query asks for.
const SLACK: Duration = Duration::from_secs(5);

/// The cluster seen from an agent that is no server.
pub struct RemoteApi {
    env: Env,
    pool: Pool,
    /// The rpc addresses of the servers, the preferred first.
    servers: watch::Receiver<Vec<SocketAddr>>,
    /// The one that answered last.
    current: watch::Sender<Option<SocketAddr>>,
}

impl RemoteApi {
    pub fn new(env: Env, pool: Pool, servers: watch::Receiver<Vec<SocketAddr>>) -> Self {
        Self {
            env,
            pool,
            servers,
            current: watch::Sender::new(None),
        }
    }

    /// The server that answered last.
    pub fn current(&self) -> Option<SocketAddr> {
        *self.current.borrow()
    }

    /// The server to ask: the one that answered last, else any that did not fail just now.
    fn choose(&self, failed: &BTreeSet<SocketAddr>) -> Option<SocketAddr> {
        let servers = self.servers.borrow();
        if let Some(current) = self.current()
            && servers.contains(&current)
            && !failed.contains(&current)
        {
            return Some(current);
        }
        let fresh: Vec<_> = servers
            .iter()
            .filter(|server| !failed.contains(server))
            .collect();
        let pick = self.env.entropy.range(0..fresh.len() as u64);
        fresh.get(pick as usize).map(|server| **server)
    }

    /// Waits until `server` is no longer one of those to ask: it died, and asking another is
    /// safe, since calls carry their request ids.
    async fn vanished(&self, server: SocketAddr) {
        let mut servers = self.servers.clone();
        if servers.wait_for(|s| !s.contains(&server)).await.is_err() {
            std::future::pending::<()>().await; // nobody tells any more
        }
    }

    async fn send(&self, request: ApiRequest, limit: Duration) -> Result<ApiResponse, ApiError> {
        let deadline = self.env.clock.now() + limit;
        let mut attempt = Attempt::default();
        let mut failed = BTreeSet::new();
        loop {
            let Some(server) = self.choose(&failed) else {
                attempt.pause(&*self.env.clock, deadline).await?;
                failed.clear();
                continue;
            };
            let left = deadline.saturating_duration_since(self.env.clock.now());
            let answer = tokio::select! {
                biased;
                answer = exchange(&self.pool, server, &request, left) => answer,
                () = self.vanished(server) => Err(CallError::Lost {
                    addr: server,
                    reason: "the gossip took it from the list of servers".to_owned(),
                }),
            };
            match answer {
                Ok(response) => {
                    self.current.send_replace(Some(server));
                    return Ok(response);
                }
                Err(error) => {
                    failed.insert(server);
                    attempt.failed(error, &*self.env.clock, deadline)?;
                }
            }
        }
    }
}

impl Api for RemoteApi {
    fn read(&self, query: Query) -> BoxFuture<'_, Result<Answer, ApiError>> {
        async move {
            let limit = query.wait + LEADER_WAIT + SLACK;
            let request = ApiRequest::Read {
                forwarded: false,
                query,
            };
            self.send(request, limit).await.and_then(answer_of)
        }
        .boxed()
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<Reply, ApiError>> {
        async move {
            let limit = call.timeout;
            let request = ApiRequest::Call {
                forwarded: false,
                call,
            };
            self.send(request, limit).await.and_then(reply_of)
        }
        .boxed()
    }
}

/// A server's whole API: itself, or else the leader that it knows.
pub struct Forwarding {
    env: Env,
    pool: Pool,
    own: Arc<dyn Api>,
}

impl Forwarding {
    /// `own` answers [`ApiError::NotLeader`] where it does not lead, having done nothing.
    pub fn new(env: Env, pool: Pool, own: Arc<dyn Api>) -> Self {
        Self { env, pool, own }
    }

    /// Sends `request` to the leader that `hint` names. `None`: look again.
    async fn forward(
        &self,
        hint: Option<SocketAddr>,
        request: &ApiRequest,
        attempt: &mut Attempt,
        deadline: Instant,
    ) -> Result<Option<ApiResponse>, ApiError> {
        if let Some(leader) = hint {
            let left = deadline.saturating_duration_since(self.env.clock.now());
            match exchange(&self.pool, leader, request, left).await {
                Ok(response) if response.not_leader() => {} // it was, a moment ago
                Ok(response) => return Ok(Some(response)),
                Err(error) => attempt.failed(error, &*self.env.clock, deadline)?,
            }
        }
        attempt.pause(&*self.env.clock, deadline).await?;
        Ok(None)
    }
}

impl Api for Forwarding {
    fn read(&self, query: Query) -> BoxFuture<'_, Result<Answer, ApiError>> {
        async move {
            let deadline = self.env.clock.now() + query.wait + LEADER_WAIT;
            let mut attempt = Attempt::default();
            let mut leaderless = None;
            loop {
                let hint = match self.own.read(query.clone()).await {
                    Err(ApiError::NotLeader { hint }) => hint,
                    result => return result,
                };
                // A long poll is no reason to wait as long for an election.
                let deadline = if hint.is_some() {
                    leaderless = None;
                    deadline
                } else {
                    let since = *leaderless.get_or_insert(self.env.clock.now());
                    deadline.min(since + LEADER_WAIT)
                };
                let request = ApiRequest::Read {
                    forwarded: true,
                    query: query.clone(),
                };
                if let Some(response) = self.forward(hint, &request, &mut attempt, deadline).await?
                {
                    return answer_of(response);
                }
            }
        }
        .boxed()
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<Reply, ApiError>> {
        async move {
            let deadline = self.env.clock.now() + call.timeout;
            let mut attempt = Attempt::default();
            loop {
                let hint = match self.own.call(call.clone()).await {
                    Err(ApiError::NotLeader { hint }) => hint,
                    result => return result,
                };
                let request = ApiRequest::Call {
                    forwarded: true,
                    call: call.clone(),
                };
                if let Some(response) = self.forward(hint, &request, &mut attempt, deadline).await?
                {
                    return reply_of(response);
                }
            }
        }
        .boxed()
    }
}

/// What is known about a request that is being repeated.
#[derive(Default)]
struct Attempt {
    /// The last try of which nobody knows whether it was carried out.
    uncertain: Option<CallError>,
    /// The last try that surely did nothing.
    last: Option<CallError>,
}

impl Attempt {
    /// Takes a failure; an error if there is no point in going on.
    fn failed(
        &mut self,
        error: CallError,
        clock: &dyn Clock,
        deadline: Instant,
    ) -> Result<(), ApiError> {
        tracing::debug!(target: "rpc", %error, "a request failed");
        let hopeless = matches!(
            error,
            CallError::TooLarge { .. } | CallError::Rejected { .. }
        );
        if error.never_sent() {
            self.last = Some(error);
        } else {
            self.uncertain = Some(error);
        }
        if hopeless || clock.now() >= deadline {
            Err(self.give_up())
        } else {
            Ok(())
        }
    }

    async fn pause(&self, clock: &dyn Clock, deadline: Instant) -> Result<(), ApiError> {
        if clock.now() + PAUSE >= deadline {
            return Err(self.give_up());
        }
        clock.sleep(PAUSE).await;
        Ok(())
    }

    fn give_up(&self) -> ApiError {
        match (&self.uncertain, &self.last) {
            (Some(error), _) => ApiError::Unknown(error.to_string()),
            (None, Some(error @ CallError::Busy { .. })) => ApiError::Busy(error.to_string()),
            (None, Some(error @ (CallError::TooLarge { .. } | CallError::Rejected { .. }))) => {
                ApiError::BadRequest(error.to_string())
            }
            (None, Some(error @ CallError::Refused { .. })) => {
                ApiError::Unavailable(error.to_string())
            }
            (None, Some(_) | None) => ApiError::NoLeader,
        }
    }
}

async fn exchange(
    pool: &Pool,
    addr: SocketAddr,
    request: &ApiRequest,
    limit: Duration,
) -> Result<ApiResponse, CallError> {
    let unreadable = |source| CallError::Codec { addr, source };
    let bytes = codec::encode("API request", request).map_err(unreadable)?;
    let answer = pool
        .call(addr, ConnKind::Api, Bytes::from(bytes), limit)
        .await?;
    codec::decode("API response", &answer).map_err(unreadable)
}

impl ApiResponse {
    fn not_leader(&self) -> bool {
        matches!(
            self,
            Self::Read(Err(ApiError::NotLeader { .. }))
                | Self::Call(Err(ApiError::NotLeader { .. }))
        )
    }
}

fn answer_of(response: ApiResponse) -> Result<Answer, ApiError> {
    match response {
        ApiResponse::Read(result) => result,
        ApiResponse::Call(_) => Err(crossed()),
    }
}

fn reply_of(response: ApiResponse) -> Result<Reply, ApiError> {
    match response {
        ApiResponse::Call(result) => result,
        ApiResponse::Read(_) => Err(crossed()),
    }
}

fn crossed() -> ApiError {
    ApiError::Unknown("the server answered another question".to_owned())
}
