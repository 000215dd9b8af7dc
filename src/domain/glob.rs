//! Patterns as `.gitignore` and `.gitattributes` write them, matched with counted steps.
//!
//! Both lists are the caller's to write, and so are the paths: a set of compiled patterns has no bound on what one look costs, or
//! on the memory it is compiled into. Here a step is one comparison, and whoever asks says how many they are good for.

/// What is left of the steps one request may cost.
#[derive(Debug)]
pub struct Steps(u64);

/// The steps were used up before the question was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rules and the paths together are too much work")]
pub struct TooMuchWork;

impl Steps {
    /// Some tenths of a second of work.
    pub const OF_A_REQUEST: u64 = 50_000_000;

    pub fn new(steps: u64) -> Steps {
        Steps(steps)
    }

    pub fn left(&self) -> u64 {
        self.0
    }

    fn take(&mut self) -> Result<(), TooMuchWork> {
        self.0 = self.0.checked_sub(1).ok_or(TooMuchWork)?;
        Ok(())
    }
}

/// A pattern for paths with forward slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    parts: Vec<Part>,
    /// It has no slash in it: it fits the last part of a path, at every depth.
    floats: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `**`: folders, any number of them.
    Folders,
    Name(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    One(char),
    /// `?`
    Any,
    /// `*`
    Many,
    Class {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
}

/// A path taken apart, to be tried with many patterns.
#[derive(Debug)]
pub struct Parts(Vec<Vec<char>>);

impl Parts {
    pub fn of(path: &str) -> Parts {
        Parts(path.split('/').map(|part| part.chars().collect()).collect())
    }

    /// The first so many of them: a folder on the way.
    fn first(&self, count: usize) -> &[Vec<char>] {
        &self.0[..count.min(self.0.len())]
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl Glob {
    /// None: it cannot be read. A pattern with a slash in it counts from the top.
    pub fn parse(text: &str) -> Option<Glob> {
        let floats = !text.contains('/');
        let mut parts = Vec::new();
        for part in text.trim_start_matches('/').split('/') {
            match part {
                "**" if parts.last() == Some(&Part::Folders) => {}
                "**" => parts.push(Part::Folders),
                part => parts.push(Part::Name(tokens(part)?)),
            }
        }
        // What is in a folder, never the folder itself.
        if text.ends_with("/**") {
            parts.push(Part::Name(vec![Token::Many]));
        }
        Some(Glob { parts, floats })
    }

    /// Does it fit the path of the first `count` parts?
    pub fn fits(&self, path: &Parts, count: usize, steps: &mut Steps) -> Result<bool, TooMuchWork> {
        let names = path.first(count);
        match (self.floats, self.parts.as_slice(), names.last()) {
            (true, [Part::Name(tokens)], Some(name)) => name_fits(tokens, name, steps),
            _ => parts_fit(&self.parts, names, steps),
        }
    }
}

/// The last `**` takes as many folders as it must: what came before it need not be tried again.
fn parts_fit(pattern: &[Part], names: &[Vec<char>], steps: &mut Steps) -> Result<bool, TooMuchWork> {
    let (mut at, mut name, mut again) = (0, 0, None);
    loop {
        steps.take()?;
        match pattern.get(at) {
            None if name == names.len() => return Ok(true),
            Some(Part::Folders) => {
                (at, again) = (at + 1, Some((at + 1, name)));
                continue;
            }
            Some(Part::Name(tokens)) if name < names.len() && name_fits(tokens, &names[name], steps)? => {
                (at, name) = (at + 1, name + 1);
                continue;
            }
            _ => {}
        }
        match again {
            Some((back, from)) if from < names.len() => (at, name, again) = (back, from + 1, Some((back, from + 1))),
            _ => return Ok(false),
        }
    }
}

fn name_fits(pattern: &[Token], name: &[char], steps: &mut Steps) -> Result<bool, TooMuchWork> {
    let (mut at, mut read, mut again) = (0, 0, None);
    loop {
        steps.take()?;
        match pattern.get(at) {
            None if read == name.len() => return Ok(true),
            Some(Token::Many) => {
                (at, again) = (at + 1, Some((at + 1, read)));
                continue;
            }
            Some(token) if name.get(read).is_some_and(|c| token.takes(*c)) => {
                (at, read) = (at + 1, read + 1);
                continue;
            }
            _ => {}
        }
        match again {
            Some((back, from)) if from < name.len() => (at, read, again) = (back, from + 1, Some((back, from + 1))),
            _ => return Ok(false),
        }
    }
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Token::One(one) => *one == c,
            Token::Any | Token::Many => true,
            Token::Class { ranges, negated } => ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != *negated,
        }
    }
}

fn tokens(part: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = part.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' if tokens.last() == Some(&Token::Many) => {}
            '*' => tokens.push(Token::Many),
            '?' => tokens.push(Token::Any),
            '\\' => tokens.push(Token::One(rest.next()?)),
            '[' => tokens.push(class(&mut rest)?),
            c => tokens.push(Token::One(c)),
        }
    }
    Some(tokens)
}

