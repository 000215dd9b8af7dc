//! A file's path inside a repo version: relative, with forward slashes, kept byte for byte as it was given.
//!
//! One rule for all ways in and out (publish, every dialect, mirrors, reading): a path is refused only where writing or
//! showing it would be unsafe. What merely cannot be stored everywhere is taken, and [`super::portable`] says so.

use std::borrow::Cow;
use std::fmt;

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// A path such as `weights/model.safetensors`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepoPath(String);

/// Why a path was refused; the text names the path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the path {path:?} {problem}; rename the file")]
pub struct PathError {
    pub path: String,
    pub problem: &'static str,
}

const LONGEST_BYTES: usize = 1_024;
/// No common file system stores a longer name.
const LONGEST_PART_BYTES: usize = 255;
const DEEPEST: usize = 64;

impl RepoPath {
    pub fn parse(text: &str) -> Result<RepoPath, PathError> {
        match problem(text) {
            None => Ok(RepoPath(text.into())),
            Some(problem) => Err(PathError { path: text.chars().take(120).collect(), problem }),
        }
    }

    /// What comes before all paths; no path itself.
    pub(crate) fn first() -> RepoPath {
        RepoPath(String::new())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Lower-case extension without the dot, or "".
    pub fn extension(&self) -> String {
        self.file_name().rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase()).unwrap_or_default()
    }

    /// The form in which paths are the same file to file systems that ignore case and the way letters are composed.
    pub fn folded(&self) -> String {
        composed(&self.0).to_lowercase()
    }
}

/// A path in Unicode's composed form (NFC): two that are equal in it look the same, and either finds the other.
pub fn composed(path: &str) -> Cow<'_, str> {
    if is_nfc(path) { Cow::Borrowed(path) } else { Cow::Owned(path.nfc().collect()) }
}

fn problem(text: &str) -> Option<&'static str> {
    if text.is_empty() || text.len() > LONGEST_BYTES {
        return Some("is empty or longer than 1,024 bytes");
    }
    if text.starts_with('/') || is_drive(text) {
        return Some("is absolute");
    }
    if text.chars().any(|c| c.is_control() || turns(c)) {
        return Some("holds control characters, or characters that turn the direction of writing");
    }
    if text.split('/').count() > DEEPEST {
        return Some("is more than 64 folders deep");
    }
    if text.split('/').any(|part| part.len() > LONGEST_PART_BYTES) {
        return Some("has a part of more than 255 bytes");
    }
    // To some systems a backslash is a slash.
    text.split(['/', '\\']).find_map(part_problem)
}

