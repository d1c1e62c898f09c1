//! `raw_exec`: processes on the node, without isolation.
//!
//! Each task has a [supervisor](super::supervise), our own program run again, which keeps its
//! output and its exit code while the agent is away. The agent finds both processes again by
//! pid and birth.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::process::{self, Process, gone};
use super::supervise::{EXIT, Exit, ORDER, Order, PROCESS, SUPERVISE, Started};
use super::{
    Driver, DriverError, DriverFingerprint, DriverState, EventSink, ExecRequest, ExitResult,
    StartError, TaskDirs, TaskHandle, TaskSpec, signal,
};
use crate::client::taskenv::TaskPaths;
use crate::env::{Clock, TaskGroup, timeout};
use crate::model::Timestamp;
use crate::model::driver_config::{DriverConfig, RawExecConfig};
use crate::rpc::node::{ExecInput, ExecOutput, ExecStream, TaskStats};

const NAME: &str = "raw_exec";
/// How long a supervisor may take to start its command.
const START_MAX: Duration = Duration::from_secs(30);
/// How long a killed task may take to be gone.
const KILL_MAX: Duration = Duration::from_secs(10);
/// The time between two first looks at a task's figures.
const FIRST_SAMPLE: Duration = Duration::from_millis(100);
/// Pieces of an exec session that wait.
const WAITING_MAX: usize = 16;
const CHUNK_BYTES: usize = 8 << 10;
/// Variables of the agent that no task sees.
const SECRET: [&str; 11] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "CONSUL_HTTP_TOKEN",
    "CONSUL_TOKEN",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "NOMAD_LICENSE",
    "NOMAD_TOKEN",
    // Not a secret, but a task must not answer for the agent.
    "NOTIFY_SOCKET",
    "TUMEN_TOKEN",
    "VAULT_TOKEN",
];

/// The driver of `raw_exec`.
pub struct RawExecDriver {
    clock: Arc<dyn Clock>,
    core_mhz: f64,
    /// The program that is run as a supervisor.
    program: PathBuf,
    tasks: TaskGroup,
    running: Mutex<BTreeMap<String, Running>>,
}

/// What is remembered of a task beyond its handle.
#[derive(Clone)]
struct Running {
    child: Process,
    sample: Option<Sample>,
    /// What a command beside the task is given.
    env: BTreeMap<String, String>,
    dir: PathBuf,
}

#[derive(Clone, Copy)]
struct Sample {
    at: i64,
    user: Duration,
    system: Duration,
}

/// A handle's own part.
struct Place {
    dir: PathBuf,
    supervisor: Process,
}

fn place(handle: &TaskHandle) -> Result<Place, DriverError> {
    match &handle.state {
        DriverState::RawExec { dir, pid, birth } => Ok(Place {
            dir: PathBuf::from(dir),
            supervisor: Process {
                pid: *pid,
                birth: *birth,
            },
        }),
        DriverState::Docker { .. } | DriverState::Mock { .. } => Err(super::foreign(handle, NAME)),
    }
}

fn key(handle: &TaskHandle) -> String {
    format!("{}/{}/{}", handle.alloc, handle.task, handle.started_at)
}

impl RawExecDriver {
    /// A driver whose supervisors are this very program.
    pub fn new(clock: Arc<dyn Clock>, core_mhz: f64, token: CancellationToken) -> Self {
        // Still this program when its file has been replaced by a newer one.
        Self::with_program(clock, core_mhz, token, PathBuf::from("/proc/self/exe"))
    }

    /// A driver whose supervisors are `program`.
    pub fn with_program(
        clock: Arc<dyn Clock>,
        core_mhz: f64,
        token: CancellationToken,
        program: PathBuf,
    ) -> Self {
        Self {
            clock,
            core_mhz,
            program,
            tasks: TaskGroup::new(token),
            running: Mutex::default(),
        }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running
            .lock()
            .expect("no panic happens while the map is locked")
    }

    fn find(&self, handle: &TaskHandle) -> Result<Running, DriverError> {
        self.running().get(&key(handle)).cloned().ok_or_else(|| {
            DriverError::NotFound(format!("task {:?} does not run here", handle.task))
        })
    }

