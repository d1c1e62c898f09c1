//! A disk in memory that forgets what was not synced.
//!
//! Every file has the content that programs see and, beside it, what a power cut would leave:
//! the content of its last sync plus, drawn from the seed, any 512-byte sectors of the writes
//! since. Names (create, rename, unlink) reach the disk in order, so a cut leaves a prefix of
//! those since the last `sync_dir`.

#![allow(
    clippy::disallowed_methods,
    reason = "the simulation is the paused clock"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::env::disk::{Disk, DiskFile, DiskLock, DiskResult, Open};

/// What a write tears at.
const SECTOR: usize = 512;

/// A simulated disk. Cloning shares it; tests keep one clone to break it.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Image>>);

struct Image {
    rng: StdRng,
    /// Counts crashes; a handle from before one is dead.
    life: u64,
    next_inode: u64,
    inodes: BTreeMap<u64, Inode>,
    dirs: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    unsynced_names: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
    faults: Faults,
}

#[derive(Default)]
struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

enum Change {
    Write(u64, Bytes),
    SetLen(u64),
}

#[derive(Clone)]
enum NameChange {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Default)]
struct Faults {
    sync_delay: Duration,
    sync_error: Option<io::ErrorKind>,
    write_error: Option<io::ErrorKind>,
    /// Bytes in all files together, at most.
    capacity: Option<u64>,
    syncs: u64,
}

impl SimDisk {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Image {
            rng: StdRng::seed_from_u64(seed),
            life: 0,
            next_inode: 0,
            inodes: BTreeMap::new(),
            dirs: BTreeSet::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            locks: BTreeSet::new(),
            faults: Faults::default(),
        })))
    }

    fn image(&self) -> MutexGuard<'_, Image> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the power: unsynced changes are dropped or torn, open handles and locks die.
    pub fn crash(&self) {
        self.image().crash();
    }

    /// Kills the process only: open handles and locks die, all writes stay.
    pub fn kill(&self) {
        let mut image = self.image();
        image.life += 1;
        image.locks.clear();
    }

    /// Makes each sync take so long.
    pub fn set_sync_delay(&self, delay: Duration) {
        self.image().faults.sync_delay = delay;
    }

    /// Makes each sync fail, until it is set to `None`.
    pub fn set_sync_error(&self, error: Option<io::ErrorKind>) {
        self.image().faults.sync_error = error;
    }

    /// Makes each write fail, until it is set to `None`.
    pub fn set_write_error(&self, error: Option<io::ErrorKind>) {
        self.image().faults.write_error = error;
    }

    /// Limits the bytes of all files together; `Some(0)` is a full disk.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.image().faults.capacity = bytes;
    }

    /// How many syncs there have been.
    pub fn syncs(&self) -> u64 {
        self.image().faults.syncs
    }

    /// All files, with what a program would read from them.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let image = self.image();
        let read = |(path, inode): (&PathBuf, &u64)| {
            image
                .inodes
                .get(inode)
                .map(|found| (path.clone(), found.seen.clone()))
        };
        image.names.iter().filter_map(read).collect()
    }

    /// Puts a file there, durably, as a fault or another machine would; `None` takes it away.
    pub fn put(&self, path: &Path, content: Option<Vec<u8>>) {
        let mut image = self.image();
        image.names.remove(path);
        image.durable_names.remove(path);
        if let Some(bytes) = content {
            let inode = image.new_inode();
            let file = Inode {
                seen: bytes.clone(),
                durable: bytes,
                unsynced: Vec::new(),
            };
            image.inodes.insert(inode, file);
            image.names.insert(path.to_owned(), inode);
            image.durable_names.insert(path.to_owned(), inode);
            for dir in path.ancestors().skip(1) {
                image.dirs.insert(dir.to_owned());
            }
        }
    }
}

impl Image {
    fn new_inode(&mut self) -> u64 {
        self.next_inode += 1;
        self.next_inode
    }