/// `[a-z_]`, `[!a]`; a bracket right behind the first one stands for itself.
fn class(rest: &mut std::str::Chars<'_>) -> Option<Token> {
    let mut inside = rest.clone();
    let negated = inside.clone().next().is_some_and(|c| matches!(c, '!' | '^'));
    if negated {
        inside.next();
    }
    let mut ranges: Vec<(char, char)> = Vec::new();
    loop {
        let c = match inside.next()? {
            ']' if !ranges.is_empty() => break,
            '\\' => inside.next()?,
            c => c,
        };
        let mut ahead = inside.clone();
        match (ahead.next(), ahead.next()) {
            (Some('-'), Some(last)) if last != ']' => {
                let last = if last == '\\' { ahead.next()? } else { last };
                ranges.push((c, last));
                inside = ahead;
            }
            _ => ranges.push((c, c)),
        }
    }
    *rest = inside;
    Some(Token::Class { ranges, negated })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, path: &str) -> bool {
        let parts = Parts::of(path);
        Glob::parse(pattern).unwrap().fits(&parts, parts.count(), &mut Steps::new(10_000)).unwrap()
    }

    #[test]
    fn patterns_fit_as_git_fits_them() {
        for (pattern, path) in [
            ("*.log", "a/b.log"),
            ("build", "x/build"),
            ("/build", "build"),
            ("docs/*.txt", "docs/a.txt"),
            ("**/deep/x", "a/b/deep/x"),
            ("**/deep/x", "deep/x"),
            ("a/**", "a/b/c"),
            ("a/**/b", "a/b"),
            ("a/**/b", "a/x/y/b"),
            ("a/**/b/*.c", "a/b/b/x.c"),
            ("[a-c]?[!d]", "bxe"),
            ("[]a]", "]"),
            ("\\*x", "*x"),
            ("*a*b", "xaxbxb"),
            ("é?", "éü"),
        ] {
            assert!(fits(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("*.log", "a.log/b"),
            ("/build", "x/build"),
            ("docs/*.txt", "docs/a/b.txt"),
            ("a/**", "a"),
            ("a/**/b", "a/x"),
            ("[a-c]", "d"),
            ("[!a]", "a"),
            ("*a*b", "xaxbxc"),
            ("?", "ab"),
            ("", "x"),
        ] {
            assert!(!fits(pattern, path), "{pattern} {path}");
        }
        assert_eq!((Glob::parse("[a"), Glob::parse("a\\")), (None, None));
    }

    #[test]
    fn what_costs_too_much_is_not_finished() {
        let (pattern, path) = (Glob::parse(&format!("*{}c", "a".repeat(100))).unwrap(), Parts::of(&"a".repeat(1_000)));
        let mut steps = Steps::new(1_000);
        assert_eq!(pattern.fits(&path, 1, &mut steps), Err(TooMuchWork));
        assert_eq!(steps.left(), 0);
        let mut steps = Steps::new(1_000);
        assert_eq!(
            (Glob::parse("x1").unwrap().fits(&path, 1, &mut steps), steps.left()),
            (Ok(false), 999),
            "a look costs what it compares"
        );
    }
}
