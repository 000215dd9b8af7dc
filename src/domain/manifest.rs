//! The manifest: the sorted list of what a version holds. Its canonical bytes hash to the commit id.

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};

use super::digest::{CommitId, Digest};
use super::path::RepoPath;

/// One file of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestEntry {
    pub path: RepoPath,
    pub size_bytes: u64,
    pub digest: Digest,
}

/// Sorted by path; no two paths equal, nor one a folder of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    entries: Vec<ManifestEntry>,
}

/// Why a list of files is not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("a version holds at least one file")]
    Empty,
    #[error("a version holds at most {0} files; pack small files into an archive")]
    TooMany(usize),
    #[error("the path '{0}' is there twice; leave one out")]
    Twice(String),
    #[error("'{0}' is both a file and a folder; rename one")]
    FileAndFolder(String),
}

/// More files than this belong into an archive.
pub const MAX_FILES: usize = 100_000;
/// Longest canonical text that is read: of that many files, whose paths have 250 bytes in the mean.
pub const MAX_MANIFEST_BYTES: u64 = 32 << 20;

/// The digest of a manifest that is read row by row, in the order of its paths.
#[derive(Debug, Clone, Default)]
pub struct ManifestHash(Sha256);

impl ManifestHash {
    pub fn add(&mut self, path: &str, size_bytes: u64, digest: &Digest) {
        self.0.update(line(path, size_bytes, digest));
    }

    pub fn finish(self) -> Digest {
        Digest::from_bytes(self.0.finalize().into())
    }
}

fn line(path: &str, size_bytes: u64, digest: &Digest) -> String {
    format!("{digest} {size_bytes} {path}\n")
}

/// A line that `sha256sum -c` reads: `sha256 SP SP path LF`; a backslash is doubled, and announced by one before the line.
pub fn sum_line(path: &str, digest: &Digest) -> String {
    match path.contains('\\') {
        true => format!("\\{digest}  {}\n", path.replace('\\', "\\\\")),
        false => format!("{digest}  {path}\n"),
    }
}

impl Manifest {
    pub fn new(mut entries: Vec<ManifestEntry>) -> Result<Manifest, ManifestError> {
        if entries.is_empty() {
            return Err(ManifestError::Empty);
        }
        if entries.len() > MAX_FILES {
            return Err(ManifestError::TooMany(MAX_FILES));
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        if let Some([twice, _]) = entries.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(ManifestError::Twice(twice.path.to_string()));
        }
        let seen: HashSet<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
        for entry in &entries {
            let path = entry.path.as_str();
            let mut folders = path.match_indices('/').map(|(at, _)| &path[..at]);
            if let Some(folder) = folders.find(|folder| seen.contains(folder)) {
                return Err(ManifestError::FileAndFolder(folder.into()));
            }
        }
        Ok(Manifest { entries })
    }

    pub fn entries(&self) -> &[ManifestEntry] {
        &self.entries
    }

    pub fn total_bytes(&self) -> u64 {
        self.entries.iter().map(|e| e.size_bytes).sum()
    }

    pub fn find(&self, path: &str) -> Option<&ManifestEntry> {
        self.entries.binary_search_by(|e| e.path.as_str().cmp(path)).ok().map(|at| &self.entries[at])
    }

    /// One line a file, sorted by path: `sha256 SP size SP path LF`.
    pub fn canonical(&self) -> String {
        self.entries.iter().map(|e| line(e.path.as_str(), e.size_bytes, &e.digest)).collect()
    }

    /// Reads back what [`Manifest::canonical`] writes. None: it is no manifest.
    pub fn parse(text: &str) -> Option<Manifest> {
        let line = |line: &str| {
            let (digest, rest) = line.split_once(' ')?;
            let (size, path) = rest.split_once(' ')?;
            Some(ManifestEntry { path: RepoPath::parse(path).ok()?, size_bytes: size.parse().ok()?, digest: Digest::parse(digest).ok()? })
        };
        Manifest::new(text.lines().map(line).collect::<Option<Vec<_>>>()?).ok()
    }

    pub fn digest(&self) -> Digest {
        Digest::of(self.canonical().as_bytes())
    }

    pub fn commit_id(&self) -> CommitId {
        CommitId::of_manifest(&self.digest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> ManifestEntry {
        ManifestEntry { path: RepoPath::parse(path).unwrap(), size_bytes: 3, digest: Digest::of(b"abc") }
    }

    #[test]
    fn order_does_not_change_the_commit_id() {
        let one = Manifest::new(vec![entry("a"), entry("b/c")]).unwrap();
        let two = Manifest::new(vec![entry("b/c"), entry("a")]).unwrap();
        assert_eq!(one.commit_id(), two.commit_id());
        assert_eq!(one.commit_id().as_str().len(), 40);
        assert_eq!(Manifest::parse(&one.canonical()).as_ref(), Some(&one));
        assert_eq!((Manifest::parse(""), Manifest::parse("abc 3 a\n")), (None, None));
        let mut hash = ManifestHash::default();
        one.entries().iter().for_each(|entry| hash.add(entry.path.as_str(), entry.size_bytes, &entry.digest));
        assert_eq!(hash.finish(), one.digest());
        assert_eq!(one.find("b/c").map(|e| e.path.as_str()), Some("b/c"));
    }

    #[test]
    fn colliding_paths_are_refused_and_look_alikes_are_not() {
        assert!(matches!(Manifest::new(vec![entry("a"), entry("a")]), Err(ManifestError::Twice(_))));
        assert!(matches!(Manifest::new(vec![entry("a"), entry("a/b")]), Err(ManifestError::FileAndFolder(_))));
        assert!(matches!(Manifest::new(vec![]), Err(ManifestError::Empty)));
        for (one, other) in [("a", "A"), ("caf\u{e9}", "cafe\u{301}"), ("A", "a/b")] {
            assert_eq!(Manifest::new(vec![entry(one), entry(other)]).unwrap().entries().len(), 2, "{one} {other}");
        }
    }

    #[test]
    fn sums_read_as_sha256sum_writes_them() {
        let sums: String = ["a b", "c\\d"].iter().map(|path| sum_line(path, &Digest::of(b"abc"))).collect();
        let lines: Vec<&str> = sums.lines().collect();
        assert!(lines[0].ends_with("  a b") && lines[1].starts_with('\\') && lines[1].ends_with("  c\\\\d"), "{sums}");
    }
}
