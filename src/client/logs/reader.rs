//! Reads logs and files as streams of frames, following them while they grow.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Output, file_index, file_name};
use crate::env::alloc_fs::{FsError, Inside};
use crate::env::{AllocFs, Clock};
use crate::rpc::node::{FrameStream, From, NodeError, StreamFrame};

/// The most data in one frame.
const FRAME_BYTES_MAX: usize = 64 << 10;
/// Frames that wait for a slow reader.
const FRAMES_WAITING_MAX: usize = 8;
/// How soon after a look at a file that had nothing new the next one comes.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What readers work with.
#[derive(Clone)]
pub struct LogReader {
    pub fs: Arc<dyn AllocFs>,
    pub clock: Arc<dyn Clock>,
    /// The allocation's directory.
    pub root: String,
}

/// Streams a task's output over all its files. Without `follow` it ends at the present end.
///
/// The caller drives the returned future as a task; it ends when the receiver is dropped.
pub fn stream_logs(
    reader: LogReader,
    task: String,
    output: Output,
    from: From,
    follow: bool,
) -> (impl Future<Output = ()> + Send + 'static, FrameStream) {
    let (sender, receiver) = mpsc::channel(FRAMES_WAITING_MAX);
    let run = async move {
        let log = Log { task, output };
        let mut walk = Walk::new(reader, sender, follow);
        let result = walk.logs(&log, from).await;
        walk.end(result).await;
    };
    (run, receiver)
}

/// Streams one file, `path` being relative to the allocation's directory.
pub fn stream_file(
    reader: LogReader,
    path: String,
    from: From,
    follow: bool,
) -> (impl Future<Output = ()> + Send + 'static, FrameStream) {
    let (sender, receiver) = mpsc::channel(FRAMES_WAITING_MAX);
    let run = async move {
        let mut walk = Walk::new(reader, sender, follow);
        let result = walk.file(path, from).await;
        walk.end(result).await;
    };
    (run, receiver)
}

struct Log {
    task: String,
    output: Output,
}

impl Log {
    fn path(&self, index: u64) -> String {
        format!("alloc/logs/{}", file_name(&self.task, self.output, index))
    }
}

/// Why a walk ended before its goal.
enum Stop {
    /// Nobody listens any more.
    Unheard,
    Failed(NodeError),
}

impl std::convert::From<FsError> for Stop {
    fn from(error: FsError) -> Self {
        let message = match &error {
            FsError::NotFound(path) => format!("{path}: no such file or directory"),
            FsError::Escapes(_) => error.to_string(),
            FsError::Io { source, .. } => format!("{error}: {source}"),
        };
        Self::Failed(match error {
            FsError::NotFound(_) => NodeError::NotFound(message),
            FsError::Escapes(_) => NodeError::BadRequest(message),
            FsError::Io { .. } => NodeError::Failed(message),
        })
    }
}

struct Walk {
    reader: LogReader,
    sender: mpsc::Sender<Result<StreamFrame, NodeError>>,
    follow: bool,
    /// The file that is read, and how far.
    path: String,
    offset: u64,
}

impl Walk {
    fn new(
        reader: LogReader,
        sender: mpsc::Sender<Result<StreamFrame, NodeError>>,
        follow: bool,
    ) -> Self {
        Self {
            reader,
            sender,
            follow,
            path: String::new(),
            offset: 0,
        }
    }

    async fn end(&self, result: Result<(), Stop>) {
        if let Err(Stop::Failed(error)) = result
            && self.sender.send(Err(error)).await.is_err()
        {
            tracing::debug!(target: "logs", "a reader left before its error came");
        }
    }

    async fn file(&mut self, path: String, from: From) -> Result<(), Stop> {
        self.path = path;
        let size = self.size().await?.ok_or_else(|| self.gone())?;
        self.offset = match from {
            From::Start(after) => after,
            From::End(before) => size.saturating_sub(before),
        };
        loop {
            self.send_rest().await?;
            if !self.follow {
                return Ok(());
            }
            self.pause().await?;
            match self.size().await? {
                None => return self.event("file deleted").await,
                Some(size) => self.after_cut(size).await?,
            }
        }
    }

