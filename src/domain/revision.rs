//! Revisions as people type them, and the names refs may have.

use std::fmt;

use super::digest::{CommitId, Digest};

/// What a person types to name a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revision {
    /// `main`, another branch, a tag, or `refs/...` as git writes it.
    Ref(RefName),
    /// `3`, also `v3` where no tag of that name exists.
    Number(u32),
    /// A commit id or a prefix of 7 hex digits and more; unique or refused.
    Commit(String),
    /// `sha256:` and a whole manifest digest.
    Manifest(Digest),
}

/// A branch or a tag. Never a text that would read as a number or a commit id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RefName(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevisionError {
    #[error("a revision is 'main', a tag, a version number, a commit id (7 hex digits or more) or 'sha256:' and a digest")]
    Revision,
    #[error("a branch or a tag has 1 to 64 characters from A-Z a-z 0-9 . _ - / and + and must not read as a number or a commit id")]
    Tag,
}

/// The branch every repo has.
pub const MAIN: &str = "main";
const HEAD: &str = "HEAD";

impl RefName {
    pub fn parse(text: &str) -> Result<RefName, RevisionError> {
        let bytes = text.as_bytes();
        let inside = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/' | b'+');
        let grammar = !bytes.is_empty()
            && bytes.len() <= 64
            && bytes[0].is_ascii_alphanumeric()
            && bytes.iter().all(inside)
            && !text.contains("..")
            && !text.contains("//")
            && !text.ends_with(['/', '.']);
        let number = bytes.iter().all(u8::is_ascii_digit);
        let commit = bytes.len() >= 7 && bytes.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !grammar || number || commit {
            return Err(RevisionError::Tag);
        }
        Ok(RefName(text.into()))
    }

    pub fn main() -> RefName {
        RefName(MAIN.into())
    }

    pub fn is_main(&self) -> bool {
        self.0 == MAIN
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// May a branch or a tag be called so? Git's own words may not, and what git cannot keep as a file of that name.
    pub fn can_be_given(&self) -> bool {
        let lower = self.0.to_ascii_lowercase();
        let git_keeps_it = self.0.split('/').all(|part| !part.starts_with('.') && !part.ends_with('.') && !part.ends_with(".lock"));
        lower != "head" && lower != "refs" && !lower.starts_with("refs/") && git_keeps_it
    }
}

/// What versions are made upon, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    Branch(RefName),
    /// `refs/pr/3`
    PullRequest(u32),
}

/// Before the number of a pull request.
const PULL_REQUEST: &str = "refs/pr/";

impl Line {
    pub fn main() -> Line {
        Line::Branch(RefName::main())
    }

    pub fn is_main(&self) -> bool {
        *self == Line::main()
    }

    pub fn parse(text: &str) -> Result<Line, RevisionError> {
        let name = RefName::parse(text)?;
        Line::of(&name).ok_or(RevisionError::Revision)
    }

    /// The line a name means; `refs/heads/dev` is `dev`. None of `refs/` means another.
    pub fn of(name: &RefName) -> Option<Line> {
        let text = name.as_str();
        if let Some(number) = text.strip_prefix(PULL_REQUEST) {
            let number = number.parse::<u32>().ok().filter(|parsed| *parsed > 0 && parsed.to_string() == number);
            return number.map(Line::PullRequest);
        }
        match text.strip_prefix("refs/heads/") {
            Some(branch) => RefName::parse(branch).ok().map(Line::Branch),
            None if text.starts_with("refs/") => None,
            None => Some(Line::Branch(name.clone())),
        }
    }
}

impl Default for Line {
    fn default() -> Line {
        Line::main()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Branch(name) => write!(f, "{name}"),
            Line::PullRequest(number) => write!(f, "{PULL_REQUEST}{number}"),
        }
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Revision {
    /// `HEAD` is what git calls the tip of the branch one is on; here that is `main`.
    pub fn parse(text: &str) -> Result<Revision, RevisionError> {
        if text == HEAD {
            return Ok(Revision::main());
        }
        if let Some(digest) = text.strip_prefix("sha256:") {
            return Digest::parse(digest).map(Revision::Manifest).map_err(|_| RevisionError::Revision);
        }
        if !text.is_empty() && text.len() <= 6 && text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(Revision::Number).map_err(|_| RevisionError::Revision);
        }
        let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hex && (7..=40).contains(&text.len()) {
            return Ok(Revision::Commit(text.into()));
        }
        RefName::parse(text).map(Revision::Ref).map_err(|_| RevisionError::Revision)
    }

    pub fn main() -> Revision {
        Revision::Ref(RefName::main())
    }

    pub fn commit(id: &CommitId) -> Revision {
        Revision::Commit(id.as_str().into())
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Revision::Ref(name) => write!(f, "{name}"),
            Revision::Number(number) => write!(f, "{number}"),
            Revision::Commit(prefix) => f.write_str(prefix),
            Revision::Manifest(digest) => write!(f, "sha256:{digest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_one_meaning() {
        assert_eq!(Revision::parse("main").unwrap(), Revision::main());
        assert_eq!(Revision::parse("HEAD").unwrap(), Revision::main());
        assert_eq!(Revision::parse("3").unwrap(), Revision::Number(3));
        assert_eq!(Revision::parse("deadbee").unwrap(), Revision::Commit("deadbee".into()));
        assert!(matches!(Revision::parse("v1.0"), Ok(Revision::Ref(_))));
        assert!(matches!(Revision::parse("rel/1.0"), Ok(Revision::Ref(_))));
        for text in ["", "..", "a..b", "sha256:zz", "/x", "x/", "a b", "é"] {
            assert!(Revision::parse(text).is_err(), "{text:?}");
        }
        for tag in ["12", "deadbeef", "a//b"] {
            assert!(RefName::parse(tag).is_err(), "{tag}");
        }
    }

    #[test]
    fn names_git_could_not_keep_are_not_given() {
        let given = |text: &str| RefName::parse(text).unwrap().can_be_given();
        assert!(["dev", "dev/x", "feature/a_b-1.0", "heads"].into_iter().all(given));
        for reserved in ["refs/pr/1", "refs/heads/dev", "Refs/x", "HEAD", "head", "refs", "dev.lock", "a.lock/b", "a/.b"] {
            assert!(!given(reserved), "{reserved}");
        }
    }

    #[test]
    fn lines_are_branches_and_pull_requests() {
        let read = |text: &str| Line::parse(text).ok().map(|line| line.to_string());
        assert_eq!(read("main").as_deref(), Some("main"));
        assert_eq!(read("refs/heads/dev/x").as_deref(), Some("dev/x"));
        assert_eq!(Line::parse("refs/pr/12").unwrap(), Line::PullRequest(12));
        for none in ["refs/pr/0", "refs/pr/01", "refs/pr/x", "refs/pr/99999999999", "refs/tags/v1", "refs/heads/12", "12"] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
