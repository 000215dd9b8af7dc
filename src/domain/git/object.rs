//! Objects: what they are called, and how a commit is written.

use std::fmt;

use sha1::{Digest as _, Sha1};

/// The name of an object: SHA-1 over its head and its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId([u8; 20]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    Commit,
    Tree,
    Blob,
}

impl ObjectKind {
    fn word(self) -> &'static str {
        match self {
            ObjectKind::Commit => "commit",
            ObjectKind::Tree => "tree",
            ObjectKind::Blob => "blob",
        }
    }
}

impl ObjectId {
    /// What git writes where there is no object.
    pub const NONE: ObjectId = ObjectId([0; 20]);

    /// 40 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<ObjectId> {
        let mut bytes = [0; 20];
        let lower = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(ObjectId(bytes))
    }

    pub fn of(kind: ObjectKind, bytes: &[u8]) -> ObjectId {
        let mut hash = Sha1::new_with_prefix(format!("{} {}\0", kind.word(), bytes.len()));
        hash.update(bytes);
        ObjectId(hash.finalize().into())
    }

    pub fn from_bytes(bytes: [u8; 20]) -> ObjectId {
        ObjectId(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({self})")
    }
}

/// What a commit says.
#[derive(Debug, Clone, Copy)]
pub struct CommitWords<'a> {
    pub tree: ObjectId,
    pub parent: Option<ObjectId>,
    pub author: &'a str,
    pub seconds: i64,
    /// The version's; a header of its own, so that no two versions are the same commit and a person finds one by the other.
    pub number: u32,
    pub message: &'a str,
}

impl fmt::Display for CommitWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Git has no escapes for these; an address nobody can write to stands for the one we do not tell.
        let name: String = self.author.chars().map(|c| if c.is_control() || "<>".contains(c) { ' ' } else { c }).collect();
        let name = if name.trim().is_empty() { "hub" } else { name.trim() };
        let person = format!("{name} <{}@users.noreply.invalid> {} +0000", name.replace(' ', "."), self.seconds.max(0));
        writeln!(f, "tree {}", self.tree)?;
        if let Some(parent) = self.parent {
            writeln!(f, "parent {parent}")?;
        }
        let message = self.message.trim_end_matches('\n');
        write!(f, "author {person}\ncommitter {person}\nhub-version {}\n\n", self.number)?;
        match message.is_empty() {
            true => writeln!(f, "Version {}", self.number),
            false => writeln!(f, "{message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_called_as_git_calls_them() {
        // `git hash-object`
        assert_eq!(ObjectId::of(ObjectKind::Blob, b"").to_string(), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(ObjectId::of(ObjectKind::Blob, b"hello\n").to_string(), "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(ObjectId::of(ObjectKind::Tree, b"").to_string(), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
        let id = ObjectId::of(ObjectKind::Blob, b"x");
        assert_eq!(ObjectId::parse(&id.to_string()), Some(id));
        for bad in ["", "E69DE29BB2D1D6434B8B29AE775AD8C2E48C5391", "e69de29", &"0".repeat(42), &"g".repeat(40)] {
            assert_eq!(ObjectId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_commit_says_who_when_and_what() {
        let words = CommitWords { tree: ObjectId::NONE, parent: None, author: "ada", seconds: 7, number: 3, message: "one\n\ntwo" };
        let zero = "0".repeat(40);
        let person = "ada <ada@users.noreply.invalid> 7 +0000";
        assert_eq!(words.to_string(), format!("tree {zero}\nauthor {person}\ncommitter {person}\nhub-version 3\n\none\n\ntwo\n"));
        let odd = CommitWords { parent: Some(ObjectId::NONE), author: "a <b>\nx", seconds: -5, message: "", ..words }.to_string();
        assert!(odd.contains(&format!("\nparent {zero}\nauthor a  b  x <a..b..x@users.noreply.invalid> 0 +0000\n")), "{odd}");
        assert!(odd.ends_with("\n\nVersion 3\n"), "{odd}");
    }
}
