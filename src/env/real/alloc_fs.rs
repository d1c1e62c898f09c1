//! File operations that the kernel itself keeps inside a root (`openat2`).

use std::{
    ffi::OsStr,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use futures_util::{FutureExt, future::BoxFuture};
use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat},
    io::Errno,
};

use crate::env::{
    AllocFs,
    alloc_fs::{FileInfo, FsError, FsResult, Inside},
    blocking,
};

/// Directories nested deeper than this are not counted by `disk_usage`.
const DEPTH_MAX: usize = 128;

#[derive(Debug, Clone, Copy)]
pub struct RealAllocFs;

impl AllocFs for RealAllocFs {
    fn create_dir_all<'a>(&'a self, dir: &'a Inside, mode: u32) -> FsResult<'a, ()> {
        run("create directory", dir, move |dir| {
            create_dir_all(dir, mode)
        })
    }

    fn read<'a>(&'a self, file: &'a Inside, offset: u64, limit: usize) -> FsResult<'a, Vec<u8>> {
        run("read", file, move |file| read(file, offset, limit))
    }

    fn write<'a>(&'a self, file: &'a Inside, bytes: &'a [u8], mode: u32) -> FsResult<'a, ()> {
        let bytes = bytes.to_vec();
        run("write", file, move |file| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK;
            write_all(&open(file, flags, mode)?, &bytes)
        })
    }

    fn append<'a>(&'a self, file: &'a Inside, bytes: &'a [u8]) -> FsResult<'a, ()> {
        let bytes = bytes.to_vec();
        run("append to", file, move |file| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NONBLOCK;
            write_all(&open(file, flags, 0o644)?, &bytes)
        })
    }

    fn list<'a>(&'a self, dir: &'a Inside) -> FsResult<'a, Vec<FileInfo>> {
        run("list", dir, list)
    }

    fn stat<'a>(&'a self, file: &'a Inside) -> FsResult<'a, FileInfo> {
        run("stat", file, |file| {
            let stat = rustix::fs::fstat(open(file, OFlags::PATH, 0)?)?;
            let name = file.path.file_name().unwrap_or(OsStr::new("/"));
            Ok(info(name.to_string_lossy().into_owned(), &stat))
        })
    }

    fn remove_all<'a>(&'a self, path: &'a Inside) -> FsResult<'a, ()> {
        run("remove", path, remove_all)
    }

    fn rename<'a>(&'a self, from: &'a Inside, to: &'a Inside) -> FsResult<'a, ()> {
        let to = to.clone();
        run("rename", from, move |from| {
            let ((from_dir, from_name), (to_dir, to_name)) = (parent(from)?, parent(&to)?);
            Ok(rustix::fs::renameat(from_dir, from_name, to_dir, to_name)?)
        })
    }

    fn resolve<'a>(&'a self, path: &'a Inside) -> FsResult<'a, PathBuf> {
        run("resolve", path, |path| {
            opened_path(&open(path, OFlags::PATH, 0)?)
        })
    }

    fn disk_usage<'a>(&'a self, dir: &'a Inside) -> FsResult<'a, u64> {
        run("measure", dir, |dir| {
            usage(open(dir, OFlags::RDONLY | OFlags::DIRECTORY, 0)?)
        })
    }
}

/// Runs `work` on a blocking thread and names its failure.
fn run<'a, T: Send + 'static>(
    what: &'static str,
    path: &Inside,
    work: impl FnOnce(&Inside) -> io::Result<T> + Send + 'static,
) -> BoxFuture<'a, Result<T, FsError>> {
    let path = path.clone();
    let shown = path.shown();
    let result = blocking(what, move || work(&path));
    async move {
        let result = result
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        result.map_err(|source| match Errno::from_io_error(&source) {
            Some(Errno::NOENT) => FsError::NotFound(shown),
            Some(Errno::XDEV) => FsError::Escapes(shown),
            _ => FsError::Io {
                what,
                path: shown,
                source,
            },
        })
    }
    .boxed()
}

fn root(inside: &Inside) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, &inside.root, flags, Mode::empty())?)
}

/// Opens `inside.path`, links followed as long as they stay in the root.
fn open(inside: &Inside, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
    beneath(&root(inside)?, inside, &inside.path, flags, mode)
}

