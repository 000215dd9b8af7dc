//! Some files of a version, chosen by patterns over their paths.

use std::collections::HashSet;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::manifest::Manifest;
use super::path::RepoPath;

/// Paths that some pattern includes and none excludes. Without patterns, every path.
///
/// Patterns are those of `hf download`: `*` and `?` match any character, `/` too, so that `*.json` finds files in
/// folders; `[ab]` one of some, `{a,b}` one of several; `folder/` everything in it. Case matters.
#[derive(Debug, Clone)]
pub struct Selection {
    /// None: everything is included.
    include: Option<GlobSet>,
    exclude: GlobSet,
    /// Files that are marked as pickles are chosen too.
    pickles: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{pattern}' is no pattern: {problem}")]
pub struct SelectionError {
    pub pattern: String,
    pub problem: String,
}

impl Selection {
    pub fn everything() -> Selection {
        Selection { include: None, exclude: GlobSet::empty(), pickles: false }
    }

    pub fn parse(include: &[String], exclude: &[String]) -> Result<Selection, SelectionError> {
        let included = if include.is_empty() { None } else { Some(set(include)?) };
        Ok(Selection { include: included, exclude: set(exclude)?, pickles: false })
    }

    /// The same, with or without what is marked as a pickle.
    pub fn with_pickles(self, pickles: bool) -> Selection {
        Selection { pickles, ..self }
    }

    pub fn takes_pickles(&self) -> bool {
        self.pickles
    }

    pub fn takes(&self, path: &RepoPath) -> bool {
        self.include.as_ref().is_none_or(|set| set.is_match(path.as_str())) && !self.exclude.is_match(path.as_str())
    }

    /// The files chosen, and of those that fit the marked ones that were left out. None: no file fits.
    pub fn of(&self, version: &Manifest, marked: &[RepoPath]) -> Option<(Manifest, Vec<RepoPath>)> {
        let marked: HashSet<&RepoPath> = marked.iter().filter(|_| !self.pickles).collect();
        let fit = version.entries().iter().filter(|entry| self.takes(&entry.path));
        let (left_out, chosen): (Vec<_>, Vec<_>) = fit.cloned().partition(|entry| marked.contains(&entry.path));
        let left_out = left_out.into_iter().map(|entry| entry.path).collect();
        Manifest::new(chosen).ok().map(|chosen| (chosen, left_out))
    }
}

fn set(patterns: &[String]) -> Result<GlobSet, SelectionError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let refuse = |problem: String| SelectionError { pattern: pattern.clone(), problem };
        if pattern.is_empty() || pattern.len() > 512 {
            return Err(refuse("it is empty or longer than 512 bytes".into()));
        }
        let whole = if pattern.ends_with('/') { format!("{pattern}*") } else { pattern.clone() };
        let glob = GlobBuilder::new(&whole).literal_separator(false).backslash_escape(true).build();
        set.add(glob.map_err(|e| refuse(e.kind().to_string()))?);
    }
    set.build().map_err(|e| SelectionError { pattern: patterns.join(" "), problem: e.kind().to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Digest;
    use crate::domain::manifest::ManifestEntry;

    fn chosen(include: &[&str], exclude: &[&str]) -> Vec<String> {
        let entry = |path: &str| ManifestEntry { path: RepoPath::parse(path).unwrap(), size_bytes: 1, digest: Digest::of(b"x") };
        let paths = ["README.md", "config.json", "onnx/a/model.onnx", "onnx/config.json", "weights/model-1.safetensors", "x[1].bin"];
        let version = Manifest::new(paths.map(entry).into()).unwrap();
        let owned = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>();
        let selection = Selection::parse(&owned(include), &owned(exclude)).unwrap();
        selection.of(&version, &[]).iter().flat_map(|(some, _)| some.entries()).map(|entry| entry.path.to_string()).collect()
    }

    #[test]
    fn patterns_choose_paths() {
        assert_eq!(chosen(&[], &[]).len(), 6);
        assert_eq!(chosen(&["*.json"], &[]), ["config.json", "onnx/config.json"]);
        assert_eq!(chosen(&["config.json"], &[]), ["config.json"]);
        assert_eq!(chosen(&["onnx/"], &["*.json"]), ["onnx/a/model.onnx"]);
        assert_eq!(chosen(&["onnx/*"], &[]).len(), 2);
        assert_eq!(chosen(&["**/model*"], &[]), ["onnx/a/model.onnx", "weights/model-1.safetensors"]);
        assert_eq!(chosen(&["*.{md,bin}"], &[]), ["README.md", "x[1].bin"]);
        assert_eq!(chosen(&["x\\[1\\].bin"], &[]), ["x[1].bin"]);
        assert_eq!(chosen(&["*.JSON"], &[]), [""; 0]);
        assert_eq!(chosen(&[], &["*"]), [""; 0]);
    }

    #[test]
    fn nonsense_is_no_pattern() {
        for pattern in ["", "[a", "{a", "a\\", &"a".repeat(513)] {
            let error = Selection::parse(&[pattern.to_owned()], &[]).unwrap_err();
            assert_eq!(error.pattern, pattern);
        }
    }
}
