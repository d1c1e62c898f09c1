//! What to change on this machine, given what the servers want and what is here.
//!
//! Pure, and by level: the same answer twice gives no second order.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{AllocId, Allocation, Index};
use crate::rpc::api::ClientAllocs;

/// What is here of one allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Here {
    /// The version of the servers' wishes that the runner has.
    pub alloc_modify_index: Index,
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Run it.
    Start(Arc<Allocation>),
    /// It changed: run it in its new form, or stop it.
    Update(Arc<Allocation>),
    /// Nothing is known of it here, and nothing should run: report that it is over.
    Settle(Arc<Allocation>),
    /// The servers forgot it: stop it and remove its directory.
    Remove(AllocId),
}

/// The changes that lead from `here` to `wanted`. What is absent is removed only if the answer
/// knows this node and a quorum confirmed it.
pub fn orders(wanted: &ClientAllocs, here: &BTreeMap<AllocId, Here>) -> Vec<Order> {
    if !wanted.known {
        return Vec::new();
    }
    let mut orders: Vec<_> = wanted
        .allocs
        .iter()
        .filter_map(|a| order(a, here))
        .collect();
    if wanted.linearizable {
        let listed = |id: &AllocId| wanted.allocs.iter().any(|a| a.id == *id);
        orders.extend(
            here.keys()
                .filter(|id| !listed(id))
                .map(|id| Order::Remove(*id)),
        );
    }
    orders
}

fn order(alloc: &Arc<Allocation>, here: &BTreeMap<AllocId, Here>) -> Option<Order> {
    match here.get(&alloc.id) {
        Some(known) if alloc.alloc_modify_index > known.alloc_modify_index => {
            Some(Order::Update(alloc.clone()))
        }
        Some(_) => None,
        None if alloc.is_client_terminal() => None,
        None if alloc.is_server_terminal() => Some(Order::Settle(alloc.clone())),
        None => Some(Order::Start(alloc.clone())),
    }
}
