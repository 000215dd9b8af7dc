//! What a publish would send: the files below a folder, with the paths they will have in the repo. Dot files
//! and what systems leave behind stay home; a link that leads out of the folder stops the whole, since it
//! could publish what nobody meant to.

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::error::at;
use super::{Error, Result};
use crate::domain::litter::is_litter;
use crate::domain::path::RepoPath;

/// A file to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile {
    pub path: RepoPath,
    pub source: PathBuf,
    pub size_bytes: u64,
}

/// Files to be published, sorted by path, and what was left out.
#[derive(Debug, Clone, Default)]
pub struct Folder {
    pub files: Vec<LocalFile>,
    pub ignored: Vec<String>,
}

fn refuse(code: &'static str, message: String, hint: &str) -> Error {
    Error::Input { code, message, hint: hint.into() }
}

impl Folder {
    /// Walks a folder. Errors name the file.
    pub fn read(root: &Path) -> Result<Folder> {
        let real_root = root.canonicalize().map_err(at("open", root))?;
        let mut folder = Folder::default();
        let mut walk = WalkDir::new(&real_root).follow_links(true).sort_by_file_name().into_iter();
        while let Some(entry) = walk.next() {
            let entry = entry.map_err(|e| refuse("folder", format!("cannot read the folder: {e}"), "check permissions and links"))?;
            if entry.depth() == 0 {
                continue;
            }
            let relative = entry.path().strip_prefix(&real_root).unwrap_or(entry.path());
            if entry.file_name().to_str().is_some_and(is_litter) {
                folder.ignored.push(relative.display().to_string());
                if entry.file_type().is_dir() {
                    walk.skip_current_dir();
                }
                continue;
            }
            if entry.path_is_symlink() {
                check_link(entry.path(), relative, &real_root)?;
            }
            if entry.file_type().is_dir() {
                continue;
            }
            folder.files.push(local_file(entry.path(), relative)?);
        }
        if folder.files.is_empty() {
            let message = format!("{} holds no files to publish", root.display());
            return Err(refuse("empty_folder", message, "dot files are left out; name a folder with a model or a data set"));
        }
        Ok(folder)
    }

    /// One file under its own name.
    pub fn of_file(path: &Path) -> Result<Folder> {
        let name = path.file_name().map(Path::new).unwrap_or(path);
        Ok(Folder { files: vec![local_file(path, name)?], ignored: Vec::new() })
    }

    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }
}

fn check_link(path: &Path, relative: &Path, real_root: &Path) -> Result<()> {
    let target = path.canonicalize().map_err(at("follow the link", path))?;
    if target.starts_with(real_root) {
        return Ok(());
    }
    let message = format!("the link {} leads out of the folder, to {}", relative.display(), target.display());
    Err(refuse("link_outside", message, "replace the link by the file it names (cp -L), if it shall be published"))
}

fn local_file(source: &Path, relative: &Path) -> Result<LocalFile> {
    let facts = std::fs::metadata(source).map_err(at("read", source))?;
    if !facts.is_file() {
        let message = format!("{} is neither a file nor a folder", relative.display());
        return Err(refuse("not_a_file", message, "remove it from the folder"));
    }
    let text =
        relative.to_str().ok_or_else(|| refuse("path", format!("the name of {} is not UTF-8", relative.display()), "rename the file"))?;
    // macOS hands out decomposed names; repos hold the composed form.
    use unicode_normalization::UnicodeNormalization;
    let composed: String = text.nfc().collect();
    let path = RepoPath::parse(&composed).map_err(|e| refuse("path", e.to_string(), "rename the file, then publish again"))?;
    Ok(LocalFile { path, source: source.to_path_buf(), size_bytes: facts.len() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        };
        ["config.json", "sub/a.txt", ".git/config", "sub/.DS_Store"].into_iter().for_each(write);
        folder
    }

    #[test]
    fn dot_files_stay_home() {
        let folder = folder();
        let read = Folder::read(folder.path()).unwrap();
        let paths: Vec<_> = read.files.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(paths, ["config.json", "sub/a.txt"]);
        assert_eq!(read.ignored, [".git", "sub/.DS_Store"]);
    }

    #[test]
    fn links_inside_are_followed_and_links_outside_refused() {
        let folder = folder();
        symlink("config.json", folder.path().join("copy.json")).unwrap();
        assert_eq!(Folder::read(folder.path()).unwrap().files.len(), 3);
        symlink("/etc/passwd", folder.path().join("secret")).unwrap();
        let error = Folder::read(folder.path()).unwrap_err();
        assert!(error.to_string().contains("secret leads out"), "{error}");
    }

    #[test]
    fn names_a_repo_cannot_hold_are_named() {
        let folder = folder();
        std::fs::write(folder.path().join("a:b"), "x").unwrap();
        assert!(Folder::read(folder.path()).unwrap_err().to_string().contains("a:b"));
        let empty = tempfile::tempdir().unwrap();
        assert!(Folder::read(empty.path()).unwrap_err().to_string().contains("no files"));
    }
}
