//! A node's configuration, in the agent's own language: any node runs by hand too.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::address::{Addrs, SHARED_STEP};
use super::topology::{Driver, NodePlan};

/// What all nodes of a testnet have in common.
pub struct Common<'a> {
    pub testnet: &'a str,
    pub region: &'a str,
    pub drivers: &'a [Driver],
    /// Where clients find the servers.
    pub servers: &'a [SocketAddr],
    /// Whether all nodes have one address, so that tasks of two could want the same port.
    pub shared: bool,
}

/// The ports of tasks, where each client needs some of its own.
const TASK_PORTS: (u16, u16) = (20_000, 32_000);
/// How many parts they are split into.
const PARTS: u16 = 60;

/// The text of a server's file.
pub fn server(common: &Common<'_>, node: &NodePlan, addrs: Addrs, dir: &Path) -> String {
    let mut text = head(common, node, addrs, dir);
    let expect = common.servers.len();
    text.push_str("\nserver {\n  enabled          = true\n");
    let line = format!("  bootstrap_expect = {expect}\n}}\n");
    text + &line
}

/// The text of a client's file.
pub fn client(common: &Common<'_>, node: &NodePlan, addrs: Addrs, dir: &Path) -> String {
    let servers: Vec<_> = common
        .servers
        .iter()
        .map(|addr| quoted(&addr.to_string()))
        .collect();
    let mut rows = vec![
        ("enabled", "true".to_owned()),
        ("servers", format!("[{}]", servers.join(", "))),
    ];
    for (key, value) in [("node_class", &node.class), ("node_pool", &node.pool)] {
        if !value.is_empty() {
            rows.push((key, quoted(value)));
        }
    }
    let amounts = [
        ("cpu_total_compute", node.cpu_mhz),
        ("memory_total_mb", node.memory_mb),
    ];
    for (key, value) in amounts {
        rows.extend(value.map(|v| (key, v.to_string())));
    }
    if common.shared {
        let size = (TASK_PORTS.1 - TASK_PORTS.0) / PARTS;
        let first = TASK_PORTS.0 + addrs.http.port() / SHARED_STEP % PARTS * size;
        rows.push(("min_dynamic_port", first.to_string()));
        rows.push(("max_dynamic_port", (first + size - 1).to_string()));
    }
    let names: Vec<_> = common.drivers.iter().map(|d| d.name()).collect();
    let options = format!("{{ \"driver.allowlist\" = {} }}", quoted(&names.join(",")));
    rows.push(("options", options));
    if !node.meta.is_empty() {
        let pairs = node.meta.iter();
        let pairs: Vec<_> = pairs
            .map(|(k, v)| format!("{} = {}", quoted(k), quoted(v)))
            .collect();
        rows.push(("meta", format!("{{ {} }}", pairs.join(", "))));
    }
    let mut text = head(common, node, addrs, dir);
    text.push_str("\nclient {\n");
    attributes(&mut text, "  ", &rows);
    text.push_str("}\n");
    if common.drivers.contains(&Driver::RawExec) {
        text.push_str("\nplugin \"raw_exec\" {\n  config {\n    enabled = true\n  }\n}\n");
    }
    text
}

fn head(common: &Common<'_>, node: &NodePlan, addrs: Addrs, dir: &Path) -> String {
    let file = dir.join("agent.hcl");
    let mut text = format!(
        "# Node {} of the testnet {}. By hand: tumen agent -config={}\n",
        node.name,
        common.testnet,
        file.display()
    );
    let data = dir.join("data");
    let rows = [
        ("name", quoted(&node.name)),
        ("region", quoted(common.region)),
        ("datacenter", quoted(&node.datacenter)),
        ("data_dir", quoted(&data.display().to_string())),
        ("bind_addr", quoted(&addrs.http.ip().to_string())),
    ];
    attributes(&mut text, "", &rows);
    text.push_str("\nports {\n");
    let ports = [
        ("http", addrs.http.port().to_string()),
        ("rpc", addrs.rpc.port().to_string()),
        ("serf", addrs.serf.port().to_string()),
    ];
    attributes(&mut text, "  ", &ports);
    text.push_str("}\n");
    text
}