    fn crash(&mut self) {
        self.life += 1;
        self.locks.clear();
        let changes = std::mem::take(&mut self.unsynced_names);
        let kept = self.rng.random_range(0..=changes.len());
        for change in &changes[..kept] {
            change.apply(&mut self.durable_names);
        }
        self.names = self.durable_names.clone();
        let alive: BTreeSet<u64> = self.names.values().copied().collect();
        self.inodes.retain(|inode, _| alive.contains(inode));
        for inode in self.inodes.values_mut() {
            inode.crash(&mut self.rng);
        }
    }

    fn find(&self, path: &Path) -> io::Result<u64> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    fn open(&mut self, path: &Path, how: Open) -> io::Result<u64> {
        let found = self.find(path);
        match (how, found) {
            (Open::Read | Open::Write, found) => found,
            (Open::CreateNew, Ok(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            (Open::Truncate, Ok(inode)) => {
                self.inode(inode)?.set_len(0);
                Ok(inode)
            }
            (Open::CreateNew | Open::Truncate, Err(_)) => {
                if !path.parent().is_some_and(|dir| self.dirs.contains(dir)) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                let inode = self.new_inode();
                self.inodes.insert(inode, Inode::default());
                self.change_name(NameChange::Link(path.to_owned(), inode));
                Ok(inode)
            }
        }
    }

    fn inode(&mut self, inode: u64) -> io::Result<&mut Inode> {
        self.inodes
            .get_mut(&inode)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn room_for(&mut self, inode: u64, end: u64) -> io::Result<()> {
        let Some(capacity) = self.faults.capacity else {
            return Ok(());
        };
        let grows = end.saturating_sub(self.inode(inode)?.seen.len() as u64);
        let used: u64 = self.inodes.values().map(|i| i.seen.len() as u64).sum();
        if grows > 0 && used + grows > capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn write(&mut self, inode: u64, offset: u64, bytes: Bytes) -> io::Result<()> {
        if let Some(kind) = self.faults.write_error {
            return Err(kind.into());
        }
        self.room_for(inode, offset + bytes.len() as u64)?;
        let file = self.inode(inode)?;
        overwrite(&mut file.seen, offset, &bytes);
        file.unsynced.push(Change::Write(offset, bytes));
        Ok(())
    }

    fn sync(&mut self, inode: u64) -> io::Result<()> {
        self.faults.syncs += 1;
        if let Some(kind) = self.faults.sync_error {
            return Err(kind.into());
        }
        self.inode(inode)?.sync();
        Ok(())
    }
}

impl Inode {
    fn set_len(&mut self, len: u64) {
        resize(&mut self.seen, len);
        self.unsynced.push(Change::SetLen(len));
    }

    fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Write(offset, bytes) => overwrite(&mut self.durable, offset, &bytes),
                Change::SetLen(len) => resize(&mut self.durable, len),
            }
        }
        debug_assert!(self.durable == self.seen);
    }

    fn crash(&mut self, rng: &mut StdRng) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Write(offset, bytes) => tear(&mut self.durable, offset, &bytes, rng),
                Change::SetLen(len) if rng.random_bool(0.5) => resize(&mut self.durable, len),
                Change::SetLen(_) => {}
            }
        }
        self.seen = self.durable.clone();
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Link(path, inode) => drop(names.insert(path.clone(), *inode)),
            Self::Unlink(path) => drop(names.remove(path)),
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }

    fn dir(&self) -> Option<&Path> {
        match self {
            Self::Link(path, _) | Self::Unlink(path) | Self::Rename(_, path) => path.parent(),
        }
    }
}

fn resize(content: &mut Vec<u8>, len: u64) {
    content.resize(
        usize::try_from(len).expect("a simulated file fits in memory"),
        0,
    );
}

fn overwrite(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = usize::try_from(offset).expect("a simulated file fits in memory");
    let end = start + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[start..end].copy_from_slice(bytes);
}

