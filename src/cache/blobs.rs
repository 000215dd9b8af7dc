//! Bytes under their sha256. A blob is made by renaming proved bytes, never by writing in place.

use std::fs::{File, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::error::at;
use super::{Cache, Error, Result};
use crate::domain::digest::Digest;

/// The sha256 and the size in bytes of a file, read in pieces of 1 MiB.
pub fn hash_file(path: &Path, advance: &mut dyn FnMut(u64)) -> Result<(Digest, u64)> {
    let file = File::open(path).map_err(at("open", path))?;
    hash_open(&file, path, advance)
}

/// The same of a file that is open; `path` is what it is called.
pub(super) fn hash_open(mut file: &File, path: &Path, advance: &mut dyn FnMut(u64)) -> Result<(Digest, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size_bytes = 0;
    loop {
        let count = file.read(&mut buffer).map_err(at("read", path))?;
        if count == 0 {
            return Ok((Digest::from_bytes(hasher.finalize().into()), size_bytes));
        }
        hasher.update(&buffer[..count]);
        size_bytes += count as u64;
        advance(count as u64);
    }
}

impl Cache {
    /// Where the blob is, or will be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_hex();
        self.root.join("blobs").join(&hex[..2]).join(&hex)
    }

    /// Where its bytes gather until they are proved.
    pub fn part_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("partial").join(format!("{digest}.part"))
    }

    /// Is it there, by name and size? Cheap.
    pub fn has_blob(&self, digest: &Digest, size_bytes: u64) -> bool {
        std::fs::metadata(self.blob_path(digest)).is_ok_and(|found| found.is_file() && found.len() == size_bytes)
    }

    /// Reads the blob whole and compares. A blob that was damaged on this disk is thrown away, so that it is
    /// fetched anew, and counts as absent.
    pub fn prove_blob(&self, digest: &Digest, size_bytes: u64) -> Result<bool> {
        let path = self.blob_path(digest);
        if !path.exists() {
            return Ok(false);
        }
        if hash_file(&path, &mut |_| ())? == (*digest, size_bytes) {
            return Ok(true);
        }
        std::fs::remove_file(&path).map_err(at("remove the damaged file", &path))?;
        Ok(false)
    }

    /// Gives proved bytes their name and makes them read-only: snapshots are links to them.
    pub fn adopt(&self, part: &Path, digest: &Digest) -> Result<()> {
        let path = self.blob_path(digest);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(at("make the folder", folder))?;
        }
        std::fs::set_permissions(part, Permissions::from_mode(0o444)).map_err(at("set the mode of", part))?;
        std::fs::rename(part, &path).map_err(at("name", &path))
    }

    /// Refuses before the first byte what could not be stored; 16 MiB are left for others.
    pub fn check_room(&self, needed: u64) -> Result<()> {
        let free = self.free_bytes()?;
        if needed > 0 && needed.saturating_add(16 << 20) > free {
            return Err(Error::Full { folder: self.root.clone(), needed, free });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_blobs_count_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let digest = Digest::of(b"bytes");
        let part = cache.part_path(&digest);
        std::fs::write(&part, b"bytes").unwrap();
        cache.adopt(&part, &digest).unwrap();
        assert!(cache.has_blob(&digest, 5) && cache.prove_blob(&digest, 5).unwrap());
        assert!(!cache.has_blob(&digest, 6));

        let path = cache.blob_path(&digest);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        std::fs::write(&path, b"bytez").unwrap();
        assert!(cache.has_blob(&digest, 5), "the cheap look only sees the size");
        assert!(!cache.prove_blob(&digest, 5).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_full_disk_is_seen_before_the_first_byte() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        assert!(cache.check_room(1).is_ok());
        assert!(matches!(cache.check_room(u64::MAX / 2), Err(Error::Full { .. })));
    }
}
