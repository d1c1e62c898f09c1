//! Files of the operating system. Each open file has one thread, so that a slow sync never
//! holds a runtime worker and operations keep their order.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
};

use bytes::Bytes;
use futures_util::{FutureExt, future};
use tokio::sync::oneshot;

use crate::env::disk::{Disk, DiskFile, DiskLock, DiskResult, Open};

/// Enough for a system call with a few frames above it.
const STACK_BYTES: usize = 256 << 10;

/// Work waiting for a file's thread. Callers wait for each answer, so few are under way.
const QUEUE_MAX: usize = 1024;

type Job<S> = Box<dyn FnOnce(&S) + Send>;

/// A thread that runs jobs on one value, in order, until its last handle is dropped.
struct Worker<S>(mpsc::SyncSender<Job<S>>);

impl<S: Send + 'static> Worker<S> {
    fn start(name: &str, value: S) -> io::Result<Self> {
        let (jobs, queue) = mpsc::sync_channel::<Job<S>>(QUEUE_MAX);
        let run = move || queue.iter().for_each(|job| job(&value));
        thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK_BYTES)
            .spawn(run)?;
        Ok(Self(jobs))
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&S) -> io::Result<T> + Send + 'static,
    ) -> DiskResult<'static, T> {
        let (answer, result) = oneshot::channel();
        // A dropped receiver means that nobody waits any more; the work is done all the same.
        let job: Job<S> = Box::new(move |value| drop(answer.send(work(value))));
        match self.0.try_send(job) {
            Ok(()) => result.map(|r| r.unwrap_or_else(|_| Err(gone()))).boxed(),
            Err(mpsc::TrySendError::Full(_)) => {
                let text = format!("more than {QUEUE_MAX} disk operations wait");
                future::ready(Err(io::Error::new(io::ErrorKind::ResourceBusy, text))).boxed()
            }
            Err(mpsc::TrySendError::Disconnected(_)) => future::ready(Err(gone())).boxed(),
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the disk thread has ended")
}

/// See the module.
pub struct RealDisk {
    names: io::Result<Worker<()>>,
}

impl RealDisk {
    pub fn new() -> Self {
        Self {
            names: Worker::start("disk", ()),
        }
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> DiskResult<'static, T> {
        match &self.names {
            Ok(worker) => worker.run(move |()| work()),
            Err(e) => future::ready(Err(io::Error::new(e.kind(), e.to_string()))).boxed(),
        }
    }
}

impl Default for RealDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl Disk for RealDisk {
    fn open<'a>(&'a self, path: &'a Path, how: Open) -> DiskResult<'a, Arc<dyn DiskFile>> {
        let path = path.to_owned();
        self.run(move || {
            let mut options = OpenOptions::new();
            // Nobody else's to read: these files hold secrets and other people's jobs.
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.read(true).write(how != Open::Read);
            match how {
                Open::Read | Open::Write => &mut options,
                Open::CreateNew => options.create_new(true),
                Open::Truncate => options.create(true).truncate(true),
            };
            let file = options.open(path)?;
            let file: Arc<dyn DiskFile> = Arc::new(RealFile(Worker::start("disk-file", file)?));
            Ok(file)
        })
    }

    fn list<'a>(&'a self, dir: &'a Path) -> DiskResult<'a, Vec<String>> {
        let dir = dir.to_owned();
        self.run(move || {
            let mut names = Vec::new();
            for entry in fs::read_dir(dir)? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    names.push(entry.file_name().to_string_lossy().into_owned());
                }
            }
            names.sort();
            Ok(names)
        })
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> DiskResult<'a, ()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.run(move || fs::rename(from, to))
    }

    fn remove<'a>(&'a self, path: &'a Path) -> DiskResult<'a, ()> {
        let path = path.to_owned();
        self.run(move || fs::remove_file(path))
    }

    fn create_dir_all<'a>(&'a self, dir: &'a Path) -> DiskResult<'a, ()> {
        let dir = dir.to_owned();
        self.run(move || {
            let missing: Vec<PathBuf> = dir
                .ancestors()
                .take_while(|d| !d.exists())
                .map(Path::to_owned)
                .collect();
            fs::create_dir_all(&dir)?;
            for made in missing {
                if let Some(above) = made.parent().filter(|p| !p.as_os_str().is_empty()) {
                    File::open(above)?.sync_all()?;
                }
            }
            Ok(())
        })
    }

    fn sync_dir<'a>(&'a self, dir: &'a Path) -> DiskResult<'a, ()> {
        let dir = dir.to_owned();
        self.run(move || File::open(dir)?.sync_all())
    }

    fn lock<'a>(&'a self, path: &'a Path) -> DiskResult<'a, DiskLock> {
        let path = path.to_owned();
        self.run(move || {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            match file.try_lock() {
                Ok(()) => Ok(Box::new(file) as DiskLock),
                Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
                Err(TryLockError::Error(e)) => Err(e),
            }
        })
    }
}

struct RealFile(Worker<File>);

impl DiskFile for RealFile {
    fn write_at(&self, offset: u64, bytes: Bytes) -> DiskResult<'static, ()> {
        self.0.run(move |file| file.write_all_at(&bytes, offset))
    }

    fn read_at(&self, offset: u64, len: usize) -> DiskResult<'static, Bytes> {
        self.0.run(move |file| read_up_to(file, offset, len))
    }

    fn sync_data(&self) -> DiskResult<'static, ()> {
        self.0.run(File::sync_data)
    }

    fn write_and_sync(&self, offset: u64, bytes: Bytes) -> DiskResult<'static, ()> {
        self.0.run(move |file| {
            file.write_all_at(&bytes, offset)?;
            file.sync_data()
        })
    }

    fn set_len(&self, len: u64) -> DiskResult<'static, ()> {
        self.0.run(move |file| file.set_len(len))
    }

    fn size(&self) -> DiskResult<'static, u64> {
        self.0.run(|file| Ok(file.metadata()?.len()))
    }
}

fn read_up_to(file: &File, offset: u64, len: usize) -> io::Result<Bytes> {
    let there = file.metadata()?.len().saturating_sub(offset);
    let len = len.min(usize::try_from(there).unwrap_or(usize::MAX));
    let mut bytes = vec![0; len];
    let mut done = 0;
    while done < len {
        match file.read_at(&mut bytes[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(done);
    Ok(bytes.into())
}
