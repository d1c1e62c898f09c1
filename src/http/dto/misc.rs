//! Search, namespaces and metrics.

use std::collections::BTreeMap;

use super::nullable;

wire! {
    /// `PUT /v1/search`
    pub struct SearchRequest {
        pub context: String,
        pub prefix: String,
    }

    /// Ids by context.
    pub struct SearchResponse {
        pub index: u64,
        pub known_leader: bool,
        pub last_contact: i64,
        #[serde(deserialize_with = "nullable::deserialize")]
        pub matches: BTreeMap<String, Option<Vec<String>>>,
        pub next_token: String,
        /// Whether a context had more than fits.
        #[serde(deserialize_with = "nullable::deserialize")]
        pub truncations: BTreeMap<String, bool>,
    }

    /// A namespace.
    pub struct Namespace {
        pub capabilities: Option<serde_json::Value>,
        pub consul_configuration: Option<serde_json::Value>,
        pub create_index: u64,
        pub description: String,
        pub hash: Option<String>,
        #[serde(with = "nullable")]
        pub meta: BTreeMap<String, String>,
        pub modify_index: u64,
        pub name: String,
        pub node_pool_configuration: Option<serde_json::Value>,
        #[serde(with = "nullable")]
        pub optional_extra_claims: Vec<String>,
        pub quota: String,
        #[serde(with = "nullable")]
        pub required_extra_claims: Vec<String>,
        pub vault_configuration: Option<serde_json::Value>,
    }

    /// `GET /v1/metrics`
    pub struct MetricsSummary {
        #[serde(deserialize_with = "nullable::deserialize")]
        pub counters: Vec<SampledValue>,
        #[serde(deserialize_with = "nullable::deserialize")]
        pub gauges: Vec<GaugeValue>,
        #[serde(deserialize_with = "nullable::deserialize")]
        pub points: Vec<PointValue>,
        #[serde(deserialize_with = "nullable::deserialize")]
        pub samples: Vec<SampledValue>,
        /// `2026-11-22 18:52:40 +0000 UTC`
        pub timestamp: String,
    }

    /// A value that goes up and down.
    pub struct GaugeValue {
        #[serde(deserialize_with = "nullable::deserialize")]
        pub labels: BTreeMap<String, String>,
        pub name: String,
        pub value: f64,
    }

    /// A list of values.
    pub struct PointValue {
        pub name: String,
        #[serde(with = "nullable")]
        pub points: Vec<f64>,
    }

    /// What a counter or timer collected.
    pub struct SampledValue {
        pub count: u64,
        #[serde(deserialize_with = "nullable::deserialize")]
        pub labels: BTreeMap<String, String>,
        pub max: f64,
        pub mean: f64,
        pub min: f64,
        pub name: String,
        pub rate: f64,
        pub stddev: f64,
        pub sum: f64,
    }
}
