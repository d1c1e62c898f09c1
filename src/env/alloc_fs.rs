//! Small file operations inside one directory tree, from which no path can escape.
//!
//! Tasks own the content of their directories and may put any symbolic link there; the agent
//! runs as root. So every operation takes a root and a path *inside* it, and a link that
//! leads out of the root is refused.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use futures_util::future::BoxFuture;

/// Why a file operation failed.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    #[error("no file `{0}`")]
    NotFound(String),
    #[error("path `{0}` leads out of its directory")]
    Escapes(String),
    #[error("could not {what} `{path}`")]
    Io {
        what: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
}

/// What [`AllocFs::stat`] and [`AllocFs::list`] tell about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    pub name: String,
    pub is_dir: bool,
    pub size: u64,
    /// Unix permission bits with the file type, as `st_mode` has them.
    pub mode: u32,
    /// Unix nanoseconds.
    pub modified: i64,
}

/// A path inside a root: relative, without `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inside {
    pub root: PathBuf,
    /// Relative to `root`; empty for the root itself.
    pub path: PathBuf,
}

impl Inside {
    /// Takes `path` as seen from `root`, whether or not it starts with a slash. `..` is
    /// resolved as text, and an attempt to go above the root is refused.
    pub fn new(root: impl Into<PathBuf>, path: &str) -> Result<Self, FsError> {
        let mut clean = PathBuf::new();
        for part in Path::new(path).components() {
            match part {
                Component::Normal(name) => clean.push(name),
                Component::ParentDir => {
                    if !clean.pop() {
                        return Err(FsError::Escapes(path.to_owned()));
                    }
                }
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
        Ok(Self {
            root: root.into(),
            path: clean,
        })
    }

    /// The path as messages show it.
    pub fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// Root and path joined, links not yet followed.
    pub fn joined(&self) -> PathBuf {
        if self.path.as_os_str().is_empty() {
            self.root.clone()
        } else {
            self.root.join(&self.path)
        }
    }
}

/// What an operation returns.
pub type FsResult<'a, T> = BoxFuture<'a, Result<T, FsError>>;

/// The operations. All follow links inside the root and refuse links out of it.
pub trait AllocFs: Send + Sync {
    /// Makes the directory and its parents; `mode` is set on the last one, exactly.
    fn create_dir_all<'a>(&'a self, dir: &'a Inside, mode: u32) -> FsResult<'a, ()>;

    /// Up to `limit` bytes from `offset`; empty at or beyond the end.
    fn read<'a>(&'a self, file: &'a Inside, offset: u64, limit: usize) -> FsResult<'a, Vec<u8>>;

    /// Replaces the file's content; `mode` holds if the file is new.
    fn write<'a>(&'a self, file: &'a Inside, bytes: &'a [u8], mode: u32) -> FsResult<'a, ()>;

    /// Adds to the end, making the file if there is none.
    fn append<'a>(&'a self, file: &'a Inside, bytes: &'a [u8]) -> FsResult<'a, ()>;

    /// The directory's entries, sorted by name; links are not followed for them.
    fn list<'a>(&'a self, dir: &'a Inside) -> FsResult<'a, Vec<FileInfo>>;

    fn stat<'a>(&'a self, file: &'a Inside) -> FsResult<'a, FileInfo>;

    /// Removes a file, a link, or a directory with its content; nothing there is fine.
    fn remove_all<'a>(&'a self, path: &'a Inside) -> FsResult<'a, ()>;

    /// Renames within one root, replacing what is there.
    fn rename<'a>(&'a self, from: &'a Inside, to: &'a Inside) -> FsResult<'a, ()>;

    /// The real path with every link followed, for handing to a program that opens it.
    fn resolve<'a>(&'a self, path: &'a Inside) -> FsResult<'a, PathBuf>;

    /// Bytes used by everything under the directory, links not followed.
    fn disk_usage<'a>(&'a self, dir: &'a Inside) -> FsResult<'a, u64>;
}

/// What every implementation must do.
#[cfg(test)]
pub(super) async fn suite(fs: &dyn AllocFs, root: &Path) {
    let at = |path: &str| Inside::new(root, path).unwrap();
    fs.create_dir_all(&at("a/b"), 0o777).await.unwrap();
    fs.create_dir_all(&at("a/b"), 0o777).await.unwrap();
    assert_eq!(fs.stat(&at("a/b")).await.unwrap().mode & 0o7777, 0o777);
    let missing = fs.read(&at("a/x"), 0, 1).await.unwrap_err();
    assert!(matches!(missing, FsError::NotFound(path) if path == "a/x"));

    fs.write(&at("a/x"), b"hello world", 0o600).await.unwrap();
    fs.write(&at("a/x"), b"hello", 0o600).await.unwrap();
    fs.append(&at("a/x"), b" you").await.unwrap();
    assert_eq!(fs.read(&at("a/x"), 6, 99).await.unwrap(), b"you");
    assert_eq!(fs.read(&at("a/x"), 0, 5).await.unwrap(), b"hello");
    assert_eq!(fs.read(&at("a/x"), 99, 5).await.unwrap(), b"");

    let names = async |path: &str| {
        let found = fs.list(&at(path)).await.unwrap();
        found
            .into_iter()
            .map(|file| (file.name, file.is_dir, file.size))
            .collect::<Vec<_>>()
    };
    let listed = names("a").await;
    assert_eq!((listed[0].0.as_str(), listed[0].1), ("b", true));
    assert_eq!(listed[1], ("x".to_owned(), false, 9));

    fs.rename(&at("a/x"), &at("a/b/y")).await.unwrap();
    assert_eq!(names("a/b").await, [("y".to_owned(), false, 9)]);
    assert!(fs.resolve(&at("a/b/y")).await.unwrap().ends_with("a/b/y"));
    assert!(fs.disk_usage(&at("")).await.unwrap() > 0);
    fs.remove_all(&at("a")).await.unwrap();
    fs.remove_all(&at("a")).await.unwrap();
    assert_eq!(names("").await, []);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_cannot_climb_above_the_root() {
        let path = |text| Inside::new("/r", text).map(|inside| inside.shown());
        assert_eq!(path("/alloc/logs/../data").unwrap(), "alloc/data");
        assert_eq!(path("./a//b/.").unwrap(), "a/b");
        assert_eq!(path("").unwrap(), "");
        assert!(matches!(path("a/../../etc"), Err(FsError::Escapes(_))));
        assert!(matches!(path("../etc"), Err(FsError::Escapes(_))));
    }
}