    async fn logs(&mut self, log: &Log, from: From) -> Result<(), Stop> {
        let mut from = from;
        let mut index = loop {
            let files = self.files(log).await?;
            if let Some((index, offset)) = start(&files, from) {
                self.offset = offset;
                break index;
            }
            if !self.follow {
                return Ok(());
            }
            // All that comes from now on is new.
            from = From::Start(0);
            self.pause().await?;
        };
        loop {
            self.path = log.path(index);
            self.send_rest().await?;
            // A later file was begun after the last byte of this one, so one more look at this
            // one gets all of it.
            let files = self.files(log).await?;
            match files.iter().find(|(i, _)| *i > index) {
                Some((next, _)) => {
                    self.send_rest().await?;
                    (index, self.offset) = (*next, 0);
                }
                None if !self.follow => return Ok(()),
                None => {
                    let size = files.iter().find(|(i, _)| *i == index).map(|(_, s)| *s);
                    self.after_cut(size.unwrap_or(self.offset)).await?;
                    self.pause().await?;
                }
            }
        }
    }

    /// The log's files with their sizes, by index.
    async fn files(&self, log: &Log) -> Result<Vec<(u64, u64)>, Stop> {
        let dir = Inside::new(&self.reader.root, "alloc/logs")?;
        let mut files: Vec<(u64, u64)> = self
            .reader
            .fs
            .list(&dir)
            .await?
            .iter()
            .filter_map(|f| Some((file_index(&log.task, log.output, &f.name)?, f.size)))
            .collect();
        files.sort_unstable();
        Ok(files)
    }

