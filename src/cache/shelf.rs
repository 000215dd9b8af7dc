//! Small files on their way into the store. Bringing each to the disk alone costs more than its transfer: 2,000
//! files of 20 KiB took 4.8 s with an `fdatasync` each, 0.8 s with eight of them at once, and 0.03 s with one
//! `syncfs` for all. So proved files gather here under temporary names, and get their names many at a time,
//! after one flush of the file system.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::error::at;
use super::lock::Lock;
use super::stamp::{Stamp, mark};
use super::verified::VerifiedHashes;
use super::{Cache, Result};
use crate::domain::digest::Digest;

/// As many are named together. More would keep other processes waiting for their locks.
const TOGETHER: usize = 512;
/// So few are flushed one by one, and nobody else's writes with them.
const FEW: usize = 3;

/// Proved files without their names. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shelf {
    cache: Cache,
    verified: Arc<VerifiedHashes>,
    /// Open from before the first byte: `syncfs` tells of failures since then.
    folder: Arc<File>,
    waiting: Arc<Mutex<Vec<Waiting>>>,
}

#[derive(Debug)]
struct Waiting {
    digest: Digest,
    stamp: Stamp,
    _lock: Lock,
}

impl Shelf {
    pub fn new(cache: Cache, verified: Arc<VerifiedHashes>) -> Result<Shelf> {
        let path = cache.root.join("partial");
        let folder = Arc::new(File::open(&path).map_err(at("open", &path))?);
        Ok(Shelf { cache, verified, folder, waiting: Arc::default() })
    }

    /// Takes a file whose bytes are all there, if they are the right ones; else answers what they are.
    pub fn put(&self, digest: Digest, bytes: &[Bytes], lock: Lock) -> Result<std::result::Result<(), (Digest, Lock)>> {
        let mut hasher = Sha256::new();
        bytes.iter().for_each(|chunk| hasher.update(chunk));
        let found = Digest::from_bytes(hasher.finalize().into());
        if found != digest {
            return Ok(Err((found, lock)));
        }
        let path = self.cache.part_path(&digest);
        let stamp = write(&path, bytes).map_err(at("write", &path))?;
        self.keep(Waiting { digest, stamp, _lock: lock }).map(Ok)
    }

    /// Takes a file that an earlier pull has left whole but without its name.
    pub fn take_up(&self, digest: Digest, size_bytes: u64, lock: Lock) -> Result<std::result::Result<(), Lock>> {
        let path = self.cache.part_path(&digest);
        let Ok(found) = std::fs::metadata(&path) else { return Ok(Err(lock)) };
        let stamp = Stamp::of(&found);
        let whole = found.permissions().readonly() && found.len() == size_bytes;
        match whole && super::hash_file(&path, &mut |_| ())?.0 == digest {
            true => self.keep(Waiting { digest, stamp, _lock: lock }).map(Ok),
            false => Ok(Err(lock)),
        }
    }

    fn keep(&self, file: Waiting) -> Result<()> {
        let many = {
            let mut waiting = self.waiting.lock();
            waiting.push(file);
            if waiting.len() < TOGETHER { Vec::new() } else { std::mem::take(&mut *waiting) }
        };
        self.name(many)
    }

    /// Brings all that wait here to the disk and names them. Must be called at the end, and whenever this pull is
    /// about to wait for another, which may itself wait for a lock held here.
    pub fn clear(&self) -> Result<()> {
        let all = std::mem::take(&mut *self.waiting.lock());
        self.name(all)
    }

    fn name(&self, files: Vec<Waiting>) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.flush(&files) {
            // What failed to reach the disk may still look whole in memory, and must not be taken up.
            files.iter().for_each(|file| drop(std::fs::remove_file(self.cache.part_path(&file.digest))));
            return Err(error);
        }
        for file in &files {
            self.cache.name_blob(&self.cache.part_path(&file.digest), &file.digest)?;
        }
        // The locks are given back only now.
        self.verified.add(&files.iter().map(|file| (file.stamp, file.digest)).collect::<Vec<_>>())
    }

    fn flush(&self, files: &[Waiting]) -> Result<()> {
        if files.len() <= FEW {
            return files.iter().try_for_each(|file| {
                let path = self.cache.part_path(&file.digest);
                File::open(&path).and_then(|opened| opened.sync_data()).map_err(at("write", &path))
            });
        }
        // SAFETY: the descriptor is open; the call has no other argument.
        match unsafe { libc::syncfs(self.folder.as_raw_fd()) } {
            -1 => Err(at("write to", &self.cache.root)(io::Error::last_os_error())),
            _ => Ok(()),
        }
    }
}

/// Read-only from the beginning, which tells a whole file from the beginning of a large one.
fn write(path: &Path, bytes: &[Bytes]) -> io::Result<Stamp> {
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o444).open(path);
    let mut file = create().or_else(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => std::fs::remove_file(path).and_then(|()| create()),
        _ => Err(error),
    })?;
    bytes.iter().try_for_each(|chunk| file.write_all(chunk))?;
    mark(&file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf(cache: &Cache) -> Shelf {
        Shelf::new(cache.clone(), Arc::new(cache.verified_hashes())).unwrap()
    }

    #[test]
    fn many_files_get_their_names_together() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let (shelf, locks, others) = (shelf(&cache), cache.locks().unwrap(), cache.locks().unwrap());
        let files: Vec<Vec<u8>> = (0..TOGETHER as u32 + 5).map(|n| n.to_be_bytes().repeat(9)).collect();
        for bytes in &files {
            let digest = Digest::of(bytes);
            let lock = locks.try_lock(&digest).unwrap().unwrap();
            shelf.put(digest, &[Bytes::copy_from_slice(&bytes[..7]), Bytes::copy_from_slice(&bytes[7..])], lock).unwrap().unwrap();
        }
        let last = Digest::of(&files[TOGETHER]);
        assert!(cache.has_blob(&Digest::of(&files[0]), 36) && !cache.has_blob(&last, 36));
        assert!(others.try_lock(&last).unwrap().is_none(), "it is not named yet");
        shelf.clear().unwrap();
        assert!(others.try_lock(&last).unwrap().is_some());
        let verified = cache.verified_hashes();
        for bytes in &files {
            let digest = Digest::of(bytes);
            let stamp = Stamp::of(&std::fs::metadata(cache.blob_path(&digest)).unwrap());
            assert_eq!(verified.find(&stamp), Some(digest));
        }
        assert_eq!(std::fs::read_dir(folder.path().join("partial")).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_pull_left_is_taken_up_if_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let digest = Digest::of(b"whole");
        let lock = || cache.locks().unwrap().try_lock(&digest).unwrap().unwrap();
        let (wrong, _) = shelf(&cache).put(digest, &[Bytes::from_static(b"other")], lock()).unwrap().unwrap_err();
        assert_eq!(wrong, Digest::of(b"other"));
        assert!(!cache.part_path(&digest).exists());

        shelf(&cache).put(digest, &[Bytes::from_static(b"whole")], lock()).unwrap().unwrap();
        shelf(&cache).take_up(digest, 5, lock()).unwrap().unwrap();
        std::fs::remove_file(cache.part_path(&digest)).unwrap();
        std::fs::write(cache.part_path(&digest), "whol").unwrap();
        let again = shelf(&cache);
        again.take_up(digest, 5, lock()).unwrap().unwrap_err();
        again.put(digest, &[Bytes::from_static(b"whole")], lock()).unwrap().unwrap();
        again.clear().unwrap();
        assert_eq!(std::fs::read(cache.blob_path(&digest)).unwrap(), b"whole");
    }
}
