//! Consul's service mesh. Tumen has none: the tables exist so that such a job is read whole and
//! then refused by name, not by its first unknown word.

use super::Kind::{Bool, Duration, Free, Int, Ints, Many, Named, One, Text, TextMap, Texts};
use super::task::{IDENTITY, LOGS, RESOURCES, VOLUME_MOUNT};
use super::{Schema, block, field};

pub(super) static CONNECT: Schema = block(
    "connect",
    &[
        field("native", "Native", Bool),
        field("sidecar_service", "SidecarService", One(&SIDECAR_SERVICE)),
        field("sidecar_task", "SidecarTask", One(&SIDECAR_TASK)),
        field("gateway", "Gateway", One(&GATEWAY)),
    ],
);

static SIDECAR_SERVICE: Schema = block(
    "sidecar_service",
    &[
        field("tags", "Tags", Texts),
        field("port", "Port", Text),
        field("proxy", "Proxy", One(&PROXY)),
        field("disable_default_tcp_check", "DisableDefaultTCPCheck", Bool),
        field("meta", "Meta", TextMap),
    ],
);

static SIDECAR_TASK: Schema = block(
    "sidecar_task",
    &[
        field("name", "Name", Text),
        field("driver", "Driver", Text),
        field("user", "User", Text),
        field("config", "Config", Free),
        field("env", "Env", TextMap),
        field("resources", "Resources", One(&RESOURCES)),
        field("meta", "Meta", TextMap),
        field("kill_timeout", "KillTimeout", Duration),
        field("logs", "LogConfig", One(&LOGS)),
        field("shutdown_delay", "ShutdownDelay", Duration),
        field("kill_signal", "KillSignal", Text),
        field("volume_mount", "VolumeMounts", Many(&VOLUME_MOUNT)),
        field("identity", "Identities", Many(&IDENTITY)),
    ],
);

static PROXY: Schema = block(
    "proxy",
    &[
        field("local_service_address", "LocalServiceAddress", Text),
        field("local_service_port", "LocalServicePort", Int),
        field("upstreams", "Upstreams", Many(&UPSTREAM)),
        field("expose", "Expose", One(&EXPOSE)),
        field("transparent_proxy", "TransparentProxy", One(&TRANSPARENT)),
        field("config", "Config", Free),
    ],
);

static UPSTREAM: Schema = block(
    "upstreams",
    &[
        field("destination_name", "DestinationName", Text),
        field("destination_namespace", "DestinationNamespace", Text),
        field("destination_peer", "DestinationPeer", Text),
        field("destination_partition", "DestinationPartition", Text),
        field("destination_type", "DestinationType", Text),
        field("local_bind_port", "LocalBindPort", Int),
        field("local_bind_address", "LocalBindAddress", Text),
        field("local_bind_socket_path", "LocalBindSocketPath", Text),
        field("local_bind_socket_mode", "LocalBindSocketMode", Text),
        field("datacenter", "Datacenter", Text),
        field("mesh_gateway", "MeshGateway", One(&MESH_GATEWAY)),
        field("config", "Config", Free),
    ],
);

static MESH_GATEWAY: Schema = block("mesh_gateway", &[field("mode", "Mode", Text)]);

static EXPOSE: Schema = block("expose", &[field("path", "Paths", Many(&EXPOSE_PATH))]);

static EXPOSE_PATH: Schema = block(
    "path",
    &[
        field("path", "Path", Text),
        field("protocol", "Protocol", Text),
        field("local_path_port", "LocalPathPort", Int),
        field("listener_port", "ListenerPort", Text),
    ],
);

static TRANSPARENT: Schema = block(
    "transparent_proxy",
    &[
        field("uid", "UID", Text),
        field("outbound_port", "OutboundPort", Int),
        field("exclude_inbound_ports", "ExcludeInboundPorts", Texts),
        field("exclude_outbound_ports", "ExcludeOutboundPorts", Ints),
        field("exclude_outbound_cidrs", "ExcludeOutboundCIDRs", Texts),
        field("exclude_uids", "ExcludeUIDs", Texts),
        field("no_dns", "NoDNS", Bool),
    ],
);

static GATEWAY: Schema = block(
    "gateway",
    &[
        field("proxy", "Proxy", One(&GATEWAY_PROXY)),
        field("ingress", "Ingress", One(&INGRESS)),
        field("terminating", "Terminating", One(&TERMINATING)),
        field("mesh", "Mesh", One(&MESH)),
    ],
);

static MESH: Schema = block("mesh", &[]);

static GATEWAY_PROXY: Schema = block(
    "proxy",
    &[
        field("connect_timeout", "ConnectTimeout", Duration),
        field(
            "envoy_gateway_bind_tagged_addresses",
            "EnvoyGatewayBindTaggedAddresses",
            Bool,
        ),
        field(
            "envoy_gateway_bind_addresses",
            "EnvoyGatewayBindAddresses",
            Named(&BIND_ADDRESS),
        ),
        field(
            "envoy_gateway_no_default_bind",
            "EnvoyGatewayNoDefaultBind",
            Bool,
        ),
        field("envoy_dns_discovery_type", "EnvoyDNSDiscoveryType", Text),
        field("config", "Config", Free),
    ],
);

static BIND_ADDRESS: Schema = Schema {
    name: "envoy_gateway_bind_addresses",
    label: Some("Name"),
    fields: &[
        field("address", "Address", Text),
        field("port", "Port", Int),
    ],
    finish: None,
};

static INGRESS: Schema = block(
    "ingress",
    &[
        field("tls", "TLS", One(&TLS)),
        field("listener", "Listeners", Many(&LISTENER)),
    ],
);

static TLS: Schema = block(
    "tls",
    &[
        field("enabled", "Enabled", Bool),
        field("tls_min_version", "TLSMinVersion", Text),
        field("tls_max_version", "TLSMaxVersion", Text),
        field("cipher_suites", "CipherSuites", Texts),
        field("sds", "SDS", One(&SDS)),
    ],
);

static SDS: Schema = block(
    "sds",
    &[
        field("cluster_name", "ClusterName", Text),
        field("cert_resource", "CertResource", Text),
    ],
);

static LISTENER: Schema = block(
    "listener",
    &[
        field("port", "Port", Int),
        field("protocol", "Protocol", Text),
        field("service", "Services", Many(&INGRESS_SERVICE)),
    ],
);

static INGRESS_SERVICE: Schema = block(
    "service",
    &[
        field("name", "Name", Text),
        field("hosts", "Hosts", Texts),
        field("tls", "TLS", One(&TLS)),
        field("request_headers", "RequestHeaders", One(&HEADERS)),
        field("response_headers", "ResponseHeaders", One(&HEADERS)),
        field("max_connections", "MaxConnections", Int),
        field("max_pending_requests", "MaxPendingRequests", Int),
        field("max_concurrent_requests", "MaxConcurrentRequests", Int),
    ],
);

static HEADERS: Schema = block(
    "request_headers",
    &[
        field("add", "Add", TextMap),
        field("set", "Set", TextMap),
        field("remove", "Remove", Texts),
    ],
);

static TERMINATING: Schema = block(
    "terminating",
    &[field("service", "Services", Many(&LINKED_SERVICE))],
);

static LINKED_SERVICE: Schema = Schema {
    name: "service",
    label: None,
    fields: &[
        field("name", "Name", Text),
        field("ca_file", "CAFile", Text),
        field("cert_file", "CertFile", Text),
        field("key_file", "KeyFile", Text),
        field("sni", "SNI", Text),
    ],
    finish: None,
};
