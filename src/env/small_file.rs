//! One small file that is either old or new, never half: checksummed, written aside, synced,
//! renamed.
//!
//! For what must survive and must not be believed when damaged: the node's id and secret, a
//! promise. The layout is `magic 4 | length u32 | content | CRC-32C of all before it`, little
//! endian.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::{BufMut, Bytes, BytesMut};

use super::disk::{Disk, read_all, replace};

/// What precedes and follows the content.
const FRAME: usize = 12;

/// Names what a file holds and in which version.
pub type Magic = [u8; 4];

/// Why a small file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SmallFileError {
    #[error("`{}` is damaged: {why}", .path.display())]
    Damaged { path: PathBuf, why: &'static str },
    #[error("could not {what} `{}`", .path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Reads the content; `None` if there is no such file.
pub async fn load(
    disk: &dyn Disk,
    path: &Path,
    magic: Magic,
) -> Result<Option<Bytes>, SmallFileError> {
    let bytes = match read_all(disk, path).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(SmallFileError::Io {
                what: "read",
                path: path.to_owned(),
                source,
            });
        }
    };
    let damaged = |why| SmallFileError::Damaged {
        path: path.to_owned(),
        why,
    };
    unwrap(bytes, magic).map(Some).map_err(damaged)
}

/// Replaces the content; it is on disk when this returns.
pub async fn save(
    disk: &dyn Disk,
    path: &Path,
    magic: Magic,
    content: &[u8],
) -> Result<(), SmallFileError> {
    let failed = |source| SmallFileError::Io {
        what: "write",
        path: path.to_owned(),
        source,
    };
    let bytes = wrap(magic, content).map_err(failed)?;
    replace(disk, path, bytes).await.map_err(failed)
}

fn wrap(magic: Magic, content: &[u8]) -> io::Result<Bytes> {
    let length = u32::try_from(content.len()).map_err(io::Error::other)?;
    let mut bytes = BytesMut::with_capacity(FRAME + content.len());
    bytes.put_slice(&magic);
    bytes.put_u32_le(length);
    bytes.put_slice(content);
    let sum = crc32c::crc32c(&bytes);
    bytes.put_u32_le(sum);
    Ok(bytes.freeze())
}

fn unwrap(bytes: Bytes, magic: Magic) -> Result<Bytes, &'static str> {
    if bytes.len() < FRAME {
        return Err("it is too short");
    }
    let (body, sum) = bytes.split_at(bytes.len() - 4);
    if crc32c::crc32c(body).to_le_bytes() != sum {
        return Err("its checksum is wrong");
    }
    if body[..4] != magic {
        return Err("it holds something else");
    }
    if body[4..8] != ((bytes.len() - FRAME) as u32).to_le_bytes() {
        return Err("its length is wrong");
    }
    Ok(bytes.slice(8..bytes.len() - 4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Env, disk::Open};

    const MAGIC: Magic = *b"TST1";

    #[tokio::test(start_paused = true)]
    async fn content_comes_back_and_damage_is_told() {
        let disk = Env::sim(1).disk;
        let path = Path::new("/data/id");
        disk.create_dir_all(Path::new("/data")).await.unwrap();
        assert!(load(&*disk, path, MAGIC).await.unwrap().is_none());
        save(&*disk, path, MAGIC, b"first").await.unwrap();
        save(&*disk, path, MAGIC, b"second").await.unwrap();
        assert_eq!(
            load(&*disk, path, MAGIC).await.unwrap().unwrap(),
            &b"second"[..]
        );
        let other = load(&*disk, path, *b"XXXX").await.unwrap_err();
        assert_eq!(
            other.to_string(),
            "`/data/id` is damaged: it holds something else"
        );

        let file = disk.open(path, Open::Write).await.unwrap();
        file.write_at(9, Bytes::from_static(b"!")).await.unwrap();
        let error = load(&*disk, path, MAGIC).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "`/data/id` is damaged: its checksum is wrong"
        );
    }
}