/// Keeps all of a write, nothing of it, or any of its sectors.
fn tear(content: &mut Vec<u8>, offset: u64, bytes: &[u8], rng: &mut StdRng) {
    let fate = rng.random_range(0..3);
    let mut start = 0;
    while start < bytes.len() {
        let at = offset + start as u64;
        let sector_end = SECTOR - (at as usize % SECTOR);
        let end = bytes.len().min(start + sector_end);
        if fate == 0 || (fate == 1 && rng.random_bool(0.5)) {
            overwrite(content, at, &bytes[start..end]);
        }
        start = end;
    }
}

fn ready<T: Send + 'static>(result: io::Result<T>) -> DiskResult<'static, T> {
    future::ready(result).boxed()
}

impl Disk for SimDisk {
    fn open<'a>(&'a self, path: &'a Path, how: Open) -> DiskResult<'a, Arc<dyn DiskFile>> {
        let mut image = self.image();
        let opened = image.open(path, how);
        let life = image.life;
        ready(opened.map(|inode| {
            let file: Arc<dyn DiskFile> = Arc::new(SimFile {
                disk: self.clone(),
                inode,
                life,
            });
            file
        }))
    }

    fn list<'a>(&'a self, dir: &'a Path) -> DiskResult<'a, Vec<String>> {
        let image = self.image();
        if !image.dirs.contains(dir) {
            return ready(Err(io::ErrorKind::NotFound.into()));
        }
        let inside = image.names.keys().filter(|path| path.parent() == Some(dir));
        let name = |path: &PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned());
        ready(Ok(inside.filter_map(name).collect()))
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> DiskResult<'a, ()> {
        let mut image = self.image();
        let found = image.find(from);
        ready(found.map(|_| image.change_name(NameChange::Rename(from.into(), to.into()))))
    }

    fn remove<'a>(&'a self, path: &'a Path) -> DiskResult<'a, ()> {
        let mut image = self.image();
        let found = image.find(path);
        ready(found.map(|_| image.change_name(NameChange::Unlink(path.into()))))
    }

    fn create_dir_all<'a>(&'a self, dir: &'a Path) -> DiskResult<'a, ()> {
        let mut image = self.image();
        image.dirs.extend(dir.ancestors().map(Path::to_owned));
        ready(Ok(()))
    }

    fn sync_dir<'a>(&'a self, dir: &'a Path) -> DiskResult<'a, ()> {
        let mut image = self.image();
        if let Some(kind) = image.faults.sync_error {
            return ready(Err(kind.into()));
        }
        let changes = std::mem::take(&mut image.unsynced_names);
        let (done, left): (Vec<_>, Vec<_>) = changes
            .into_iter()
            .partition(|change| change.dir() == Some(dir));
        for change in done {
            change.apply(&mut image.durable_names);
        }
        image.unsynced_names = left;
        ready(Ok(()))
    }

    fn lock<'a>(&'a self, path: &'a Path) -> DiskResult<'a, DiskLock> {
        let mut image = self.image();
        if !image.locks.insert(path.to_owned()) {
            return ready(Err(io::ErrorKind::WouldBlock.into()));
        }
        let guard = Unlock {
            disk: self.clone(),
            life: image.life,
            path: path.to_owned(),
        };
        ready(Ok(Box::new(guard) as DiskLock))
    }
}

struct Unlock {
    disk: SimDisk,
    life: u64,
    path: PathBuf,
}

impl Drop for Unlock {
    fn drop(&mut self) {
        let mut image = self.disk.image();
        if image.life == self.life {
            image.locks.remove(&self.path);
        }
    }
}

struct SimFile {
    disk: SimDisk,
    inode: u64,
    life: u64,
}

impl SimFile {
    fn with<T>(&self, work: impl FnOnce(&mut Image) -> io::Result<T>) -> io::Result<T> {
        let mut image = self.disk.image();
        if image.life != self.life {
            return Err(io::Error::other("this process was killed"));
        }
        work(&mut image)
    }

