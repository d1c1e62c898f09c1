//! The agent's ports, bound before anything starts.

use std::io;
use std::net::SocketAddr;

use crate::env::{Env, Listener};
use crate::gossip;

use super::build::BuildError;
use super::config::{Addrs, Config};

/// Sockets that are bound and not served yet.
pub(super) struct Sockets {
    pub(super) http: Box<dyn Listener>,
    pub(super) rpc: Box<dyn Listener>,
    pub(super) serf: gossip::Bound,
    pub(super) addrs: Addrs,
}

/// Binds every port. A client's rpc and serf ports may be any, unless its configuration names
/// them: many clients run on one machine from files that name the http port alone.
pub(super) async fn bind(env: &Env, config: &Config) -> Result<Sockets, BuildError> {
    let wanted = config.bind;
    let fail = |what, protocol, addr| {
        move |source| BuildError::Listen {
            what,
            protocol,
            addr,
            source,
        }
    };
    let http = env.net.listen(wanted.http).await;
    let http = http.map_err(fail("failed to start HTTP listener", "tcp", wanted.http))?;
    let mut rpc = env.net.listen(wanted.rpc).await;
    if in_use(&rpc) && !config.ports.rpc_named {
        rpc = env.net.listen(any_port(wanted.rpc)).await;
    }
    let rpc = rpc.map_err(fail("failed to start RPC layer", "tcp", wanted.rpc))?;
    let mut serf = gossip::bind(env.clone(), wanted.serf).await;
    if in_use(&serf) && !config.ports.serf_named {
        serf = gossip::bind(env.clone(), any_port(wanted.serf)).await;
    }
    let what = "failed to start the gossip";
    let serf = serf.map_err(fail(what, "tcp and udp", wanted.serf))?;
    let addrs = Addrs {
        http: http.local_addr().unwrap_or(wanted.http),
        rpc: rpc.local_addr().unwrap_or(wanted.rpc),
        serf: serf.addr(),
    };
    Ok(Sockets {
        http,
        rpc,
        serf,
        addrs,
    })
}

fn in_use<T>(bound: &io::Result<T>) -> bool {
    matches!(bound, Err(error) if error.kind() == io::ErrorKind::AddrInUse)
}

fn any_port(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::config::settings::{self, Settings};
    use crate::agent::config::{Machine, flags};

    fn config(args: &str, text: &str) -> Config {
        let mut settings = Settings::default();
        settings::parse("a.hcl".as_ref(), text, &mut settings).unwrap();
        let words: Vec<_> = args.split(' ').map(str::to_string).collect();
        for (key, setting) in flags::parse(&words).unwrap().settings.iter() {
            settings.set(key.clone(), setting.value.clone(), setting.at.clone());
        }
        Config::new(&settings, &Machine::default()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_client_that_names_no_port_takes_another() {
        let env = Env::sim(1);
        let client = "-client -bind=127.0.0.1 -data-dir=/d";
        let first = bind(&env, &config(client, "")).await.unwrap();
        let port = |addrs: Addrs| (addrs.http.port(), addrs.rpc.port(), addrs.serf.port());
        assert_eq!(port(first.addrs), (4646, 4647, 4648));

        let http_alone = "ports { http = 5656 }";
        let second = bind(&env, &config(client, http_alone)).await.unwrap();
        let (http, rpc, serf) = port(second.addrs);
        assert!(http == 5656 && rpc != 4647 && serf != 4648);
        assert!(rpc != 0 && serf != 0);

        let refused = |error: Option<BuildError>| error.unwrap().to_string();
        let http = bind(&env, &config(client, "")).await.err();
        assert!(refused(http).starts_with("failed to start HTTP listener"));
        let named = config(client, "ports {\n http = 1\n rpc = 4647\n}");
        let rpc = bind(&env, &named).await.err();
        assert!(refused(rpc).starts_with("failed to start RPC layer"));
        let server = config(
            "-server -bind=127.0.0.1 -data-dir=/d",
            "ports {\n http = 2\n rpc = 9\n}",
        );
        let serf = bind(&env, &server).await.err();
        assert!(refused(serf).starts_with("failed to start the gossip"));
    }
}
