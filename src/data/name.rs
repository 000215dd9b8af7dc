//! Which entry paths and class names are taken. One rule for archives, folders and versions, so that no reader downstream
//! ever meets a name that means something else on another system or on a terminal.

use unicode_normalization::UnicodeNormalization;

use crate::domain::path::{holds_unseen, invisible};

const MAX_PATH_BYTES: usize = 512;
const MAX_SEGMENTS: usize = 16;
const MAX_CLASS_CHARS: usize = 100;

/// Checks the raw name of an entry and gives it in NFC, without a leading `./` or a trailing slash.
/// The empty string means the root itself (`./` in a tar), which is no entry.
pub fn entry_path(raw: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(raw).map_err(|_| "it is not UTF-8")?;
    let mut text = text;
    while let Some(rest) = text.strip_prefix("./") {
        text = rest;
    }
    if text == "." {
        text = "";
    }
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.is_empty() && raw.starts_with(b"/") {
        return Err("it is absolute");
    }
    let path: String = text.nfc().collect();
    if path.len() > MAX_PATH_BYTES {
        return Err("it is longer than 512 bytes");
    }
    if path.starts_with('/') {
        return Err("it is absolute");
    }
    if path.contains('\\') {
        return Err("it has a backslash, which divides folders only in zips made on Windows");
    }
    if holds_unseen(&path) {
        return Err("it has control, invisible or direction-changing characters");
    }
    if path.is_empty() {
        return Ok(path);
    }
    let segments: Vec<&str> = path.split('/').collect();
    if segments.len() > MAX_SEGMENTS {
        return Err("it has more than 16 folders");
    }
    if has_drive_letter(segments[0]) {
        return Err("it starts with a drive letter");
    }
    for segment in segments {
        check_segment(segment)?;
    }
    Ok(path)
}

fn check_segment(segment: &str) -> Result<(), &'static str> {
    match segment {
        "" => Err("it has an empty folder name"),
        "." | ".." => Err("it points outside its folder"),
        _ if segment.trim().is_empty() => Err("a folder's name is a space"),
        _ => Ok(()),
    }
}

fn has_drive_letter(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    bytes.len() >= 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':'
}

/// What is written for a class, in the one form in which classes are compared: composed (NFC), with plain spaces, none around it.
pub fn class_text(text: &str) -> String {
    let plain = |c: char| if c.is_whitespace() && !c.is_control() { ' ' } else { c };
    text.nfc().map(plain).collect::<String>().trim().to_owned()
}

/// Class names end up on pages, in JSON and in `config.json`: short, visible, on one line.
pub fn class_name(name: &str) -> Result<(), &'static str> {
    if name.trim().is_empty() {
        return Err("it is empty");
    }
    if name.chars().count() > MAX_CLASS_CHARS {
        return Err("it is longer than 100 characters");
    }
    if holds_unseen(name) {
        return Err("it has control, invisible or direction-changing characters");
    }
    Ok(())
}

/// What two names must not share: the form a disk that ignores case would keep.
pub fn folded(path: &str) -> String {
    path.to_lowercase()
}

/// A raw name made fit to be shown: lossy UTF-8, escaped, at most 200 characters.
pub fn shown(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let mut out = String::new();
    for c in text.chars().take(200) {
        if invisible(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// What follows the last dot of a file's name, in lower case.
pub fn extension(path: &str) -> Option<String> {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.rsplit_once('.').map(|(_, ext)| ext.to_ascii_lowercase())
}

/// Whether the ending is that of some archive; the content decides.
pub fn is_archive(path: &str) -> bool {
    const PACKED: &[&str] =
        &["zip", "tar", "gz", "tgz", "zst", "tzst", "bz2", "tbz2", "tbz", "xz", "txz", "7z", "rar", "lz4", "jar", "cab", "iso"];
    extension(path).is_some_and(|ext| PACKED.contains(&ext.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_or_lie_are_refused() {
        for bad in [
            "../x",
            "a/../x",
            "a/..",
            "/etc/passwd",
            "/",
            "//x",
            "a//b",
            "C:/x",
            "c:x",
            "a\\b",
            "..\\x",
            "a/./b",
            "a\nb",
            "a\u{1b}[2J",
            "a\u{202e}gpj.exe",
            "a\u{200b}b",
            "a\0b",
            " /b",
            "a/\u{a0}",
        ] {
            assert!(entry_path(bad.as_bytes()).is_err(), "{bad:?} was taken");
        }
        assert!(entry_path(b"caf\xe9.png").is_err());
        assert!(entry_path("x/".repeat(17).as_bytes()).is_err());
        assert!(entry_path("x".repeat(513).as_bytes()).is_err());
    }

    #[test]
    fn plain_paths_are_taken_in_one_form() {
        assert_eq!(entry_path(b"./train/cat/1.png"), Ok("train/cat/1.png".into()));
        assert_eq!(entry_path(b"train/cat/"), Ok("train/cat".into()));
        assert_eq!(entry_path(b"./"), Ok(String::new()));
        assert_eq!(entry_path("cafe\u{301}/1.png".as_bytes()), Ok("caf\u{e9}/1.png".into()));
        assert_eq!(entry_path("猫/写真 1.png".as_bytes()), Ok("猫/写真 1.png".into()));
        for taken in ["Ficus sp./1.png", "a /b", " a/b", "می\u{200c}خواهم/1.png"] {
            assert_eq!(entry_path(taken.as_bytes()), Ok(taken.into()));
        }
    }

    #[test]
    fn classes_are_compared_in_one_form() {
        assert_eq!(class_text("cafe\u{301}"), "caf\u{e9}");
        assert_eq!(class_text(" big\u{a0}cat\u{3000}"), "big cat");
        assert_eq!(class_text("Ficus sp."), "Ficus sp.");
        assert!(class_name(&class_text("a\tb")).is_err() && class_name("👨\u{200d}👩\u{200d}👧").is_ok());
    }

    #[test]
    fn names_are_shown_without_their_tricks() {
        assert_eq!(shown(b"a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\u{a}");
        assert_eq!(shown("x\u{202e}y".as_bytes()), "x\\u{202e}y");
    }
}
