//! What clients say of their allocations, and what servers ask of them.

use super::{Applying, Txn};
use crate::model::{
    AllocId, AllocUpdate, Allocation, DeploymentHealth, DesiredTransition, Evaluation,
    ServiceRegistration,
};
use crate::state::command::{Outcome, Refusal};
use crate::state::key::Key;
use crate::state::tables::service::ServiceKey;

impl Txn<'_> {
    /// Takes over what clients report. Allocations that the state does not know are passed over:
    /// they were collected while the report was on its way.
    pub(super) fn update_allocs(
        &mut self,
        updates: &[AllocUpdate],
        evals: &[Evaluation],
    ) -> Outcome {
        for update in updates {
            let Some(alloc) = self.t.allocs.get(update.id) else {
                continue;
            };
            let mut alloc = (**alloc).clone();
            alloc.client_status = update.client_status;
            alloc.client_description = update.client_description.clone();
            alloc.task_states = update.task_states.clone();
            alloc.modify_time = self.time;
            if let Some((healthy, time)) = update.healthy {
                self.set_health(&mut alloc, healthy, time);
            }
            self.put_alloc(alloc, false);
        }
        self.put_evals(evals)
    }

    /// Sets an allocation's health, keeping what else is known of it.
    pub(super) fn set_health(
        &self,
        alloc: &mut Allocation,
        healthy: bool,
        time: crate::model::Timestamp,
    ) {
        let before = alloc.deployment_health.unwrap_or_default();
        if before.healthy == Some(healthy) {
            return;
        }
        alloc.deployment_health = Some(DeploymentHealth {
            healthy: Some(healthy),
            time,
            modify_index: self.index,
            ..before
        });
    }

    pub(super) fn transition(
        &mut self,
        allocs: &[AllocId],
        asked: DesiredTransition,
        evals: &[Evaluation],
    ) -> Applying {
        if allocs.iter().any(|id| self.t.allocs.get(*id).is_none()) {
            return Err(Refusal::NoSuchAlloc);
        }
        for alloc in allocs
            .iter()
            .filter_map(|id| self.t.allocs.get(*id))
            .cloned()
            .collect::<Vec<_>>()
        {
            let mut alloc = (*alloc).clone();
            let t = &mut alloc.transition;
            t.migrate = asked.migrate.or(t.migrate);
            t.reschedule = asked.reschedule.or(t.reschedule);
            t.force_reschedule = asked.force_reschedule.or(t.force_reschedule);
            t.no_shutdown_delay = asked.no_shutdown_delay.or(t.no_shutdown_delay);
            alloc.modify_time = self.time;
            self.put_alloc(alloc, true);
        }
        Ok(self.put_evals(evals))
    }

    /// Replaces what an allocation registers. One that ended registers nothing.
    pub(super) fn set_services(
        &mut self,
        id: AllocId,
        services: &[ServiceRegistration],
    ) -> Applying {
        let alloc = self.t.allocs.get(id).ok_or(Refusal::NoSuchAlloc)?;
        let wanted: &[ServiceRegistration] = match alloc.is_client_terminal() {
            true => &[],
            false => services,
        };
        for old in self.t.services.of_alloc(id) {
            if !wanted.iter().any(|s| s.id == old.id) {
                self.remove_service(&(old.namespace, old.id));
            }
        }
        for service in wanted {
            self.put_service(service);
        }
        Ok(Outcome::Done { evals: Vec::new() })
    }

    fn put_service(&mut self, service: &ServiceRegistration) {
        let mut service = service.clone();
        let key = (service.namespace.clone(), service.id.clone());
        let old = self.t.services.get(&key);
        service.create_index = old.map_or(self.index, |s| s.create_index);
        service.modify_index = old.map_or(self.index, |s| s.modify_index);
        if old == Some(&service) {
            return;
        }
        service.modify_index = self.index;
        self.touch_service(&service);
        self.t.services.put(service);
    }

    pub(super) fn remove_service(&mut self, key: &ServiceKey) -> bool {
        let removed = self.t.services.remove(key);
        if let Some(service) = &removed {
            self.touch_service(service);
        }
        removed.is_some()
    }

    pub(super) fn remove_services_of(&mut self, id: AllocId) {
        for service in self.t.services.of_alloc(id) {
            self.remove_service(&(service.namespace, service.id));
        }
    }

    fn touch_service(&mut self, service: &ServiceRegistration) {
        let job = crate::model::JobKey {
            namespace: service.namespace.clone(),
            id: service.job_id.clone(),
        };
        self.touch(Key::JobServices(job));
        self.touch(Key::AllocServices(service.alloc_id));
        self.touch(Key::Service(
            service.namespace.clone(),
            service.name.clone(),
        ));
    }
}