    /// Syncs after the delay; what was written meanwhile is synced with it.
    fn sync_after(&self, written: io::Result<()>) -> DiskResult<'static, ()> {
        let delay = self.disk.image().faults.sync_delay;
        let file = Self {
            disk: self.disk.clone(),
            inode: self.inode,
            life: self.life,
        };
        if let Err(e) = written {
            return ready(Err(e));
        }
        if delay.is_zero() {
            return ready(file.with(|image| image.sync(file.inode)));
        }
        let wait = tokio::time::sleep(delay);
        let finish = async move {
            wait.await;
            file.with(|image| image.sync(file.inode))
        };
        finish.boxed()
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, offset: u64, bytes: Bytes) -> DiskResult<'static, ()> {
        ready(self.with(|image| image.write(self.inode, offset, bytes)))
    }

    fn read_at(&self, offset: u64, len: usize) -> DiskResult<'static, Bytes> {
        ready(self.with(|image| {
            let seen = &image.inode(self.inode)?.seen;
            let start = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(seen.len());
            let end = start.saturating_add(len).min(seen.len());
            Ok(Bytes::copy_from_slice(&seen[start..end]))
        }))
    }

    fn sync_data(&self) -> DiskResult<'static, ()> {
        self.sync_after(Ok(()))
    }

    fn write_and_sync(&self, offset: u64, bytes: Bytes) -> DiskResult<'static, ()> {
        self.sync_after(self.with(|image| image.write(self.inode, offset, bytes)))
    }

    fn set_len(&self, len: u64) -> DiskResult<'static, ()> {
        ready(self.with(|image| {
            image.room_for(self.inode, len)?;
            image.inode(self.inode)?.set_len(len);
            Ok(())
        }))
    }

    fn size(&self) -> DiskResult<'static, u64> {
        ready(self.with(|image| Ok(image.inode(self.inode)?.seen.len() as u64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::disk::read_all;

    async fn file_with(disk: &SimDisk, synced: &'static [u8]) -> Arc<dyn DiskFile> {
        disk.create_dir_all(Path::new("/d")).await.unwrap();
        let file = disk.open(Path::new("/d/f"), Open::CreateNew).await.unwrap();
        file.write_and_sync(0, Bytes::from_static(synced))
            .await
            .unwrap();
        disk.sync_dir(Path::new("/d")).await.unwrap();
        file
    }

    #[tokio::test(start_paused = true)]
    async fn a_power_cut_keeps_the_synced_and_may_lose_the_rest() {
        let mut lost = 0;
        for seed in 0..40 {
            let disk = SimDisk::new(seed);
            let file = file_with(&disk, b"synced").await;
            file.write_at(6, Bytes::from_static(b"more")).await.unwrap();
            disk.crash();
            assert!(file.size().await.is_err());
            let left = read_all(&disk, Path::new("/d/f")).await.unwrap();
            assert!(left.starts_with(b"synced"));
            lost += usize::from(left.len() == 6);
        }
        assert!((1..40).contains(&lost), "{lost} of 40 cuts lost the write");
    }

    #[tokio::test(start_paused = true)]
    async fn a_kill_keeps_all_writes() {
        let disk = SimDisk::new(1);
        let file = file_with(&disk, b"synced").await;
        file.write_at(6, Bytes::from_static(b"more")).await.unwrap();
        disk.kill();
        let left = read_all(&disk, Path::new("/d/f")).await.unwrap();
        assert_eq!(&left[..], b"syncedmore");
    }

    #[tokio::test(start_paused = true)]
    async fn faults_are_reported() {
        let disk = SimDisk::new(1);
        let file = file_with(&disk, b"synced").await;
        disk.set_capacity(Some(6));
        let full = file
            .write_at(6, Bytes::from_static(b"x"))
            .await
            .unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        disk.set_capacity(None);
        disk.set_sync_error(Some(io::ErrorKind::Other));
        file.sync_data().await.unwrap_err();
        disk.set_sync_error(None);
        disk.set_sync_delay(Duration::from_millis(30));
        let before = tokio::time::Instant::now();
        file.sync_data().await.unwrap();
        assert!(before.elapsed() >= Duration::from_millis(30));
    }
}
