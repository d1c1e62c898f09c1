//! Images from registries: a real one with a password, one that never answers, one that has
//! had enough.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::support::*;

/// Debian's `docker-registry` on a port of its own, with one user: `tester`, password `secret`.
struct Registry {
    process: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Registry {
    /// `None` where the program is not installed; CI must have it.
    fn start() -> Option<Self> {
        let found = Command::new("docker-registry").arg("--version").output();
        if found.is_err() {
            assert!(std::env::var_os("CI").is_none(), "CI needs docker-registry");
            eprintln!("skipped: docker-registry is not installed");
            return None;
        }
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let users = "tester:$2y$05$yQ9E0sNZfRXoFt1oVPEzNe4uzCWD4Kv5M61Hp46ftysI7Qfw4OaXK\n";
        std::fs::write(dir.path().join("users"), users).unwrap();
        let config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {root}/data\n\
             http:\n  addr: 127.0.0.1:{port}\nauth:\n  htpasswd:\n    realm: test\n    path: {root}/users\n",
            root = dir.path().display()
        );
        let file = dir.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let registry = Self {
            process: process.unwrap(),
            port,
            _dir: dir,
        };
        eventually("the registry listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Some(registry)
    }

    fn image(&self, tag: &str) -> String {
        format!("127.0.0.1:{}/tools/box:{tag}", self.port)
    }

    /// Puts an image there and removes it from the engine.
    fn fill(&self, config: &std::path::Path) {
        let image = self.image("1");
        docker(&["tag", "local/busybox:1", &image]);
        let config = config.to_str().unwrap();
        let pushed = Command::new("docker")
            .args(["--config", config, "push", &image])
            .output();
        let pushed = pushed.unwrap();
        let said = String::from_utf8_lossy(&pushed.stderr);
        assert!(pushed.status.success(), "{said}");
        docker(&["rmi", &image]);
    }

    /// Docker's own configuration with the password.
    fn login(&self, dir: &std::path::Path) {
        // base64 of `tester:secret`.
        let auth = format!(
            "{{\"auths\": {{\"127.0.0.1:{}\": {{\"auth\": \"dGVzdGVyOnNlY3JldA==\"}}}}}}",
            self.port
        );
        std::fs::write(dir.join("config.json"), auth).unwrap();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn job(image: &str, auth: &str) -> String {
    format!(
        "job \"pull\" {{\n  group \"g\" {{\n    restart {{\n      attempts = 0\n      mode     = \"fail\"\n    }}\n    \
         reschedule {{\n      attempts  = 0\n      unlimited = false\n    }}\n    task \"t\" {{\n      driver = \"docker\"\n      \
         config {{\n        image   = \"{image}\"\n        command = \"/bin/sleep\"\n        args    = [\"1000\"]\n        \
         {auth}\n      }}\n      kill_timeout = \"1s\"\n      resources {{\n        cpu    = 50\n        memory = 32\n      \
         }}\n    }}\n  }}\n}}\n"
    )
}

fn events(alloc: &Value) -> String {
    let events = alloc["TaskStates"]["t"]["Events"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let shown = events
        .iter()
        .map(|e| format!("{} {}", e["Type"], e["DisplayMessage"]));
    shown.collect::<Vec<_>>().join("\n")
}

/// What the failed pull of `image` says.
fn failure(agent: &Agent, image: &str) -> String {
    agent.submit(&job(image, ""));
    let failed = agent.alloc("pull", "it fails", |a| a["ClientStatus"] == "failed");
    agent.ok(&["job", "stop", "-purge", "pull"]);
    events(&failed)
}

#[test]
fn an_image_is_pulled_with_the_passwords_of_the_job_or_of_docker() {
    if !engine() {
        return;
    }
    let Some(registry) = Registry::start() else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    registry.login(home.path());
    registry.fill(home.path());
    let agent = Agent::start();
    let image = registry.image("1");
    let refused = failure(&agent, &image);
    assert!(refused.contains("Failed to pull"), "{refused}");
    assert!(refused.contains("no basic auth credentials"), "{refused}");

    let auth =
        "auth {\n          username = \"tester\"\n          password = \"secret\"\n        }";
    agent.submit(&job(&image, auth));
    let alloc = agent.alloc("pull", "it runs", |a| a["ClientStatus"] == "running");
    assert!(
        events(&alloc).contains("Downloading image"),
        "{}",
        events(&alloc)
    );
    agent.ok(&["job", "stop", "-purge", "pull"]);
    eventually("the container is gone", || {
        agent.containers().is_empty().then_some(())
    });
    drop(agent);
    docker(&["rmi", &image]);

    // Docker's own file, as the agent's configuration names it.
    let file = home.path().join("config.json");
    let agent = Agent::with_plugin(&format!("auth {{ config = \"{}\" }}", file.display()));
    agent.submit(&job(&image, ""));
    agent.running("pull");
    let missing = registry.image("nope");
    let text = job(&missing, "").replace("\"pull\"", "\"other\"");
    agent.submit(&text);
    let failed = agent.alloc("other", "it fails", |a| a["ClientStatus"] == "failed");
    assert!(
        events(&failed).contains("manifest unknown"),
        "{}",
        events(&failed)
    );
    agent.ok(&["job", "stop", "-purge", "pull"]);
    eventually("the container is gone", || {
        agent.containers().is_empty().then_some(())
    });
    drop(agent);
    docker(&["rmi", &image]);
}

/// A registry that answers everything with `answer`, or nothing at all without one.
fn fake(answer: Option<&'static str>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // It lives as long as the test's process.
    thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            match answer {
                None => silent.push(stream),
                Some(answer) => {
                    let mut request = [0; 4096];
                    if stream.read(&mut request).is_ok_and(|n| n > 0) {
                        stream.write_all(answer.as_bytes()).ok();
                    }
                }
            }
        }
    });
    port
}

#[test]
fn a_registry_that_has_had_enough_is_named() {
    if !engine() {
        return;
    }
    let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#;
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    let port = fake(Some(answer.leak()));
    let agent = Agent::start();
    let said = failure(&agent, &format!("127.0.0.1:{port}/busy:1"));
    assert!(said.contains("rate limit"), "{said}");
}

#[test]
fn a_task_is_stopped_while_its_image_is_on_its_way() {
    if !engine() {
        return;
    }
    let port = fake(None);
    let agent = Agent::start();
    agent.submit(&job(&format!("127.0.0.1:{port}/never:1"), ""));
    agent.alloc("pull", "it pulls", |a| {
        events(a).contains("Downloading image")
    });
    // Its roll-out ends as cancelled, which is no success for whoever watches.
    agent.ok(&["job", "stop", "-detach", "pull"]);
    let ended = agent.alloc("pull", "it ends", |a| a["ClientStatus"] == "complete");
    assert!(
        !events(&ended).contains("Driver Failure"),
        "{}",
        events(&ended)
    );
}
