//! What of a version lies in git itself, and what only as a pointer of git-lfs.
//!
//! A file is a pointer where the rules of `.gitattributes` say LFS (the repo's own, or else those that count without being written
//! down), and where it is too large for git. A clone must find the same rules in its tree, or git-lfs would leave the pointers
//! as they are: those that the repo's own file lacks are added to it, and nothing else is.

use super::ObjectId;
use crate::domain::attributes::{Attributes, is_usual, lfs_rule, rule_for, usual_rules};
use crate::domain::digest::Digest;
use crate::domain::git_lfs;
use crate::domain::glob::Steps;

/// What is larger is a pointer whatever it is called, as at the Hugging Face Hub.
pub const LARGEST_BLOB: u64 = 10 << 20;
const ATTRIBUTES: &str = ".gitattributes";
/// For all files of a version: some seconds where somebody wrote the rules for it.
const MOST_STEPS: u64 = 1_000_000_000;
/// Rules for single paths; where there would be more, one rule covers everything.
const MOST_PATHS: usize = 500;
/// A change of what is a pointer, or of what is written in one, changes all trees: this changes with it.
pub const FORM: u32 = 1;

/// A file as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    pub path: String,
    pub size_bytes: u64,
    pub digest: Digest,
    /// Git's name for its bytes, once it is known.
    pub name: Option<ObjectId>,
}

/// What stands for a file in git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Its bytes; their name, once it is known.
    Stored {
        digest: Digest,
        size_bytes: u64,
        name: Option<ObjectId>,
    },
    Pointer {
        digest: Digest,
        size_bytes: u64,
    },
    /// Made here.
    Written(String),
}

impl Content {
    /// The bytes of what is not stored.
    pub fn text(&self) -> Option<String> {
        match self {
            Content::Stored { .. } => None,
            Content::Pointer { digest, size_bytes } => Some(git_lfs::write_pointer(digest, *size_bytes)),
            Content::Written(text) => Some(text.clone()),
        }
    }
}

/// The file that holds a version's rules, if it is one that is read.
pub fn find_rules(files: &[StoredFile], most_bytes: u64) -> Option<&StoredFile> {
    files.iter().find(|file| file.path == ATTRIBUTES && file.size_bytes <= most_bytes)
}

/// The files of a version as they lie in git, sorted by path. `rules` is the text of its `.gitattributes`, where that is read.
pub fn lay_out(files: Vec<StoredFile>, rules: Option<&str>) -> Vec<(String, Content)> {
    let (own, mut steps) = (Attributes::parse(rules.unwrap_or_default()), Steps::new(MOST_STEPS));
    // Rules that are too much work for so many files say nothing of the rest of them.
    let said: Vec<Option<bool>> = files.iter().map(|file| own.says_itself(&file.path, &mut steps).unwrap_or_default()).collect();
    let is_pointer = |file: &StoredFile, said: Option<bool>| {
        let large = file.size_bytes > LARGEST_BLOB || said.unwrap_or_else(|| is_usual(&file.path));
        file.path != ATTRIBUTES && file.size_bytes > 0 && large
    };
    let has_rules = files.iter().any(|file| file.path == ATTRIBUTES);
    let pointers = files.iter().zip(&said).filter(|(file, said)| is_pointer(file, **said));
    let lacking = lacking_rules(pointers.map(|(file, said)| (file.path.as_str(), *said)));
    let mut laid: Vec<(String, Content)> = Vec::with_capacity(files.len() + 1);
    for (file, said) in files.into_iter().zip(said) {
        let pointer = is_pointer(&file, said);
        let StoredFile { size_bytes, digest, name, .. } = file;
        let content = match pointer {
            true => Content::Pointer { digest, size_bytes },
            false => Content::Stored { digest, size_bytes, name },
        };
        laid.push((file.path, content));
    }
    // One that is too large to be read is not rewritten either.
    if let Some((before, behind)) = lacking.filter(|_| rules.is_some() || !has_rules) {
        let own = rules.unwrap_or_default();
        let end = if own.is_empty() || own.ends_with('\n') { "" } else { "\n" };
        laid.retain(|(path, _)| path != ATTRIBUTES);
        laid.push((ATTRIBUTES.into(), Content::Written(format!("{before}{own}{end}{behind}"))));
    }
    laid.sort_by(|a, b| a.0.cmp(&b.0));
    laid
}

