//! The allocations on this node, by id: starting, finding, ending and forgetting their runners.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use crate::env::TaskGroup as Tasks;
use crate::env::alloc_fs::Inside;
use crate::model::{AllocClientStatus, AllocId, AllocUpdate, Allocation, Timestamp};

use super::alloc_runner::{AllocRunner, INBOX, Order, Shared, View};
use super::journal::Record;
use super::sync::Here;

/// Every allocation that has a directory here. Cloning shares it.
#[derive(Clone)]
pub struct Runners {
    shared: Shared,
    tasks: Tasks,
    slots: Arc<Mutex<BTreeMap<AllocId, Slot>>>,
    /// How many ended allocations keep their directories.
    ended_max: usize,
}

#[derive(Clone)]
struct Slot {
    orders: mpsc::Sender<Order>,
    view: watch::Receiver<View>,
    alloc: Arc<Allocation>,
    /// Whether the servers have listed it since the agent came back.
    confirmed: bool,
}

impl Runners {
    /// None yet; runners end when the group's token is cancelled, leaving processes alone.
    pub fn new(shared: Shared, tasks: Tasks, ended_max: u32) -> Self {
        let ended_max = usize::try_from(ended_max).unwrap_or(usize::MAX);
        Self {
            shared,
            tasks,
            slots: Arc::default(),
            ended_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AllocId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is here, for the comparison with what is wanted.
    pub fn here(&self) -> BTreeMap<AllocId, Here> {
        let here = |slot: &Slot| Here {
            alloc_modify_index: slot.alloc.alloc_modify_index,
        };
        self.lock()
            .iter()
            .map(|(id, slot)| (*id, here(slot)))
            .collect()
    }

    /// What is known of one allocation.
    pub fn view(&self, id: AllocId) -> Option<View> {
        self.lock().get(&id).map(|slot| slot.view.borrow().clone())
    }

    /// How many allocations are not over.
    pub fn running(&self) -> usize {
        self.lock()
            .values()
            .filter(|s| !s.view.borrow().over)
            .count()
    }

    /// Sends an order; `false` if there is no such allocation or it is over or busy.
    pub fn order(&self, id: AllocId, order: Order) -> bool {
        self.lock()
            .get(&id)
            .is_some_and(|slot| slot.orders.try_send(order).is_ok())
    }

    /// Starts a new allocation.
    pub fn start(&self, alloc: Arc<Allocation>) {
        let record = Record {
            stopping: alloc.is_server_terminal(),
            alloc,
            tasks: BTreeMap::new(),
            healthy: None,
        };
        self.run(record, true);
    }

    /// Takes up an allocation from the journal. What of it does not run waits until the servers
    /// list it: it may have been replaced meanwhile.
    pub fn restore(&self, record: Record) {
        self.run(record, false);
    }

    fn run(&self, record: Record, confirmed: bool) {
        let alloc = record.alloc.clone();
        if alloc.task_group().is_none() {
            tracing::error!(
                target: "client", alloc_id = %alloc.id, group = %alloc.group,
                "the allocation's group is not in its job; it cannot run"
            );
            return self.settle(&alloc, AllocClientStatus::Failed);
        }
        let free = self.predecessors_gone(&alloc);
        let (orders, inbox) = mpsc::channel(INBOX);
        let token = self.tasks.token().child_token();
        let (runner, view) = AllocRunner::new(self.shared.clone(), record, confirmed, token);
        let runners = self.clone();
        let name = format!("allocation {}", alloc.id.short());
        self.lock().insert(
            alloc.id,
            Slot {
                orders,
                view,
                alloc,
                confirmed,
            },
        );
        self.tasks.spawn(name, async move {
            runner.run(inbox, free).await;
            runners.forget_oldest().await;
        });
    }

    /// The servers' newest word about an allocation that is here.
    pub fn update(&self, alloc: Arc<Allocation>) {
        let mut slots = self.lock();
        let Some(slot) = slots.get_mut(&alloc.id) else {
            return;
        };
        let sent = slot.orders.try_send(Order::Update(alloc.clone()));
        // One that is over needs no order. To one that is busy it is given again: only then is
        // the old index kept.
        if !matches!(sent, Err(mpsc::error::TrySendError::Full(_))) {
            slot.alloc = alloc;
        }
    }

    /// Tells what was restored that the servers list it still. After [`Runners::update`].
    pub fn confirm(&self, listed: &[Arc<Allocation>]) {
        let mut slots = self.lock();
        for alloc in listed {
            if let Some(slot) = slots.get_mut(&alloc.id).filter(|s| !s.confirmed) {
                slot.confirmed = slot.orders.try_send(Order::Confirm).is_ok();
            }
        }
    }

    /// Reports an allocation that will never run here.
    pub fn settle(&self, alloc: &Allocation, status: AllocClientStatus) {
        self.shared.reporter.update(AllocUpdate {
            id: alloc.id,
            client_status: status,
            client_description: "the client knows nothing of it any more".to_string(),
            task_states: alloc.task_states.clone(),
            healthy: None,
        });
    }

    /// Completes once nothing here holds what `alloc` needs: its predecessor and every
    /// allocation with one of its ports are over.
    fn predecessors_gone(&self, alloc: &Allocation) -> impl Future<Output = ()> + use<> {
        let needs = |port: u16| alloc.resources.ports.iter().any(|p| p.value == port);
        let views: Vec<_> = self
            .lock()
            .values()
            .filter(|slot| slot.alloc.id != alloc.id)
            .filter(|slot| {
                Some(slot.alloc.id) == alloc.previous
                    || slot.alloc.resources.ports.iter().any(|p| needs(p.value))
            })
            .map(|slot| slot.view.clone())
            .collect();
        async move {
            for mut view in views {
                // A sender that is gone is a runner that has ended.
                drop(view.wait_for(|v| v.over).await);
            }
        }
    }

    /// Ends an allocation and removes its directory and every memory of it.
    pub fn remove(&self, id: AllocId) {
        let runners = self.clone();
        self.tasks
            .spawn(format!("remove {}", id.short()), async move {
                runners.end(id).await;
                runners.forget(id).await;
            });
    }

    /// Ends every allocation and removes its directory: what `-dev` started, it takes away.
    pub async fn remove_all(&self) {
        let ids: Vec<_> = self.lock().keys().copied().collect();
        for id in &ids {
            self.order(*id, Order::Stop);
        }
        for id in ids {
            self.end(id).await;
            self.forget(id).await;
        }
    }

    async fn end(&self, id: AllocId) {
        let Some(mut view) = self.lock().get(&id).map(|slot| slot.view.clone()) else {
            return;
        };
        let orders = self.lock().get(&id).map(|slot| slot.orders.clone());
        if let Some(orders) = orders {
            // Refused only by a runner that has ended.
            drop(orders.send(Order::Stop).await);
        }
        drop(view.wait_for(|v| v.over).await);
    }

    /// Removes the directory and the journal record of an allocation that is over.
    async fn forget(&self, id: AllocId) {
        let inside = Inside::new(&self.shared.alloc_dir, &id.to_string());
        let removed = match inside {
            Ok(inside) => self.shared.fs.remove_all(&inside).await,
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::warn!(target: "client.gc", alloc_id = %id, %error, "could not remove the directory");
        }
        if let Err(error) = self.shared.journal.forget(id).await {
            tracing::warn!(target: "client.gc", alloc_id = %id, %error, "could not forget");
        }
        self.lock().remove(&id);
    }

    /// Ended allocations, the oldest end first.
    fn ended(&self) -> Vec<AllocId> {
        let end = |view: &View| {
            view.states
                .values()
                .map(|s| s.finished_at)
                .max()
                .unwrap_or(Timestamp::UNSET)
        };
        let slots = self.lock();
        let over = slots.iter().filter(|(_, slot)| slot.view.borrow().over);
        let mut ended: Vec<_> = over
            .map(|(id, slot)| (end(&slot.view.borrow()), *id))
            .collect();
        ended.sort();
        ended.into_iter().map(|(_, id)| id).collect()
    }

    /// Removes the oldest ended allocations beyond those that are kept.
    async fn forget_oldest(&self) {
        let ended = self.ended();
        let extra = ended.len().saturating_sub(self.ended_max);
        for id in ended.into_iter().take(extra) {
            self.forget(id).await;
        }
    }

    /// Removes one ended allocation; `false` if it is not here or still runs.
    pub async fn collect(&self, id: AllocId) -> bool {
        let over = self.view(id).is_some_and(|v| v.over);
        if over {
            self.forget(id).await;
        }
        over
    }

    /// Removes every ended allocation.
    pub async fn collect_all(&self) {
        for id in self.ended() {
            self.forget(id).await;
        }
    }
}
