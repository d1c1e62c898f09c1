//! Jobs from their file to their end.

use std::process::Stdio;

use crate::support::*;

/// A busybox task of a batch or service job.
fn busybox(name: &str, script: &str, more: &str) -> String {
    format!(
        "job \"{name}\" {{\n  group \"g\" {{\n    {more}\n    task \"t\" {{\n      driver = \"docker\"\n      \
         config {{\n        image   = \"local/busybox:1\"\n        command = \"/bin/sh\"\n        \
         args    = [\"-c\", <<EOS\n{script}\nEOS\n        ]\n      }}\n      kill_timeout = \"1s\"\n      \
         resources {{\n        cpu    = 50\n        memory = 32\n      }}\n    }}\n  }}\n}}\n"
    )
}

#[test]
fn a_job_of_old_tutorials_runs_as_it_asks() {
    if !engine() {
        return;
    }
    let agent = Agent::start();
    agent.job(&example("redis-classic.nomad.hcl"));
    let alloc = agent.running("example");
    let seen = inspect(&format!("redis-{alloc}"));
    let (config, host) = (&seen["Config"], &seen["HostConfig"]);
    assert_eq!(host["Memory"], 256 * 1024 * 1024);
    assert_eq!(host["CpuShares"], 500);
    assert_eq!(config["Labels"]["com.hashicorp.nomad.alloc_id"], *alloc);
    for port in ["6379/tcp", "6379/udp"] {
        let bound = &host["PortBindings"][port][0];
        let number: u16 = bound["HostPort"].as_str().unwrap().parse().unwrap();
        assert!((20_000..=32_000).contains(&number), "{bound}");
    }
    let env: Vec<&str> = config["Env"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|e| e.as_str())
        .collect();
    for variable in [
        "NOMAD_ALLOC_ID=",
        "NOMAD_TASK_NAME=redis",
        "NOMAD_JOB_NAME=example",
        "NOMAD_PORT_db=6379",
    ] {
        assert!(
            env.iter().any(|e| e.starts_with(variable)),
            "{variable} of {env:?}"
        );
    }
    let mounts = seen["Mounts"].as_array().unwrap();
    for inside in ["/alloc", "/local", "/secrets"] {
        assert!(
            mounts.iter().any(|m| m["Destination"] == inside),
            "{inside}"
        );
    }
    let pong = agent.ok(&["alloc", "exec", &alloc, "redis-cli", "ping"]);
    assert_eq!(pong.trim(), "PONG");
    let address = agent.api("/v1/service/redis-cache");
    let (host, port) = (
        address[0]["Address"].as_str().unwrap(),
        address[0]["Port"].as_u64().unwrap(),
    );
    std::net::TcpStream::connect(format!("{host}:{port}")).unwrap();

    agent.ok(&["job", "stop", "example"]);
    eventually("the container is gone", || {
        agent.containers().is_empty().then_some(())
    });
    // What it said stays until it is collected.
    let log = agent.ok(&["alloc", "logs", &alloc]);
    assert!(log.contains("Ready to accept connections"), "{log}");
    agent.ok(&["job", "stop", "-purge", "example"]);
    agent.ok(&["system", "gc"]);
    eventually("its directory is gone", || {
        (!agent.path("data").join("alloc").join(&alloc).exists()).then_some(())
    });
}

#[test]
fn logs_files_and_commands_of_a_running_task() {
    if !engine() {
        return;
    }
    let agent = Agent::start();
    let script = "for i in 1 2 3 4 5; do echo line $i; done; echo wrong >&2; \
                  while [ ! -e /local/go ]; do sleep 0.05; done; echo gone; sleep 1000";
    agent.job(&busybox("talk", script, ""));
    let alloc = agent.running("talk");
    let lines = |args: &[&str]| agent.ok(&[&["alloc", "logs"], args].concat());
    eventually("it has spoken", || {
        lines(&[&alloc]).contains("line 5").then_some(())
    });
    assert_eq!(lines(&["-tail", "-n", "2", &alloc]), "line 4\nline 5\n");
    assert_eq!(lines(&["-c", "7", "-tail", &alloc]), "line 5\n");
    assert_eq!(lines(&["-stderr", &alloc]), "wrong\n");
    assert_eq!(
        lines(&["-task", "t", "-job", "talk"]),
        "line 1\nline 2\nline 3\nline 4\nline 5\n"
    );

    let follow = agent
        .command(&["alloc", "logs", "-f", &alloc])
        .stdout(Stdio::piped())
        .spawn();
    let mut follow = follow.unwrap();
    agent.ok(&["alloc", "exec", &alloc, "touch", "/local/go"]);
    assert_eq!(line_with(&mut follow, "gone"), "gone");
    follow.kill().unwrap();
    follow.wait().unwrap();

    let listed = agent.ok(&["alloc", "fs", &alloc, "alloc/logs"]);
    assert!(
        listed.contains("t.stdout.0") && listed.contains("t.stderr.0"),
        "{listed}"
    );
    let shown = agent.ok(&["alloc", "fs", &alloc, "alloc/logs/t.stderr.0"]);
    assert_eq!(shown, "wrong\n");
    let stat = agent.ok(&["alloc", "fs", "-stat", &alloc, "t/local/go"]);
    assert!(stat.contains("go"), "{stat}");
    let secret = agent.run(&["alloc", "fs", &alloc, "t/secrets/x"]);
    assert!(!secret.status.success());

    let code = |args: &[&str]| agent.run(args).status.code();
    assert_eq!(
        code(&["alloc", "exec", &alloc, "/bin/sh", "-c", "exit 7"]),
        Some(7)
    );
    assert_eq!(
        code(&["alloc", "exec", "-t=false", &alloc, "true"]),
        Some(0)
    );
}

#[test]
fn what_dies_is_restarted_and_then_replaced() {
    if !engine() {
        return;
    }
    let agent = Agent::start();
    let policies = "restart {\n      attempts = 1\n      delay    = \"1s\"\n      interval = \"10m\"\n      \
                    mode     = \"fail\"\n    }\n    reschedule {\n      delay          = \"5s\"\n      \
                    delay_function = \"constant\"\n      unlimited      = true\n    }";
    agent.job(&busybox("fragile", "sleep 1000", policies));
    let first = agent.running("fragile");
    let name = format!("t-{first}");
    docker(&["kill", &name]);
    let kinds = |a: &serde_json::Value| -> Vec<String> {
        let events = a["TaskStates"]["t"]["Events"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        events
            .iter()
            .map(|e| e["Type"].as_str().unwrap().to_string())
            .collect()
    };
    let pending = agent.alloc("fragile", "it is pending between", |a| {
        a["ID"] == *first && a["ClientStatus"] == "pending"
    });
    assert!(kinds(&pending).ends_with(&["Terminated".into(), "Restarting".into()]));
    let again = agent.alloc("fragile", "it runs again in place", |a| {
        a["ID"] == *first && a["ClientStatus"] == "running"
    });
    assert_eq!(again["TaskStates"]["t"]["Restarts"], 1);
    assert!(kinds(&again).ends_with(&["Started".into()]));
    // The second death is one too many for its restarts.
    docker(&["kill", &name]);
    let next = agent.alloc("fragile", "a successor runs", |a| {
        a["ID"] != *first && a["ClientStatus"] == "running"
    });
    let old = agent.api(&format!("/v1/allocation/{first}"));
    assert_eq!(old["ClientStatus"], "failed");
    assert_eq!(old["NextAllocation"], next["ID"]);
    let kinds = kinds(&old);
    assert!(kinds.contains(&"Not Restarting".to_string()), "{kinds:?}");
}
