//! Giving a file a second name: a hard link where the file system has them, else a copy; always moved into
//! place, so that a name never holds half a file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A name beside `path` that no other process or thread uses.
pub fn beside(path: &Path) -> PathBuf {
    let unique = format!(".hub-{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    path.with_file_name(unique)
}

/// `to` becomes `from`'s bytes, replacing what was there; the two may share one inode.
pub fn link(from: &Path, to: &Path) -> io::Result<()> {
    through_temporary(to, |temporary| std::fs::hard_link(from, temporary).or_else(|_| std::fs::copy(from, temporary).map(|_| ())))
}

/// `to` becomes a copy of `from` that its owner may edit.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    through_temporary(to, |temporary| {
        let mut source = std::fs::File::open(from)?;
        let mut target = std::fs::File::create_new(temporary)?;
        io::copy(&mut source, &mut target).map(|_| ())
    })
}

fn through_temporary(to: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let temporary = beside(to);
    let result = write(&temporary).and_then(|()| std::fs::rename(&temporary, to));
    // Renaming one hard link over another of the same file does nothing and leaves both names.
    let _ = std::fs::remove_file(&temporary);
    result
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
        let left: Vec<_> = std::fs::read_dir(path("deep")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["b"], "a temporary name was left behind");
    }
}
