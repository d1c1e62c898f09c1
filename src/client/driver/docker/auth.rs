//! Which registry an image comes from, and the credentials for it.
//!
//! Asked in order: the job's `auth`, Docker's `config.json` (its `auths`, then the registry's own
//! helper, then the store of all), last the helper that the agent's file names.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use super::options::DockerOptions;
use crate::env::{Clock, timeout};
use crate::model::driver_config::DockerAuth;

/// Docker Hub's name in `config.json` and for helpers.
const HUB: &str = "https://index.docker.io/v1/";
/// How long a helper program may take.
const HELPER_TIMEOUT: Duration = Duration::from_secs(20);

/// An image's name taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// With the registry, if one is named.
    pub(super) repository: String,
    /// The tag or the digest; `latest` if none is named.
    pub(super) tag: String,
    pub(super) by_digest: bool,
}

impl Reference {
    pub(super) fn parse(image: &str) -> Self {
        let image = image.strip_prefix("https://").unwrap_or(image);
        if let Some((repository, digest)) = image.split_once('@') {
            return Self {
                repository: repository.to_string(),
                tag: digest.to_string(),
                by_digest: true,
            };
        }
        let (repository, tag) = match image.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            Some(_) | None => (image, "latest"),
        };
        Self {
            repository: repository.to_string(),
            tag: tag.to_string(),
            by_digest: false,
        }
    }

    /// Whether what the name means may change at any time.
    pub(super) fn moves(&self) -> bool {
        !self.by_digest && self.tag == "latest"
    }

    /// The registry's host; Docker Hub's if none is named.
    pub(super) fn registry(&self) -> &str {
        match self.repository.split_once('/') {
            Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
            Some(_) | None => "docker.io",
        }
    }
}

/// What the engine is told in `X-Registry-Auth`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Credentials {
    username: String,
    password: String,
    serveraddress: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    identitytoken: String,
}

