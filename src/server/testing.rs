//! A replicated log for tests: one server that always leads and applies at once, in memory.

use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::replicated::{Leadership, ProposeError, Replicated};
use crate::model::{ClusterView, Index};
use crate::rpc::api::RaftView;
use crate::state::{Applied, Command, Store};

/// The log of a cluster of one.
pub(crate) struct Alone {
    store: Store,
    next: Mutex<Index>,
    leadership: watch::Sender<Leadership>,
}

impl Alone {
    /// A log that leads from the start.
    pub(crate) fn leading() -> Self {
        let here = Leadership {
            term: 1,
            here: true,
            leader: None,
        };
        Self {
            store: Store::new(),
            next: Mutex::new(1),
            leadership: watch::channel(here).0,
        }
    }

    /// Leads or does not, in a new term.
    pub(crate) fn lead(&self, here: bool) {
        self.leadership.send_modify(|l| {
            l.term += 1;
            l.here = here;
        });
    }
}

impl Replicated for Alone {
    fn propose(&self, command: Command) -> BoxFuture<'_, Result<Applied, ProposeError>> {
        Box::pin(async move {
            if !self.leadership.borrow().here {
                return Err(ProposeError::NotLeader { leader: None });
            }
            // What is stored must survive the bytes of the log.
            let bytes = postcard::to_stdvec(&command).expect("a command has a form");
            let command: Command = postcard::from_bytes(&bytes).expect("the form can be read");
            let mut next = self.next.lock().expect("no test panics inside");
            let index = *next;
            *next += 1;
            Ok(self.store.apply(index, &command))
        })
    }

    fn read_barrier(&self) -> BoxFuture<'_, Result<Index, ProposeError>> {
        Box::pin(async move {
            match self.leadership.borrow().here {
                true => Ok(self.store.snapshot().index()),
                false => Err(ProposeError::NotLeader { leader: None }),
            }
        })
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn leadership(&self) -> Leadership {
        *self.leadership.borrow()
    }

    fn last_contact(&self) -> Duration {
        Duration::ZERO
    }

    fn leadership_changed(&self, known: Leadership) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut watch = self.leadership.subscribe();
            // The sender is ours, so this ends only with a change.
            drop(watch.wait_for(|now| *now != known).await);
        })
    }

    fn view(&self) -> RaftView {
        RaftView::default()
    }
}
