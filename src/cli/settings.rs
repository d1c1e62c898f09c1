//! Which agent to ask, as whom: from flags, else from the environment, else the defaults.

use base64::Engine as _;

use super::fail::Failure;
use super::flags::{Args, Flag, switch, value};

/// Where an agent is by default.
const DEFAULT_ADDRESS: &str = "http://127.0.0.1:4646";
/// The agent's port when the address names none.
const DEFAULT_PORT: u16 = 80;

/// The flags that every command has that asks an agent.
pub static GENERAL: &[Flag] = &[
    value(
        "address",
        "<addr>",
        "The agent's address, with its scheme. Overrides NOMAD_ADDR; http://127.0.0.1:4646 unless set.",
    ),
    value(
        "region",
        "<region>",
        "The region to which the request is forwarded. Overrides NOMAD_REGION.",
    ),
    value(
        "namespace",
        "<namespace>",
        "The namespace to act in; `*` where a command lists means all. Overrides NOMAD_NAMESPACE.",
    ),
    value(
        "token",
        "<secret>",
        "The secret of the token to act with. Overrides NOMAD_TOKEN.",
    ),
    switch(
        "no-color",
        "Plain text, without colours. NOMAD_CLI_NO_COLOR does the same.",
    ),
    switch(
        "force-color",
        "Colours even where the output is no terminal. NOMAD_CLI_FORCE_COLOR does the same.",
    ),
    value(
        "ca-cert",
        "<path>",
        "Taken for scripts' sake; TLS is not part of Tumen yet.",
    ),
    value(
        "ca-path",
        "<path>",
        "Taken for scripts' sake; TLS is not part of Tumen yet.",
    ),
    value(
        "client-cert",
        "<path>",
        "Taken for scripts' sake; TLS is not part of Tumen yet.",
    ),
    value(
        "client-key",
        "<path>",
        "Taken for scripts' sake; TLS is not part of Tumen yet.",
    ),
    value(
        "tls-server-name",
        "<name>",
        "Taken for scripts' sake; TLS is not part of Tumen yet.",
    ),
    switch(
        "tls-skip-verify",
        "Taken for scripts' sake; TLS is not part of Tumen yet.",
    ),
    switch("insecure", "Same as -tls-skip-verify."),
];

/// How an agent is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Tcp {
        host: String,
        port: u16,
    },
    Unix(String),
    /// A scheme that cannot be used; the first request says so.
    Other(String),
}

/// Which agent, as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// As the user gave it.
    pub address: String,
    pub endpoint: Endpoint,
    pub namespace: Option<String>,
    pub region: Option<String>,
    pub token: Option<String>,
    basic: Option<String>,
}

impl Settings {
    /// Reads flags and environment.
    pub fn read(args: &Args, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let pick = |flag: &str, variable: &str| {
            let given = args.value(flag).map(str::to_owned);
            given.or_else(|| env(variable)).filter(|v| !v.is_empty())
        };
        let address = pick("address", "NOMAD_ADDR").unwrap_or_else(|| DEFAULT_ADDRESS.to_owned());
        let endpoint = endpoint(&address)
            .map_err(|why| Failure::new(format!("Error initializing client: {why}")))?;
        Ok(Self {
            endpoint,
            address: address.trim_end_matches('/').to_owned(),
            namespace: pick("namespace", "NOMAD_NAMESPACE"),
            region: pick("region", "NOMAD_REGION"),
            token: pick("token", "NOMAD_TOKEN"),
            basic: env("NOMAD_HTTP_AUTH").filter(|v| !v.is_empty()),
        })
    }

    /// The address in front of every path.
    pub fn url(&self) -> String {
        match &self.endpoint {
            Endpoint::Unix(_) => "http://127.0.0.1".to_owned(),
            Endpoint::Tcp { .. } | Endpoint::Other(_) => self.address.clone(),
        }
    }

    /// The address of the web UI.
    pub fn web(&self) -> String {
        self.url()
    }

    /// The `Host` header.
    pub fn host(&self) -> String {
        match &self.endpoint {
            Endpoint::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Endpoint::Tcp { host, port } => format!("{host}:{port}"),
            Endpoint::Unix(_) | Endpoint::Other(_) => "127.0.0.1".to_owned(),
        }
    }

    /// The namespace acted in, `default` unless set.
    pub fn namespace_or_default(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    /// Whether all namespaces are asked for.
    pub fn all_namespaces(&self) -> bool {
        self.namespace.as_deref() == Some("*")
    }

    /// The headers that every request carries.
    pub fn headers(&self) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        if let Some(token) = &self.token {
            headers.push(("X-Nomad-Token".to_owned(), token.clone()));
        }
        if let Some(basic) = &self.basic {
            let pair = if basic.contains(':') {
                basic.clone()
            } else {
                format!("{basic}:")
            };
            let code = base64::engine::general_purpose::STANDARD.encode(pair);
            headers.push(("Authorization".to_owned(), format!("Basic {code}")));
        }
        headers
    }
}

fn endpoint(address: &str) -> Result<Endpoint, String> {
    let Some((scheme, rest)) = address.split_once("://") else {
        return Err(format!(
            "invalid address '{address}': it lacks a scheme, such as http://{address}"
        ));
    };
    match scheme {
        "unix" => Ok(Endpoint::Unix(rest.to_owned())),
        "https" => Err(format!(
            "invalid address '{address}': TLS is not part of Tumen yet, use http://"
        )),
        "http" => {
            let authority = rest.split('/').next().unwrap_or_default();
            let (host, port) = host_and_port(authority).ok_or_else(|| {
                format!("invalid address '{address}': `{authority}` is no host and port")
            })?;
            Ok(Endpoint::Tcp { host, port })
        }
        other => Ok(Endpoint::Other(other.to_owned())),
    }
}

fn host_and_port(authority: &str) -> Option<(String, u16)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None if port.is_empty() => DEFAULT_PORT,
            None => return None,
        };
        return Some((host.to_owned(), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, DEFAULT_PORT),
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let tcp = |host: &str, port| Endpoint::Tcp {
            host: host.into(),
            port,
        };
        assert_eq!(
            endpoint("http://127.0.0.1:4646"),
            Ok(tcp("127.0.0.1", 4646))
        );
        assert_eq!(endpoint("http://[::1]:4646/"), Ok(tcp("::1", 4646)));
        assert_eq!(endpoint("http://cluster"), Ok(tcp("cluster", 80)));
        assert_eq!(
            endpoint("unix:///run/a.sock"),
            Ok(Endpoint::Unix("/run/a.sock".into()))
        );
        assert_eq!(endpoint("ftp://x"), Ok(Endpoint::Other("ftp".into())));
        assert!(
            endpoint("127.0.0.1:4646")
                .unwrap_err()
                .contains("lacks a scheme")
        );
        assert!(endpoint("https://x").unwrap_err().contains("TLS"));
        assert!(
            endpoint("http://x:port")
                .unwrap_err()
                .contains("no host and port")
        );
    }

    #[test]
    fn flags_beat_the_environment() {
        let env = |name: &str| match name {
            "NOMAD_NAMESPACE" => Some("env".to_owned()),
            "NOMAD_REGION" => Some("mars".to_owned()),
            _ => None,
        };
        let words = ["-namespace=flag".to_owned()];
        let args = Args::parse(&[GENERAL], &words).unwrap();
        let settings = Settings::read(&args, &env).unwrap();
        assert_eq!(settings.namespace.as_deref(), Some("flag"));
        assert_eq!(settings.region.as_deref(), Some("mars"));
        assert_eq!(settings.address, DEFAULT_ADDRESS);
    }
}
