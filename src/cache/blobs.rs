//! Bytes under their sha256. A blob is made by renaming proved bytes that are on the disk, never by writing in
//! place.

use std::fs::{File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::error::at;
use super::part::Part;
use super::stamp::{Stamp, mark};
use super::verified::VerifiedHashes;
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

impl VerifiedHashes {
    /// Does the file hold these bytes? Reads it only where that is not known already, and then remembers.
    pub fn prove(&self, path: &Path, digest: &Digest, size_bytes: u64) -> Result<bool> {
        let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(false) };
        if !found.is_file() || found.len() != size_bytes {
            return Ok(false);
        }
        let stamp = Stamp::of(&found);
        if let Some(known) = self.find(&stamp) {
            return Ok(known == *digest);
        }
        let (hash, _) = hash_file(path, &mut |_| ())?;
        // Still the file that was looked at, and not one that changes under our hands.
        let unchanged = std::fs::symlink_metadata(path).is_ok_and(|now| Stamp::of(&now) == stamp);
        if unchanged && stamp.is_settled() {
            self.add(&[(stamp, hash)])?;
        }
        Ok(hash == *digest)
    }
}

impl Cache {
    /// Where the blob is, or will be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_hex();
        self.root.join("blobs").join(&hex[..2]).join(&hex)
    }

    /// Is it there, by name and size? Cheap.
    pub fn has_blob(&self, digest: &Digest, size_bytes: u64) -> bool {
        std::fs::metadata(self.blob_path(digest)).is_ok_and(|found| found.is_file() && found.len() == size_bytes)
    }

    /// Is it there, and known to be what its name says without reading it?
    pub fn is_proved(&self, verified: &VerifiedHashes, digest: &Digest, size_bytes: u64) -> bool {
        let found = std::fs::symlink_metadata(self.blob_path(digest));
        found.is_ok_and(|found| found.is_file() && found.len() == size_bytes && verified.find(&Stamp::of(&found)) == Some(*digest))
    }

    /// Compares the blob with its name. One that was damaged on this disk is thrown away, so that it is fetched
    /// anew, and counts as absent.
    pub fn prove_blob(&self, verified: &VerifiedHashes, digest: &Digest, size_bytes: u64) -> Result<bool> {
        let path = self.blob_path(digest);
        if verified.prove(&path, digest, size_bytes)? {
            return Ok(true);
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at("remove the damaged file", &path)(error)),
            _ => Ok(false),
        }
    }

    /// Brings proved bytes to the disk and gives them their name, read-only: snapshots are links to them.
    pub fn adopt(&self, verified: &VerifiedHashes, part: &Part, digest: &Digest) -> Result<()> {
        if let Err(error) = part.sync() {
            // What failed to reach the disk may still look whole in memory, and must not be gone on with.
            part.discard()?;
            return Err(error);
        }
        part.file().set_permissions(Permissions::from_mode(0o444)).map_err(at("set the mode of", part.path()))?;
        let stamp = mark(part.file()).map_err(at("set the time of", part.path()))?;
        self.name_blob(part.path(), digest)?;
        // The next pull of this blob would only find ranges without a part.
        let _ = std::fs::remove_file(self.ranges_path(digest));
        verified.add(&[(stamp, *digest)])
    }

    pub(super) fn name_blob(&self, from: &Path, digest: &Digest) -> Result<()> {
        let path = self.blob_path(digest);
        let named = match (std::fs::rename(from, &path), path.parent()) {
            (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
                std::fs::create_dir_all(folder).map_err(at("make the folder", folder))?;
                std::fs::rename(from, &path)
            }
            (named, _) => named,
        };
        named.map_err(at("name", &path))
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
    use bytes::Bytes;

    use super::*;

    #[test]
    fn damaged_blobs_count_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let digest = Digest::of(b"bytes");
        let part = Part::open(&cache, &digest, 5).unwrap();
        part.write(0, &[Bytes::from_static(b"bytes")]).unwrap();
        cache.adopt(&cache.verified_hashes(), &part, &digest).unwrap();
        assert_eq!(std::fs::read_dir(folder.path().join("partial")).unwrap().count(), 0);
        assert!(cache.has_blob(&digest, 5) && cache.prove_blob(&cache.verified_hashes(), &digest, 5).unwrap());
        assert!(!cache.has_blob(&digest, 6));

        let path = cache.blob_path(&digest);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        std::fs::write(&path, b"bytez").unwrap();
        assert!(cache.has_blob(&digest, 5), "the cheap look only sees the size");
        assert!(!cache.prove_blob(&cache.verified_hashes(), &digest, 5).unwrap());
        assert!(!path.exists());
        assert!(!cache.prove_blob(&cache.verified_hashes(), &digest, 5).unwrap());
    }

    #[test]
    fn what_was_proved_is_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "one").unwrap();
        let digest = Digest::of(b"one");
        assert!(cache.verified_hashes().prove(&path, &digest, 3).unwrap());
        assert!(!folder.path().join("proofs").exists(), "a file that was changed just now may change unseen");
        let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        File::open(&path).unwrap().set_modified(long_ago).unwrap();
        assert!(cache.verified_hashes().prove(&path, &digest, 3).unwrap());
        // Nobody can see this change but by reading.
        std::fs::write(&path, "two").unwrap();
        File::open(&path).unwrap().set_modified(long_ago).unwrap();
        assert!(cache.verified_hashes().prove(&path, &digest, 3).unwrap(), "it was read again");
        assert!(!cache.verified_hashes().prove(&path, &Digest::of(b"two"), 3).unwrap());
        assert!(!cache.verified_hashes().prove(&path, &digest, 4).unwrap());
    }

    #[test]
    fn a_full_disk_is_seen_before_the_first_byte() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        assert!(cache.check_room(1).is_ok());
        assert!(matches!(cache.check_room(u64::MAX / 2), Err(Error::Full { .. })));
    }
}
