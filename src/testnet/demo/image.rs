//! An image made from this very program, so that the first container needs no registry.
//!
//! It holds the program and the libraries that the system's loader gives it, nothing else.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tar::Tar;

/// Where the program is in the image.
pub const PROGRAM: &str = "/tumen";
/// The running program, even where its file was replaced.
const OWN: &str = "/proc/self/exe";

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("could not read `{}`", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not find out which libraries this program needs")]
    Libraries(#[source] io::Error),
    #[error("could not write the archive")]
    Write(#[from] io::Error),
    #[error("Docker did not take the image: {0}")]
    Import(String),
}

/// The image's files as a tar archive.
pub fn archive() -> Result<Vec<u8>, ImageError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| ImageError::Read {
            path: path.to_owned(),
            source,
        })
    };
    let program = read(Path::new(OWN))?;
    let mut tar = Tar::with_room(program.len() + (8 << 20));
    tar.dir("tmp", 0o1777)?;
    tar.file(PROGRAM.trim_start_matches('/'), 0o755, &program)?;
    for library in libraries()? {
        let inside = library.to_string_lossy().trim_start_matches('/').to_owned();
        tar.file(&inside, 0o755, &read(&library)?)?;
    }
    Ok(tar.finish())
}

/// The libraries of this program with the loader itself; none if it is linked statically.
fn libraries() -> Result<BTreeSet<PathBuf>, ImageError> {
    // The loader lists them instead of running the program; without a loader, the program
    // prints its version, which names no path.
    let listed = Command::new(OWN)
        .arg("-version")
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .output()
        .map_err(ImageError::Libraries)?;
    Ok(paths(&String::from_utf8_lossy(&listed.stdout)))
}

/// `libc.so.6 => /lib/libc.so.6 (0x…)` and `/lib64/ld-linux.so.2 (0x…)`.
fn paths(listed: &str) -> BTreeSet<PathBuf> {
    let rows = listed.lines().filter_map(|line| {
        let (path, _) = line.trim().split_once(" (0x")?;
        let path = path.split_once(" => ").map_or(path, |(_, path)| path);
        path.starts_with('/').then(|| PathBuf::from(path))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_list_is_read() {
        let listed = "\tlinux-vdso.so.1 (0x00007f9b629d7000)\n\
                      \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f9b5e93e000)\n\
                      \tlibgone.so => not found\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f9b629d9000)\n";
        let found: Vec<_> = paths(listed).into_iter().collect();
        let expected = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
        assert!(paths("Tumen v0.1.0\nBuildDate 2026\n").is_empty());
    }
}
