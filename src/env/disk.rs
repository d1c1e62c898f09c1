//! The disk under what must not be lost: the Raft log, snapshots and the bootstrap promise.
//!
//! **Owns** two object-safe traits. **Does not** retry: an operation that failed stays failed,
//! and after a failed sync nothing is known about the file any more.
//!
//! Operations on one file happen in the order in which their futures were *created*, also when
//! a future is dropped before it is ready.

use std::{any::Any, io, path::Path, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// The result of a disk operation.
pub type DiskResult<'a, T> = BoxFuture<'a, io::Result<T>>;

/// Keeps a directory locked for as long as it lives.
pub type DiskLock = Box<dyn Any + Send + Sync>;

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// To read; it must exist.
    Read,
    /// To read and write; it must exist.
    Write,
    /// To read and write; it must not exist.
    CreateNew,
    /// To read and write; what was there is emptied.
    Truncate,
}

/// A directory tree.
pub trait Disk: Send + Sync {
    fn open<'a>(&'a self, path: &'a Path, how: Open) -> DiskResult<'a, Arc<dyn DiskFile>>;

    /// The names of the files in `dir`, sorted; directories are left out.
    fn list<'a>(&'a self, dir: &'a Path) -> DiskResult<'a, Vec<String>>;

    /// Replaces `to` if it exists. Durable only after [`Disk::sync_dir`].
    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> DiskResult<'a, ()>;

    /// Unlinks a file. Durable only after [`Disk::sync_dir`].
    fn remove<'a>(&'a self, path: &'a Path) -> DiskResult<'a, ()>;

    /// Makes the directory and those above it, durably.
    fn create_dir_all<'a>(&'a self, dir: &'a Path) -> DiskResult<'a, ()>;

    /// Makes the names in `dir` durable.
    fn sync_dir<'a>(&'a self, dir: &'a Path) -> DiskResult<'a, ()>;

    /// Takes the lock file `path`, which is created if needed, or fails with `WouldBlock`.
    fn lock<'a>(&'a self, path: &'a Path) -> DiskResult<'a, DiskLock>;
}

/// An open file. Dropping the last handle closes it.
pub trait DiskFile: Send + Sync {
    /// Writes all of `bytes` at `offset`; the file grows if needed.
    fn write_at(&self, offset: u64, bytes: Bytes) -> DiskResult<'static, ()>;

    /// Reads up to `len` bytes; fewer only where the file ends.
    fn read_at(&self, offset: u64, len: usize) -> DiskResult<'static, Bytes>;

    /// Makes content and length durable.
    fn sync_data(&self) -> DiskResult<'static, ()>;

    /// [`DiskFile::write_at`], then [`DiskFile::sync_data`], in one step.
    fn write_and_sync(&self, offset: u64, bytes: Bytes) -> DiskResult<'static, ()>;

    fn set_len(&self, len: u64) -> DiskResult<'static, ()>;

    fn size(&self) -> DiskResult<'static, u64>;
}

/// Reads a whole file.
pub async fn read_all(disk: &dyn Disk, path: &Path) -> io::Result<Bytes> {
    let file = disk.open(path, Open::Read).await?;
    let len = file.size().await?;
    let len = usize::try_from(len).map_err(io::Error::other)?;
    file.read_at(0, len).await
}

/// Writes a whole file aside, syncs it and moves it into place: after a crash the file has
/// either its old content or the new one.
pub async fn replace(disk: &dyn Disk, path: &Path, bytes: Bytes) -> io::Result<()> {
    let aside = path.with_extension("tmp");
    let file = disk.open(&aside, Open::Truncate).await?;
    file.write_and_sync(0, bytes).await?;
    drop(file);
    disk.rename(&aside, path).await?;
    let dir = path.parent().unwrap_or(Path::new(""));
    disk.sync_dir(dir).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{real::RealDisk, sim::SimDisk};

    /// What every implementation does alike.
    async fn suite(disk: &dyn Disk, root: &Path) {
        let dir = root.join("a/b");
        let path = dir.join("one");
        disk.create_dir_all(&dir).await.unwrap();
        assert_eq!(disk.list(&dir).await.unwrap(), Vec::<String>::new());
        let missing = disk.open(&path, Open::Read).await.err().unwrap();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);

        let file = disk.open(&path, Open::CreateNew).await.unwrap();
        let again = disk.open(&path, Open::CreateNew).await.err().unwrap();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let first = file.write_at(0, Bytes::from_static(b"hello"));
        let second = file.write_and_sync(3, Bytes::from_static(b"p!"));
        second.await.unwrap();
        first.await.unwrap();
        file.set_len(8).await.unwrap();
        file.sync_data().await.unwrap();
        assert_eq!(file.size().await.unwrap(), 8);
        assert_eq!(&file.read_at(1, 100).await.unwrap()[..], b"elp!\0\0\0");
        assert_eq!(&file.read_at(9, 1).await.unwrap()[..], b"");
        drop(file);

        replace(disk, &dir.join("two"), Bytes::from_static(b"2"))
            .await
            .unwrap();
        assert_eq!(disk.list(&dir).await.unwrap(), ["one", "two"]);
        disk.rename(&path, &dir.join("two")).await.unwrap();
        assert_eq!(
            &read_all(disk, &dir.join("two")).await.unwrap()[..],
            b"help!\0\0\0"
        );
        disk.remove(&dir.join("two")).await.unwrap();
        disk.sync_dir(&dir).await.unwrap();
        assert_eq!(disk.list(&dir).await.unwrap(), Vec::<String>::new());

        let lock = disk.lock(&dir.join("lock")).await.unwrap();
        let taken = disk.lock(&dir.join("lock")).await.err().unwrap();
        assert_eq!(taken.kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        disk.lock(&dir.join("lock")).await.unwrap();
    }

    #[tokio::test]
    async fn real_disk_behaves() {
        let root = tempfile::tempdir().unwrap();
        suite(&RealDisk::new(), root.path()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn simulated_disk_behaves() {
        suite(&SimDisk::new(1), Path::new("/sim")).await;
    }
}
