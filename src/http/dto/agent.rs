//! What an agent tells about itself and about the members that it knows.

use std::collections::BTreeMap;

use super::nullable;

/// `GET /v1/agent/self`; its keys are lower case.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct AgentSelf {
    /// The effective configuration.
    pub config: serde_json::Value,
    pub member: AgentMember,
    /// Section, key, value.
    pub stats: BTreeMap<String, BTreeMap<String, String>>,
}

wire! {
    /// A member of the gossip.
    pub struct AgentMember {
        /// Without a port.
        pub addr: String,
        pub delegate_cur: u8,
        pub delegate_max: u8,
        pub delegate_min: u8,
        /// `<node>.<region>`
        pub name: String,
        /// The gossip port.
        pub port: u16,
        pub protocol_cur: u8,
        pub protocol_max: u8,
        pub protocol_min: u8,
        /// `alive`, `leaving`, `left` or `failed`
        pub status: String,
        #[serde(with = "nullable")]
        pub tags: BTreeMap<String, String>,
    }

    /// `GET /v1/agent/members`
    pub struct AgentMembers {
        #[serde(with = "nullable")]
        pub members: Vec<AgentMember>,
        #[serde(rename = "ServerDC")]
        pub server_dc: String,
        pub server_name: String,
        pub server_region: String,
    }
}

wire! {
    /// `PUT /v1/agent/keyring/…`
    pub struct KeyringRequest {
        pub key: String,
    }

    /// `/v1/agent/keyring/…`
    pub struct KeyringResponse {
        /// What went wrong, by member.
        pub messages: BTreeMap<String, String>,
        /// How many members have each key.
        pub keys: BTreeMap<String, u32>,
        /// How many members use each key.
        pub primary_keys: BTreeMap<String, u32>,
        pub num_nodes: u32,
    }
}

/// `GET /v1/agent/health`; only the roles that the agent has.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct AgentHealth {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<RoleHealth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<RoleHealth>,
}

/// How one role of an agent does.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct RoleHealth {
    pub message: String,
    pub ok: bool,
}

/// `PUT /v1/agent/join`
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct JoinResponse {
    pub error: String,
    pub num_joined: u32,
    pub warning: String,
}
