//! The flags of `tumen agent`, in Go's style: `-name=value`, `-name value`, `--name`.

use std::path::PathBuf;

use crate::model::ConfigValue;

use super::settings::{Place, Settings};

/// What a flag takes.
enum Takes {
    Nothing,
    Text,
    /// Text that adds to a list.
    Item,
}

/// Flag name, what it takes, the key that it sets.
const FLAGS: &[(&str, Takes, &str)] = &[
    ("dev", Takes::Nothing, "dev"),
    ("server", Takes::Nothing, "server.enabled"),
    ("client", Takes::Nothing, "client.enabled"),
    ("bind", Takes::Text, "bind_addr"),
    ("node", Takes::Text, "name"),
    ("dc", Takes::Text, "datacenter"),
    ("region", Takes::Text, "region"),
    ("data-dir", Takes::Text, "data_dir"),
    ("state-dir", Takes::Text, "client.state_dir"),
    ("alloc-dir", Takes::Text, "client.alloc_dir"),
    ("log-level", Takes::Text, "log_level"),
    ("log-json", Takes::Nothing, "log_json"),
    ("bootstrap-expect", Takes::Text, "server.bootstrap_expect"),
    ("node-class", Takes::Text, "client.node_class"),
    ("node-pool", Takes::Text, "client.node_pool"),
    ("network-interface", Takes::Text, "client.network_interface"),
    ("join", Takes::Item, "server.start_join"),
    ("retry-join", Takes::Item, "server.retry_join"),
    ("retry-interval", Takes::Text, "server.retry_interval"),
    ("retry-max", Takes::Text, "server.retry_max"),
    ("rejoin", Takes::Nothing, "server.rejoin_after_leave"),
    ("servers", Takes::Item, "client.servers"),
    ("encrypt", Takes::Text, "server.encrypt"),
];

/// What the command line said.
#[derive(Debug, Default, PartialEq)]
pub struct Flags {
    /// `-config`, in order.
    pub configs: Vec<PathBuf>,
    /// What the other flags set; wins over files.
    pub settings: Settings,
}

/// Reads the arguments after `agent`.
pub fn parse(args: &[String]) -> Result<Flags, String> {
    let mut flags = Flags::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let Some(word) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else {
            return Err(format!("unexpected argument: {arg}"));
        };
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (word, None),
        };
        let mut value = || {
            let next = inline.clone().or_else(|| args.next().cloned());
            next.ok_or_else(|| format!("flag needs an argument: -{name}"))
        };
        if name == "config" {
            flags.configs.push(PathBuf::from(value()?));
            continue;
        }
        if name == "meta" {
            let pair = value()?;
            let (key, text) = pair
                .split_once('=')
                .ok_or_else(|| format!("-meta takes key=value, got {pair}"))?;
            let at = Place::Flag("meta");
            let text = ConfigValue::String(text.to_string());
            flags.settings.set(format!("client.meta.{key}"), text, at);
            continue;
        }
        let known = FLAGS.iter().find(|(flag, _, _)| *flag == name);
        let (flag, takes, key) =
            known.ok_or_else(|| format!("flag provided but not defined: -{name}"))?;
        let value = match takes {
            Takes::Nothing => ConfigValue::String(inline.unwrap_or_else(|| "true".to_string())),
            Takes::Text => ConfigValue::String(value()?),
            Takes::Item => ConfigValue::List(vec![ConfigValue::String(value()?)]),
        };
        flags.settings.set(*key, value, Place::Flag(flag));
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_string).collect()
    }

    #[test]
    fn both_dashes_and_both_forms_of_a_value() {
        let flags = parse(&args(
            "-dev --config=a.hcl -config b -node n1 -bind=127.0.0.1",
        ))
        .unwrap();
        assert_eq!(flags.configs, [PathBuf::from("a.hcl"), PathBuf::from("b")]);
        let text = |key: &str| flags.settings.get(key).map(|s| s.value.clone());
        assert_eq!(text("name"), Some(ConfigValue::String("n1".into())));
        assert_eq!(text("dev"), Some(ConfigValue::String("true".into())));
    }

    #[test]
    fn mistakes_are_named() {
        let fail = |text: &str| parse(&args(text)).unwrap_err();
        assert_eq!(fail("-nope"), "flag provided but not defined: -nope");
        assert_eq!(fail("-node"), "flag needs an argument: -node");
        assert_eq!(fail("stray"), "unexpected argument: stray");
    }
}
