//! Revisions as people type them, and the names refs may have.

use std::fmt;

use super::digest::{CommitId, Digest};

/// What a person types to name a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revision {
    /// `main` or a tag.
    Ref(RefName),
    /// `3`, also `v3` where no tag of that name exists.
    Number(u32),
    /// A commit id or a prefix of 7 hex digits and more; unique or refused.
    Commit(String),
    /// `sha256:` and a whole manifest digest.
    Manifest(Digest),
}

/// `main` or a tag. Never a text that would read as a number or a commit id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RefName(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevisionError {
    #[error("a revision is 'main', a tag, a version number, a commit id (7 hex digits or more) or 'sha256:' and a digest")]
    Revision,
    #[error("a tag has 1 to 64 characters from A-Z a-z 0-9 . _ - / and + and must not read as a number or a commit id")]
    Tag,
}

/// The branch every repo has.
pub const MAIN: &str = "main";

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
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Revision {
    pub fn parse(text: &str) -> Result<Revision, RevisionError> {
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
}
