//! An agent made of recorded answers.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Answers by `METHOD target`; the last one of a list is repeated.
type Routes = BTreeMap<String, Vec<Answer>>;

#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// A running agent; it ends with the process.
pub struct Server {
    pub address: String,
}

/// Recorded files whose answers are all served under their own targets.
const FILES: [&str; 11] = [
    "agent",
    "allocations",
    "client",
    "client-fs-logs",
    "deployments",
    "evaluations",
    "job",
    "jobs-list",
    "namespaces-vars-services",
    "nodes",
    "operator",
];

/// A target, and the file, target and number of the recorded answer to it.
const OTHERS: [(&str, &str, &str, usize); 21] = [
    (
        "GET /v1/jobs?namespace=*",
        "jobs-list",
        "GET /v1/jobs?namespace=*&prefix=hw",
        0,
    ),
    (
        "GET /v1/jobs?prefix=hweb",
        "jobs-list",
        "GET /v1/jobs?prefix=hw",
        0,
    ),
    (
        "GET /v1/jobs?prefix=nope",
        "jobs-list",
        "GET /v1/jobs?prefix=zzz",
        0,
    ),
    ("GET /v1/jobs?prefix=h", "jobs-list", "GET /v1/jobs", 0),
    (
        "GET /v1/job/hweb/allocations?all=false",
        "job",
        "GET /v1/job/hweb/allocations",
        0,
    ),
    (
        "GET /v1/job/hweb/deployments?all=false",
        "job",
        "GET /v1/job/hweb/deployments",
        0,
    ),
    (
        "GET /v1/job/hweb/deployment?all=false",
        "job",
        "GET /v1/job/hweb/deployment",
        0,
    ),
    (
        "GET /v1/job/hweb/versions",
        "job-update",
        "GET /v1/job/hweb/versions",
        0,
    ),
    (
        "GET /v1/allocations?prefix=a1420baf",
        "allocations",
        "GET /v1/allocations?namespace=*&per_page=1",
        0,
    ),
    (
        "GET /v1/allocations?prefix=ffffffff",
        "nodes",
        "GET /v1/nodes?prefix=ffff",
        0,
    ),
    (
        "GET /v1/nodes?prefix=ffffffff",
        "nodes",
        "GET /v1/nodes?prefix=ffff",
        0,
    ),
    (
        "GET /v1/nodes?prefix=23faf289",
        "nodes",
        "GET /v1/nodes?prefix=23fa",
        0,
    ),
    (
        "GET /v1/client/allocation/a1420baf-736d-d376-a31b-ba3068f3e21a/stats",
        "client",
        "GET /v1/client/allocation/a12400f3-e776-ba7b-652a-64b012d95fa7/stats",
        0,
    ),
    (
        "GET /v1/evaluations?prefix=f6cdd09f",
        "evaluations",
        "GET /v1/evaluations?status=blocked",
        0,
    ),
    (
        "GET /v1/evaluation/f6cdd09f-f435-2733-726d-3bb7df05b093?related=true",
        "evaluations",
        "GET /v1/evaluation/f6cdd09f-f435-2733-726d-3bb7df05b093",
        0,
    ),
    (
        "GET /v1/evaluation/bd43663b-ef26-2d84-0095-426396ecc0d1/allocations",
        "evaluations",
        "GET /v1/evaluation/f6cdd09f-f435-2733-726d-3bb7df05b093/allocations",
        0,
    ),
    (
        "GET /v1/deployments?prefix=4cb7dca9",
        "deployments",
        "GET /v1/deployments?prefix=4cb7dc",
        0,
    ),
    (
        "GET /v1/status/leader?region=global",
        "agent",
        "GET /v1/status/leader",
        0,
    ),
    ("PUT /v1/search", "search", "POST /v1/search", 0),
    (
        "PUT /v1/validate/job",
        "validate",
        "POST /v1/validate/job",
        0,
    ),
    (
        "PUT /v1/job/min/plan",
        "job-plan",
        "PUT /v1/job/hweb/plan",
        1,
    ),
];

impl Server {
    /// Serves every recorded answer on a port of its own.
    pub fn start() -> Self {
        let routes = Arc::new(Mutex::new(routes()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let routes = Arc::clone(&routes);
                std::thread::spawn(move || answer(stream.unwrap(), &routes));
            }
        });
        Self { address }
    }
}

fn routes() -> Routes {
    let mut routes = Routes::new();
    for file in FILES {
        routes.extend(recorded(file));
    }
    for (target, file, source, number) in OTHERS {
        let all = recorded(file);
        let found = all
            .get(source)
            .unwrap_or_else(|| panic!("{file} has no {source}"));
        routes.insert(target.to_owned(), vec![found[number].clone()]);
    }
    let scripted = include_str!("scripted.http");
    routes.extend(parse(scripted));
    routes
}

/// The bodies of the recorded answers to one target, in their order.
pub fn bodies(file: &str, target: &str) -> Vec<String> {
    let found = recorded(file).remove(target).unwrap_or_default();
    found.into_iter().map(|a| a.body).collect()
}

fn recorded(file: &str) -> Routes {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/http/{file}.http"));
    parse(&std::fs::read_to_string(path).unwrap())
}

/// Reads requests and answers in the form of the recordings.
fn parse(text: &str) -> Routes {
    let mut routes = Routes::new();
    for entry in format!("\n{text}").split("\n### ").skip(1) {
        let (target, rest) = entry.split_once('\n').unwrap_or((entry, ""));
        let Some(at) = rest.find("HTTP/1.1 ") else {
            continue;
        };
        let response = &rest[at..];
        let (head, body) = response.split_once("\n\n").unwrap_or((response, ""));
        let mut lines = head.lines();
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let headers = lines
            .filter_map(|l| l.split_once(": "))
            .map(|(k, v)| (k.to_owned(), v.to_owned()));
        let body: Vec<&str> = body.lines().filter(|l| !l.starts_with("# ")).collect();
        let answer = Answer {
            status,
            headers: headers.collect(),
            body: body.join("\n").trim_end().to_owned(),
        };
        routes
            .entry(target.trim().to_owned())
            .or_default()
            .push(answer);
    }
    routes
}

/// A target without what says nothing: the namespace that is the default one, escaped slashes.
fn plain(target: &str) -> String {
    let target = target.replace("namespace=default&", "").replace("%2F", "/");
    let target = target.trim_end_matches("namespace=default");
    target.trim_end_matches(['?', '&']).to_owned()
}

fn answer(mut stream: TcpStream, routes: &Mutex<Routes>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let target = plain(first.trim().trim_end_matches(" HTTP/1.1"));
    let found = {
        let mut routes = routes.lock().unwrap();
        // A blocking query is answered as the plain one is.
        let plain = target.split("?index=").next().unwrap().to_owned();
        let key = if routes.contains_key(&target) {
            target.clone()
        } else {
            plain
        };
        routes.get_mut(&key).map(|list| {
            if list.len() > 1 {
                list.remove(0)
            } else {
                list[0].clone()
            }
        })
    };
    let found = found.unwrap_or_else(|| Answer {
        status: 404,
        headers: Vec::new(),
        body: format!("no answer is recorded for {target}"),
    });
    let mut text = format!(
        "HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n",
        found.status,
        found.body.len()
    );
    for (name, value) in found.headers.iter().filter(|(n, _)| n.starts_with("X-")) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    stream
        .write_all(format!("{text}\r\n{}", found.body).as_bytes())
        .unwrap();
}
