//! The replicated log as Raft provides it.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::replicated::{Leadership, ProposeError, Replicated};
use crate::consensus::{self, Consensus, ReadError};
use crate::model::{ClusterView, Index};
use crate::rpc::api::{RaftServer, RaftView};
use crate::state::{Applied, Command, Store};

/// A server's part in the agreement, with the state that the log is applied to.
pub struct Agreed {
    consensus: Consensus,
    store: Store,
}

impl Agreed {
    /// `store` is the one that `consensus` was started with.
    pub fn new(consensus: Consensus, store: Store) -> Self {
        Self { consensus, store }
    }
}

impl Replicated for Agreed {
    fn propose(&self, command: Command) -> BoxFuture<'_, Result<Applied, ProposeError>> {
        Box::pin(async move { self.consensus.propose(command).await.map_err(proposing) })
    }

    fn read_barrier(&self) -> BoxFuture<'_, Result<Index, ProposeError>> {
        Box::pin(async move { self.consensus.read_barrier().await.map_err(reading) })
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn leadership(&self) -> Leadership {
        leadership(&self.consensus.leadership().borrow())
    }

    fn last_contact(&self) -> Duration {
        self.consensus.last_contact()
    }

    fn leadership_changed(&self, known: Leadership) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut watch = self.consensus.leadership();
            if watch
                .wait_for(|now| leadership(now) != known)
                .await
                .is_err()
            {
                std::future::pending::<()>().await;
            }
        })
    }

    fn view(&self) -> RaftView {
        let status = self.consensus.status();
        let leading = status.members.iter().find(|m| m.leader);
        RaftView {
            index: self.store.snapshot().index(),
            term: status.term,
            leader: leading.and_then(|m| address(&m.rpc)),
            servers: status
                .members
                .iter()
                .filter_map(|m| {
                    Some(RaftServer {
                        id: m.id.0,
                        name: m.name.clone(),
                        addr: address(&m.rpc)?,
                        leader: m.leader,
                        voter: m.voter,
                    })
                })
                .collect(),
        }
    }
}

fn address(rpc: &str) -> Option<SocketAddr> {
    rpc.parse().ok()
}

fn leadership(now: &consensus::Leadership) -> Leadership {
    Leadership {
        term: now.term,
        here: now.is_me,
        leader: now.leader.as_ref().and_then(|l| address(&l.rpc)),
    }
}

fn proposing(error: consensus::ProposeError) -> ProposeError {
    use consensus::ProposeError as From;
    match error {
        From::NotLeader { hint } => ProposeError::NotLeader {
            leader: hint.and_then(|l| address(&l.rpc)),
        },
        From::Unknown => ProposeError::Lost,
        From::TooLarge { .. } | From::Encode(_) => ProposeError::Unfit(error.to_string()),
        From::Storage(_) | From::Stopped => ProposeError::Stopped(error.to_string()),
    }
}

fn reading(error: ReadError) -> ProposeError {
    match error {
        ReadError::NotLeader { hint } => ProposeError::NotLeader {
            leader: hint.and_then(|l| address(&l.rpc)),
        },
        ReadError::NoQuorum => ProposeError::NoQuorum,
        ReadError::Storage(_) | ReadError::Stopped => ProposeError::Stopped(error.to_string()),
    }
}
