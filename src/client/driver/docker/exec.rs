//! Runs commands inside a container.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::engine::{Engine, EngineError};
use crate::client::driver::{DriverError, ExecRequest};
use crate::env::{Clock, TaskGroup};
use crate::rpc::node::{ExecInput, ExecOutput, ExecStream};

/// Pieces that wait in either direction.
const WAITING_MAX: usize = 16;
/// How often and how long the engine is asked for the code of a command whose output ended.
const CODE_TRIES: u32 = 100;
const CODE_PAUSE: Duration = Duration::from_millis(20);

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;
type Input = Pin<Box<dyn AsyncWrite + Send>>;

struct Command {
    engine: Engine,
    docker: Docker,
    clock: Arc<dyn Clock>,
    id: String,
}

/// Starts a command in `container`.
pub(super) async fn start(
    engine: &Engine,
    clock: Arc<dyn Clock>,
    tasks: &TaskGroup,
    container: &str,
    request: ExecRequest,
) -> Result<ExecStream, DriverError> {
    let failed = |e: EngineError| match e {
        EngineError::Refused {
            status: 404 | 409,
            message,
        } => DriverError::NotFound(message),
        other => DriverError::Failed(other.to_string()),
    };
    let docker = engine.api().map_err(failed)?;
    let options = CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(request.tty),
        cmd: Some(request.command),
        ..CreateExecOptions::default()
    };
    let created = docker.create_exec(container, options).await;
    let id = created.map_err(|e| failed(engine.error(e)))?.id;
    let options = StartExecOptions {
        tty: request.tty,
        ..StartExecOptions::default()
    };
    let started = docker.start_exec(&id, Some(options)).await;
    let StartExecResults::Attached { output, input } =
        started.map_err(|e| failed(engine.error(e)))?
    else {
        return Err(DriverError::Failed(
            "the engine did not attach to the command".to_string(),
        ));
    };
    let command = Command {
        engine: engine.clone(),
        docker,
        clock,
        id,
    };
    let (to_command, inputs) = mpsc::channel(WAITING_MAX);
    let (outputs, from_command) = mpsc::channel(WAITING_MAX);
    let token = tasks.token().clone();
    let run = async move {
        tokio::select! {
            biased;
            () = token.cancelled() => {}
            () = command.run(output, input, inputs, outputs) => {}
        }
    };
    if !tasks.spawn("docker exec", run) {
        return Err(DriverError::Failed("the agent is stopping".to_string()));
    }
    Ok(ExecStream {
        input: to_command,
        output: from_command,
    })
}

impl Command {
    async fn run(
        self,
        output: Output,
        input: Input,
        inputs: mpsc::Receiver<ExecInput>,
        outputs: mpsc::Sender<ExecOutput>,
    ) {
        let end = tokio::select! {
            biased;
            () = outputs.closed() => return,
            end = forward(&self.engine, output, &outputs) => end,
            () = self.feed(input, inputs) => return,
        };
        let last = match end {
            Ok(()) => self.code().await,
            Err(why) => ExecOutput::Failed(why),
        };
        if outputs.send(last).await.is_err() {
            tracing::debug!(target: "docker", "nobody waits for the command's end");
        }
    }

    /// Hands input on. Goes on waiting when there is no more: only output ends a command.
    async fn feed(&self, mut input: Input, mut inputs: mpsc::Receiver<ExecInput>) {
        while let Some(next) = inputs.recv().await {
            let result = match next {
                ExecInput::Stdin(data) => write(&mut input, &data).await,
                ExecInput::CloseStdin => input.shutdown().await,
                ExecInput::Resize { width, height } => {
                    self.resize(width, height).await;
                    Ok(())
                }
            };
            if let Err(error) = result {
                tracing::debug!(target: "docker", %error, "the command takes no more input");
            }
        }
        std::future::pending::<()>().await;
    }

    async fn resize(&self, width: u16, height: u16) {
        let options = ResizeExecOptions { height, width };
        if let Err(error) = self.docker.resize_exec(&self.id, options).await {
            tracing::debug!(target: "docker", %error, "the terminal did not take its size");
        }
    }

    /// The command's exit code, once the engine knows it.
    async fn code(&self) -> ExecOutput {
        for _ in 0..CODE_TRIES {
            match self.docker.inspect_exec(&self.id).await {
                Ok(found) if found.running == Some(true) => {}
                Ok(found) => {
                    if let Some(code) = found.exit_code {
                        return ExecOutput::Exited(i32::try_from(code).unwrap_or(-1));
                    }
                }
                Err(error) => return ExecOutput::Failed(self.engine.error(error).to_string()),
            }
            self.clock.sleep(CODE_PAUSE).await;
        }
        ExecOutput::Failed("the engine does not tell how the command ended".to_string())
    }
}

async fn write(input: &mut Input, data: &Bytes) -> std::io::Result<()> {
    input.write_all(data).await?;
    input.flush().await
}

async fn forward(
    engine: &Engine,
    mut output: Output,
    outputs: &mpsc::Sender<ExecOutput>,
) -> Result<(), String> {
    while let Some(piece) = output.next().await {
        let piece = match piece.map_err(|e| engine.error(e).to_string())? {
            LogOutput::StdErr { message } => ExecOutput::Stderr(message),
            LogOutput::StdOut { message }
            | LogOutput::StdIn { message }
            | LogOutput::Console { message } => ExecOutput::Stdout(message),
        };
        if outputs.send(piece).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
