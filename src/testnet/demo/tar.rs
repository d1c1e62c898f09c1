//! A tar archive, as small as an image needs it: files and directories of root.

use std::io;

const BLOCK: usize = 512;
/// Where the fields of a header are.
const NAME: std::ops::Range<usize> = 0..100;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const TYPE: usize = 156;
const PREFIX: std::ops::Range<usize> = 345..500;

/// An archive being written.
#[derive(Default)]
pub struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    /// An archive with room for `size` bytes of files.
    pub fn with_room(size: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(size + 64 * BLOCK),
        }
    }

    /// Adds a file; `path` has no slash in front.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.header(path, mode, content.len(), b'0')?;
        self.bytes.extend_from_slice(content);
        self.bytes
            .resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        Ok(())
    }

    /// Adds a directory.
    pub fn dir(&mut self, path: &str, mode: u32) -> io::Result<()> {
        self.header(&format!("{path}/"), mode, 0, b'5')
    }

    /// The whole archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }

    fn header(&mut self, path: &str, mode: u32, size: usize, kind: u8) -> io::Result<()> {
        let (prefix, name) = split(path)
            .ok_or_else(|| io::Error::other(format!("the path `{path}` is too long for tar")))?;
        let mut header = [0u8; BLOCK];
        header[NAME][..name.len()].copy_from_slice(name.as_bytes());
        header[PREFIX][..prefix.len()].copy_from_slice(prefix.as_bytes());
        header[TYPE] = kind;
        header[257..265].copy_from_slice(b"ustar\x0000");
        let octal = |value: u64, width: usize| format!("{value:0width$o}\0");
        for (at, text) in [
            (100, octal(u64::from(mode), 7)),
            (108, octal(0, 7)),            // owner
            (116, octal(0, 7)),            // group
            (124, octal(size as u64, 11)), // size
            (136, octal(0, 11)),           // time of change
        ] {
            header[at..at + text.len()].copy_from_slice(text.as_bytes());
        }
        // The sum is taken with spaces in its own place.
        header[CHECKSUM].fill(b' ');
        let sum: u64 = header.iter().map(|b| u64::from(*b)).sum();
        let text = format!("{sum:06o}\0 ");
        header[CHECKSUM].copy_from_slice(text.as_bytes());
        self.bytes.extend_from_slice(&header);
        Ok(())
    }
}

/// The two fields that hold a path: what does not fit the second goes to the first, at a slash.
fn split(path: &str) -> Option<(&str, &str)> {
    if path.len() <= NAME.len() {
        return Some(("", path));
    }
    let slashes = path.match_indices('/').map(|(at, _)| at);
    slashes
        .map(|at| (&path[..at], &path[at + 1..]))
        .find(|(prefix, name)| {
            prefix.len() <= PREFIX.len() && name.len() <= NAME.len() && !name.is_empty()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn tar_itself_reads_it() {
        let long = format!("usr/{}/{}", "d".repeat(120), "f".repeat(90));
        let mut tar = Tar::with_room(0);
        tar.dir("tmp", 0o1777).unwrap();
        tar.file("bin/a", 0o755, b"hello").unwrap();
        tar.file(&long, 0o644, &[7; 513]).unwrap();
        let archive = tar.finish();
        assert_eq!(archive.len() % BLOCK, 0);
        let mut reader = Command::new("tar")
            .args(["--numeric-owner", "-tvf", "-"])
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        reader.stdin.take().unwrap().write_all(&archive).unwrap();
        let read = reader.wait_with_output().unwrap();
        assert!(read.status.success());
        let text = String::from_utf8(read.stdout).unwrap();
        let rows: Vec<Vec<&str>> = text
            .lines()
            .map(|l| l.split_whitespace().collect())
            .collect();
        let row = |n: usize| (rows[n][0], rows[n][1], rows[n][2], rows[n][5]);
        assert_eq!(row(0), ("drwxrwxrwt", "0/0", "0", "tmp/"));
        assert_eq!(row(1), ("-rwxr-xr-x", "0/0", "5", "bin/a"));
        assert_eq!(row(2), ("-rw-r--r--", "0/0", "513", long.as_str()));
    }

    #[test]
    fn a_path_that_does_not_fit_is_an_error() {
        let mut tar = Tar::default();
        assert!(tar.file(&"x".repeat(101), 0o644, b"").is_err());
    }
}
