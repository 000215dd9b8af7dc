//! What systems and tools leave beside what people made. One rule, for folders that are published and for what is read of
//! archives, folders and versions: it is asked before a name is judged, since some of these names could not be stored.

/// Names of files and folders, in lower case.
const NAMES: &[&str] = &[
    "__macosx",
    "__pycache__",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
    "@eadir",
    "#recycle",
    "@recycle",
    "$recycle.bin",
    "system volume information",
    "lost+found",
];

/// Dot files and folders that are never what somebody made.
const OF_TOOLS: &[&str] = &[
    ".git",
    ".svn",
    ".hg",
    ".cache",
    ".ipynb_checkpoints",
    ".trash",
    ".trashes",
    ".spotlight-v100",
    ".fseventsd",
    ".idea",
    ".vscode",
    ".ds_store",
];

/// Whether it is a dot file or folder that a tool keeps for itself, or Finder's shadow of another file.
pub fn is_of_a_tool(name: &str) -> bool {
    name.starts_with("._") || OF_TOOLS.contains(&name.to_lowercase().as_str())
}

/// Whether one part of a path is the name of litter: a dot file or folder, or one of the names above.
pub fn is_litter(name: &str) -> bool {
    let hidden = name.starts_with('.') && !matches!(name, "." | "..");
    hidden || NAMES.contains(&name.to_lowercase().as_str())
}

/// Whether a file is litter or lies in a folder that is.
pub fn in_litter(path: &str) -> bool {
    path.split('/').any(is_litter)
}

/// Of a path that is litter only because somebody hid a folder: that folder. No tool's own folder is one.
pub fn hidden_folder(path: &str) -> Option<&str> {
    let (folders, file) = path.rsplit_once('/')?;
    let mut hidden = None;
    for name in folders.split('/').filter(|name| is_litter(name)) {
        if !name.starts_with('.') || is_of_a_tool(name) {
            return None;
        }
        hidden = hidden.or(Some(name));
    }
    hidden.filter(|_| !is_litter(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_leave_is_litter_and_what_people_name_is_not() {
        for path in [
            "a/.DS_Store",
            "__MACOSX/train/._1.png",
            ".git/config",
            "cat/Thumbs.db",
            "cat/Icon\r",
            "a/@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg",
            "$RECYCLE.BIN/x.png",
            "lost+found/1",
            ".ipynb_checkpoints/a-checkpoint.png",
            "a/._x.png",
            "Desktop.ini",
        ] {
            assert!(in_litter(path), "{path:?} was taken");
        }
        for path in ["cat/1.png", "../x", "./a", "icon/1.png", "a/..", "thumbs/1.png", "Icon.png", "macosx/1.png"] {
            assert!(!in_litter(path), "{path:?} was ignored");
        }
    }

    #[test]
    fn a_folder_somebody_hid_is_named() {
        assert_eq!(hidden_folder(".wild/0.png"), Some(".wild"));
        assert_eq!(hidden_folder("a/.wild/b/0.png"), Some(".wild"));
        for path in [".git/x.png", ".DS_Store", "a/.cache/x.png", "__MACOSX/.x/a.png", ".wild/._0.png", "a/b.png"] {
            assert_eq!(hidden_folder(path), None, "{path}");
        }
    }
}
