//! Agents that die and come back: no container is restarted because an agent was.

use crate::support::*;

const COUNTER: &str = "job \"count\" {\n  group \"g\" {\n    restart {\n      delay = \"1s\"\n    }\n    task \"t\" {\n      driver = \"docker\"\n      \
    config {\n        image   = \"local/busybox:1\"\n        command = \"/bin/sh\"\n        args    = [\"-c\", \
    \"i=0; while true; do i=$((i+1)); echo $i; sleep 0.01; done\"]\n      }\n      kill_timeout = \"1s\"\n      \
    resources {\n        cpu    = 50\n        memory = 32\n      }\n    }\n  }\n}\n";

/// How far the counter has come in the log files.
fn counted(agent: &Agent, alloc: &str) -> Option<u64> {
    let text = agent.stdout_files(alloc, "t");
    text.lines().last()?.parse().ok()
}

#[test]
fn a_killed_agent_finds_its_container_and_its_log_has_no_hole() {
    if !engine() {
        return;
    }
    let mut agent = Agent::start();
    agent.submit(COUNTER);
    let alloc = agent.running("count");
    let name = format!("t-{alloc}");
    eventually("it counts", || counted(&agent, &alloc).filter(|n| *n > 20));
    let before = inspect(&name);
    agent.kill();
    let seen = counted(&agent, &alloc).unwrap_or(0);
    // The container goes on without anybody who reads it.
    eventually("it counts on", || {
        let lines = docker(&["logs", "--tail", "1", &name]);
        lines.parse::<u64>().ok().filter(|n| *n > seen + 50)
    });
    agent.boot();
    let after = inspect(&name);
    assert_eq!(before["Id"], after["Id"]);
    assert_eq!(before["State"]["StartedAt"], after["State"]["StartedAt"]);
    assert_eq!(agent.running("count"), alloc);
    eventually("the log goes on", || {
        counted(&agent, &alloc).filter(|n| *n > seen + 100)
    });
    let text = agent.stdout_files(&alloc, "t");
    let whole = &text[..=text.rfind('\n').unwrap()];
    for (at, line) in whole.lines().enumerate() {
        assert_eq!(line, (at + 1).to_string(), "line {} of the log", at + 1);
    }
    agent.ok(&["job", "stop", "-purge", "count"]);
    eventually("the container is gone", || {
        agent.containers().is_empty().then_some(())
    });
}

#[test]
fn a_container_removed_meanwhile_is_brought_back() {
    if !engine() {
        return;
    }
    let mut agent = Agent::start();
    agent.submit(COUNTER);
    let alloc = agent.running("count");
    let name = format!("t-{alloc}");
    let before = inspect(&name)["Id"].clone();
    agent.kill();
    docker(&["rm", "-f", &name]);
    agent.boot();
    let back = agent.alloc("count", "it runs again", |a| {
        a["ClientStatus"] == "running" && a["TaskStates"]["t"]["Restarts"] == 1
    });
    assert_eq!(back["ID"], *alloc);
    assert_ne!(inspect(&name)["Id"], before);
}
