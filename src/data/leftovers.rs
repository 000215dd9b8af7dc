//! Files that lie beside the data and are no part of it.

use super::modalities;

/// Files every packer and desktop leaves behind, and the papers of a repo: no part of the data.
pub fn is_ignored(path: &str) -> bool {
    let mut segments = path.split('/').rev();
    let file = segments.next().unwrap_or_default();
    if file.starts_with('.') || segments.any(|s| s.starts_with('.') || s == "__MACOSX") || path == "__MACOSX" {
        return true;
    }
    let lower = file.to_ascii_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    matches!(lower.as_str(), "thumbs.db" | "desktop.ini" | "sha256sums")
        || matches!(stem, "readme" | "license" | "licence" | "copying" | "notice" | "changelog" | "citation")
            && (lower == stem || !modalities::is_item(&lower))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_behind_files_are_ignored() {
        for path in ["README.md", "a/.DS_Store", "__MACOSX/train/._1.png", ".git/config", "LICENSE", "cat/Thumbs.db", ".cache/x.png"] {
            assert!(is_ignored(path), "{path} was taken");
        }
        for path in ["cat/1.png", "cat/readme.png", "license/1.png"] {
            assert!(!is_ignored(path), "{path} was ignored");
        }
    }
}