fn beneath(
    root: &OwnedFd,
    inside: &Inside,
    path: &Path,
    flags: OFlags,
    mode: u32,
) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let flags = flags | OFlags::CLOEXEC;
    let create = flags.contains(OFlags::CREATE);
    let mode = if create {
        Mode::from_raw_mode(mode)
    } else {
        Mode::empty()
    };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root, path, flags, mode, resolve) {
        Err(Errno::NOSYS | Errno::PERM) => checked(root, inside, path, flags, mode),
        result => Ok(result?),
    }
}

/// For kernels without `openat2`: open first, then see where that led.
fn checked(
    root: &OwnedFd,
    inside: &Inside,
    path: &Path,
    flags: OFlags,
    mode: Mode,
) -> io::Result<OwnedFd> {
    let parent_path = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let dir = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent_path = parent_path.unwrap_or(Path::new("."));
    let parent = rustix::fs::openat(root, parent_path, dir, Mode::empty())?;
    let base = std::fs::canonicalize(&inside.root)?;
    let within = |fd: &OwnedFd| match opened_path(fd)?.starts_with(&base) {
        true => Ok(()),
        false => Err(io::Error::from(Errno::XDEV)),
    };
    within(&parent)?;
    let name = path.file_name().unwrap_or(OsStr::new("."));
    // Without following a link at the end: where one is, it must lead to something inside.
    match rustix::fs::openat(&parent, name, flags | OFlags::NOFOLLOW, mode) {
        Err(Errno::LOOP) => {
            let look = OFlags::PATH | OFlags::CLOEXEC;
            let target = rustix::fs::openat(&parent, name, look, Mode::empty())?;
            within(&target)?;
            let target = opened_path(&target)?;
            Ok(rustix::fs::openat(
                CWD,
                target,
                flags | OFlags::NOFOLLOW,
                mode,
            )?)
        }
        result => Ok(result?),
    }
}