    async fn size(&self) -> Result<Option<u64>, Stop> {
        let path = Inside::new(&self.reader.root, &self.path)?;
        match self.reader.fs.stat(&path).await {
            Ok(info) => Ok(Some(info.size)),
            Err(FsError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends what the file has behind the offset. A file that is gone has nothing.
    async fn send_rest(&mut self) -> Result<(), Stop> {
        let path = Inside::new(&self.reader.root, &self.path)?;
        loop {
            let read = self.reader.fs.read(&path, self.offset, FRAME_BYTES_MAX);
            let data = match read.await {
                Ok(data) if data.is_empty() => return Ok(()),
                Ok(data) => data,
                Err(FsError::NotFound(_)) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            self.offset += data.len() as u64;
            self.send(Bytes::from(data), "").await?;
        }
    }

    /// Starts over if the file is shorter than what was already read.
    async fn after_cut(&mut self, size: u64) -> Result<(), Stop> {
        if size < self.offset {
            self.offset = 0;
            self.event("file truncated").await?;
        }
        Ok(())
    }

    async fn event(&mut self, event: &str) -> Result<(), Stop> {
        self.send(Bytes::new(), event).await
    }

    async fn send(&mut self, data: Bytes, event: &str) -> Result<(), Stop> {
        let frame = StreamFrame {
            offset: self.offset,
            data,
            file: self.path.clone(),
            event: event.to_string(),
        };
        self.sender.send(Ok(frame)).await.map_err(|_| Stop::Unheard)
    }

    async fn pause(&self) -> Result<(), Stop> {
        tokio::select! {
            biased;
            () = self.sender.closed() => Err(Stop::Unheard),
            () = self.reader.clock.sleep(LOOK_AGAIN) => Ok(()),
        }
    }

    fn gone(&self) -> Stop {
        FsError::NotFound(self.path.clone()).into()
    }
}

/// The file and the offset in it where a stream begins.
fn start(files: &[(u64, u64)], from: From) -> Option<(u64, u64)> {
    let (last, _) = files.last()?;
    match from {
        From::Start(after) => {
            let mut skip = after;
            for (index, size) in files {
                if skip < *size || index == last {
                    return Some((*index, skip.min(*size)));
                }
                skip -= size;
            }
        }
        From::End(before) => {
            let mut back = before;
            for (index, size) in files.iter().rev() {
                if back <= *size {
                    return Some((*index, size - back));
                }
                back -= size;
            }
        }
    }
    files.first().map(|(index, _)| (*index, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;
    use crate::env::real::RealAllocFs;

    struct Fixture {
        dir: tempfile::TempDir,
        reader: LogReader,
    }

    impl Fixture {
        fn new(files: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(dir.path().join("alloc/logs")).unwrap();
            let reader = LogReader {
                fs: Arc::new(RealAllocFs),
                clock: Env::real().clock,
                root: dir.path().display().to_string(),
            };
            let fixture = Self { dir, reader };
            for (name, text) in files {
                fixture.write(name, text);
            }
            fixture
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.dir.path().join("alloc/logs").join(name), text).unwrap();
        }

        fn remove(&self, name: &str) {
            std::fs::remove_file(self.dir.path().join("alloc/logs").join(name)).unwrap();
        }

        fn logs(&self, from: From, follow: bool) -> FrameStream {
            let (run, frames) = stream_logs(
                self.reader.clone(),
                "web".to_string(),
                Output::Stdout,
                from,
                follow,
            );
            tokio::spawn(run);
            frames
        }
    }

    async fn all(mut frames: FrameStream) -> String {
        let mut text = String::new();
        while let Some(frame) = frames.recv().await {
            text.push_str(std::str::from_utf8(&frame.unwrap().data).unwrap());
        }
        text
    }

    async fn next(frames: &mut FrameStream) -> (String, u64, String, String) {
        let frame = frames.recv().await.unwrap().unwrap();
        let text = String::from_utf8(frame.data.to_vec()).unwrap();
        (frame.file, frame.offset, text, frame.event)
    }

    fn shown(file: &str, offset: u64, text: &str) -> (String, u64, String, String) {
        (
            format!("alloc/logs/{file}"),
            offset,
            text.to_string(),
            String::new(),
        )
    }

    #[tokio::test]
    async fn offsets_count_over_all_files() {
        let log = Fixture::new(&[
            ("web.stdout.9", "one\n"),
            ("web.stdout.10", "two\n"),
            ("web.stderr.0", "no\n"),
        ]);
        for (from, expected) in [
            (From::Start(0), "one\ntwo\n"),
            (From::Start(2), "e\ntwo\n"),
            (From::Start(4), "two\n"),
            (From::Start(99), ""),
            (From::End(0), ""),
            (From::End(2), "o\n"),
            (From::End(5), "\ntwo\n"),
            (From::End(99), "one\ntwo\n"),
        ] {
            assert_eq!(all(log.logs(from, false)).await, expected, "{from:?}");
        }
    }

    #[tokio::test]
    async fn following_crosses_rotation_and_retention() {
        let log = Fixture::new(&[("web.stdout.0", "one\n")]);
        let mut frames = log.logs(From::Start(0), true);
        assert_eq!(next(&mut frames).await, shown("web.stdout.0", 4, "one\n"));
        log.write("web.stdout.0", "one\ntwo\n");
        assert_eq!(next(&mut frames).await, shown("web.stdout.0", 8, "two\n"));
        log.write("web.stdout.3", "six\n");
        log.remove("web.stdout.0");
        assert_eq!(next(&mut frames).await, shown("web.stdout.3", 4, "six\n"));
    }

    #[tokio::test]
    async fn following_waits_for_the_first_file() {
        let log = Fixture::new(&[]);
        assert_eq!(all(log.logs(From::Start(0), false)).await, "");
        let mut frames = log.logs(From::Start(0), true);
        log.write("web.stdout.0", "");
        log.write("web.stdout.1", "one\n");
        assert_eq!(next(&mut frames).await.0, "alloc/logs/web.stdout.1");
    }

    #[tokio::test]
    async fn a_cut_file_is_told_and_read_again() {
        let log = Fixture::new(&[("x", "long text")]);
        let file = "alloc/logs/x".to_string();
        let (run, mut frames) = stream_file(log.reader.clone(), file, From::End(4), true);
        tokio::spawn(run);
        assert_eq!(next(&mut frames).await, shown("x", 9, "text"));
        log.write("x", "new");
        assert_eq!(next(&mut frames).await.3, "file truncated");
        assert_eq!(next(&mut frames).await, shown("x", 3, "new"));
        log.remove("x");
        assert_eq!(next(&mut frames).await.3, "file deleted");
        assert!(frames.recv().await.is_none());
    }

    #[tokio::test]
    async fn paths_that_lead_nowhere_or_out_are_refused() {
        let log = Fixture::new(&[]);
        for (path, expected) in [("nope", "not found"), ("../../etc/passwd", "bad request")] {
            let (run, mut frames) =
                stream_file(log.reader.clone(), path.to_string(), From::Start(0), false);
            tokio::spawn(run);
            let kind = match frames.recv().await.unwrap().unwrap_err() {
                NodeError::NotFound(_) => "not found",
                NodeError::BadRequest(_) => "bad request",
                NodeError::Failed(_) | NodeError::NoPath => "other",
            };
            assert_eq!(kind, expected);
        }
    }
}
