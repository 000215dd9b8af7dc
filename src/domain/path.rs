//! A file's path inside a repo version: relative, forward slashes, the same on every file system.

use std::fmt;

use unicode_normalization::is_nfc;

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

impl RepoPath {
    pub fn parse(text: &str) -> Result<RepoPath, PathError> {
        match problem(text) {
            None => Ok(RepoPath(text.into())),
            Some(problem) => Err(PathError { path: text.chars().take(120).collect(), problem }),
        }
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

    /// The form two paths of one version must not share: some file systems ignore case.
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

fn problem(text: &str) -> Option<&'static str> {
    if text.is_empty() || text.len() > 512 {
        return Some("is empty or longer than 512 bytes");
    }
    if !is_nfc(text) {
        return Some("is not in Unicode's composed form (NFC)");
    }
    if text.starts_with('/') || text.contains('\\') || text.contains(':') {
        return Some("is absolute or holds '\\' or ':'");
    }
    if holds_unseen(text) {
        return Some("holds control, bidirectional or invisible characters");
    }
    if text.split('/').count() > 16 {
        return Some("is more than 16 folders deep");
    }
    text.split('/').find_map(segment_problem)
}

fn segment_problem(segment: &str) -> Option<&'static str> {
    if segment.is_empty() || segment == "." || segment == ".." {
        return Some("holds an empty, '.' or '..' part");
    }
    if segment.starts_with(' ') || segment.ends_with([' ', '.']) {
        return Some("has a part that starts with a space or ends in a space or dot");
    }
    if segment.eq_ignore_ascii_case(".git") {
        return Some("holds a '.git' folder");
    }
    let stem = segment.split('.').next().unwrap_or(segment).to_ascii_lowercase();
    if ["con", "nul", "aux", "prn"].contains(&stem.as_str()) {
        return Some("uses a device name that some systems cannot store");
    }
    None
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

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_pass() {
        for text in ["model.safetensors", ".gitattributes", "a/b/c.txt", "données/été.png", "a b/c+d#e.txt"] {
            assert!(RepoPath::parse(text).is_ok(), "{text}");
        }
        assert_eq!(RepoPath::parse("a/B.TXT").unwrap().extension(), "txt");
    }

    #[test]
    fn what_nobody_sees_is_no_part_of_a_path() {
        for c in [
            '\u{ad}',
            '\u{61c}',
            '\u{180e}',
            '\u{200d}',
            '\u{2028}',
            '\u{2029}',
            '\u{206a}',
            '\u{206f}',
            '\u{feff}',
            '\u{fff9}',
            '\u{e0041}',
        ] {
            assert!(invisible(c) && RepoPath::parse(&format!("a{c}b")).is_err(), "{c:?} was accepted");
        }
        assert!(!['a', ' ', '\u{a0}', 'é', '猫', '\u{2026}', '\u{2070}'].into_iter().any(invisible));
    }

    #[test]
    fn joiners_are_taken_where_they_join() {
        for text in ["می\u{200c}خواهم/1.png", "ශ\u{dca}\u{200d}රී/1.png", "👨\u{200d}👩\u{200d}👧.png", "❤\u{fe0f}\u{200d}🔥"]
        {
            assert!(RepoPath::parse(text).is_ok(), "{text:?}");
        }
        for text in ["pay\u{200d}pal", "а\u{200c}b", "\u{200d}گل", "گل\u{200c}", "گ\u{200c}\u{200c}ل", "گ\u{200b}ل", "گ\u{200e}ل"]
        {
            assert!(RepoPath::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn hostile_paths_are_refused() {
        let deep = vec!["a"; 17].join("/");
        let long = "a".repeat(513);
        for text in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "./a",
            "C:\\x",
            "c:x",
            "a\\b",
            "a\0",
            "a\nb",
            "a\u{202e}b",
            ".git/config",
            "x/.GIT/y",
            "a./b",
            " a",
            "a ",
            "nul.txt",
            "e\u{301}.png",
            &deep,
            &long,
        ] {
            assert!(RepoPath::parse(text).is_err(), "{text:?} was accepted");
        }
    }
}