    async fn begin(&self, spec: TaskSpec) -> Result<TaskHandle, StartError> {
        let DriverConfig::RawExec(config) = &spec.config else {
            return Err(StartError::fatal(
                "these are not the options of a raw_exec task",
            ));
        };
        let dir = spec.dirs.task.join("private").join("supervisor");
        let order = order(&spec, config)?;
        self.clear(&dir).await;
        write_order(&dir, &order).map_err(|e| {
            StartError::recoverable(format!("could not write {}: {e}", dir.display()))
        })?;
        let started = timeout(&*self.clock, START_MAX, self.launch(&dir)).await;
        let started = started
            .map_err(|_| StartError::recoverable("the supervisor did not start the command"))??;
        let Started::Runs {
            supervisor,
            supervisor_birth,
            pid,
            birth,
        } = started
        else {
            let Started::Failed(why) = started else {
                return Err(StartError::recoverable("the supervisor made no sense"));
            };
            return Err(StartError::recoverable(why));
        };
        let handle = TaskHandle {
            alloc: spec.alloc,
            task: spec.task.clone(),
            started_at: self.clock.wall(),
            logs: spec.log_target(),
            state: DriverState::RawExec {
                dir: dir.display().to_string(),
                pid: supervisor,
                birth: supervisor_birth,
            },
        };
        let running = Running {
            child: Process { pid, birth },
            sample: None,
            env: order.env,
            dir: order.dir,
        };
        self.running().insert(key(&handle), running);
        Ok(handle)
    }

    /// Ends what an agent that died between start and journal left behind.
    async fn clear(&self, dir: &Path) {
        if let Some(Started::Runs {
            supervisor,
            supervisor_birth,
            pid,
            birth,
        }) = read::<Started>(&dir.join(PROCESS))
        {
            let old = Process {
                pid: supervisor,
                birth: supervisor_birth,
            };
            let child = Process { pid, birth };
            if child.is_alive() {
                tracing::warn!(target: "raw_exec", pid, "ending a task that nobody knows");
                child.kill_group();
            }
            if timeout(&*self.clock, KILL_MAX, gone(old)).await.is_err() {
                tracing::warn!(target: "raw_exec", pid = supervisor, "a supervisor is left");
            }
        }
    }

