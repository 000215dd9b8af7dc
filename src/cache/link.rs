//! Giving a file a second name: a hard link where the file system has them, else a copy (which shares its blocks
//! where the file system can do that); always moved into place, so that a name never holds half a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::stamp::{Stamp, mark};

/// How temporary names begin and end.
const PREFIX: &str = ".hub-";
const SUFFIX: &str = ".tmp";
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A name for a folder beside `path` that no other process or thread uses.
pub fn beside(path: &Path) -> PathBuf {
    let unique = format!("{PREFIX}{}-{}{SUFFIX}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    path.with_file_name(unique)
}

/// Is it a name that this file gives? A process that was killed leaves such files behind.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// `to` becomes `from`'s bytes, replacing what was there; the two may share one inode.
pub fn link(from: &Path, to: &Path) -> io::Result<()> {
    through_temporary(to, |temporary| link_new(from, temporary))
}

/// The same where `to` is new and its folder is there; for folders that are not in place yet.
pub fn link_new(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::hard_link(from, to).or_else(|_| std::fs::copy(from, to).map(drop))
}

/// `to` becomes a copy of `from` that its owner may edit.
pub fn copy(from: &Path, to: &Path) -> io::Result<Stamp> {
    through_temporary(to, |temporary| {
        let mut source = File::open(from)?;
        let mut target = File::create_new(temporary)?;
        // Done by the kernel, and without moving a byte on file systems that share blocks.
        io::copy(&mut source, &mut target)?;
        mark(&target)
    })
}

/// `path` becomes a symbolic link to `target`.
pub fn point(target: &Path, path: &Path) -> io::Result<()> {
    through_temporary(path, |temporary| symlink(target, temporary))
}

/// `path` becomes a file of these bytes.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    through_temporary(path, |temporary| std::fs::write(temporary, bytes))
}

fn through_temporary<T>(to: &Path, write: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    let folder = to.parent().unwrap_or(Path::new("."));
    let make = || tempfile::Builder::new().prefix(PREFIX).suffix(SUFFIX).make_in(folder, &write);
    let made = make().or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => std::fs::create_dir_all(folder).and_then(|()| make()),
        _ => Err(error),
    });
    let (value, temporary) = made?.into_parts();
    let name = temporary.to_path_buf();
    temporary.persist(to)?;
    // Renaming one hard link over another of the same file does nothing and leaves both names.
    let _ = std::fs::remove_file(name);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_share_and_copies_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a"), "one").unwrap();
        link(&path("a"), &path("deep/b")).unwrap();
        copy(&path("a"), &path("c")).unwrap();
        link(&path("a"), &path("deep/b")).unwrap();
        std::fs::write(path("c"), "two").unwrap();
        assert_eq!(std::fs::read_to_string(path("a")).unwrap(), "one");
        assert_eq!(std::fs::read_to_string(path("deep/b")).unwrap(), "one");
        write_whole(&path("deep/b"), b"three").unwrap();
        assert_eq!(std::fs::read_to_string(path("a")).unwrap(), "one");
        let left: Vec<_> = std::fs::read_dir(path("deep")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["b"], "a temporary name was left behind");
        assert!(is_temporary(beside(&path("x")).file_name().unwrap().to_str().unwrap()) && !is_temporary("x.tmp"));
    }

    #[test]
    fn what_is_not_there_is_not_linked() {
        let folder = tempfile::tempdir().unwrap();
        let error = link(&folder.path().join("none"), &folder.path().join("x")).unwrap_err();
        assert_eq!((error.kind(), std::fs::read_dir(folder.path()).unwrap().count()), (io::ErrorKind::NotFound, 0));
    }
}
