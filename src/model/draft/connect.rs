//! Consul's service mesh, as written. Nothing here runs; it is read so that it can be refused by
//! name and shown back unchanged.

use super::*;

/// A service's place in the mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ConnectDraft {
    #[serde(serialize_with = "zero")]
    pub native: Option<bool>,
    pub gateway: Option<GatewayDraft>,
    pub sidecar_service: Option<SidecarServiceDraft>,
    pub sidecar_task: Option<SidecarTaskDraft>,
}

/// The proxy's own registration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SidecarServiceDraft {
    pub tags: Option<Vec<String>>,
    #[serde(serialize_with = "zero")]
    pub port: Option<String>,
    pub proxy: Option<ProxyDraft>,
    #[serde(rename = "DisableDefaultTCPCheck", serialize_with = "zero")]
    pub disable_default_tcp_check: Option<bool>,
    pub meta: Option<BTreeMap<String, String>>,
}

/// What differs in the proxy's task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SidecarTaskDraft {
    #[serde(serialize_with = "zero")]
    pub name: Option<String>,
    #[serde(serialize_with = "zero")]
    pub driver: Option<String>,
    #[serde(serialize_with = "zero")]
    pub user: Option<String>,
    #[serde(with = "natural::option")]
    pub config: Option<ConfigValue>,
    pub env: Option<BTreeMap<String, String>>,
    pub resources: Option<ResourcesDraft>,
    pub meta: Option<BTreeMap<String, String>>,
    pub kill_timeout: Option<Nanos>,
    #[serde(rename = "LogConfig")]
    pub logs: Option<LogsDraft>,
    pub shutdown_delay: Option<Nanos>,
    #[serde(serialize_with = "zero")]
    pub kill_signal: Option<String>,
    pub volume_mounts: Option<Vec<VolumeMountDraft>>,
    pub identities: Option<Vec<IdentityDraft>>,
}

/// The proxy's settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProxyDraft {
    #[serde(serialize_with = "zero")]
    pub local_service_address: Option<String>,
    #[serde(serialize_with = "zero")]
    pub local_service_port: Option<i64>,
    pub expose: Option<ExposeDraft>,
    pub expose_config: Option<ExposeDraft>,
    pub upstreams: Option<Vec<UpstreamDraft>>,
    pub transparent_proxy: Option<TransparentProxyDraft>,
    #[serde(with = "natural::option")]
    pub config: Option<ConfigValue>,
}

/// A service reached through the proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpstreamDraft {
    #[serde(serialize_with = "zero")]
    pub destination_name: Option<String>,
    #[serde(serialize_with = "zero")]
    pub destination_namespace: Option<String>,
    #[serde(serialize_with = "zero")]
    pub destination_peer: Option<String>,
    #[serde(serialize_with = "zero")]
    pub destination_partition: Option<String>,
    #[serde(serialize_with = "zero")]
    pub destination_type: Option<String>,
    #[serde(serialize_with = "zero")]
    pub local_bind_port: Option<i64>,
    #[serde(serialize_with = "zero")]
    pub local_bind_address: Option<String>,
    #[serde(serialize_with = "zero")]
    pub local_bind_socket_path: Option<String>,
    #[serde(serialize_with = "zero")]
    pub local_bind_socket_mode: Option<String>,
    #[serde(serialize_with = "zero")]
    pub datacenter: Option<String>,
    pub mesh_gateway: Option<MeshGatewayDraft>,
    #[serde(with = "natural::option")]
    pub config: Option<ConfigValue>,
}

/// How traffic leaves the datacenter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MeshGatewayDraft {
    #[serde(serialize_with = "zero")]
    pub mode: Option<String>,
}

/// Paths open without the mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExposeDraft {
    pub path: Option<Vec<ExposePathDraft>>,
    pub paths: Option<Vec<ExposePathDraft>>,
}

/// One open path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExposePathDraft {
    #[serde(serialize_with = "zero")]
    pub path: Option<String>,
    #[serde(serialize_with = "zero")]
    pub protocol: Option<String>,
    #[serde(serialize_with = "zero")]
    pub local_path_port: Option<i64>,
    #[serde(serialize_with = "zero")]
    pub listener_port: Option<String>,
}