    async fn launch(&self, dir: &Path) -> Result<Started, StartError> {
        let failed = |e: io::Error| {
            StartError::recoverable(format!("could not run the task's supervisor: {e}"))
        };
        let mut child = tokio::process::Command::new(&self.program)
            .arg(SUPERVISE)
            .arg(dir)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let stdout = child.stdout.take().ok_or_else(|| {
            StartError::recoverable("the task's supervisor has no standard output")
        })?;
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line).await;
        read.map_err(failed)?;
        // As its parent we must take note of its end, or it stays as a zombie.
        let token = self.tasks.token().clone();
        let reap = async move {
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                status = child.wait() => tracing::debug!(
                    target: "raw_exec", status = ?status.ok(), "a supervisor ended"
                ),
            }
        };
        if !self.tasks.spawn("raw_exec reap", reap) {
            return Err(StartError::recoverable("the agent is stopping"));
        }
        serde_json::from_str(&line).map_err(|_| {
            StartError::recoverable("the task's supervisor ended without a word on its command")
        })
    }

    async fn wait_for(&self, handle: &TaskHandle) -> ExitResult {
        let place = match place(handle) {
            Ok(place) => place,
            Err(error) => return ExitResult::unknown(error.to_string()),
        };
        gone(place.supervisor).await;
        match read::<Exit>(&place.dir.join(EXIT)) {
            Some(exit) => ExitResult {
                exit_code: exit.code,
                signal: exit.signal,
                ..ExitResult::default()
            },
            None => {
                // Without its supervisor the command has nobody to write its output and end.
                if let Ok(running) = self.find(handle)
                    && running.child.is_alive()
                {
                    running.child.kill_group();
                }
                ExitResult {
                    exit_code: 137,
                    signal: signal::KILL,
                    err: Some("the task's supervisor was killed".to_string()),
                    ..ExitResult::default()
                }
            }
        }
    }

    async fn end(
        &self,
        handle: &TaskHandle,
        name: &str,
        kill_timeout: Duration,
    ) -> Result<(), DriverError> {
        let running = self.find(handle)?;
        let number = signal_number(if name.is_empty() { "SIGINT" } else { name })?;
        send(running.child, number)?;
        let ended = timeout(&*self.clock, kill_timeout, self.wait_for(handle)).await;
        if ended.is_ok() {
            return Ok(());
        }
        running.child.kill_group();
        let ended = timeout(&*self.clock, KILL_MAX, self.wait_for(handle)).await;
        ended.map(drop).map_err(|_| {
            DriverError::Failed(format!(
                "task {:?} still runs {KILL_MAX:?} after its kill",
                handle.task
            ))
        })
    }

    async fn measure(&self, handle: &TaskHandle) -> Result<TaskStats, DriverError> {
        let running = self.find(handle)?;
        if !running.child.is_alive() {
            return Err(DriverError::NotFound(format!(
                "task {:?} does not run",
                handle.task
            )));
        }
        let look = || {
            let usage = process::usage(running.child.pid);
            let sample = Sample {
                at: self.clock.wall(),
                user: usage.user,
                system: usage.system,
            };
            (sample, usage.rss)
        };
        let before = match running.sample {
            Some(sample) => sample,
            None => {
                let (first, _) = look();
                self.clock.sleep(FIRST_SAMPLE).await;
                first
            }
        };
        let (now, rss) = look();
        if let Some(running) = self.running().get_mut(&key(handle)) {
            running.sample = Some(now);
        }
        let wall = (now.at - before.at).max(1) as f64;
        let share = |now: Duration, then: Duration| {
            100.0 * now.saturating_sub(then).as_nanos() as f64 / wall
        };
        let (user, system) = (
            share(now.user, before.user),
            share(now.system, before.system),
        );
        Ok(TaskStats {
            memory_rss: Some(rss),
            memory_usage: Some(rss),
            cpu_percent: Some(user + system),
            cpu_user_percent: Some(user),
            cpu_system_percent: Some(system),
            cpu_ticks: Some((user + system) / 100.0 * self.core_mhz),
            time: Timestamp(now.at),
            ..TaskStats::default()
        })
    }

    async fn exec_in(
        &self,
        handle: &TaskHandle,
        request: ExecRequest,
    ) -> Result<ExecStream, DriverError> {
        let running = self.find(handle)?;
        if request.tty {
            return Err(DriverError::Unsupported {
                driver: NAME,
                what: "give a command a terminal; use -t=false",
            });
        }
        let Some((program, args)) = request.command.split_first() else {
            return Err(DriverError::Invalid("command is not present".to_string()));
        };
        let child = tokio::process::Command::new(program)
            .args(args)
            .env_clear()
            .envs(&running.env)
            .current_dir(&running.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| DriverError::Failed(format!("could not run {program:?}: {e}")))?;
        let (input, inputs) = mpsc::channel(WAITING_MAX);
        let (outputs, output) = mpsc::channel(WAITING_MAX);
        let token = self.tasks.token().clone();
        let run = async move {
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                () = session(child, inputs, outputs) => {}
            }
        };
        if !self.tasks.spawn("raw_exec exec", run) {
            return Err(DriverError::Failed("the agent is stopping".to_string()));
        }
        Ok(ExecStream { input, output })
    }
}

/// Ends every task below `allocs`, the directory of a client's allocations, whose agent is gone;
/// returns how many ran.
pub(crate) async fn end_all(clock: &dyn Clock, allocs: &Path) -> Result<usize, String> {
    let below = |dir: &Path| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let mut ended = 0;
    for task in below(allocs).iter().flat_map(|alloc| below(alloc)) {
        let supervisor = task.join("private").join("supervisor");
        let Some(Started::Runs {
            supervisor,
            supervisor_birth,
            pid,
            birth,
        }) = read::<Started>(&supervisor.join(PROCESS))
        else {
            continue;
        };
        let child = Process { pid, birth };
        if child.is_alive() {
            ended += 1;
            child.kill_group();
        }
        let supervisor = Process {
            pid: supervisor,
            birth: supervisor_birth,
        };
        if timeout(clock, KILL_MAX, gone(supervisor)).await.is_err() {
            return Err(format!("process {} does not end", supervisor.pid));
        }
    }
    Ok(ended)
}

