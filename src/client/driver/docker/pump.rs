//! Carries a container's output from the engine into the task's log files.
//!
//! The engine keeps its own small copy, each entry with a time. The pump follows it, and after
//! an interruption asks again from the last time that it committed and skips what it has, so
//! that no entry is missing and none is there twice. What the engine itself has rotated away
//! meanwhile cannot be had any more.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::engine::{Engine, EngineError};
use crate::client::driver::{ExitResult, LogTarget};
use crate::client::logs::{LogWriter, Output, Position};
use crate::env::{Clock, blocking};

/// The engine cuts a line without end into pieces of this size.
const PIECE_BYTES: usize = 16 << 10;
/// An entry of the engine is a piece and its time; more than this is none.
const ENTRY_BYTES_MAX: usize = 1 << 20;
/// How much is written at once.
const BATCH_BYTES: usize = 64 << 10;
/// How soon a broken stream is opened again.
const AGAIN: Duration = Duration::from_millis(250);
/// How long after the output's end the container's end is waited for.
const END_WAIT: Duration = Duration::from_secs(2);

/// What a pump needs.
pub(super) struct Pump {
    pub(super) engine: Engine,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) container: String,
    pub(super) tty: bool,
    pub(super) target: LogTarget,
    pub(super) exit: watch::Receiver<Option<ExitResult>>,
    pub(super) token: CancellationToken,
}

/// Why following ended.
enum End {
    /// The engine has no more for now.
    Dry,
    /// It has no such container any more, or keeps no output of it.
    Gone,
    Cancelled,
}

impl Pump {
    /// Runs until all output of an ended container is written, or the token is cancelled.
    pub(super) async fn run(mut self) {
        let (target, container) = (self.target.clone(), self.container.clone());
        let opened = blocking("open logs", move || Sinks::open(&target, &container)).await;
        let mut sinks = match opened {
            Ok(Ok(sinks)) => Some(sinks),
            Ok(Err(error)) => return self.lost(&error),
            Err(error) => return self.lost(&error),
        };
        loop {
            let ended = self.exit.borrow().is_some();
            match self.pass(&mut sinks, !ended).await {
                // A pass that began after the end has brought everything.
                Ok(End::Dry) if ended => return,
                Ok(End::Dry) => self.wait_for_end().await,
                Ok(End::Gone | End::Cancelled) => return,
                Err(Fault::Write(error)) => return self.lost(&error),
                Err(Fault::Engine(error)) => {
                    tracing::debug!(
                        target: "docker", container = self.container, %error,
                        "the output's stream broke"
                    );
                    self.pause(AGAIN).await;
                }
            }
            if self.token.is_cancelled() {
                return;
            }
        }
    }

    fn lost(&self, error: &dyn std::fmt::Display) {
        tracing::error!(
            target: "docker", container = self.container, task = self.target.prefix, %error,
            "could not write the task's log: its output is not kept from here on"
        );
    }

    /// The output ended; so will the container, unless the engine only lost the stream.
    async fn wait_for_end(&mut self) {
        let mut exit = self.exit.clone();
        tokio::select! {
            biased;
            () = self.token.cancelled() => {}
            _ = exit.wait_for(Option::is_some) => {}
            () = self.clock.sleep(END_WAIT) => {}
        }
    }

    async fn pause(&self, wait: Duration) {
        tokio::select! {
            biased;
            () = self.token.cancelled() => {}
            () = self.clock.sleep(wait) => {}
        }
    }

    /// Reads one stream of output to its end.
    async fn pass(&self, sinks: &mut Option<Sinks>, follow: bool) -> Result<End, Fault> {
        let from = sinks.as_mut().map_or(0, Sinks::resume);
        let path = format!(
            "/containers/{}/logs?stdout=1&stderr=1&timestamps=1&follow={}&since={}.{:09}",
            self.container,
            u8::from(follow),
            from.div_euclid(1_000_000_000),
            from.rem_euclid(1_000_000_000)
        );
        let mut body = match self.engine.send(Method::GET, &path, &[]).await {
            Ok(response) => response.into_body(),
            Err(error) if error.is_status(404) => return Ok(End::Gone),
            Err(EngineError::Refused { message, .. }) if message.contains("logging driver") => {
                tracing::warn!(
                    target: "docker", container = self.container, message,
                    "the task's logging driver keeps no output to read"
                );
                return Ok(End::Gone);
            }
            Err(error) => return Err(Fault::Engine(error)),
        };
        let mut decoder = Decoder::new(self.tty);
        loop {
            let frame = tokio::select! {
                biased;
                () = self.token.cancelled() => return Ok(End::Cancelled),
                frame = next(&mut body) => frame?,
            };
            let Some(data) = frame else {
                self.store(sinks, decoder.finish()).await?;
                return Ok(End::Dry);
            };
            let mut entries = decoder.take(data)?;
            let mut size = entries.iter().map(|e| e.text.len()).sum::<usize>();
            while size < BATCH_BYTES
                && let Some(Ok(Some(data))) = next(&mut body).now_or_never()
            {
                let more = decoder.take(data)?;
                size += more.iter().map(|e| e.text.len()).sum::<usize>();
                entries.extend(more);
            }
            self.store(sinks, entries).await?;
        }
    }

