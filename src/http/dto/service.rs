//! Services of the native discovery.

use super::nullable;

wire! {
    /// One namespace's services, in the list.
    pub struct ServiceNamespaceStub {
        pub namespace: String,
        #[serde(with = "nullable")]
        pub services: Vec<ServiceStub>,
    }

    /// A service's name and the tags of all its instances.
    pub struct ServiceStub {
        pub service_name: String,
        #[serde(deserialize_with = "nullable::deserialize")]
        pub tags: Vec<String>,
    }

    /// One running instance of a service.
    pub struct ServiceRegistration {
        pub address: String,
        #[serde(rename = "AllocID")]
        pub alloc_id: String,
        pub create_index: u64,
        pub datacenter: String,
        #[serde(rename = "ID")]
        pub id: String,
        #[serde(rename = "JobID")]
        pub job_id: String,
        pub modify_index: u64,
        pub namespace: String,
        #[serde(rename = "NodeID")]
        pub node_id: String,
        pub port: i64,
        pub service_name: String,
        #[serde(deserialize_with = "nullable::deserialize")]
        pub tags: Vec<String>,
    }
}
