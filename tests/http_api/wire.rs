//! A client that sees the bytes of the wire, and readers of captured exchanges.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tumen::env::{self, Conn, Env};

use super::fake::Server;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(20);

/// An answer, its headers in the spelling of the wire.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The first header of exactly this spelling.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Server {
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub async fn put(&self, path: &str, body: &str) -> Answer {
        self.send("PUT", path, &[], body).await
    }

    /// Sends a request and reads the answer to its end.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(body);
        let exchange = async {
            let mut conn = self.env.net.connect(self.addr, LIMIT).await.unwrap();
            conn.write_all(request.as_bytes()).await.unwrap();
            let mut bytes = Vec::new();
            conn.read_to_end(&mut bytes).await.unwrap();
            parse(&bytes)
        };
        env::timeout(&*self.env.clock, LIMIT, exchange)
            .await
            .unwrap_or_else(|_| panic!("{method} {path}: no answer"))
    }

    /// Sends a request and reads until `wanted` has come, then goes away.
    pub async fn watch(&self, path: &str, wanted: &str) -> String {
        self.open(path).await.until(wanted).await.seen
    }

    /// Sends a request whose answer goes on.
    pub async fn open(&self, path: &str) -> Watched {
        let mut conn = self.env.net.connect(self.addr, LIMIT).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        conn.write_all(request.as_bytes()).await.unwrap();
        Watched {
            env: self.env.clone(),
            conn,
            seen: String::new(),
            checked: 0,
        }
    }
}

/// An answer that is read while it goes on.
pub struct Watched {
    env: Env,
    conn: Conn,
    /// Everything that has come.
    pub seen: String,
    /// How much of it was waited for.
    checked: usize,
}

impl Watched {
    /// Reads until `wanted` has come after what was waited for before.
    pub async fn until(mut self, wanted: &str) -> Self {
        let clock = self.env.clock.clone();
        let reading = async {
            loop {
                if let Some(at) = self.seen[self.checked..].find(wanted) {
                    self.checked += at + wanted.len();
                    return;
                }
                assert!(self.more().await, "the stream ended: {}", self.seen);
            }
        };
        let read = env::timeout(&*clock, LIMIT, reading).await;
        assert!(read.is_ok(), "`{wanted}` did not come: {}", self.seen);
        self
    }

    /// Reads to the end.
    pub async fn ended(mut self) {
        let clock = self.env.clock.clone();
        let reading = async { while self.more().await {} };
        let read = env::timeout(&*clock, LIMIT, reading).await;
        assert!(read.is_ok(), "the stream does not end: {}", self.seen);
    }

    async fn more(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let n = self.conn.read(&mut bytes).await.unwrap();
        self.seen.push_str(&String::from_utf8_lossy(&bytes[..n]));
        n > 0
    }
}

/// Takes an answer apart.
pub fn parse(bytes: &[u8]) -> Answer {
    let split = bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
    let head = std::str::from_utf8(&bytes[..split]).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    let body = &bytes[split + 4..];
    let chunked = headers
        .iter()
        .any(|(n, v)| n == "Transfer-Encoding" && v == "chunked");
    Answer {
        status: status.parse().unwrap(),
        body: if chunked { joined(body) } else { body.to_vec() },
        headers,
    }
}

/// The content of a chunked body.
fn joined(mut body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let line = body.windows(2).position(|w| w == b"\r\n").unwrap();
        let size = std::str::from_utf8(&body[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return content;
        }
        content.extend_from_slice(&body[line + 2..line + 2 + size]);
        body = &body[line + 2 + size + 2..];
    }
}

/// A captured exchange: status, header names, body as it stands in the file.
pub struct Captured {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// The first exchange of a capture file for this request line.
pub fn captured(file: &str, request: &str) -> Captured {
    let path = format!(
        "{}/tests/fixtures/http/{file}.http",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).unwrap();
    let wanted = format!("### {request}\n");
    let part = text
        .split_inclusive('\n')
        .collect::<Vec<_>>()
        .iter()
        .position(|line| *line == wanted)
        .map(|n| text.split_inclusive('\n').skip(n + 1).collect::<String>())
        .unwrap_or_else(|| panic!("{file}: no `{request}`"));
    let part = part.split("\n### ").next().unwrap().to_string();
    let answer = &part[part.find("HTTP/1.1 ").unwrap()..];
    let (head, body) = answer.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    Captured {
        status: status.parse().unwrap(),
        headers: lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
        // What follows is a remark about the next exchange.
        body: body
            .split("\n\n# ")
            .next()
            .unwrap_or_default()
            .trim_end_matches('\n')
            .to_string(),
    }
}

/// Checks an answer against a capture: status, the names of its headers, and for errors the text.
pub fn like(answer: &Answer, captured: &Captured) {
    assert_eq!(answer.status, captured.status, "{}", answer.text());
    let varies = ["Date", "Connection", "Content-Length", "Transfer-Encoding"];
    for (name, value) in &captured.headers {
        if varies.contains(&name.as_str()) {
            continue;
        }
        let values: Vec<&str> = answer
            .headers
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
            .collect();
        assert!(!values.is_empty(), "no header {name}: {:?}", answer.headers);
        if !name.starts_with("X-Nomad") {
            assert!(values.contains(&value.as_str()), "{name}: {values:?}");
        }
    }
    let nomad = |(n, _): &&(String, String)| n.starts_with("X-Nomad");
    for (name, _) in answer.headers.iter().filter(nomad) {
        assert!(
            captured.headers.iter().any(|(n, _)| n == name),
            "{name} is too much"
        );
    }
    if captured.status >= 400 {
        let text = if captured.body == "# (empty body)" {
            ""
        } else {
            &captured.body
        };
        assert_eq!(answer.text(), text);
    }
}
