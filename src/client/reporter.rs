//! Tells the servers what became of the allocations, coalesced.
//!
//! By level: runners leave their newest word here, one loop sends whatever is newest. One
//! request is under way at a time, so a burst becomes one message; what could not be delivered
//! stays and is sent again, unless something newer took its place.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::env::Env;
use crate::model::{AllocId, AllocUpdate, NodeId, RequestId, ServiceRegistration};
use crate::rpc::api::{Api, ApiError, Call, Op};

/// How long one delivery may take before it is tried again.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
/// The first pause after a failed delivery, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Where runners leave their news. Cloning shares it.
#[derive(Clone, Default)]
pub struct Reporter {
    news: Arc<Mutex<News>>,
    wake: Arc<Notify>,
}

#[derive(Default)]
struct News {
    updates: BTreeMap<AllocId, AllocUpdate>,
    services: BTreeMap<AllocId, Vec<ServiceRegistration>>,
    sending: bool,
}

impl Reporter {
    /// Replaces what is to be said of an allocation.
    pub fn update(&self, update: AllocUpdate) {
        self.lock().updates.insert(update.id, update);
        self.wake.notify_one();
    }

    /// Replaces what an allocation registers; empty: nothing.
    pub fn services(&self, alloc: AllocId, services: Vec<ServiceRegistration>) {
        self.lock().services.insert(alloc, services);
        self.wake.notify_one();
    }

    /// Whether everything has been delivered.
    pub fn is_idle(&self) -> bool {
        let news = self.lock();
        news.updates.is_empty() && news.services.is_empty() && !news.sending
    }

    fn lock(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers until `token` is cancelled. What is not delivered then is in the journal: the
    /// next run of the agent says it again.
    pub async fn run(
        self,
        env: Env,
        api: Arc<dyn Api>,
        me: (NodeId, Uuid),
        token: CancellationToken,
    ) {
        let mut pause = PAUSE.0;
        loop {
            tokio::select! {
                biased;
                () = token.cancelled() => return,
                () = self.wake.notified() => {}
            }
            while let Some(batch) = self.take() {
                let delivery = deliver(&env, &*api, me, &batch);
                let Some(delivered) = token.run_until_cancelled(delivery).await else {
                    return;
                };
                match delivered {
                    Ok(()) => {
                        pause = PAUSE.0;
                        self.lock().sending = false;
                    }
                    Err(error) => {
                        tracing::warn!(target: "client", %error, "could not report to the servers");
                        self.put_back(batch);
                        tokio::select! {
                            biased;
                            () = token.cancelled() => return,
                            () = env.clock.sleep(pause / 2 + env.entropy.jitter(pause / 2)) => {}
                        }
                        pause = (pause * 2).min(PAUSE.1);
                    }
                }
            }
        }
    }

    fn take(&self) -> Option<Batch> {
        let mut news = self.lock();
        if news.updates.is_empty() && news.services.is_empty() {
            return None;
        }
        news.sending = true;
        Some(Batch {
            updates: std::mem::take(&mut news.updates),
            services: std::mem::take(&mut news.services),
        })
    }

    /// Keeps what was not delivered, except where something newer is there.
    fn put_back(&self, batch: Batch) {
        let mut news = self.lock();
        news.sending = false;
        for (id, update) in batch.updates {
            news.updates.entry(id).or_insert(update);
        }
        for (id, services) in batch.services {
            news.services.entry(id).or_insert(services);
        }
    }
}

struct Batch {
    updates: BTreeMap<AllocId, AllocUpdate>,
    services: BTreeMap<AllocId, Vec<ServiceRegistration>>,
}

/// Sends a batch: what ended is no longer registered before it is reported as ended.
async fn deliver(
    env: &Env,
    api: &dyn Api,
    (node, secret): (NodeId, Uuid),
    batch: &Batch,
) -> Result<(), ApiError> {
    let call = |op| {
        api.call(Call {
            request: RequestId(env.entropy.uuid()),
            timeout: DELIVERY_TIMEOUT,
            op,
        })
    };
    for (alloc, services) in &batch.services {
        let services = services.clone();
        call(Op::SetServices {
            node,
            secret,
            alloc: *alloc,
            services,
        })
        .await?;
    }
    if !batch.updates.is_empty() {
        let updates = batch.updates.values().cloned().collect();
        call(Op::UpdateAllocs {
            node,
            secret,
            updates,
        })
        .await?;
    }
    Ok(())
}
