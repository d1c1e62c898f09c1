//! The address templates of go-sockaddr that people use: `{{ GetPrivateIP }}` and the like.

use std::net::IpAddr;

use super::Machine;

/// Replaces a template by the first address that it names; other text stays.
pub fn resolve(text: &str, machine: &Machine) -> Result<String, String> {
    let Some(inner) = text
        .trim()
        .strip_prefix("{{")
        .and_then(|t| t.strip_suffix("}}"))
    else {
        return Ok(text.to_string());
    };
    let words: Vec<&str> = inner.split_whitespace().collect();
    let found = match words.as_slice() {
        ["GetPrivateIP"] => machine.private_ip,
        ["GetPublicIP"] => first(machine, |_, ip| is_public(ip)),
        ["GetInterfaceIP", name] => {
            let name = name.trim_matches('"');
            first(machine, |interface, _| interface == name)
        }
        _ => {
            return Err(format!(
                "the address template `{}` is not supported",
                text.trim()
            ));
        }
    };
    found
        .map(|ip| ip.to_string())
        .ok_or_else(|| format!("`{}` names no address here", text.trim()))
}

fn first(machine: &Machine, wanted: impl Fn(&str, IpAddr) -> bool) -> Option<IpAddr> {
    let mut all = machine.interfaces.iter();
    all.find(|(name, ip)| ip.is_ipv4() && wanted(name, *ip))
        .map(|(_, ip)| *ip)
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !(v4.is_private() || v4.is_loopback() || v4.is_link_local()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}
