//! Names of repos and of the people who own them: kept as written, unique on their folded form.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

/// What a repo holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RepoKind {
    Model,
    Dataset,
}

impl RepoKind {
    pub fn as_str(self) -> &'static str {
        match self {
            RepoKind::Model => "model",
            RepoKind::Dataset => "dataset",
        }
    }

    pub fn parse(text: &str) -> Result<RepoKind, NameError> {
        match text {
            "model" | "models" => Ok(RepoKind::Model),
            "dataset" | "datasets" => Ok(RepoKind::Dataset),
            _ => Err(NameError::Kind),
        }
    }
}

impl fmt::Display for RepoKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a name has 1 to 96 characters from A-Z a-z 0-9 . _ - and starts with a letter or digit")]
    Grammar,
    #[error("a name may not hold '..' or '--', nor end in '.', '-', '.git' or '.lock'")]
    Sequence,
    #[error("'{0}' is reserved; choose another name")]
    Reserved(String),
    #[error("a repo is written 'name' or 'namespace/name'")]
    Shape,
    #[error("the kind of a repo is 'model' or 'dataset'")]
    Kind,
}

/// One part of a repo's name, or the name of a user or organisation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

/// Words our own routes use, and device names some file systems choke on.
const RESERVED: &[&str] = &[
    "api",
    "assets",
    "aux",
    "compare",
    "con",
    "dashboard",
    "datasets",
    "docs",
    "files",
    "finetune",
    "healthz",
    "hub",
    "jobs",
    "login",
    "logout",
    "lpt1",
    "metrics",
    "models",
    "new",
    "null",
    "nul",
    "oauth",
    "orgs",
    "prn",
    "readyz",
    "root",
    "search",
    "settings",
    "signup",
    "spaces",
    "static",
    "system",
    "tokens",
    "users",
    "v1",
    "v2",
    "xet",
];

impl Name {
    /// Checks the grammar. Reserved words are refused by [`Name::parse_owner`] only, since a model may well be
    /// called `search` but a namespace may not.
    pub fn parse(text: &str) -> Result<Name, NameError> {
        let bytes = text.as_bytes();
        let inside = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if bytes.is_empty() || bytes.len() > 96 || !bytes[0].is_ascii_alphanumeric() || !bytes.iter().all(inside) {
            return Err(NameError::Grammar);
        }
        let lower = text.to_ascii_lowercase();
        let bad_end = [".", "-", ".git", ".lock"].iter().any(|end| lower.ends_with(end));
        if text.contains("..") || text.contains("--") || bad_end {
            return Err(NameError::Sequence);
        }
        if ["con", "nul", "aux", "prn"].contains(&lower.as_str()) {
            return Err(NameError::Reserved(text.into()));
        }
        Ok(Name(text.into()))
    }

    /// A name that may own repos: the grammar, and not one of the words our routes use.
    pub fn parse_owner(text: &str) -> Result<Name, NameError> {
        let name = Name::parse(text)?;
        if RESERVED.contains(&name.folded().as_str()) {
            return Err(NameError::Reserved(text.into()));
        }
        Ok(name)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form names are unique on: lower case, with `.` and `_` read as `-`.
    pub fn folded(&self) -> String {
        self.0.chars().map(|c| if matches!(c, '.' | '_') { '-' } else { c.to_ascii_lowercase() }).collect()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `namespace/name`. `resnet50` alone means `library/resnet50`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepoId {
    namespace: Name,
    name: Name,
}

/// The namespace a bare name lives in.
pub const LIBRARY: &str = "library";

impl RepoId {
    pub fn parse(text: &str) -> Result<RepoId, NameError> {
        match text.split_once('/') {
            None => RepoId::from_parts(LIBRARY, text),
            Some((namespace, name)) => RepoId::from_parts(namespace, name),
        }
    }

    pub fn from_parts(namespace: &str, name: &str) -> Result<RepoId, NameError> {
        if namespace.contains('/') || name.contains('/') {
            return Err(NameError::Shape);
        }
        Ok(RepoId { namespace: Name::parse_owner(namespace)?, name: Name::parse(name)? })
    }

    pub fn namespace(&self) -> &Name {
        &self.namespace
    }

    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The form repos are unique on, within a kind.
    pub fn folded(&self) -> String {
        format!("{}/{}", self.namespace.folded(), self.name.folded())
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Serialize for RepoId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RepoId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RepoId, D::Error> {
        RepoId::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_lives_in_the_library() {
        assert_eq!(RepoId::parse("resnet50").unwrap().to_string(), "library/resnet50");
        assert_eq!(RepoId::parse("Acme/ResNet-50.v2").unwrap().to_string(), "Acme/ResNet-50.v2");
    }

    #[test]
    fn names_fold_on_case_and_separators() {
        let folded = |t: &str| RepoId::parse(t).unwrap().folded();
        assert_eq!(folded("Acme/a-b"), folded("acme/A_B"));
        assert_eq!(folded("Acme/a-b"), folded("ACME/a.b"));
    }

    #[test]
    fn hostile_names_are_refused() {
        let long = "a".repeat(97);
        for text in
            ["", ".", "..", "a/b/c", "-a", "a..b", "a--b", "a.git", "a.GIT", "a.", "mоdel", "a b", "a\0", "con", "../x", "a%2f", &long]
        {
            assert!(RepoId::parse(text).is_err(), "{text:?} was accepted");
        }
        for text in ["api/x", "Static/x", "datasets/x", "v1/x", "xet/x", "system/x", "new/x"] {
            assert!(matches!(RepoId::parse(text), Err(NameError::Reserved(_))), "{text:?} was accepted");
        }
    }
}