impl Credentials {
    /// The header's value.
    pub(super) fn header(&self) -> String {
        let json = serde_json::to_string(self).expect("texts always become JSON");
        URL_SAFE.encode(json)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigFile {
    auths: BTreeMap<String, FileAuth>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    store: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FileAuth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

#[derive(Deserialize)]
struct HelperAnswer {
    #[serde(rename = "Username", default)]
    username: String,
    #[serde(rename = "Secret", default)]
    secret: String,
}

/// Finds the credentials for an image; `None`: there are none, which is fine for public ones.
pub(super) async fn find(
    clock: &dyn Clock,
    options: &DockerOptions,
    reference: &Reference,
    job: Option<&DockerAuth>,
) -> Result<Option<Credentials>, String> {
    let registry = reference.registry();
    if let Some(auth) = job.filter(|auth| !auth.username.is_empty() || !auth.password.is_empty()) {
        return Ok(Some(Credentials {
            username: auth.username.clone(),
            password: auth.password.clone(),
            serveraddress: if auth.server_address.is_empty() {
                server_address(registry)
            } else {
                auth.server_address.clone()
            },
            identitytoken: String::new(),
        }));
    }
    let file = read_file(options)?;
    if let Some(found) = from_auths(&file, registry)? {
        return Ok(Some(found));
    }
    let hub = if registry == "docker.io" {
        HUB
    } else {
        registry
    };
    let own_helper = file.helpers.get(registry).or_else(|| file.helpers.get(hub));
    let helpers = own_helper
        .into_iter()
        .chain([&file.store, &options.auth_helper]);
    for helper in helpers.filter(|name| !name.is_empty()) {
        if let Some(found) = ask_helper(clock, helper, hub).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn server_address(registry: &str) -> String {
    if registry == "docker.io" {
        HUB.to_string()
    } else {
        registry.to_string()
    }
}

fn read_file(options: &DockerOptions) -> Result<ConfigFile, String> {
    let usual = || {
        let dir = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
        dir.or_else(home).map(|dir| dir.join("config.json"))
    };
    let Some(path) = options.auth_config.clone().or_else(usual) else {
        return Ok(ConfigFile::default());
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error)
            if error.kind() == std::io::ErrorKind::NotFound && options.auth_config.is_none() =>
        {
            return Ok(ConfigFile::default());
        }
        Err(error) => return Err(format!("could not read {}: {error}", path.display())),
    };
    serde_json::from_str(&text).map_err(|e| format!("could not understand {}: {e}", path.display()))
}

/// The host in a key of `auths`, which may be a whole URL.
fn host_of(key: &str) -> &str {
    let bare = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let host = bare.split('/').next().unwrap_or(bare);
    match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    }
}

fn from_auths(file: &ConfigFile, registry: &str) -> Result<Option<Credentials>, String> {
    let Some((key, auth)) = file.auths.iter().find(|(k, _)| host_of(k) == registry) else {
        return Ok(None);
    };
    let mut found = Credentials {
        username: auth.username.clone(),
        password: auth.password.clone(),
        serveraddress: server_address(registry),
        identitytoken: auth.identitytoken.clone(),
    };
    if !auth.auth.is_empty() {
        let plain = STANDARD.decode(auth.auth.trim()).ok();
        let plain = plain.and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = plain.as_deref().and_then(|text| text.split_once(':'));
        let (username, password) = pair.ok_or_else(|| {
            format!("the entry {key:?} of Docker's config.json holds no user and password")
        })?;
        found.username = username.to_string();
        found.password = password.trim_end_matches('\0').to_string();
    }
    // `docker login` with a store leaves an empty entry behind.
    let empty = found.username.is_empty() && found.identitytoken.is_empty();
    Ok((!empty).then_some(found))
}

async fn ask_helper(
    clock: &dyn Clock,
    name: &str,
    server: &str,
) -> Result<Option<Credentials>, String> {
    let program = format!("docker-credential-{name}");
    let failed = |e: &dyn std::fmt::Display| format!("{program} failed: {e}");
    let run = async {
        let mut child = tokio::process::Command::new(&program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(server.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = timeout(clock, HELPER_TIMEOUT, run)
        .await
        .map_err(|_| failed(&format!("no answer within {HELPER_TIMEOUT:?}")))?
        .map_err(|e| failed(&e))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout).trim().to_string();
        // The protocol's words for "none".
        if said.contains("credentials not found") {
            return Ok(None);
        }
        return Err(failed(&said));
    }
    let answer: HelperAnswer = serde_json::from_slice(&output.stdout).map_err(|e| failed(&e))?;
    let mut found = Credentials {
        serveraddress: server.to_string(),
        ..Credentials::default()
    };
    if answer.username == "<token>" {
        found.identitytoken = answer.secret;
    } else {
        found.username = answer.username;
        found.password = answer.secret;
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;

    #[test]
    fn names_are_taken_apart() {
        for (image, repository, tag, registry) in [
            ("redis", "redis", "latest", "docker.io"),
            ("redis:7", "redis", "7", "docker.io"),
            ("a/b:1", "a/b", "1", "docker.io"),
            ("h:5000/a", "h:5000/a", "latest", "h:5000"),
            ("ghcr.io/a/b:2", "ghcr.io/a/b", "2", "ghcr.io"),
            ("localhost/a", "localhost/a", "latest", "localhost"),
            ("a@sha256:00", "a", "sha256:00", "docker.io"),
        ] {
            let reference = Reference::parse(image);
            assert_eq!(
                (
                    reference.repository.as_str(),
                    reference.tag.as_str(),
                    reference.registry()
                ),
                (repository, tag, registry)
            );
        }
        assert!(Reference::parse("x").moves());
        assert!(!Reference::parse("x@sha256:00").moves());
    }

    async fn found(json: &str, image: &str) -> Result<Option<Credentials>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        let options = DockerOptions {
            auth_config: Some(path),
            ..DockerOptions::default()
        };
        let clock = Env::real().clock;
        find(&*clock, &options, &Reference::parse(image), None).await
    }

    #[tokio::test]
    async fn dockers_config_file_is_read() {
        // u:p
        let hub = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "dTpw"}}}"#;
        let auth = found(hub, "redis:7").await.unwrap().unwrap();
        assert_eq!((auth.username.as_str(), auth.password.as_str()), ("u", "p"));
        assert_eq!(auth.serveraddress, HUB);
        assert_eq!(found(hub, "ghcr.io/x").await.unwrap(), None);
        let own = r#"{"auths": {"h:5000": {"identitytoken": "t"}}}"#;
        let auth = found(own, "h:5000/x").await.unwrap().unwrap();
        assert_eq!(auth.identitytoken, "t");
        let bad = r#"{"auths": {"h:5000": {"auth": "%%"}}}"#;
        let error = found(bad, "h:5000/x").await.unwrap_err();
        assert!(error.contains("\"h:5000\""), "{error}");
        assert!(
            found("{", "x")
                .await
                .unwrap_err()
                .contains("could not understand")
        );
    }

    #[tokio::test]
    async fn a_missing_helper_is_named() {
        let json = r#"{"credHelpers": {"h:5000": "tumen-none-such"}}"#;
        let error = found(json, "h:5000/x").await.unwrap_err();
        assert!(error.starts_with("docker-credential-tumen-none-such failed"));
    }

    #[tokio::test]
    async fn the_jobs_own_come_first() {
        let auth = DockerAuth {
            username: "me".to_string(),
            password: "?>~".to_string(),
            server_address: String::new(),
        };
        let clock = Env::real().clock;
        let options = DockerOptions::default();
        let reference = Reference::parse("h:5000/x");
        let found = find(&*clock, &options, &reference, Some(&auth)).await;
        let found = found.unwrap().unwrap();
        assert_eq!(found.serveraddress, "h:5000");
        assert!(!found.header().contains(['+', '/']));
    }
}
