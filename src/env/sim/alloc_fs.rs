//! A directory tree in memory. It has no links, so nothing can lead out of a root.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::FutureExt;

use crate::env::{
    AllocFs, Clock,
    alloc_fs::{FileInfo, FsError, FsResult, Inside},
};

const DIR: u32 = 0o040_000;
const FILE: u32 = 0o100_000;

/// See the module. Clones share the tree.
#[derive(Clone)]
pub struct SimAllocFs {
    clock: Arc<dyn Clock>,
    tree: Arc<Mutex<BTreeMap<PathBuf, Entry>>>,
}

struct Entry {
    mode: u32,
    modified: i64,
    /// `None` for a directory.
    bytes: Option<Vec<u8>>,
}

type Tree = BTreeMap<PathBuf, Entry>;

impl SimAllocFs {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            tree: Arc::default(),
        }
    }

    fn with<'a, T: Send + 'a>(
        &self,
        act: impl FnOnce(&mut Tree) -> Result<T, FsError>,
    ) -> FsResult<'a, T> {
        let result = act(&mut self.tree.lock().unwrap_or_else(PoisonError::into_inner));
        std::future::ready(result).boxed()
    }

    fn put<'a>(
        &'a self,
        file: &Inside,
        mode: u32,
        put: impl FnOnce(&mut Vec<u8>),
    ) -> FsResult<'a, ()> {
        let modified = self.clock.wall();
        self.with(|tree| {
            let path = file.joined();
            let above = path.parent().unwrap_or(Path::new("/"));
            if above != file.root && tree.get(above).is_none_or(|entry| entry.bytes.is_some()) {
                return Err(FsError::NotFound(file.shown()));
            }
            let new = || Entry {
                mode: FILE | mode,
                modified,
                bytes: Some(Vec::new()),
            };
            let entry = tree.entry(path).or_insert_with(new);
            entry.modified = modified;
            let Some(bytes) = &mut entry.bytes else {
                return Err(is_dir("write", file));
            };
            put(bytes);
            Ok(())
        })
    }
}

fn is_dir(what: &'static str, path: &Inside) -> FsError {
    FsError::Io {
        what,
        path: path.shown(),
        source: io::ErrorKind::IsADirectory.into(),
    }
}

fn find<'a>(tree: &'a Tree, path: &Inside) -> Result<&'a Entry, FsError> {
    tree.get(&path.joined())
        .ok_or_else(|| FsError::NotFound(path.shown()))
}

fn info(path: &Path, entry: &Entry) -> FileInfo {
    let name = path
        .file_name()
        .map_or("/".into(), |name| name.to_string_lossy());
    FileInfo {
        name: name.into_owned(),
        is_dir: entry.bytes.is_none(),
        size: entry
            .bytes
            .as_ref()
            .map_or(4096, |bytes| bytes.len() as u64),
        mode: entry.mode,
        modified: entry.modified,
    }
}

impl AllocFs for SimAllocFs {
    fn create_dir_all<'a>(&'a self, dir: &'a Inside, mode: u32) -> FsResult<'a, ()> {
        let modified = self.clock.wall();
        self.with(|tree| {
            let mut path = dir.root.clone();
            let make = |mode| Entry {
                mode: DIR | mode,
                modified,
                bytes: None,
            };
            tree.entry(path.clone()).or_insert_with(|| make(0o755));
            for name in &dir.path {
                path.push(name);
                tree.entry(path.clone()).or_insert_with(|| make(0o755));
            }
            if let Some(made) = tree.get_mut(&path) {
                made.mode = DIR | mode;
            }
            Ok(())
        })
    }

    fn read<'a>(&'a self, file: &'a Inside, offset: u64, limit: usize) -> FsResult<'a, Vec<u8>> {
        self.with(|tree| {
            let Some(bytes) = &find(tree, file)?.bytes else {
                return Err(is_dir("read", file));
            };
            let start = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let end = start.saturating_add(limit).min(bytes.len());
            Ok(bytes[start..end].to_vec())
        })
    }

    fn write<'a>(&'a self, file: &'a Inside, bytes: &'a [u8], mode: u32) -> FsResult<'a, ()> {
        self.put(file, mode, |content| *content = bytes.to_vec())
    }

    fn append<'a>(&'a self, file: &'a Inside, bytes: &'a [u8]) -> FsResult<'a, ()> {
        self.put(file, 0o644, |content| content.extend_from_slice(bytes))
    }

    fn list<'a>(&'a self, dir: &'a Inside) -> FsResult<'a, Vec<FileInfo>> {
        self.with(|tree| {
            find(tree, dir)?;
            let path = dir.joined();
            let inside = tree.iter().filter(|(at, _)| at.parent() == Some(&path));
            Ok(inside.map(|(at, entry)| info(at, entry)).collect())
        })
    }

    fn stat<'a>(&'a self, file: &'a Inside) -> FsResult<'a, FileInfo> {
        self.with(|tree| Ok(info(&file.joined(), find(tree, file)?)))
    }

    fn remove_all<'a>(&'a self, path: &'a Inside) -> FsResult<'a, ()> {
        self.with(|tree| {
            let gone = path.joined();
            tree.retain(|at, _| !at.starts_with(&gone));
            Ok(())
        })
    }

    fn rename<'a>(&'a self, from: &'a Inside, to: &'a Inside) -> FsResult<'a, ()> {
        self.with(|tree| {
            find(tree, from)?;
            let (old, new) = (from.joined(), to.joined());
            tree.retain(|at, _| !at.starts_with(&new) || at.starts_with(&old));
            let moved: Vec<_> = tree
                .keys()
                .filter(|at| at.starts_with(&old))
                .cloned()
                .collect();
            for at in moved {
                let rest = at.strip_prefix(&old).unwrap_or(Path::new("")).to_owned();
                let target = if rest.as_os_str().is_empty() {
                    new.clone()
                } else {
                    new.join(rest)
                };
                if let Some(entry) = tree.remove(&at) {
                    tree.insert(target, entry);
                }
            }
            Ok(())
        })
    }

    fn resolve<'a>(&'a self, path: &'a Inside) -> FsResult<'a, PathBuf> {
        self.with(|tree| find(tree, path).map(|_| path.joined()))
    }

    fn disk_usage<'a>(&'a self, dir: &'a Inside) -> FsResult<'a, u64> {
        self.with(|tree| {
            let root = dir.joined();
            let inside = tree.iter().filter(|(at, _)| at.starts_with(&root));
            Ok(inside.map(|(at, entry)| info(at, entry).size).sum())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{alloc_fs::suite, sim::SimClock};

    #[tokio::test(start_paused = true)]
    async fn behaves_like_a_file_system() {
        suite(
            &SimAllocFs::new(Arc::new(SimClock::new())),
            Path::new("/root"),
        )
        .await;
    }
}