/// Lines of `key = value`, the equal signs below each other.
fn attributes(text: &mut String, indent: &str, rows: &[(&str, String)]) {
    let width = rows.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    for (key, value) in rows {
        writeln!(text, "{indent}{key:<width$} = {value}").expect("a string takes every write");
    }
}

/// A string of HCL.
fn quoted(text: &str) -> String {
    let text = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
        .replace("${", "$${")
        .replace("%{", "%%{");
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::config::settings::{self, Settings};
    use crate::agent::config::{Config, Machine};

    fn addrs(host: u8) -> Addrs {
        let at = |port| SocketAddr::from(([127, 0, 10, host], port));
        Addrs {
            http: at(4646),
            rpc: at(4647),
            serf: at(4648),
        }
    }

    fn read(text: &str) -> Config {
        let mut settings = Settings::default();
        settings::parse("agent.hcl".as_ref(), text, &mut settings).unwrap();
        let config = Config::new(&settings, &Machine::default());
        config.unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    #[test]
    fn the_agent_reads_what_is_written_for_it() {
        let servers = [addrs(1).rpc];
        let common = Common {
            testnet: "t",
            region: "mars",
            drivers: &[Driver::RawExec, Driver::Mock],
            servers: &servers,
            shared: false,
        };
        let dir = Path::new("/tmp/a \"b\"");
        let config = read(&server(&common, &NodePlan::plain("s1"), addrs(1), dir));
        assert_eq!(config.bind.serf, addrs(1).serf);
        assert_eq!(config.region, "mars");
        assert_eq!(config.data_dir, Some(dir.join("data")));
        assert!(config.server.is_some() && config.client.is_none());

        let mut plan = NodePlan::plain("c1");
        plan.class = "big".to_owned();
        plan.memory_mb = Some(512);
        plan.meta.insert("rack.row".to_owned(), "r\"1".to_owned());
        let config = read(&client(&common, &plan, addrs(11), dir));
        assert_eq!(config.join.retry, ["127.0.10.1:4647"]);
        assert!(config.raw_exec && config.server.is_none());
        let client = config.client.unwrap();
        assert_eq!(client.node_class, "big");
        assert_eq!(client.memory_total_mb, Some(512));
        assert_eq!(client.meta["rack.row"], "r\"1");
        let drivers = client.drivers.unwrap();
        assert_eq!(drivers, ["raw_exec", "mock_driver"]);
    }

    #[test]
    fn clients_on_one_address_have_task_ports_of_their_own() {
        let common = Common {
            testnet: "t",
            region: "global",
            drivers: &[Driver::RawExec],
            servers: &[addrs(1).rpc],
            shared: true,
        };
        let ranges: Vec<_> = [4646, 4656, 5246]
            .map(|port| {
                let mut addrs = addrs(1);
                addrs.http.set_port(port);
                let text = client(&common, &NodePlan::plain("c1"), addrs, Path::new("/s/c1"));
                read(&text).client.unwrap().dynamic_ports
            })
            .to_vec();
        assert_eq!(
            ranges,
            [(28_800, 28_999), (29_000, 29_199), (28_800, 28_999)]
        );
    }

    #[test]
    fn a_clients_file_is_good_to_read() {
        let servers = [addrs(1).rpc];
        let common = Common {
            testnet: "default",
            region: "global",
            drivers: &[Driver::Docker, Driver::RawExec],
            servers: &servers,
            shared: false,
        };
        let dir = Path::new("/state/default/c1");
        let text = client(&common, &NodePlan::plain("c1"), addrs(11), dir);
        insta::assert_snapshot!(text, @r#"
        # Node c1 of the testnet default. By hand: tumen agent -config=/state/default/c1/agent.hcl
        name       = "c1"
        region     = "global"
        datacenter = "dc1"
        data_dir   = "/state/default/c1/data"
        bind_addr  = "127.0.10.11"

        ports {
          http = 4646
          rpc  = 4647
          serf = 4648
        }

        client {
          enabled = true
          servers = ["127.0.10.1:4647"]
          options = { "driver.allowlist" = "docker,raw_exec" }
        }

        plugin "raw_exec" {
          config {
            enabled = true
          }
        }
        "#);
    }
}
