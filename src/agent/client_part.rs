//! Makes the client role of an agent.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::client::driver::docker::{DockerDriver, DockerOptions};
use crate::client::driver::mock::MockDriver;
use crate::client::driver::raw_exec::RawExecDriver;
use crate::client::driver::{Drivers, NodeFacts};
use crate::client::{self, Client, Identity};
use crate::env::{Env, Store};
use crate::model::node::NodeReserved;
use crate::model::resources::Amounts;
use crate::rpc::Api;

use super::build::BuildError;
use super::config::{Addrs, ClientConfig, Config};
use super::dirs::Dirs;
use super::{REVISION, VERSION};

/// What a client needs of the agent around it.
pub(super) struct Around<'a> {
    pub(super) config: &'a Config,
    pub(super) env: &'a Env,
    pub(super) dirs: &'a Dirs,
    pub(super) addrs: Addrs,
    pub(super) store: Arc<dyn Store>,
    pub(super) api: Arc<dyn Api>,
    pub(super) process: &'a CancellationToken,
}

pub(super) async fn start(
    settings: &ClientConfig,
    identity: Identity,
    around: Around<'_>,
) -> Result<Client, BuildError> {
    let Around {
        config,
        env,
        dirs,
        addrs,
        store,
        api,
        process,
    } = around;
    let facts = env.host.facts(&dirs.allocs).await;
    let about = NodeFacts {
        id: identity.id,
        name: config.name.clone(),
        core_mhz: f64::from(facts.cpu_mhz.max(1)),
        cores: facts.cpu_cores,
        state_dir: dirs.state.clone(),
    };
    let drivers = drivers(config, settings, env, &about)?;
    let parts = client::Parts {
        env: env.clone(),
        api,
        drivers,
        store,
        fs: env.files.clone(),
        identity,
    };
    let config = client::Config {
        node: node_config(config, settings, addrs),
        alloc_dir: dirs.allocs.clone(),
        max_kill_timeout: settings.max_kill_timeout,
        gc_max_allocs: settings.gc_max_allocs,
    };
    Ok(Client::start(config, parts, process.child_token()).await?)
}

fn node_config(
    config: &Config,
    settings: &ClientConfig,
    addrs: Addrs,
) -> client::fingerprint::NodeConfig {
    client::fingerprint::NodeConfig {
        name: config.name.clone(),
        datacenter: config.datacenter.clone(),
        node_class: settings.node_class.clone(),
        node_pool: settings.node_pool.clone(),
        meta: settings.meta.clone(),
        http_addr: addrs.http,
        rpc_addr: addrs.rpc,
        host_ip: addrs.http.ip().to_string(),
        interface: settings
            .network_interface
            .clone()
            .unwrap_or_else(|| "lo".to_string()),
        cpu_total: settings.cpu_total,
        memory_total_mb: settings.memory_total_mb,
        disk_total_mb: settings.disk_total_mb,
        dynamic_ports: settings.dynamic_ports,
        reserved: NodeReserved {
            amounts: Amounts {
                cpu_mhz: u64::from(settings.reserved_cpu),
                memory_mb: u64::from(settings.reserved_memory_mb),
                disk_mb: u64::from(settings.reserved_disk_mb),
            },
            ports: settings.reserved_ports.clone(),
        },
        eligible: !settings.default_ineligible,
        version: VERSION.to_string(),
        revision: REVISION.to_string(),
    }
}

/// The drivers of this node. One that is switched off is not there; one whose engine is away is,
/// and its fingerprint says why. The mock is there in dev mode, or where it is named.
fn drivers(
    config: &Config,
    settings: &ClientConfig,
    env: &Env,
    about: &NodeFacts,
) -> Result<Drivers, BuildError> {
    let named = |driver: &str| {
        let list = settings.drivers.as_ref();
        list.map(|list| list.iter().any(|name| name == driver))
    };
    // Containers and processes outlive the agent: this token only ends the pumps, and
    // `Client::detach` is what cancels those.
    let token = CancellationToken::new();
    let mut drivers = Drivers::new();
    if named("docker").unwrap_or(true) {
        let options = DockerOptions::from_settings(&config.docker)
            .map_err(|mistakes| BuildError::Driver(mistakes.join("\n")))?;
        let docker = DockerDriver::new(env.clock.clone(), options, about.clone(), token.clone())
            .map_err(|e| BuildError::Driver(e.to_string()))?;
        drivers.insert("docker", Arc::new(docker));
    }
    if config.raw_exec && named("raw_exec").unwrap_or(true) {
        let raw_exec = RawExecDriver::new(env.clock.clone(), about.core_mhz, token.clone());
        drivers.insert("raw_exec", Arc::new(raw_exec));
    }
    if named("mock_driver").unwrap_or(config.dev) {
        let mock = MockDriver::new(env.clock.clone(), env.files.clone(), token);
        drivers.insert("mock_driver", Arc::new(mock));
    }
    Ok(drivers)
}
