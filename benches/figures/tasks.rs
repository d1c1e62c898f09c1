//! What Docker tasks cost, and how long they take to start and to come back.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::docker::{CPU, Docker, MEMORY_MB};
use crate::report::{Report, Unit, median};
use crate::{Options, Result, http};

/// How long a job may take to get where it is wanted.
const LIMIT: Duration = Duration::from_secs(120);

/// Memory is looked at when what starting needed is given back.
const SETTLE: Duration = Duration::from_secs(5);

const JOB: &str = "figures";
const TASK: &str = "sleep";

pub(crate) fn measure(
    options: &Options,
    agent: &Agent,
    docker: &Docker,
    report: &mut Report,
) -> Result<()> {
    let bench = Bench { agent, docker };
    eprintln!("starts: {} rounds", options.rounds);
    let mut base = Vec::new();
    let (mut started, mut shown) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        base.push(ms(docker.run()?));
        let (start, show) = bench.register()?;
        started.push(start);
        shown.push(show);
    }
    eprintln!("kills: {} rounds", options.rounds);
    let back = bench.kills(options.rounds)?;
    let base = median(base);
    report.base("`docker run -d` to its container started", Unit::Ms, base);
    let over = median(started) - base;
    report.add(
        "register to container started, over that",
        Unit::Ms,
        over,
        15.0,
    );
    report.add(
        "from there to `running` in the API",
        Unit::Ms,
        median(shown),
        50.0,
    );
    let over = median(back) - base;
    report.add(
        "`docker kill` to the next container, over that",
        Unit::Ms,
        over,
        60.0,
    );

    eprintln!("memory: {} tasks", options.tasks);
    let (bytes, processes) = bench.cost(options.tasks)?;
    report.add("a running Docker task, memory", Unit::Kb, bytes, 64.0);
    report.add(
        "a running Docker task, processes",
        Unit::Processes,
        processes,
        0.0,
    );
    Ok(())
}

struct Bench<'a> {
    agent: &'a Agent,
    docker: &'a Docker,
}

impl Bench<'_> {
    /// From a job's registration to its container's start, and from there to its allocation's
    /// `running` in the API.
    fn register(&self) -> Result<(f64, f64)> {
        let began = SystemTime::now();
        self.put_job(1)?;
        let alloc = self.wait_for_one(|_| true)?;
        let seen = SystemTime::now();
        let started = self.docker.started(&container(&alloc))?;
        self.stop_job()?;
        // The agent may hear of the start before the engine stamps it.
        let show = seen.duration_since(started).unwrap_or_default();
        Ok((ms(started.duration_since(began)?), ms(show)))
    }

    /// From `docker kill` to the start of the container that takes the killed one's place.
    fn kills(&self, rounds: usize) -> Result<Vec<f64>> {
        self.put_job(1)?;
        let mut alloc = self.wait_for_one(|_| true)?;
        let mut times = Vec::new();
        for _ in 0..rounds {
            let before = restarts(&alloc);
            let began = SystemTime::now();
            self.docker.kill(&container(&alloc))?;
            alloc = self.wait_for_one(|alloc| restarts(alloc) > before)?;
            let started = self.docker.started(&container(&alloc))?;
            times.push(ms(started.duration_since(began)?));
        }
        self.stop_job()?;
        Ok(times)
    }

    /// What each of `count` running tasks adds to the agent, in memory and in processes.
    fn cost(&self, count: u64) -> Result<(f64, f64)> {
        std::thread::sleep(SETTLE);
        let memory = self.agent.resident_kb()?;
        let processes = self.agent.children()?;
        self.put_job(count)?;
        self.wait(|allocs| running(allocs).len() as u64 == count)?;
        std::thread::sleep(SETTLE);
        let more = self.agent.resident_kb()?.saturating_sub(memory) as f64;
        let more_processes = self.agent.children()?.saturating_sub(processes) as f64;
        self.stop_job()?;
        Ok((more / count as f64, more_processes / count as f64))
    }

    fn put_job(&self, count: u64) -> Result<()> {
        let job = json!({ "Job": {
            "ID": JOB,
            "Type": "service",
            "Datacenters": ["*"],
            "TaskGroups": [{
                "Name": "group",
                "Count": count,
                "RestartPolicy": {
                    "Attempts": 1000, "Delay": 0, "Interval": 3_600_000_000_000_u64, "Mode": "fail",
                },
                "Tasks": [{
                    "Name": TASK,
                    "Driver": "docker",
                    "Config": { "image": self.docker.image(), "command": "sleep", "args": ["3600"] },
                    "KillSignal": "SIGKILL",
                    "Resources": { "CPU": CPU, "MemoryMB": MEMORY_MB },
                }],
            }],
        }});
        http::put(self.agent.http, "/v1/jobs", &job).map(drop)
    }

    /// Ends the job and waits until its containers have ended.
    fn stop_job(&self) -> Result<()> {
        http::delete(self.agent.http, &format!("/v1/job/{JOB}"))?;
        let ended = |alloc: &Value| alloc["ClientStatus"] == "complete";
        self.wait(|allocs| allocs.iter().all(ended))?;
        http::delete(self.agent.http, &format!("/v1/job/{JOB}?purge=true")).map(drop)
    }

    /// Waits until the job's only running allocation is as wanted.
    fn wait_for_one(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let allocs = self.wait(|allocs| matches!(running(allocs)[..], [one] if wanted(one)))?;
        Ok(running(&allocs)[0].clone())
    }

    /// Waits, by blocking queries, until the job's allocations are as wanted.
    fn wait(&self, wanted: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>> {
        let began = Instant::now();
        let mut index = 0;
        loop {
            let path = format!("/v1/job/{JOB}/allocations?index={index}&wait=10s");
            let answer = http::get(self.agent.http, &path)?;
            let Value::Array(allocs) = answer.body else {
                return Err(format!("{path}: not a list: {}", answer.body).into());
            };
            if wanted(&allocs) {
                return Ok(allocs);
            }
            if began.elapsed() > LIMIT {
                let last = Value::Array(allocs);
                return Err(format!("not there within {LIMIT:?}: {last:#}").into());
            }
            index = answer.index;
        }
    }
}

/// Those that run; allocations of earlier rounds are listed too.
fn running(allocs: &[Value]) -> Vec<&Value> {
    let runs = |alloc: &&Value| {
        alloc["ClientStatus"] == "running" && alloc["TaskStates"][TASK]["State"] == "running"
    };
    allocs.iter().filter(runs).collect()
}

fn restarts(alloc: &Value) -> u64 {
    alloc["TaskStates"][TASK]["Restarts"].as_u64().unwrap_or(0)
}

fn container(alloc: &Value) -> String {
    format!("{TASK}-{}", alloc["ID"].as_str().unwrap_or_default())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