/// `C:` at the beginning is another disk to some systems.
fn is_drive(text: &str) -> bool {
    matches!(text.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

fn part_problem(part: &str) -> Option<&'static str> {
    // Some systems drop dots and spaces at the end, what nobody sees, or what follows a colon.
    let seen: String = part.chars().filter(|c| !invisible(*c)).collect();
    let before = seen.split(':').next().unwrap_or_default();
    let stem = before.trim_end_matches([' ', '.']);
    if stem.trim_start().is_empty() && !(before.is_empty() && seen.starts_with(':')) {
        return Some("holds an empty part, or one of dots only ('.', '..')");
    }
    if stem.eq_ignore_ascii_case(".git") || stem.eq_ignore_ascii_case("git~1") {
        return Some("holds a '.git' folder");
    }
    None
}

/// Overrides, embeddings and isolates of the direction of writing, and separators that end a line: they make a list of
/// names show others than it holds.
fn turns(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Controls, characters that turn the direction of writing and characters of no width: they make a name look like
/// another one. The one list of them: for paths, names in archives, classes, tensors, and what goes to a terminal.
pub fn invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether a name holds what nobody sees. Joiners (U+200C, U+200D) are part of the spelling of many languages, and of emoji: they
/// are taken between two characters that they can join, and nowhere else.
pub fn holds_unseen(name: &str) -> bool {
    let chars: Vec<char> = name.chars().collect();
    let around = |at: usize| Some((*chars.get(at.checked_sub(1)?)?, *chars.get(at + 1)?));
    let joins = |at: usize| matches!(chars[at], '\u{200c}' | '\u{200d}') && around(at).is_some_and(|(a, b)| is_joined(a) && is_joined(b));
    chars.iter().enumerate().any(|(at, c)| invisible(*c) && !joins(at))
}

/// Letters and marks of the scripts that are written with joiners (Arabic to Myanmar, Khmer, Mongolian and their later blocks), and
/// what emoji are made of.
fn is_joined(c: char) -> bool {
    let scripts = matches!(c, '\u{620}'..='\u{109f}' | '\u{1780}'..='\u{18aa}' | '\u{1900}'..='\u{1cff}' | '\u{a800}'..='\u{abff}'
        | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}' | '\u{10a00}'..='\u{11fff}' | '\u{1e900}'..='\u{1e95f}');
    let emoji = matches!(c, '\u{2190}'..='\u{2bff}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}');
    (scripts || emoji) && !invisible(c)
}

/// Ordered as its text is.
impl std::borrow::Borrow<str> for RepoPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hubs_really_hold_passes_and_keeps_its_bytes() {
        let deep = vec!["a"; 64].join("/");
        for text in [
            "model.safetensors",
            ".gitattributes",
            ".github/workflows/x.yml",
            "a/b/c.txt",
            "données/été.png",
            "a b/c+d#e.txt",
            "audio/2021-03-01T12:00:00.txt",
            "e\u{301}.png",
            "می\u{200c}خواهم.txt",
            "👩\u{200d}🔬.png",
            "ends with a space ",
            " begins with one",
            "dots at the end..",
            "...a",
            "nul.txt",
            "com1",
            "a?b*c\"d<e>f|g",
            "sub\\file.txt",
            ":",
            &deep,
        ] {
            assert_eq!(RepoPath::parse(text).map(|path| path.to_string()).as_deref(), Ok(text));
        }
        assert_eq!(RepoPath::parse("a/B.TXT").unwrap().extension(), "txt");
    }

    #[test]
    fn joiners_are_taken_where_they_join() {
        for text in ["می\u{200c}خواهم/1.png", "ශ\u{dca}\u{200d}රී/1.png", "👨\u{200d}👩\u{200d}👧.png", "❤\u{fe0f}\u{200d}🔥"]
        {
            assert!(!holds_unseen(text), "{text:?}");
        }
        for text in ["pay\u{200d}pal", "а\u{200c}b", "\u{200d}گل", "گل\u{200c}", "گ\u{200c}\u{200c}ل", "گ\u{200b}ل", "گ\u{200e}ل"]
        {
            assert!(holds_unseen(text), "{text:?}");
        }
    }

    #[test]
    fn unsafe_paths_are_refused() {
        let (deep, long, part) = (vec!["a"; 65].join("/"), vec!["aaa"; 300].join("/"), "a".repeat(256));
        for text in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "./a",
            "a/.",
            "a/",
            "C:\\x",
            "c:x",
            "C:/x",
            "..\\x",
            "a\\..\\b",
            "\\\\server\\share",
            "a\\",
            "a\0",
            "a\nb",
            "a\u{7f}b",
            "a\u{85}b",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{2028}b",
            "...",
            ".. /x",
            "a/. ./b",
            ". .",
            "a/\u{200d}/b",
            ".\u{200d}./x",
            ".git/config",
            "x/.GIT/y",
            ".git./config",
            ".git /config",
            ".g\u{200c}it/config",
            ".git::$INDEX_ALLOCATION/config",
            "git~1/config",
            "..:x/y",
            "a\\.git\\config",
            &deep,
            &long,
            &part,
        ] {
            assert!(RepoPath::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn both_forms_of_a_name_are_one() {
        let (nfc, nfd) = ("caf\u{e9}.txt", "cafe\u{301}.txt");
        assert!(composed(nfc) == composed(nfd) && composed(nfc) != composed("cafe.txt"));
        assert_eq!(RepoPath::parse("E\u{301}").unwrap().folded(), RepoPath::parse("\u{e9}").unwrap().folded());
    }

    #[test]
    fn what_nobody_sees_is_known() {
        for c in ['\u{ad}', '\u{61c}', '\u{180e}', '\u{200d}', '\u{2028}', '\u{206a}', '\u{feff}', '\u{fff9}', '\u{e0041}'] {
            assert!(invisible(c), "{c:?}");
        }
        assert!(!['a', ' ', '\u{a0}', 'é', '猫', '\u{2026}', '\u{2070}'].into_iter().any(invisible));
    }
}
