//! As much of an HTTP client as the figures need: one request per connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::Result;

const LIMIT: Duration = Duration::from_secs(60);

/// The body of a successful answer, and the index it was read at.
pub(crate) struct Answer {
    pub(crate) body: Value,
    pub(crate) index: u64,
}

pub(crate) fn get(to: SocketAddr, path: &str) -> Result<Answer> {
    ask(to, "GET", path, "")
}

pub(crate) fn put(to: SocketAddr, path: &str, body: &Value) -> Result<Answer> {
    ask(to, "PUT", path, &body.to_string())
}

pub(crate) fn delete(to: SocketAddr, path: &str) -> Result<Answer> {
    ask(to, "DELETE", path, "")
}

fn ask(to: SocketAddr, method: &str, path: &str, body: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&to, LIMIT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    // HTTP/1.0: the answer is neither chunked nor compressed, and ends with the connection.
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {to}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| format!("{method} {path}: the answer has no end of headers"))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        return Err(format!("{method} {path}: {status}: {body}").into());
    }
    let index = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("x-nomad-index"))
        .map_or(Ok(0), |(_, value)| value.parse())?;
    Ok(Answer {
        body: serde_json::from_str(body)?,
        index,
    })
}
