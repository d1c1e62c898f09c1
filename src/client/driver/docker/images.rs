//! Which images this node brought, and which of them are still wanted.
//!
//! Only an image that this node pulled is ever removed, and only when no task of the node has
//! used it for a while. The list survives the agent in a file of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The list in the client's state directory.
const FILE: &str = "docker-images.json";

pub(super) struct Images {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    brought: BTreeSet<String>,
    users: BTreeMap<String, usize>,
}

impl Images {
    /// Reads the list in `dir`. One that cannot be read counts as empty: then images stay.
    pub(super) fn open(dir: &Path) -> Self {
        let path = dir.join(FILE);
        let brought = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(
                    target: "docker", path = %path.display(), %error,
                    "the list of pulled images is damaged: those images will stay"
                );
                BTreeSet::new()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => {
                tracing::warn!(
                    target: "docker", path = %path.display(), %error,
                    "could not read the list of pulled images: those images will stay"
                );
                BTreeSet::new()
            }
        };
        Self {
            path,
            inner: Mutex::new(Inner {
                brought,
                users: BTreeMap::new(),
            }),
        }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner
            .lock()
            .expect("no panic happens while the list is locked")
    }

    /// Notes that this node pulled `image`, which was not there before.
    pub(super) fn brought(&self, image: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.brought.insert(image.to_string());
        self.save(&inner.brought)
    }

    /// Notes that `image` is gone.
    pub(super) fn gone(&self, image: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.brought.remove(image);
        self.save(&inner.brought)
    }

    /// A task begins to use `image`.
    pub(super) fn take(&self, image: &str) {
        *self.inner().users.entry(image.to_string()).or_default() += 1;
    }

    /// A task uses `image` no more.
    pub(super) fn release(&self, image: &str) {
        let mut inner = self.inner();
        if let Some(users) = inner.users.get_mut(image) {
            *users -= 1;
            if *users == 0 {
                inner.users.remove(image);
            }
        }
    }

    /// Whether `image` may go: ours, and unused.
    pub(super) fn is_waste(&self, image: &str) -> bool {
        let inner = self.inner();
        inner.brought.contains(image) && !inner.users.contains_key(image)
    }

    /// All that may go.
    pub(super) fn waste(&self) -> Vec<String> {
        let inner = self.inner();
        let unused = |image: &&String| !inner.users.contains_key(*image);
        inner.brought.iter().filter(unused).cloned().collect()
    }

    fn save(&self, brought: &BTreeSet<String>) -> io::Result<()> {
        let aside = self.path.with_extension("new");
        std::fs::write(&aside, serde_json::to_vec(brought)?)?;
        std::fs::rename(&aside, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unused_images_of_ours_are_waste() {
        let dir = tempfile::tempdir().unwrap();
        let images = Images::open(dir.path());
        images.take("theirs");
        images.release("theirs");
        images.brought("ours").unwrap();
        images.take("ours");
        images.take("ours");
        images.release("ours");
        assert!(images.waste().is_empty());
        images.release("ours");
        assert_eq!(images.waste(), ["ours"]);
        assert_eq!(Images::open(dir.path()).waste(), ["ours"]);
        images.gone("ours").unwrap();
        assert!(Images::open(dir.path()).waste().is_empty());
    }

    #[test]
    fn a_damaged_list_removes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "[\"a\"").unwrap();
        assert!(Images::open(dir.path()).waste().is_empty());
    }
}