/// The path that an open file has now.
fn opened_path(fd: &OwnedFd) -> io::Result<PathBuf> {
    use std::os::fd::AsRawFd;
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// The opened directory above, and the last name.
fn parent(inside: &Inside) -> io::Result<(OwnedFd, &OsStr)> {
    let name = inside.path.file_name().ok_or(Errno::BUSY)?;
    let above = inside.path.parent().unwrap_or(Path::new(""));
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    Ok((beneath(&root(inside)?, inside, above, flags, 0)?, name))
}

fn create_dir_all(dir: &Inside, mode: u32) -> io::Result<()> {
    if !dir.root.exists() {
        std::fs::create_dir_all(&dir.root)?;
    }
    let root = root(dir)?;
    let mut above = PathBuf::new();
    for name in &dir.path {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let parent = beneath(&root, dir, &above, flags, 0)?;
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => above.push(name),
            Err(error) => return Err(error.into()),
        }
    }
    // Set apart from the creation, which the process's umask would narrow.
    let made = beneath(&root, dir, &dir.path, OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
    Ok(rustix::fs::fchmod(made, Mode::from_raw_mode(mode))?)
}

fn read(file: &Inside, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
    // Without blocking, or opening a named pipe would wait for its writer.
    let fd = open(file, OFlags::RDONLY | OFlags::NONBLOCK, 0)?;
    let stat = rustix::fs::fstat(&fd)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(Errno::ISDIR.into()),
        _ => return Err(io::Error::other("not a regular file")),
    }
    let left = u64::try_from(stat.st_size)
        .unwrap_or(0)
        .saturating_sub(offset);
    let mut bytes = vec![0; limit.min(usize::try_from(left).unwrap_or(usize::MAX))];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::io::pread(&fd, &mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn write_all(fd: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn list(dir: &Inside) -> io::Result<Vec<FileInfo>> {
    let fd = open(dir, OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
    let mut found = Vec::new();
    for entry in Dir::read_from(&fd)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => found.push(info(name.to_string_lossy().into_owned(), &stat)),
            Err(Errno::NOENT) => {} // removed while we were looking
            Err(error) => return Err(error.into()),
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn info(name: String, stat: &Stat) -> FileInfo {
    let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    FileInfo {
        name,
        is_dir: FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mode: stat.st_mode,
        modified: stat
            .st_mtime
            .saturating_mul(1_000_000_000)
            .saturating_add(nanoseconds),
    }
}

fn remove_all(path: &Inside) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    if path.path.as_os_str().is_empty() {
        return gone(std::fs::remove_dir_all(&path.root));
    }
    let (dir, name) = match parent(path) {
        Ok(found) => found,
        Err(error) => return gone(Err(error)),
    };
    match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {
            // The opened directory's own path, so that nobody can swap what is above it.
            let inside = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
            gone(std::fs::remove_dir_all(inside))
        }
        result => gone(result.map_err(io::Error::from)),
    }
}

/// What is not there is removed.
fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn usage(dir: OwnedFd) -> io::Result<u64> {
    let mut total = 0;
    let mut waiting = vec![(dir, 0)];
    while let Some((dir, depth)) = waiting.pop() {
        for entry in Dir::read_from(&dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Ok(stat) = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue; // removed while we were looking
            };
            total += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
            let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if is_dir && depth < DEPTH_MAX {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                if let Ok(inner) = rustix::fs::openat(&dir, name, flags, Mode::empty()) {
                    waiting.push((inner, depth + 1));
                }
            }
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::alloc_fs::suite;

    #[tokio::test]
    async fn behaves_like_a_file_system() {
        let dir = tempfile::tempdir().unwrap();
        suite(&RealAllocFs, dir.path()).await;
    }

    #[tokio::test]
    async fn links_are_followed_inside_and_refused_outside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("alloc");
        std::fs::create_dir_all(root.join("logs")).unwrap();
        std::fs::write(root.join("logs/out"), "inside").unwrap();
        std::fs::write(dir.path().join("secret"), "outside").unwrap();
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
        };
        link("logs/out", "good");
        link("../secret", "bad");
        link("/etc/passwd", "worse");
        link("..", "up");
        let at = |path: &str| Inside::new(&root, path).unwrap();
        assert_eq!(
            RealAllocFs.read(&at("good"), 0, 99).await.unwrap(),
            b"inside"
        );
        for path in ["bad", "worse", "up/secret"] {
            let error = RealAllocFs.read(&at(path), 0, 99).await.unwrap_err();
            assert!(matches!(error, FsError::Escapes(_)), "{path}: {error:?}");
            let error = RealAllocFs.write(&at(path), b"x", 0o644).await.unwrap_err();
            assert!(matches!(error, FsError::Escapes(_)), "{path}: {error:?}");
        }
        RealAllocFs.remove_all(&at("up")).await.unwrap();
        RealAllocFs.remove_all(&at("bad")).await.unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join("secret")).unwrap(),
            "outside"
        );
    }

    /// The way without `openat2` must be as tight.
    #[test]
    fn the_fallback_refuses_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let root_path = dir.path().join("alloc");
        std::fs::create_dir_all(root_path.join("logs")).unwrap();
        std::fs::write(root_path.join("logs/out"), "inside").unwrap();
        std::fs::write(dir.path().join("secret"), "outside").unwrap();
        std::os::unix::fs::symlink("../secret", root_path.join("bad")).unwrap();
        std::os::unix::fs::symlink("..", root_path.join("up")).unwrap();
        std::os::unix::fs::symlink("logs/out", root_path.join("good")).unwrap();
        let inside = Inside::new(&root_path, "").unwrap();
        let fd = root(&inside).unwrap();
        let open = |path: &str| {
            checked(&fd, &inside, Path::new(path), OFlags::RDONLY, Mode::empty()).map(drop)
        };
        open("logs/out").unwrap();
        open("good").unwrap();
        for path in ["bad", "up/secret", "up"] {
            let error = open(path).unwrap_err();
            assert_eq!(Errno::from_io_error(&error), Some(Errno::XDEV), "{path}");
        }
    }

    #[tokio::test]
    async fn a_named_pipe_is_refused_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(CWD, dir.path().join("pipe"), FileType::Fifo, mode, 0).unwrap();
        let pipe = Inside::new(dir.path(), "pipe").unwrap();
        RealAllocFs.read(&pipe, 0, 1).await.unwrap_err();
        RealAllocFs.append(&pipe, b"x").await.unwrap_err();
    }
}
