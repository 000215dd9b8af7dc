//! `.gitignore`: which files a person keeps to themselves.

use std::collections::HashMap;

use super::glob::{Glob, Parts, Steps, TooMuchWork};

/// More than this is no list a person wrote.
const MOST_RULES: usize = 1_000;
const LONGEST_RULE: usize = 512;

/// The rules of a `.gitignore`, in order; the last that fits decides.
#[derive(Debug, Default)]
pub struct IgnoreRules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    glob: Glob,
    /// `!pattern` takes back what an earlier rule says.
    keeps: bool,
    only_folders: bool,
}

/// Many paths are asked about with the same rules: what was said of their folders is said once.
#[derive(Debug)]
pub struct Asked<'a> {
    rules: &'a IgnoreRules,
    folders: HashMap<&'a str, bool>,
}

impl IgnoreRules {
    /// Lines that cannot be read say nothing, as in git.
    pub fn parse(text: &str) -> IgnoreRules {
        IgnoreRules(text.lines().filter_map(rule).take(MOST_RULES).collect())
    }

    /// Has a text more rules than are read?
    pub fn has_too_many(text: &str) -> bool {
        text.lines().filter(|line| !line.trim_end().is_empty() && !line.starts_with('#')).nth(MOST_RULES).is_some()
    }

    pub fn ask(&self) -> Asked<'_> {
        Asked { rules: self, folders: HashMap::new() }
    }

    /// A file in an ignored folder is ignored, whatever else is said about it.
    pub fn ignores(&self, path: &str) -> bool {
        self.without_limit(path, false)
    }

    /// Is the folder itself ignored, with all that is in it?
    pub fn ignores_folder(&self, path: &str) -> bool {
        let parts = Parts::of(path);
        self.says(&parts, parts.count(), true, &mut Steps::new(u64::MAX)).unwrap_or_default()
    }

    /// For a folder's own rules, on the machine of whoever wrote them.
    fn without_limit(&self, path: &str, is_folder: bool) -> bool {
        let (parts, mut steps) = (Parts::of(path), Steps::new(u64::MAX));
        let mut said = |count: usize| self.says(&parts, count, is_folder || count < parts.count(), &mut steps).unwrap_or_default();
        (1..=parts.count()).any(&mut said)
    }

    fn says(&self, path: &Parts, count: usize, is_folder: bool, steps: &mut Steps) -> Result<bool, TooMuchWork> {
        for rule in self.0.iter().rev().filter(|rule| is_folder || !rule.only_folders) {
            if rule.glob.fits(path, count, steps)? {
                return Ok(!rule.keeps);
            }
        }
        Ok(false)
    }
}

impl<'a> Asked<'a> {
    /// As [`IgnoreRules::ignores`], within `steps`.
    pub fn ignores(&mut self, path: &'a str, steps: &mut Steps) -> Result<bool, TooMuchWork> {
        let parts = Parts::of(path);
        for (before, (at, _)) in path.match_indices('/').enumerate() {
            let folder = &path[..at];
            let said = match self.folders.get(folder) {
                Some(said) => *said,
                None => {
                    let said = self.rules.says(&parts, before + 1, true, steps)?;
                    self.folders.insert(folder, said);
                    said
                }
            };
            if said {
                return Ok(true);
            }
        }
        self.rules.says(&parts, parts.count(), false, steps)
    }
}

fn rule(line: &str) -> Option<Rule> {
    let line = line.trim_end();
    if line.is_empty() || line.starts_with('#') || line.len() > LONGEST_RULE {
        return None;
    }
    let (keeps, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
    let (only_folders, line) = line.strip_suffix('/').map_or((false, line), |rest| (true, rest));
    Some(Rule { glob: Glob::parse(line)?, keeps, only_folders })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_as_git_reads_them() {
        let text = "# notes\n*.log\n!keep.log\n/build\ncache/\ndocs/*.txt\n**/deep/x\n\\#odd\n[broken\n";
        let rules = IgnoreRules::parse(text);
        let (mut asked, mut steps) = (rules.ask(), Steps::new(10_000));
        for ignored in ["a.log", "a/b.log", "build", "build/x/y", "a/cache/x", "docs/a.txt", "a/deep/x", "#odd", "cache/keep.log"] {
            assert!(rules.ignores(ignored), "{ignored}");
            assert_eq!(asked.ignores(ignored, &mut steps), Ok(true), "{ignored}");
        }
        for kept in ["keep.log", "a/keep.log", "a/build", "cache", "docs/a/b.txt", "deep/y", "notes", "README.md"] {
            assert!(!rules.ignores(kept), "{kept}");
            assert_eq!(asked.ignores(kept, &mut steps), Ok(false), "{kept}");
        }
        assert!(!IgnoreRules::default().ignores("x"));
        assert!(rules.ignores_folder("cache") && !rules.ignores_folder("docs"));
    }

    #[test]
    fn ten_thousand_deep_paths_and_a_thousand_rules_are_a_bounded_product() {
        let deep: Vec<String> = (0..10_000).map(|n| format!("a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/{n}.bin")).collect();
        let cost = |rules: &str, paths: &[String]| {
            let (rules, mut steps) = (IgnoreRules::parse(rules), Steps::new(Steps::OF_A_REQUEST));
            let mut asked = rules.ask();
            paths.iter().try_for_each(|path| asked.ignores(path, &mut steps).map(drop)).map(|()| Steps::OF_A_REQUEST - steps.left())
        };
        let plain: String = (0..1_000).map(|n| format!("x{n}\n")).collect();
        let spent = cost(&plain, &deep).unwrap();
        assert!((10_000_000..11_000_000).contains(&spent), "folders are asked about once: {spent}");
        let hostile: String = (0..1_000).map(|n| "*a".repeat(100) + &n.to_string() + "\n").collect();
        let named: Vec<String> = (0..10_000).map(|n| "a".repeat(240) + &n.to_string()).collect();
        assert_eq!(cost(&hostile, &named), Err(TooMuchWork));
        assert!(IgnoreRules::has_too_many(&(plain.clone() + "y\n")) && !IgnoreRules::has_too_many(&plain));
    }
}