fn signal_number(name: &str) -> Result<i32, DriverError> {
    signal::number(name).ok_or_else(|| DriverError::Invalid(format!("unknown signal {name:?}")))
}

fn send(process: Process, number: i32) -> Result<(), DriverError> {
    process
        .signal(number)
        .map(drop)
        .map_err(|e| DriverError::Failed(format!("could not signal {}: {e}", process.pid)))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn order(spec: &TaskSpec, config: &RawExecConfig) -> Result<Order, StartError> {
    let denied =
        |name: &str| SECRET.contains(&name) || config.denied_envvars.iter().any(|d| d == name);
    let mut env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
        .filter(|(name, _)| !denied(name))
        .collect();
    env.extend(spec.env.clone());
    Ok(Order {
        command: config.command.clone(),
        args: config.args.clone(),
        env,
        dir: spec.dirs.task.join(&config.work_dir),
        user: user(&spec.user)?,
        oom_score_adj: config.oom_score_adj,
        logs: spec.log_target(),
    })
}

/// User and group of a name or number in `/etc/passwd`; `None` for the agent's own.
fn user(name: &str) -> Result<Option<(u32, u32)>, StartError> {
    if name.is_empty() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")
        .map_err(|e| StartError::fatal(format!("could not read /etc/passwd: {e}")))?;
    let found = users.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let (login, uid, gid) = (fields.first()?, fields.get(2)?, fields.get(3)?);
        (*login == name || *uid == name).then_some((uid.parse().ok()?, gid.parse().ok()?))
    });
    match found {
        Some(ids) => Ok(Some(ids)),
        None => Err(StartError::fatal(format!(
            "user {name:?} does not exist on this node"
        ))),
    }
}

