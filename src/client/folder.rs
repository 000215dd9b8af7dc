//! What a publish would send: the files below a folder, with the paths they will have in the repo. Dot files,
//! what `.gitignore` names and what systems leave behind stay home; a link that leads out of the folder stops the whole,
//! since it could publish what nobody meant to.
//!
//! The snapshots of `huggingface_hub`'s cache are folders of links to the cache's blobs. These lead out of the folder and
//! are what their owner means; and all files of one, dot files too, were in a repo before.

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::error::at;
use super::{Error, Result};
use crate::domain::ignore::IgnoreRules;
use crate::domain::litter::{is_litter, is_of_a_tool};
use crate::domain::path::RepoPath;
use crate::domain::selection::Selection;

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

/// Which files of a folder are meant.
#[derive(Debug, Clone)]
pub struct FolderRules {
    pub selection: Selection,
    /// Patterns that name dot files, which stay home otherwise.
    pub hidden: Option<Selection>,
    /// Take what links out of the folder lead to.
    pub follow_links: bool,
    /// Leave out what the folder's `.gitignore` names.
    pub gitignore: bool,
}

impl FolderRules {
    pub fn everything() -> FolderRules {
        FolderRules { selection: Selection::everything(), hidden: None, follow_links: false, gitignore: true }
    }
}

