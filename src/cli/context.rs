//! What a command may touch: its output, the environment, the clock, the terminal.

use std::io::{BufRead, IsTerminal, Write};
use std::rc::Rc;

use anstream::{AutoStream, ColorChoice};
use jiff::tz::TimeZone;
use tokio::runtime::Runtime;

use super::fail::{Failure, Outcome};
use super::flags::Args;
use super::http_client::Client;
use super::settings::Settings;
use super::{format, json};

/// Looks up an environment variable.
pub type Environment = Box<dyn Fn(&str) -> Option<String>>;

/// One of the two output streams. The first error is kept; later writes do nothing.
pub struct Out {
    inner: Box<dyn Write>,
    pub failed: Option<std::io::Error>,
}

impl Out {
    /// Wraps a writer.
    pub fn new(inner: Box<dyn Write>) -> Self {
        Self {
            inner,
            failed: None,
        }
    }

    /// Writes bytes and flushes.
    pub fn write(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            let done = self
                .inner
                .write_all(bytes)
                .and_then(|()| self.inner.flush());
            self.failed = done.err();
        }
    }

    /// Writes text and a newline.
    pub fn line(&mut self, text: impl AsRef<str>) {
        self.write(format!("{}\n", text.as_ref()).as_bytes());
    }
}

/// Everything around a command.
pub struct Ctx {
    pub out: Out,
    pub err: Out,
    pub input: Box<dyn BufRead>,
    pub env: Environment,
    /// All environment variables.
    pub variables: Vec<(String, String)>,
    /// Whether standard output is a terminal.
    pub terminal: bool,
    /// Whether standard input is a terminal.
    pub keyboard: bool,
    pub zone: TimeZone,
    /// A time that stands still, in nanoseconds; the real one unless set.
    pub fixed_now: Option<i64>,
    pub runtime: Rc<Runtime>,
}

impl Ctx {
    /// The process's own streams, environment and clock.
    pub fn real(colour: ColorChoice) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            out: Out::new(Box::new(AutoStream::new(std::io::stdout(), colour))),
            err: Out::new(Box::new(AutoStream::new(std::io::stderr(), colour))),
            input: Box::new(std::io::BufReader::new(std::io::stdin())),
            env: Box::new(|name| std::env::var(name).ok()),
            variables: std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
            terminal: std::io::stdout().is_terminal(),
            keyboard: std::io::stdin().is_terminal(),
            zone: TimeZone::system(),
            fixed_now: None,
            runtime: Rc::new(runtime),
        })
    }

    /// Now, in nanoseconds since the epoch.
    pub fn now(&self) -> i64 {
        self.fixed_now.unwrap_or_else(|| {
            i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
        })
    }

    /// A client for the agent that flags and environment name.
    pub fn client(&self, args: &Args) -> Result<Client, Failure> {
        let settings = Settings::read(args, &self.env)?;
        Ok(Client::new(settings, Rc::clone(&self.runtime)))
    }

    /// The environment variables that are text.
    pub fn variables(&self) -> Vec<(String, String)> {
        self.variables.clone()
    }

    /// Prints a line to standard output.
    pub fn say(&mut self, text: impl AsRef<str>) {
        self.out.line(text);
    }

    /// A time in the user's zone.
    pub fn time(&self, nanos: i64) -> String {
        format::time(nanos, &self.zone)
    }

    /// How long ago something was.
    pub fn ago(&self, nanos: i64) -> String {
        format::since(nanos, self.now())
    }

    /// A time, relative unless `verbose`.
    pub fn when(&self, nanos: i64, verbose: bool) -> String {
        if verbose {
            self.time(nanos)
        } else {
            self.ago(nanos)
        }
    }

    /// Prints `data` as `-json` or `-t` ask for; `None` when neither is given.
    pub fn raw(
        &mut self,
        args: &Args,
        data: impl FnOnce() -> Result<serde_json::Value, Failure>,
    ) -> Option<Outcome> {
        if !json::wanted(args) {
            return None;
        }
        Some(data().and_then(|data| {
            let text = json::render(args, &data)?;
            self.say(text);
            Ok(super::fail::OK)
        }))
    }

    /// Asks a question that only `y` answers with yes.
    pub fn confirm(&mut self, question: &str) -> Result<bool, Failure> {
        self.out.write(format!("{question} [y/N] ").as_bytes());
        let mut answer = String::new();
        let read = self.input.read_line(&mut answer);
        match read {
            Ok(0) => {
                self.out.line("");
                Err(Failure::new("Failed to parse answer: EOF"))
            }
            Ok(_) => Ok(answer.trim_end_matches(['\r', '\n']) == "y"),
            Err(error) => Err(Failure::new(format!("Failed to parse answer: {error}"))),
        }
    }
}
