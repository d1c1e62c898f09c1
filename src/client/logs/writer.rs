//! Appends output to a log's files and rotates them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::cursor::{Cursor, CursorFile, Position};
use super::{Output, file_index, file_name};
use crate::client::driver::LogTarget;

/// Writes one log. Blocking: the files are on a local disk and the writes go to its cache.
///
/// A file takes at most its configured size. The cut falls between lines where a line end is
/// in reach, else inside the line.
pub struct LogWriter {
    dir: PathBuf,
    task: String,
    output: Output,
    max_files: u64,
    max_bytes: u64,
    index: u64,
    size: u64,
    at_line_start: bool,
    file: File,
    cursor: CursorFile,
    last: Option<Cursor>,
}

impl LogWriter {
    /// Opens the log for output of `source` and tells how far that was already written.
    ///
    /// What was written behind the last commit is cut off, as it will be read again. Output of
    /// another source is kept and followed.
    pub fn open(
        target: &LogTarget,
        output: Output,
        source: &str,
    ) -> io::Result<(Self, Option<Position>)> {
        let dir = PathBuf::from(&target.dir);
        let cursor_path = dir.join(format!(".{}.{}.cursor", target.prefix, output.as_str()));
        let (cursor, last) = CursorFile::open(&cursor_path)?;
        let mut indices = indices(&dir, &target.prefix, output)?;
        let last = last.filter(|c| c.source == source);
        let mut position = None;
        if let Some(last) = &last {
            let path = dir.join(file_name(&target.prefix, output, last.index));
            if cut_back(&path, last.size)? {
                for later in indices.iter().filter(|i| **i > last.index) {
                    fs::remove_file(dir.join(file_name(&target.prefix, output, *later)))?;
                }
                indices.retain(|i| *i <= last.index);
                position = Some(last.position);
            }
        }
        let index = indices.last().copied().unwrap_or(0);
        let (file, size, at_line_start) =
            open_end(&dir.join(file_name(&target.prefix, output, index)))?;
        let mut writer = Self {
            dir,
            task: target.prefix.clone(),
            output,
            max_files: u64::from(target.max_files.max(1)),
            max_bytes: target.max_file_bytes.max(1),
            index,
            size,
            at_line_start,
            file,
            cursor,
            last: last.filter(|_| position.is_some()),
        };
        if position.is_none() {
            // From here on a crash before the first commit can be told from output of others.
            writer.commit(source, Position::default())?;
        }
        Ok((writer, position))
    }

    /// Appends `data`, rotating as often as it takes.
    pub fn write(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let room = usize::try_from(self.max_bytes.saturating_sub(self.size)).unwrap_or(0);
            if data.len() <= room {
                return self.append(data);
            }
            let cut = match data[..room].iter().rposition(|b| *b == b'\n') {
                Some(end) => end + 1,
                None if self.at_line_start && self.size > 0 => 0,
                None => room,
            };
            self.append(&data[..cut])?;
            self.rotate()?;
            data = &data[cut..];
        }
        Ok(())
    }

    /// Notes that everything of `source` up to `position` is written.
    pub fn commit(&mut self, source: &str, position: Position) -> io::Result<()> {
        let cursor = Cursor {
            source: source.to_string(),
            position,
            index: self.index,
            size: self.size,
        };
        if self.last.as_ref() != Some(&cursor) {
            self.cursor.write(&cursor)?;
            self.last = Some(cursor);
        }
        Ok(())
    }

    fn append(&mut self, data: &[u8]) -> io::Result<()> {
        self.file.write_all(data)?;
        self.size += data.len() as u64;
        if let Some(last) = data.last() {
            self.at_line_start = *last == b'\n';
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.index += 1;
        let path = self
            .dir
            .join(file_name(&self.task, self.output, self.index));
        (self.file, self.size, _) = open_end(&path)?;
        for index in indices(&self.dir, &self.task, self.output)? {
            if index + self.max_files <= self.index {
                fs::remove_file(self.dir.join(file_name(&self.task, self.output, index)))?;
            }
        }
        Ok(())
    }
}

