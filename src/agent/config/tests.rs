use std::path::Path;

use super::*;

fn machine() -> Machine {
    Machine {
        hostname: "host1".to_string(),
        cores: 2,
        interfaces: vec![("eth0".to_string(), "192.0.2.10".parse().unwrap())],
        private_ip: Some("192.0.2.10".parse().unwrap()),
    }
}

fn read(text: &str) -> Result<Config, Mistakes> {
    let mut settings = Settings::default();
    settings::parse(Path::new("a.hcl"), text, &mut settings).unwrap();
    Config::new(&settings, &machine())
}

fn mistakes(text: &str) -> Vec<String> {
    read(text).map(|_| Vec::new()).unwrap_or_else(|m| m.0)
}

#[test]
fn dev_needs_nothing() {
    let config = Config::new(
        &flags::parse(&["-dev".to_string()]).unwrap().settings,
        &machine(),
    );
    let config = config.unwrap();
    assert_eq!(config.bind.http, "127.0.0.1:4646".parse().unwrap());
    assert_eq!(config.name, "host1");
    assert!(config.server.is_some() && config.client.is_some() && config.raw_exec);
}

#[test]
fn addresses_come_from_the_most_particular_key() {
    let config = read(
        r#"
        data_dir = "/d"
        bind_addr = "0.0.0.0"
        addresses { http = "127.0.0.1" }
        ports { rpc = 5647 }
        advertise {
          serf = "{{ GetInterfaceIP \"eth0\" }}"
          rpc  = "203.0.113.7:7000"
        }
        server { enabled = true }
        "#,
    )
    .unwrap();
    assert_eq!(config.bind.http, "127.0.0.1:4646".parse().unwrap());
    assert_eq!(config.bind.rpc, "0.0.0.0:5647".parse().unwrap());
    assert_eq!(config.advertise.rpc, "203.0.113.7:7000".parse().unwrap());
    assert_eq!(config.advertise.serf, "192.0.2.10:4648".parse().unwrap());
    assert_eq!(config.advertise.http, "127.0.0.1:4646".parse().unwrap());
}

#[test]
fn every_mistake_is_told_at_once() {
    let told = mistakes(
        "data_dir = \"rel\"\nfoo = 1\nserver {\n enabled = true\n bananas = 2\n \
         encrypt = \"k\"\n}\nclient {\n \
         enabled = true\n max_kill_timeout = \"5 days\"\n}\nports {\n http = \"abc\"\n rpc = 70000\n}\n\
         tls {\n http = true\n}\n",
    );
    let has = |part: &str| assert!(told.iter().any(|m| m.contains(part)), "{part} in {told:?}");
    has("a.hcl:2: unexpected keys foo");
    has("a.hcl:5: server unexpected keys bananas");
    has("server.encrypt: the key is not base64");
    has("client.max_kill_timeout can't parse time duration 5 days");
    has("data-dir must be given as an absolute path: got rel");
    has("a.hcl:13: ports.http must be a whole number in its range");
    has("a.hcl:14: ports.rpc must be a whole number in its range");
    has("tls.http cannot be true");
    assert_eq!(told.len(), 8, "{told:?}");
}

#[test]
fn a_role_and_a_directory_are_needed() {
    assert_eq!(
        mistakes(""),
        [
            "Must specify either server, client or dev mode for the agent.",
            "Must specify \"data_dir\" config option or \"data-dir\" CLI flag",
        ]
    );
}