/// What must stand before and behind a repo's own rules, so that these pointers are known by them; `None`: nothing.
fn lacking_rules<'a>(pointers: impl Iterator<Item = (&'a str, Option<bool>)>) -> Option<(String, String)> {
    let unnamed: Vec<(&str, Option<bool>)> = pointers.filter(|(_, said)| *said != Some(true)).collect();
    let by_usual = |(path, said): &(&str, Option<bool>)| said.is_none() && is_usual(path);
    // The repo's own come behind these, and are heard.
    let before = if unnamed.iter().any(by_usual) { usual_rules() } else { String::new() };
    let alone: Vec<&str> = unnamed.iter().filter(|path| !by_usual(path)).map(|(path, _)| *path).collect();
    let behind = match alone.len() {
        0..=MOST_PATHS => alone.into_iter().map(rule_for).collect(),
        _ => format!("{}{ATTRIBUTES} -filter\n", lfs_rule("*")),
    };
    (!unnamed.is_empty()).then_some((before, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size_bytes: u64) -> StoredFile {
        StoredFile { path: path.into(), size_bytes, digest: Digest::of(path.as_bytes()), name: None }
    }

    fn pointers(laid: &[(String, Content)]) -> Vec<&str> {
        laid.iter().filter(|(_, content)| matches!(content, Content::Pointer { .. })).map(|(path, _)| path.as_str()).collect()
    }

    fn written(laid: &[(String, Content)]) -> Option<String> {
        laid.iter().find(|(path, _)| path == ATTRIBUTES).and_then(|(_, content)| content.text())
    }

    #[test]
    fn what_a_repo_says_of_itself_is_left_as_it_is() {
        let rules = "*.bin filter=lfs diff=lfs merge=lfs -text\n";
        let laid = lay_out(vec![file(ATTRIBUTES, 3), file("README.md", 5), file("a.bin", 7), file("empty.bin", 0)], Some(rules));
        assert_eq!((pointers(&laid), written(&laid)), (vec!["a.bin"], None));
        let laid = lay_out(vec![file("README.md", 5), file("b", LARGEST_BLOB)], None);
        assert_eq!((pointers(&laid), laid.len()), (vec![], 2), "no rules where none are needed");
    }

    #[test]
    fn rules_that_lack_are_added_where_the_repos_own_still_count() {
        let laid = lay_out(vec![file("a b.txt", LARGEST_BLOB + 1), file("x.safetensors", 7), file("y.bin", 7)], Some("*.bin -filter"));
        assert_eq!(pointers(&laid), ["a b.txt", "x.safetensors"]);
        let text = written(&laid).unwrap();
        assert!(text.contains("*.safetensors filter=lfs") && text.contains("\n*.bin -filter\n/a[[:space:]]b.txt filter=lfs"), "{text}");
        let read = Attributes::parse(&text);
        assert_eq!(
            ["x.safetensors", "y.bin", "a b.txt"].map(|path| read.says_itself(path, &mut Steps::new(10_000)).unwrap()),
            [Some(true), Some(false), Some(true)]
        );
        assert_eq!(laid[0].0, ATTRIBUTES, "sorted");
        let large = LARGEST_BLOB + 1;
        let refused = lay_out(vec![file("z.dat", large)], Some("*.dat -filter"));
        assert_eq!(pointers(&refused), ["z.dat"], "too large for git whatever is said");
        assert!(written(&refused).unwrap().ends_with("*.dat -filter\n/z.dat filter=lfs diff=lfs merge=lfs -text\n"));
    }

    #[test]
    fn rules_stay_few_and_those_too_large_to_be_read_stay_as_they_are() {
        let many = (0..600).map(|at| file(&format!("{at}.dat"), LARGEST_BLOB + 1)).collect();
        let text = written(&lay_out(many, None)).unwrap();
        assert_eq!(text, "* filter=lfs diff=lfs merge=lfs -text\n.gitattributes -filter\n");
        let laid = lay_out(vec![file(ATTRIBUTES, 1 << 20), file("x.bin", 7)], None);
        assert_eq!((pointers(&laid), written(&laid), laid.len()), (vec!["x.bin"], None, 2));
    }
}
