//! The whole state as bytes: magic, version, checksum, then postcard.
//!
//! Only rows are written; indexes are made again. Every distinct job of the allocations is
//! written once.

use serde::{Deserialize, Serialize};

use super::key::Key;
use super::pack::StoredAllocs;
use super::tables::Tables;
use super::tables::job::JobRow;
use super::tables::request::Answered;
use crate::model::pool::NodePool;
use crate::model::view::SchedulerConfig;
use crate::model::{Deployment, Evaluation, Index, JobKey, Node, ServiceRegistration, Timestamp};

const MAGIC: [u8; 4] = *b"TUMS";
/// The version that [`dump`] writes.
const DUMP_VERSION: u16 = 1;
const HEADER_LEN: usize = 10;

/// Why bytes are not a state.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("the state's bytes do not begin as a state does")]
    NotAState,
    #[error("the state was written by a newer version ({0})")]
    TooNew(u16),
    #[error("the state's bytes are damaged: checksum {found:08x}, not {expected:08x}")]
    Damaged { expected: u32, found: u32 },
    #[error("the state's bytes cannot be read")]
    Malformed(#[source] postcard::Error),
}

#[derive(Serialize, Deserialize)]
struct Dump {
    index: Index,
    clock: Timestamp,
    jobs: Vec<(JobKey, JobRow)>,
    allocs: StoredAllocs,
    nodes: Vec<Node>,
    evals: Vec<Evaluation>,
    deployments: Vec<Deployment>,
    services: Vec<ServiceRegistration>,
    requests: Vec<Answered>,
    config: SchedulerConfig,
    pools: Vec<NodePool>,
    changed_at: Vec<(Key, Index)>,
    capacity: Vec<(String, Index)>,
}

pub(super) fn dump(t: &Tables) -> Vec<u8> {
    let jobs = t.jobs.rows().map(|(k, row)| (k.clone(), (**row).clone()));
    let dump = Dump {
        index: t.index,
        clock: t.clock,
        jobs: jobs.collect(),
        allocs: StoredAllocs(t.allocs.rows().map(|a| (**a).clone()).collect()),
        nodes: t.nodes.rows().map(|n| (**n).clone()).collect(),
        evals: t.evals.rows().map(|e| (**e).clone()).collect(),
        deployments: t.deployments.rows().map(|d| (**d).clone()).collect(),
        services: t.services.rows().cloned().collect(),
        requests: t.requests.rows().cloned().collect(),
        config: t.config,
        pools: t.pools.rows().cloned().collect(),
        changed_at: t.changed_at.iter().map(|(k, i)| (k.clone(), *i)).collect(),
        capacity: t.capacity.iter().map(|(c, i)| (c.clone(), *i)).collect(),
    };
    let body = postcard::to_stdvec(&dump).expect("plain data always has a postcard form");
    let mut bytes = Vec::with_capacity(HEADER_LEN + body.len());
    bytes.extend(MAGIC);
    bytes.extend(DUMP_VERSION.to_le_bytes());
    bytes.extend(crc32c::crc32c(&body).to_le_bytes());
    bytes.extend(body);
    bytes
}

pub(super) fn restore(bytes: &[u8]) -> Result<Tables, RestoreError> {
    let (header, body) = bytes
        .split_at_checked(HEADER_LEN)
        .ok_or(RestoreError::NotAState)?;
    if header[..4] != MAGIC {
        return Err(RestoreError::NotAState);
    }
    let version = u16::from_le_bytes([header[4], header[5]]);
    if version > DUMP_VERSION {
        return Err(RestoreError::TooNew(version));
    }
    let expected = u32::from_le_bytes([header[6], header[7], header[8], header[9]]);
    let found = crc32c::crc32c(body);
    if expected != found {
        return Err(RestoreError::Damaged { expected, found });
    }
    postcard::from_bytes(body)
        .map(fill)
        .map_err(RestoreError::Malformed)
}

fn fill(dump: Dump) -> Tables {
    let mut t = Tables {
        index: dump.index,
        clock: dump.clock,
        config: dump.config,
        changed_at: dump.changed_at.into_iter().collect(),
        capacity: dump.capacity.into_iter().collect(),
        ..Tables::default()
    };
    for (key, row) in dump.jobs {
        t.jobs.put(key, row);
    }
    for alloc in dump.allocs.0 {
        t.allocs.put(alloc);
    }
    for node in dump.nodes {
        t.nodes.put(node);
    }
    for eval in dump.evals {
        t.evals.put(eval);
    }
    for deployment in dump.deployments {
        t.deployments.put(deployment);
    }
    for service in dump.services {
        t.services.put(service);
    }
    for pool in dump.pools {
        t.pools.put(pool);
    }
    for answered in dump.requests {
        t.requests.put(answered, dump.clock);
    }
    t
}
