//! Files that lie beside the data and are no part of it.

use super::corrections::CORRECTIONS;
use super::modalities;
use crate::domain::litter::in_litter;

/// Files every packer and desktop leaves behind, and the papers of a repo: no part of the data.
pub fn is_ignored(path: &str) -> bool {
    if in_litter(path) {
        return true;
    }
    let lower = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    lower == "sha256sums"
        || path == CORRECTIONS
        || matches!(stem, "readme" | "license" | "licence" | "copying" | "notice" | "changelog" | "citation")
            && (lower == stem || !modalities::may_be_media(&lower))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_behind_files_are_ignored() {
        for path in [
            "README.md",
            "a/.DS_Store",
            "__MACOSX/train/._1.png",
            ".git/config",
            "LICENSE",
            "cat/Thumbs.db",
            ".cache/x.png",
            "corrections.csv",
        ] {
            assert!(is_ignored(path), "{path} was taken");
        }
        for path in ["README.txt", "license.txt", "data/Citation.csv"] {
            assert!(is_ignored(path), "{path} was taken");
        }
        for path in ["cat/1.png", "cat/readme.png", "license/1.png", "notice/1.txt"] {
            assert!(!is_ignored(path), "{path} was ignored");
        }
    }
}
