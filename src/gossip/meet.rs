//! Whether two agents may become members of one cluster; if not, the sentence that names both.
//!
//! Every exchange starts with an [`Intro`] from each end. Whoever finds a reason against it ends
//! the exchange before anything was merged, so nothing is joined by accident.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::{Member, MemberRecord, MemberStatus};

/// Who one end of an exchange is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intro {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) region: String,
    pub(super) addr: SocketAddr,
    pub(super) server: bool,
    /// The cluster that it is of, as far as it knows.
    pub(super) cluster: Option<Uuid>,
    pub(super) protocol: (u16, u16),
    pub(super) build: String,
}

impl Intro {
    pub(super) fn of(record: &MemberRecord, cluster: Option<Uuid>) -> Self {
        Self {
            id: record.id,
            name: record.name.clone(),
            region: record.region.clone(),
            addr: record.serf_addr,
            server: record.server.is_some(),
            cluster,
            protocol: record.protocol,
            build: record.build.clone(),
        }
    }

    fn side(&self, what: impl Into<String>) -> Side {
        Side {
            name: self.name.clone(),
            addr: self.addr,
            what: what.into(),
        }
    }
}

/// One of the two agents of a [`Refusal`], and the fact about it that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    pub name: String,
    pub addr: SocketAddr,
    pub what: String,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` ({})", self.name, self.addr)
    }
}

/// Why two agents do not become members of one cluster. Append only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    #[error(
        "{0} is of region `{r0}` and {1} of region `{r1}`: regions do not mix",
        r0 = .0.what, r1 = .1.what
    )]
    Region(Side, Side),
    #[error("{0} speaks {v0} and {1} {v1}: upgrade the older one", v0 = .0.what, v1 = .1.what)]
    Version(Side, Side),
    #[error(
        "{0} is of cluster {c0} and {1} of cluster {c1}: two clusters cannot become one; remove \
         the data directory of the agent that is to join",
        c0 = .0.what, c1 = .1.what
    )]
    Cluster(Side, Side),
    #[error("{0} and {1} are two servers of one name: set another `name` for one of them")]
    Name(Side, Side),
    #[error(
        "{0} and {1} are two agents with the id {id}: is the data directory of one a copy of the \
         other's?",
        id = .0.what
    )]
    Id(Side, Side),
}

/// Whether `ours` and `theirs` may meet, given the members that are `known` here.
pub(super) fn judge<'a>(
    ours: &Intro,
    theirs: &Intro,
    known: impl Iterator<Item = &'a Member>,
) -> Result<(), Box<Refusal>> {
    if ours.region != theirs.region {
        return Err(Box::new(Refusal::Region(
            ours.side(&ours.region),
            theirs.side(&theirs.region),
        )));
    }
    let newest = ours.protocol.1.min(theirs.protocol.1);
    if newest < ours.protocol.0.max(theirs.protocol.0) {
        let spoken = |i: &Intro| {
            let (oldest, newest) = i.protocol;
            format!("protocols {oldest} to {newest} (version {})", i.build)
        };
        return Err(Box::new(Refusal::Version(
            ours.side(spoken(ours)),
            theirs.side(spoken(theirs)),
        )));
    }
    if let (Some(our), Some(their)) = (ours.cluster, theirs.cluster)
        && our != their
    {
        return Err(Box::new(Refusal::Cluster(
            ours.side(our.to_string()),
            theirs.side(their.to_string()),
        )));
    }
    let alive = known
        .filter(|m| m.status == MemberStatus::Alive)
        .map(|m| Intro::of(&m.record, None));
    for member in alive.chain([ours.clone()]) {
        let elsewhere = member.addr != theirs.addr;
        if elsewhere && member.id == theirs.id {
            let id = theirs.id.to_string();
            return Err(Box::new(Refusal::Id(member.side(&id), theirs.side(id))));
        }
        let same_name = member.name == theirs.name && member.server && theirs.server;
        if elsewhere && same_name {
            return Err(Box::new(Refusal::Name(member.side(""), theirs.side(""))));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::records::tests::record, *};

    fn server(number: u128) -> Intro {
        Intro {
            server: true,
            ..Intro::of(&record(number, 1), None)
        }
    }

    /// What is said of a server 2 that was changed, by server 1 with server 3 beside it.
    fn said(change: impl FnOnce(&mut Intro)) -> String {
        let mut theirs = server(2);
        change(&mut theirs);
        let mut ours = server(1);
        ours.cluster = Some(Uuid::from_u128(7));
        let mut third = record(3, 1);
        third.server = Some(crate::model::ServerRole {
            expect: 1,
            cluster: None,
        });
        let known = [Member {
            record: third,
            status: MemberStatus::Alive,
        }];
        match judge(&ours, &theirs, known.iter()) {
            Ok(()) => String::new(),
            Err(refusal) => refusal.to_string(),
        }
    }

    #[test]
    fn each_refusal_names_both_sides() {
        assert_eq!(said(|_| {}), "");
        assert_eq!(said(|t| t.cluster = Some(Uuid::from_u128(7))), "");
        assert_eq!(
            said(|t| t.region = "mars".to_owned()),
            "`node-1` (10.0.0.1:4648) is of region `global` and `node-2` (10.0.0.2:4648) of \
             region `mars`: regions do not mix"
        );
        assert_eq!(
            said(|t| {
                t.protocol = (4, 5);
                t.build = "9.0.0".to_owned();
            }),
            "`node-1` (10.0.0.1:4648) speaks protocols 1 to 1 (version 0.1.0) and `node-2` \
             (10.0.0.2:4648) protocols 4 to 5 (version 9.0.0): upgrade the older one"
        );
        let other = said(|t| t.cluster = Some(Uuid::from_u128(8)));
        assert!(other.contains("two clusters cannot become one"), "{other}");
        let ids = ["-000000000007", "-000000000008"];
        assert!(ids.iter().all(|id| other.contains(id)), "{other}");
        assert_eq!(
            said(|t| t.name = "node-3".to_owned()),
            "`node-3` (10.0.0.3:4648) and `node-3` (10.0.0.2:4648) are two servers of one name: \
             set another `name` for one of them"
        );
        let copy = said(|t| t.id = Uuid::from_u128(3));
        assert!(
            copy.starts_with(
                "`node-3` (10.0.0.3:4648) and `node-2` (10.0.0.2:4648) are two agents"
            ) && copy.contains("-000000000003: is the data directory"),
            "{copy}"
        );
    }

    #[test]
    fn clients_may_share_a_name() {
        let same_name = |t: &mut Intro| {
            t.server = false;
            t.name = "node-3".to_owned();
        };
        assert_eq!(said(same_name), "");
    }
}
