//! Proved bytes get their final name in the local store: a rename (`multipart` copies them into any other). Called by
//! [`super::proved`] only, after size and sha256 matched and the file was synced.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use parking_lot::Mutex;

use super::{Result, key, sync_directory};
use crate::domain::digest::Digest;

/// Which folders of the local store are known to be on the disk under their names: `blobs/ab`, and `blobs/ab/cd`.
/// Nobody removes such a folder, so what was synced once need not be synced again.
#[derive(Default)]
pub(super) struct Folders(Mutex<HashSet<(u8, Option<u8>)>>);

impl Folders {
    /// How many folders above a blob must be synced for its new name, from the innermost.
    fn unsynced(&self, digest: &Digest) -> usize {
        let ([first, second, ..], known) = (digest.as_bytes(), self.0.lock());
        match (known.contains(&(*first, None)), known.contains(&(*first, Some(*second)))) {
            (_, true) => 1,
            (true, false) => 2,
            (false, false) => 3,
        }
    }

    fn learn(&self, digest: &Digest) {
        let [first, second, ..] = digest.as_bytes();
        self.0.lock().extend([(*first, None), (*first, Some(*second))]);
    }
}

/// A rename on the same file system: gigabytes are written once. Renaming over an equal blob repairs it.
pub(super) fn promote(root: &Path, known: &Folders, staged: &Path, file: &File, digest: &Digest) -> Result<()> {
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions)?;
    let target = root.join(key(digest));
    // Also the folders that another process has made: it may not have come to syncing them yet.
    let folders: Vec<&Path> = target.ancestors().skip(1).take(known.unsynced(digest)).collect();
    if let [folder, _, ..] = folders[..] {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::rename(staged, &target)?;
    sync_together(&folders)?;
    known.learn(digest);
    Ok(())
}

/// Folders synced side by side cost one trip to the disk, since the kernel joins their journal entries and flushes.
fn sync_together(folders: &[&Path]) -> Result<()> {
    let Some((first, others)) = folders.split_first() else { return Ok(()) };
    std::thread::scope(|scope| {
        let others: Vec<_> = others.iter().map(|folder| scope.spawn(|| sync_directory(folder))).collect();
        sync_directory(first)?;
        others.into_iter().try_for_each(|synced| synced.join().unwrap_or_else(|_| Err(std::io::Error::other("a sync stopped").into())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_synced_is_not_synced_again() {
        let known = Folders::default();
        let digest = |first, second| Digest::from_bytes([&[first, second][..], &[7; 30]].concat().try_into().unwrap());
        assert_eq!(known.unsynced(&digest(1, 2)), 3);
        known.learn(&digest(1, 2));
        assert_eq!([(1, 2), (1, 3), (2, 2)].map(|(first, second)| known.unsynced(&digest(first, second))), [1, 2, 3]);
    }
}
