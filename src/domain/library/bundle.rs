//! A bundle: entries with their files in one tar, for machines without a network.
//!
//! ```text
//! bundle.json                  what it holds: each entry with its files, and what each must hash to
//! blobs/SHA256                 each file once, in the order in which bundle.json first names it
//! ```

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::domain::digest::Digest;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::RepoPath;

/// The first member of the tar.
pub const LIST: &str = "bundle.json";
/// Before the digest of the others.
pub const BLOBS: &str = "blobs/";
/// The form this program reads and writes.
pub const FORMAT: u32 = 1;
/// A longer list is none.
pub const MAX_LIST_BYTES: u64 = 64 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    pub format: u32,
    pub entries: Vec<BundleEntry>,
}

/// An entry of the library, with its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleEntry {
    /// `model` or `dataset`
    pub kind: String,
    /// `library/name`
    pub name: String,
    /// Where the files come from, in words.
    pub origin: String,
    pub files: Vec<BundleFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleFile {
    pub path: String,
    pub size_bytes: u64,
    pub sha256: String,
}

impl Bundle {
    /// Reads the list; nothing of it is believed that could lead elsewhere.
    pub fn read(bytes: &[u8]) -> Result<Bundle, String> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|e| format!("{LIST} is no list: {e}"))?;
        if head.format != FORMAT {
            return Err(format!("it is of format {}, and this hub reads format {FORMAT}", head.format));
        }
        let bundle: Bundle = serde_json::from_slice(bytes).map_err(|e| format!("{LIST}: {e}"))?;
        for entry in &bundle.entries {
            RepoKind::parse(&entry.kind).map_err(|e| e.to_string())?;
            RepoId::parse(&entry.name).map_err(|e| format!("'{}': {e}", entry.name))?;
            let mut paths = HashSet::new();
            for file in &entry.files {
                RepoPath::parse(&file.path).map_err(|e| format!("'{}': {e}", entry.name))?;
                Digest::parse(&file.sha256).map_err(|e| format!("'{}': {e}", file.path))?;
                if !paths.insert(&file.path) {
                    return Err(format!("'{}' has '{}' twice", entry.name, file.path));
                }
            }
        }
        Ok(bundle)
    }

    /// Each blob once, in the order of the tar: digest and size.
    pub fn blobs(&self) -> Vec<(&str, u64)> {
        let mut seen = HashSet::new();
        let files = self.entries.iter().flat_map(|entry| &entry.files);
        files.filter(|file| seen.insert(file.sha256.as_str())).map(|file| (file.sha256.as_str(), file.size_bytes)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_lead_elsewhere_are_refused() {
        let sha = "a".repeat(64);
        let list = |entry: &str| format!(r#"{{"format":1,"entries":[{entry}]}}"#);
        let file = |path: &str, sha: &str| format!(r#"{{"path":"{path}","size_bytes":1,"sha256":"{sha}"}}"#);
        let entry = |name: &str, files: &str| list(&format!(r#"{{"kind":"model","name":"{name}","origin":"x","files":[{files}]}}"#));
        assert!(Bundle::read(entry("library/net", &file("a", &sha)).as_bytes()).is_ok());
        for bad in [
            entry("../x", ""),
            entry("library/net", &file("../a", &sha)),
            entry("library/net", &file("a", "12")),
            entry("library/net", &format!("{},{}", file("a", &sha), file("a", &sha))),
            r#"{"format":2,"entries":[],"more":1}"#.into(),
            r#"{"format":1,"entries":[],"more":1}"#.into(),
            "no".into(),
        ] {
            assert!(Bundle::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
