//! Service registrations, by allocation and by service.

use imbl::{OrdMap, OrdSet};

use super::{link, unlink};
use crate::model::{AllocId, JobKey, Namespace, ServiceRegistration};

/// What names a registration.
pub(in crate::state) type ServiceKey = (Namespace, String);

/// Registrations by namespace and id.
#[derive(Clone, Default)]
pub(in crate::state) struct Services {
    rows: OrdMap<ServiceKey, ServiceRegistration>,
    by_alloc: OrdMap<AllocId, OrdSet<ServiceKey>>,
    by_name: OrdMap<(Namespace, String), OrdSet<ServiceKey>>,
    by_job: OrdMap<JobKey, OrdSet<ServiceKey>>,
}

fn job_of(row: &ServiceRegistration) -> JobKey {
    JobKey {
        namespace: row.namespace.clone(),
        id: row.job_id.clone(),
    }
}

impl Services {
    pub fn get(&self, key: &ServiceKey) -> Option<&ServiceRegistration> {
        self.rows.get(key)
    }

    pub fn rows(&self) -> impl Iterator<Item = &ServiceRegistration> {
        self.rows.values()
    }

    pub fn put(&mut self, row: ServiceRegistration) {
        let key = (row.namespace.clone(), row.id.clone());
        self.remove(&key);
        link(&mut self.by_alloc, row.alloc_id, key.clone());
        let name = (row.namespace.clone(), row.name.clone());
        link(&mut self.by_name, name, key.clone());
        link(&mut self.by_job, job_of(&row), key.clone());
        self.rows.insert(key, row);
    }

    pub fn remove(&mut self, key: &ServiceKey) -> Option<ServiceRegistration> {
        let old = self.rows.remove(key)?;
        unlink(&mut self.by_alloc, &old.alloc_id, key);
        let name = (old.namespace.clone(), old.name.clone());
        unlink(&mut self.by_name, &name, key);
        unlink(&mut self.by_job, &job_of(&old), key);
        Some(old)
    }

    fn listed<'a>(&'a self, keys: Option<&'a OrdSet<ServiceKey>>) -> Vec<ServiceRegistration> {
        let keys = keys.into_iter().flatten();
        keys.filter_map(|key| self.rows.get(key).cloned()).collect()
    }

    pub fn of_alloc(&self, id: AllocId) -> Vec<ServiceRegistration> {
        self.listed(self.by_alloc.get(&id))
    }

    pub fn of_job(&self, key: &JobKey) -> Vec<ServiceRegistration> {
        self.listed(self.by_job.get(key))
    }

    pub fn named(&self, namespace: &Namespace, name: &str) -> Vec<ServiceRegistration> {
        let key = (namespace.clone(), name.to_string());
        self.listed(self.by_name.get(&key))
    }
}