/// Writes what the supervisor reads. It holds the task's environment, so it is for us alone.
fn write_order(dir: &Path, order: &Order) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)?;
    for stale in [EXIT, PROCESS] {
        match fs::remove_file(dir.join(stale)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(dir.join(ORDER))?;
    io::Write::write_all(&mut file, &serde_json::to_vec(order)?)
}

/// Carries a command's input and output until it ends.
async fn session(
    mut child: tokio::process::Child,
    mut inputs: mpsc::Receiver<ExecInput>,
    outputs: mpsc::Sender<ExecOutput>,
) {
    let mut stdin = child.stdin.take();
    let feed = async {
        while let Some(next) = inputs.recv().await {
            match next {
                ExecInput::Stdin(data) => {
                    if let Some(pipe) = &mut stdin
                        && pipe.write_all(&data).await.is_err()
                    {
                        stdin = None;
                    }
                }
                ExecInput::CloseStdin => stdin = None,
                ExecInput::Resize { .. } => {}
            }
        }
        std::future::pending::<()>().await;
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let drain = async {
        tokio::join!(
            carry(stdout, &outputs, ExecOutput::Stdout),
            carry(stderr, &outputs, ExecOutput::Stderr)
        );
        child.wait().await
    };
    let last = tokio::select! {
        biased;
        () = outputs.closed() => return,
        status = drain => match status {
            Ok(status) => {
                use std::os::unix::process::ExitStatusExt;
                let signal = status.signal().unwrap_or(0);
                ExecOutput::Exited(status.code().unwrap_or(128 + signal))
            }
            Err(error) => ExecOutput::Failed(error.to_string()),
        },
        () = feed => return,
    };
    if outputs.send(last).await.is_err() {
        tracing::debug!(target: "raw_exec", "nobody waits for the command's end");
    }
}

async fn carry(
    from: Option<impl tokio::io::AsyncRead + Unpin>,
    to: &mpsc::Sender<ExecOutput>,
    piece: impl Fn(bytes::Bytes) -> ExecOutput,
) {
    let Some(mut from) = from else {
        return;
    };
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(n) = from.read(&mut chunk).await {
        let data = bytes::Bytes::copy_from_slice(&chunk[..n]);
        if n == 0 || to.send(piece(data)).await.is_err() {
            return;
        }
    }
}

impl Driver for RawExecDriver {
    fn name(&self) -> &'static str {
        NAME
    }

    fn fingerprint(&self) -> BoxFuture<'_, DriverFingerprint> {
        let attributes = BTreeMap::from([("driver.raw_exec".to_string(), "1".to_string())]);
        std::future::ready(DriverFingerprint::healthy(attributes)).boxed()
    }

    fn paths(&self, dirs: &TaskDirs) -> TaskPaths {
        super::host_paths(dirs)
    }

    fn start(
        &self,
        spec: TaskSpec,
        _events: EventSink,
    ) -> BoxFuture<'_, Result<TaskHandle, StartError>> {
        self.begin(spec).boxed()
    }

    fn recover<'a>(&'a self, handle: &'a TaskHandle) -> BoxFuture<'a, Result<(), DriverError>> {
        async move {
            let place = place(handle)?;
            let lost = || DriverError::NotFound(format!("task {:?} is gone", handle.task));
            let ended = place.dir.join(EXIT).exists();
            if !ended && !place.supervisor.is_alive() {
                return Err(lost());
            }
            let Some(Started::Runs { pid, birth, .. }) = read(&place.dir.join(PROCESS)) else {
                return Err(lost());
            };
            let task = place.dir.ancestors().nth(2).unwrap_or(&place.dir);
            let running = Running {
                child: Process { pid, birth },
                sample: None,
                env: environment_of(pid),
                dir: task.to_path_buf(),
            };
            self.running().entry(key(handle)).or_insert(running);
            Ok(())
        }
        .boxed()
    }

    fn wait<'a>(&'a self, handle: &'a TaskHandle) -> BoxFuture<'a, ExitResult> {
        self.wait_for(handle).boxed()
    }

    fn stop<'a>(
        &'a self,
        handle: &'a TaskHandle,
        signal: &'a str,
        kill_timeout: Duration,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        self.end(handle, signal, kill_timeout).boxed()
    }

    fn signal<'a>(
        &'a self,
        handle: &'a TaskHandle,
        signal: &'a str,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        async move {
            let number = signal_number(signal)?;
            send(self.find(handle)?.child, number)
        }
        .boxed()
    }

    fn destroy<'a>(&'a self, handle: &'a TaskHandle) -> BoxFuture<'a, Result<(), DriverError>> {
        async move {
            let place = place(handle)?;
            if let Ok(running) = self.find(handle)
                && place.supervisor.is_alive()
            {
                running.child.kill_group();
                if timeout(&*self.clock, KILL_MAX, self.wait_for(handle))
                    .await
                    .is_err()
                {
                    return Err(DriverError::Failed(format!(
                        "task {:?} does not die",
                        handle.task
                    )));
                }
            }
            self.running().remove(&key(handle));
            Ok(())
        }
        .boxed()
    }

    fn stats<'a>(
        &'a self,
        handle: &'a TaskHandle,
    ) -> BoxFuture<'a, Result<TaskStats, DriverError>> {
        self.measure(handle).boxed()
    }

    fn exec<'a>(
        &'a self,
        handle: &'a TaskHandle,
        request: ExecRequest,
    ) -> BoxFuture<'a, Result<ExecStream, DriverError>> {
        self.exec_in(handle, request).boxed()
    }

    /// Nothing to do: a task that nobody knows is ended when its directory is used again.
    fn sweep<'a>(&'a self, _live: &'a [TaskHandle]) -> BoxFuture<'a, Result<usize, DriverError>> {
        std::future::ready(Ok(0)).boxed()
    }

    fn detach(&self) -> BoxFuture<'_, ()> {
        self.tasks.shutdown().boxed()
    }
}

/// The environment that a process was started with.
fn environment_of(pid: i32) -> BTreeMap<String, String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let pairs = bytes.split(|b| *b == 0).filter_map(|pair| {
        let (key, value) = std::str::from_utf8(pair).ok()?.split_once('=')?;
        Some((key.to_string(), value.to_string()))
    });
    pairs.collect()
}
