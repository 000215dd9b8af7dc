//! Who on this machine may read what a hub keeps: nobody but the user it runs as. New files and folders are made so;
//! what an earlier hub (or a hand) left open to others is closed at the start, and said.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// What the group and others may do.
const OTHERS: u32 = 0o077;

/// From here on this process makes files of mode 0600 and folders of mode 0700, in whatever way it makes them.
pub fn make_private() {
    // SAFETY: a plain system call that sets one number of this process and touches no memory of ours.
    unsafe { libc::umask(0o077) };
}

/// What was open to others.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tightened {
    /// Files and folders that no longer are.
    pub closed: u64,
    /// Those that belong to somebody else, and still are.
    pub left: u64,
}

/// Closes a folder to others, and whatever stands below: first what is in a folder, then the folder, so that a folder
/// found closed needs no second look.
pub fn tighten(root: &Path) -> std::io::Result<Tightened> {
    let mut done = Tightened::default();
    close(root, &mut done)?;
    for entry in std::fs::read_dir(root)? {
        let path = entry?.path();
        if !is_open(&path)? {
            continue;
        }
        for below in WalkDir::new(&path).follow_links(false).contents_first(true).into_iter().filter_map(Result::ok) {
            close(below.path(), &mut done)?;
        }
    }
    Ok(done)
}

/// What stands open to others at the top of a folder, itself included.
pub fn list_open(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = vec![root.to_owned()];
    for entry in std::fs::read_dir(root)? {
        paths.push(entry?.path());
    }
    Ok(paths.into_iter().filter(|path| is_open(path).unwrap_or(true)).collect())
}

/// Tightens what a hub keeps, and says so in its log.
pub fn tighten_and_tell(root: &Path) {
    match tighten(root) {
        Ok(Tightened { closed: 0, left: 0 }) => {}
        Ok(Tightened { closed, left: 0 }) => {
            tracing::warn!(closed, folder = %root.display(), "files and folders that others could read are for this user alone now")
        }
        Ok(Tightened { closed, left }) => {
            let folder = root.display();
            tracing::warn!(closed, left, %folder, "some files and folders belong to another user and stay open to others; chown them")
        }
        Err(error) => tracing::warn!(%error, folder = %root.display(), "it was not made sure that nobody else can read it"),
    }
}

/// Open to others, and no link: what that leads to is not ours to change.
fn is_open(path: &Path) -> std::io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok(!found.is_symlink() && found.permissions().mode() & OTHERS != 0),
        // Gone in the meantime: staging files come and go.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn close(path: &Path, done: &mut Tightened) -> std::io::Result<()> {
    if !is_open(path)? {
        return Ok(());
    }
    let mut permissions = std::fs::metadata(path)?.permissions();
    permissions.set_mode(permissions.mode() & !OTHERS);
    match std::fs::set_permissions(path, permissions) {
        Ok(()) => done.closed += 1,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => done.left += 1,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_open_is_closed_and_links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let (root, elsewhere) = (dir.path().join("data"), dir.path().join("elsewhere"));
        let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        std::fs::create_dir_all(root.join("blobs/ab")).unwrap();
        for (file, loose) in [("blobs/ab/x", 0o444), ("hub.db", 0o644), ("admin-token", 0o600)] {
            std::fs::write(root.join(file), b"x").unwrap();
            set(&root.join(file), loose);
        }
        std::fs::write(&elsewhere, b"x").unwrap();
        set(&elsewhere, 0o644);
        std::os::unix::fs::symlink(&elsewhere, root.join("link")).unwrap();
        [root.join("blobs/ab"), root.join("blobs"), root.clone()].iter().for_each(|folder| set(folder, 0o755));
        assert_eq!(tighten(&root).unwrap(), Tightened { closed: 5, left: 0 });
        assert_eq!([mode(&root), mode(&root.join("blobs")), mode(&root.join("blobs/ab"))], [0o700; 3]);
        assert_eq!(["blobs/ab/x", "hub.db", "admin-token"].map(|file| mode(&root.join(file))), [0o400, 0o600, 0o600]);
        assert_eq!(mode(&elsewhere), 0o644);
        assert_eq!(tighten(&root).unwrap(), Tightened::default());
    }
}