/// Redirection of all traffic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TransparentProxyDraft {
    #[serde(rename = "UID", serialize_with = "zero")]
    pub uid: Option<String>,
    #[serde(serialize_with = "zero")]
    pub outbound_port: Option<i64>,
    pub exclude_inbound_ports: Option<Vec<String>>,
    pub exclude_outbound_ports: Option<Vec<i64>>,
    #[serde(rename = "ExcludeOutboundCIDRs")]
    pub exclude_outbound_cidrs: Option<Vec<String>>,
    #[serde(rename = "ExcludeUIDs")]
    pub exclude_uids: Option<Vec<String>>,
    #[serde(rename = "NoDNS", serialize_with = "zero")]
    pub no_dns: Option<bool>,
}

/// A gateway of the mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GatewayDraft {
    pub proxy: Option<GatewayProxyDraft>,
    pub ingress: Option<IngressDraft>,
    pub terminating: Option<TerminatingDraft>,
    pub mesh: Option<MeshDraft>,
}

/// The gateway's proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GatewayProxyDraft {
    pub connect_timeout: Option<Nanos>,
    #[serde(serialize_with = "zero")]
    pub envoy_gateway_bind_tagged_addresses: Option<bool>,
    pub envoy_gateway_bind_addresses: Option<BTreeMap<String, BindAddressDraft>>,
    #[serde(serialize_with = "zero")]
    pub envoy_gateway_no_default_bind: Option<bool>,
    #[serde(rename = "EnvoyDNSDiscoveryType", serialize_with = "zero")]
    pub envoy_dns_discovery_type: Option<String>,
    #[serde(with = "natural::option")]
    pub config: Option<ConfigValue>,
}

/// One address of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BindAddressDraft {
    #[serde(serialize_with = "zero")]
    pub name: Option<String>,
    #[serde(serialize_with = "zero")]
    pub address: Option<String>,
    #[serde(serialize_with = "zero")]
    pub port: Option<i64>,
}

/// Traffic from outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IngressDraft {
    #[serde(rename = "TLS")]
    pub tls: Option<GatewayTlsDraft>,
    pub listeners: Option<Vec<ListenerDraft>>,
}

/// TLS of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GatewayTlsDraft {
    #[serde(serialize_with = "zero")]
    pub enabled: Option<bool>,
    #[serde(rename = "TLSMinVersion", serialize_with = "zero")]
    pub tls_min_version: Option<String>,
    #[serde(rename = "TLSMaxVersion", serialize_with = "zero")]
    pub tls_max_version: Option<String>,
    pub cipher_suites: Option<Vec<String>>,
    #[serde(rename = "SDS")]
    pub sds: Option<SdsDraft>,
}

/// Where certificates come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SdsDraft {
    #[serde(serialize_with = "zero")]
    pub cluster_name: Option<String>,
    #[serde(serialize_with = "zero")]
    pub cert_resource: Option<String>,
}

/// One port of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListenerDraft {
    #[serde(serialize_with = "zero")]
    pub port: Option<i64>,
    #[serde(serialize_with = "zero")]
    pub protocol: Option<String>,
    pub services: Option<Vec<IngressServiceDraft>>,
}

/// A service behind a gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IngressServiceDraft {
    #[serde(serialize_with = "zero")]
    pub name: Option<String>,
    pub hosts: Option<Vec<String>>,
    #[serde(rename = "TLS")]
    pub tls: Option<GatewayTlsDraft>,
    pub request_headers: Option<HeaderModifiersDraft>,
    pub response_headers: Option<HeaderModifiersDraft>,
    pub max_connections: Option<u64>,
    pub max_pending_requests: Option<u64>,
    pub max_concurrent_requests: Option<u64>,
}

/// Changes to headers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HeaderModifiersDraft {
    pub add: Option<BTreeMap<String, String>>,
    pub set: Option<BTreeMap<String, String>>,
    pub remove: Option<Vec<String>>,
}

/// Traffic to services outside the mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TerminatingDraft {
    pub services: Option<Vec<LinkedServiceDraft>>,
}

/// A service outside the mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LinkedServiceDraft {
    #[serde(serialize_with = "zero")]
    pub name: Option<String>,
    #[serde(rename = "CAFile", serialize_with = "zero")]
    pub ca_file: Option<String>,
    #[serde(serialize_with = "zero")]
    pub cert_file: Option<String>,
    #[serde(serialize_with = "zero")]
    pub key_file: Option<String>,
    #[serde(rename = "SNI", serialize_with = "zero")]
    pub sni: Option<String>,
}

/// A gateway between datacenters; it has no settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MeshDraft {}