impl Folder {
    /// Walks a folder. Errors name the file.
    pub fn read(root: &Path, wanted: &FolderRules) -> Result<Folder> {
        let real_root = root.canonicalize().map_err(at("open", root))?;
        let look = Look::at(&real_root, wanted);
        let mut folder = Folder::default();
        let mut walk = WalkDir::new(&real_root).follow_links(true).sort_by_file_name().into_iter();
        while let Some(entry) = walk.next() {
            let entry = entry.map_err(|e| refuse("folder", format!("cannot read the folder: {e}"), "check permissions and links"))?;
            if entry.depth() == 0 {
                continue;
            }
            let relative = entry.path().strip_prefix(&real_root).unwrap_or(entry.path());
            let is_folder = entry.file_type().is_dir();
            if look.leaves_out(relative, is_folder) {
                folder.ignored.push(relative.display().to_string());
                if is_folder {
                    walk.skip_current_dir();
                }
                continue;
            }
            if is_folder {
                if entry.path_is_symlink() {
                    look.check_link(entry.path(), relative)?;
                }
                continue;
            }
            let file = local_file(entry.path(), relative)?;
            if !wanted.selection.takes(&file.path) {
                continue;
            }
            if entry.path_is_symlink() {
                look.check_link(entry.path(), relative)?;
            }
            folder.files.push(file);
        }
        if folder.files.is_empty() {
            let message = format!("{} holds no files to publish", root.display());
            let hint = "dot files and what .gitignore names are left out; name a folder with a model or a data set, or --include PATTERN";
            return Err(refuse("empty_folder", message, hint));
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

/// What is judged about the files of one folder.
struct Look<'a> {
    wanted: &'a FolderRules,
    real_root: &'a Path,
    /// Of a snapshot in `huggingface_hub`'s cache: where its links may lead.
    blobs: Option<PathBuf>,
    rules: IgnoreRules,
}

impl<'a> Look<'a> {
    fn at(real_root: &'a Path, wanted: &'a FolderRules) -> Look<'a> {
        let rules = wanted.gitignore.then(|| std::fs::read_to_string(real_root.join(".gitignore")).ok()).flatten();
        let rules = rules.map(|text| IgnoreRules::parse(&text)).unwrap_or_default();
        Look { wanted, real_root, blobs: blobs_of_snapshot(real_root), rules }
    }

    fn leaves_out(&self, relative: &Path, is_folder: bool) -> bool {
        let name = relative.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let path = relative.to_string_lossy();
        let is_hidden = name.starts_with('.');
        if is_of_a_tool(name) || (is_litter(name) && !is_hidden) {
            return true;
        }
        if is_hidden && self.blobs.is_none() {
            let named = |hidden: &Selection| is_folder || RepoPath::parse(&path).is_ok_and(|path| hidden.takes(&path));
            if !self.wanted.hidden.as_ref().is_some_and(named) {
                return true;
            }
        }
        if is_folder { self.rules.ignores_folder(&path) } else { self.rules.ignores(&path) }
    }

    fn check_link(&self, path: &Path, relative: &Path) -> Result<()> {
        let target = path.canonicalize().map_err(at("follow the link", path))?;
        let inside = target.starts_with(self.real_root) || self.blobs.as_ref().is_some_and(|blobs| target.starts_with(blobs));
        if inside || self.wanted.follow_links {
            return Ok(());
        }
        let message = format!("the link {} leads out of the folder, to {}", relative.display(), target.display());
        Err(refuse("link_outside", message, "if what it leads to shall be published too, add --follow-links"))
    }
}

/// Where `real_root` is, or lies in, `models--NAMESPACE--NAME/snapshots/COMMIT`: the `blobs` beside `snapshots`.
fn blobs_of_snapshot(real_root: &Path) -> Option<PathBuf> {
    let repo = real_root.ancestors().find_map(|folder| {
        let snapshots = folder.parent().filter(|parent| parent.ends_with("snapshots"))?;
        snapshots.parent().filter(|repo| repo.file_name().is_some_and(|name| name.to_string_lossy().contains("--")))
    })?;
    repo.join("blobs").canonicalize().ok()
}

fn local_file(source: &Path, relative: &Path) -> Result<LocalFile> {
    let facts = std::fs::metadata(source).map_err(at("read", source))?;
    if !facts.is_file() {
        let message = format!("{} is neither a file nor a folder", relative.display());
        return Err(refuse("not_a_file", message, "remove it from the folder"));
    }
    let text =
        relative.to_str().ok_or_else(|| refuse("path", format!("the name of {} is not UTF-8", relative.display()), "rename the file"))?;
    let path = RepoPath::parse(text).map_err(|e| refuse("path", e.to_string(), "rename the file, then publish again"))?;
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

    fn read(root: &Path) -> Result<Folder> {
        Folder::read(root, &FolderRules::everything())
    }

    fn paths(folder: &Folder) -> Vec<&str> {
        folder.files.iter().map(|file| file.path.as_str()).collect()
    }

    fn selection(patterns: &[&str]) -> Selection {
        Selection::parse(&patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>(), &[]).unwrap()
    }

    #[test]
    fn what_gitignore_names_stays_home() {
        let folder = folder();
        let write = |path: &str, text: &str| std::fs::write(folder.path().join(path), text).unwrap();
        write(".gitignore", "secret*\n!secret-not.txt\nsub/\n");
        write("secret.txt", "s");
        write("secret-not.txt", "s");
        let found = read(folder.path()).unwrap();
        assert_eq!(paths(&found), ["config.json", "secret-not.txt"]);
        assert_eq!(found.ignored, [".git", ".gitignore", "secret.txt", "sub"]);
        let all = FolderRules { gitignore: false, ..FolderRules::everything() };
        assert_eq!(paths(&Folder::read(folder.path(), &all).unwrap()).len(), 4);
    }

    #[test]
    fn patterns_choose_and_bring_dot_files_only_by_name() {
        let folder = folder();
        std::fs::create_dir(folder.path().join(".eval")).unwrap();
        std::fs::write(folder.path().join(".eval/a.yaml"), "x").unwrap();
        std::fs::write(folder.path().join(".env"), "x").unwrap();
        let some = FolderRules { selection: selection(&["*.txt"]), ..FolderRules::everything() };
        assert_eq!(paths(&Folder::read(folder.path(), &some).unwrap()), ["sub/a.txt"]);
        let hidden = FolderRules { hidden: Some(selection(&[".eval/"])), ..FolderRules::everything() };
        assert_eq!(paths(&Folder::read(folder.path(), &hidden).unwrap()), [".eval/a.yaml", "config.json", "sub/a.txt"]);
    }

    #[test]
    fn a_snapshot_of_the_other_cache_is_taken_as_it_is() {
        let cache = tempfile::tempdir().unwrap();
        let snapshot = cache.path().join("models--acme--net/snapshots/0123");
        for folder in [snapshot.join("onnx"), cache.path().join("models--acme--net/blobs"), cache.path().join("models--acme--else/blobs")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(cache.path().join("models--acme--net/blobs/aa"), "x").unwrap();
        std::fs::write(cache.path().join("models--acme--else/blobs/bb"), "y").unwrap();
        symlink("../../blobs/aa", snapshot.join("a.txt")).unwrap();
        symlink("../../blobs/aa", snapshot.join(".gitattributes")).unwrap();
        symlink("../../../blobs/aa", snapshot.join("onnx/b")).unwrap();
        assert_eq!(paths(&read(&snapshot).unwrap()), [".gitattributes", "a.txt", "onnx/b"]);
        assert_eq!(paths(&read(&snapshot.join("onnx")).unwrap()), ["b"]);
        symlink("../../../models--acme--else/blobs/bb", snapshot.join("c")).unwrap();
        assert!(read(&snapshot).unwrap_err().to_string().contains("the link c leads out"), "another repo's");
        let follow = FolderRules { follow_links: true, ..FolderRules::everything() };
        assert_eq!(Folder::read(&snapshot, &follow).unwrap().files.len(), 4);
    }

    #[test]
    fn dot_files_stay_home() {
        let folder = folder();
        let read = read(folder.path()).unwrap();
        let paths: Vec<_> = read.files.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(paths, ["config.json", "sub/a.txt"]);
        assert_eq!(read.ignored, [".git", "sub/.DS_Store"]);
    }

    #[test]
    fn links_inside_are_followed_and_links_outside_refused() {
        let folder = folder();
        symlink("config.json", folder.path().join("copy.json")).unwrap();
        assert_eq!(read(folder.path()).unwrap().files.len(), 3);
        symlink("/etc/passwd", folder.path().join("secret")).unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(error.to_string().contains("secret leads out"), "{error}");
    }

    #[test]
    fn names_a_repo_cannot_hold_are_named() {
        let folder = folder();
        std::fs::write(folder.path().join("a:b"), "x").unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("a:b"));
        let empty = tempfile::tempdir().unwrap();
        assert!(read(empty.path()).unwrap_err().to_string().contains("no files"));
    }
}
