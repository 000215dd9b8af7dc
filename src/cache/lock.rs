//! Locks between processes: only one fetches a blob, the others wait and find it there.
//!
//! A lock is one byte of the file `locks/blobs`, at an offset cut from the digest: nothing has to be made or
//! removed for it, which two thousand small files would feel, and a process that dies leaves nothing behind.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::at;
use super::{Cache, Result};
use crate::domain::digest::Digest;

/// One pull's way to the locks. Two of these exclude each other, also in one process; one does not exclude
/// itself, so whoever holds it asks for each digest once.
#[derive(Debug, Clone)]
pub struct Locks {
    file: Arc<File>,
    path: PathBuf,
}

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    file: Arc<File>,
    place: i64,
}

impl Cache {
    pub fn locks(&self) -> Result<Locks> {
        let path = self.root.join("locks").join("blobs");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(at("open the lock", &path))?;
        Ok(Locks { file: Arc::new(file), path })
    }
}

impl Locks {
    /// None while another process holds it.
    pub fn try_lock(&self, digest: &Digest) -> Result<Option<Lock>> {
        let place = place(digest);
        match set(&self.file, place, libc::F_WRLCK) {
            Ok(()) => Ok(Some(Lock { file: self.file.clone(), place })),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::EACCES) => Ok(None),
            Err(error) => Err(at("lock", &self.path)(error)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file would give it back too.
        let _ = set(&self.file, self.place, libc::F_UNLCK);
    }
}

/// Two digests that share these 62 bits would merely wait for each other.
fn place(digest: &Digest) -> i64 {
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    (u64::from_be_bytes(first) >> 2).cast_signed()
}

/// Locks of the open file description: unlike the older kind they exclude threads too, and survive another
/// handle of the same file being closed.
fn set(file: &File, place: i64, kind: libc::c_int) -> io::Result<()> {
    let kind = libc::c_short::try_from(kind).unwrap_or_default();
    let whence = libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default();
    let lock = libc::flock { l_type: kind, l_whence: whence, l_start: place, l_len: 1, l_pid: 0 };
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and the kernel only reads `lock`.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_the_others_wait() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let (ours, theirs) = (cache.locks().unwrap(), cache.locks().unwrap());
        let digest = Digest::of(b"x");
        let held = ours.try_lock(&digest).unwrap().unwrap();
        let other = ours.try_lock(&Digest::of(b"y")).unwrap().unwrap();
        assert!(theirs.try_lock(&digest).unwrap().is_none());
        assert!(theirs.try_lock(&Digest::of(b"z")).unwrap().is_some());
        drop(held);
        assert!(theirs.try_lock(&digest).unwrap().is_some());
        assert!(theirs.try_lock(&Digest::of(b"y")).unwrap().is_none(), "giving one back gave back another");
        drop((other, ours));
        assert!(theirs.try_lock(&Digest::of(b"y")).unwrap().is_some());
    }
}