/// The indices of a log's files, ascending.
fn indices(dir: &Path, task: &str, output: Output) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        if let Some(name) = entry?.file_name().to_str() {
            found.extend(file_index(task, output, name));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Cuts a file to `size`. False if it is shorter or not there: then the cursor means nothing.
fn cut_back(path: &Path, size: u64) -> io::Result<bool> {
    let file = match open_file(path, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let len = file.metadata()?.len();
    if len > size {
        file.set_len(size)?;
    }
    Ok(len >= size)
}

fn open_file(path: &Path, create: bool) -> io::Result<File> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits();
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(create)
        .truncate(false)
        .custom_flags(i32::try_from(no_follow).unwrap_or(0))
        .mode(0o644)
        .open(path)
}

/// Opens a file at its end; tells its length and whether it ends with a whole line.
fn open_end(path: &Path) -> io::Result<(File, u64, bool)> {
    let mut file = open_file(path, true)?;
    let size = file.seek(SeekFrom::End(0))?;
    let mut at_line_start = true;
    if size > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        at_line_start = last[0] == b'\n';
    }
    Ok((file, size, at_line_start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(dir: &Path, max_files: u32, max_file_bytes: u64) -> LogTarget {
        LogTarget {
            dir: dir.display().to_string(),
            prefix: "web".to_string(),
            max_files,
            max_file_bytes,
            disabled: false,
        }
    }

    fn open(target: &LogTarget) -> (LogWriter, Option<Position>) {
        LogWriter::open(target, Output::Stdout, "c1").unwrap()
    }

    /// Every log file with its content.
    fn files(dir: &Path) -> Vec<(String, String)> {
        let mut all: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| !p.display().to_string().ends_with("cursor"))
            .map(|p| {
                let name = p.file_name().unwrap().to_str().unwrap().to_string();
                (name, fs::read_to_string(p).unwrap())
            })
            .collect();
        all.sort();
        all
    }

    fn contents(dir: &Path) -> Vec<String> {
        files(dir).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn files_are_cut_between_lines_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, _) = open(&target(dir.path(), 2, 10));
        for line in ["one\n", "two\n", "three\n", "four\n", "five\n"] {
            writer.write(line.as_bytes()).unwrap();
        }
        assert_eq!(
            files(dir.path()),
            [
                ("web.stdout.1".to_string(), "three\n".to_string()),
                ("web.stdout.2".to_string(), "four\nfive\n".to_string())
            ]
        );
    }

    #[test]
    fn one_write_may_fill_several_files() {
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, _) = open(&target(dir.path(), 9, 6));
        writer.write(b"ab\ncd\nef\ngh\n0123456789\nx\n").unwrap();
        assert_eq!(
            contents(dir.path()),
            ["ab\ncd\n", "ef\ngh\n", "012345", "6789\n", "x\n"]
        );
    }

    #[test]
    fn a_restart_goes_on_where_the_last_commit_was() {
        let dir = tempfile::tempdir().unwrap();
        let target = target(dir.path(), 9, 10);
        let position = Position { time: 7, count: 1 };
        let (mut writer, none) = open(&target);
        assert_eq!(none, None);
        writer.write(b"one\ntwo\n").unwrap();
        writer.commit("c1", position).unwrap();
        writer.write(b"lost\nlost\nlost\n").unwrap();
        drop(writer);

        let (mut writer, found) = open(&target);
        assert_eq!(found, Some(position));
        assert_eq!(contents(dir.path()), ["one\ntwo\n"]);
        writer.write(b"three\n").unwrap();
        assert_eq!(contents(dir.path()), ["one\ntwo\n", "three\n"]);
    }

    #[test]
    fn a_crash_before_the_first_commit_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let target = target(dir.path(), 9, 100);
        fs::write(dir.path().join("web.stdout.0"), "before\n").unwrap();
        let (mut writer, _) = open(&target);
        writer.write(b"lost\n").unwrap();
        drop(writer);
        let (_, found) = open(&target);
        assert_eq!(found, Some(Position::default()));
        assert_eq!(contents(dir.path()), ["before\n"]);
    }

    #[test]
    fn another_source_follows_and_cuts_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = target(dir.path(), 9, 100);
        let (mut writer, _) = open(&target);
        writer.write(b"one\n").unwrap();
        writer.commit("c1", Position { time: 1, count: 1 }).unwrap();
        writer.write(b"more\n").unwrap();
        drop(writer);
        let (mut writer, found) = LogWriter::open(&target, Output::Stdout, "c2").unwrap();
        assert_eq!(found, None);
        writer.write(b"two\n").unwrap();
        assert_eq!(contents(dir.path()), ["one\nmore\ntwo\n"]);
    }

    #[test]
    fn a_cursor_beyond_its_file_means_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = target(dir.path(), 9, 100);
        let (mut writer, _) = open(&target);
        writer.write(b"one\ntwo\n").unwrap();
        writer.commit("c1", Position { time: 1, count: 1 }).unwrap();
        drop(writer);
        fs::write(dir.path().join("web.stdout.0"), "one\n").unwrap();
        let (_, found) = open(&target);
        assert_eq!(found, None);
        assert_eq!(contents(dir.path()), ["one\n"]);
    }

    proptest::proptest! {
        /// Whatever the chunks, the files hold the end of the output, none above its limit.
        #[test]
        fn nothing_is_lost_between_files(
            chunks in proptest::collection::vec("[a\n]{0,12}", 0..30),
            max_bytes in 1_u64..9,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let (mut writer, _) = open(&target(dir.path(), 1000, max_bytes));
            for chunk in &chunks {
                writer.write(chunk.as_bytes()).unwrap();
            }
            let mut whole = String::new();
            for index in 0..=writer.index {
                let part = fs::read_to_string(dir.path().join(format!("web.stdout.{index}")));
                let part = part.unwrap();
                proptest::prop_assert!(part.len() as u64 <= max_bytes);
                whole.push_str(&part);
            }
            proptest::prop_assert_eq!(whole, chunks.concat());
        }
    }
}
