//! A version of a repo as people write it: `namespace/name`, or `namespace/name@revision`. `main` where none is named.

use std::fmt;

use super::name::{NameError, RepoId};
use super::revision::{Revision, RevisionError};

/// A repo, and which of its versions is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoRef {
    pub id: RepoId,
    pub revision: Revision,
}

/// Which half was refused, as it was written. The text says only what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepoRefError {
    #[error("{problem}")]
    Name { written: String, problem: NameError },
    #[error("{problem}")]
    Revision { written: String, problem: RevisionError },
}

impl RepoRef {
    /// The name is looked at first: what is behind the `@` of no name means nothing.
    pub fn parse(text: &str) -> Result<RepoRef, RepoRefError> {
        let (name, revision) = match text.split_once('@') {
            None => (text, None),
            Some((name, revision)) => (name, Some(revision)),
        };
        let id = RepoId::parse(name).map_err(|problem| RepoRefError::Name { written: name.into(), problem })?;
        let wrong = |written: &str, problem| RepoRefError::Revision { written: written.into(), problem };
        let revision = match revision {
            None => Revision::main(),
            Some(written) => Revision::parse(written).map_err(|problem| wrong(written, problem))?,
        };
        Ok(RepoRef { id, revision })
    }
}

impl fmt::Display for RepoRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_people_write_them() {
        let read = |text: &str| RepoRef::parse(text).unwrap().to_string();
        assert_eq!(read("resnet50"), "library/resnet50@main");
        assert_eq!(read("acme/net@v1.0"), "acme/net@v1.0");
        assert_eq!(read("acme/net@3"), "acme/net@3");
        assert_eq!(read("acme/net@refs/pr/1"), "acme/net@refs/pr/1");
    }

    #[test]
    fn the_half_that_is_wrong_is_named() {
        for (text, half) in [("", ""), ("a/b/c@1", "a/b/c"), ("../x", "../x"), ("@main", ""), ("a b@", "a b")] {
            assert!(matches!(RepoRef::parse(text), Err(RepoRefError::Name { written, .. }) if written == half), "{text:?}");
        }
        for (text, half) in [("a@", ""), ("a@..", ".."), ("a@1@2", "1@2")] {
            assert!(matches!(RepoRef::parse(text), Err(RepoRefError::Revision { written, .. }) if written == half), "{text:?}");
        }
    }
}
