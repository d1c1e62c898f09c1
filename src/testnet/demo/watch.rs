//! Sees how the demo's instances do.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::http::dto::alloc::AllocListStub;
use crate::testnet::api::{Api, ApiError};

/// How long one question waits for news.
const NEWS: Duration = Duration::from_secs(60);

/// One instance of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub alloc: String,
    /// `demo.web[0]`
    pub name: String,
    pub node: String,
    /// Where its page is; empty until that is known.
    pub url: String,
    pub runs: bool,
    /// Whether its check has passed since it was placed.
    pub healthy: bool,
    pub restarts: u64,
    /// Its last event, in words.
    pub event: String,
}

/// All instances at one moment.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    instances: BTreeMap<String, Instance>,
}

impl Seen {
    /// Those that are meant to run, by name.
    pub fn instances(&self) -> Vec<Instance> {
        self.instances.values().cloned().collect()
    }

    fn of(allocs: Vec<AllocListStub>) -> Self {
        let wanted = allocs.into_iter().filter(|a| a.desired_status == "run");
        let instances = wanted.map(|a| (a.name.clone(), instance(a)));
        Self {
            instances: instances.collect(),
        }
    }
}

/// What is different between two moments, in words.
pub fn news(before: &[Instance], now: &[Instance]) -> Vec<String> {
    let known: BTreeMap<&str, &Instance> = before.iter().map(|i| (i.name.as_str(), i)).collect();
    let line = |i: &Instance| {
        let was = known.get(i.name.as_str());
        let ran = was.is_some_and(|w| w.runs && w.alloc == i.alloc);
        let again = was.is_some_and(|w| w.restarts != i.restarts || w.alloc != i.alloc);
        match (ran, i.runs) {
            (true, false) => Some(format!("{} on {}: {}", i.name, i.node, i.event)),
            (_, true) if again || !ran => Some(format!("{} runs on {}, {}", i.name, i.node, i.url)),
            (true | false, true | false) => None,
        }
    };
    now.iter().filter_map(line).collect()
}

/// Waits for news after `index`, and moves it on.
pub(super) async fn look(api: Api, index: &mut u64) -> Result<Seen, ApiError> {
    let path = format!("/v1/job/{}/allocations?resources=true", super::JOB);
    let answer = api.after::<Vec<AllocListStub>>(&path, *index, NEWS).await?;
    *index = answer.index;
    Ok(Seen::of(answer.value))
}

fn instance(alloc: AllocListStub) -> Instance {
    let port = alloc
        .allocated_resources
        .iter()
        .flat_map(|r| &r.shared.ports)
        .find(|p| p.label == "http");
    let url = port.map(|p| format!("http://{}:{}/", p.host_ip, p.value));
    let task = alloc.task_states.get("web");
    // Why it ended says more than that it will start again.
    let event = task.and_then(|t| {
        let end = t.events.iter().rev().find(|e| e.kind == "Terminated");
        end.filter(|_| t.state != "running").or(t.events.last())
    });
    Instance {
        alloc: alloc.id,
        name: alloc.name,
        node: alloc.node_name,
        url: url.unwrap_or_default(),
        runs: task.is_some_and(|t| t.state == "running"),
        healthy: alloc
            .deployment_status
            .is_some_and(|d| d.healthy == Some(true)),
        restarts: task.map_or(0, |t| t.restarts),
        event: event.map_or(String::new(), |e| e.display_message.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(name: &str, runs: bool, restarts: u64) -> Instance {
        Instance {
            alloc: "1".to_owned(),
            name: name.to_owned(),
            node: "c1".to_owned(),
            url: "http://127.0.10.11:1/".to_owned(),
            runs,
            healthy: true,
            restarts,
            event: "Exit Code: 137".to_owned(),
        }
    }

    #[test]
    fn ends_and_starts_are_news() {
        let check = |before: Instance, now: Instance, expected: &[&str]| {
            assert_eq!(news(&[before], &[now]), expected);
        };
        let (up, down) = (instance("a", true, 0), instance("a", false, 0));
        let runs = "a runs on c1, http://127.0.10.11:1/";
        check(up.clone(), up.clone(), &[]);
        check(up.clone(), down.clone(), &["a on c1: Exit Code: 137"]);
        check(down.clone(), down.clone(), &[]);
        check(down, instance("a", true, 1), &[runs]);
        // The end was missed.
        check(up.clone(), instance("a", true, 1), &[runs]);
        let mut elsewhere = up.clone();
        elsewhere.alloc = "2".to_owned();
        check(up.clone(), elsewhere, &[runs]);
        assert_eq!(news(&[], &[up]), [runs]);
    }
}