    async fn store(&self, sinks: &mut Option<Sinks>, entries: Vec<Entry>) -> Result<(), Fault> {
        if entries.is_empty() {
            return Ok(());
        }
        let Some(mut open) = sinks.take() else {
            return Err(Fault::Write(std::io::Error::other("the log is closed")));
        };
        let container = self.container.clone();
        let written = blocking("write logs", move || {
            let result = open.store(&container, entries);
            (open, result)
        })
        .await;
        let (open, result) = written.map_err(|e| Fault::Write(std::io::Error::other(e)))?;
        *sinks = Some(open);
        result.map_err(Fault::Write)
    }
}

enum Fault {
    Engine(EngineError),
    Write(std::io::Error),
}

async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Fault> {
    while let Some(frame) = body.frame().await {
        let broken = |e: hyper::Error| Fault::Engine(EngineError::Broken(e.to_string()));
        if let Ok(data) = frame.map_err(broken)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// One piece of output.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    output: Output,
    /// Unix nanoseconds; `None`: the engine gave none.
    time: Option<i64>,
    text: Bytes,
}

/// Takes the engine's stream apart.
struct Decoder {
    tty: bool,
    buffer: BytesMut,
}

impl Decoder {
    fn new(tty: bool) -> Self {
        Self {
            tty,
            buffer: BytesMut::new(),
        }
    }

    fn take(&mut self, data: Bytes) -> Result<Vec<Entry>, Fault> {
        self.buffer.extend_from_slice(&data);
        let mut entries = Vec::new();
        while let Some(entry) = if self.tty { self.line() } else { self.frame()? } {
            entries.push(entry);
        }
        Ok(entries)
    }

    /// An entry after a header: stream, three zeros, length.
    fn frame(&mut self) -> Result<Option<Entry>, Fault> {
        let Some((head, rest)) = self.buffer.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let output = match head[0] {
            0 | 1 => Output::Stdout,
            2 => Output::Stderr,
            _ => return Err(nonsense()),
        };
        if len > ENTRY_BYTES_MAX {
            return Err(nonsense());
        }
        if rest.len() < len {
            return Ok(None);
        }
        self.buffer.advance(8);
        let data = self.buffer.split_to(len).freeze();
        Ok(Some(entry(output, data)))
    }

    /// An entry of a terminal: no header; it ends with its line or when it is a full piece.
    fn line(&mut self) -> Option<Entry> {
        let start = stamp(&self.buffer).map_or(0, |(_, len)| len);
        let text = self.buffer.get(start..)?;
        let end = text.iter().take(PIECE_BYTES).position(|b| *b == b'\n');
        let len = match end {
            Some(end) => end + 1,
            None if text.len() >= PIECE_BYTES => PIECE_BYTES,
            None => return None,
        };
        let data = self.buffer.split_to(start + len).freeze();
        Some(entry(Output::Stdout, data))
    }

    /// What is left when the stream ends: a terminal's last line without its end.
    fn finish(&mut self) -> Vec<Entry> {
        if !self.tty || self.buffer.is_empty() {
            return Vec::new();
        }
        let data = self.buffer.split().freeze();
        vec![entry(Output::Stdout, data)]
    }
}

fn nonsense() -> Fault {
    Fault::Engine(EngineError::Broken(
        "the engine's log stream makes no sense".to_string(),
    ))
}

fn entry(output: Output, mut data: Bytes) -> Entry {
    let found = stamp(&data);
    if let Some((_, len)) = found {
        data.advance(len);
    }
    Entry {
        output,
        time: found.map(|(time, _)| time),
        text: data,
    }
}

/// The time at the start of an entry, and its length with the space behind it.
fn stamp(data: &[u8]) -> Option<(i64, usize)> {
    let end = data.iter().take(40).position(|b| *b == b' ')?;
    let text = std::str::from_utf8(&data[..end]).ok()?;
    let time: jiff::Timestamp = text.parse().ok()?;
    Some((i64::try_from(time.as_nanosecond()).ok()?, end + 1))
}

/// Both logs with how far each has come.
struct Sinks {
    stdout: Sink,
    stderr: Sink,
}

struct Sink {
    writer: LogWriter,
    position: Option<Position>,
    /// Where the present stream resumes, and how many entries of that very time it brought.
    resume: Option<Position>,
    met: u32,
}

impl Sinks {
    fn open(target: &LogTarget, container: &str) -> std::io::Result<Self> {
        let sink = |output| {
            let (writer, position) = LogWriter::open(target, output, container)?;
            Ok::<_, std::io::Error>(Sink {
                writer,
                position,
                resume: None,
                met: 0,
            })
        };
        Ok(Self {
            stdout: sink(Output::Stdout)?,
            stderr: sink(Output::Stderr)?,
        })
    }

    /// Prepares for a new stream; tells from which time it must bring entries.
    fn resume(&mut self) -> i64 {
        for sink in [&mut self.stdout, &mut self.stderr] {
            sink.resume = sink.position;
            sink.met = 0;
        }
        let time = |sink: &Sink| sink.position.map_or(0, |p| p.time);
        time(&self.stdout).min(time(&self.stderr))
    }

    fn store(&mut self, container: &str, entries: Vec<Entry>) -> std::io::Result<()> {
        for (sink, output) in [
            (&mut self.stdout, Output::Stdout),
            (&mut self.stderr, Output::Stderr),
        ] {
            let mut batch = Vec::new();
            for entry in entries.iter().filter(|e| e.output == output) {
                if sink.accept(entry.time) {
                    batch.extend_from_slice(&entry.text);
                }
            }
            sink.writer.write(&batch)?;
            if let Some(position) = sink.position {
                sink.writer.commit(container, position)?;
            }
        }
        Ok(())
    }
}

impl Sink {
    /// Whether an entry is new; moves on if so.
    fn accept(&mut self, time: Option<i64>) -> bool {
        let Some(time) = time else {
            return true;
        };
        if let Some(resume) = self.resume {
            if time < resume.time {
                return false;
            }
            if time == resume.time {
                self.met += 1;
                if self.met <= resume.count {
                    return false;
                }
            }
        }
        match &mut self.position {
            Some(position) if position.time == time => position.count += 1,
            position => *position = Some(Position { time, count: 1 }),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, text: &str) -> Vec<u8> {
        let mut bytes = vec![stream, 0, 0, 0];
        bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend(text.as_bytes());
        bytes
    }

    fn line(second: u8, text: &str) -> String {
        format!("2026-11-22T18:41:{second:02}.000000001Z {text}")
    }

    fn decode(tty: bool, bytes: &[u8], step: usize) -> Vec<(Output, String)> {
        let mut decoder = Decoder::new(tty);
        let mut entries = Vec::new();
        for part in bytes.chunks(step) {
            let part = decoder.take(Bytes::copy_from_slice(part));
            entries.extend(part.ok().expect("a sound stream"));
        }
        entries.extend(decoder.finish());
        entries
            .into_iter()
            .map(|e| {
                assert!(e.time.is_some());
                (e.output, String::from_utf8(e.text.to_vec()).unwrap())
            })
            .collect()
    }

    #[test]
    fn frames_are_found_whatever_the_chunks() {
        let mut bytes = frame(1, &line(1, "one\n"));
        bytes.extend(frame(2, &line(2, "two\n")));
        bytes.extend(frame(1, &line(3, "")));
        let expected = [
            (Output::Stdout, "one\n".to_string()),
            (Output::Stderr, "two\n".to_string()),
            (Output::Stdout, String::new()),
        ];
        for step in [1, 7, 1000] {
            assert_eq!(decode(false, &bytes, step), expected);
        }
    }

    #[test]
    fn a_terminals_lines_and_pieces_are_found() {
        let long = "x".repeat(PIECE_BYTES);
        let text = line(1, "one\r\n") + &line(2, &long) + &line(2, "rest\n") + &line(3, "$ ");
        let entries = decode(true, text.as_bytes(), 1000);
        let texts: Vec<&str> = entries.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["one\r\n", &long, "rest\n", "$ "]);
    }

    #[test]
    fn nonsense_is_an_error() {
        let mut decoder = Decoder::new(false);
        assert!(
            decoder
                .take(Bytes::from_static(b"HTTP/1.1 garbage"))
                .is_err()
        );
    }

    /// However a stream is cut and taken up again, each entry comes once.
    #[test]
    fn every_entry_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let target = LogTarget {
            dir: dir.path().display().to_string(),
            prefix: "web".to_string(),
            max_files: 9,
            max_file_bytes: 1000,
            disabled: false,
        };
        // Pieces of one line share a time.
        let times = [5, 5, 5, 6, 7, 7, 9];
        let entries = |from: i64, to: usize| -> Vec<Entry> {
            let new = |(i, time): (usize, &i64)| Entry {
                output: Output::Stdout,
                time: Some(*time),
                text: Bytes::from(format!("{i}\n")),
            };
            let all = times.iter().enumerate().take(to);
            all.filter(|(_, t)| **t >= from).map(new).collect()
        };
        for to in [2, 1, 4, 5, 7] {
            let mut sinks = Sinks::open(&target, "c").unwrap();
            let from = sinks
                .resume()
                .min(sinks.stdout.position.map_or(0, |p| p.time));
            sinks.store("c", entries(from, to)).unwrap();
        }
        let log = std::fs::read_to_string(dir.path().join("web.stdout.0")).unwrap();
        assert_eq!(log, "0\n1\n2\n3\n4\n5\n6\n");
    }
}
