//! `.gitignore`: which files a person keeps to themselves.

use globset::{GlobBuilder, GlobMatcher};

/// More than this is no list a person wrote.
const MOST_RULES: usize = 1_000;
const LONGEST_RULE: usize = 512;

/// The rules of a `.gitignore`, in order; the last that fits decides.
#[derive(Debug, Default)]
pub struct IgnoreRules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    glob: GlobMatcher,
    /// `!pattern` takes back what an earlier rule says.
    keeps: bool,
    only_folders: bool,
}

impl IgnoreRules {
    /// Lines that cannot be read say nothing, as in git.
    pub fn parse(text: &str) -> IgnoreRules {
        IgnoreRules(text.lines().filter_map(rule).take(MOST_RULES).collect())
    }

    /// A file in an ignored folder is ignored, whatever else is said about it.
    pub fn ignores(&self, path: &str) -> bool {
        let folders = path.match_indices('/').map(|(at, _)| (&path[..at], true));
        folders.chain([(path, false)]).any(|(path, is_folder)| self.says(path, is_folder))
    }

    /// Is the folder itself ignored, with all that is in it?
    pub fn ignores_folder(&self, path: &str) -> bool {
        self.says(path, true)
    }

    fn says(&self, path: &str, is_folder: bool) -> bool {
        let fits = |rule: &&Rule| (is_folder || !rule.only_folders) && rule.glob.is_match(path);
        self.0.iter().rev().find(fits).is_some_and(|rule| !rule.keeps)
    }
}

fn rule(line: &str) -> Option<Rule> {
    let line = line.trim_end();
    if line.is_empty() || line.starts_with('#') || line.len() > LONGEST_RULE {
        return None;
    }
    let (keeps, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
    let (only_folders, line) = line.strip_suffix('/').map_or((false, line), |rest| (true, rest));
    // A pattern with a slash in it counts from the top, any other fits at every depth.
    let pattern = if line.contains('/') { line.trim_start_matches('/').to_owned() } else { format!("**/{line}") };
    let glob = GlobBuilder::new(&pattern).literal_separator(true).backslash_escape(true).build().ok()?;
    Some(Rule { glob: glob.compile_matcher(), keeps, only_folders })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_as_git_reads_them() {
        let text = "# notes\n*.log\n!keep.log\n/build\ncache/\ndocs/*.txt\n**/deep/x\n\\#odd\n[broken\n";
        let rules = IgnoreRules::parse(text);
        for ignored in ["a.log", "a/b.log", "build", "build/x/y", "a/cache/x", "docs/a.txt", "a/deep/x", "#odd", "cache/keep.log"] {
            assert!(rules.ignores(ignored), "{ignored}");
        }
        for kept in ["keep.log", "a/keep.log", "a/build", "cache", "docs/a/b.txt", "deep/y", "notes", "README.md"] {
            assert!(!rules.ignores(kept), "{kept}");
        }
        assert!(!IgnoreRules::default().ignores("x"));
    }
}
