//! What of a version some file systems cannot hold, or not beside each other: no reason to refuse it, but one to say so.

use std::collections::HashMap;

use super::path::{RepoPath, composed, holds_unseen, invisible};

/// Names given in one warning; the others are counted.
const MOST_NAMED: usize = 3;

/// Device names of Windows, with any extension.
const DEVICES: &[&str] = &["con", "nul", "aux", "prn", "conin$", "conout$"];

/// Numbers of its ports.
const PORTS: &[&str] = &["1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³"];

/// What whoever publishes or fetches these files should know; grouped, so that a thousand names are one line.
pub fn warnings<'a>(paths: impl Iterator<Item = &'a RepoPath> + Clone) -> Vec<String> {
    let windows: Vec<&str> = paths.clone().filter(|path| !fits_windows(path)).map(RepoPath::as_str).collect();
    let unseen: Vec<&str> = paths.clone().map(RepoPath::as_str).filter(|path| holds_unseen(path)).collect();
    let groups = meeting(paths);
    let meet: Vec<&str> = groups.iter().flat_map(|group| group.iter().map(|path| path.as_str())).collect();
    let lines = [
        (
            windows,
            "cannot be written on Windows (its name has ':', '\\', '*', '?', '\"', '<', '>' or '|', ends in a space or dot, or is a device's)",
        ),
        (unseen, "has characters in its name that nobody sees"),
        (
            meet,
            "differs from another name only in case or in how letters are composed: where that is ignored (macOS, Windows), one of them stays out",
        ),
    ];
    lines.into_iter().filter(|(names, _)| !names.is_empty()).map(|(names, what)| format!("{} {what}", named(&names))).collect()
}

/// The groups of paths that are one file where case and composition are ignored; each has two or more.
pub fn meeting<'a>(paths: impl Iterator<Item = &'a RepoPath>) -> Vec<Vec<&'a RepoPath>> {
    let mut groups: HashMap<String, Vec<&RepoPath>> = HashMap::new();
    for path in paths {
        groups.entry(path.folded()).or_default().push(path);
    }
    let mut groups: Vec<_> = groups.into_values().filter(|group| group.len() > 1).collect();
    groups.sort();
    groups
}

/// Could Windows store it under this name?
fn fits_windows(path: &RepoPath) -> bool {
    path.as_str().split('/').all(|part| {
        let stem = part.split('.').next().unwrap_or(part).trim_end().to_ascii_lowercase();
        let port = ["com", "lpt"].iter().filter_map(|port| stem.strip_prefix(port)).any(|number| PORTS.contains(&number));
        let device = port || DEVICES.contains(&stem.as_str());
        !(device || part.ends_with([' ', '.']) || part.contains(['\\', ':', '*', '?', '"', '<', '>', '|']))
    })
}

/// `'a', 'b', 'c' and 7 more`, as they look in a list: composed, and without what nobody sees.
pub fn named(names: &[&str]) -> String {
    let shown = |name: &&str| format!("'{}'", composed(name).chars().filter(|c| !invisible(*c)).collect::<String>());
    let some: Vec<String> = names.iter().take(MOST_NAMED).map(shown).collect();
    match names.len().saturating_sub(MOST_NAMED) {
        0 => some.join(", "),
        more => format!("{} and {more} more", some.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Vec<String> {
        let paths: Vec<RepoPath> = names.iter().map(|name| RepoPath::parse(name).unwrap()).collect();
        warnings(paths.iter())
    }

    #[test]
    fn each_kind_is_said_once_and_by_name() {
        assert!(of(&["a", "b/c.txt", "é", "e\u{301}x", ".x", "console", "com10", "a.b c"]).is_empty());
        for odd in ["12:00", "a\\b", "a?", "x/aux.c", "COM1.txt", "com¹.x", "lpt9", "a ", "b./c", "nul", "a|b", "conin$"] {
            let said = of(&["fine", odd]);
            assert!(said.len() == 1 && said[0].starts_with(&format!("'{odd}' cannot be written on Windows")), "{said:?}");
        }
        let many: Vec<String> = (0..9).map(|hour| format!("0{hour}:00")).collect();
        let said = of(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(said.len() == 1 && said[0].starts_with("'00:00', '01:00', '02:00' and 6 more cannot"), "{said:?}");
        let said = of(&["Notes.txt", "notes.txt", "caf\u{e9}", "cafe\u{301}", "other"]);
        assert!(
            said.len() == 1
                && said[0].starts_with("'Notes.txt', 'notes.txt', 'caf\u{e9}' and 1 more differs from another name only in case"),
            "{said:?}"
        );
        let said = of(&["a\u{200d}b"]);
        assert_eq!(said, ["'ab' has characters in its name that nobody sees"]);
    }
}
